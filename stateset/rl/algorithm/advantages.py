"""From rewards to advantages: how much better each response, or token, was than what it is compared with.

B responses in G groups. Rewards are float tensors in which NaN stands for a response that could not be
scored: it enters no mean and no deviation and gets advantage 0. Statistics are computed in float64,
the result has the rewards' dtype, and equal rewards give exactly 0. `trainable_rows` says which rows train.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BATCH_EPS = 1e-6  # beside a deviation over the batch
WHITEN_EPS = 1e-8  # beside a variance over tokens
ROUNDING = 1e-12  # of a sum in float64, relative to its terms


def grpo(rewards: Tensor, groups: Tensor, *, norm_by_std: bool = True, eps: float = 1e-6) -> Tensor:
    """Measure each reward from its group's mean, in standard deviations of the group (arXiv 2402.03300).

    Args:
        rewards: [B], NaN where unscorable.
        groups: [B] int, the group of each response; any numbers, in any order.
        norm_by_std: divide by std (n-1) + eps; False is the distance itself (Dr. GRPO, arXiv 2503.20783).
        eps: keeps a nearly constant group finite.

    Returns:
        [B]; 0 for unscorable responses and in groups with fewer than two scored ones.
    """
    centred, count = _centre(rewards, groups)
    if norm_by_std:
        variance = _group_sum(centred.square(), groups) / (count - 1).clamp(min=1)
        scale = variance.sqrt() + eps
        centred = centred / scale.where(scale > 0, 1.0)
    return centred.to(rewards.dtype)


def rloo(rewards: Tensor, groups: Tensor) -> Tensor:
    """Measure each reward from the mean of the group's others: n / (n-1) (r - mean) (arXiv 2402.14740).

    Args:
        rewards: [B], NaN where unscorable.
        groups: [B] int, the group of each response.

    Returns:
        [B]; 0 for unscorable responses and in groups with fewer than two scored ones.
    """
    centred, count = _centre(rewards, groups)
    return (centred * count / (count - 1).clamp(min=1)).to(rewards.dtype)


def grpo_batch_std(rewards: Tensor, groups: Tensor) -> Tensor:
    """Measure each reward from its group's mean, in the batch's standard deviations (arXiv 2508.08221).

    Args:
        rewards: [B], NaN where unscorable.
        groups: [B] int, the group of each response.

    Returns:
        [B]; 0 for unscorable responses and in groups with fewer than two scored ones.
    """
    centred, _ = _centre(rewards, groups)
    return (centred / (_std(rewards.double(), ~rewards.isnan()) + BATCH_EPS)).to(rewards.dtype)


def maxrl(rewards: Tensor, groups: Tensor) -> Tensor:
    """Measure each reward from its group's mean, in units of that mean (arXiv 2602.02710).

    Args:
        rewards: [B], NaN where unscorable.
        groups: [B] int, the group of each response.

    Returns:
        [B]; 0 for unscorable responses, in groups with fewer than two scored ones, and where the group's
        mean is not above 0.
    """
    centred, count = _centre(rewards, groups)
    values = rewards.double().nan_to_num(0.0)
    mean = _group_sum(values, groups) / count.clamp(min=1)
    above = mean > ROUNDING * _group_sum(values.abs(), groups)  # not what summing left of a mean of 0
    return torch.where(above, centred / mean, 0.0).to(rewards.dtype)


def grpo_passk(rewards: Tensor, groups: Tensor) -> Tensor:
    """Reinforce only the best response of each group, by its lead over the second best (arXiv 2503.19595).

    Args:
        rewards: [B], NaN where unscorable.
        groups: [B] int, the group of each response.

    Returns:
        [B]; 0 for every other response, where two share the best reward, and in groups with fewer than two
        scored responses.
    """
    values, index = rewards.double().nan_to_num(-math.inf), _indices(groups)
    best = _group_max(values, index)
    first = (values == best[index]) & trainable_rows(rewards, groups)
    alone = _group_sum(first.double(), groups) == 1
    second = _group_max(values.where(~first, -math.inf), index)
    return torch.where(first & alone, values - second[index], 0.0).to(rewards.dtype)


def gdpo(components: Tensor, weights: Tensor, groups: Tensor) -> Tensor:
    """Standardise each component within its group, add up, standardise over the batch (arXiv 2601.05242).

    A component that is constant within a group says nothing there, and does not thin out the others.

    Args:
        components: [B, K], a row with a NaN is unscorable.
        weights: [K].
        groups: [B] int, the group of each response.

    Returns:
        [B]; 0 for unscorable responses and in groups with fewer than two scored ones.
    """
    whole = components.sum(-1)  # NaN where any component is
    scored = torch.where(whole.isnan()[:, None], math.nan, components.double())
    columns = [grpo(column, groups, eps=0.0) for column in scored.unbind(-1)]
    total = (torch.stack(columns, -1) * weights.double()).sum(-1)
    inside = ~whole.isnan()
    result = _from_mean(total, inside) / (_std(total, inside) + BATCH_EPS)
    signal = _group_sum((total != 0).double(), groups) > 0  # elsewhere the mean of 0 leaves rounding
    return result.where(signal & trainable_rows(whole, groups), 0.0).to(components.dtype)


def reinforce_plus_plus(token_rewards: Tensor, mask: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Discounted rewards still to come at each token, whitened over the batch (arXiv 2501.03262).

    No group is compared: an offset between prompts stays in, as in the paper.

    Args:
        token_rewards: [B, T], as from `at_last_token`; a row with a NaN is unscorable.
        mask: [B, T], 1 where the policy chose the token; the others are stepped over without a discount.
        gamma: discount a token.

    Returns:
        [B, T]; 0 outside the mask and for unscorable responses.
    """
    rewards, inside = _scored_tokens(token_rewards, mask)
    returns = torch.zeros_like(rewards)
    running = rewards.new_zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        running = torch.where(inside[:, t], rewards[:, t] + gamma * running, running)
        returns[:, t] = running
    return whiten(returns, inside).to(token_rewards.dtype)


