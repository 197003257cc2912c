"""Per-token estimates of the divergence from a reference policy, from the sampled tokens alone.

With x = logprobs - ref_logprobs: `kl` is x, `mse` x^2 / 2, `low_var_kl` exp(-x) - 1 + x, the GRPO paper's
(arXiv 2402.03300). As a loss, `kl` regularises nothing: its expected gradient is zero. A name with `+` has
its base's value and the gradient x of `mse`, which is on average that of KL(policy || reference).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stateset.rl.errors import ConfigError

MAX_LOG_RATIO = 20.0
MAX_LOW_VAR_KL = 10.0


def _low_var(x: Tensor) -> Tensor:
    """exp(-x) - 1 + x, bounded where the exponential would drown every other token."""
    negative = (-x).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return (negative.expm1() - negative).clamp(-MAX_LOW_VAR_KL, MAX_LOW_VAR_KL)


def _linear(x: Tensor) -> Tensor:
    return x


def _half_square(x: Tensor) -> Tensor:
    return x.square() / 2


_BASES: dict[str, Callable[[Tensor], Tensor]] = {
    "kl": _linear,
    "k1": _linear,
    "abs": torch.abs,
    "mse": _half_square,
    "k2": _half_square,
    "low_var_kl": _low_var,
    "k3": _low_var,
}

KL_KINDS: tuple[str, ...] = (*_BASES, *(f"{base}+" for base in _BASES))


def kl_penalty(logprobs: Tensor, ref_logprobs: Tensor, kind: str) -> Tensor:
    """Penalise each sampled token, differentiably in `logprobs`.

    Args:
        logprobs: the policy's, any shape; `aggregation.masked` first where padding may hold NaN.
        ref_logprobs: the reference's, the same shape.
        kind: one of KL_KINDS; `k1`, `k2`, `k3` are other names of `kl`, `mse`, `low_var_kl`.

    Returns:
        The same shape, 0 where both agree.

    Raises:
        ConfigError: an unknown kind.
    """
    if kind not in KL_KINDS:
        raise ConfigError(f"kl_loss_type '{kind}' is unknown; choose one of {', '.join(KL_KINDS)}")
    x = logprobs - ref_logprobs
    value = _BASES[kind.removesuffix("+")](x)
    if not kind.endswith("+"):
        return value
    return value.detach() + x.detach() * (x - x.detach())


def full_kl(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """KL(policy || reference) over the whole vocabulary, exact, differentiable in `logits`.

    Args:
        logits: the policy's, [..., V]; -inf is a token that cannot be chosen.
        ref_logits: the reference's, the same shape.

    Returns:
        [...], 0 where both agree.
    """
    logprobs, ref_logprobs = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    probabilities = logprobs.exp()
    possible = probabilities > 0
    distance = torch.where(possible, logprobs, 0.0) - torch.where(possible, ref_logprobs, 0.0)
    return (probabilities * distance).sum(-1)
