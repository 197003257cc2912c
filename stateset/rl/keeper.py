"""`Keeper`: what a run leaves behind, from its directory to the finished model.

It opens or reopens the run directory, evaluates on held-out tasks, and writes checkpoints and model folders.
What is trained, and when, is decided in `trainer.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stateset.rl.checkpoint import TrainerState, restore, save_checkpoint
from stateset.rl.config.plan import Plan
from stateset.rl.config.rules import acting_values
from stateset.rl.config.schema import Config
from stateset.rl.errors import CheckpointError
from stateset.rl.evaluation.evaluate import evaluate_policy
from stateset.rl.manifest import environment, fingerprint
from stateset.rl.policy.aliases import tag
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.policy import Policy
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rollout.engine import RolloutEngine
from stateset.rl.tracking.recorder import Recorder
from stateset.rl.tracking.run_dir import RunDirectory, new_run_path
from stateset.rl.tracking.tracker import Tracker
from stateset.rl.types import Task


def begin_run(config: Config, policy: Policy, data_hash: str) -> RunDirectory:
    """A new run directory: `output_dir`, or `runs/<time>`."""
    path = Path(config.output_dir) if config.output_dir else new_run_path()
    manifest = {
        "model": policy.name,
        "project": str(config.folder),
        "data_sha256": data_hash,
        "environment": environment(),
    }
    return RunDirectory.create(path, config=_settings(config, policy), manifest=manifest)


def continue_run(path: Path, config: Config, policy: Policy) -> RunDirectory:
    """The run directory of an earlier `train()` call."""
    return RunDirectory.reopen(path, _settings(config, policy))


def resume_run(
    path: Path, config: Config, learner: Learner, data_hash: str
) -> tuple[RunDirectory, TrainerState]:
    """An earlier process's run directory, cut back to its newest checkpoint, which goes into the learner.

    Raises:
        CheckpointError: there is none, or it does not fit the rows or the settings.
    """
    state = restore(path, learner, data_hash)
    if state.warm_start != warm_start_name(config):
        raise CheckpointError(
            f"{path} began with another warm_start, or with none: a warm start comes before the first step. "
            "Resume with the one in its config.resolved.yaml, or begin another run"
        )
    run = continue_run(path, config, learner.policy)
    run.truncate_after(state.step)
    return run, state


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


def _settings(config: Config, policy: Policy) -> dict[str, object]:
    return acting_values(config) | {"model": policy.name}
