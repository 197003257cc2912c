"""`Keeper`: what a run leaves behind, from its directory to the finished model.

It opens or reopens the run directory, evaluates on held-out tasks, and writes checkpoints and model folders.
What is trained, and when, is decided in `trainer.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stateset.rl.checkpoint import TrainerState, restore, save_checkpoint
from stateset.rl.config.plan import Plan
from stateset.rl.config.rules import acting_values
from stateset.rl.config.schema import Config
from stateset.rl.errors import CheckpointError, StoppedError
from stateset.rl.evaluation.evaluate import evaluate_policy
from stateset.rl.manifest import environment, fingerprint
from stateset.rl.policy.aliases import tag
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.memory import peak_bytes
from stateset.rl.policy.policy import Policy
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rollout.engine import RolloutEngine
from stateset.rl.tracking.recorder import Recorder
from stateset.rl.tracking.run_dir import RunDirectory, new_run_path
from stateset.rl.tracking.tracker import Tracker
from stateset.rl.types import Task


def tasks_fingerprint(tasks: Sequence[Task], *facts: object) -> str:
    """Hash of a data set's rows, wherever they were read from, and of facts that go with them."""
    return fingerprint([*map(str, facts), *(repr(replace(task, source="")) for task in tasks)])


def order_facts(config: Config) -> tuple[object, ...]:
    """What the order of a run's tasks depends on beside the rows."""
    return config.seed, config.batch_size, config.rollout_n, config.target_pass_rate


def open_run(
    config: Config,
    learner: Learner,
    state: TrainerState,
    data_hash: str,
    earlier: Path | None,
    resume: str | os.PathLike[str] | None,
) -> tuple[RunDirectory, TrainerState]:
    """The run directory of one `train()` call, and the state to go on from.

    Args:
        config: the run's settings.
        learner: gets the checkpoint's tensors in a resume.
        state: that of the trainer's last call.
        data_hash: fingerprint of this call's rows.
        earlier: the run directory of the trainer's last call; None in the first, which makes one.
        resume: the run directory of an earlier process, cut back to its newest checkpoint.
    Raises:
        CheckpointError: there is none, or it does not fit the rows or the settings.
    """
    settings = acting_values(config) | {"model": learner.policy.name}
    if resume is not None:
        state = _restore(Path(resume), config, learner, data_hash)
        run = RunDirectory.reopen(Path(resume), settings)
        run.truncate_after(state.step)
    elif earlier is not None:
        run = RunDirectory.reopen(earlier, settings)
        state.begin_call()
    else:
        manifest = {
            "model": learner.policy.name,
            "project": str(config.folder),
            "parameters": learner.num_parameters,
            "data_sha256": data_hash,
            "environment": environment(),
        }
        path = Path(config.output_dir) if config.output_dir else new_run_path()
        run = RunDirectory.create(path, config=settings, manifest=manifest)
    state.data_hash = data_hash
    return run, state


def _restore(path: Path, config: Config, learner: Learner, data_hash: str) -> TrainerState:
    state = restore(path, learner, data_hash)
    if state.warm_start != warm_start_name(config):
        raise CheckpointError(
            f"{path} began with another warm_start, or with none: a warm start comes before the first step. "
            "Resume with the one in its config.resolved.yaml, or begin another run"
        )
    return state


def warm_start_name(config: Config) -> str:
    """Tells one supervised stage from another; empty without one."""
    return "" if config.warm_start is None else fingerprint([config.warm_start.model_dump_json()])


def open_recorder(
    run: RunDirectory,
    config: Config,
    plan: Plan,
    policy: Policy,
    state: TrainerState,
    trackers: Sequence[Tracker],
) -> Recorder:
    """The recorder of one `train()` call."""
    return Recorder.of_run(
        run,
        config,
        plan,
        step=state.step,
        last_step=state.step - state.call_step + plan.total_steps,
        num_parameters=policy.num_parameters,
        device=policy.device.type,
        peak_bytes=lambda: peak_bytes(policy.device),
        trackers=trackers,
    )


@dataclass(frozen=True, slots=True)
class Keeper:
    """Evaluates and saves during one `train()` call."""

    config: Config
    policy: Policy
    engine: RolloutEngine
    learner: Learner
    state: TrainerState
    recorder: Recorder

    def evaluate(self, held_out: Sequence[Task], scorer: RewardScorer) -> None:
        """Score greedy answers to the held-out tasks; keep the weights of the best mean in `best/`."""
        if not held_out:
            return
        with self.recorder.phase("evaluation"):
            found = evaluate_policy(
                self.policy,
                self.engine,
                held_out,
                scorer.score,
                max_tokens=self.config.max_response_length,
                max_prompt_length=self.config.max_prompt_length,
            )
        best = self.state.improves(found.reward)
        self.recorder.evaluation(self.state.step, found.reward, found.parts, found.groups, best=best)
        if best:
            self.save_model("best")

    def save_checkpoint(self) -> None:
        """Write what a resume needs."""
        with self.recorder.phase("checkpoint"):
            folder = self.recorder.path / "checkpoints"
            save_checkpoint(folder, self.state, self.learner.state_tensors(), self.config.keep_checkpoints)

    def stopped(self, number: int) -> StoppedError:
        """What a run ends with that the signal `number` stopped after its checkpoint was written."""
        config = self.config
        whole = config.dataset and config.reward and config.model  # the command line can find all of it
        command = "stateset-rl train --resume {}" if whole else "train(the same rows, resume='{}')"
        hint = command.format(self.recorder.path)
        return StoppedError(f"stopped after step {self.state.step}; go on with: {hint}", number)

    def save_model(self, name: str) -> Path:
        """Write the current weights as the model folder `name`, with where they came from."""
        run = self.recorder.path
        lineage = {
            "base": self.policy.name,
            "run": str(run.absolute()),
            "objective": self.config.objective,
            "step": self.state.step,
            "data_sha256": self.state.data_hash,
        }
        return self.policy.save(run / name, lineage)

    def finish(self) -> None:
        """Save the trained model and let `grpo_trained` name it, `base` what it started from."""
        folder = self.save_model("model")
        try:
            tag("base", self.policy.name)
            tag("grpo_trained", folder)
        except OSError as error:
            self.recorder.notice(self.state.step, f"the model is saved, but not named grpo_trained ({error})")
