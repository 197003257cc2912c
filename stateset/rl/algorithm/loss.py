"""Policy losses: from log-probabilities and advantages, all [B, T], to a loss per token and its statistics.

Nothing outside the mask is read, not even NaN. The sum over tokens is for `aggregation.token_weights`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stateset.rl.algorithm.aggregation import masked

MAX_LOG_RATIO = 20.0
MAX_SEQUENCE_LOG_RATIO = 10.0


@dataclass(frozen=True)
class Clip:
    """Bounds on the probability ratio: [1 - low, 1 + high], and `dual` on the loss where A < 0."""

    low: float = 0.2
    high: float = 0.2
    dual: float | None = 3.0


NO_CLIP = Clip(low=1.0, high=math.inf, dual=None)
PolicyLoss = Callable[[Tensor, Tensor, Tensor, Tensor, Clip], tuple[Tensor, dict[str, Tensor]]]


def ppo_clip(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip: Clip
) -> tuple[Tensor, dict[str, Tensor]]:
    """PPO's clipped surrogate with the dual clip (arXiv 1707.06347, 1912.09729).

    Args:
        logprobs: [B, T], the policy's; gradients reach only these.
        old_logprobs: [B, T], of the policy before the first update on this batch.
        advantages: [B, T], constants.
        mask: [B, T], 1 where the policy chose the token.
        clip: the bounds.

    Returns:
        The loss [B, T], 0 outside the mask, and 0-d `clip_fraction_low`, `clip_fraction_high` (of all tokens,
        those where the clip binds), `approx_kl_old` and `ratio_max`.
    """
    log_ratio = masked(logprobs - old_logprobs, mask)
    weight = masked(advantages, mask)
    ratio = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    losses = torch.maximum(-weight * ratio, -weight * ratio.clamp(1 - clip.low, 1 + clip.high))
    if clip.dual is not None:
        losses = torch.where(weight < 0, torch.minimum(losses, -weight * clip.dual), losses)
    return losses, _ratio_stats(log_ratio, ratio, weight, mask, clip)


def gspo(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip: Clip
) -> tuple[Tensor, dict[str, Tensor]]:
    """Clip by the whole response's ratio, the geometric mean of its tokens' (arXiv 2507.18071).

    The ratio's gradient reaches every token by itself (straight through). `clip.dual` is not used. The
    arguments and the result are those of `ppo_clip`; the paper's bounds are 3e-4 and 4e-4.
    """
    log_ratio, weight = masked(logprobs - old_logprobs, mask), masked(advantages, mask)
    mean = log_ratio.sum(-1, keepdim=True) / (mask != 0).sum(-1, keepdim=True).clamp(min=1)
    through = masked(logprobs - logprobs.detach(), mask)
    ratio = (mean.detach() + through).clamp(max=MAX_SEQUENCE_LOG_RATIO).exp()
    losses = torch.maximum(-weight * ratio, -weight * ratio.clamp(1 - clip.low, 1 + clip.high))
    return losses, _ratio_stats(log_ratio, ratio, weight, mask, clip)


def cispo(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip: Clip
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weigh each token by its clipped ratio, held constant: no token loses its gradient (arXiv 2506.13585).

    `clip.dual` is not used. The arguments and the result are those of `ppo_clip`.
    """
    log_ratio, weight = masked(logprobs - old_logprobs, mask), masked(advantages, mask)
    ratio = log_ratio.detach().clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    losses = -ratio.clamp(1 - clip.low, 1 + clip.high) * weight * masked(logprobs, mask)
    return losses, _ratio_stats(log_ratio, ratio, weight, mask, clip)


def reinforce(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip: Clip
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weigh each token's log-probability by its advantage, without ratio or clip (Williams 1992).

    `clip` is not used. The arguments and the result are those of `ppo_clip`.
    """
    log_ratio, weight = masked(logprobs - old_logprobs, mask), masked(advantages, mask)
    ratio = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    return -weight * masked(logprobs, mask), _ratio_stats(log_ratio, ratio, weight, mask, NO_CLIP)


POLICY_LOSSES: dict[str, PolicyLoss] = {
    "ppo_clip": ppo_clip,
    "gspo": gspo,
    "cispo": cispo,
    "reinforce": reinforce,
}


@torch.no_grad()
def _ratio_stats(
    log_ratio: Tensor, ratio: Tensor, advantages: Tensor, mask: Tensor, clip: Clip
) -> dict[str, Tensor]:
    """Statistics over the mask; all 0 where it is empty."""
    inside = mask != 0
    num_tokens = inside.sum().clamp(min=1)
    return {
        "clip_fraction_low": ((advantages < 0) & (ratio < 1 - clip.low)).sum() / num_tokens,
        "clip_fraction_high": ((advantages > 0) & (ratio > 1 + clip.high)).sum() / num_tokens,
        "approx_kl_old": -log_ratio.sum() / num_tokens,
        "ratio_max": torch.cat([ratio[inside], ratio.new_zeros(1)]).max(),
    }
