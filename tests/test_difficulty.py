"""Difficulty as the model finds it: levels, rows that teach nothing, and the command."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from conftest import write_model
from test_cli import call

from stateset.rl import RewardFunction, filter_by_difficulty, load_model
from stateset.rl.data.preparation import Settings
from stateset.rl.data.prepare_folder import prepare_folder
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.difficulty import Measured, measure_difficulty
from stateset.rl.types import Task


class Even(RewardFunction):
    """Right where the answer's length is even; `always` and `never` rows aside, and one that has no score."""

    bounds = (0.0, 1.0)

    def compute(self, prompt: str, response: str, context: Any) -> float | None:
        kind = context.get("kind")
        if kind == "silent":
            return None
        return {"always": 1.0, "never": 0.0}.get(kind, float(len(response) % 2 == 0))


TASKS = [
    Task(id=str(n), prompt=f"Where is parcel {n}?", context={"kind": kind})
    for n, kind in enumerate(["any", "always", "never", "silent", "any", "any"])
]


@pytest.mark.parametrize(
    ("rate", "level", "useless"),
    [
        (0.0, "hard", "no sample is right"), (0.25, "hard", None), (0.3, "medium", None),
        (0.625, "medium", None), (0.75, "easy", None), (1.0, "easy", "every sample is right"),
        (None, None, "an answer could not be scored"),
    ],
)  # fmt: skip
def test_levels_by_pass_rate(rate: float | None, level: str | None, useless: str | None) -> None:
    found = Measured(task=TASKS[0], pass_rate=rate, alike=rate in (0, 1))
    assert (found.level, found.useless) == (level, useless)


class Graded(RewardFunction):
    """Always above the middle of its bounds, and by degrees."""

    bounds = (0.0, 1.0)

    def compute(self, prompt: str, response: str, context: Any) -> float:
        return 0.6 + zlib.crc32(response.encode()) % 100 / 1000


def test_a_prompt_whose_right_answers_differ_in_reward_teaches(tmp_path: Path) -> None:
    model = load_model(str(write_model(tmp_path / "m")))
    [found] = measure_difficulty(model, TASKS[:1], Graded(), samples=8, max_new_tokens=6)
    assert (found.pass_rate, found.useless) == (1.0, None)


def test_pass_rates_are_those_of_the_samples(tmp_path: Path) -> None:
    model = load_model(str(write_model(tmp_path / "m")))
    found = measure_difficulty(model, TASKS, Even(), samples=4, max_new_tokens=5)
    assert [one.task.id for one in found] == [task.id for task in TASKS]
    assert [one.pass_rate for one in found[1:4]] == [1.0, 0.0, None]
    assert all(one.pass_rate in (0, 0.25, 0.5, 0.75, 1) for one in found if one.task.id in "045")
    assert found == measure_difficulty(model, TASKS, Even(), samples=4, max_new_tokens=5)
    rows = [one.row() for one in found if one.pass_rate is not None]
    assert filter_by_difficulty(rows, "easy")[0]["prompt"] == rows[1]["prompt"]
    with pytest.raises(ConfigError, match="two or more"):
        measure_difficulty(model, TASKS, Even(), samples=1)


class Same(RewardFunction):
    def compute(self, prompt: str, response: str, context: Any) -> float:
        return 0.5


def test_a_reward_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    model = load_model(str(write_model(tmp_path / "m")))
    with pytest.raises(DataError, match="nothing tells right answers from wrong"):
        measure_difficulty(model, TASKS[:2], Same(), samples=2, max_new_tokens=3)


def test_the_command_keeps_what_teaches_and_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "m")
    rows = [{"id": task.id, "prompt": task.prompt, **task.context} for task in TASKS]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("judges.py").write_text(
        "from stateset.rl import RewardFunction\n\n\nclass Kind(RewardFunction):\n    bounds = (0.0, 1.0)\n\n"
        "    def compute(self, prompt, response, context):\n"
        "        known = {'always': 1.0, 'never': 0.0, 'silent': None}\n"
        "        return known.get(context['kind'], len(response) % 2)\n"
    )
    arguments = ("data", "difficulty", "rows.jsonl", "--model", "m", "--reward", "judges:Kind", "-n", "4")
    done = call(capsys, *arguments, "-o", "out.jsonl", "--max-new-tokens", "5")
    assert done.code == 0, done.err
    kept = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    left = [json.loads(line) for line in Path("out.dropped.jsonl").read_text().splitlines()]
    assert sorted(row["id"] for row in kept + left) == [task.id for task in TASKS]
    assert {"1", "2", "3"} <= {row["id"] for row in left}
    assert all(0 < row["pass_rate"] < 1 and row["difficulty"] for row in kept)
    assert {row["dropped"] for row in left} >= {"no sample is right", "every sample is right"}
    everything = call(capsys, *arguments, "-o", "all.jsonl", "--max-new-tokens", "5", "--keep-all")
    assert everything.code == 0
    assert len(Path("all.jsonl").read_text().splitlines()) == len(TASKS)
    assert call(capsys, *arguments, "-o", "nowhere/out.jsonl").code == 2


@pytest.mark.parametrize(
    ("rows", "out", "said"),
    [
        ("prepared/train.jsonl", "prepared/train.jsonl", "this command reads it"),
        ("rows.jsonl", "../{here}/rows.jsonl", "this command reads it"),
        ("rows.dropped.jsonl", "rows.jsonl", "the rows that are left out cannot be rows.dropped.jsonl"),
        ("rows.jsonl", "prepared/train.jsonl", "prepared/manifest.json would no longer hold"),
    ],
)
def test_neither_its_own_rows_nor_prepared_ones_are_overwritten(
    rows: str,
    out: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "".join(json.dumps({"id": task.id, "prompt": task.prompt}) + "\n" for task in TASKS)
    for name in ("rows.jsonl", "rows.dropped.jsonl"):
        Path(name).write_text(text)
    prepare_folder(["support_tickets"], Path("prepared"), Settings(by="template"))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.jsonl")}
    arguments = ("data", "difficulty", rows, "--model", "m", "--reward", "judges:Kind", "-o")
    done = call(capsys, *arguments, out.format(here=tmp_path.name))
    assert done.code == 2
    assert said in done.err
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.jsonl")} == before
