"""What counts as a difference between two runs, and when a run is killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from stateset.rl.checkpoint import TrainerState, save_checkpoint
from stateset.rl.cli.app import app
from stateset.rl.resume_proof import kills
from stateset.rl.resume_proof.differences import compared, differences, tensor_differences, timed_out
from stateset.rl.resume_proof.kills import Instants, Verdict
from stateset.rl.resume_proof.lives import Life, Point, spans

METRICS = '{"step": 1, "reward": 0.5}\n{"step": 2, "reward": 0.75}\n'
RUN = {
    "metrics.jsonl": METRICS,
    "rollouts/step_00001.jsonl": '{"responses": [{"reward": 1.0, "reason": null}]}\n',
    "rollouts/step_00002.jsonl": '{"responses": [{"reward": null, "reason": "timed out after 2 s"}]}\n',
    "timings.jsonl": '{"step": 1, "at": "now"}\n',
}


def write_run(folder: Path, **changed: str) -> Path:
    for name, text in {**RUN, **changed}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_equal_runs_have_no_differences_and_time_does_not_count(tmp_path: Path) -> None:
    other = write_run(tmp_path / "b", **{"timings.jsonl": "{}\n"})
    assert list(differences(write_run(tmp_path / "a"), other)) == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("metrics.jsonl", METRICS.replace("0.75", "0.7"), "metrics.jsonl:2 differs in reward"),
        ("metrics.jsonl", METRICS.splitlines(True)[0], "metrics.jsonl:2 is there in one"),
        ("metrics.jsonl", METRICS.replace("0.5", "0.50"), "metrics.jsonl:1 differs in its bytes"),
        ("rollouts/step_00002.jsonl", '{"responses": []}\n', "step_00002.jsonl:1 differs in responses"),
        ("eval/step_00002.jsonl", "{}\n", "step_00002.jsonl:1 is there in one"),
    ],
)  # fmt: skip
def test_a_difference_is_named(tmp_path: Path, name: str, text: str, told: str) -> None:
    [found] = differences(write_run(tmp_path / "a"), write_run(tmp_path / "b", **{name: text}))
    assert told in found


def test_what_depends_on_the_clock_is_not_compared(tmp_path: Path) -> None:
    whole = write_run(tmp_path / "a")
    assert timed_out(whole) == {2: 1}
    later = '{"step": 1, "reward": 0.5}\n{"step": 2, "reward": 0.1}\n'
    run = write_run(tmp_path / "b", **{"metrics.jsonl": later, "rollouts/step_00002.jsonl": "{}\n"})
    assert list(differences(whole, run, before=2)) == []
    assert list(differences(whole, run, before=3)) != []


def checkpoints(run: Path, second: TrainerState, timings: int = 10, metrics: int = 20) -> None:
    for state in (TrainerState(step=1), second):
        logs = {"timings.jsonl": timings, "events.jsonl": timings, "metrics.jsonl": metrics}
        save_checkpoint(run / "checkpoints", state, {"a": torch.zeros(2)}, 3, {"seed": 1}, logs)


def test_counters_of_checkpoints_are_compared_without_what_tells_of_the_clock(tmp_path: Path) -> None:
    one, other = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    checkpoints(one, TrainerState(step=2, best_reward=0.5))
    checkpoints(other, TrainerState(step=2, best_reward=0.5), timings=11)
    assert list(differences(one, other)) == []
    assert compared(one, other) == {"steps": 2, "rollouts": 2, "checkpoints": 2}
    assert compared(one, other, before=2) == {"steps": 1, "rollouts": 1, "checkpoints": 1}
    assert compared(one, other, before=1) == {"steps": 0, "rollouts": 0, "checkpoints": 0}

    checkpoints(other, TrainerState(step=2, best_reward=0.25), metrics=21)
    found = [line.rpartition("checkpoints/")[2] for line in differences(one, other)]
    assert found == [
        "step_00001/logs.json differs in metrics.jsonl",
        "step_00002/logs.json differs in metrics.jsonl",
        "step_00002/state.json differs in best_reward",
    ]


def test_global_random_states_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    checkpoints(one, TrainerState(step=2))
    monkeypatch.setattr("stateset.rl.random_states.random.getstate", lambda: (3, (1, 2), None))
    checkpoints(other, TrainerState(step=2))
    found = [line.rpartition("/")[2] for line in differences(one, other)]
    assert found == ["random.json differs in python"] * 2


def test_where_nothing_could_be_compared_nothing_is_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reward is late in step 1, so that every later number hangs on the clock."""
    late = {"rollouts/step_00001.jsonl": RUN["rollouts/step_00002.jsonl"]}
    verdict = Verdict(steps=2)
    assert verdict.compare(write_run(tmp_path / "a", **late), write_run(tmp_path / "b")), "no difference"
    assert not verdict.exact
    monkeypatch.setattr(kills, "prove", lambda *_: verdict)
    done = CliRunner().invoke(app, ["verify-resume", "--out", str(tmp_path / "out")])
    assert done.exit_code == 3
    assert "0 of 2 steps, 0 rollouts, 0 checkpoints, logs before step 1: 0 differences" in done.output
    assert "verdict nothing could be compared: reward calls hit their time limit from" in done.output

    verdict.compare(write_run(tmp_path / "c"), write_run(tmp_path / "d"))
    done = CliRunner().invoke(app, ["verify-resume", "--json", "--out", str(tmp_path / "json")])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["exact"]
    assert found["compared"] == {"steps": 1, "rollouts": 1, "checkpoints": 0}


def test_tensors_are_compared_bit_by_bit() -> None:
    def found(one: Any, other: Any) -> list[str]:
        return list(tensor_differences({"a": one}, {"a": other}))

    nan = torch.tensor([float("nan")])
    assert found(nan, nan.clone()) == []
    assert found(torch.tensor(0.0), torch.tensor(-0.0)) == ["a differs"]
    assert found(torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)) != []
    assert found(torch.zeros(2), torch.zeros(2, 1)) != []
    assert list(tensor_differences({"a": nan}, {"b": nan})) == [
        "a is in one of them only",
        "b is in one of them only",
    ]


def test_instants_take_the_kinds_in_turn_first_exactly_then_later() -> None:
    instants = Instants({"start": [2.0], "save": [0.5, 0.25], "rollout": [1.0]}, seed=0)
    drawn = [instants.draw() for _ in range(9)]
    assert {i.kind for i in drawn[:3]} == {"start", "save", "rollout"}
    assert [i.kind for i in drawn] == [i.kind for i in drawn[:3]] * 3
    assert [i.seconds is None for i in drawn] == [True] * 3 + [False] * 3 + [True] * 3
    assert all(1 <= i.number <= 3 and 0 <= (i.seconds or 0) <= 2 for i in drawn)
    instants.missed(drawn[-1])
    assert instants.draw() == drawn[-1]


def test_a_life_knows_where_it_was_killed_and_what_was_surely_committed() -> None:
    points = [Point(0.0, "start", ""), Point(2.0, "save", "step_00001"), Point(2.5, "save", "step_00002")]
    life = Life(tuple(points), -9)
    assert life.killed_in == "save"
    assert life.committed == "step_00001", "of the second nobody knows whether it got its name"
    assert spans(life) == {"start": [2.0], "save": [0.5, 0.0]}
    assert Life(tuple(points), 0).killed_in == Life((), 1).committed == ""
