"""`GRPOTrainer`: the only file that knows every part. `step()` is one training step, top to bottom.

A step ends before the next begins, on every rank. What stays on disk: `tracking/run_dir.py`, `checkpoint.py`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from stateset.rl.algorithm.advantages import trainable_rows
from stateset.rl.arguments import NO_DATA, NOTHING, given, held_out_tasks
from stateset.rl.checkpoint import TrainerState
from stateset.rl.config.load import merge_settings
from stateset.rl.config.plan import plan
from stateset.rl.config.schema import Config
from stateset.rl.course import Course
from stateset.rl.credit import token_advantages
from stateset.rl.data.load import load_tasks
from stateset.rl.errors import ConfigError
from stateset.rl.keeper import Keeper, Resume, open_recorder, open_run, open_together
from stateset.rl.launch import launch, must_launch
from stateset.rl.origin import order_facts, origin_of, tasks_fingerprint
from stateset.rl.policy.bad_batch import refuse_more
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.distributed import World
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.load import load_configured, refuse_reloading, refuse_untrainable
from stateset.rl.policy.policy import Policy
from stateset.rl.policy.trace import trace_lines
from stateset.rl.rewards.call import RewardCall
from stateset.rl.rewards.first_trial import Doubt, confirm, refuse_useless
from stateset.rl.rewards.resolve import resolve_reward, resolve_verifier
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rollout.engine import RolloutEngine
from stateset.rl.rollout.model import Model, engine_for
from stateset.rl.rollout.shared import share_engine, share_scoring
from stateset.rl.sampling import GroupSampler, ended
from stateset.rl.schedule import learning_rates, mini_batches, scale_notice
from stateset.rl.signals import StopRequest
from stateset.rl.tracking.measure import measure
from stateset.rl.tracking.recorder import Recorder
from stateset.rl.tracking.run_dir import refuse_occupied
from stateset.rl.tracking.tracker import Tracker
from stateset.rl.types import RolloutGroup, StepMetrics, Task
from stateset.rl.warm_start import load_examples


class GRPOTrainer:
    """Trains a causal language model toward a reward with Group Relative Policy Optimization.

    Args:
        model: a name for `load_policy`, or a loaded `Model`.
        reward_function: what is maximised; `rewards/call.py` says which shapes are understood.
        config: settings by key, or a `Config` from `load_config`.
        eval_reward_function: picks the best weights on held-out rows; by default the training reward.
        verifier: `(question, answer[, context]) -> bool`, for rewards that ask for `verified`; default: the
            one that the config names.
        engine: samples the responses; by default the native engine.
        on_step: called with the `StepMetrics` of each step; may be set later.
        trackers: get the metrics besides the run directory and the terminal; the caller closes them.
        settings: single keys of `config`; a key given in both must agree.

    Raises:
        ConfigError, ModelNotTrainableError: before anything is loaded.
    """

    # made by the first train() call
    model: Model
    policy: Policy
    engine: RolloutEngine
    learner: Learner
    recorder: Recorder
    sampler: GroupSampler  # of the latest call
    stop: StopRequest  # of the latest call

    def __init__(
        self,
        model: str | Model | None = None,
        reward_function: Any = None,
        config: Mapping[str, Any] | Config | None = None,
        *,
        eval_reward_function: Any = None,
        verifier: Any = None,
        engine: RolloutEngine | None = None,
        on_step: Callable[[StepMetrics], None] | None = None,
        trackers: Sequence[Tracker] = (),
        **settings: Any,
    ) -> None:
        self.config = merge_settings(config, settings)
        self.given_model = given(model, self.config.model)
        self.reward_function = given(reward_function, self.config.reward)
        self.eval_reward_function = given(eval_reward_function, self.config.eval_reward)
        self.verifier = given(verifier, self.config.verifier)
        self.given_engine, self.on_step = engine, on_step
        self.trackers, self.state, self.doubt = tuple(trackers), TrainerState(), Doubt()
        self.run_path: Path | None = None
        self.held_out: list[Task] = []
        self.examples: list[RolloutGroup] = []
        refuse_untrainable(self.given_model, self.config)
        for reward in (reward_function, eval_reward_function):
            if reward is not None:
                RewardCall(reward, verifier)

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
        allow_change: Sequence[str] = (),
    ) -> Model:
        """Train on a data set; called again, go on from the same weights, optimizer and step count.

        Args:
            dataset: rows: a path, a list of dicts, a `datasets.Dataset`.
            data: the same as `dataset`.
            eval_dataset: held-out rows, never trained on; kept for later calls.
            model: as in the constructor; one trainer trains one model.
            reward_function: as in the constructor.
            epochs: passes over the rows in this call; default: the config's.
            reward_scale: multiplies this call's learning rate (on rewards it would cancel in the advantages).
            resume: run directory to go on from, with the same data.
            allow_change: settings, packages or models that may differ from the resumed run's beginning.

        Returns:
            The trained model, also saved in the run directory.

        Raises:
            DataError, ConfigError, RewardError, ModelError: with what to do.
            StoppedError: the run was asked to stop (`signals.py`); its checkpoint is written.
        """
        if must_launch(self.config):
            call = {"dataset": given(dataset, data), "eval_dataset": eval_dataset, "model": model}
            call |= {"reward_function": reward_function, "epochs": epochs, "reward_scale": reward_scale}
            self.model = launch(self, call | {"resume": resume, "allow_change": allow_change})
            self.run_path = self.model.run_dir
            return self.model
        self.world = World.join(self.config)
        tasks = load_tasks(given(dataset, data, self.config.dataset, missing=NO_DATA))
        self.held_out = held_out_tasks(
            self.config, eval_dataset, self.held_out, own_reward=self.eval_reward_function is not None
        )
        self.reward_function = given(reward_function, self.reward_function, missing=NOTHING.format("reward"))
        config = self.config if epochs is None else self.config.model_copy(update={"epochs": epochs})
        if config.epochs < 1 or not 0 < reward_scale < math.inf:
            raise ConfigError(f"epochs {config.epochs}, reward_scale {reward_scale}: give numbers above 0")
        if self.run_path is not None and resume is not None:
            raise ConfigError("this trainer has trained: resume with another GRPOTrainer, made like this one")
        if config.output_dir and self.run_path is None and resume is None:
            self.world.lead(lambda: refuse_occupied(Path(config.output_dir or "")))
        self.plan = plan(config, len(tasks))
        self.reward_scale = reward_scale
        with ExitStack() as stack:
            self._open(stack, tasks, model, Resume.of(resume, allow_change))
            self.sampler = GroupSampler(
                config, tasks, self.state, self.policy, self.engine, self.scorer, self.recorder
            )
            keeper = Keeper(
                config, self.policy, self.engine, self.learner, self.state, self.recorder, self.origin
            )
            limit, before = self.recorder.limit_seconds, getattr(self, "stop", None)
            self.stop = stack.enter_context(StopRequest(limit, before=before))
            Course(
                keeper=keeper, sampler=self.sampler, stop=self.stop, held_out=self.held_out,
                scorer=self.eval_scorer, examples=self.examples, total_steps=self.plan.total_steps,
            ).run(self._advance)  # fmt: skip
            keeper.finish()
        self.model.run_dir = self.run_path
        return self.model

    def _advance(self) -> None:
        metrics = self.step(self.sampler.next_tasks())
        confirm(self.doubt, metrics)
        if self.on_step is not None and self.world.leads:
            self.on_step(metrics)

    def step(self, tasks: Sequence[Task]) -> StepMetrics:
        """One training step on these tasks: sample, score, compare within the group, reinforce, measure."""
        number = self.state.step + 1
        scored, sampled = self.sampler.sample(tasks, number)
        groups = [group.group for group in scored]
        rewards = torch.tensor([value for group in scored for value in group.values], dtype=torch.float64)
        batch = Batch.from_groups(groups)
        rows = trainable_rows(rewards, batch.groups)
        if self.config.mask_truncated:
            rows &= torch.tensor(ended(groups))
        batch = batch.masked(rows).to(self.policy.device)
        with self.recorder.phase("update"):
            steps = mini_batches(self.config, len(groups), self.state.step)
            rates = learning_rates(
                self.config, self.state.next_updates(len(steps)),
                total=self.plan.total_updates, scale=self.reward_scale, warm_up=self.state.call == 0,
            )  # fmt: skip
            fixed = self.learner.before(batch, len(steps))
            credit = token_advantages(self.config, scored, batch, fixed, self.scorer.weights)
            self.stop.held |= len(steps) > 1  # no checkpoint lies between two optimizer steps on one batch
            learned = self.learner.update(batch, credit.advantages.to(batch.mask), steps, rates, fixed)
            self.stop.held = True  # the weights have moved: the step comes to its end
        for notice in self.learner.micro_batches.tell():
            self.recorder.notice(number, notice)
        if credit.returns is not None:
            with self.recorder.phase("critic"):
                learned |= self.learner.update_critic(batch, credit.returns, fixed, steps, rates)
        with self.recorder.phase("weights"):
            self.engine.load_weights(self.policy)
        num_tokens = sum(map(batch.num_tokens, range(len(groups))))
        counters = self.state.count(rewards.tolist(), num_tokens, self.plan.steps_per_epoch)
        bounds = self.scorer.bounds or self.state.reward_bounds
        counters |= self.sampler.counters(scored, sampled) | dict(credit.attribution)
        metrics = measure(scored, sampled, learned | counters, step=number, bounds=bounds)
        advantages = credit.advantages.to(batch.mask.device)
        given = {"exact_sampler": self.learner.exact_sampler, "part_weights": self.scorer.weights}
        trace = trace_lines(batch, advantages, fixed, self.learner.trace, given)
        if bad := self.learner.bad_batches:
            lines = [line for one in bad for line in one.lines(groups, rewards.tolist())]
            self.recorder.bad_batches(number, f"step_{number:05d}", lines)
        self.recorder.step(metrics, scored, batch.mean(advantages).tolist(), trace)
        refuse_more(self.learner.skipped_in_a_row, bad, groups, self.recorder.path / "bad_batches")
        return metrics

    def _open(
        self, stack: ExitStack, tasks: Sequence[Task], model: str | Model | None, resume: Resume | None
    ) -> None:
        """All that a call needs, in the order in which it can be refused: rewards, model, rows, run."""
        config = self.config
        self.scorer = stack.enter_context(self._scorer(self.reward_function))
        other = self.eval_reward_function
        self.eval_scorer = self.scorer if other is None else stack.enter_context(self._scorer(other))
        if config.reward_check and self.run_path is None and (resume is None or not resume.has_steps):
            with self._scorer(self.reward_function) as trial:
                self.doubt = refuse_useless(trial, tasks)
        self._open_model(model)
        room = self.policy.prompt_room(config.max_response_length)
        for task in [*tasks, *self.held_out]:
            self.policy.encode_task(task, min(room, config.max_prompt_length))
        if config.warm_start is not None and self.run_path is None:
            self.examples = load_examples(self.policy, config, tasks)
        data_hash = tasks_fingerprint(tasks, *order_facts(config))
        self.origin = origin_of(
            config, self.policy, self.scorer, self.eval_scorer, held_out=self.held_out,
            imitated=[example.task for example in self.examples], ranks=self.world.size,
            reward_scale=self.reward_scale,
            schedule_total=None if config.schedule == "constant" else self.plan.total_updates,
        )  # fmt: skip
        about = {"rows": len(tasks), "reward": self.scorer.name}
        begin = partial(
            open_run, config, self.learner, self.state, data_hash, self.run_path, resume, self.origin, about
        )
        run, self.state, notices = open_together(begin, self.learner, resume)
        self.scorer.ever_worked = self.state.reward_worked
        planned = self.state.plan(self.plan.total_steps)
        if resume is not None:
            self.engine.load_weights(self.policy)
        self.recorder = stack.enter_context(
            open_recorder(run, config, self.plan, self.policy, self.state, self.trackers)
        )
        self.run_path = self.recorder.path
        scaled = scale_notice(config, self.reward_scale)
        own = (*config.notices, *self.policy.notices, self.scorer.notice, self.doubt.notice)
        for notice in filter(None, (*own, scaled, planned, *notices)):
            self.recorder.notice(self.state.step, notice)

    def _scorer(self, reward: Any) -> RewardScorer:
        found = resolve_reward(reward, self.config.folder)[0] if isinstance(reward, str) else reward
        verifier = resolve_verifier(self.verifier, self.config.folder)
        limit, share = self.config.reward_timeout_seconds, share_scoring(self.world)
        return RewardScorer(found, verifier=verifier, timeout_seconds=limit, share=share)

    def _open_model(self, model: str | Model | None) -> None:
        """Load the model in the first call, with its engine and optimizer."""
        if hasattr(self, "learner"):
            if model is not None and model is not self.model:
                raise ConfigError(
                    "this trainer's run has its model: make another GRPOTrainer for another one"
                )
            return
        chosen = given(model, self.given_model, missing=NOTHING.format("model"))
        if isinstance(chosen, Model):
            refuse_reloading(chosen.policy, self.config)
        loaded = chosen if isinstance(chosen, Model) else Model(load_configured(chosen, self.config))
        self.model, self.policy = loaded, loaded.policy
        loaded.engine = self.given_engine or engine_for(loaded, self.config)
        self.engine = share_engine(loaded.engine, self.world)
        self.engine.load_weights(self.policy)
        exact = getattr(self.engine, "exact", False)
        self.learner = Learner(self.policy, self.config, exact_sampler=exact, world=self.world)
