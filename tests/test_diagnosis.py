"""`runs doctor` sees what can be seen, names it, and takes nothing that is whole for damage."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_checkpoint import ROWS, trainer

from stateset.rl.checkpoint_files import MANIFEST, damage
from stateset.rl.tracking.diagnosis import diagnose

LAST = 4  # steps of the run


@pytest.fixture(scope="module")
def whole(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    warm = {"epochs": 1, "batch_size": 2}
    one = trainer(tiny_llama, run, keep_checkpoints=2, eval_every=2, warm_start=warm)
    one.train([row | {"reply": "eee"} for row in ROWS], eval_dataset=[{"prompt": "held out"}])
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_a_whole_run_has_no_problem(run: Path) -> None:
    found = diagnose(run)
    assert (found.problems, found.status, found.last_step) == ((), "finished", LAST)
    assert found.remarks == (f"a resume goes on from step_{LAST:05d}",)


@pytest.mark.parametrize("folder", ["model", "best"])
def test_every_file_of_a_model_is_held_to_its_hash(run: Path, folder: str) -> None:
    for file in list((run / folder).iterdir()):
        content = file.read_bytes()
        middle = len(content) // 2
        for changed in (content[:middle], content[:middle] + b"!" + content[middle + 1 :]):
            file.write_bytes(changed)
            (problem,) = diagnose(run).problems
            assert problem.startswith(f"{folder}/{file.name} ")
        file.unlink()
        assert diagnose(run).problems == (f"{folder}/{file.name} is missing",)
        file.write_bytes(content)
    shutil.rmtree(run / folder)
    (problem,) = diagnose(run).problems
    assert problem.startswith(f"{folder}/ is missing")


LOST = {
    "rollouts/step_00001.jsonl": "rollouts/step_00001.jsonl is missing",
    "updates/step_00003.jsonl": "updates/step_00003.jsonl is missing",
    "eval/step_00002.jsonl": "eval/step_00002.jsonl is missing",
}


@pytest.mark.parametrize("name", LOST)
def test_a_step_whose_file_is_gone_or_cut_off(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    for length in (0, len(content) // 2, len(content) - 1):
        (run / name).write_bytes(content[:length])
        assert diagnose(run).problems == (f"{name} is cut off",)
    (run / name).unlink()
    assert diagnose(run).problems == (LOST[name],)


def test_lost_files_are_counted_and_known_from_the_checkpoint_where_the_log_is_gone(run: Path) -> None:
    for file in (run / "rollouts").iterdir():
        file.unlink()
    assert diagnose(run).problems == ("rollouts/step_00001.jsonl is missing, and 3 more there",)
    (run / "metrics.jsonl").unlink()
    first, second = diagnose(run).problems
    assert first.startswith("metrics.jsonl has 0 bytes; ")
    assert second == "rollouts/step_00001.jsonl is missing, and 3 more there"


def test_a_run_whose_checkpoints_are_gone_and_one_that_had_none_yet(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    assert diagnose(run).problems == ("no checkpoint is there: the run cannot go on",)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"status": "running"}))
    assert diagnose(run).problems == ("no checkpoint is there: the run cannot go on",)
    first = (run / "metrics.jsonl").read_text().splitlines(keepends=True)[0]
    (run / "metrics.jsonl").write_text(first)  # killed before the checkpoint of step 1
    found = diagnose(run)
    assert (found.status, found.problems) == ("stopped", ())
    assert found.remarks == ("there is no checkpoint yet; a resume begins the run again in its place",)


def without(lines: list[bytes]) -> list[bytes]:
    return lines[:1] + lines[2:]


def twice(lines: list[bytes]) -> list[bytes]:
    return lines[:2] + lines[1:]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("metrics.jsonl", without, "metrics.jsonl:2 is of step 3 where step 2 follows: a line was lost"),
        ("metrics.jsonl", twice, "metrics.jsonl:3 is of step 2 where step 3 follows: a line was lost"),
        ("metrics.jsonl", lambda lines: lines[1:], "metrics.jsonl:1 is of step 2 where step 1 follows"),
        ("timings.jsonl", without, "timings.jsonl:2 is of step 2 where step 1 follows"),
        ("warm_start.jsonl", twice, "warm_start.jsonl:3 is of step 2 where step 3 follows"),
        ("metrics.jsonl", lambda lines: [lines[0], b"\xff\n", *lines[1:]], "metrics.jsonl:2 is damaged ("),
        ("metrics.jsonl", lambda lines: [b"[" * 99999 + b"\n", *lines], "metrics.jsonl:1 is damaged ("),
        ("metrics.jsonl", lambda lines: [b"7\n", *lines], "metrics.jsonl:1 is damaged (it has no step)"),
        ("timings.jsonl", lambda lines: [b"{\n", *lines], "timings.jsonl:1 is damaged ("),
        (
            "metrics.jsonl",
            lambda lines: [b" " + lines[0], *lines[1:]],
            "metrics.jsonl was changed: no line ends",
        ),
    ],
)
def test_a_changed_log(
    run: Path, name: str, change: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    lines = (run / name).read_bytes().splitlines(keepends=True)
    (run / name).write_bytes(b"".join(change(lines)))
    assert any(message in problem for problem in diagnose(run).problems), diagnose(run).problems


def test_a_huge_step_is_told_at_once(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 10**15}) + "\n")
    assert any("is of step 1000000000000000 where" in problem for problem in diagnose(run).problems)


def test_a_manifest_of_a_hundred_thousand_brackets_is_damage(run: Path) -> None:
    (run / "model" / MANIFEST).write_text("[" * 100_000)
    assert str(damage(run / "model")).startswith(f"{MANIFEST} cannot be read (")


def test_what_a_killed_process_left_is_no_damage_and_a_resume_removes_it(run: Path, tiny_llama: Path) -> None:
    left = (".tmp-best/x", ".tmp-model/y", ".manifest.json.tmp-1", "rollouts/.step_00009.jsonl.tmp-1",
            "updates/.step_00009.jsonl.tmp-1", "eval/.step_00009.jsonl.tmp-1")  # fmt: skip
    for name in left:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("x")
    (run / "best").rename(run / ".replaced-best")  # as if killed while it was replaced
    found = diagnose(run)
    assert found.problems == ()
    assert ".tmp-best" in found.remarks[0]
    assert "step_00009.jsonl.tmp-1" in found.remarks[0]
    assert ".replaced-best was about to be replaced" in found.remarks[1]

    warm = {"epochs": 1, "batch_size": 2}
    one = trainer(tiny_llama, run, keep_checkpoints=2, eval_every=2, warm_start=warm)
    rows = [row | {"reply": "eee"} for row in ROWS]
    one.train(rows, eval_dataset=[{"prompt": "held out"}], resume=run)
    assert [name for _, folders, files in os.walk(run) for name in (*folders, *files) if "tmp-" in name] == []
    assert (run / "best").is_dir()
    assert diagnose(run).problems == ()
