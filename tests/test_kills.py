"""Processes killed at random instants: nothing committed is lost, and the runs end bit for bit alike.

5 kills in `make test`, 25 among the slow tests, 200 under STATESET_LONG=1.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from stateset.rl.cli.app import app
from stateset.rl.cli.verify_resume import _short
from stateset.rl.resume_proof.differences import differences, tensor_differences, timed_out
from stateset.rl.resume_proof.kills import Verdict, prove
from stateset.rl.resume_proof.tiny import tiny_project

LONG = bool(os.environ.get("STATESET_LONG"))
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


def killed(folder: Path, kills: int, *overrides: str) -> Verdict:
    project = tiny_project(folder / "project", list(overrides))
    return prove(_short(project, 6), kills, 0, folder)


def test_five_kills_lose_nothing(tmp_path: Path) -> None:
    verdict = killed(tmp_path, 5)
    assert verdict.kills.total() == 5
    assert verdict.steps == 6
    assert verdict.exact, verdict


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), ("dtype=bf16", "lora=true", "warm_start={epochs: 1}")])
def test_twenty_five_kills_lose_nothing(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    verdict = killed(tmp_path, 25, *overrides)
    assert verdict.exact, verdict
    assert {"start", "rollout", "reward", "update", "save", "rotation"} <= verdict.kills.keys()


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="STATESET_LONG=1: half an hour")
def test_two_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    verdict = killed(tmp_path, 200)
    print(f"200 kills: {dict(verdict.kills)}, {verdict.runs} runs")
    assert verdict.exact, verdict
    assert min(verdict.kills[kind] for kind in ("start", "rollout", "update", "save", "rotation")) >= 5


def test_a_run_that_is_not_reproducible_is_told(tmp_path: Path) -> None:
    project = tmp_path / "project"
    tiny_project(project, [])
    (project / "reward.py").write_text(
        "import random\nfrom stateset.rl import reward\n"
        "@reward\ndef early(response):\n    return random.SystemRandom().random()\n"
    )
    words = [str(project / "project.yaml"), f"model={project / 'model'}", "reward_check=false"]
    done = CliRunner().invoke(
        app,
        ["verify-resume", *words, "--kills", "1", "--steps", "2", "--json", "--out", str(tmp_path / "out")],
    )
    assert done.exit_code == 1, done.exception
    found = json.loads(done.stdout)
    assert not found["exact"]
    assert "metrics.jsonl:1 differs in" in found["differences"][0]
    assert (tmp_path / "out" / "killed-1").is_dir(), "the evidence stays"


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


def test_a_lost_and_a_damaged_checkpoint_are_told(tmp_path: Path) -> None:
    verdict = killed(tmp_path, 1, "max_steps=2")
    checkpoints = tmp_path / "whole" / "checkpoints"
    verdict.look_at(checkpoints, "step_00002")
    assert verdict.exact
    tensors = checkpoints / "step_00001" / "tensors.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    verdict.look_at(checkpoints, "step_00002")
    assert [line for line in verdict.damaged if "step_00001: tensors.safetensors" in line]
    shutil.rmtree(checkpoints / "step_00002")
    verdict.look_at(checkpoints, "step_00002")
    assert verdict.lost == [str(checkpoints / "step_00002")]