def reinforce_plus_plus_baseline(rewards: Tensor, groups: Tensor, mask: Tensor) -> Tensor:
    """The distance from the group's mean on each token, whitened over the batch (arXiv 2501.03262).

    Args:
        rewards: [B], NaN where unscorable.
        groups: [B] int, the group of each response.
        mask: [B, T], 1 where the policy chose the token.

    Returns:
        [B, T]; 0 outside the mask, for unscorable responses and in groups with fewer than two scored ones.
    """
    centred, _ = _centre(rewards, groups)
    inside = (mask != 0) & trainable_rows(rewards, groups)[:, None]
    return whiten(centred[:, None].expand(mask.shape), inside).to(rewards.dtype)


def gae(
    token_rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation with a critic's values (arXiv 1506.02438), as PPO uses it.

    Args:
        token_rewards: [B, T], as from `at_last_token`; a row with a NaN is unscorable.
        values: [B, T], the critic's estimate of what is still to come at each token.
        mask: [B, T], 1 where the policy chose the token; the others carry the next value through.
        gamma: discount a token.
        lam: 0 trusts the critic's next value, 1 the rewards.

    Returns:
        Advantages [B, T], whitened over the batch, and returns [B, T], the critic's targets; both 0 outside
        the mask and for unscorable responses.
    """
    rewards, inside = _scored_tokens(token_rewards, mask)
    known = values.double().where(inside, 0.0)
    advantages = torch.zeros_like(rewards)
    later = next_value = rewards.new_zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - known[:, t]
        later = torch.where(inside[:, t], delta + gamma * lam * later, later)
        next_value = torch.where(inside[:, t], known[:, t], next_value)
        advantages[:, t] = later
    returns = (advantages + known).where(inside, 0.0)
    return whiten(advantages, inside).to(values.dtype), returns.to(values.dtype)


ADVANTAGES: dict[str, Callable[..., Any]] = {
    "grpo": grpo,
    "grpo_batch_std": grpo_batch_std,
    "rloo": rloo,
    "maxrl": maxrl,
    "grpo_passk": grpo_passk,
    "gdpo": gdpo,
    "reinforce_plus_plus": reinforce_plus_plus,
    "reinforce_plus_plus_baseline": reinforce_plus_plus_baseline,
    "gae": gae,
}


def trainable_rows(rewards: Tensor, groups: Tensor) -> Tensor:
    """[B] bool: scored responses whose group holds at least two; the mask of every other row must be 0."""
    scored = ~rewards.isnan()
    return scored & (_group_sum(scored.double(), groups) >= 2)


def at_last_token(rewards: Tensor, mask: Tensor) -> Tensor:
    """[B] rewards on the last token of each response, [B, T]; a response without tokens has none."""
    inside = mask != 0
    last = inside & (inside.flip(-1).cumsum(-1).flip(-1) == 1)
    return torch.where(last, rewards[:, None], torch.zeros_like(rewards)[:, None])


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Values inside the mask at mean 0 and variance 1 (n-1), float64; 0 outside, and where all are equal."""
    inside = mask != 0
    return _from_mean(values.double(), inside) * (_std(values.double(), inside).square() + WHITEN_EPS).rsqrt()


def _from_mean(values: Tensor, inside: Tensor) -> Tensor:
    """Distances from the mean inside, 0 outside; exactly 0 where all inside are equal."""
    if not inside.any():
        return torch.zeros_like(values)
    above = (values - values[inside].min()).where(inside, 0.0)
    return (above - above.sum() / inside.sum()).where(inside, 0.0)


def _std(values: Tensor, inside: Tensor) -> Tensor:
    """Standard deviation (n-1) of the values inside, 0-d; 0 for fewer than two."""
    return (_from_mean(values, inside).square().sum() / (inside.sum() - 1).clamp(min=1)).sqrt()


def _scored_tokens(token_rewards: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Token rewards in float64, 0 outside, and the mask as bool without the rows that hold a NaN in it."""
    inside = mask != 0
    inside &= ~(token_rewards.isnan() & inside).any(-1, keepdim=True)
    return token_rewards.double().where(inside, 0.0), inside


def _group_max(values: Tensor, index: Tensor) -> Tensor:
    """[B], group numbers 0 .. G-1 -> [G]."""
    return torch.full_like(values, -math.inf).scatter_reduce(0, index, values, "amax")


def _centre(rewards: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards minus their group's mean (0 where unscorable) and its scored responses, both [B] float64."""
    values, scored = rewards.double(), ~rewards.isnan()
    count = _group_sum(scored.double(), groups)
    index = _indices(groups)
    lowest = torch.full_like(values, math.inf).scatter_reduce(
        0, index, values.where(scored, math.inf), "amin"
    )
    # measured from the group's lowest, equal rewards have a mean of exactly 0
    above = (values - lowest[index]).where(scored, 0.0)
    mean = _group_sum(above, groups) / count.clamp(min=1)
    return (above - mean).where(scored, 0.0), count


def _group_sum(values: Tensor, groups: Tensor) -> Tensor:
    """[B] -> [B]: each entry becomes the sum over its group."""
    index = _indices(groups)
    return torch.zeros_like(values).index_add(0, index, values)[index]


def _indices(groups: Tensor) -> Tensor:
    """Group numbers [B] as 0 .. G-1."""
    index: Tensor = torch.unique(groups, return_inverse=True)[1]
    return index
