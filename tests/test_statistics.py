"""Intervals against resamples that are written out, and against what they must cover."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.statistics import (
    Difference,
    Interval,
    cohen_kappa,
    mean_interval,
    paired_difference,
)

NAN = math.nan


def test_two_clusters_by_hand() -> None:
    """Differences 1, 1 in cluster a and 0 in b: resamples aa, ab, ba, bb have the means 1, 2/3, 2/3, 0."""
    found = paired_difference([0, 2, 5], [1, 3, 5], ["a", "a", "b"])
    assert isinstance(found, Difference)
    assert found.mean == pytest.approx(2 / 3)
    assert (found.low, found.high) == (0.0, 1.0)
    assert (found.num_rows, found.num_clusters, found.num_missing) == (3, 2, 0)
    # Sizes 2 and 1 are worth 9/5 clusters: t(0.4, 0.8) = -0.343, times sqrt(1.8/0.8) -0.515, Phi of it 0.303;
    # between a quarter and three quarters every mean is 2/3 (a mean of cluster means would be 1/2).
    narrow = paired_difference([0, 2, 5], [1, 3, 5], ["a", "a", "b"], confidence=0.2)
    assert (narrow.low, narrow.high) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    # t(0.35, 0.8) = -0.544, times 1.5 -0.816, Phi 0.207 < 1/4: out to the ends again. A plain percentile
    # interval, 0.35 to 0.65, would still say 2/3.
    wider = paired_difference([0, 2, 5], [1, 3, 5], ["a", "a", "b"], confidence=0.3)
    assert (wider.low, wider.high) == (0.0, 1.0)


def test_the_quantiles_are_those_of_every_possible_resample() -> None:
    """4 clusters of 3, 1, 2 and 4 rows have 256 resamples and are worth 100/30.

    t(0.1, 7/3) is -1.7725, times sqrt(10/7) -2.1186, and Phi of it 0.01706.
    """
    rows = {"a": [1, 0, 0], "b": [1], "c": [0, 0], "d": [1, 1, 1, 0]}
    means = []
    for drawn in itertools.product(rows, repeat=4):
        values = [value for cluster in drawn for value in rows[cluster]]
        means.append(sum(values) / len(values))
    means.sort()
    values = [value for cluster in rows.values() for value in cluster]
    clusters = [name for name, cluster in rows.items() for _ in cluster]
    found = mean_interval(values, clusters, confidence=0.8, resamples=200_000)
    assert found.mean == 0.5
    assert found.low == pytest.approx(means[math.floor(0.01706 * 256)], abs=0.02)
    assert found.high == pytest.approx(means[math.floor((1 - 0.01706) * 256)], abs=0.02)


def test_without_clusters_each_row_is_its_own() -> None:
    values = [0.0, 1.0, 1.0, 3.0]
    alone = mean_interval(values)
    assert alone == mean_interval(values, ["w", "x", "y", "z"])
    assert type(alone) is Interval
    assert (alone.mean, alone.num_rows, alone.num_clusters) == (1.25, 4, 4)
    assert alone.low < 1.25 < alone.high


def test_rows_that_repeat_within_clusters_bring_no_certainty() -> None:
    once = np.random.default_rng(3).normal(size=40)
    tenfold, clusters = np.repeat(once, 10), np.repeat(np.arange(40), 10)
    single, clustered = mean_interval(once), mean_interval(tenfold, clusters)
    assert clustered.low == pytest.approx(single.low)
    assert clustered.high == pytest.approx(single.high)
    ignored = mean_interval(tenfold)
    assert ignored.high - ignored.low < 0.5 * (clustered.high - clustered.low)


def test_missing_values_are_left_out_and_counted() -> None:
    before, after = [0.0, NAN, 1.0, 0.0, 9.0], [1.0, 1.0, 1.0, 0.0, NAN]
    found = paired_difference(before, after, ["a", "b", "c", "d", "e"])
    assert (found.mean, found.num_rows, found.num_clusters, found.num_missing) == (
        pytest.approx(1 / 3),
        3,
        3,
        2,
    )
    rest = paired_difference([0.0, 1.0, 0.0], [1.0, 1.0, 0.0], ["a", "c", "d"])
    assert (found.low, found.high) == (rest.low, rest.high)
    assert mean_interval([None, True, False]).num_missing == 1


def test_the_sign_is_after_minus_before_and_swaps_with_the_arms() -> None:
    random = np.random.default_rng(0)
    before, after, clusters = random.normal(size=90), random.normal(0.5, size=90), np.arange(90) // 3
    there = paired_difference(before, after, clusters)
    back = paired_difference(after, before, clusters)
    assert there.mean == pytest.approx(np.mean(after - before))
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low))


def test_the_seed_decides_and_chunks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    found = mean_interval(values, seed=7)
    assert found == mean_interval(values, seed=7)
    assert found.low != mean_interval(values, seed=8).low
    monkeypatch.setattr("stateset.rl.evaluation.statistics.DRAWS_AT_ONCE", 1234)
    assert found == mean_interval(values, seed=7)


def test_equal_values_have_no_width() -> None:
    found = mean_interval([True] * 10)
    assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: paired_difference([1, 2], [1]), DataError, "2 rows before but 1 after"),
        (lambda: mean_interval([1, 2, 3], ["a", "b"]), DataError, "3 rows but 2 clusters"),
        (lambda: mean_interval([]), DataError, "no rows"),
        (lambda: mean_interval([NAN, NAN]), DataError, "no rows to average: 2 given"),
        (lambda: mean_interval([1, 2], ["a", "a"]), DataError, "one cluster"),
        (lambda: mean_interval([1, 2, NAN], ["a", "a", "b"]), DataError, "one cluster"),
        (lambda: mean_interval([1]), DataError, "one cluster"),
        (lambda: mean_interval([1, math.inf]), DataError, r"values\[1\] is infinite"),
        (lambda: paired_difference([[1, 2]], [[1, 2]]), DataError, "before has the shape"),
        (lambda: mean_interval([1, 2], confidence=95), ConfigError, "confidence is 95"),
        (lambda: mean_interval([1, 2], resamples=0), ConfigError, "resamples is 0"),
        (lambda: cohen_kappa([], []), DataError, "no answers"),
        (lambda: cohen_kappa([True], [True, False]), DataError, "1 and 2 answers"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, kind, message) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_kappa_by_hand() -> None:
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.7 agreed; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5."""
    first = [True] * 25 + [False] * 25
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa(second, first) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        ("1111", "1111", 1.0),  # both constant and equal
        ("0000", "0000", 1.0),
        ("1111", "0000", 0.0),  # constant and opposite: chance never agrees either
        ("1111", "1100", 0.0),  # one constant: what it says does not depend on the other
        ("1100", "0011", -1.0),
        ("1010", "1010", 1.0),
    ],
)
def test_kappa_at_the_ends(first: str, second: str, kappa: float) -> None:
    found = cohen_kappa([c == "1" for c in first], [c == "1" for c in second])
    assert found == pytest.approx(kappa)


