"""The gate: each refusal, each criterion, how often it errs and how often it sees, and its evidence."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stateset.rl.errors import ConfigError, DataError, GateError
from stateset.rl.evaluation.criteria import Criteria, load_criteria, make_criteria
from stateset.rl.evaluation.evidence import evidence, made_here, replay
from stateset.rl.evaluation.judge_correction import JudgeErrors
from stateset.rl.evaluation.paired import rate_ceiling
from stateset.rl.evaluation.record import (
    Record,
    Row,
    Seconds,
    changed_files,
    hash_files,
    read_record,
    record_json,
)
from stateset.rl.evaluation.statistics import paired_difference
from stateset.rl.evaluation.verdict import judge

LONG = bool(os.environ.get("STATESET_LONG"))
RUNS = 2000 if LONG else 300
ROOT = Path(__file__).parents[1]


def record(before: Any, after: Any, clusters: Any = None, **more: Any) -> Record:
    """Pairs of success, each row a cluster and alternately of the situations a and b."""
    names = range(len(before)) if clusters is None else clusters
    rows = tuple(
        Row(
            task_id=f"t{i}", cluster=str(cluster), slices={"situation": "ab"[i % 2]},
            before={"success": float(first), "pii": 0.0, "quality": 0.5},
            after={"success": float(second), "pii": 0.0, "quality": 0.5},
        )
        for i, (first, second, cluster) in enumerate(zip(before, after, names, strict=True))
    )  # fmt: skip
    facts: dict[str, Any] = {"baseline": "base", "trained": "new", "definitions": {}, "training_rows": 900}
    return Record(rows=rows, **(facts | more))


BETTER = ([0.0] * 60 + [1.0] * 60, [1.0] * 30 + [0.0] * 30 + [1.0] * 60)  # 30 of 120 gained, none lost


def test_a_gain_passes_and_says_by_how_much() -> None:
    verdict = judge(record(*BETTER), Criteria())
    assert verdict
    assert verdict.reasons == ()
    [check] = verdict.checks
    bound = paired_difference(*BETTER, confidence=0.9).low
    assert (check.estimate, check.bound) == (0.25, round(bound, 9))
    assert check.said.startswith("gain of success: +0.250, surely above +0.1")


def test_the_ends_of_intervals_count_not_the_estimates() -> None:
    bound = paired_difference(*BETTER, confidence=0.9).low
    assert judge(record(*BETTER), Criteria(gains={"success": bound - 0.001}))
    verdict = judge(record(*BETTER), Criteria(gains={"success": bound + 0.001}))
    assert not verdict
    assert "not shown to be exceeded" in verdict.reasons[0]
    same = record(BETTER[0], BETTER[0])
    assert not judge(same, Criteria())  # a gain of 0 that is certain is still no gain
    assert judge(same, Criteria(gains={}, margins={"success": 0.03}))
    worse = record(BETTER[1], BETTER[0])
    assert not judge(worse, Criteria(gains={}, margins={"success": 0.2}))
    assert judge(worse, Criteria(gains={}, margins={"success": 0.4}))


def test_a_judge_sees_a_loss_smaller_than_it_is() -> None:
    """It sees 6 of 120 lost, 0.05; with TPR 0.75 and TNR 0.75 that is 0.05 / 0.5 = 0.1 in truth."""
    worse = ([1.0] * 60 + [0.0] * 60, [1.0] * 54 + [0.0] * 66)
    criteria = Criteria(gains={}, margins={"success": 0.12})
    assert judge(record(*worse), criteria)
    errors = JudgeErrors(tpr=0.75, num_right=900, tnr=0.75, num_wrong=900)
    verdict = judge(record(*worse, judge_errors=errors), criteria)
    assert not verdict
    assert verdict.checks[0].estimate == pytest.approx(-0.1)
    with_it = record(*worse, judge_errors=errors)
    assert read_record(record_json(with_it), "again") == with_it


def test_every_criterion_must_pass() -> None:
    strict = Criteria(gains={"success": 0.0}, margins={"quality": 0.03}, rates={"pii": 0.02})
    verdict = judge(record(*BETTER), strict)
    assert not verdict
    [reason] = verdict.reasons
    assert "none was seen, which takes 149 clusters" in reason  # 120 rows show 2.5 %
    assert judge(record(*BETTER), strict.model_copy(update={"rates": {"pii": 0.03}}))
    assert verdict.checks[2].bound == pytest.approx(rate_ceiling([0] * 120, alpha=0.05))


def test_a_slice_that_fell_is_seen_under_a_gain_of_the_whole() -> None:
    """Even rows (a) fall by 12 of 100, odd rows (b) rise by 60 of 100."""
    before, after = np.zeros(200), np.zeros(200)
    before[0:24:2] = 1
    after[1:120:2] = 1
    verdict = judge(record(before, after), Criteria(slices={"situation": None}))
    assert not verdict
    assert ["a" in reason for reason in verdict.reasons] == [True]
    assert verdict.reasons[0].startswith("success where situation is a: -0.120, p of a fall 0.00")
    margin = judge(record(before, after), Criteria(slices={"situation": 0.05}))
    assert "loss of success where situation is a: -0.120" in margin.reasons[0]
    assert judge(record(before, after), Criteria(slices={"situation": 0.25}))


@pytest.mark.parametrize(
    ("more", "criteria", "reason"),
    [
        ({"seconds": Seconds(before=(1.0,) * 20, after=(2.5,) * 20)}, {"most_seconds": 2.0},
         "2.500 as measured; the limit is 2"),
        ({"seconds": Seconds(before=(1.0,) * 20, after=(2.5,) * 20)}, {"most_slowdown": 1.5}, "slowdown"),
        ({}, {"most_seconds": 2.0}, "not measured"),
        (
            {"probes": {"sum": (True, False), "list": (False, False)}},
            {"most_forgotten": 0},
            r"1 of 1 that were right \(sum\)",
        ),
        ({"probes": {"list": (False, True)}}, {"most_forgotten": 0}, "right on none of 1, so none could"),
        ({}, {"most_forgotten": 0}, "none were asked"),
        ({"secrets": 4, "said": ("secret 2",)}, {}, "secret 2 of 4"),
    ],
)  # fmt: skip
def test_latency_probes_and_secrets(more: dict[str, Any], criteria: dict[str, Any], reason: str) -> None:
    verdict = judge(record(*BETTER, **more), Criteria(**criteria))
    assert not verdict
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(verdict.reasons[0])


def test_what_is_kept_passes() -> None:
    more = {
        "seconds": Seconds(before=(1.0,) * 20, after=(1.1,) * 20),
        "probes": {"sum": (True, True)}, "secrets": 3,
    }  # fmt: skip
    assert judge(record(*BETTER, **more), Criteria(most_seconds=2.0, most_slowdown=1.2, most_forgotten=0))


def nan_row(found: Record) -> Record:
    first = found.rows[0].model_copy(update={"after": {"success": None}})
    return found.model_copy(update={"rows": (first, *found.rows[1:])})


REFUSED: list[tuple[Callable[[], Record], dict[str, Any], str]] = [
    (lambda: nan_row(record(*BETTER)), {}, "success is not a number for 1 of 120 rows (t0)"),
    (lambda: record([0] * 60, [1] * 60), {}, "60 rows, fewer than min_rows 100"),
    (lambda: record(*BETTER, [i % 40 for i in range(120)]), {}, "40 clusters, fewer than min_clusters 50"),
    (lambda: record(*BETTER, training_rows=None), {}, "nobody looked"),
    (lambda: record(*BETTER, training_rows=0), {}, "nobody looked"),
    (lambda: record(*BETTER, overlap=("t3", "t4")), {}, "2 of 120 test rows have a prompt of the training"),
    (lambda: record(*BETTER, alike=("t3",)), {}, "1 of 120 test rows nearly say what a training row says"),
    (
        lambda: record(*BETTER),
        {"changed": ["model.safetensors"]},
        "not what was evaluated (model.safetensors",
    ),
    (lambda: record(*BETTER, sandboxes=("unsafe-local: a plain process",)), {}, "without a sandbox"),
    (lambda: record(*BETTER, judges={"gpt": "no calibration"}), {}, "the judge gpt is not fit"),
]


@pytest.mark.parametrize(("make", "given", "reason"), REFUSED)
def test_what_is_no_evidence_is_refused_though_its_numbers_are_good(make, given, reason) -> None:
    verdict = judge(make(), Criteria(), **given)
    assert not verdict
    assert verdict.checks == ()
    assert len(verdict.reasons) == 1
    assert reason in verdict.reasons[0]


def test_rows_without_a_slice_are_named_where_slices_are_asked() -> None:
    """Rows 60 to 119 gained nothing and have no situation: they could fall unseen."""
    found = record(*BETTER)
    rows = [row.model_copy(update={"slices": {}} if i >= 60 else {}) for i, row in enumerate(found.rows)]
    half = found.model_copy(update={"rows": tuple(rows)})
    assert judge(half, Criteria())
    [reason] = judge(half, Criteria(slices={"situation": 0.1})).reasons
    assert reason.startswith("60 of 120 rows have no `situation` (t60, t61, t62 and 57 more)")


def turned(before: float, after: float, metric: str) -> Record:
    """Success rises everywhere; each second row has the metric as given, the others have 0."""
    found = record([0.0] * 120, [1.0] * 120)
    return found.model_copy(update={"rows": tuple(
        row.model_copy(update={
            "before": row.before | {metric: before * (i % 2)}, "after": row.after | {metric: after * (i % 2)},
        })
        for i, row in enumerate(found.rows)
    )})  # fmt: skip


@pytest.mark.parametrize(("metric", "much"), [("policy_violation", 1.0), ("pii", 1.0), ("words", 90.0)])
def test_of_some_metrics_less_is_better(metric: str, much: float) -> None:
    margin, gain = Criteria(margins={metric: 0.05 * much}), Criteria(gains={metric: 0.3 * much})
    worse, better = turned(0.0, much, metric), turned(much, 0.0, metric)
    verdict = judge(worse, margin)
    assert f"loss of {metric} (less is better: + is a fall): -{much / 2:.3f}" in verdict.reasons[0]
    assert not judge(worse, gain)
    assert judge(better, margin)
    assert judge(better, gain).checks[0].estimate == much / 2


def test_a_gain_of_every_row_is_no_more_than_its_clusters_show() -> None:
    """50 clusters show a gain above 0.884 (1 - 2 (1 - 0.05^(1/50))), two none, five one above 0.09."""
    every = record([0] * 50, [1] * 50)
    low = {"min_rows": 2, "min_clusters": 2}
    assert judge(every, Criteria(gains={"success": 0.88}, **low))
    verdict = judge(every, Criteria(gains={"success": 0.89}, **low))
    assert "surely above +0.884; +0.89 is not shown to be exceeded" in verdict.reasons[0]
    assert not judge(record([0, 0], [1, 1]), Criteria(**low))
    assert judge(record([0] * 5, [1] * 5), Criteria(gains={"success": 0.09}, **low))


def test_a_nan_counts_only_in_metrics_that_are_looked_at() -> None:
    found = record(*BETTER)
    rows = [row.model_copy(update={"after": row.after | {"quality": None}}) for row in found.rows]
    holes = found.model_copy(update={"rows": tuple(rows)})
    assert judge(holes, Criteria())
    assert "quality" in judge(holes, Criteria(margins={"quality": 0.1})).reasons[0]
    assert Row(task_id="a", cluster="b", slices={}, before={"x": math.nan}, after={}).before == {"x": None}


def test_a_fit_judge_and_a_whole_sandbox_are_no_reason() -> None:
    assert judge(record(*BETTER, judges={"gpt": ""}, sandboxes=("linux: fork, seccomp",)), Criteria())


def test_where_other_numbers_are_another_task_the_criteria_say_so() -> None:
    assert judge(record(*BETTER, alike=("t3",)), Criteria(near_duplicates=True))
    assert not judge(record(*BETTER, overlap=("t3",)), Criteria(near_duplicates=True))


def test_criteria_name_what_there_is() -> None:
    with pytest.raises(ConfigError, match="no metric `sucess`; it has: success, pii, quality"):
        judge(record(*BETTER), Criteria(gains={"sucess": 0.0}))
    with pytest.raises(ConfigError, match="no slices by `shop`; it has: situation"):
        judge(record(*BETTER), Criteria(slices={"shop": None}))


def test_the_example_file_is_read(write: Callable[..., Path]) -> None:
    found = load_criteria(ROOT / "examples" / "criteria.yaml")
    assert found.gains == {"success": 0.0}
    assert found.slices == {"difficulty": 0.15}
    assert load_criteria(write("margins:\n  quality: 0.02\ngains:\n")) == Criteria(
        gains={}, margins={"quality": 0.02}
    )
    assert make_criteria(None) == Criteria()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gain:\n  success: 0", "run.yaml:2: unknown key `gain`. Did you mean `gains`?"),
        ("alpha: 0.9", "run.yaml:1: `alpha` is 0.9: it must be less than 0.5"),
        ("gains:\n  success: much", "run.yaml:2: `gains.success` is 'much'"),
        ("gains:\n  success: .nan", "run.yaml:2: `gains.success` is nan"),
        ("rates:\n  pii: 0", "run.yaml:2: `rates.pii` is 0: it must be greater than 0"),
        ("margins:\n  success: -0.1", "greater than or equal to 0"),
        ("gains:\nmin_rows: 5", "name a gain, a margin or a slice"),
        ("min_rows: 1.5", "`min_rows` is 1.5"),
    ],
)
def test_a_wrong_criterion_says_where(write: Callable[..., Path], text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_criteria(write(text))
    assert message in str(error.value)
    with pytest.raises(ConfigError, match="unknown key `gain`"):
        make_criteria({"gain": {}})


def no_change(
    random: np.random.Generator, effect: float, num_clusters: int = 100, size: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """200 tickets, two a customer; 30 % change, by a latent score that a customer's tickets share in part.

    Of the changed ones (0.3 + effect) / 0.6 get better: the true difference is `effect`.
    """
    clusters = np.repeat(np.arange(num_clusters), size)
    shared = random.normal(size=num_clusters)[clusters]
    changed = random.random(len(clusters)) < 0.3
    latent = math.sqrt(0.2) * shared + math.sqrt(0.8) * random.normal(size=len(clusters))
    better = latent < float(np.quantile(STANDARD, (0.3 + effect) / 0.6))
    before = np.where(changed, ~better, random.random(len(clusters)) < 0.6)
    return before, np.where(changed, better, before), clusters


STANDARD = np.random.default_rng(0).normal(size=1_000_000)


def share_passed(effect: float, criteria: Criteria, seed: int) -> float:
    random, passed = np.random.default_rng(seed), 0
    for _ in range(RUNS):
        passed += judge(record(*no_change(random, effect)), criteria, resamples=2000).passed
    return passed / RUNS


WHOLE = Criteria(margins={"quality": 0.05}, slices={"situation": None}, rates={"pii": 0.05})


@pytest.mark.slow
@pytest.mark.parametrize(("least", "effect"), [(0.0, 0.0), (0.05, 0.05)])
def test_a_model_that_is_no_better_than_asked_rarely_passes(least: float, effect: float) -> None:
    """2,000 comparisons under STATESET_LONG=1: at most alpha and 2.33 of its standard errors, 6.1 %."""
    share = share_passed(effect, Criteria(gains={"success": least}), seed=1)
    print(f"false passes at a true gain of {effect} against {least}: {share:.2%} of {RUNS}")
    assert share <= 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.slow
@pytest.mark.parametrize(("gained", "num_clusters"), [(0.95, 50), (0.9, 100), (0.6, 50), (0.5, 60)])
def test_a_large_gain_that_is_no_larger_than_asked_rarely_passes(gained: float, num_clusters: int) -> None:
    """Clusters of two rows gain as a whole."""
    random, passed = np.random.default_rng(7), 0
    for _ in range(RUNS):
        after = np.repeat(random.random(num_clusters) < gained, 2)
        found = record(np.zeros(2 * num_clusters), after, np.arange(2 * num_clusters) // 2)
        passed += judge(found, Criteria(gains={"success": gained}), resamples=2000).passed
    print(f"false passes at a gain of {gained} in {num_clusters} clusters: {passed / RUNS:.2%} of {RUNS}")
    assert passed / RUNS <= 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.slow
def test_more_criteria_make_false_passes_no_more_frequent() -> None:
    share = share_passed(0.0, WHOLE, seed=2)
    print(f"false passes with four criteria: {share:.2%} of {RUNS}")
    assert share <= 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("criteria", [Criteria(), WHOLE], ids=["gain alone", "four criteria"])
def test_ten_points_more_on_200_tickets_pass(criteria: Criteria) -> None:
    share = share_passed(0.1, criteria, seed=3)
    print(f"passes at +10 points on 200 tickets: {share:.2%} of {RUNS}")
    assert share >= 0.8


def evidence_of(found: Record, criteria: Criteria, changed: tuple[str, ...] = ()) -> str:
    return evidence(found, criteria, changed, judge(found, criteria, changed), made_here())


@pytest.mark.parametrize("changed", [(), ("gone.jsonl",)])
def test_evidence_replays_byte_for_byte(changed: tuple[str, ...]) -> None:
    criteria = Criteria(slices={"situation": None}, rates={"pii": 0.03}, most_seconds=3.0)
    text = evidence_of(record(*BETTER, seed=7), criteria, changed)
    assert replay(text, "evidence.json").passed is json.loads(text)["verdict"]["passed"]
    assert evidence_of(record(*BETTER, seed=7), criteria, changed) == text


def test_edited_evidence_is_found_out() -> None:
    text = evidence_of(record(*BETTER), Criteria(gains={"success": 0.4}))
    with pytest.raises(GateError, match="does not follow from its own numbers, first in line"):
        replay(text.replace('"passed": false', '"passed": true'), "e.json")
    with pytest.raises(GateError, match="does not follow"):
        replay(text.replace('"success": 1.0', '"success": 0.0', 1), "e.json")
    with pytest.raises(DataError, match="no JSON"):
        replay("{", "e.json")
    with pytest.raises(DataError, match="no evidence"):
        replay("{}", "e.json")
    for earlier in (1, 2):
        with pytest.raises(DataError, match=f"other rules .stateset-rl gate {earlier}.: evaluate again"):
            replay(f'{{"format": "stateset-rl gate {earlier}"}}', "e.json")


def test_a_record_survives_its_file_and_a_damaged_one_says_where() -> None:
    found = nan_row(
        record(*BETTER, seconds=Seconds(before=(1.5,), after=(0.1 + 0.2,)), probes={"a": (True, False)})
    )
    assert read_record(record_json(found), "r.json") == found
    with pytest.raises(DataError, match=r"r.json is no evaluation: rows.3.cluster"):
        read_record(record_json(found).replace('"cluster": "3"', '"cluster": 3'), "r.json")
    with pytest.raises(DataError, match=r"r.json is an evaluation of an earlier version.*: evaluate again"):
        read_record(record_json(found).replace("evaluation 2", "evaluation 1"), "r.json")


def test_files_that_changed_or_went_are_named(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1")
    (tmp_path / "rows.jsonl").write_text("a")
    known = hash_files([tmp_path / "model", tmp_path / "rows.jsonl", tmp_path / "none"])
    assert len(known) == 2
    assert changed_files(known) == []
    (tmp_path / "model" / "weights").write_bytes(b"2")
    assert changed_files(known) == [str(tmp_path / "model")]
    (tmp_path / "rows.jsonl").unlink()
    assert changed_files(known) == [str(tmp_path / "model"), str(tmp_path / "rows.jsonl")]
