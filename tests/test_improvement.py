"""Two models on the same tasks: the four deltas, what stands beside them, and the way to the gate."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import write_model
from test_cli import call

from stateset.rl import GRPOTrainer, RewardFunction, evaluate, evaluate_models, load_model
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.improvement import Improvement, Pair
from stateset.rl.evaluation.improvement_page import improvement_page
from stateset.rl.evaluation.improvement_plots import forest
from stateset.rl.evaluation.improvement_report import _named, improvement_markdown, summary
from stateset.rl.evaluation.judge_correction import JudgeErrors
from stateset.rl.evaluation.metrics import answer_values, foreign_personal_data
from stateset.rl.evaluation.models import _cluster_by, _clusters
from stateset.rl.evaluation.paired import Tally
from stateset.rl.evaluation.record import Record, Row, Seconds, read_record, record_json
from stateset.rl.rollout.model import Model
from stateset.rl.types import Task

ROWS = [
    {"prompt": f"Where is parcel {i}?", "id": f"t{i}", "customer": f"c{i // 2}", "situation": "ab"[i % 2]}
    for i in range(8)
]
SHORT = {"max_new_tokens": 6}


def has_vowel(question: str, answer: str) -> bool:
    return bool(set("aeiou") & set(answer))


class Vowels(RewardFunction):
    bounds = (0.0, 1.0)

    def compute(self, prompt: str, response: str, context: Any) -> float | None:
        return None if context.get("silent") else float(has_vowel(prompt, response))


class Boundless(RewardFunction):
    def compute(self, prompt: str, response: str, context: Any) -> float:
        return 0.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    folder = tmp_path_factory.mktemp("two")
    first, second = (load_model(str(write_model(folder / name, seed=s))) for s, name in enumerate(("a", "b")))
    return first, second


def improvement(changes: Sequence[tuple[float | None, float | None]], **more: Any) -> Improvement:
    """Success before and after (None: unjudged); two rows a customer; quality falls by a hundredth a row."""
    rows = tuple(
        Row(
            task_id=f"t{i}", cluster=f"c{i // 2}", slices={"situation": "ab"[i % 2]},
            before={"success": before, "satisfaction": 0.5, "quality": 0.5, "efficiency": 1.0},
            after={"success": after, "satisfaction": 0.75, "quality": 0.5 - i / 100, "efficiency": 0.5},
        )
        for i, (before, after) in enumerate(changes)
    )  # fmt: skip
    record = Record(baseline="base", trained="new", rows=rows, definitions={"success": "Right."}, **more)
    answers = tuple(
        Pair(task_id=row.task_id, prompt="| <b>?", before="# no", after=f"yes {row.task_id}") for row in rows
    )
    return Improvement(record, answers)


def test_the_deltas_are_means_of_paired_differences() -> None:
    found = improvement([(0, 1), (0, 1), (1, 1), (1, 0), (0, 1), (0, 0)])
    assert found.success_delta == pytest.approx(2 / 6)
    assert found.satisfaction_delta == pytest.approx(0.25)
    assert found.quality_delta == pytest.approx(-(0 + 1 + 2 + 3 + 4 + 5) / 600)
    assert found.efficiency_delta == pytest.approx(-0.5)
    change = found.difference("success")
    assert change.low < change.mean < change.high
    assert (change.num_rows, change.num_clusters) == (6, 3)
    assert f"Task Success: +{found.success_delta:.1%}" == "Task Success: +33.3%"
    tally = found.tally
    assert (tally.wins, tally.ties, tally.losses) == (3, 2, 1)
    assert found.mcnemar.p_value == pytest.approx(0.625)  # 3 of 4, two-sided: 10/16
    with pytest.raises(ConfigError, match="no metric `kindness`"):
        found.difference("kindness")


def test_slices_are_tested_together_and_the_worst_is_read_first() -> None:
    found = improvement([(0, 1), (1, 0), (0, 1), (1, 1), (0, 1), (1, 0)])
    a, b = found.slices("situation")
    assert (a.value, a.num_rows, a.before, a.after) == ("a", 3, 0.0, 1.0)
    assert (b.before, b.after) == (1.0, pytest.approx(1 / 3))
    assert a.p_value == pytest.approx(0.5)  # three swaps, all gained: 2/8; the smaller of two, by Holm
    assert b.p_value == pytest.approx(0.5)  # two lost, one the same: 4/8
    assert [pair.task_id for pair in found.regressions()] == ["t5", "t1"]  # equal in success, so by quality
    assert len(found.regressions(1)) == 1


def test_tasks_that_nobody_could_judge_count_nowhere_and_the_report_says_how_many() -> None:
    """Of t0 to t7, t6 has no success before and t7 none after: they would be one gained and one lost."""
    found = improvement([(0, 1), (1, 1), (1, 0), (0, 1), (1, 1), (0, 1), (None, 1), (1, None)])
    assert found.num_unjudged == 2
    assert found.tally == Tally(wins=3, ties=2, losses=1)
    assert (found.mcnemar.gained, found.mcnemar.lost) == (3, 1)
    assert [found.level("success", after=side).mean for side in (False, True)] == [3 / 6, 5 / 6]
    assert found.success_delta == pytest.approx(2 / 6)
    assert [pair.task_id for pair in found.regressions()] == ["t2"]
    assert [(one.num_rows, one.num_clusters) for one in found.slices("situation")] == [(3, 3), (3, 3)]
    told = "\n".join(summary(found))
    assert "to 2 of 8 tasks: they are left out of success, wins, tests and slices" in told
    page = improvement_page(found)
    assert page.count("<details open") == 4
    assert page.index(">t5,") < page.index(">t6,") < page.index(">t7,"), "worse, better, then the rest"
    assert "nobody could judge" not in "\n".join(summary(improvement([(0, 1)] * 8)))


def test_a_slice_that_is_hardly_judged_or_not_at_all_spoils_no_report() -> None:
    """Only b has tasks enough: of a, one of three is judged; c has none."""
    found = improvement([(None, 1), (0, 1), (1, None), (1, 0), (1, 1), (0, 1), (None, None)])
    rows = list(found.record.rows)
    rows[6] = rows[6].model_copy(update={"slices": {"situation": "c"}})
    found = Improvement(found.record.model_copy(update={"rows": tuple(rows)}), found.answers)
    a, b = found.slices("situation")
    assert (a.value, a.num_rows, a.num_clusters, b.num_rows) == ("a", 1, 1, 3)
    assert "| a | 1 | 1 | 100.0% | 100.0% | +0.0 | one cluster |" in improvement_markdown(found)
    assert "nan" not in improvement_markdown(found) + improvement_page(found)


def test_of_several_answers_more_right_ones_are_better() -> None:
    """Two of four right before, three after: better, though neither is all right; 6 of 6 is 2/64."""
    found = improvement([(0.5, 0.75)] * 6)
    assert found.tally.wins == found.mcnemar.gained == 6
    assert found.mcnemar.p_value == pytest.approx(2 / 64)


def test_what_cannot_be_told_is_not_a_number() -> None:
    told = "\n".join(summary(improvement([(0, 1)] * 8)))
    assert "it cannot be told how large a change such a test would show" in told
    assert "0.0 points" not in told


def test_pictures_of_few_clusters_say_so() -> None:
    page = improvement_page(improvement([(0, 1), (1, 1), (1, 0), (0, 0)]))
    assert page.count("All have fewer than 50 clusters (the fewest 2)") == 2
    change = improvement([(i % 2, 1) for i in range(120)]).difference("success")
    assert "fewer than 50" not in forest("t", [("many", change)]).reading
    mixed = forest("t", [("many", change), ("alone", 0.5)]).reading
    assert "1 of 2 have fewer than 50 clusters (the fewest 1)" in mixed


@pytest.mark.parametrize(
    ("given", "clusters", "told"),
    [
        ([{"template": f"t{i % 20}"} for i in range(199)] + [{}], 21,
         "200 tasks in 21 clusters by template (1 tasks have none and go by prompt)"),
        ([{}] * 200, 200, "200 tasks in 200 clusters of equal prompts (no task names a template"),
        ([{"template": f"t{i}"} if i < 3 else {"customer": f"c{i % 50}"} for i in range(200)], 53,
         "clusters by customer (3 tasks have none"),
        ([{"template": "t", "prompt": "Same  again"}] + [{"prompt": "same again"}] * 149, 1,
         "150 tasks in 1 clusters by template (149 tasks"),
        ([{"customer": f"c{i}", "prompt": "same again"} for i in range(150)], 1, "1 clusters by customer;"),
    ],
)  # fmt: skip
def test_clusters_say_what_they_are_and_equal_prompts_are_one(
    given: list[dict[str, str]], clusters: int, told: str
) -> None:
    tasks = [
        Task(id=f"r{i}", prompt=row.get("prompt", f"Where is parcel {i}?"), context=row)
        for i, row in enumerate(given)
    ]
    column = _cluster_by(tasks)
    names = _clusters(tasks, column)
    assert len(set(names)) == clusters
    rows = [Row(task_id=t.id, cluster=n, slices={}, before={"success": 0}, after={"success": i % 2})
            for i, (t, n) in enumerate(zip(tasks, names, strict=True))]  # fmt: skip
    lacking = sum(column not in row for row in given)
    record = Record(baseline="a", trained="b", rows=tuple(rows), definitions={}, cluster_by=column,
                    unclustered=lacking)  # fmt: skip
    said = f"{len(rows)} tasks in {clusters} clusters{_named(record)};"
    assert told in said
    assert read_record(record_json(record), "again") == record


def test_the_page_says_what_speaks_against_the_numbers() -> None:
    found = improvement([(0, 1)] * 8, overlap=("t1",), training_rows=9)
    told = "\n".join(summary(found))
    assert "8 tasks in 4 clusters" in told
    assert "below 50 the intervals are not vouched for" in told
    assert "1 of the tasks were trained on" in told
    assert "nobody looked" in "\n".join(summary(improvement([(0, 1)] * 8)))
    page = improvement_markdown(improvement([(1, 0)] * 4))
    assert "**What got worse** (the worst 4 of 4 tasks)" in page
    assert "> | &lt;b>?" in page
    assert "\n# no" not in page
    assert "No task got worse." in improvement_markdown(improvement([(0, 1), (0, 1), (1, 1), (0, 0)]))


def test_success_is_corrected_for_the_errors_of_its_judge() -> None:
    """It passes 2 and 5 of 8: (0.25 - 0.2) / 0.6 = 1/12 and (0.625 - 0.2) / 0.6 = 17/24 in truth."""
    judge = JudgeErrors(tpr=0.8, num_right=100, tnr=0.8, num_wrong=50)
    changes = [(0, 1), (0, 1), (0, 1), (1, 1), (0, 0), (0, 0), (1, 1), (0, 0)]
    found = improvement(changes, judge_errors=judge)
    assert found.success_delta == pytest.approx(0.375 / 0.6)
    levels = [found.level("success", after=after).mean for after in (False, True)]
    assert levels == [pytest.approx(1 / 12), pytest.approx(17 / 24)]
    assert found.satisfaction_delta == pytest.approx(0.25)
    assert "passes 80% of 100 right answers and refuses 80% of 50" in "\n".join(summary(found))
    assert "passed 25.0% before and 62.5% after" in "\n".join(summary(found))
    plain = improvement(changes)
    width, wider = (one.success_delta - one.difference("success").low for one in (plain, found))
    assert wider > width


def test_the_same_model_twice_differs_in_nothing(models: tuple[Model, Model]) -> None:
    first, _ = models
    found = evaluate_models(first, first, ROWS, success=has_vowel, samples=4, **SHORT)
    assert all(row.before == row.after for row in found.record.rows)
    assert found.record.metrics[-4:] == ["pass@4", "pass^4", "pass@2", "pass^2"]
    row = found.record.rows[0]
    assert row.cluster == "c0"
    assert (found.record.cluster_by, found.record.unclustered) == ("customer", 0)
    with pytest.raises(ConfigError, match=r"unknown key `gain`\. Did you mean `gains`"):
        found.meets_criteria({"gain": {"success": 0.0}})
    assert set(row.slices) == {"situation", "length"}
    assert not found.meets_criteria()


def test_values_are_those_of_the_answers(models: tuple[Model, Model]) -> None:
    found = evaluate_models(
        *models, ROWS, success=has_vowel, training_data=[{"prompt": "where  IS parcel 3 ..."}], **SHORT
    )
    for pair, row, task in zip(found.answers, found.record.rows, ROWS, strict=True):
        assert pair.prompt == task["prompt"]
        expected = answer_values(Task(id="x", prompt=pair.prompt), pair.after)
        assert row.after == {"success": float(has_vowel("", pair.after)), **expected}
    assert any(pair.before != pair.after for pair in found.answers)
    assert (found.record.training_rows, found.record.overlap) == (1, ("t3",))
    assert "trained on" not in str(found.meets_criteria({"min_rows": 2, "min_clusters": 2}).checks)
    assert any("have a prompt of the training rows" in r for r in found.meets_criteria().reasons)


def test_a_reward_says_what_is_right_and_an_unscored_answer_closes_the_gate(
    models: tuple[Model, Model],
) -> None:
    by_reward = evaluate_models(*models, ROWS, success=Vowels(), **SHORT)
    by_verifier = evaluate_models(*models, ROWS, success=has_vowel, **SHORT)
    assert by_reward.record.column("success", "after") == by_verifier.record.column("success", "after")
    assert "above 0.5" in by_reward.record.definitions["success"]
    assert by_reward.record.column("reward", "after") == by_reward.record.column("success", "after")
    assert "Reward and length" in improvement_page(by_reward)
    assert "reward" not in by_verifier.record.metrics
    assert "Quality and length" in improvement_page(by_verifier)
    silent = [row | {"silent": i == 2} for i, row in enumerate(ROWS)]
    found = evaluate_models(*models, silent, success=Vowels(), **SHORT)
    assert found.record.rows[2].after["success"] is None
    assert "success is not a number for 1 of 8 rows (t2)" in found.meets_criteria().reasons[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing says which answers to these rows are right"),
        ({"success": Boundless()}, "names no bounds"),
        ({"success": has_vowel, "samples": 0}, "samples is 0"),
        ({"success": lambda a: True}, "question"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    models: tuple[Model, Model], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate_models(*models, ROWS, **options)


def test_seconds_are_measured_one_prompt_at_a_time(models: tuple[Model, Model]) -> None:
    found = evaluate_models(*models, ROWS, success=has_vowel, latency=2, **SHORT)
    assert len(found.record.seconds.before) == len(found.record.seconds.after) == 2
    assert all(second > 0 for second in found.record.seconds.after)
    assert "one at a time, 2 of each: before 0." in "\n".join(summary(found))
    record = found.record.model_copy(update={"seconds": Seconds(before=(1.0, 3.0), after=(2.0, 2.0))})
    told = "\n".join(summary(Improvement(record, found.answers)))
    assert "before 2.00 in the middle, 2.90 at the 95th percentile; after 2.00 in the middle, 2.00" in told


def test_the_command_takes_a_marked_verifier(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["before", "after", "--data", "test.jsonl", "--max-new-tokens", "4"]
    done = call(capsys, "compare", *rows, "-o", "out", "--success", "judges:has_vowel")
    assert done.code == 0, done.err
    record = read_record((project / "out" / "evaluation.json").read_text(), "out")
    assert "Who says so: the verifier has_vowel." in record.definitions["success"]
    refused = call(capsys, "compare", *rows, "-o", "no", "--success", "judges:unmarked")
    assert refused.code == 2
    assert "neither a RewardFunction nor marked with @reward or @verifier" in refused.err
    assert "there are: has_vowel, vowels" in refused.err


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with rows and a verifier, and two models in it; the working directory."""
    for name, seed in (("before", 0), ("after", 1)):
        write_model(tmp_path / name, seed=seed)
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name in ("train", "imitated"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"prompt": f"something to {name}"}) + "\n")
    (tmp_path / "judges.py").write_text(
        "from stateset.rl import reward, verifier\n\n\n@reward\ndef vowels(response: str) -> float:\n"
        "    return float(bool(set('aeiou') & set(response)))\n\n\nvowels.bounds = (0.0, 1.0)\n\n\n"
        "@verifier\ndef has_vowel(question: str, answer: str) -> bool:\n"
        "    return bool(set('aeiou') & set(answer))\n\n\ndef unmarked(question, answer):\n    return True\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_shows_intervals_and_answers_side_by_side_and_runs_nothing() -> None:
    found = improvement([(0, 1), (1, 1), (1, 0), (0, 0)])
    text = improvement_page(found)
    assert "<b>" not in text
    assert text.count("<details") == 4
    assert text.count("<details open") == 2
    assert text.index(">t2,") < text.index(">t0,") < text.index(">t1,"), "worse, better, the same"
    assert "b: 0.000 [-1" not in text
    assert "<title>success: +0.000 [-0.500, +0.500]</title>" in text
    assert "script" not in text.replace("default-src", "")
    assert improvement_page(found) == text


def test_a_slice_of_one_cluster_has_no_whisker() -> None:
    picture = forest("t", [("alone", 0.5)])
    assert "whisker" not in picture.svg
    assert "alone: +0.500" in picture.svg


COMPARE = (
    "compare", "before", "after", "--data", "test.jsonl", "--training-data", "train.jsonl",
    "--training-data", "imitated.jsonl",
    "--success", "judges:vowels", "-o", "found", "--max-new-tokens", "6",
)  # fmt: skip


def test_from_two_models_to_the_gate_on_the_command_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(capsys, *COMPARE)
    assert done.code == 0, done.err
    assert "8 tasks in 4 clusters" in done.out
    assert {file.name for file in (project / "found").iterdir()} == {
        "evaluation.json", "answers.jsonl", "report.md", "report.html",
    }  # fmt: skip
    record = read_record((project / "found" / "evaluation.json").read_text(), "it")
    assert sorted(Path(name).name for name in record.files) == [
        "after", "before", "imitated.jsonl", "test.jsonl", "train.jsonl",
    ]  # fmt: skip
    assert record.training_rows == 2

    over = call(capsys, "gate", "found", "--out", "found/evaluation.json")
    assert (over.code, "this command reads it" in over.err) == (2, True)
    closed = call(capsys, "gate", "found", "--out", "evidence.json")
    assert closed.code == 3
    assert "fewer than min_rows 100" in closed.err
    (project / "criteria.yaml").write_text(
        "min_rows: 2\nmin_clusters: 2\ngains: {}\nmargins: {success: 1.0}\n"
    )
    judged = call(capsys, "gate", "found", "--criteria", "criteria.yaml", "--out", "open.json", "--json")
    assert json.loads(judged.out)["passed"] is (judged.code == 0)
    for file, code in (("evidence.json", 3), ("open.json", judged.code)):
        assert call(capsys, "gate", file, "--replay").code == code
    edited = (project / "open.json").read_text().replace('"estimate": ', '"estimate": 1')
    (project / "open.json").write_text(edited)
    assert "does not follow from its own numbers" in call(capsys, "gate", "open.json", "--replay").err

    (project / "test.jsonl").write_text("\n")
    changed = call(capsys, "gate", "found", "--criteria", "criteria.yaml")
    assert changed.code == 3
    assert "1 files are not what was evaluated" in changed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gate", "nowhere"), "stateset-rl compare"),
        (("gate", "test.jsonl"), "is no evaluation"),
        (("gate", "test.jsonl", "--replay", "--criteria", "x.yaml"), "drop the other options"),
        (("gate", "found", "--out", "no/where.json"), "in a folder that is there"),
        (("compare", "before", "after", "--data", "test.jsonl", "-o", "test.jsonl"), "name a folder"),
        (("compare", "before", "after", "--data", "test.jsonl", "-o", "x"), "--success MODULE:NAME"),
    ],
)
def test_wrong_arguments_say_what_to_do(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    done = call(capsys, *arguments)
    assert done.code in (1, 2)
    assert message in done.err
    assert "Traceback" not in done.err


def trained(project: Path, run: Callable[[Path], Path], **settings: Any) -> Model:
    trainer = GRPOTrainer(
        model=str(project / "before"), reward_function=Vowels(),
        config={
            "batch_size": 1, "rollout_n": 2, "max_steps": 1, "max_response_length": 6,
            "output_dir": str(run(project)), **settings,
        },
    )  # fmt: skip
    return trainer.train([{"prompt": "Where is parcel 5?"}])


def test_a_trained_model_knows_what_was_held_out(project: Path) -> None:
    settings = {"eval_dataset": str(project / "test.jsonl"), "reward": None}
    model = trained(project, lambda folder: folder / "run", **settings)
    found = evaluate(model, success=has_vowel)
    assert found.record.baseline.endswith("before")
    assert len(found.answers) == 8
    assert found.record.overlap == ("t5",)  # sampled in the run, which named no file of rows
    again = evaluate(load_model(str(project / "run" / "model")), success=has_vowel)
    assert again.record.rows == found.record.rows
    loaded = load_model("grpo_trained")
    assert evaluate(loaded, ROWS[:4], baseline=model, success=has_vowel).success_delta == 0.0
    (project / "run" / "config.resolved.yaml").write_text("{}")
    with pytest.raises(DataError, match="names no `model`"):
        evaluate(model, success=has_vowel)


def test_records_that_no_longer_show_the_training_rows_are_no_ground(project: Path) -> None:
    model = trained(project, lambda folder: folder / "run", eval_dataset=str(project / "test.jsonl"))
    for file in (project / "run" / "rollouts").iterdir():
        file.unlink()
    with pytest.raises(
        ConfigError, match=r"step_00001.jsonl is gone\): give them, evaluate\(model, training"
    ):
        evaluate(model, success=has_vowel, **SHORT)
    alone = evaluate_models(model, model, ROWS, success=has_vowel, **SHORT).record
    assert (alone.training_rows, alone.overlap) == (None, ())
    given = evaluate(model, training_data=ROWS[:2], success=has_vowel, **SHORT).record
    assert (given.training_rows, given.overlap) == (2, ("t0", "t1"))
    empty = evaluate_models(model, model, ROWS, success=has_vowel, training_data=[], **SHORT)
    assert "nobody looked" in empty.meets_criteria({"min_rows": 2, "min_clusters": 2}).reasons[0]


def test_a_warm_start_on_rows_that_were_not_sampled_is_not_forgotten(project: Path) -> None:
    """One step samples one of two rows; the warm start imitated both, and no file has them."""
    rows = [{"prompt": f"Where is parcel {i}?", "reply": "ok"} for i in (5, 6)]
    trainer = GRPOTrainer(
        model=str(project / "before"), reward_function=Vowels(),
        config={
            "batch_size": 1, "rollout_n": 2, "max_steps": 1, "max_response_length": 6,
            "output_dir": str(project / "run"), "warm_start": {"epochs": 1}, "reward_check": False,
        },
    )  # fmt: skip
    model = trainer.train(rows)
    with pytest.raises(ConfigError, match="warm start imitated rows of which it kept no copy"):
        evaluate(model, ROWS, success=has_vowel, **SHORT)


def test_what_the_run_was_trained_on_counts_whatever_is_said_to_be(project: Path) -> None:
    model = trained(project, lambda folder: folder / "run", dataset=str(project / "train.jsonl"))
    other = [{"prompt": "Something else"}]
    before = load_model(str(project / "before"))
    found = evaluate_models(before, model, ROWS, success=has_vowel, training_data=other, **SHORT).record
    assert found.overlap == ("t5",)
    assert found.training_run == str(project / "run")
    assert str(project / "train.jsonl") in found.files
    own = evaluate(model, ROWS, success=has_vowel, **SHORT).record
    assert (own.overlap, str(project / "train.jsonl") in own.files) == (("t5",), True)


def test_without_held_out_rows_it_says_what_to_do(project: Path) -> None:
    model = trained(project, lambda folder: folder / "run")
    with pytest.raises(ConfigError, match="no held-out rows"):
        evaluate(model)
    with pytest.raises(ConfigError, match=r"use evaluate_models\(baseline, trained, test_set\)"):
        evaluate(load_model(str(project / "before")))


@pytest.mark.parametrize(
    ("answer", "foreign"),
    [
        ("We wrote to ann@bell.example and call 415-555-0132.", []),
        ("We call (415) 555-0132 about order 4155550199.", []),
        ("We sent it to bob@roe.example.", ["bob@roe.example"]),
        ("Call 415\u2011555\u20110199.", ["415\u2011555\u20110199"]),
        ("Call 415\u2011555\u20110132, it is 221B Baker Street, London NW1 6XE.", []),
        ("We sent it to bob\uff20roe.example.", ["bob\uff20roe.example"]),
        ("Please call +44 20 7946 0018.", ["+44 20 7946 0018"]),
        ("Your IBAN DE89370400440532013000 is known.", ["DE89370400440532013000"]),
    ],
)
def test_personal_data_counts_only_where_the_ticket_does_not_hold_it(answer: str, foreign: list[str]) -> None:
    task = Task(
        id="x",
        prompt="I am ann@bell.example",
        context={"facts": {"phone": "415\u00a0555 0132", "at": "221B Baker Street,\nLondon NW1 6XE"}},
    )
    assert foreign_personal_data(task, answer) == foreign
    assert answer_values(task, answer)["pii"] == float(bool(foreign))
