"""Log-probabilities, entropies and exact KL of tokens, in chunks through the head: never a [B, T, V] tensor.

The forward pass turns each chunk's logits into what the backward pass needs, in place and row by row while
they are in the processor's cache. A head that trains keeps that where it is at most `KEPT_BYTES`, else
computes it again; a frozen one keeps [N, D] alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CHUNK_TOKENS = 512
KEPT_BYTES = 2**28  # of logits' gradients, for the head's own
CACHE_BYTES = 2**21  # float32 logits that a core works on at once


def computing(tensor: Tensor) -> torch.dtype:
    """The precision of softmax and sums over what a model computed: float32 at least."""
    return torch.promote_types(tensor.dtype, torch.float32)


@dataclass(frozen=True, slots=True)
class Head:
    """The output projection: logits = softcap * tanh(scale * (h W^T + b) / softcap).

    weight [V, D], bias [V] or None; `scale` is 1 and `softcap` None for most architectures.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """[N, D] -> [N, V] in float32, of float64 weights in theirs."""
        return self.capped(self.raw(hidden))

    def raw(self, hidden: Tensor) -> Tensor:
        """[N, D] -> [N, V] before scale and soft cap, in the weights' precision."""
        return torch.nn.functional.linear(hidden, self.weight, self.bias)

    def capped(self, raw: Tensor) -> Tensor:
        """Scale and soft-cap raw logits [N, V]; in `computing` precision."""
        logits = raw.to(computing(raw))
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def uncapped_gradient(self, grad: Tensor, capped: Tensor) -> Tensor:
        """From the gradient of `capped` logits to that of raw ones; `grad` is used up."""
        if self.softcap is not None:
            grad.mul_(1 - (capped / self.softcap).square())
        return grad if self.scale == 1.0 else grad.mul_(self.scale)

    def detached(self) -> Head:
        """The same projection as it is now, outside the graph: weights swapped later do not reach it."""
        bias = None if self.bias is None else self.bias.detach()
        return Head(self.weight.detach(), bias, self.scale, self.softcap)


def token_logprobs(hidden: Tensor, targets: Tensor, head: Head, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and entropy of its distribution, both at `temperature`.

    Args:
        hidden: [N, D], the state that predicts each target.
        targets: [N] int64.
        head: the output projection; gradients reach `hidden`, `head.weight` and `head.bias`.
        temperature: divides the logits; the log-probability is of the distribution that was sampled from.
    Returns:
        ([N], [N]) in float32, of float64 states in theirs; both differentiable.
    """
    bias = head.bias if head.bias is not None else hidden.new_empty(0)
    learns = torch.is_grad_enabled()
    logprobs, entropy = _ChunkedHead.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, bias, targets, head, temperature, learns
    )
    return logprobs, entropy


class _ChunkedHead(torch.autograd.Function):
    """With g the gradient of a log-probability, that of its raw logits is g (onehot - p) / temperature."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        head: Head,
        temperature: float,
        learns: bool,
    ) -> Any:
        logprobs = hidden.new_empty(len(hidden), dtype=computing(hidden))
        entropy, toward = torch.empty_like(logprobs), torch.empty_like(hidden)
        size = len(hidden) * len(weight) * hidden.element_size()
        keeps = learns and any(ctx.needs_input_grad[1:3]) and size <= KEPT_BYTES
        kept: list[Tensor] = []
        for part in _chunks(hidden):
            logprobs[part], entropy[part], logits = _pushes(hidden[part], targets[part], head, temperature)
            if learns:
                toward[part] = logits @ weight
            if keeps:
                kept.append(logits)
        ctx.save_for_backward(hidden, weight, bias, targets, entropy, toward, *kept)
        ctx.head, ctx.temperature = head, temperature
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, grad_logprobs: Tensor, grad_entropy: Tensor) -> Any:
        hidden, weight, bias, targets, entropy, toward, *kept = ctx.saved_tensors
        head, temperature = ctx.head, ctx.temperature
        grads = _HeadGradients(hidden, weight, bias, head, ctx)
        factor = (grad_logprobs / temperature)[:, None]
        grads.hidden = (toward * factor).to(hidden.dtype)
        for part in _chunks(hidden) if grads.head_learns else ():
            logits = kept.pop(0) if kept else _pushes(hidden[part], targets[part], head, temperature)[2]
            grads.add_to_head(logits, (hidden[part] * factor[part]).to(hidden.dtype), factor[part])
        for part in _chunks(hidden) if bool(grad_entropy.any()) else ():
            capped = head.logits(hidden[part])
            log_p = torch.log_softmax(capped / temperature, -1)
            # dH/dz_v = -p_v (log p_v + H)
            grad = log_p.exp() * (log_p + entropy[part, None]) * -grad_entropy[part, None]
            grads.add(part, grad.div_(temperature), capped)
        return (*grads.done(), None, None, None, None)


def _chunks(hidden: Tensor) -> Iterator[slice]:
    return (slice(start, start + CHUNK_TOKENS) for start in range(0, len(hidden), CHUNK_TOKENS))


