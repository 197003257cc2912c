"""What the micro-batches of one update measured, added up over them and over the ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from stateset.rl.algorithm.aggregation import masked


@dataclass(slots=True)
class Tally:
    """Sums, what they are divided by to give means, and maxima; all by logged name."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    maxima: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: float, count: float = 1.0) -> None:
        """Count `value` so many times."""
        self.sums[name] = self.sums.get(name, 0.0) + value * count
        self.counts[name] = self.counts.get(name, 0.0) + count

    def merge(self, other: Tally) -> None:
        """Add what another one counted."""
        for name, total in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + total
            self.counts[name] = self.counts.get(name, 0.0) + other.counts[name]
        for name, value in other.maxima.items():
            self.largest(name, value)

    def tokens(self, name: str, values: Tensor, mask: Tensor) -> None:
        """Count the values [b, T] of the tokens in the mask."""
        count = int(mask.sum())
        if count:
            self.add(name, float(masked(values, mask).sum()) / count, count)

    def largest(self, name: str, value: float) -> None:
        """Keep the larger one."""
        self.maxima[name] = max(value, self.maxima.get(name, -math.inf))

    def stats(self, stats: dict[str, Tensor], tokens: int) -> None:
        """Count what a policy loss says of so many tokens."""
        self.add("clip_ratio/low_mean", float(stats["clip_fraction_low"]), tokens)
        self.add("clip_ratio/high_mean", float(stats["clip_fraction_high"]), tokens)
        self.add("approx_kl_old", float(stats["approx_kl_old"]), tokens)
        self.largest("ratio_max", float(stats["ratio_max"]))

    def means(self) -> dict[str, float]:
        """Every mean and every maximum."""
        return {
            name: self.sums[name] / self.counts[name] for name in self.sums if self.counts[name]
        } | self.maxima
