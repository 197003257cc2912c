"""The responses of a recorded step under another reward: what it would have reinforced instead."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from stateset.rl.data.load import load_tasks
from stateset.rl.errors import StatesetRLError
from stateset.rl.replay.recorded import RecordedStep
from stateset.rl.replay.settings import refuse_unreplayable
from stateset.rl.replay.update import LATER_UPDATES, credit_of, rewards_of
from stateset.rl.rewards.resolve import resolve_verifier
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.sampling import _penalised
from stateset.rl.types import RolloutGroup, Score, Task

MOST_CHANGED = 10
PROMPT_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedResponse:
    """One response under two rewards: of each pair, first what was recorded, then what is new."""

    task: str
    sample: int
    prompt: str
    response: str
    totals: tuple[float | None, float | None]
    parts: tuple[Mapping[str, float], Mapping[str, float]]
    advantages: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescored:
    """A step whose responses were scored again.

    Attributes:
        step: the same step with the new scores, ready to be replayed.
        sign_changes: responses whose advantage went from above 0 to below 0, or back.
        revived: tasks whose group has a signal only now.
        killed: tasks whose group had a signal, and has none now.
        rank_correlation: Spearman's, of the totals within the step; NaN where either reward is constant.
        unscored: responses without a total, before and now.
        most_changed: the responses whose advantage moved furthest.
        notes: what the reward was not told, or could not score.
    """

    step: RecordedStep
    sign_changes: int
    revived: tuple[str, ...]
    killed: tuple[str, ...]
    rank_correlation: float
    unscored: tuple[int, int]
    most_changed: tuple[ChangedResponse, ...]
    notes: tuple[str, ...]


def rescore(recorded: RecordedStep, reward: Any) -> Rescored:
    """Score a step's responses again, and compare the advantages that the run's settings make of it.

    Args:
        recorded: the step.
        reward: whatever `RewardScorer` accepts.

    Raises:
        ConfigError, RewardError: as in `RewardScorer`; or the run's estimator cannot use this reward.
    """
    groups, notes = _groups_with_context(recorded)
    config = recorded.config
    verifier, limit = resolve_verifier(config.verifier, config.folder), config.reward_timeout_seconds
    with RewardScorer(reward, verifier=verifier, timeout_seconds=limit) as scorer:
        scored = scorer.score(groups)
    if scorer.notice:
        notes.append(scorer.notice)
    if scorer.first_failure:
        notes.append(
            f"{scorer.failures.total()} responses were not scored; the first: {scorer.first_failure}"
        )
    if len(recorded.updates) > 1:
        notes.append(LATER_UPDATES)
    if config.dynamic_sampling:
        notes.append("dynamic_sampling kept these groups by their recorded rewards; others might have stayed")
    if config.overlong_buffer:
        scored = [_penalised(group, config) for group in scored]
    again = replace(recorded, scored=tuple(scored), part_weights=scorer.weights)
    refuse_unreplayable(again, config)

    (batch, was), (new_batch, now) = credit_of(recorded, config), credit_of(again, config)
    had, has = ([bool(values[batch.groups == g].any()) for g in range(len(scored))] for values in (was, now))
    tasks = [group.group.task.id for group in scored]
    old, new = rewards_of(recorded.scored), rewards_of(scored)
    means = batch.mean(was), new_batch.mean(now)
    return Rescored(
        step=again,
        sign_changes=int((means[0] * means[1] < 0).sum()),
        revived=tuple(task for task, a, b in zip(tasks, had, has, strict=True) if b and not a),
        killed=tuple(task for task, a, b in zip(tasks, had, has, strict=True) if a and not b),
        rank_correlation=_rank_correlation(old, new),
        unscored=(int(old.isnan().sum()), int(new.isnan().sum())),
        most_changed=tuple(_most_changed(recorded, again, *means)),
        notes=tuple(notes),
    )


def _groups_with_context(recorded: RecordedStep) -> tuple[list[RolloutGroup], list[str]]:
    """The groups with the context of their rows, which is in the data set and not in the rollouts."""
    rows: dict[str, Task] = {}
    reason = "the run names no dataset"
    if recorded.config.dataset is not None:
        reason = f"{recorded.config.dataset} has other rows now"
        try:
            rows = {row.id: row for row in load_tasks(recorded.config.dataset)}
        except StatesetRLError as error:
            reason = str(error)
    groups, missing = [], 0
    for group in (scored.group for scored in recorded.scored):
        row = rows.get(group.task.id, group.task)
        same = (row.prompt, row.answer) == (group.task.prompt, group.task.answer)
        known = same and row is not group.task
        missing += not known
        groups.append(replace(group, task=row) if known else group)
    if not missing:
        return groups, []
    return groups, [
        f"the reward saw no context for {missing} of {len(groups)} prompts, only prompt, answer and "
        f"response, because the rows were not found ({reason})"
    ]


def _rank_correlation(old: Tensor, new: Tensor) -> float:
    from scipy.stats import spearmanr

    both = ~(old.isnan() | new.isnan())
    if min(len(old[both].unique()), len(new[both].unique())) < 2:
        return math.nan
    return float(spearmanr(old[both].numpy(), new[both].numpy()).statistic)


def _most_changed(
    recorded: RecordedStep, again: RecordedStep, was: Tensor, now: Tensor
) -> Iterator[ChangedResponse]:
    """Those that moved, the furthest first."""
    responses = [
        (group.group.task, rollout, score)
        for group in recorded.scored
        for rollout, score in zip(group.group.rollouts, group.scores, strict=True)
    ]
    new_scores: list[Score] = [score for group in again.scored for score in group.scores]
    moved = (now - was).abs().tolist()
    for b in heapq.nlargest(MOST_CHANGED, range(len(moved)), key=moved.__getitem__):
        task, rollout, score = responses[b]
        if moved[b] == 0 and score.total == new_scores[b].total:
            continue
        yield ChangedResponse(
            task=task.id,
            sample=rollout.sample,
            prompt=task.question[-PROMPT_CHARACTERS:],
            response=rollout.text,
            totals=(score.total, new_scores[b].total),
            parts=(score.parts, new_scores[b].parts),
            advantages=(float(was[b]), float(now[b])),
        )
