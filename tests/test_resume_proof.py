"""What counts as a difference between two runs, and when a run is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from stateset.rl.resume_proof.differences import differences, tensor_differences, timed_out
from stateset.rl.resume_proof.kills import Instants
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
