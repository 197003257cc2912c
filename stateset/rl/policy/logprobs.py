"""Log-probabilities, entropies and exact KL of tokens, in chunks through the head: never a [B, T, V] tensor.

The backward pass computes each chunk's logits again instead of keeping them; the peak is one chunk of logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CHUNK_TOKENS = 512


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
        """[N, D] -> [N, V] in float32."""
        return self.capped(torch.nn.functional.linear(hidden, self.weight, self.bias))

    def capped(self, raw: Tensor) -> Tensor:
        """Scale and soft-cap raw logits [N, V]; float32."""
        logits = raw.float()
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

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
        ([N], [N]) in float32; both differentiable.
    """
    bias = head.bias if head.bias is not None else hidden.new_empty(0)
    logprobs, entropy = _ChunkedHead.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, bias, targets, head, temperature
    )
    return logprobs, entropy


class _ChunkedHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        head: Head,
        temperature: float,
    ) -> Any:
        logprobs = hidden.new_empty(len(hidden), dtype=torch.float32)
        entropy = torch.empty_like(logprobs)
        for start in range(0, len(hidden), CHUNK_TOKENS):
            part = slice(start, start + CHUNK_TOKENS)
            logits = head.logits(hidden[part]).div_(temperature)
            normalizer = logits.logsumexp(-1)
            logprobs[part] = logits.gather(-1, targets[part, None])[:, 0] - normalizer
            probabilities = (logits - normalizer[:, None]).exp_()
            entropy[part] = normalizer - probabilities.mul_(logits).sum(-1)
        ctx.save_for_backward(hidden, weight, bias, targets, entropy)
        ctx.head, ctx.temperature = head, temperature
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, grad_logprobs: Tensor, grad_entropy: Tensor) -> Any:
        hidden, weight, bias, targets, entropy = ctx.saved_tensors
        head: Head = ctx.head
        grads = _HeadGradients(hidden, weight, bias, head, ctx)
        with_entropy = bool(grad_entropy.any())
        for start in range(0, len(hidden), CHUNK_TOKENS):
            part = slice(start, start + CHUNK_TOKENS)
            capped = head.logits(hidden[part])
            log_p = torch.log_softmax(capped / ctx.temperature, -1)
            grad = log_p.exp().mul_(-grad_logprobs[part, None])
            grad.scatter_add_(-1, targets[part, None], grad_logprobs[part, None])
            if with_entropy:  # dH/dz_v = -p_v (log p_v + H)
                grad.sub_(log_p.exp() * (log_p + entropy[part, None]) * grad_entropy[part, None])
            grads.add(part, grad.div_(ctx.temperature), capped)
        return (*grads.done(), None, None, None)


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
        [N] in float32.
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
        kl = hidden.new_empty(len(hidden), dtype=torch.float32)
        for start in range(0, len(hidden), CHUNK_TOKENS):
            part = slice(start, start + CHUNK_TOKENS)
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
        for start in range(0, len(hidden), CHUNK_TOKENS):
            part = slice(start, start + CHUNK_TOKENS)
            capped = head.logits(hidden[part])
            log_p = torch.log_softmax(capped / ctx.temperature, -1)
            log_q = torch.log_softmax(reference_head.logits(reference_hidden[part]) / ctx.temperature, -1)
            # dKL/dz_v = p_v (log p_v - log q_v - KL)
            grad = log_p.exp().mul_(log_p.sub_(log_q).sub_(kl[part, None])).mul_(grad_kl[part, None])
            grads.add(part, grad.div_(ctx.temperature), capped)
        return (*grads.done(), None, None, None, None)


class _HeadGradients:
    """From gradients to capped logits, chunk by chunk, to those of hidden states, weight and bias."""

    def __init__(self, hidden: Tensor, weight: Tensor, bias: Tensor, head: Head, ctx: Any) -> None:
        self.inputs, self.head = (hidden, weight, bias), head
        self.hidden = torch.empty_like(hidden)
        self.weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        self.bias = torch.zeros_like(bias, dtype=torch.float32) if ctx.needs_input_grad[2] else None

    def add(self, part: slice, grad: Tensor, capped: Tensor) -> None:
        """`grad` [n, V] is used up."""
        hidden, weight, bias = self.inputs
        if self.head.softcap is not None:
            grad.mul_(1 - (capped / self.head.softcap).square())
        if self.head.scale != 1.0:
            grad.mul_(self.head.scale)
        grad_raw = grad.to(hidden.dtype)
        self.hidden[part] = grad_raw @ weight
        if self.weight is not None:
            self.weight += grad_raw.T @ hidden[part]
        if self.bias is not None and bias.numel():
            self.bias += grad.sum(0)

    def done(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        _, weight, bias = self.inputs
        return (
            self.hidden,
            None if self.weight is None else self.weight.to(weight.dtype),
            None if self.bias is None else self.bias.to(bias.dtype),
        )
