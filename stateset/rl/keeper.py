"""`Keeper`: what a run leaves behind, from its directory to the finished model.

It opens or reopens the run directory, evaluates on held-out tasks, and writes checkpoints and model folders.
What is trained, and when, is decided in `trainer.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stateset.rl.checkpoint import (
    Checkpoint,
    Origin,
    TrainerState,
    changed,
    load_checkpoint,
    restore,
    save_checkpoint,
)
from stateset.rl.checkpoint_files import bring_back, list_checkpoints, tidy
from stateset.rl.config.plan import Plan
from stateset.rl.config.rules import acting_values
from stateset.rl.config.schema import Config
from stateset.rl.errors import CheckpointError, ModelError, StoppedError
from stateset.rl.evaluation.evaluate import evaluate_policy
from stateset.rl.manifest import environment, fingerprint, to_json
from stateset.rl.origin import comparable
from stateset.rl.policy.aliases import tag
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.memory import peak_bytes
from stateset.rl.policy.policy import Policy
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rollout.engine import RolloutEngine
from stateset.rl.tracking.read_runs import read_jsonl, read_run
from stateset.rl.tracking.recorder import Recorder
from stateset.rl.tracking.run_dir import RunDirectory, new_run_path, refuse_running
from stateset.rl.tracking.silent import SilentRecorder
from stateset.rl.tracking.tracker import Tracker
from stateset.rl.types import Task

_WITHOUT = "training goes on without this checkpoint"


@dataclass(frozen=True, slots=True)
class Resume:
    """Which run to go on with, and which keys of its `Origin` may differ from its beginning."""

    path: Path
    allow_change: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: str | os.PathLike[str] | None, allow_change: Sequence[str]) -> Resume | None:
        """None for a run that begins."""
        return None if path is None else cls(Path(path), tuple(allow_change))

    @property
    def has_steps(self) -> bool:
        """Whether the run has saved a training step, so that its reward was found fit to train on."""
        saved = list_checkpoints(self.path / "checkpoints")
        return any(path.name.startswith("step_") and path.name >= "step_00001" for path in saved)


def open_together(
    open_it: Callable[[], tuple[RunDirectory, TrainerState, list[str]]],
    learner: Learner,
    resume: Resume | None,
) -> tuple[RunDirectory | Path, TrainerState, list[str]]:
    """What `open_run` gives the leading rank; the others get the run's path, its state and its tensors."""
    opened: list[tuple[RunDirectory, TrainerState, list[str]]] = []

    def lead() -> dict[str, Any]:
        opened.append(open_it())
        run, state, _ = opened[0]
        return {"path": str(run.path), "state": asdict(state)}

    told = learner.world.lead(lead)
    if opened:
        return opened[0]
    checkpoint = None if resume is None else load_checkpoint(resume.path)
    if checkpoint is not None:
        restore(checkpoint, learner)
    return Path(told["path"]), TrainerState(**told["state"]), []


def open_run(
    config: Config,
    learner: Learner,
    state: TrainerState,
    data_hash: str,
    earlier: Path | None,
    resume: Resume | None,
    origin: Origin,
    about: Mapping[str, Any],
) -> tuple[RunDirectory, TrainerState, list[str]]:
    """The run directory of one `train()` call, the state to go on from, and what the user should know.

    Args:
        config: the run's settings.
        learner: gets the checkpoint's tensors in a resume.
        state: that of the trainer's last call.
        data_hash: fingerprint of this call's rows.
        earlier: the run directory of the trainer's last call; None in the first, which makes one.
        resume: the run of an earlier process, cut back to its newest whole checkpoint, or to its beginning
            where there is none yet.
        origin: from `origin_of`.
        about: more for the manifest of a new run.
    Raises:
        CheckpointError: every checkpoint is damaged, or the run would go on as another one.
    """
    settings, notices = acting_values(config) | {"model": learner.policy.name}, []
    if resume is not None:
        refuse_running(resume.path)
        checkpoint = load_checkpoint(resume.path)
        if checkpoint is not None:
            notices = _refuse_another(checkpoint, data_hash, origin, resume.allow_change)
            state = restore(checkpoint, learner)
        else:
            notices = _refuse_lost(resume.path, config.save_every)
        run = RunDirectory.reopen(resume.path, settings)
        run.cut_back(state.step, checkpoint.log_bytes if checkpoint else {})
        tidy(run.path / "checkpoints", checkpoint.path if checkpoint else None)
        bring_back(run.path)
    elif earlier is not None:
        run = RunDirectory.reopen(earlier, settings)
        state.begin_call()
    else:
        manifest = {
            "model": learner.policy.name,
            "project": str(config.folder),
            "parameters": learner.num_parameters,
            "data_sha256": data_hash,
            **about,
            "environment": environment(),
        }
        path = Path(config.output_dir) if config.output_dir else new_run_path()
        run = RunDirectory.create(path, config=settings, manifest=manifest)
    state.data_hash = data_hash
    return run, state, notices


