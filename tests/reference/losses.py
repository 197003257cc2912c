"""Token weights and policy losses, one token at a time: each loss with its gradient and statistics."""

from __future__ import annotations

import math

Rows = list[list[float]]
Result = tuple[Rows, Rows, dict[str, float]]  # losses, their gradients to the log-probabilities, statistics


def token_weights(mask: Rows, mode: str, norm: float | None = None) -> Rows:
    lengths = [sum(1 for m in row if m) for row in mask]
    tokens = sum(lengths)
    rows = sum(1 for n in lengths if n)
    result = []
    for row, n in zip(mask, lengths, strict=True):
        weight = {
            "token-mean": lambda: 1 / tokens,
            "seq-mean-token-sum": lambda: 1 / rows,
            "seq-mean-token-mean": lambda n=n: 1 / rows / n,
            "seq-mean-token-sum-norm": lambda: 1 / rows / norm,
        }[mode]
        result.append([weight() if m else 0.0 for m in row])
    return result


def inside(mask: Rows) -> list[tuple[int, int]]:
    return [(b, t) for b, row in enumerate(mask) for t, m in enumerate(row) if m]


def zeros(mask: Rows) -> Rows:
    return [[0.0] * len(row) for row in mask]


def statistics(
    logprobs: Rows, old: Rows, mask: Rows, ratios: list[float], at_low: int = 0, at_high: int = 0
) -> dict[str, float]:
    log_ratios = [logprobs[b][t] - old[b][t] for b, t in inside(mask)]
    n = max(len(log_ratios), 1)
    return {
        "clip_fraction_low": at_low / n,
        "clip_fraction_high": at_high / n,
        "approx_kl_old": -math.fsum(log_ratios) / n,
        "ratio_max": max(ratios, default=0.0),
    }


def token_ratio(logprob: float, old: float) -> float:
    return math.exp(min(max(logprob - old, -20.0), 20.0))


def ppo_clip(
    logprobs: Rows, old: Rows, advantages: Rows, mask: Rows, low: float, high: float, dual: float | None
) -> Result:
    losses, gradients, ratios, at_low, at_high = zeros(mask), zeros(mask), [], 0, 0
    for b, t in inside(mask):
        a, ratio = advantages[b][t], token_ratio(logprobs[b][t], old[b][t])
        ratios.append(ratio)
        loss, gradient = -a * ratio, -a * ratio if abs(logprobs[b][t] - old[b][t]) <= 20 else 0.0
        if a > 0 and ratio > 1 + high:
            loss, gradient, at_high = -a * (1 + high), 0.0, at_high + 1
        if a < 0 and ratio < 1 - low:
            loss, gradient, at_low = -a * (1 - low), 0.0, at_low + 1
        if a < 0 and dual is not None and loss > -a * dual:
            loss, gradient = -a * dual, 0.0
        losses[b][t], gradients[b][t] = loss, gradient
    return losses, gradients, statistics(logprobs, old, mask, ratios, at_low, at_high)


def gspo(
    logprobs: Rows, old: Rows, advantages: Rows, mask: Rows, low: float, high: float, dual: float | None
) -> Result:
    """`dual` is not used; every token of a sequence has the sequence's ratio."""
    losses, gradients, ratios, at_low, at_high = zeros(mask), zeros(mask), [], 0, 0
    for b, t in inside(mask):
        differences = [logprobs[b][i] - old[b][i] for row, i in inside(mask) if row == b]
        log_ratio = math.fsum(differences) / len(differences)
        a, ratio = advantages[b][t], math.exp(min(log_ratio, 10.0))
        ratios.append(ratio)
        loss, gradient = -a * ratio, -a * ratio if log_ratio <= 10 else 0.0
        if a > 0 and ratio > 1 + high:
            loss, gradient, at_high = -a * (1 + high), 0.0, at_high + 1
        if a < 0 and ratio < 1 - low:
            loss, gradient, at_low = -a * (1 - low), 0.0, at_low + 1
        losses[b][t], gradients[b][t] = loss, gradient
    return losses, gradients, statistics(logprobs, old, mask, ratios, at_low, at_high)


def cispo(
    logprobs: Rows, old: Rows, advantages: Rows, mask: Rows, low: float, high: float, dual: float | None
) -> Result:
    """`dual` is not used; the clipped ratio is a constant weight."""
    losses, gradients, ratios, at_low, at_high = zeros(mask), zeros(mask), [], 0, 0
    for b, t in inside(mask):
        a, ratio = advantages[b][t], token_ratio(logprobs[b][t], old[b][t])
        ratios.append(ratio)
        weight = min(max(ratio, 1 - low), 1 + high)
        at_low += a < 0 and ratio < 1 - low
        at_high += a > 0 and ratio > 1 + high
        losses[b][t], gradients[b][t] = -weight * a * logprobs[b][t], -weight * a
    return losses, gradients, statistics(logprobs, old, mask, ratios, at_low, at_high)


def reinforce(
    logprobs: Rows, old: Rows, advantages: Rows, mask: Rows, low: float, high: float, dual: float | None
) -> Result:
    """`low`, `high` and `dual` are not used: nothing is clipped."""
    losses, gradients, ratios = zeros(mask), zeros(mask), []
    for b, t in inside(mask):
        ratios.append(token_ratio(logprobs[b][t], old[b][t]))
        losses[b][t], gradients[b][t] = -advantages[b][t] * logprobs[b][t], -advantages[b][t]
    return losses, gradients, statistics(logprobs, old, mask, ratios)