def _pushes(hidden: Tensor, targets: Tensor, head: Head, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities and entropies [n], and onehot - p by raw logit [n, V], in `hidden`'s dtype.

    The last one is rounded after the subtraction: near certainty all of it is the difference from 1.
    """
    logits = head.raw(hidden)
    logprobs = hidden.new_empty(len(hidden), dtype=computing(hidden))
    entropy = torch.empty_like(logprobs)
    rows = max(1, CACHE_BYTES // (4 * logits.shape[1])) if hidden.device.type == "cpu" else len(hidden)
    for start in range(0, len(hidden), rows):
        part = slice(start, start + rows)
        capped = head.capped(logits[part])
        log_p = torch.log_softmax(capped / temperature, -1)
        target = targets[part, None]
        logprobs[part] = log_p.gather(-1, target)[:, 0]
        p = log_p.exp()
        entropy[part] = -torch.linalg.vecdot(p, log_p)
        push = p.neg_().scatter_add_(-1, target, torch.ones_like(p[:, :1]))
        logits[part] = head.uncapped_gradient(push, capped)
    return logprobs, entropy, logits


def token_kl(
    hidden: Tensor, reference_hidden: Tensor, head: Head, reference_head: Head, temperature: float
) -> Tensor:
    """KL(policy || reference) of each token's distribution at `temperature`, exact over the vocabulary.

    Args:
        hidden: [N, D], the policy's state before each token.
        reference_hidden: [N, D], the reference's.
        head: the policy's projection; gradients reach `hidden`, `head.weight` and `head.bias`.
        reference_head: the reference's.
        temperature: divides the logits of both.
    Returns:
        [N] in float32, of float64 states in theirs.
    """
    bias = head.bias if head.bias is not None else hidden.new_empty(0)
    kl: Tensor = _ChunkedKL.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, bias, reference_hidden, head, reference_head, temperature
    )
    return kl


class _ChunkedKL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        reference_hidden: Tensor,
        head: Head,
        reference_head: Head,
        temperature: float,
    ) -> Tensor:
        kl = hidden.new_empty(len(hidden), dtype=computing(hidden))
        for part in _chunks(hidden):
            log_p = torch.log_softmax(head.logits(hidden[part]) / temperature, -1)
            log_q = torch.log_softmax(reference_head.logits(reference_hidden[part]) / temperature, -1)
            kl[part] = (log_p.exp() * (log_p - log_q)).sum(-1)
        ctx.save_for_backward(hidden, weight, bias, reference_hidden, kl)
        ctx.heads, ctx.temperature = (head, reference_head), temperature
        return kl

    @staticmethod
    def backward(ctx: Any, grad_kl: Tensor) -> Any:
        hidden, weight, bias, reference_hidden, kl = ctx.saved_tensors
        head, reference_head = ctx.heads
        grads = _HeadGradients(hidden, weight, bias, head, ctx)
        for part in _chunks(hidden):
            capped = head.logits(hidden[part])
            log_p = torch.log_softmax(capped / ctx.temperature, -1)
            log_q = torch.log_softmax(reference_head.logits(reference_hidden[part]) / ctx.temperature, -1)
            # dKL/dz_v = p_v (log p_v - log q_v - KL)
            grad = log_p.exp().mul_(log_p.sub_(log_q).sub_(kl[part, None])).mul_(grad_kl[part, None])
            grads.add(part, grad.div_(ctx.temperature), capped)
        return (*grads.done(), None, None, None, None)


class _HeadGradients:
    """Sums over chunks: from gradients of logits to those of hidden states, weight and bias."""

    def __init__(self, hidden: Tensor, weight: Tensor, bias: Tensor, head: Head, ctx: Any) -> None:
        self.inputs, self.head = (hidden, weight, bias), head
        self.hidden = torch.zeros_like(hidden)
        self.needs_weight, self.needs_bias = ctx.needs_input_grad[1:3]
        self.weight: Tensor | None = None  # float32 from the second chunk on
        self.bias: Tensor | None = torch.zeros_like(bias, dtype=computing(bias)) if self.needs_bias else None

    @property
    def head_learns(self) -> bool:
        return bool(self.needs_weight or self.needs_bias)

    def add(self, part: slice, grad: Tensor, capped: Tensor) -> None:
        """The gradient [n, V] of a chunk's capped logits; `grad` is used up."""
        hidden, weight, _ = self.inputs
        raw = self.head.uncapped_gradient(grad, capped).to(hidden.dtype)
        self.hidden[part] += raw @ weight
        self.add_to_head(raw, hidden[part], torch.ones_like(grad[:, :1]))

    def add_to_head(self, grad: Tensor, scaled: Tensor, factor: Tensor) -> None:
        """A chunk's gradient of raw logits [n, V] but for a factor [n, 1]; `scaled`: hidden x factor."""
        if self.needs_weight:
            product = grad.T @ scaled
            self.weight = product if self.weight is None else self.weight.to(computing(product)).add_(product)
        if self.bias is not None and self.bias.numel():
            self.bias += grad.T.to(self.bias) @ factor[:, 0]

    def done(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """In the dtypes of what they are gradients of."""
        _, weight, bias = self.inputs
        if self.needs_weight and self.weight is None:  # no token was scored
            self.weight = torch.zeros_like(weight)
        return (
            self.hidden,
            None if self.weight is None else self.weight.to(weight.dtype),
            None if self.bias is None else self.bias.to(bias.dtype),
        )
