"""`GRPOTrainer`: the only file that knows every part. `step()` is one training step, top to bottom.

Sampling, scoring, the update and the log follow each other in one process; nothing runs ahead. What a run leaves on
disk is described in `tracking/run_dir.py`, what a resume needs in `checkpoint.py`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stateset.rl.algorithm.advantages import ADVANTAGES, trainable_rows
from stateset.rl.checkpoint import TrainerState, list_checkpoints, load_checkpoint, save_checkpoint
from stateset.rl.config.load import make_config
from stateset.rl.config.plan import Plan, plan
from stateset.rl.config.schema import Config
from stateset.rl.data.load import load_tasks
from stateset.rl.data.sampler import TaskOrder
from stateset.rl.errors import CheckpointError, ConfigError, StoppedError
from stateset.rl.evaluation.evaluate import Evaluation, evaluate_policy
from stateset.rl.manifest import environment, fingerprint
from stateset.rl.policy.aliases import tag
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.learner import Learner, optimizer_steps
from stateset.rl.policy.load import load_policy, refuse_closed_model
from stateset.rl.policy.optimizer import learning_rate_at
from stateset.rl.rewards.reward import resolve_reward
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import Sampling
from stateset.rl.rollout.model import Model
from stateset.rl.rollout.sample import permutation, sample_seed
from stateset.rl.signals import StopRequest
from stateset.rl.tracking.measure import measure
from stateset.rl.tracking.run_dir import RunDirectory
from stateset.rl.tracking.terminal import Terminal
from stateset.rl.types import RolloutGroup, ScoredGroup, StepMetrics, Task

_MISSING = """nothing to train {what}. Give both, here or to train():
    GRPOTrainer(
        model="smollm2-135m",
        reward_function=lambda prompt, response: float("refund" in response),
    )"""


class GRPOTrainer:
    """Trains a causal language model toward a reward with Group Relative Policy Optimization.

    Args:
        model: a name for `load_policy`, or a loaded `Model`.
        reward_function: what is maximised; `rewards/reward.py` says which shapes are understood.
        config: settings by key, or a `Config` from `load_config`.
        eval_reward_function: picks the best weights on `eval_dataset`; by default the training reward.
        verifier: `(question, answer[, context]) -> bool`, for rewards that ask for `verified`.
        on_step: called with the `StepMetrics` of each step; may be set later.
        trackers: where metrics go besides the run directory and the terminal.
        settings: single keys of `config`; a key given in both must agree.

    Raises:
        ConfigError, ModelNotTrainableError: before anything is loaded.
    """

    def __init__(
        self,
        model: str | Model | None = None,
        reward_function: Any = None,
        config: Mapping[str, Any] | Config | None = None,
        *,
        eval_reward_function: Any = None,
        verifier: Any = None,
        on_step: Callable[[StepMetrics], None] | None = None,
        trackers: Sequence[Any] = (),
        **settings: Any,
    ) -> None:
        self.config = _merge(config, settings)
        _refuse_distributed(self.config)
        self.model: Model | None = model if isinstance(model, Model) else None
        self.model_name = model if isinstance(model, str) else self.config.model
        if self.model_name is not None:
            refuse_closed_model(self.model_name)
        self.reward_function = reward_function
        self.eval_reward_function = eval_reward_function
        self.verifier = verifier
        self.on_step = on_step
        self.trackers = tuple(trackers)
        self.state = TrainerState()
        self.recorder: Recorder | None = None

    def train(
        self,
        dataset: Any = None,
        *,
        data: Any = None,
        eval_dataset: Any = None,
        model: str | Model | None = None,
        reward_function: Any = None,
        epochs: int | None = None,
        reward_scale: float = 1.0,
        resume: str | os.PathLike[str] | None = None,
    ) -> Model:
        """Train on a data set; called again, go on from the same weights, optimizer and step count.

        Args:
            dataset: rows: a path, a list of dicts, a `datasets.Dataset`; `data=` is the same.
            eval_dataset: held-out rows, never trained on.
            model: as in the constructor.
            reward_function: as in the constructor.
            epochs: passes over the rows in this call; default: the config's.
            reward_scale: multiplies this call's learning rate. (A factor on rewards would cancel in the advantages.)
            resume: run directory to go on from, with the same data.
        Returns:
            The trained model, also saved in the run directory.
        Raises:
            DataError, ConfigError, RewardError, ModelError: with what to do.
            StoppedError: a signal stopped the run; its checkpoint is written.
        """
        tasks = load_tasks(_given(dataset, data, self.config.dataset, missing=_NO_DATA))
        held_out_rows = eval_dataset if eval_dataset is not None else self.config.eval_dataset
        held_out = [] if held_out_rows is None else load_tasks(held_out_rows)
        config = self.config if epochs is None else self.config.model_copy(update={"epochs": epochs})
        self.plan = plan(config, len(tasks))
        self.reward_scale = reward_scale
        with contextlib.ExitStack() as stack:
            self._open(stack, model, reward_function, resume, fingerprint(map(repr, tasks)))
            for task in [*tasks, *held_out]:
                self.policy.encode_task(task, config.max_prompt_length)
            self._loop(tasks, held_out, stack.enter_context(StopRequest()))
            return self._finish()

    def _loop(self, tasks: Sequence[Task], held_out: Sequence[Task], stop: StopRequest) -> None:
        """Steps in data order, with evaluations and checkpoints between them."""
        order = TaskOrder(len(tasks), self.config.batch_size, sample_seed(self.config.seed, "order", self.state.call, "", 0))
        started = time.monotonic()
        if held_out and self.state.step == 0:
            self._evaluate(held_out)
        while self.state.call_step < self.plan.total_steps:
            epoch, index = divmod(self.state.call_step, order.steps_per_epoch)
            metrics = self.step([tasks[i] for i in order.batch(epoch, index)])
            if self.on_step is not None:
                self.on_step(metrics)
            last = self.state.call_step == self.plan.total_steps
            late = self.config.max_minutes is not None and time.monotonic() - started > self.config.max_minutes * 60
            if held_out and (last or late or self.state.step % self.config.eval_every == 0):
                self._evaluate(held_out)
            if last or late or stop.number or self.state.step % self.config.save_every == 0:
                self._save_checkpoint(required=bool(stop.number))
            if stop.number:
                raise StoppedError(
                    f"stopped after step {self.state.step}; go on with: stateset-rl train --resume {self.recorder.path}", stop.number
                )
            if late:
                self.recorder.event(self.state.step, "stopped", f"max_minutes = {self.config.max_minutes} is over")
                return

    # -- one step ------------------------------------------------------------------------------------------------

    def step(self, tasks: Sequence[Task]) -> StepMetrics:
        """One training step on these tasks: sample, score, compare within the group, reinforce, measure."""
        number = self.state.step + 1
        with self.recorder.phase("rollout"):
            groups = self.rollout(tasks, number)
        with self.recorder.phase("reward"):
            scored = self.scorer.score(groups)
        rewards = torch.tensor([value for group in scored for value in group.values], dtype=torch.float64)
        batch = Batch.from_groups(groups)
        advantages = self.advantages(rewards, batch.groups)
        batch = batch.masked(trainable_rows(rewards, batch.groups)).to(self.policy.device)
        with self.recorder.phase("update"):
            learned = self.update(batch, advantages.to(batch.mask))
        with self.recorder.phase("weights"):
            self.engine.load_weights(self.policy)
        self._count(batch, rewards)
        metrics = measure(scored, learned | self._counters(), step=number, bounds=self._bounds())
        self.recorder.step(metrics, scored, advantages.tolist())
        return metrics

    def rollout(self, tasks: Sequence[Task], step: int) -> list[RolloutGroup]:
        """`rollout_n` responses to each task."""
        config = self.config
        sampling = Sampling(
            temperature=config.temperature, max_tokens=config.max_response_length, stop_ids=self.policy.stop_ids
        )
        return collect_groups(
            self.engine, self.policy, tasks,
            num_samples=config.rollout_n, sampling=sampling, max_prompt_length=config.max_prompt_length,
            run_seed=config.seed, purpose="rollout", step=step,
        )  # fmt: skip

    def advantages(self, rewards: Tensor, groups: Tensor) -> Tensor:
        """[B] rewards (NaN: unscorable) and [B] group indices -> [B] advantages."""
        estimator = ADVANTAGES[self.config.adv_estimator]
        if self.config.adv_estimator == "grpo":
            return estimator(rewards, groups, norm_by_std=self.config.norm_adv_by_std)
        return estimator(rewards, groups)

    def update(self, batch: Batch, advantages: Tensor) -> dict[str, float]:
        """Every optimizer step of one rollout batch: `ppo_epochs` passes over its mini-batches of whole groups."""
        config, num_groups = self.config, len(batch.prompts)
        groups_each = config.mini_batch_size // config.rollout_n
        steps: list[list[int]] = []
        for epoch in range(config.ppo_epochs):
            order = list(range(num_groups))
            if groups_each < num_groups:
                order = permutation(num_groups, sample_seed(config.seed, "mini-batches", self.state.step, str(epoch), 0))
            steps += optimizer_steps(order, groups_each, config.gradient_accumulation_steps)
        return self.learner.update(batch, advantages, steps, self._next_learning_rate)

    def _next_learning_rate(self) -> float:
        state, config = self.state, self.config
        rate = learning_rate_at(
            state.call_optimizer_steps,
            peak=config.learning_rate * self.reward_scale,
            warmup=config.warmup_steps if state.call == 0 else 0,
            total=self.plan.total_updates,
            schedule=config.schedule,
        )
        state.optimizer_steps += 1
        state.call_optimizer_steps += 1
        return rate

    def _count(self, batch: Batch, rewards: Tensor) -> None:
        state, scored = self.state, rewards[~rewards.isnan()].tolist()
        state.step += 1
        state.call_step += 1
        state.num_tokens += sum(map(len, batch.prompts)) + int(batch.lengths.sum())
        if scored:
            state.reward_low = min([*scored, *([] if state.reward_low is None else [state.reward_low])])
            state.reward_high = max([*scored, *([] if state.reward_high is None else [state.reward_high])])

    # -- around the steps ----------------------------------------------------------------------------------------

    def _open(
        self, stack: contextlib.ExitStack, model: Any, reward: Any, resume: str | os.PathLike[str] | None, data_hash: str
    ) -> None:
        """Load what is not loaded yet, start the reward workers, open or reopen the run directory."""
        config = self.config
        self.reward_function = reward or self.reward_function or config.reward
        if self.reward_function is None:
            raise ConfigError(_MISSING.format(what="toward: there is no reward"))
        self._open_scorers(stack)
        if self.learner is None or model is not None:
            self._open_model(model)
        self.recorder = stack.enter_context(
            Recorder.open(
                resume or (self.recorder and self.recorder.path) or config.output_dir,
                config=config.model_dump(mode="json"),
                manifest={"model": self.policy.name, "data_sha256": data_hash, **environment()},
                trackers=self.trackers,
                total_steps=self.state.step + self.plan.total_steps,
                resume=resume is not None,
            )
        )
        if resume is not None:
            self._restore(Path(resume), data_hash)
        elif self.state.data_hash:  # a later call of the same trainer
            self.state.call += 1
            self.state.call_step = self.state.call_optimizer_steps = 0
        self.state.data_hash = data_hash
        for notice in (*config.notices, *self.policy.notices, *filter(None, [self.scorer.notice])):
            self.recorder.notice(notice)

    def _open_scorers(self, stack: contextlib.ExitStack) -> None:
        config = self.config

        def scorer(reward: Any) -> RewardScorer:
            found = resolve_reward(reward, config.folder) if isinstance(reward, str) else reward
            return stack.enter_context(
                RewardScorer(found, verifier=self.verifier, timeout_seconds=config.reward_timeout_seconds)
            )

        self.scorer = scorer(self.reward_function)
        other = self.eval_reward_function or config.eval_reward
        self.eval_scorer = self.scorer if other is None else scorer(other)

    def _open_model(self, model: str | Model | None) -> None:
        config = self.config
        self.model = model if isinstance(model, Model) else self.model
        name = model if isinstance(model, str) else self.model_name
        if self.model is None or isinstance(model, str):
            if name is None:
                raise ConfigError(_MISSING.format(what="there is no model"))
            self.model = Model(
                load_policy(
                    name,
                    device=config.device,
                    dtype=config.compute_dtype,
                    lora_rank=config.lora_rank if config.lora else None,
                    lora_alpha=config.lora_alpha,
                    gradient_checkpointing=config.gradient_checkpointing,
                    seed=config.seed,
                )
            )
        self.policy, self.engine = self.model.policy, self.model.engine
        self.learner = Learner(self.policy, config, exact_sampler=self.engine.exact)

    def _restore(self, run: Path, data_hash: str) -> None:
        self.state, tensors = load_checkpoint(run)
        if self.state.data_hash != data_hash:
            raise CheckpointError(f"{run} was trained on other rows than these: resume it with its own data set")
        self.learner.load_state_tensors(tensors)
        self.engine.load_weights(self.policy)

    def _evaluate(self, held_out: Sequence[Task]) -> None:
        """Score greedy answers to the held-out tasks; keep the weights of the best mean in `best/`."""
        with self.recorder.phase("evaluation"):
            found = evaluate_policy(
                self.policy, self.engine, held_out, self.eval_scorer.score,
                max_tokens=self.config.max_response_length, max_prompt_length=self.config.max_prompt_length,
            )  # fmt: skip
        best = self.state.best_reward
        improved = found.num_scored > 0 and (best is None or found.reward > best)
        self.recorder.evaluation(self.state.step, found.reward, found.parts, found.groups, improved)
        if improved:
            self.state.best_reward, self.state.best_step = found.reward, self.state.step
            if self.state.step:
                self._save_model(self.recorder.path / "best")

    def _save_checkpoint(self) -> None:
        with self.recorder.phase("checkpoint"):
            folder = self.recorder.path / "checkpoints"
            save_checkpoint(folder, self.state, self.learner.state_tensors(), self.config.keep_checkpoints)

    def _finish(self) -> Model:
        folder = self._save_model(self.recorder.path / "model")
        tag("base", self.policy.name)
        tag("grpo_trained", folder)
        assert self.model is not None
        self.model.run_dir = self.recorder.path
        return self.model

    def _save_model(self, folder: Path) -> Path:
        self.policy.save(folder)
        lineage = {"base": self.policy.name, "run": str(self.recorder.path.absolute()), "step": self.state.step,
                   "data_sha256": self.state.data_hash, "objective": self.config.objective}  # fmt: skip
        write_json(folder / "stateset_rl.json", lineage)
        return folder

    def _counters(self) -> dict[str, float]:
        state = self.state
        return {"num_tokens": float(state.num_tokens), "epoch": state.call_step / self.plan.steps_per_epoch}

    def _bounds(self) -> tuple[float, float] | None:
        declared: tuple[float, float] | None = self.scorer.bounds
        if declared is not None:
            return declared
        low, high = self.state.reward_low, self.state.reward_high
        return None if low is None or high is None else (low, high)


def _merge(config: Mapping[str, Any] | Config | None, settings: Mapping[str, Any]) -> Config:
    """One config of a mapping or `Config` and single keywords."""
    if isinstance(config, Config):
        if settings:
            raise ConfigError(f"a Config and the keywords {', '.join(settings)}: give them to load_config as overrides")
        return config
    given = dict(config or {})
    clash = [key for key in settings if key in given and given[key] != settings[key]]
    if clash:
        raise ConfigError(f"{clash[0]} is {given[clash[0]]!r} in config and {settings[clash[0]]!r} as a keyword: keep one")
    return make_config(given | dict(settings))


def _refuse_distributed(config: Config) -> None:
    if config.distributed:
        there = torch.cuda.device_count()
        raise ConfigError(
            f"distributed: true asks for {config.num_gpus} devices; this machine has {there} GPUs, and this version "
            "trains on one device. Remove `distributed`, or lower micro_batch_tokens if memory is the reason"
        )


def _given(*candidates: Any, missing: str) -> Any:
    for candidate in candidates:
        if candidate is not None:
            return candidate
    raise ConfigError(missing)
