"""From rewards to advantages: how much better than its own group each response was.

B responses in G groups. Rewards are float tensors in which NaN stands for a response that could not be
scored: it enters no mean and no deviation and gets advantage 0. Statistics are computed in float64,
the result has the rewards' dtype, and equal rewards give exactly 0. `trainable_rows` says which rows train.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


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


ADVANTAGES: dict[str, Callable[..., Tensor]] = {"grpo": grpo, "rloo": rloo}


def trainable_rows(rewards: Tensor, groups: Tensor) -> Tensor:
    """[B] bool: scored responses whose group holds at least two; the mask of every other row must be 0."""
    scored = ~rewards.isnan()
    return scored & (_group_sum(scored.double(), groups) >= 2)


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
