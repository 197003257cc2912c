"""Greedy answers to held-out tasks, scored by a reward: one number, its parts and every answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import RolloutEngine, Sampling
from stateset.rl.types import RolloutGroup, ScoredGroup, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one pass over held-out tasks found.

    Attributes:
        reward: mean total over scored answers, NaN when none could be scored.
        parts: mean of each part over the answers that have it.
        num_scored: answers that count in `reward`.
        groups: every task with its one answer and score.
    """

    reward: float
    parts: dict[str, float]
    num_scored: int
    groups: tuple[ScoredGroup, ...]


def evaluate_policy(
    policy: Policy,
    engine: RolloutEngine,
    tasks: Sequence[Task],
    score: Callable[[Sequence[RolloutGroup]], Sequence[ScoredGroup]],
    *,
    max_tokens: int,
    max_prompt_length: int,
) -> Evaluation:
    """Answer every task greedily, all together, and score the answers."""
    groups = answer_greedily(
        policy, engine, tasks, max_tokens=max_tokens, max_prompt_length=max_prompt_length
    )
    scored = tuple(score(groups))
    scores = [group.scores[0] for group in scored]
    totals = [s.value for s in scores if s.total is not None]
    names = dict.fromkeys(name for s in scores for name in s.parts)
    parts = {name: _mean([s.parts[name] for s in scores if name in s.parts]) for name in names}
    return Evaluation(reward=_mean(totals), parts=parts, num_scored=len(totals), groups=scored)


def answer_greedily(
    policy: Policy, engine: RolloutEngine, tasks: Sequence[Task], *, max_tokens: int, max_prompt_length: int
) -> list[RolloutGroup]:
    """Every task with its one greedy answer, all decoded together."""
    return collect_groups(
        engine, policy, tasks,
        num_samples=1,
        sampling=Sampling(temperature=0.0, max_tokens=max_tokens, stop_ids=policy.stop_ids),
        max_prompt_length=max_prompt_length,
        run_seed=0, purpose="evaluate",
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