def _refuse_lost(run: Path, save_every: int) -> list[str]:
    """Refuse to begin anew where checkpoints were written: the records of their steps would be cut off.

    Those that found no room were told, and never written.
    """
    read = read_run(run)
    due = (read.last_step - 1) // save_every  # the last step's line comes before its checkpoint
    failed = sum(str(line.get("message", "")).endswith(_WITHOUT) for line in read_jsonl(run / "events.jsonl"))
    if read.status == "finished" or due > failed:
        raise CheckpointError(
            f"{run} has records of {read.last_step} steps and no checkpoint: it cannot go on, and to begin "
            f"anew would delete them. Restore {run / 'checkpoints'} from a copy, or train in another folder"
        )
    said = f"no checkpoint of {read.last_step} steps found room on the disk: the run begins anew"
    return [said] if failed else []


def _refuse_another(
    checkpoint: Checkpoint, data_hash: str, origin: Origin, allow_change: Sequence[str]
) -> list[str]:
    """Refuse a resume that would be another run; what differs by permission, and what was passed over."""
    state = checkpoint.state
    if state.data_hash != data_hash:
        later = f" of its train() call number {state.call + 1}" if state.call else ""
        raise CheckpointError(
            f"{checkpoint.path} was trained on other rows, or in another order: resume it with the "
            f"data{later}, seed, batch_size and rollout_n that it had"
        )
    differs = changed(*comparable(checkpoint.origin, json.loads(to_json(origin)), state), allow_change)
    notices = [f"allowed to differ: {sentence}" for sentence in differs]
    if checkpoint.passed_over:
        damaged = "; ".join(checkpoint.passed_over)
        notices.append(f"going on from {checkpoint.path}, because newer checkpoints are damaged: {damaged}")
    return notices


def warm_start_name(config: Config) -> str:
    """Tells one supervised stage from another; empty without one."""
    return "" if config.warm_start is None else fingerprint([config.warm_start.model_dump_json()])


def open_recorder(
    run: RunDirectory | Path,
    config: Config,
    plan: Plan,
    policy: Policy,
    state: TrainerState,
    trackers: Sequence[Tracker],
) -> Recorder:
    """The recorder of one `train()` call: a silent one where a rank does not lead and has a path alone."""
    if isinstance(run, Path):
        return SilentRecorder(run)
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
    """Evaluates and saves during one `train()` call; of several ranks the leading one alone writes."""

    config: Config
    policy: Policy
    engine: RolloutEngine
    learner: Learner
    state: TrainerState
    recorder: Recorder
    origin: Origin

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
        best = self.state.improves(found.reward) and self.keep_model("best")
        if best:
            self.state.best_reward, self.state.best_step = found.reward, self.state.step
        self.recorder.evaluation(self.state.step, found.reward, found.parts, found.groups, best=best)

    def save_checkpoint(self) -> None:
        """Write what a resume needs; where that fails, training goes on from what lies on the disk so far."""
        self.learner.world.refuse_drift([*self.learner.optimizer.masters.values()])
        if not self.learner.world.leads:
            return
        with self.recorder.phase("checkpoint"):
            folder, tensors = self.recorder.path / "checkpoints", self.learner.state_tensors()
            keep, logs = self.config.keep_checkpoints, self.recorder.log_bytes()
            try:
                save_checkpoint(folder, self.state, tensors, keep, self.origin, logs)
            except CheckpointError as error:
                self.recorder.warning(self.state.step, f"{error}; {_WITHOUT}")

    def stopped(self, number: int) -> StoppedError:
        """What a run ends with that the signal `number` stopped, and what it goes on from."""
        config, done = self.config, self.state
        whole = config.dataset and config.reward and config.model  # the command line can find all of it
        run = self.recorder.path
        again = f"train(the same rows, epochs={config.epochs}, resume='{run}')"
        hint = f"stateset-rl train --resume {run}" if whole else again
        where = f"step {done.warm_step} of the warm start" if done.warm_step else f"step {done.step}"
        folder = run / "checkpoints"
        saved = self.learner.world.lead(lambda: [path.name for path in list_checkpoints(folder)])
        missing = (
            "" if done.name in saved else f" (the newest checkpoint is {saved[-1] if saved else 'none'})"
        )
        return StoppedError(f"stopped after {where}{missing}; go on with: {hint}", number)

    def save_model(self, name: str) -> Path:
        """Write the current weights as the model folder `name`, with where they came from."""
        run = self.recorder.path
        if not self.learner.world.leads:
            return run / name
        lineage = {
            "base": self.policy.name,
            "run": str(run.absolute()),
            "objective": self.config.objective,
            "step": self.state.step,
            "data_sha256": self.state.data_hash,
        }
        return self.policy.save(run / name, lineage)

    def keep_model(self, name: str) -> bool:
        """`save_model`; where that fails, training goes on with the older folder. Whether it was written."""

        def write() -> bool:
            try:
                self.save_model(name)
            except CheckpointError as error:
                self.recorder.warning(self.state.step, f"{error}; training goes on without this {name}/")
                return False
            return True

        return bool(self.learner.world.lead(write))

    def finish(self) -> None:
        """Save the trained model and let `grpo_trained` name it, `base` what it started from.

        Raises:
            CheckpointError: it could not be written.
        """
        try:
            folder = self.save_model("model")
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}, then resume the run: it goes on from its newest checkpoint and writes the model"
            ) from error
        if not self.learner.world.leads:
            return
        try:
            tag("base", self.policy.name)
            tag("grpo_trained", folder)
        except (OSError, ModelError) as error:
            self.recorder.notice(self.state.step, f"the model is saved, but not named grpo_trained ({error})")
