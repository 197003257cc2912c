"""What a scored step measured: arithmetic over scores and lengths, under the names that TRL users know."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from stateset.rl.types import ScoredGroup, StepMetrics


def measure(
    scored: Sequence[ScoredGroup],
    sampled: Sequence[ScoredGroup],
    update: Mapping[str, float],
    *,
    step: int,
    bounds: tuple[float, float] | None,
) -> StepMetrics:
    """The metrics of one step.

    Args:
        scored: the step's groups, which train.
        sampled: these and the groups without signal that they replaced, if any.
        update: what the update measured (loss, kl, entropy, ...), passed on under its own names.
        step: its number, from 1.
        bounds: lowest and highest reward that `quality_score` maps to 0 and 1; None or equal bounds give 0.5.
    """
    groups = [_values(group) for group in scored]
    rewards = [value for group in groups for value in group]
    comparable = [group for group in groups if len(group) >= 2]
    reward = _mean(rewards)
    values = {
        "reward": reward,
        "reward_std": _mean([statistics.stdev(group) for group in comparable]),
        "quality_score": quality(reward, bounds),
        "rewards/unscored": float(sum(len(g.scores) for g in scored) - len(rewards)),
        **_signal([_values(group) for group in sampled], bounds),
        **_parts(scored),
        **_lengths(scored),
        **update,
    }
    return StepMetrics(
        step=step,
        avg_reward=reward,
        reward_std=values["reward_std"],
        kl_div=update.get("kl", math.nan),
        quality_score=values["quality_score"],
        values=values,
    )


def _values(group: ScoredGroup) -> list[float]:
    return [value for value in group.values if not math.isnan(value)]


def _signal(groups: Sequence[Sequence[float]], bounds: tuple[float, float] | None) -> dict[str, float]:
    """Shares of groups that teach nothing: all, and those whose equal rewards are high or low.

    A group with fewer than two scored responses is in none of them; without any other the shares are NaN.
    """
    comparable = [group for group in groups if len(group) > 1]
    flat = [group for group in comparable if len(set(group)) < 2]
    qualities = [quality(group[0], bounds) for group in flat]
    count = len(comparable) or math.nan
    return {
        "frac_reward_zero_std": len(flat) / count,
        "signal/all_right": sum(quality > 0.5 for quality in qualities) / count,
        "signal/all_wrong": sum(quality < 0.5 for quality in qualities) / count,
    }


def _parts(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for group in scored:
        for score in group.scores:
            for name, value in score.parts.items():
                found.setdefault(name, []).append(value)
    result: dict[str, float] = {}
    for name, values in found.items():
        result[f"rewards/{name}/mean"] = _mean(values)
        result[f"rewards/{name}/std"] = statistics.pstdev(values)
    return result


def _lengths(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    rollouts = [rollout for group in scored for rollout in group.group.rollouts]
    lengths = [float(len(r.token_ids)) for r in rollouts]
    ended = [float(len(r.token_ids)) for r in rollouts if r.stop_reason == "stop"]
    return {
        "completions/mean_length": _mean(lengths),
        "completions/min_length": min(lengths),
        "completions/max_length": max(lengths),
        "completions/mean_terminated_length": _mean(ended),
        "completions/clipped_ratio": 1 - len(ended) / len(lengths),
    }


def quality(reward: float, bounds: tuple[float, float] | None) -> float:
    """A reward mapped from its bounds to [0, 1]; 0.5 without bounds, or with equal ones."""
    if bounds is None or bounds[0] >= bounds[1]:
        return 0.5
    return min(1.0, max(0.0, (reward - bounds[0]) / (bounds[1] - bounds[0])))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
