"""What a checkpoint holds: everything that the next step depends on, at the boundary between two steps.

Float32 master weights, AdamW's moments, the loss scale of fp16, the reference weights where KL is used; the
counters of `TrainerState`; where the logs ended; Python's, numpy's and torch's global random states for
user code; and the `Origin`: settings, versions and models that must be the same when a run goes on.
safetensors and JSON only; how the files become whole or nothing is `checkpoint_files.py`'s. A step that was
cut off is not in it: its draws are counted, so that it is taken again bit for bit.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stateset.rl.checkpoint_files import commit, damage, list_checkpoints, rotate
from stateset.rl.errors import CheckpointError
from stateset.rl.manifest import write_json_atomic
from stateset.rl.policy.learner import Learner
from stateset.rl.random_states import RandomStates, restore_random

RECENT_STEPS = 20


@dataclass(slots=True, kw_only=True)
class TrainerState:
    """The counters of a run.

    Attributes:
        step: training steps done.
        warm_start: name of the supervised stage that is done, empty without one.
        warm_step: supervised steps done of a stage that is not.
        optimizer_steps: of the whole run.
        num_tokens: tokens seen by the policy, prompts once a group.
        warming: whether a supervised stage has begun and is not done.
        call: which `train()` call this is, from 0.
        total_steps: of this call, as it was planned; 0 before.
        call_step: steps done in this call; the data order follows from it.
        call_optimizer_steps: of this call; the learning rate follows from it.
        reward_low: the lowest reward so far, None before the first.
        reward_high: the highest.
        best_reward: the best held-out mean whose weights were saved, None before the first.
        best_step: where that was.
        data_hash: fingerprint of this call's tasks and of what their order depends on.
        eval_hash: fingerprint of what `best_reward` was measured with.
        evaluated_step: of the latest evaluation that was not cut off.
        recent_rewards: mean rewards of the last steps.
        reward_worked: whether the reward of this call has scored any response.
        others_drawn: prompts taken from the second data order so far in this call.
        retired: ids of the prompts that are solved and not asked again.
        target_difficulty: of the next prompts under `target_pass_rate`.
        asked: ids of the prompts that were asked in this epoch, under `target_pass_rate`.
    """

    step: int = 0
    warm_start: str = ""
    warm_step: int = 0
    optimizer_steps: int = 0
    num_tokens: int = 0
    warming: bool = False
    call: int = 0
    total_steps: int = 0
    call_step: int = 0
    call_optimizer_steps: int = 0
    reward_low: float | None = None
    reward_high: float | None = None
    best_reward: float | None = None
    best_step: int | None = None
    data_hash: str = ""
    eval_hash: str = ""
    evaluated_step: int | None = None
    recent_rewards: list[float] = field(default_factory=list)
    reward_worked: bool = False
    others_drawn: int = 0
    retired: list[str] = field(default_factory=list)
    target_difficulty: float = 0.0
    asked: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the checkpoint that holds it."""
        return f"warm_{self.warm_step:05d}" if self.warming else f"step_{self.step:05d}"

    @property
    def reward_bounds(self) -> tuple[float, float] | None:
        """The lowest and highest reward so far."""
        if self.reward_low is None or self.reward_high is None:
            return None
        return self.reward_low, self.reward_high

    def improves(self, reward: float) -> bool:
        """Whether this held-out mean (NaN: nothing was scored) is above the best so far."""
        return not math.isnan(reward) and (self.best_reward is None or reward > self.best_reward)

    def begin_call(self) -> None:
        """Another `train()` call: its own data order and learning rate schedule."""
        self.call += 1
        self.call_step = self.call_optimizer_steps = self.others_drawn = 0
        self.retired, self.asked, self.reward_worked, self.total_steps = [], [], False, 0

    def plan(self, total_steps: int) -> str:
        """How long this call shall be; what to say where it was to have another length."""
        before, self.total_steps = self.total_steps, total_steps
        if before in (0, total_steps):
            return ""
        return f"this call was to take {before} steps and now takes {total_steps} (epochs, max_steps)"

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


Origin = dict[str, Any]
"""What must be the same when a run goes on, by the key that `allow_change` names."""

