"""Tests, corrections and bounds against numbers by hand, scipy's and statsmodels' (0.15.0, written out)."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from scipy import stats

from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.at_k import pass_all_k, pass_at_k
from stateset.rl.evaluation.judge_correction import JudgeErrors, correct_difference, correct_rate
from stateset.rl.evaluation.paired import (
    Tally,
    clusters_for_rate,
    exact_mcnemar,
    exchange_test,
    holm,
    rate_ceiling,
    smallest_effect,
    tally,
)
from stateset.rl.evaluation.statistics import (
    effective_clusters,
    mean_interval,
    paired_difference,
    standard_error,
)

LONG = bool(os.environ.get("STATESET_LONG"))
RUNS, LEAST, MOST = (4000, 0.94, 0.96) if LONG else (400, 0.91, 0.985)
NAN = math.nan


def test_wins_ties_and_losses_are_counted() -> None:
    assert tally([0, 1, 1, NAN, 0.5], [1, 0, 1, 1, 0.52], least=0.05) == Tally(wins=1, ties=2, losses=1)
    assert tally([0, 1], [1, 0]) == Tally(wins=1, ties=0, losses=1)


def test_mcnemar_is_a_coin_thrown_for_the_rows_that_changed() -> None:
    """12 gained and 3 lost; 15 throws with 12 or more, or 3 or fewer: 2 (1 + 15 + 105 + 455) / 2^15."""
    before, after = [False] * 12 + [True] * 3 + [True] * 40, [True] * 12 + [False] * 3 + [True] * 40
    found = exact_mcnemar(before, after)
    assert (found.gained, found.lost) == (12, 3)
    assert found.p_value == pytest.approx(2 * 576 / 2**15)  # 0.03515625, as statsmodels' mcnemar(exact=True)
    assert exact_mcnemar([True], [True]).p_value == 1.0


def test_swapping_arms_gives_the_exact_chance_of_few_clusters() -> None:
    assert exchange_test([0, 0, 0], [1, 1, 1]) == 2 / 8
    assert exchange_test([0, 0, 0], [1, 1, 1], alternative="greater") == 1 / 8
    assert exchange_test([0, 0, 0], [1, 1, 1], alternative="less") == 1.0
    # two rows of one cluster swap together: of 4 ways to swap {2, 1}, two are as far from 0 as 3
    assert exchange_test([0, 0, 0], [1, 1, 1], ["a", "a", "b"]) == 2 / 4
    assert exchange_test([0, 1, 0], [1, 1, 0], ["a", "b", "c"]) == 1.0


def test_swapping_many_single_rows_agrees_with_mcnemar() -> None:
    before, after = [0.0] * 30 + [1.0] * 14, [1.0] * 30 + [0.0] * 14
    exact = exact_mcnemar([one == 1 for one in before], [one == 1 for one in after]).p_value
    assert exchange_test(before, after) == pytest.approx(exact, abs=0.006)


def test_holm_by_hand_and_as_statsmodels() -> None:
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, and 0.04 raised to 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_standard_error_is_the_cluster_robust_one() -> None:
    """statsmodels: OLS on a constant, cov_type="cluster"; its correction G/(G-1) (N-1)/(N-1) is ours."""
    change, clusters = [1, 0, 1, -1, 0, 1, 1, 0], [0, 0, 1, 1, 1, 2, 3, 3]
    assert standard_error(change, clusters) == pytest.approx(0.1926379375927805)
    assert standard_error([1.0, 2.0, 4.0]) == pytest.approx(np.std([1, 2, 4], ddof=1) / math.sqrt(3))
    assert effective_clusters([4, 4, 4]) == pytest.approx(3)
    assert effective_clusters([1, 9]) == pytest.approx(100 / 82)


def test_the_interval_is_scipys_bootstrap_of_whole_clusters_taken_a_little_further_out() -> None:
    """scipy resamples pairs (sum, size); its percentile interval at our two quantiles is our interval."""
    random = np.random.default_rng(4)
    clusters = np.repeat(np.arange(60), random.integers(1, 9, 60))
    change = random.normal(0.2, size=60)[clusters] + random.normal(size=len(clusters))
    sums, sizes = np.bincount(clusters, change), np.bincount(clusters)
    worth = effective_clusters(sizes)
    tail = stats.norm.cdf(math.sqrt(worth / (worth - 1)) * stats.t.ppf(0.025, worth - 1))
    theirs = stats.bootstrap(
        (sums, sizes), lambda s, n, axis: s.sum(axis) / n.sum(axis), paired=True, method="percentile",
        confidence_level=1 - 2 * tail, n_resamples=20_000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    ours = paired_difference(np.zeros(len(change)), change, clusters, resamples=20_000)
    width = ours.high - ours.low
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02 * width)
    assert tail < 0.025
    normal = 2 * stats.t.ppf(0.975, worth - 1) * standard_error(change, clusters)
    assert width == pytest.approx(normal, rel=0.05)  # and the cluster-robust t interval is as wide


def sizes_of(kind: str, num_clusters: int, random: np.random.Generator) -> np.ndarray:
    if kind == "single":
        return np.ones(num_clusters, dtype=int)
    if kind == "1 to 12":
        return random.integers(1, 13, num_clusters)
    return np.minimum(random.geometric(0.25, num_clusters), 30)  # many small, few large


def two_arms(kind: str, clusters: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Both arms share what a cluster and a row bring; the effect, too, differs from cluster to cluster."""
    count, rows = clusters.max() + 1, len(clusters)
    shared = random.normal(size=count)[clusters] + random.normal(size=rows)
    own = [0.7 * random.normal(size=rows) for _ in range(2)]
    effect = 0.4 + 0.4 * random.normal(size=count)[clusters]
    if kind == "pass or fail":
        return (shared + own[0] > 0).astype(float), (shared + own[1] + effect > 0).astype(float)
    return 1 / (1 + np.exp(-shared - own[0])), 1 / (1 + np.exp(-shared - own[1] - effect))


