"""From scores to the advantage of every token, with the estimator that the settings name.

The formulas are in `algorithm/advantages.py`; here they get what they ask for: rewards, the parts of rewards,
masks, and the KL penalty where it belongs to the reward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

from stateset.rl.algorithm.advantages import ADVANTAGES, at_last_token, gae, grpo, trainable_rows
from stateset.rl.algorithm.aggregation import token_weights
from stateset.rl.algorithm.attribution import attribute
from stateset.rl.config.schema import Config
from stateset.rl.errors import RewardError
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.trace import Fixed
from stateset.rl.types import OVERLONG, ScoredGroup

ROUNDING = 1e-9  # of sums, relative
SCALED_DISTANCES = ("grpo", "grpo_batch_std", "rloo", "maxrl")  # estimators that `attribute` can split


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """Both [B, T], float64, on the CPU.

    Attributes:
        advantages: the same on all tokens of a response where the estimator compares whole responses.
        returns: what the critic should have said; None without one.
        attribution: how much of the update each weighted part of the reward answers for, by logged name.
    """

    advantages: Tensor
    returns: Tensor | None = None
    attribution: Mapping[str, float] = field(default_factory=dict)


def token_advantages(
    config: Config,
    scored: Sequence[ScoredGroup],
    batch: Batch,
    fixed: Fixed,
    weights: Mapping[str, float] | None = None,
) -> Credit:
    """What each token of a step is worth.

    Args:
        config: names the estimator.
        scored: the step's groups, B responses in all.
        batch: the same responses; the mask is 0 in rows that must not train.
        fixed: holds what `kl_placement: reward` and `gae` need.
        weights: of the reward's parts by name, for `gdpo`; a part without one counts 0. None: all count 1.

    Raises:
        RewardError: `gdpo` without parts, with a scored response that lacks one which others of its group
            have, or, without weights, with parts that do not add up to the reward.
    """
    if weights is not None and config.overlong_buffer:
        weights = {**weights, OVERLONG: 1.0}
    rewards = torch.tensor([value for group in scored for value in group.values], dtype=torch.float64)
    groups, mask = batch.groups.cpu(), batch.mask.cpu()
    penalty = _penalty(config, fixed)
    estimator: Callable[..., Tensor] = ADVANTAGES[config.adv_estimator]
    match config.adv_estimator:
        case "reinforce_plus_plus" | "gae":
            tokens = at_last_token(rewards, mask)
            paid = tokens if penalty is None else tokens - penalty
            if config.adv_estimator == "reinforce_plus_plus":
                return Credit(advantages=estimator(paid, mask, gamma=config.gamma))
            assert fixed.values is not None, "the critic's, made before"
            values = fixed.values.cpu().double()
            advantages, returns = gae(paid, values, mask, gamma=config.gamma, lam=config.lam)
            return Credit(advantages=advantages, returns=returns)
        case "reinforce_plus_plus_baseline":
            advantages = estimator(rewards, groups, mask)
        case "gdpo":
            components, factors = _compared(scored, rewards, weights)
            advantages = estimator(components, factors, groups)[:, None]
        case "grpo":
            advantages = estimator(rewards, groups, norm_by_std=config.norm_adv_by_std)[:, None]
        case _:
            advantages = estimator(rewards, groups)[:, None]
    shares = {}
    if weights is not None and config.adv_estimator in SCALED_DISTANCES:
        norm = config.max_response_length if config.loss_agg_mode.endswith("norm") else None
        in_loss = token_weights(mask, config.loss_agg_mode, norm=norm).sum(-1)
        shares = _attribution(scored, rewards, advantages[:, 0], weights, groups, in_loss)
    if penalty is not None:  # the task's rewards alone decide what is above average, and by how much
        advantages = advantages - _kl_above_group(penalty, batch, rewards)[:, None]
    return Credit(advantages=advantages.expand(mask.shape), attribution=shares)


def _attribution(
    scored: Sequence[ScoredGroup],
    rewards: Tensor,
    advantages: Tensor,
    weights: Mapping[str, float],
    groups: Tensor,
    in_loss: Tensor,
) -> dict[str, float]:
    present = {name for group in scored for score in group.scores for name in score.parts}
    names = [name for name in weights if name in present]
    if not names:
        return {}
    components, factors = _components(scored, rewards, names), _factors(names, weights)
    found = attribute(advantages, rewards, components, factors, groups, in_loss)
    shares = zip([*names, "rest"], found.shares.tolist(), strict=True)
    pairs = combinations(range(len(names)), 2)
    return {f"attribution/{name}": share for name, share in shares} | {
        f"attribution/conflict/{names[a]}|{names[b]}": float(found.conflicts[a, b]) for a, b in pairs
    }


def _penalty(config: Config, fixed: Fixed) -> Tensor | None:
    """[B, T]: what each token costs the reward, None where the KL is elsewhere."""
    if not config.use_kl_loss or config.kl_placement != "reward":
        return None
    assert fixed.old is not None, "fixed_logprobs computes it for this placement"
    assert fixed.reference is not None, "and this one"
    return config.kl_loss_coef * (fixed.old - fixed.reference).cpu().double()


def _kl_above_group(penalty: Tensor, batch: Batch, rewards: Tensor) -> Tensor:
    """[B]: by how much a response's KL costs more than its group's mean, masked responses left out."""
    groups, inside = batch.groups.cpu(), batch.mask.cpu() != 0
    masked_out = (batch.lengths.cpu() > 0) & ~inside.any(-1)
    costs = torch.where(inside, penalty, 0.0).sum(-1)
    costs = torch.where(trainable_rows(rewards, groups) & ~masked_out, costs, math.nan)
    return grpo(costs, groups, norm_by_std=False)


def _compared(
    scored: Sequence[ScoredGroup], rewards: Tensor, weights: Mapping[str, float] | None
) -> tuple[Tensor, Tensor]:
    """What `gdpo` takes: parts [B, K], NaN in the rows of unscored responses, and their weights [K]."""
    found = dict.fromkeys(name for group in scored for score in group.scores for name in score.parts)
    names = list(found) if weights is None else [name for name in weights if name in found]
    if not names and rewards.isnan().all():  # nothing was scored, so nothing has parts
        return torch.full_like(rewards, math.nan)[:, None], torch.ones_like(rewards[:1])
    if not names:
        raise RewardError(
            "adv_estimator gdpo standardises each part of a reward, and this reward has none"
            f"{' with a weight' if found else ''}: return Score(total, parts={{...}}), or take another one"
        )
    for group in scored:
        _refuse_missing(group, names)
        if weights is None:
            _refuse_other_sums(group)
    # a part that no response to a prompt has, as of another route, is constant in its group
    components = _components(scored, rewards, names).nan_to_num(0.0)
    return components.masked_fill(rewards.isnan()[:, None], math.nan), _factors(names, weights)


def _components(scored: Sequence[ScoredGroup], rewards: Tensor, names: Sequence[str]) -> Tensor:
    """Parts [B, K]; NaN where a response lacks one, or a total."""
    scores = [score for group in scored for score in group.scores]
    parts = [[score.parts.get(name, math.nan) for name in names] for score in scores]
    return torch.tensor(parts, dtype=torch.float64).masked_fill(rewards.isnan()[:, None], math.nan)


def _factors(names: Sequence[str], weights: Mapping[str, float] | None) -> Tensor:
    factors = [1.0 if weights is None else float(weights[name]) for name in names]
    return torch.tensor(factors, dtype=torch.float64)


def _refuse_missing(group: ScoredGroup, names: Sequence[str]) -> None:
    """A prompt's reward may have other parts than another prompt's; all its responses have the same."""
    scores = [score for score in group.scores if score.total is not None]
    needed = {name for score in scores for name in score.parts if name in names}
    for score in scores:
        if needed <= {OVERLONG} or not needed <= score.parts.keys():
            raise RewardError(
                "adv_estimator gdpo compares every part of a reward, and a scored response to task "
                f"{group.group.task.id} has only {', '.join(score.parts) or 'none'}: return all parts of it, "
                "or None as its total"
            )


def _refuse_other_sums(group: ScoredGroup) -> None:
    """Without weights `gdpo` would maximise the plain sum of the parts, whatever the reward says."""
    for score in group.scores:
        size = max(1.0, sum(map(abs, score.parts.values())))
        if score.total is not None and abs(sum(score.parts.values()) - score.total) > ROUNDING * size:
            raise RewardError(
                f"adv_estimator gdpo adds the parts of a reward up: those of a response to task "
                f"{group.group.task.id} make {sum(score.parts.values()):g}, and its reward is "
                f"{score.total:g}. Give the reward `weights`, a mapping of each part that pays to what it "
                "counts, or take another adv_estimator"
            )
