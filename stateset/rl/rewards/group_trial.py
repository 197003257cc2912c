"""A reward on the groups that a model sampled: scored as training would, then again in other company.

A reward that looks at anything but prompt, response and row scores one of the passes differently. The last
pass, one response at a time, is also how long a call takes, the way to the reward's process included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from stateset.rl.errors import RewardError
from stateset.rl.rewards.check import Trial, broken, check_repeat
from stateset.rl.rewards.group_checks import check_groups
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.types import RolloutGroup, Score, ScoredGroup

SAMPLED = "sampled groups"


def try_groups(
    reward: Any,
    groups: Sequence[RolloutGroup],
    *,
    sampling_seconds: float,
    verifier: Callable[..., Any] | None = None,
    timeout_seconds: float = 30.0,
) -> Trial:
    """Score every response four times, and say what that says of the reward.

    Args:
        reward: whatever a project may name as one.
        groups: with at least two responses each.
        sampling_seconds: how long a response took to sample.
        verifier: as training would have it.
        timeout_seconds: of one call.
    """
    with RewardScorer(reward, verifier=verifier, timeout_seconds=timeout_seconds) as scorer:
        try:
            scored = scorer.score(groups)
            again = _flat(scorer.score(groups))
            backwards = _flat(scorer.score([_turned(group) for group in groups[::-1]]))[::-1]
            single, seconds = _one_by_one(scorer, groups)
        except RewardError as error:
            return broken(SAMPLED, error)
    first, texts = _flat(scored), [rollout.text for group in groups for rollout in group.rollouts]
    findings = [
        check_repeat("the same again", first, again, texts),
        check_repeat("backwards", first, backwards, texts),
        check_repeat("one by one", first, single, texts),
        *check_groups(scored, bounds=scorer.bounds, sampling_seconds=sampling_seconds, seconds=seconds),
    ]
    return Trial(on=SAMPLED, findings=findings, groups=scored, bounds=scorer.bounds)


def _one_by_one(scorer: RewardScorer, groups: Sequence[RolloutGroup]) -> tuple[list[Score], list[float]]:
    """Each response scored alone, and the seconds that took."""
    scores, seconds = [], []
    for group in groups:
        for rollout in group.rollouts:
            started = time.monotonic()
            scores += _flat(scorer.score([replace(group, rollouts=(rollout,))]))
            seconds.append(time.monotonic() - started)
    return scores, seconds


def _turned(group: RolloutGroup) -> RolloutGroup:
    return replace(group, rollouts=group.rollouts[::-1])


def _flat(scored: Sequence[ScoredGroup]) -> list[Score]:
    return [score for group in scored for score in group.scores]
