"""How per-token losses become the loss of one optimizer step: by weights, so that parts of the step add up.

They are computed once over all micro-batches of all ranks of the step; then loss = (values * weights).sum().
"""

from __future__ import annotations

import torch
from torch import Tensor

from stateset.rl.errors import ConfigError

AGGREGATIONS: tuple[str, ...] = (
    "token-mean",
    "seq-mean-token-sum",
    "seq-mean-token-mean",
    "seq-mean-token-sum-norm",
)


def token_weights(mask: Tensor, mode: str, *, norm: float | None = None) -> Tensor:
    """Weights that turn per-token losses into the loss of the step by a plain sum.

    With N tokens in the step, B' rows that have any, and n_b tokens in row b, a token weighs 1 / N
    (`token-mean`), 1 / B' (`seq-mean-token-sum`), 1 / (B' n_b) (`seq-mean-token-mean`, arXiv 2402.03300) or
    1 / (B' norm) (`seq-mean-token-sum-norm`, arXiv 2503.20783).

    Args:
        mask: [B, T], 1 where the policy chose the token, over one whole optimizer step.
        mode: one of AGGREGATIONS.
        norm: tokens that every response counts for; `seq-mean-token-sum-norm` needs it.

    Returns:
        [B, T] in the mask's dtype (float32 for a bool or integer mask); 0 outside the mask.

    Raises:
        ConfigError: an unknown mode, or no positive `norm` where the mode needs one.
    """
    inside = mask != 0
    lengths = inside.sum(-1, keepdim=True).double()
    rows = (lengths > 0).sum().double()
    match mode:
        case "token-mean":
            divisor = lengths.sum()
        case "seq-mean-token-sum":
            divisor = rows
        case "seq-mean-token-mean":
            divisor = rows * lengths
        case "seq-mean-token-sum-norm":
            divisor = rows * _positive(norm)
        case _:
            raise ConfigError(f"loss_agg_mode '{mode}' is unknown; choose one of {', '.join(AGGREGATIONS)}")
    weights = torch.where(inside, 1.0 / divisor, 0.0)
    return weights.to(mask.dtype if mask.is_floating_point() else torch.float32)


def masked(values: Tensor, mask: Tensor) -> Tensor:
    """`values` inside the mask and exactly 0 outside it, forward and backward, whatever stood there."""
    return torch.where(mask != 0, values, 0.0)


def _positive(norm: float | None) -> float:
    if norm is None or not norm > 0:
        raise ConfigError(
            f"loss_agg_mode 'seq-mean-token-sum-norm' divides by a constant length, got norm={norm}; "
            "pass norm=max_response_length"
        )
    return norm
