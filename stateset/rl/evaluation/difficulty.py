"""How hard prompts are for a model, by how often its samples are right; and which teach nothing now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.probe import count_passes
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import Sampling
from stateset.rl.rollout.model import Model
from stateset.rl.types import ScoredGroup, Task

LEVELS = ("easy", "medium", "hard")
EASY_FROM, HARD_BELOW = 0.7, 0.3  # pass rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A task with the share of right samples; None where one could not be scored.

    Attributes:
        task: the task.
        pass_rate: that share.
        alike: whether all samples got the same reward, so that none is above the group's mean.
    """

    task: Task
    pass_rate: float | None
    alike: bool = False

    @property
    def level(self) -> str | None:
        """`easy` from a pass rate of 0.7 on, `hard` below 0.3, else `medium`."""
        if self.pass_rate is None:
            return None
        return "easy" if self.pass_rate >= EASY_FROM else "hard" if self.pass_rate < HARD_BELOW else "medium"

    @property
    def useless(self) -> str | None:
        """Why it teaches nothing now: a sample not scored, or all rewards the same; None: it teaches."""
        if self.pass_rate is None:
            return "an answer could not be scored"
        return f"{'every' if self.pass_rate else 'no'} sample is right" if self.alike else None

    def row(self) -> dict[str, Any]:
        """The task as a row of data, with `difficulty` and `pass_rate`."""
        prompt = self.task.prompt if isinstance(self.task.prompt, str) else list(self.task.prompt)
        known = {"id": self.task.id, "prompt": prompt, **self.task.context}
        return known | {"difficulty": self.level, "pass_rate": self.pass_rate}


def measure_difficulty(
    model: Model,
    tasks: Sequence[Task],
    reward: Callable[..., Any],
    *,
    samples: int = 8,
    max_new_tokens: int = 256,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[Measured]:
    """Sample every task and count right answers: rewards above the middle of the reward's bounds.

    With 8 samples a prompt that is right in one of four is taken for hopeless in one of ten measurements
    (0.75^8): rows without signal now are no bad rows.

    Args:
        model: the one that will be trained.
        tasks: in the order of the result.
        reward: as for training.
        samples: to each task, two or more.
        max_new_tokens: where an answer is cut off.
        temperature: as in training.
        seed: of sampling.

    Raises:
        ConfigError: fewer than two samples.
        DataError: no answer could be scored, or all got the same reward from a reward without bounds.
    """
    if samples < 2:
        raise ConfigError(f"samples is {samples}: a pass rate needs two or more, such as 8")
    policy = model.policy
    groups = collect_groups(
        model.engine, policy, tasks,
        num_samples=samples,
        sampling=Sampling(temperature=temperature, max_tokens=max_new_tokens, stop_ids=policy.stop_ids),
        max_prompt_length=policy.prompt_room(max_new_tokens, "max_new_tokens"),
        run_seed=seed, purpose="probe",
    )  # fmt: skip
    with RewardScorer(reward) as scorer:
        scored = scorer.score(groups)
        bounds = scorer.bounds
    _, middle = count_passes(scored, bounds)
    if middle != middle:
        raise DataError(
            "nothing tells right answers from wrong ones: no answer could be scored, or all got one reward "
            "that names no `bounds = (lowest, highest)`"
        )
    return [
        Measured(task=group.group.task, pass_rate=_rate(group, middle), alike=len(set(group.values)) == 1)
        for group in scored
    ]


def _rate(group: ScoredGroup, middle: float) -> float | None:
    values = [score.total for score in group.scores]
    known = [value for value in values if value is not None]
    return sum(value > middle for value in known) / len(known) if len(known) == len(values) else None
