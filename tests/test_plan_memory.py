"""`plan --measure` states the most memory of a run; one in a process of its own keeps within 20 % of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REWARD = """from stateset.rl import reward

@reward
def count_e(response):
    return response.count("e") / (1 + len(response))
"""
PROJECT = """model: smollm2-135m
device: cpu
dtype: bf16
dataset: rows.jsonl
reward: reward:count_e
batch_size: 2
rollout_n: 8
max_steps: 2
max_response_length: 48
"""
COMMAND = [sys.executable, "-m", "stateset.rl"]


@pytest.mark.parametrize("settings", [[], ["lora=true"], ["use_kl_loss=true", "max_response_length=128"]])
def test_a_run_stays_within_the_planned_memory(tmp_path: Path, settings: list[str]) -> None:
    rows = [{"id": str(i), "prompt": "Write about rain. " * (8 + i)} for i in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "reward.py").write_text(REWARD)
    (tmp_path / "project.yaml").write_text(PROJECT)
    planned = subprocess.run(
        [*COMMAND, "plan", "project.yaml", *settings, "--measure", "--json"],
        cwd=tmp_path, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    run = subprocess.Popen(
        [*COMMAND, "train", "project.yaml", *settings, "output_dir=run", "--json"],
        cwd=tmp_path, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, run.returncode, use = os.wait4(run.pid, 0)
    assert run.returncode == 0
    assert json.loads(planned.stdout)["peak_bytes"] == pytest.approx(1024 * use.ru_maxrss, rel=0.2)