def clustered_passes(random: np.random.Generator, shift: float, clusters: np.ndarray) -> np.ndarray:
    """0 or 1 a row; rows of a cluster share half of what decides (correlation 0.5 of the latent score)."""
    shared = random.normal(size=clusters.max() + 1)[clusters]
    return (shared + random.normal(size=len(clusters)) > shift).astype(float)


def paired_passes(random: np.random.Generator, num_clusters: int) -> tuple[np.ndarray, ...]:
    """Two arms on the same clusters of 1 to 12 rows; the true difference is 0.26 - 0.5."""
    clusters = np.repeat(np.arange(num_clusters), random.integers(1, 13, num_clusters))
    return clustered_passes(random, 0.0, clusters), clustered_passes(random, 0.9, clusters), clusters


@pytest.mark.slow
@pytest.mark.parametrize("num_clusters", [60, 80])
def test_a_95_percent_interval_covers_the_truth(num_clusters: int) -> None:
    normal_above = 0.5 * math.erfc(0.9 / math.sqrt(2) / math.sqrt(2))  # P(N(0, 2) > 0.9)
    truth, random = normal_above - 0.5, np.random.default_rng(11)
    covered = ignoring = arm = 0
    for number in range(1000):
        before, after, clusters = paired_passes(random, num_clusters)
        found = paired_difference(before, after, clusters, resamples=1000, seed=number)
        covered += found.low <= truth <= found.high
        single = mean_interval(after, clusters, resamples=1000, seed=number)
        arm += single.low <= normal_above <= single.high
        rows = paired_difference(before, after, resamples=200, seed=number)
        ignoring += rows.low <= truth <= rows.high
    assert 920 <= covered <= 980
    assert 920 <= arm <= 980
    assert ignoring < 850  # without clusters the interval is far too narrow
