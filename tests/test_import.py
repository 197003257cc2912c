"""`stateset-rl import openai-rft`: a job becomes a project that plans, scores and says what differs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_openai_graders import load
from typer.testing import CliRunner

from stateset.rl.cli.app import app
from stateset.rl.config.load import load_config
from stateset.rl.data.load import load_tasks
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.rewards.resolve import resolve_reward

SCHEMA = {"type": "json_schema", "json_schema": {"name": "r", "schema": {"type": "object"}}}
ROW = {
    "messages": [
        {"role": "developer", "content": [{"text": "Answer "}, {"type": "text", "text": "shortly."}]},
        {"role": "user", "content": "Where is the Louvre?"},
    ],
    "reference_answer": "Paris",
    "id": "kept-as-it-is",
}  # fmt: skip


def job(grader: dict[str, Any], **changes: Any) -> dict[str, Any]:
    hyperparameters = {
        "n_epochs": 3, "batch_size": 4, "eval_interval": 5, "learning_rate_multiplier": 2.0,
        "compute_multiplier": 1.5, "eval_samples": "auto", "reasoning_effort": "medium",
    }  # fmt: skip
    return {
        "model": "o4-mini-2025-04-16", "training_file": "file-1", "validation_file": "file-2", "seed": 7,
        "suffix": "support", "metadata": {},
        "method": {
            "type": "reinforcement",
            "reinforcement": {
                "grader": grader, "response_format": SCHEMA, "hyperparameters": hyperparameters,
            },
        },
    } | changes  # fmt: skip


def bring(folder: Path, given: Any, rows: list[Any] | None = None, *further: str) -> Any:
    (folder / "job.json").write_text(json.dumps(given))
    for name in ("train.jsonl", "valid.jsonl"):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows or [ROW]))
    paths = [str(folder / name) for name in ("job.json", "train.jsonl", "valid.jsonl")]
    result = CliRunner().invoke(app, ["import", "openai-rft", *paths, "--out", str(folder / "new"), *further])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_job_becomes_a_project(tmp_path: Path) -> None:
    result = bring(tmp_path, job(load("string_check")))
    out = tmp_path / "new"
    assert {path.name for path in out.iterdir()} == {
        "project.yaml", "reward.py", "grader.json", "train.jsonl", "valid.jsonl",
    }  # fmt: skip
    config = load_config(out / "project.yaml")
    assert (config.epochs, config.batch_size, config.eval_every, config.seed) == (3, 4, 5, 7)
    assert config.learning_rate == pytest.approx(2e-6)
    assert config.model == "smollm2-135m"
    [task] = load_tasks(str(config.dataset))
    assert task.prompt == (
        {"role": "system", "content": "Answer shortly."}, {"role": "user", "content": "Where is the Louvre?"},
    )  # fmt: skip
    reward, path = resolve_reward(str(config.reward), out)
    assert path == out / "reward.py"
    assert reward.compute("", "In Paris.", {**task.context, "messages": []}).total == 1.0
    for said in (
        "model o4-mini-2025-04-16: its weights are not open", "compute_multiplier 1.5: not mapped",
        "reasoning_effort medium: not mapped", "learning_rate_multiplier 2.0: 2.0 x 1e-06",
        "response_format: nothing forces the form", "suffix: not mapped",
    ):  # fmt: skip
        assert said in result.stderr
        assert f"# - {said}" in (out / "project.yaml").read_text()
    assert "metadata" not in result.stderr, "it was empty"
    assert "eval_samples" not in result.stderr, "auto asks for nothing"


def test_python_graders_become_modules_and_models_get_a_judge(tmp_path: Path) -> None:
    bring(
        tmp_path,
        job(load("multi_judge_and_reference")),
        None,
        "--model",
        "Qwen/Qwen3-0.6B",
    )
    out = tmp_path / "new"
    source = load("multi_judge_and_reference")["graders"]["expected_score"]["source"]
    assert (out / "grader_expected_score.py").read_text() == source
    reward, _ = resolve_reward("reward:Grader", out)
    assert reward._given[2].ledger == out / "judge.sqlite"
    assert reward._given[1]["expected_score"](None, {"expected_judge_score": "3"}) == 3
    assert yaml.safe_load((out / "project.yaml").read_text())["model"] == "Qwen/Qwen3-0.6B"


@pytest.mark.parametrize(
    "given",
    [
        load("string_check"),
        {"type": "reinforcement", "reinforcement": {"grader": load("string_check")}},
        {"grader": load("string_check")},
        job(load("string_check"), object="fine_tuning.job", id="ftjob-1", status="succeeded"),
    ],
)
def test_a_job_has_several_forms(tmp_path: Path, given: Any) -> None:
    brought = bring(tmp_path, given)
    assert brought.exit_code == 0
    assert "it is unknown" not in brought.stderr
    assert json.loads((tmp_path / "new/grader.json").read_text()) == load("string_check")


def test_what_nobody_has_heard_of_is_said(tmp_path: Path) -> None:
    inside = {"a": load("string_check") | {"case": "any"}}
    grader = {"type": "multi", "graders": inside, "calculate_output": "a", "weights": [1]}
    given = job(grader, priority="high")
    given["method"]["reinforcement"]["early_stopping"] = True
    said = bring(tmp_path, given).stderr
    for name in ("job.priority", "method.early_stopping", "grader.weights", "graders.a.case"):
        assert f"{name}: not mapped; it is unknown" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "has no grader"),
        ({"method": {"type": "supervised"}}, "has no grader"),
        (job({"type": "regex"}), "has no grader"),
        (job(load("string_check") | {"operation": "contains"}), "operation is 'contains'"),
        (
            job({"type": "text_similarity", "evaluation_metric": "cosine", "input": "", "reference": ""}),
            "cosine",
        ),
    ],
)
def test_a_job_that_cannot_be_graded_writes_nothing(tmp_path: Path, given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        bring(tmp_path, given)
    assert not (tmp_path / "new").exists()


def test_rows_that_cannot_be_used_are_named_by_line(tmp_path: Path) -> None:
    image = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}
    rows = [ROW, {"prompt": "x"}, {"messages": [{"role": "tool", "content": "x"}]}, image, "text", *[{}] * 4]
    with pytest.raises(DataError) as error:
        bring(tmp_path, job(load("string_check")), rows)
    lines = str(error.value).splitlines()
    assert "train.jsonl:2: no `messages`" in lines[0]
    assert "train.jsonl:3: messages[0] has the role 'tool'" in lines[1]
    assert "train.jsonl:4: messages[0] holds something that is no text" in lines[2]
    assert lines[-1] == "and 3 more"
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    bring(tmp_path, job(load("string_check")))
    with pytest.raises(ConfigError, match="is not empty, and nothing is overwritten"):
        bring(tmp_path, job(load("string_check")))


def test_tools_are_told(tmp_path: Path) -> None:
    result = bring(tmp_path, job(load("multi_tool_call")), [ROW | {"tools": [{"type": "function"}]}])
    assert "sample.output_tools: responses are text" in result.stderr
    assert "tools of train.jsonl: not given to the model" in result.stderr


def python(source: Any, **more: Any) -> dict[str, Any]:
    graders = {"short": {"type": "python", "name": "short", "source": source}, **more}
    return {"type": "multi", "name": "m", "graders": graders, "calculate_output": " + ".join(graders)}


GRADE = "def grade(sample, item):\n    return 1.0\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (job(python(None)), "'short' has no `source` that defines grade"),
        (job(python("score = 1")), "'short' has no `source` that defines grade"),
        (job(python("def grade(:")), "'short' has a `source` that is no Python: invalid syntax"),
        (job(python(GRADE, other=3)), "graders.other is no JSON object"),
        (job(python(GRADE, other={"type": []})), r"graders.other.type is \[\]"),
        ({"grader": load("string_check"), "hyperparameters": {"n_epochs": "4"}}, "n_epochs is '4': a number"),
        ({"grader": load("string_check"), "hyperparameters": {"batch_size": 0}}, "batch_size is 0: a number"),
        (
            {"grader": load("string_check"), "hyperparameters": {"learning_rate_multiplier": []}},
            r"learning_rate_multiplier is \[\]",
        ),
    ],
)
def test_a_malformed_job_says_where(tmp_path: Path, given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        bring(tmp_path, given)
    assert not (tmp_path / "new").exists()


def test_code_that_ran_elsewhere_is_named_with_what_it_imports(tmp_path: Path) -> None:
    result = bring(tmp_path, job(python(f"import json, no_such_package.part\n{GRADE}")))
    assert "short: code of yours, read it: it runs here with your rights" in result.stderr
    assert "short: it imports no_such_package, which is not installed here" in result.stderr


def test_graders_of_like_names_have_modules_of_their_own(tmp_path: Path) -> None:
    other = {"type": "python", "name": "o", "source": GRADE.replace("1.0", "0.25")}
    grader = {
        "type": "multi", "name": "m", "calculate_output": "a_b",
        "graders": {"a b": {"type": "python", "name": "a", "source": GRADE}, "a_b": other},
    }  # fmt: skip
    bring(tmp_path, job(grader))
    reward, _ = resolve_reward("reward:Grader", tmp_path / "new")
    assert reward.compute("", "x", {"messages": [], "item": {}}).parts == {"a b": 1.0, "a_b": 0.25}


def test_a_column_that_the_whole_response_is_compared_with_is_the_answer(tmp_path: Path) -> None:
    bring(tmp_path, job(load("string_check")))
    [task] = load_tasks(str(tmp_path / "new/train.jsonl"))
    assert task.answer == "Paris", "so that `reward check` has probes"


def test_a_row_that_ends_with_an_answer_is_named(tmp_path: Path) -> None:
    answered = ROW | {"messages": [*ROW["messages"], {"role": "assistant", "content": "In Paris."}]}  # type: ignore[misc]
    with pytest.raises(DataError, match=r"train\.jsonl:1: .*ends with an assistant's"):
        bring(tmp_path, job(load("string_check")), [answered])


def test_what_a_job_says_stays_in_the_comments_of_its_project(tmp_path: Path) -> None:
    bring(tmp_path, job(load("string_check"), model="gpt\nmodel: evil"))
    lines = (tmp_path / "new" / "project.yaml").read_text().splitlines()
    assert not [line for line in lines if line.startswith("model: evil")]
    load_config(tmp_path / "new" / "project.yaml")


def test_a_container_is_told(tmp_path: Path) -> None:
    given = load("python_fuzzy") | {"image_tag": "2026-01-01"}
    assert "image_tag: there is no container" in bring(tmp_path, job(given)).stderr


@pytest.mark.parametrize(
    ("grader", "row", "said"),
    [
        ({}, {"note": "hi \ud83d"}, r"train\.jsonl:2: `note` holds half a surrogate pair at character 4"),
        ({}, {"no\x00te": "hi"}, r"train\.jsonl:2: .*NUL"),
        ({"reference": "hi \ud83d"}, {}, r"job\.json: `method\..*reference` holds half a surrogate pair"),
        ({"\ud83d": 1}, {}, r"job\.json: .*half a surrogate pair"),
    ],
)
def test_half_a_character_is_named_before_anything_is_written(
    tmp_path: Path, grader: dict[str, Any], row: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        bring(tmp_path, job(load("string_check") | grader), [ROW, ROW | row])
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for out in ("file", "file/new", "file/new/er", "x" * 300):
        with pytest.raises(ConfigError, match=r"--out .*: choose another"):
            bring(tmp_path, job(load("string_check")), None, "--out", str(tmp_path / out))
    assert (tmp_path / "file").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "file", "job.json", "train.jsonl", "valid.jsonl",
    ]  # fmt: skip


def test_a_disk_that_fills_leaves_no_half_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        if path.name == "reward.py":
            raise OSError(28, "No space left on device")
        return written(path, data)

    written = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ConfigError, match=r"cannot be written .No space left"):
        bring(tmp_path, job(load("string_check")))
    monkeypatch.undo()
    assert bring(tmp_path, job(load("string_check"))).exit_code == 0, "the same --out again"


@pytest.mark.parametrize("key", ["a" * 300, "\u00b2", "\ufb01t", "\u6210\u7ee9"])
def test_a_grader_of_any_name_has_a_module(tmp_path: Path, key: str) -> None:
    twin = {"type": "python", "name": "g", "source": GRADE.replace("1.0", "0.5")}
    graders = {key: {"type": "python", "name": "g", "source": GRADE}, key + "'": twin}
    graders["one"] = {"type": "python", "name": "one", "source": GRADE}
    bring(tmp_path, job({"type": "multi", "name": "m", "graders": graders, "calculate_output": "one"}))
    reward, _ = resolve_reward("reward:Grader", tmp_path / "new")
    parts = reward.compute("", "x", {"messages": [], "item": {}}).parts
    assert parts == {key: 1.0, key + "'": 0.5, "one": 1.0}


def test_code_that_imports_what_has_no_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # as of a script
    result = bring(tmp_path, job(python(f"import __main__\n{GRADE}")))
    assert "which is not installed" not in result.stderr


def test_code_too_deep_to_parse_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'short' has a `source` that is no Python"):
        bring(tmp_path, job(python("x = " + "-" * 100_000 + "1\n" + GRADE)))


def test_a_multiplier_beyond_all_floats_is_refused(tmp_path: Path) -> None:
    given = {"grader": load("string_check"), "hyperparameters": {"learning_rate_multiplier": 10**400}}
    with pytest.raises(ConfigError, match="learning_rate_multiplier is 1000"):
        bring(tmp_path, given)


def test_the_model_of_a_lone_grader_is_not_the_jobs(tmp_path: Path) -> None:
    assert "its weights are not open" not in bring(tmp_path, load("score_model")).stderr


def test_the_name_of_a_job_s_file_cannot_end_a_comment(tmp_path: Path) -> None:
    bring(tmp_path, job(load("string_check"), model="gpt\x07"))
    odd = tmp_path / 'job""" \n+.json'
    odd.write_text((tmp_path / "job.json").read_text())
    paths = [str(odd), str(tmp_path / "train.jsonl")]
    result = CliRunner().invoke(app, ["import", "openai-rft", *paths, "--out", str(tmp_path / "odd")])
    assert result.exit_code == 0
    for folder in ("new", "odd"):
        load_config(tmp_path / folder / "project.yaml")
        resolve_reward("reward:Grader", tmp_path / folder)
