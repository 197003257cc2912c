"""What few clusters can show at the gate: never more than they hold, whatever was seen in them."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import pytest
from scipy import stats
from test_gate import ROOT

from stateset.rl.data.bundled import bundled_rows
from stateset.rl.evaluation.criteria import Criteria, load_criteria
from stateset.rl.evaluation.judge_correction import JudgeErrors
from stateset.rl.evaluation.paired import change_floor, clusters_for_rate, least_p, rate_ceiling
from stateset.rl.evaluation.record import Record, Row, Seconds
from stateset.rl.evaluation.verdict import Verdict, judge

RUNS = 2000 if os.environ.get("STATESET_LONG") else 400
MOST = 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / RUNS)  # false passes that could be chance
ANY = {"min_rows": 2, "min_clusters": 2}


def record(before: Any, after: Any, clusters: Any, kinds: Any = None, **more: Any) -> Record:
    """Pairs of success with their clusters, all of kind `all` or as `kinds` says; no answer has pii."""
    rows = tuple(
        Row(
            task_id=f"t{i}", cluster=str(cluster), slices={"kind": "all" if kinds is None else str(kinds[i])},
            before={"success": float(first), "quality": 0.5, "pii": 0.0},
            after={"success": float(second), "quality": 0.5, "pii": 0.0},
        )
        for i, (first, second, cluster) in enumerate(zip(before, after, clusters, strict=True))
    )  # fmt: skip
    facts: dict[str, Any] = {"baseline": "base", "trained": "new", "definitions": {}, "training_rows": 900}
    return Record(rows=rows, **(facts | more))


def of_kinds(num_kinds: int, num_clusters: int, fallen: set[int]) -> Record:
    """Two rows a cluster; kinds in `fallen` fall from 1 to 0, the others rise from 0 to 1."""
    kinds = np.repeat(np.arange(num_kinds), 2 * num_clusters)
    before = np.isin(kinds, list(fallen)).astype(float)
    return record(before, 1 - before, np.arange(len(kinds)) // 2, kinds)


def test_the_least_p_is_that_of_the_exchange_test() -> None:
    assert [least_p(count) for count in (1, 6, 13, 14)] == [1 / 2, 1 / 64, 1 / 8192, 1 / 10_000]


@pytest.mark.parametrize("fallen", [{4}, set(range(13))])
def test_slices_in_which_no_fall_could_be_shown_close_the_gate(fallen: set[int]) -> None:
    """13 values of 6 clusters, as in the bundled tickets: 13 / 64 = 0.203 at least."""
    verdict = judge(of_kinds(13, 6, fallen), Criteria(gains={}, slices={"kind": None}))
    assert not verdict
    [reason] = verdict.reasons
    assert "13 of its 13 values have too few clusters to show one (0 6, 1 6, 10 6 and 10 more)" in reason
    assert "is 0.203 (Holm), above 0.05; give a margin such as 0.1, a coarser kind" in reason


def test_slices_of_more_clusters_are_judged() -> None:
    criteria = Criteria(gains={}, slices={"kind": None})
    assert judge(of_kinds(3, 17, set()), criteria)
    verdict = judge(of_kinds(3, 17, {1}), criteria)
    assert [reason[:25] for reason in verdict.reasons] == ["success where kind is 1: "]


@pytest.mark.parametrize("margin", [None, 0.5])
def test_a_slice_of_one_cluster_closes_the_gate_and_says_so(margin: float | None) -> None:
    """One value with all its rows in one cluster that falls, whether or not others can be judged."""
    kinds = np.array([0] * 20 + [1] * 100)
    clusters = np.where(kinds == 0, 0, np.arange(120))
    found = record(1 - kinds, kinds, clusters, kinds)
    verdict = judge(found, Criteria(gains={}, slices={"kind": margin}))
    assert not verdict
    assert verdict.reasons[0].startswith(
        "no fall by kind: 1 of its 2 values" if margin is None
        else "loss of success where kind is 0: 20 rows of one cluster show nothing"
    )  # fmt: skip
    lonely = record([1, 1], [0, 0], ["a", "b"], ["x", "y"])
    assert judge(lonely, Criteria(gains={}, slices={"kind": margin}, **ANY)).reasons


def test_the_example_criteria_can_be_met_on_the_test_sets_that_they_are_for() -> None:
    """The bundled test set and the tour's have 78 templates: 31, 26 and 21 of the three difficulties."""
    rows = bundled_rows("support_tickets/test") or []
    levels = {row["difficulty"]: len({r["template"] for r in rows if r["difficulty"] == row["difficulty"]})
              for row in rows}  # fmt: skip
    assert sorted(levels.values()) == [21, 26, 31]
    for file in ("criteria.yaml", "tour/criteria.yaml"):
        found = load_criteria(ROOT / "examples" / file)
        assert found.min_clusters <= 78
        assert clusters_for_rate(min(found.rates.values()), alpha=found.alpha) <= found.min_clusters
        margin = found.slices["difficulty"]
        assert margin is not None
        assert clusters_for_rate(margin, alpha=found.alpha) <= 21


