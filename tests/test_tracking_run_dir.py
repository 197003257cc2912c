"""What a run directory holds, and that it stays readable and resumable whatever happened to the process."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stateset.rl.errors import ConfigError, DataError, TrainingError
from stateset.rl.tracking import run_dir
from stateset.rl.tracking.read_runs import list_runs, read_jsonl, read_run
from stateset.rl.tracking.run_dir import RunDirectory, new_run_path
from stateset.rl.types import Rollout, RolloutGroup, Score, ScoredGroup, StepMetrics, Task

CONFIG = {"model": "smollm2-135m", "learning_rate": 1e-6, "betas": [0.9, 0.99], "objective": "réponses 漢"}


def group(task: str = "t1") -> ScoredGroup:
    rollouts = tuple(
        Rollout(
            sample=sample,
            text=text,
            token_ids=(5, 6 + sample),
            loss_mask=(1, 1),
            sampler_logprobs=(-0.5, -0.25),
            stop_reason="stop",
        )
        for sample, text in enumerate(["line\u2028one\n", "two"])
    )
    return ScoredGroup(
        group=RolloutGroup(
            task=Task(id=task, prompt="Where is it?", source="rows.jsonl:1"),
            prompt_ids=(1, 2),
            rollouts=rollouts,
        ),
        scores=(Score(total=1.0, parts={"tone": 0.5}, reason="kind"), Score(total=None)),
    )


def metrics(step: int) -> StepMetrics:
    values = {"reward": float(step), "kl": math.nan}
    return StepMetrics(
        step=step, avg_reward=float(step), reward_std=0.0, kl_div=math.nan, quality_score=0.5, values=values
    )


def new_run(path: Path, steps: int = 0) -> RunDirectory:
    run = RunDirectory.create(path, config=CONFIG, manifest={"model": "smollm2-135m"})
    for step in range(1, steps + 1):
        run.step(metrics(step), [group()], [0.7, 0.0], [], {"rollout": 1.0, "total": 2.0}, 7)
    return run


def lines(path: Path) -> list[dict[str, object]]:
    return list(read_jsonl(path))


def test_a_new_run_says_what_it_is(tmp_path: Path) -> None:
    run = new_run(tmp_path / "runs" / "a")
    found = read_run(run.path)
    assert (found.status, found.last_step, found.metrics) == ("running", 0, ())
    assert found.manifest["model"] == "smollm2-135m"
    assert yaml.safe_load((run.path / "config.resolved.yaml").read_text(encoding="utf-8")) == CONFIG
    run.close("finished")
    assert (read_run(run.path).status, read_run(run.path).error) == ("finished", None)


def test_a_step_is_written_whole_and_free_of_the_clock(tmp_path: Path) -> None:
    run = new_run(tmp_path / "a", steps=1)
    run.close("finished")
    assert (run.path / "metrics.jsonl").read_text() == '{"step": 1, "reward": 1.0, "kl": null}\n'
    (timing,) = lines(run.path / "timings.jsonl")
    assert (timing["step"], timing["seconds"]) == (1, {"rollout": 1.0, "total": 2.0})
    assert timing["peak_bytes"] == 7
    (line,) = lines(run.path / "rollouts" / "step_00001.jsonl")
    assert (line["task"], line["source"], line["prompt"]) == ("t1", "rows.jsonl:1", "Where is it?")
    assert line["prompt_ids"] == [1, 2]
    first, second = line["responses"]  # type: ignore[misc]
    assert first == {
        "sample": 0,
        "text": "line\u2028one\n",
        "reward": 1.0,
        "parts": {"tone": 0.5},
        "reason": "kind",
        "stop_reason": "stop",
        "num_tokens": 2,
        "token_ids": [5, 6],
        "loss_mask": [1, 1],
        "sampler_logprobs": [-0.5, -0.25],
        "advantage": 0.7,
    }
    assert (second["text"], second["reward"], second["advantage"]) == ("two", None, 0.0)


def test_advantages_follow_the_groups(tmp_path: Path) -> None:
    run = new_run(tmp_path / "a")
    run.step(metrics(1), [group("t1"), group("t2")], [0.1, 0.2, 0.3, 0.4], [], {}, 7)
    found = [
        (line["task"], [r["advantage"] for r in line["responses"]])  # type: ignore[attr-defined]
        for line in lines(run.path / "rollouts" / "step_00001.jsonl")
    ]
    assert found == [("t1", [0.1, 0.2]), ("t2", [0.3, 0.4])]
    run.close("finished")


def test_an_evaluation_leaves_its_answers_and_one_line(tmp_path: Path) -> None:
    run = new_run(tmp_path / "a")
    run.evaluation(20, math.nan, {"tone": 0.5}, [group()], best=False)
    assert len(lines(run.path / "eval" / "step_00020.jsonl")) == 1
    (line,) = lines(run.path / "eval" / "summary.jsonl")
    assert line == {"step": 20, "reward": None, "parts": {"tone": 0.5}, "num_tasks": 1, "best": False}
    run.close("finished")


def test_events_keep_their_order(tmp_path: Path) -> None:
    run = new_run(tmp_path / "a")
    run.event(0, "notice", "one")
    run.event(3, "warning", "two")
    assert [(e["step"], e["kind"], e["message"]) for e in lines(run.path / "events.jsonl")] == [
        (0, "notice", "one"),
        (3, "warning", "two"),
    ]
    run.close("finished")


def test_an_occupied_folder_is_refused_with_the_way_on(tmp_path: Path) -> None:
    new_run(tmp_path / "a").close("finished")
    with pytest.raises(ConfigError, match=r"already holds a run \(finished\).*--resume"):
        new_run(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        new_run(tmp_path / "b")
    assert [entry.name for entry in (tmp_path / "b").iterdir()] == ["thesis.txt"]
    with pytest.raises(ConfigError, match="is a file"):
        new_run(tmp_path / "b" / "thesis.txt")


def test_two_processes_never_write_one_run(tmp_path: Path) -> None:
    run = new_run(tmp_path / "a", steps=1)
    with pytest.raises(ConfigError, match="another process trains in"):
        RunDirectory.reopen(run.path, {})
    assert read_run(run.path).status == "running"  # looking at it does not take the lock away
    run.close("stopped", "Ctrl-C")
    assert read_run(run.path).error == "Ctrl-C"
    again = RunDirectory.reopen(run.path, {})
    assert (read_run(run.path).status, read_run(run.path).error) == ("running", None)
    again.close("finished")


def test_a_killed_run_is_readable_and_resumes(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path; import test_tracking_run_dir as t\n"
        f"run = t.new_run(Path({str(tmp_path / 'a')!r}), steps=3)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert read_run(tmp_path / "a").status == "running"
        process.send_signal(signal.SIGKILL)
    found = read_run(tmp_path / "a")
    assert (found.status, found.last_step) == ("stopped", 3)
    with (tmp_path / "a" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "rew')
    assert read_run(tmp_path / "a").last_step == 3

    two_steps = {
        name: sum(len(line) for line in (tmp_path / "a" / name).read_bytes().splitlines(keepends=True)[:2])
        for name in ("metrics.jsonl", "timings.jsonl")
    }
    run = RunDirectory.reopen(tmp_path / "a", {})
    run.cut_back(2, two_steps)
    run.event(2, "notice", "kept")
    run.evaluation(2, 0.5, {}, [group()], best=True)
    there = run.log_bytes()
    run.event(3, "notice", "dropped")
    run.evaluation(3, 0.6, {}, [group()], best=True)
    run.cut_back(2, there)
    run.step(metrics(3), [group()], [0.0, 0.0], [], {}, 7)
    run.close("finished")
    assert [line["step"] for line in read_run(run.path).metrics] == [1, 2, 3]
    assert [line["step"] for line in lines(run.path / "timings.jsonl")] == [1, 2, 3]
    assert [line["message"] for line in lines(run.path / "events.jsonl")] == ["kept"]
    assert [line["step"] for line in lines(run.path / "eval" / "summary.jsonl")] == [2]
    assert sorted(p.name for p in (run.path / "eval").glob("step_*")) == ["step_00002.jsonl"]


def test_truncation_removes_later_rollouts(tmp_path: Path) -> None:
    run = new_run(tmp_path / "a", steps=1)
    there = run.log_bytes()
    for step in (2, 3):
        run.step(metrics(step), [group()], [0.7, 0.0], [], {}, 7)
    run.cut_back(1, there)
    assert [p.name for p in (run.path / "rollouts").iterdir()] == ["step_00001.jsonl"]
    assert read_run(run.path).last_step == 1
    run.close("finished")


def test_a_log_that_lost_its_end_is_not_taken_for_whole(tmp_path: Path) -> None:
    run = new_run(tmp_path / "a", steps=2)
    there = run.log_bytes()
    os.truncate(run.path / "metrics.jsonl", there["metrics.jsonl"] - 1)
    before = (run.path / "timings.jsonl").read_bytes()
    with pytest.raises(DataError, match=r"metrics\.jsonl has lost its end"):
        run.cut_back(2, {**there, "timings.jsonl": 0})
    assert (run.path / "timings.jsonl").read_bytes() == before
    run.close("stopped")


@pytest.mark.parametrize("left", [(), (".lock",), (".lock", "config.resolved.yaml", ".manifest.json.tmp-7")])
def test_a_folder_whose_run_was_killed_at_its_start_is_free(tmp_path: Path, left: tuple[str, ...]) -> None:
    (tmp_path / "a").mkdir()
    for name in left:
        (tmp_path / "a" / name).touch()
    for folder in ("rollouts", "checkpoints"):
        (tmp_path / "a" / folder).mkdir()
    new_run(tmp_path / "a").close("finished")
    (tmp_path / "b" / "rollouts").mkdir(parents=True)
    (tmp_path / "b" / "rollouts" / "precious.txt").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        new_run(tmp_path / "b")


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(DataError, match=r"file\.jsonl:2 is damaged"):
        list(read_jsonl(path))
    assert list(read_jsonl(tmp_path / "not-there.jsonl")) == []


def test_a_full_disk_is_told_and_leaves_the_step_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(tmp_path / "a", steps=1)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(TrainingError, match=r"step_00002\.jsonl could not be written.*free disk space"):
            run.step(metrics(2), [group()], [0.0, 0.0], [], {}, 7)
    assert read_run(run.path).last_step == 1
    run.close("failed", "disk full")
    assert sorted(p.name for p in (run.path / "rollouts").iterdir()) == ["step_00001.jsonl"]


def test_runs_are_listed_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, started in [("b", "2026-01-01"), ("c", "2026-01-03"), ("a", "2026-01-02")]:
        monkeypatch.setattr(run_dir, "_now", lambda started=started: started)
        new_run(tmp_path / name).close("failed", "reward raised")
    (tmp_path / "not-a-run").mkdir()
    assert [run.path.name for run in list_runs(tmp_path)] == ["c", "a", "b"]
    assert list_runs(tmp_path / "nowhere") == []
    with pytest.raises(ConfigError, match="holds no run"):
        read_run(tmp_path / "not-a-run")


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        read_run(tmp_path)


def test_a_file_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "project.yaml").touch()
    with pytest.raises(ConfigError, match=r"project\.yaml holds no run"):
        read_run(tmp_path / "project.yaml")


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"status": 3}', "\udcff"])
def test_a_damaged_run_is_listed_last_beside_the_others(tmp_path: Path, text: str) -> None:
    new_run(tmp_path / "good").close("finished")
    new_run(tmp_path / "bad").close("finished")
    (tmp_path / "bad" / "manifest.json").write_text(text, errors="surrogateescape")
    good, bad = list_runs(tmp_path)
    assert (good.path.name, good.status) == ("good", "finished")
    assert (bad.path.name, bad.status, bad.last_step, bad.metrics) == ("bad", "damaged", 0, ())
    assert bad.error is not None
    assert "manifest.json is damaged" in bad.error
    with pytest.raises(DataError, match="restore it from a copy"):
        read_run(tmp_path / "bad")


def test_a_metrics_line_without_a_step_is_named(tmp_path: Path) -> None:
    run = new_run(tmp_path / "a", steps=1)
    run.close("finished")
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl:2 is damaged"):
        read_run(run.path)
    assert [found.status for found in list_runs(tmp_path)] == ["damaged"]


def test_run_names_do_not_collide(tmp_path: Path) -> None:
    paths = []
    for _ in range(3):
        paths.append(new_run_path(tmp_path))
        paths[-1].mkdir()
    assert len(set(paths)) == 3


def test_every_file_is_strict_json(tmp_path: Path) -> None:
    run = new_run(tmp_path / "a", steps=2)
    run.evaluation(1, math.inf, {"tone": math.nan}, [group()], best=False)
    run.close("finished")
    files = [p for p in run.path.rglob("*.json*") if p.is_file()]
    assert len(files) == 9
    for path in files:
        for text in (
            path.read_text(encoding="utf-8").split("\n") if path.suffix == ".jsonl" else [path.read_text()]
        ):
            if text:
                json.loads(text, parse_constant=pytest.fail)
