"""What happens around the steps of one `train()` call: the warm start, evaluations, checkpoints, the end.

A step itself is `GRPOTrainer.step`; what an evaluation or a checkpoint is, `keeper.py` knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stateset.rl.errors import ConfigError
from stateset.rl.keeper import Keeper, tasks_fingerprint
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.sampling import GroupSampler
from stateset.rl.signals import StopRequest
from stateset.rl.types import RolloutGroup, Task
from stateset.rl.warm_start import warm_start


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The way from the first step of a call to its last.

    Attributes:
        keeper: evaluates and saves.
        sampler: knows when no prompt is left.
        held_out: tasks of the evaluations; none: there are none.
        scorer: scores their answers.
        examples: what a warm start imitates.
        total_steps: of this call.
    """

    keeper: Keeper
    sampler: GroupSampler
    held_out: Sequence[Task]
    scorer: RewardScorer
    examples: Sequence[RolloutGroup]
    total_steps: int

    def run(self, step: Callable[[], None], stop: StopRequest) -> None:
        """Take steps until the call is over.

        Raises:
            StoppedError: a signal came; a checkpoint is written.
        """
        keeper, state, config = self.keeper, self.keeper.state, self.keeper.config
        world = keeper.learner.world  # whose ranks must go on, or stop, together
        limit = keeper.recorder.limit_seconds
        deadline = time.monotonic() + limit
        self._warm_up(stop)
        self._evaluate_at_first()
        last = self._done() or any(world.largest(not limit))
        while not last:
            step()
            asked, late = world.largest(stop.number or 0, time.monotonic() >= deadline)
            last = self._done() or bool(late)
            if last or state.step % config.eval_every == 0:
                keeper.evaluate(self.held_out, self.scorer)
            if last or asked or state.step % config.save_every == 0:
                keeper.save_checkpoint()
            if asked and not last:
                raise keeper.stopped(int(asked))

    def _warm_up(self, stop: StopRequest) -> None:
        state = self.keeper.state
        if self.keeper.config.warm_start is None or state.warm_start:
            return
        if state.call:
            raise ConfigError(
                "the warm start of this trainer was cut off, and its weights are half trained: make "
                "another GRPOTrainer with another output_dir"
            )
        warm_start(self.examples, self.keeper, stop)

    def _evaluate_at_first(self) -> None:
        """Where training starts from; later calls ask again only for another thing to measure."""
        state, eval_hash = self.keeper.state, tasks_fingerprint(self.held_out, self.scorer.name)
        if state.eval_hash != eval_hash:
            state.eval_hash, state.best_reward = eval_hash, None
            self.keeper.evaluate(self.held_out, self.scorer)

    def _done(self) -> bool:
        return self.keeper.state.call_step >= self.total_steps or self.sampler.exhausted
