"""What the parts of a reward did in a run's last steps, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

STEPS = 20
WORTH_SAYING = 0.25  # share of groups in which two parts pushed against each other

_SHARE, _CONFLICT = "attribution/", "attribution/conflict/"


def describe_attribution(metrics: Sequence[Mapping[str, object]]) -> list[str]:
    """One line of shares, then one for each pair of parts in conflict; empty without weighted parts."""
    recent = metrics[-STEPS:]
    means = {name: _mean(recent, name) for name in _names(recent)}
    shares = {name: value for name, value in means.items() if not name.startswith(_CONFLICT)}
    if not shares:
        return []
    order = sorted(shares, key=lambda name: -abs(shares[name]))
    parts = ", ".join(f"{name.removeprefix(_SHARE)} {shares[name]:.0%}" for name in order)
    pairs = sorted(((value, name) for name, value in means.items() if name not in shares), reverse=True)
    return [
        f"of the last {len(recent)} updates: {parts}",
        *(_conflict(name, value) for value, name in pairs if value >= WORTH_SAYING),
    ]


def _conflict(name: str, share: float) -> str:
    first, _, second = name.removeprefix(_CONFLICT).partition("|")
    return f"{first} pushed up what {second} pushed down in {share:.0%} of the groups"


def _names(metrics: Sequence[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for line in metrics for name in line if name.startswith(_SHARE)))


def _mean(metrics: Sequence[Mapping[str, object]], name: str) -> float:
    values = [float(str(line[name])) for line in metrics if line.get(name) is not None]
    return math.fsum(values) / len(values) if values else math.nan
