"""Two arms on the same tasks beyond the mean difference: who won, how surely, and what could be seen at all.

Tests are two-sided unless they say otherwise. `exact_mcnemar` takes every row for itself; where rows share a
template or a customer that is too sure of itself, and `exchange_test` swaps whole clusters instead.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.statistics import (
    DRAWS_AT_ONCE,
    cluster_totals,
    effective_clusters,
    standard_error,
)

SWAPS = 9999  # random ones, where there are too many clusters to try them all
_HEAPS = 10  # clusters with an event, from which on events show how much they heap up


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many rows are better, the same and worse."""

    wins: int
    ties: int
    losses: int


def tally(before: ArrayLike, after: ArrayLike, *, least: float = 0.0) -> Tally:
    """Count rows whose value grew, fell, or moved by at most `least`; a NaN on either side counts nowhere."""
    change = _differences(before, after)
    change = change[~np.isnan(change)]
    wins, losses = int((change > least).sum()), int((change < -least).sum())
    return Tally(wins=wins, ties=len(change) - wins - losses, losses=losses)


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """Rows that one arm passes and the other does not, or less often; how surprising that is by chance."""

    gained: int
    lost: int
    p_value: float


def exact_mcnemar(before: ArrayLike, after: ArrayLike) -> McNemar:
    """The exact test of McNemar (1947): gains among the rows that changed, against a fair coin.

    It assumes that rows are independent; clusters of like rows make its p-value too small. On shares it is
    the sign test: rows that got better against those that got worse.

    Raises:
        DataError: not as many rows before as after.
    """
    found = tally(before, after)
    changed = found.wins + found.losses
    p_value = float(stats.binomtest(found.wins, changed).pvalue) if changed else 1.0
    return McNemar(gained=found.wins, lost=found.losses, p_value=p_value)


def exchange_test(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Iterable[Hashable] | None = None,
    *,
    alternative: str = "two-sided",
    seed: int = 0,
) -> float:
    """p-value of the mean difference where both arms are alike, by swapping the arms of whole clusters.

    Every one of the 2^G swaps is tried up to 9,999, else as many random ones (Fisher 1935; Ernst 2004). It
    holds with few clusters, too: three that all gained give 2/8.

    Args:
        before: [N], one a row; NaN where a row has none.
        after: [N], in the order of `before`.
        clusters: [N], the cluster of each row; None: each row is its own.
        alternative: two-sided; `greater`: after is better; `less`: after is worse.
        seed: of random swaps.

    Raises:
        DataError: lengths differ, or fewer than 2 clusters are left.
    """
    sums, _ = cluster_totals(_differences(before, after), clusters)

    def gain(first: Any, second: Any, axis: int) -> Any:
        return np.sum(second - first, axis=axis)

    found = stats.permutation_test(
        (np.zeros(len(sums)), sums), gain,
        permutation_type="samples", vectorized=True, n_resamples=SWAPS, alternative=alternative,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.pvalue)