ROOM = 2**20  # bytes beside the tensors


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        path: its folder.
        state: the counters.
        origin: what it was made with.
        tensors: weights and optimizer, under flat names.
        log_bytes: length of each log when it was written.
        passed_over: newer ones that are damaged, each with the file that is.
    """

    path: Path
    state: TrainerState
    origin: Origin
    tensors: dict[str, Tensor]
    log_bytes: dict[str, int]
    passed_over: tuple[str, ...]


def save_checkpoint(
    folder: Path,
    state: TrainerState,
    tensors: Mapping[str, Tensor],
    keep: int,
    origin: Origin | None = None,
    log_bytes: Mapping[str, int] | None = None,
) -> Path:
    """Write `folder/step_00010` and remove the oldest beyond `keep` (`checkpoint_files.rotate`).

    All but `log_bytes` is the same in equal runs, byte for byte.

    Raises:
        CheckpointError: the disk is full or not writable; what was there before is untouched.
    """
    target = folder / state.name
    random = RandomStates.now()
    everything = {**tensors, **random.tensors}
    best = "" if state.best_step is None else f"step_{state.best_step:05d}"

    def write(place: Path) -> None:
        save_file({name: t.contiguous() for name, t in everything.items()}, place / "tensors.safetensors")
        write_json_atomic(place / "state.json", asdict(state))
        write_json_atomic(place / "origin.json", origin or {})
        write_json_atomic(place / "random.json", random.others)
        write_json_atomic(place / "logs.json", log_bytes or {})

    try:
        commit(target, write, sum(t.nbytes for t in everything.values()) + ROOM)
        rotate(folder, keep, best)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {target} could not be written ({error}); the earlier ones are as they were. "
            "Free some disk space"
        ) from error
    return target


def load_checkpoint(run_dir: Path) -> Checkpoint | None:
    """The newest checkpoint of a run that verifies, None if the run has not come to its first.

    Raises:
        CheckpointError: all are damaged.
    """
    passed_over: list[str] = []
    for path in reversed(list_checkpoints(run_dir / "checkpoints")):
        problem = damage(path)
        if problem is None:
            return _read(path, tuple(passed_over))
        passed_over.append(f"{path}: {problem}")
    if passed_over:
        raise CheckpointError(
            f"{run_dir} has no whole checkpoint to go on from ({'; '.join(passed_over)}): restore one from a "
            "copy, or start the run anew in another output_dir"
        )
    return None


def restore(checkpoint: Checkpoint, learner: Learner) -> TrainerState:
    """Put a checkpoint into the learner, and the global random states back.

    Raises:
        CheckpointError: it belongs to another model, adapter or KL setting; nothing was changed.
    """
    learner.load_state_tensors(checkpoint.tensors)
    found = json.loads((checkpoint.path / "random.json").read_text(encoding="utf-8"))
    restore_random(checkpoint.tensors, found)
    return checkpoint.state


def changed(then: Origin, now: Origin, allowed: Collection[str] = ()) -> list[str]:
    """What differs between the run's beginning and now, a sentence a key.

    Args:
        then: of the checkpoint.
        now: of this process.
        allowed: keys that may differ.
    Raises:
        CheckpointError: a key differs that may not; or `allowed` names one that there is none of.
    """
    unknown = sorted(set(allowed) - then.keys() - now.keys())
    if unknown:
        raise CheckpointError(f"allow_change names {', '.join(unknown)}: there is {', '.join(sorted(now))}")
    told = {
        key: f"{key} was {json.dumps(then.get(key))} and is {json.dumps(now.get(key))}"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key)
    }
    refused = [key for key in told if key not in allowed]
    if refused:
        flags = " ".join(f"--allow-change {key}" for key in refused)
        raise CheckpointError(
            f"this run would go on as another one: {'; '.join(told[key] for key in refused)}. Resume with "
            f"what it began with, or say what may differ: {flags} (in Python train(..., allow_change=[...]))"
        )
    return list(told.values())


def _read(path: Path, passed_over: tuple[str, ...]) -> Checkpoint:
    try:
        return Checkpoint(
            path,
            TrainerState(**json.loads((path / "state.json").read_text(encoding="utf-8"))),
            json.loads((path / "origin.json").read_text(encoding="utf-8")),
            load_file(path / "tensors.safetensors"),
            json.loads((path / "logs.json").read_text(encoding="utf-8")),
            passed_over,
        )
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {path} is whole, but not of this version of stateset-rl ({error}): resume with the "
            "version that its origin.json names"
        ) from error
