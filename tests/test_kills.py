"""Processes killed at random instants: nothing committed is lost, and the runs end bit for bit alike.

5 kills in `make test`, 25 among the slow tests, 200 under STATESET_LONG=1.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stateset.rl.cli.app import app
from stateset.rl.cli.verify_resume import _short
from stateset.rl.resume_proof.kills import Verdict, prove
from stateset.rl.resume_proof.tiny import tiny_project

LONG = bool(os.environ.get("STATESET_LONG"))


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
@pytest.mark.skipif(not LONG, reason="STATESET_LONG=1: minutes")
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
