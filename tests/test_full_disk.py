"""A disk that is full, for real: the process may not write a file larger than a limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stateset.rl.checkpoint import load_checkpoint
from stateset.rl.resume_proof.differences import differences

ROOT = Path(__file__).parents[1]
SCRIPT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from stateset.rl.cli import main
main(sys.argv[1:])
"""


def test_a_full_disk_at_the_checkpoint(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"prompt": "hello {i}"}}\n' for i in range(4)))
    (tmp_path / "reward.py").write_text(
        "from stateset.rl import reward\n"
        "@reward\ndef count(response):\n    return float(response.count('e'))\n"
    )
    (tmp_path / "project.yaml").write_text(
        f"model: {tiny_llama}\ndataset: rows.jsonl\nreward: reward:count\noutput_dir: run\nbatch_size: 2\n"
        "rollout_n: 2\nmax_response_length: 6\ndevice: cpu\ndtype: fp32\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "train", "project.yaml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, "the model itself has room"
    assert "Traceback" not in done.stderr
    assert "warning: checkpoint" in done.stderr
    assert "training goes on without this checkpoint" in " ".join(done.stderr.split())
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "finished"
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


LIMITED = """
import json, random, resource, sys
import numpy as np
import torch
from stateset.rl.errors import StatesetRLError
from stateset.rl.trainer import GRPOTrainer

model, out, resume, limits = sys.argv[1], sys.argv[2], sys.argv[3] == "resume", json.loads(sys.argv[4])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

def full(step):
    if str(step) in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits[str(step)] or hard, hard))
    if limits.get("stop") == step:
        raise StatesetRLError("stopped")

def count(response):
    return response.count("e") / 5

def same(response):
    return 1.0

settings = {
    "rollout_n": 2, "batch_size": 2, "max_response_length": 6, "learning_rate": 1e-3, "epochs": 2,
    "device": "cpu", "dtype": "fp32", "save_every": 1, "eval_every": 1, "reward_check": False,
}
trainer = GRPOTrainer(
    model, count, settings | {"output_dir": out}, eval_reward_function=same, on_step=lambda m: full(m.step)
)
random.seed(0)
np.random.seed(0)
torch.manual_seed(0)
full(0)
rows, held_out = [{"prompt": f"hello {i}"} for i in range(4)], [{"prompt": "say e"}]
try:
    trainer.train(rows, eval_dataset=held_out, resume=out if resume else None)
except StatesetRLError as error:
    print(type(error).__name__, error)
"""


def limited(model: Path, run: Path, limits: dict[str, int], resume: bool = False) -> str:
    """4 steps; `limits` says after which step no file may be larger than what (0: any size). What it said."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(model), str(run), "resume" if resume else "", json.dumps(limits)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


@pytest.fixture(scope="module")
def whole(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that always finds room."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert limited(tiny_llama, run, {}) == ""
    return run


def logged(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_full_disk_at_best_is_loud_and_tried_again(tiny_llama: Path, tmp_path: Path) -> None:
    """No room until step 2. All evaluations are equal: the first that finds room is the best."""
    one, cut = tmp_path / "one", tmp_path / "cut"
    assert limited(tiny_llama, one, {"0": 100_000, "2": 0}) == ""
    assert [line["best"] for line in logged(one / "eval" / "summary.jsonl")] == [
        False,
        False,
        True,
        False,
        False,
    ]
    warned = [line for line in logged(one / "events.jsonl") if "best/" in line["message"]]
    assert [(line["step"], line["kind"]) for line in warned] == [(0, "warning"), (1, "warning")]
    assert f"the model folder {one / 'best'} could not be written" in warned[0]["message"]
    assert "Free some disk space" in warned[0]["message"]
    assert "training goes on without this best/" in warned[0]["message"]
    assert json.loads((one / "best" / "stateset_rl.json").read_text())["step"] == 2
    found = load_checkpoint(one)
    assert found is not None
    assert (found.state.best_reward, found.state.best_step) == (1.0, 2)

    assert limited(tiny_llama, cut, {"0": 100_000, "2": 0, "stop": 3}) == "StatesetRLError stopped"
    assert limited(tiny_llama, cut, {}, resume=True) == ""
    assert list(differences(one, cut)) == []


def test_a_full_disk_at_best_keeps_the_older_one(tiny_llama: Path, whole: Path, tmp_path: Path) -> None:
    """The one at step 0 is written, the last model is not; with room again, a resume writes it."""
    run = tmp_path / "run"
    said = limited(tiny_llama, run, {"3": 100_000})
    assert said.startswith(f"CheckpointError the model folder {run / 'model'} could not be written (")
    assert said.endswith("then resume the run: it goes on from its newest checkpoint and writes the model")
    assert not [path for path in run.rglob("*") if ".tmp-" in path.name]
    assert json.loads((run / "best" / "stateset_rl.json").read_text())["step"] == 0
    assert limited(tiny_llama, run, {}, resume=True) == ""
    assert list(differences(whole, run)) == []


@pytest.mark.parametrize(("limit", "file"), [(700, "rollouts/step_00003.jsonl"), (1900, "metrics.jsonl")])
def test_a_full_disk_at_a_log_ends_the_run_and_a_resume_is_exact(
    tiny_llama: Path, whole: Path, tmp_path: Path, limit: int, file: str
) -> None:
    """With 700 bytes the manifest cannot be written either; 1,900 tear the fourth line of the metrics."""
    run = tmp_path / "run"
    said = limited(tiny_llama, run, {"2": limit})
    assert said.startswith(f"TrainingError {run / file} could not be written ([Errno 27]")
    assert said.endswith("or make the folder writable, then resume the run from its last checkpoint")
    assert limited(tiny_llama, run, {}, resume=True) == ""
    assert list(differences(whole, run)) == []