@pytest.mark.parametrize("kind", ["pass or fail", "graded"])
@pytest.mark.parametrize("sizes", ["single", "1 to 12", "geometric"])
@pytest.mark.parametrize("num_clusters", [50, 100] if LONG else [50])
def test_a_95_percent_interval_of_a_difference_covers_the_truth(
    kind: str, sizes: str, num_clusters: int
) -> None:
    """4,000 runs under STATESET_LONG=1, between 94 and 96 %; else 400 with a wide allowance."""
    first, second = two_arms(kind, np.arange(2_000_000), np.random.default_rng(1))
    truth, random, covered = float((second - first).mean()), np.random.default_rng(2), 0
    for number in range(RUNS):
        clusters = np.repeat(np.arange(num_clusters), sizes_of(sizes, num_clusters, random))
        before, after = two_arms(kind, clusters, random)
        found = paired_difference(before, after, clusters, resamples=2000, seed=number)
        covered += found.low <= truth <= found.high
    print(f"coverage {kind}, {sizes}, {num_clusters} clusters: {covered / RUNS:.2%}")
    assert LEAST <= covered / RUNS <= MOST


def test_the_smallest_effect_by_hand_and_its_power() -> None:
    """100 pairs, 20 better and 10 worse: sd (n-1) 0.5414, error 0.0541, times t(0.975) + t(0.8), 99 df."""
    before = [0] * 20 + [1] * 10 + [1] * 70
    after = [1] * 20 + [0] * 10 + [1] * 70
    deviation = math.sqrt((30 - 100 * 0.1**2) / 99)
    assert smallest_effect(before, after) == pytest.approx(deviation / 10 * (1.98422 + 0.84523), rel=1e-4)
    assert smallest_effect([0] * 10, [0] * 10) == 0.0
    random, shown = np.random.default_rng(0), 0
    for number in range(300):
        change = random.normal(size=100)
        effect = 2.829 / 10
        found = paired_difference(np.zeros(100), change + effect, resamples=500, seed=number)
        shown += found.low > 0
    assert 0.73 <= shown / 300 <= 0.87


def test_smallest_effect_refuses_shares_that_are_none() -> None:
    with pytest.raises(ConfigError, match="power is 80"):
        smallest_effect([0, 1], [1, 1], power=80)


def test_a_rate_that_was_never_seen_is_bounded_all_the_same() -> None:
    """statsmodels' proportion_confint(0, 200, alpha=0.1, method="beta") ends at 0.014867; 0.05^(1/200)."""
    assert rate_ceiling([0] * 200, alpha=0.05) == pytest.approx(0.014867039231272)
    assert rate_ceiling([0] * 200, alpha=0.05) == pytest.approx(1 - 0.05 ** (1 / 200))
    assert rate_ceiling([1] * 5, alpha=0.05) == 1.0
    # 10 of 50 independent rows are worth 49: the same as 9.8 of 49
    assert rate_ceiling([1] * 10 + [0] * 40, alpha=0.05) == pytest.approx(
        stats.beta.ppf(0.95, 10.8, 39.2), rel=1e-6
    )
    assert clusters_for_rate(0.02, alpha=0.05) == 149  # 0.98^149 = 0.0493, 0.98^148 = 0.0503