def test_what_never_varied_is_not_sure() -> None:
    """Two rows show no loss below 0.776, 100 none below 0.0295: 1 - 0.05^(1/N)."""
    two = judge(record([1, 1], [1, 1], "ab"), Criteria(gains={}, slices={"kind": 0.1}, **ANY))
    assert "surely above -0.776; -0.1 is not shown to be kept" in two.reasons[0]
    assert "that takes 29 clusters, and these are 2" in two.reasons[0]
    many = record([1] * 100, [1] * 100, range(100))
    for name in ("success", "quality"):
        assert judge(many, Criteria(gains={}, margins={name: 0.03}))
        assert not judge(many, Criteria(gains={}, margins={name: 0.029}))
    assert judge(many, Criteria(gains={"success": -0.03}))
    assert not judge(many, Criteria(gains={"success": -0.029}))
    unsure = JudgeErrors(tpr=0.8, num_right=900, tnr=0.8, num_wrong=900)
    assert not judge(many.model_copy(update={"judge_errors": unsure}), Criteria(gains={"success": -0.04}))


def test_the_floor_of_a_change_is_the_exact_bound_of_its_losses() -> None:
    """5 of 60 lost: Clopper and Pearson's 95 % bound is the quantile of Beta(6, 55); two rows a cluster."""
    exact = -float(stats.beta.ppf(0.95, 6, 55))
    lost = np.repeat([0.0] * 5 + [1.0] * 55, 2)
    found = change_floor(np.ones(120), lost, np.arange(120) // 2, alpha=0.05, draws=100_000)
    assert found == pytest.approx(exact, abs=0.001)
    assert change_floor([1] * 50, [1] * 50, alpha=0.05) == pytest.approx(0.05 ** (1 / 50) - 1, abs=1e-4)
    gained = change_floor([0] * 20 + [1] * 40, [1] * 60, alpha=0.05)
    assert 0.2 < gained < 1 / 3


def test_like_rows_that_show_nothing_are_worth_their_clusters() -> None:
    """50 clusters of 3 like rows: 1 - 0.05^(1/50) = 0.058, not the 0.020 of 150 rows."""
    clusters = np.arange(150) // 3
    assert rate_ceiling([0] * 150, clusters, alpha=0.05) == pytest.approx(1 - 0.05 ** (1 / 50))
    lone = rate_ceiling([1] + [0] * 149, clusters, alpha=0.05)
    assert lone == pytest.approx(stats.beta.ppf(0.95, 1 + 1 / 3, 50 - 1 / 3))
    many = [float(i % 6 == 0) for i in range(150)]  # 25 clusters with one each: these do not heap up
    assert rate_ceiling(many, clusters, alpha=0.05) == pytest.approx(stats.beta.ppf(0.95, 26, 125), abs=0.01)


def test_a_rate_over_several_answers_is_bounded_like_one_of_so_many_rows() -> None:
    """A quarter of the answers to 40 rows, and half of those to 20: 20 events' worth in 100 rows."""
    values = [0.25] * 40 + [0.5] * 20 + [0.0] * 40
    assert rate_ceiling(values, alpha=0.05) == pytest.approx(stats.beta.ppf(0.95, 21, 80))
    found = record([0.5] * 100, [0.75] * 100, range(100))
    assert judge(found, Criteria(gains={}, margins={"success": 0.1}, rates={"pii": 0.03}))


def test_one_second_measured_is_no_latency() -> None:
    limits = Criteria(gains={"success": -0.5}, most_seconds=2.0, most_slowdown=1.5, **ANY)
    one = record([1] * 9, [1] * 9, range(9), seconds=Seconds(before=(1.0,), after=(0.5,)))
    assert [reason.split(": ")[1] for reason in judge(one, limits).reasons] == [
        "1 measured; compare with --latency 20 at least"
    ] * 2
    still = one.model_copy(update={"seconds": Seconds(before=(0.0,), after=())})
    assert judge(still, Criteria(gains={"success": -0.5}, **ANY))


def passes(verdict: Verdict) -> bool:
    """The last criterion is met."""
    return verdict.checks[-1].passed


def pairs(
    random: np.random.Generator, sizes: np.ndarray, lost: float, gained: float, alike: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of rows are lost and gained, the others right; `alike`: a correlation within clusters."""
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    latent = math.sqrt(alike) * random.normal(size=len(sizes))[clusters]
    latent = stats.norm.cdf(latent + math.sqrt(1 - alike) * random.normal(size=len(clusters)))
    return latent <= 1 - gained, latent > lost, clusters


FEW = [
    ([2] * 6, 0.1, 0.0, 0.1), ([1] * 100, 0.02, 0.0, 0.02), ([1] * 100, 0.1, 0.0, 0.1),
    ([2] * 50, 0.15, 0.05, 0.1), ([1] * 20 + [4] * 20, 0.1, 0.05, 0.05),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("sizes", "lost", "gained", "margin"), FEW)
def test_a_loss_as_large_as_the_margin_rarely_passes(
    sizes: list[int], lost: float, gained: float, margin: float, alike: float
) -> None:
    """2,000 evaluations under STATESET_LONG=1: at most alpha and 2.33 of its standard errors, 6.1 %."""
    random, passed = np.random.default_rng(4), 0
    criteria = Criteria(gains={}, slices={"kind": margin}, **ANY)
    for _ in range(RUNS):
        found = pairs(random, np.array(sizes), lost, gained, alike)
        passed += passes(judge(record(*found), criteria, resamples=1000))
    print(
        f"false passes, {len(sizes)} clusters, alike {alike}, loss {lost - gained:.2f}: {passed / RUNS:.2%}"
    )
    assert passed / RUNS <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("num_clusters", "size", "rate"), [(50, 3, 0.02), (60, 5, 0.02), (50, 6, 0.05)])
def test_a_rate_as_high_as_its_limit_rarely_passes(
    num_clusters: int, size: int, rate: float, alike: float
) -> None:
    random, passed = np.random.default_rng(5), 0
    for _ in range(RUNS):
        _, kept, clusters = pairs(random, np.full(num_clusters, size), rate, 0.0, alike)
        passed += rate_ceiling(1.0 - kept, clusters, alpha=0.05) < rate
    print(f"false passes, {num_clusters} clusters of {size}, alike {alike}, rate {rate}: {passed / RUNS:.2%}")
    assert passed / RUNS <= MOST


@pytest.mark.slow
def test_a_gain_of_ten_points_on_200_tickets_keeps_its_margins() -> None:
    """30 % change, two thirds of them for the better; whole and by two halves of 50 clusters each."""
    random, passed = np.random.default_rng(6), 0
    criteria = Criteria(gains={}, margins={"success": 0.05}, slices={"kind": 0.1})
    for _ in range(RUNS):
        found = pairs(random, np.full(100, 2), 0.1, 0.2, 0.2)
        passed += judge(record(*found, np.arange(200) // 100), criteria, resamples=1000).passed
    print(f"passes at +10 points with margins alone: {passed / RUNS:.2%}")
    assert passed / RUNS >= 0.8
