"""What happens around the steps of one `train()` call: the warm start, evaluations, checkpoints, the end.

Between two steps lies a boundary: the weights and counters there are what a checkpoint holds, and what stays
when a step is dropped because the run is asked to stop. A step itself is `GRPOTrainer.step`; what an
evaluation or a checkpoint is, `keeper.py` knows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from stateset.rl.errors import ConfigError
from stateset.rl.keeper import Keeper
from stateset.rl.origin import tasks_fingerprint
from stateset.rl.pulse import beat
from stateset.rl.random_states import RandomStates, restore_random
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.sampling import GroupSampler
from stateset.rl.signals import StopNow, StopRequest
from stateset.rl.types import RolloutGroup, Task
from stateset.rl.warm_start import warm_start


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The way from the first step of a call to its last.

    Attributes:
        keeper: evaluates and saves.
        sampler: knows when no prompt is left.
        stop: what may end the call before its last step.
        held_out: tasks of the evaluations; none: there are none.
        scorer: scores their answers.
        examples: what a warm start imitates.
        total_steps: of this call.
    """

    keeper: Keeper
    sampler: GroupSampler
    stop: StopRequest
    held_out: Sequence[Task]
    scorer: RewardScorer
    examples: Sequence[RolloutGroup]
    total_steps: int

    def run(self, step: Callable[[], None]) -> None:
        """Take steps until the call is over or its time is up.

        Raises:
            StoppedError: it was asked to stop; a checkpoint is written.
        """
        self._release()
        if self._warm_up():
            self._take_steps(step)

    def _warm_up(self) -> bool:
        """The warm start, where there is one; whether there is time left for the steps."""
        state = self.keeper.state
        if self.keeper.config.warm_start is None or state.warm_start:
            return True
        if state.call:
            raise ConfigError(
                "the warm start of this trainer was cut off, and its weights are half trained: make "
                "another GRPOTrainer with another output_dir"
            )
        state.warming = True
        try:
            warm_start(self.examples, self.keeper, self.stop)
        except StopNow:
            self._save_and_stop(self.stop.number)
        return bool(state.warm_start)

    def _take_steps(self, step: Callable[[], None]) -> None:
        state, save_every, taken = self.keeper.state, self.keeper.config.save_every, False
        while True:
            asked, late = self._look()
            last = self._done() or late
            if asked is not None and (not self._done() or self._to_evaluate(last=True)):
                self._save_and_stop(asked)
            try:
                if self._to_evaluate(last):
                    self._whole(self._evaluate)
                if taken and (last or state.step % save_every == 0):
                    self.keeper.save_checkpoint()
                if last:
                    return
                self._whole(step)
                taken = True
            except StopNow:  # dropped; what asked for it is heeded above
                if self.stop.number is None:
                    self._tell("the time is up (max_minutes, max_cost): the step under way was dropped")

    def _look(self) -> tuple[int | None, bool]:
        """The signal that asks for a stop, and whether the time is up, as all ranks agree.

        What a rank hears while they agree is not lost: it asks for it at the next look.
        """
        self.stop.look()
        number, late = self.keeper.learner.world.largest(self.stop.number or 0, self.stop.late)
        return int(number) or None, bool(late)

    def _whole(self, work: Callable[[], None]) -> None:
        """A step or an evaluation, whole or not at all: half of one leaves no count and no draw."""
        state = self.keeper.state
        boundary, random = copy.deepcopy(state), RandomStates.now()
        try:
            beat()
            work()
        except StopNow:
            for field in fields(boundary):
                setattr(state, field.name, getattr(boundary, field.name))
            restore_random(random.tensors, random.others)
            raise
        finally:
            self._release()

    def _release(self) -> None:
        """From here on work may be dropped; but several ranks can only stop together, between steps."""
        self.stop.held = self.keeper.learner.world.size > 1

    def _to_evaluate(self, last: bool) -> bool:
        """Whether the weights as they are now are to be evaluated, and were not."""
        state = self.keeper.state
        if not self.held_out or state.eval_hash != self._eval_hash:
            return bool(self.held_out)
        return state.evaluated_step != state.step and (
            last or state.step % self.keeper.config.eval_every == 0
        )

    def _evaluate(self) -> None:
        state = self.keeper.state
        if state.eval_hash != self._eval_hash:  # what `best` was measured with is another thing now
            state.best_reward = None
        self.keeper.evaluate(self.held_out, self.scorer)
        state.eval_hash, state.evaluated_step = self._eval_hash, state.step

    def _save_and_stop(self, number: int | None) -> None:
        if self.stop.noticed:
            self._tell(f"this machine will be taken away: {self.stop.noticed} is there")
        self.keeper.save_checkpoint()
        if number is not None:
            raise self.keeper.stopped(number)

    def _tell(self, what: str) -> None:
        self.keeper.recorder.notice(self.keeper.state.step, what)

    @property
    def _eval_hash(self) -> str:
        return tasks_fingerprint(self.held_out, self.scorer.name)

    def _done(self) -> bool:
        return self.keeper.state.call_step >= self.total_steps or self.sampler.exhausted