def test_events_of_one_cluster_bound_a_rate_less_sharply() -> None:
    spread = rate_ceiling(([1] + [0] * 9) * 10, list(range(100)), alpha=0.05)
    heaped = rate_ceiling([1] * 10 + [0] * 90, [i // 10 for i in range(100)], alpha=0.05)
    assert heaped > 1.5 * spread


def test_a_ceiling_lies_below_the_truth_no_more_often_than_it_says() -> None:
    random, below = np.random.default_rng(3), 0
    for _ in range(600):
        hits = random.random(120) < 0.04
        below += rate_ceiling(hits, alpha=0.05) < 0.04
    assert below / 600 <= 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / 600)


def test_pass_at_k_and_pass_all_k_by_hand() -> None:
    """3 of 5 right: two drawn are both wrong in 1 of 10 ways and both right in 3 of 10."""
    assert pass_at_k(3, 5, 2) == pytest.approx(0.9)
    assert pass_all_k(3, 5, 2) == pytest.approx(0.3)
    assert (pass_at_k(3, 5, 1), pass_all_k(3, 5, 1)) == (pytest.approx(0.6), pytest.approx(0.6))
    assert (pass_at_k(0, 5, 5), pass_at_k(5, 5, 5), pass_all_k(4, 5, 5)) == (0.0, 1.0, 0.0)


def test_pass_at_k_is_unbiased() -> None:
    """Over all outcomes of 6 answers that are right with 0.3: 1 - 0.7^4 and 0.3^4."""
    chance = [math.comb(6, c) * 0.3**c * 0.7 ** (6 - c) for c in range(7)]
    assert sum(p * pass_at_k(c, 6, 4) for c, p in enumerate(chance)) == pytest.approx(1 - 0.7**4)
    assert sum(p * pass_all_k(c, 6, 4) for c, p in enumerate(chance)) == pytest.approx(0.3**4)


JUDGE = JudgeErrors(tpr=0.9, num_right=100, tnr=0.8, num_wrong=50)


def test_a_judges_rate_is_corrected_by_hand() -> None:
    """0.55 seen: (0.55 - 0.2) / 0.7 = 0.5; errors 0.03, and with one hit and one miss added 91/102, 41/52."""
    found = correct_rate(0.55, 0.03, JUDGE)
    assert found.mean == pytest.approx(0.5)
    tpr, tnr = 91 / 102, 41 / 52
    spread = 0.03**2 + 0.25 * tpr * (1 - tpr) / 102 + 0.25 * tnr * (1 - tnr) / 52
    reach = 1.959964 * math.sqrt(spread) / 0.7
    assert (found.low, found.high) == (pytest.approx(0.5 - reach), pytest.approx(0.5 + reach))
    assert correct_rate(0.05, 0.01, JUDGE).mean == 0.0  # fewer than its mistakes alone would give
    assert correct_difference(0.07, 0.0, JUDGE).mean == pytest.approx(0.1)
    better = correct_difference(0.07, 0.01, JUDGE)
    assert 0 < better.low < 0.1 < better.high


def test_a_corrected_rate_covers_the_truth() -> None:
    random, covered, true, tpr, tnr = np.random.default_rng(5), 0, 0.6, 0.88, 0.8
    for _ in range(600):
        rows = random.random(300) < true * tpr + (1 - true) * (1 - tnr)
        measured = JudgeErrors(
            tpr=random.binomial(80, tpr) / 80, num_right=80, tnr=random.binomial(60, tnr) / 60, num_wrong=60
        )
        found = correct_rate(float(rows.mean()), standard_error(rows), measured)
        covered += found.low <= true <= found.high
    assert 0.92 <= covered / 600 <= 0.98


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: correct_rate(0.5, 0.1, JudgeErrors(tpr=0.5, num_right=9, tnr=0.5, num_wrong=9)), DataError,
         "no better than chance"),
        (lambda: correct_rate(0.5, 0.1, JudgeErrors(tpr=0.9, num_right=0, tnr=0.9, num_wrong=9)), DataError,
         "no calibration"),
        (lambda: pass_at_k(1, 3, 4), ConfigError, "k is 4 with 3 answers"),
        (lambda: pass_all_k(4, 3, 1), ConfigError, "4 of 3 answers"),
        (lambda: tally([1], [1, 2]), DataError, "same rows"),
        (lambda: rate_ceiling([1.5, 1], alpha=0.05), DataError, "yes and no"),
    ],
)  # fmt: skip
def test_what_has_no_answer_is_refused(call, kind, message) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_pass_rates_over_prompts_get_the_same_intervals() -> None:
    rates = [pass_all_k(right, 4, 2) for right in (0, 1, 2, 3, 4, 4)]
    assert mean_interval(rates).mean == pytest.approx((0 + 0 + 1 / 6 + 1 / 2 + 1 + 1) / 6)
