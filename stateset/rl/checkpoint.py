"""Checkpoints at optimizer steps: written beside their place, synced, renamed; none is ever half there.

A checkpoint holds what the next step depends on: float32 master weights, AdamW's moments, the reference
weights where KL is used, and the counters of `TrainerState`. safetensors and JSON only. Not done yet: hashes
of the files and the choice of an older checkpoint when the newest is damaged.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stateset.rl.errors import CheckpointError
from stateset.rl.policy.learner import Learner

RECENT_STEPS = 20


@dataclass(slots=True, kw_only=True)
class TrainerState:
    """The counters of a run.

    Attributes:
        step: training steps done.
        warm_start: name of the supervised stage that is done, empty without one.
        optimizer_steps: of the whole run.
        num_tokens: tokens seen by the policy, prompts once a group.
        call: which `train()` call this is, from 0.
        call_step: steps done in this call; the data order follows from it.
        call_optimizer_steps: of this call; the learning rate follows from it.
        reward_low: the lowest reward so far, None before the first.
        reward_high: the highest.
        best_reward: the best held-out mean so far, None before the first evaluation.
        best_step: where that was.
        data_hash: fingerprint of this call's tasks and of what their order depends on.
        eval_hash: fingerprint of what `best_reward` was measured with.
        recent_rewards: mean rewards of the last steps.
        others_drawn: prompts taken from the second data order so far in this call.
        retired: ids of the prompts that are solved and not asked again.
        target_difficulty: of the next prompts under `target_pass_rate`.
        asked: ids of the prompts that were asked in this epoch, under `target_pass_rate`.
    """

    step: int = 0
    warm_start: str = ""
    optimizer_steps: int = 0
    num_tokens: int = 0
    call: int = 0
    call_step: int = 0
    call_optimizer_steps: int = 0
    reward_low: float | None = None
    reward_high: float | None = None
    best_reward: float | None = None
    best_step: int | None = None
    data_hash: str = ""
    eval_hash: str = ""
    recent_rewards: list[float] = field(default_factory=list)
    others_drawn: int = 0
    retired: list[str] = field(default_factory=list)
    target_difficulty: float = 0.0
    asked: list[str] = field(default_factory=list)

    @property
    def reward_bounds(self) -> tuple[float, float] | None:
        """The lowest and highest reward so far."""
        if self.reward_low is None or self.reward_high is None:
            return None
        return self.reward_low, self.reward_high

    def improves(self, reward: float) -> bool:
        """Whether this held-out mean (NaN: nothing was scored) is the best so far; then it is remembered."""
        if math.isnan(reward) or (self.best_reward is not None and reward <= self.best_reward):
            return False
        self.best_reward, self.best_step = reward, self.step
        return True

    def begin_call(self) -> None:
        """Another `train()` call: its own data order and learning rate schedule."""
        self.call += 1
        self.call_step = self.call_optimizer_steps = self.others_drawn = 0
        self.retired, self.asked = [], []

    def next_updates(self, count: int) -> range:
        """The numbers, within this call, of the next optimizer steps, which are counted here."""
        first = self.call_optimizer_steps
        self.optimizer_steps += count
        self.call_optimizer_steps += count
        return range(first, first + count)

    def count(self, rewards: Sequence[float], num_tokens: int, steps_per_epoch: int) -> dict[str, float]:
        """One step more, with these rewards (NaN: unscorable) and tokens; the counters by logged name."""
        self.step += 1
        self.call_step += 1
        self.num_tokens += num_tokens
        scored = [reward for reward in rewards if not math.isnan(reward)]
        if scored:
            seen = [*scored, *(self.reward_bounds or ())]
            self.reward_low, self.reward_high = min(seen), max(seen)
            mean = math.fsum(scored) / len(scored)
            self.recent_rewards = [*self.recent_rewards, mean][-RECENT_STEPS:]
        recent = self.recent_rewards
        return {
            "num_tokens": float(self.num_tokens),
            "epoch": self.call_step / steps_per_epoch,
            "reward_std_over_steps": statistics.stdev(recent) if len(recent) > 1 else math.nan,
        }


def save_checkpoint(folder: Path, state: TrainerState, tensors: Mapping[str, Tensor], keep: int) -> Path:
    """Write `folder/step_00010` and remove the oldest beyond `keep`.

    Raises:
        CheckpointError: the disk is full or not writable; what was there before is untouched.
    """
    target = folder / f"step_{state.step:05d}"
    temporary = folder / f".tmp-{target.name}-{os.getpid()}"
    try:
        temporary.mkdir(parents=True)
        save_file({name: t.contiguous() for name, t in tensors.items()}, temporary / "tensors.safetensors")
        (temporary / "state.json").write_text(json.dumps(asdict(state), indent=1))
        for file in temporary.iterdir():
            _sync(file)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        _sync(folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {target} could not be written ({error}); the earlier ones are as they were. "
            "Free some disk space (or lower keep_checkpoints), then resume the run"
        ) from error
    finally:
        for unfinished in folder.glob(".tmp-*"):  # of this attempt, or of a process that was killed
            shutil.rmtree(unfinished, ignore_errors=True)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = (p for p in folder.glob("step_*") if (p / "state.json").is_file())
    return sorted(found, key=lambda path: int(path.name.removeprefix("step_")))


def load_checkpoint(run_dir: Path) -> tuple[TrainerState, dict[str, Tensor]]:
    """The newest checkpoint of a run.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    found = list_checkpoints(run_dir / "checkpoints")
    if not found:
        raise CheckpointError(
            f"{run_dir} holds no checkpoint to resume from (it was stopped in its warm start, or before "
            "step save_every): start the run anew in another output_dir, with a lower save_every"
        )
    try:
        state = TrainerState(**json.loads((found[-1] / "state.json").read_text()))
        return state, load_file(found[-1] / "tensors.safetensors")
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {found[-1]} cannot be read ({error}); remove it to resume from the one before"
        ) from error


def restore(run_dir: Path, learner: Learner, data_hash: str) -> TrainerState:
    """Load the newest checkpoint of a run into its learner.

    Raises:
        CheckpointError: there is none, it cannot be read, or it belongs to other rows.
    """
    state, tensors = load_checkpoint(run_dir)
    if state.data_hash != data_hash:
        raise CheckpointError(
            f"{run_dir} was trained on other rows, or in another order: resume it with its own data, "
            "seed, batch_size and rollout_n"
        )
    learner.load_state_tensors(tensors)
    return state


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