def least_p(num_clusters: int) -> float:
    """The smallest one-sided p-value that `exchange_test` can give: 1/64 for six clusters."""
    swaps: int = min(2**num_clusters, SWAPS + 1)
    return 1 / swaps


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979): below alpha, the chance of one false alarm is alpha.

    The smallest times N, the next times N - 1, and so on; none below the one before it, none above 1.
    """
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def smallest_effect(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Iterable[Hashable] | None = None,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """The true difference that such a test set would show with this power (Bloom 1995).

    That is the standard error of the paired difference times t(1 - alpha/2) + t(power), with the degrees of
    freedom that the clusters are worth. The spread is the observed one; 0 where no row differs.

    Args:
        before: [N], one a row; NaN where a row has none.
        after: [N], in the order of `before`.
        clusters: [N], the cluster of each row; None: each row is its own.
        power: how often the difference would show.
        alpha: of a two-sided test.

    Raises:
        ConfigError: `power` or `alpha` is not between 0 and 1.
        DataError: lengths differ, or fewer than 2 clusters are left.
    """
    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ConfigError(f"{name} is {value}: give a share between 0 and 1")
    change, named = _differences(before, after), None if clusters is None else list(clusters)
    freedom = effective_clusters(cluster_totals(change, named)[1]) - 1
    multiple = float(stats.t.ppf(1 - alpha / 2, freedom) + stats.t.ppf(power, freedom))
    return multiple * standard_error(change, named)


def rate_ceiling(values: ArrayLike, clusters: Iterable[Hashable] | None = None, *, alpha: float) -> float:
    """Upper end of the one-sided interval of a share, for events that are rare or were never seen.

    The exact binomial bound (Clopper & Pearson 1934) for as many independent rows as these are worth (Korn &
    Graubard 1998). Where fewer than ten clusters had an event, too little was seen to tell how much events
    heap up, and the rows are worth no more than their clusters.

    Args:
        values: [N] 0 or 1, one a row, or the share of a row's answers; NaN where a row has none.
        clusters: [N], the cluster of each row; None: each row is its own.
        alpha: how often such a bound lies below the true share.

    Raises:
        DataError: a value is no share, or fewer than 2 clusters are left.
    """
    column, named = np.asarray(values, dtype=np.float64), None if clusters is None else list(clusters)
    if not ((column >= 0) & (column <= 1) | np.isnan(column)).all():
        raise DataError("a rate is a share of yes and no: give values from 0 to 1")
    sums, sizes = cluster_totals(column, named)
    rows, of_clusters, share = float(sizes.sum()), effective_clusters(sizes), float(sums.sum() / sizes.sum())
    worth = rows
    if 0 < share < 1 and (error := standard_error(column, named)) > 0:
        fewer = stats.t.ppf(1 - alpha, rows - 1) / stats.t.ppf(1 - alpha, of_clusters - 1)
        worth = min(rows, share * (1 - share) / error**2 * fewer**2)
    if np.count_nonzero(sums) < _HEAPS:
        worth = min(worth, of_clusters)
    hits = share * worth
    return 1.0 if share == 1 else float(stats.beta.ppf(1 - alpha, hits + 1, worth - hits))


def clusters_for_rate(rate: float, *, alpha: float) -> int:
    """Clusters without one event after which the share is known to be below `rate`: (1 - rate)^N <= alpha."""
    return math.ceil(math.log(alpha) / math.log1p(-rate))


def change_floor(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Iterable[Hashable] | None = None,
    *,
    alpha: float,
    draws: int = 10_000,
    seed: int = 0,
) -> float:
    """Lower end of the one-sided interval of a change, where losses are rare or were never seen.

    Clusters are weighed at random (Rubin 1981), together with one more that nobody saw and in which
    everything was lost (Gaffke 2005). Where clusters are kept or lost as a whole, that is the bound of
    Clopper & Pearson (1934); that it holds where some gained, too, is not proved, but no simulation spoke
    against it (Learned-Miller & Thomas 2019). Clusters of unlike sizes count by their worth.

    Args:
        before: [N], one a row, from 0 to 1; NaN where a row has none.
        after: [N], in the order of `before`.
        clusters: [N], the cluster of each row; None: each row is its own.
        alpha: how often such a bound lies above the true change.
        draws: random weighings.
        seed: of the weighings; equal arguments give equal bounds.

    Raises:
        DataError: lengths differ, or fewer than 2 clusters are left.
    """
    sums, sizes = cluster_totals(_differences(before, after), clusters)
    worth, random, seen = effective_clusters(sizes), np.random.default_rng(seed), []
    for start in range(0, draws, step := max(1, DRAWS_AT_ONCE // len(sizes))):
        shape = (min(step, draws - start), len(sizes))
        weights = random.standard_gamma(worth * sizes / sizes.sum(), shape)
        seen.append(weights @ (sums / sizes) / weights.sum(axis=1))
    # the share of the unseen one is Beta(1, worth), taken evenly: where nothing varied the bound is exact
    unseen = 1 - ((np.arange(draws) + 0.5) / draws) ** (1 / worth)
    return float(np.quantile((1 - unseen) * np.concatenate(seen) - unseen, alpha))


def _differences(before: ArrayLike, after: ArrayLike) -> np.ndarray[Any, np.dtype[np.float64]]:
    first, second = (np.asarray(one, dtype=np.float64) for one in (before, after))
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(f"{first.shape} before and {second.shape} after: give both arms the same rows")
    return second - first
