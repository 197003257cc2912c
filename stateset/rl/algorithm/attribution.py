"""Which part of a reward pushed: an advantage is linear in the parts once its scale is known.

Every estimator of the form scale x (reward - mean of the group) is the sum of one push a part,
weight x scale x (part - its group's mean), and a rest, where the reward is no weighted sum of its parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stateset.rl.algorithm.advantages import grpo


@dataclass(frozen=True, slots=True)
class Attribution:
    """How much of an update each part is answerable for.

    Attributes:
        shares: [K + 1], the parts' and the rest's; they add up to 1. A share is negative where a part pushes
            against the update. All 0 where nothing pushed.
        conflicts: [K, K], the share of groups with signal in which two parts pushed against each other.
    """

    shares: Tensor
    conflicts: Tensor


def attribute(
    advantages: Tensor,
    rewards: Tensor,
    components: Tensor,
    weights: Tensor,
    groups: Tensor,
    in_loss: Tensor | None = None,
) -> Attribution:
    """Split the advantages of a batch.

    The share of a part is its push's inner product with the advantages, over the advantages' own: by how much
    the squared advantages would fall without it, to first order.

    Args:
        advantages: [B], of an estimator that scales the distance from the group's mean.
        rewards: [B], NaN where unscorable.
        components: [B, K], the reward's parts; a NaN counts as the group's mean.
        weights: [K], their weights in the reward.
        groups: [B] int, the group of each response.
        in_loss: [B], what a response weighs in the loss, 0 where it does not train; None: all the same.
    """
    counts = torch.ones_like(advantages) if in_loss is None else in_loss
    counts = counts.double()
    distance = grpo(rewards.double(), groups, norm_by_std=False)
    scale = torch.where(distance != 0, advantages.double() / distance, 0.0)
    scored = torch.where(rewards.isnan()[:, None], torch.nan, components.double())
    columns = [grpo(column, groups, norm_by_std=False) for column in scored.unbind(-1)]
    pushes = torch.stack(columns, -1) * weights.double() * _scale_of_group(scale, groups)[:, None]
    rest = advantages.double() - pushes.sum(-1)
    weighed = advantages.double() * counts
    total = (weighed * advantages.double()).sum()
    inner = torch.cat([pushes, rest[:, None]], -1) * weighed[:, None]
    shares = inner.sum(0) / total if total > 0 else torch.zeros(inner.shape[1], dtype=torch.float64)
    return Attribution(shares, _conflicts(pushes, weighed, counts, groups))


def _scale_of_group(scale: Tensor, groups: Tensor) -> Tensor:
    """[B]: the scale of a response at the group's mean is that of the others."""
    index = torch.unique(groups, return_inverse=True)[1]
    largest = torch.zeros_like(scale).scatter_reduce(0, index, scale, "amax")
    return largest[index]


def _conflicts(pushes: Tensor, weighed: Tensor, counts: Tensor, groups: Tensor) -> Tensor:
    count = pushes.shape[1]
    against, with_signal = torch.zeros(count, count, dtype=torch.float64), 0
    for group in groups.unique():
        rows = groups == group
        if not weighed[rows].any():
            continue
        with_signal += 1
        against += (pushes[rows].T @ (pushes[rows] * counts[rows, None]) < 0).double()
    return against / max(1, with_signal)
