"""The sampling half of a step: which prompts, their responses, and the scores that train.

Prompts come in data order. Where a step needs others (a prompt is solved and retired, or its group had no
signal), they come from a second order of the same rows, so that nothing is skipped in the first.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from stateset.rl.checkpoint import TrainerState
from stateset.rl.config.schema import Config
from stateset.rl.data.adaptive_order import difficulties, nearest, next_target
from stateset.rl.data.sampler import TaskOrder
from stateset.rl.errors import ConfigError
from stateset.rl.policy.policy import Policy
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import RolloutEngine, Sampling
from stateset.rl.rollout.sample import sample_seed
from stateset.rl.tracking.measure import quality
from stateset.rl.tracking.recorder import Recorder
from stateset.rl.types import OVERLONG, RolloutGroup, Score, ScoredGroup, Task


@dataclass(frozen=True, slots=True)
class GroupSampler:
    """Samples and scores the groups of one `train()` call; what it remembers is in `state`."""

    config: Config
    tasks: Sequence[Task]
    state: TrainerState
    policy: Policy
    engine: RolloutEngine
    scorer: RewardScorer
    recorder: Recorder

    def __post_init__(self) -> None:
        for key in ("retire_pass_rate", "target_pass_rate"):
            if getattr(self.config, key) is not None and self.scorer.bounds is None:
                raise ConfigError(
                    f"{key} asks which answers are right, and this reward does not say between which values "
                    f"it lies: give it `bounds = (lowest, highest)`, or remove {key}"
                )
        if self.config.target_pass_rate is not None:
            difficulties(self.tasks)

    def next_tasks(self) -> list[Task]:
        """The prompts of the next step, at least one unless it is `exhausted`."""
        state, retired = self.state, set(self.state.retired)
        order = TaskOrder(len(self.tasks), self.config.batch_size, self._seed("order"))
        epoch, index = divmod(state.call_step, order.steps_per_epoch)
        batch = order.batch(epoch, index)
        if self.config.target_pass_rate is not None:
            kept = self._nearest(epoch, index, len(batch))
        else:
            kept = [self.tasks[i] for i in batch if self.tasks[i].id not in retired]
        return kept + self._others(len(batch) - len(kept), kept)

    @property
    def exhausted(self) -> bool:
        """Every prompt is solved and retired."""
        return len(set(self.state.retired)) == len(self.tasks)

    def sample(self, tasks: Sequence[Task], step: int) -> tuple[list[ScoredGroup], list[ScoredGroup]]:
        """`rollout_n` scored responses to each task: the groups that train, and all that were sampled.

        With `dynamic_sampling`, groups of equal rewards give way to groups of other prompts, in at most
        `max_gen_batches` rounds; if there are still too few, they stay in the batch.
        """
        sampled = self._sample(tasks, step)
        if not self.config.dynamic_sampling:
            return sampled, sampled
        asked, kept = list(tasks), sampled
        for _ in range(1, self.config.max_gen_batches):
            missing = sum(not self._has_signal(group) for group in kept)
            fresh = self._others(missing, asked)
            if not fresh:
                break
            asked += fresh
            more = self._sample(fresh, step)
            sampled = [*sampled, *more]
            kept = sorted([*kept, *more], key=lambda group: not self._has_signal(group))[: len(tasks)]
        return kept, sampled

    def counters(self, kept: Sequence[ScoredGroup], sampled: Sequence[ScoredGroup]) -> dict[str, float]:
        """Retire solved prompts and move the target; what all selection did, by logged name."""
        resampled = {"signal/resampled": float(len(sampled) - len(kept))}
        return (resampled if self.config.dynamic_sampling else {}) | self.retire(sampled) | self.aim(sampled)

    def retire(self, sampled: Sequence[ScoredGroup]) -> dict[str, float]:
        """Ask no more for prompts whose mean quality has reached `retire_pass_rate`."""
        rate = self.config.retire_pass_rate
        if rate is None:
            return {}
        for group in sampled:
            known = self._qualities([group])
            task = group.group.task.id
            if task not in self.state.retired and known and math.fsum(known) / len(known) >= rate - 1e-9:
                self.state.retired.append(task)
        return {"signal/retired": float(len(self.state.retired))}

    def aim(self, sampled: Sequence[ScoredGroup]) -> dict[str, float]:
        """Move the target difficulty toward where the mean quality is `target_pass_rate`."""
        wanted = self.config.target_pass_rate
        if wanted is None:
            return {}
        state, known = self.state, self._qualities(sampled)
        if known:
            mean = math.fsum(known) / len(known)
            state.target_difficulty = next_target(state.target_difficulty, mean, wanted)
        return {"signal/target_difficulty": state.target_difficulty}

    def _qualities(self, groups: Sequence[ScoredGroup]) -> list[float]:
        values = (value for group in groups for value in group.values if not math.isnan(value))
        return [quality(value, self.scorer.bounds) for value in values]

    def _nearest(self, epoch: int, index: int, count: int) -> list[Task]:
        """The prompts nearest to the target that were not asked in this epoch, in an order of the seed."""
        state = self.state
        if index == 0:
            state.asked = []
        order = TaskOrder(len(self.tasks), len(self.tasks), self._seed("order")).batch(epoch, 0)
        hard, out = difficulties(self.tasks), {*state.asked, *state.retired}
        known = {place: hard[place] for place in order if self.tasks[place].id not in out}
        chosen = [self.tasks[place] for place in nearest(known, state.target_difficulty, count)]
        state.asked += [task.id for task in chosen]
        return chosen

    def _others(self, count: int, taken: Collection[Task]) -> list[Task]:
        """Up to `count` tasks from the second order: none of `taken`, none retired."""
        out = {task.id for task in taken} | set(self.state.retired)
        order = TaskOrder(len(self.tasks), 1, self._seed("other prompts"))
        found: list[Task] = []
        for _ in range(2 * len(self.tasks)):  # one whole pass, wherever the last one ended
            if len(found) == count:
                break
            task = self.tasks[order.batch(*divmod(self.state.others_drawn, len(self.tasks)))[0]]
            self.state.others_drawn += 1
            if task.id not in out:
                out.add(task.id)
                found.append(task)
        return found

    def _sample(self, tasks: Sequence[Task], step: int) -> list[ScoredGroup]:
        config = self.config
        sampling = Sampling(
            temperature=config.temperature,
            max_tokens=config.max_response_length,
            stop_ids=self.policy.stop_ids,
        )
        with self.recorder.phase("rollout"):
            groups = collect_groups(
                self.engine, self.policy, tasks,
                num_samples=config.rollout_n, sampling=sampling, max_prompt_length=config.max_prompt_length,
                run_seed=config.seed, purpose="rollout", step=step,
            )  # fmt: skip
        with self.recorder.phase("reward"):
            scored = self.scorer.score(groups)
        self.state.reward_worked = self.scorer.ever_worked
        self.recorder.sandboxes(step, self.scorer.tiers)
        self.recorder.unscored(step, self.scorer.failures.total(), self.scorer.first_failure)
        return [_penalised(group, config) for group in scored] if config.overlong_buffer else scored

    def _has_signal(self, group: ScoredGroup) -> bool:
        scores = [score for score in group.scores if score.total is not None]
        if self.config.adv_estimator == "gdpo":  # it compares part by part
            return len({tuple(sorted(score.parts.items())) for score in scores}) > 1
        return len({score.total for score in scores}) > 1

    def _seed(self, purpose: str) -> int:
        return sample_seed(self.config.seed, purpose, self.state.call, "", 0)


def ended(groups: Sequence[RolloutGroup]) -> list[bool]:
    """Of each response, whether it came to an end by itself."""
    return [rollout.stop_reason == "stop" for group in groups for rollout in group.rollouts]


def _penalised(group: ScoredGroup, config: Config) -> ScoredGroup:
    """DAPO's soft overlong punishment (arXiv 2503.14476): linear over the last `overlong_buffer` tokens."""
    free = config.max_response_length - config.overlong_buffer

    def shaped(score: Score, length: int) -> Score:
        penalty = -config.overlong_penalty * max(0, length - free) / config.overlong_buffer
        total = None if score.total is None else score.total + penalty
        return replace(score, total=total, parts={**score.parts, OVERLONG: penalty})

    lengths = [len(rollout.token_ids) for rollout in group.group.rollouts]
    scores = tuple(shaped(*pair) for pair in zip(group.scores, lengths, strict=True))
    return replace(group, scores=scores)
