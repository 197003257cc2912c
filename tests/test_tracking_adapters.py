"""TensorBoard and W&B really write; without them the message holds the pip command."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import pytest

from stateset.rl.errors import MissingExtraError
from stateset.rl.types import StepMetrics


def metrics(step: int) -> StepMetrics:
    return StepMetrics(
        step=step,
        avg_reward=0.5,
        reward_std=0.1,
        kl_div=math.nan,
        quality_score=0.5,
        values={"reward": 0.5 * step, "completions/mean_length": 7.0, "kl": math.nan},
    )


def test_tensorboard_reads_back_what_was_logged(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from stateset.rl.tracking.tensorboard import TensorBoardTracker

    tracker = TensorBoardTracker(tmp_path)
    tracker.log(metrics(1))
    tracker.log(metrics(2))
    tracker.close()
    read = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(read.Tags()["scalars"]) == ["completions/mean_length", "reward"]
    assert [(event.step, event.value) for event in read.Scalars("reward")] == [(1, 0.5), (2, 1.0)]


def test_wandb_writes_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")

    from stateset.rl.tracking.wandb import WandbTracker

    tracker = WandbTracker(tmp_path, name="a", config={"seed": 3})
    tracker.log(metrics(1))
    tracker.log(metrics(2))
    tracker.close()
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    deadline = time.monotonic() + 60  # W&B's own process writes the file, and may end a little after close()
    while b"completions/mean_length" not in file.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)
    logged = file.read_bytes()
    assert b"completions/mean_length" in logged
    assert b"seed" in logged
    assert b"NaN" not in logged


@pytest.mark.parametrize(
    ("module", "name", "missing"),
    [("tensorboard", "TensorBoardTracker", "tensorboard"), ("wandb", "WandbTracker", "wandb")],
)
def test_a_missing_extra_names_the_pip_command(
    module: str, name: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in [m for m in sys.modules if m.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, missing, None)
    adapter = __import__(f"stateset.rl.tracking.{module}", fromlist=[name])
    with pytest.raises(MissingExtraError, match=rf"pip install 'stateset-rl\[{missing}\]'") as caught:
        getattr(adapter, name)(tmp_path)
    assert caught.value.exit_code == 4
