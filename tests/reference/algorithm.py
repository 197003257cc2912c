"""Advantages, penalties, weights and losses, one number at a time; NaN is an unscorable reward."""

from __future__ import annotations

import math
from fractions import Fraction

Rows = list[list[float]]


def group_statistics(rewards: list[float], groups: list[int]) -> list[tuple[float, float, int]]:
    """Per response: distance from its group's mean, the group's variance (n-1), and its number of scores."""
    result = []
    for reward, group in zip(rewards, groups, strict=True):
        scores = [
            Fraction(r) for r, g in zip(rewards, groups, strict=True) if g == group and not math.isnan(r)
        ]
        n = len(scores)
        if math.isnan(reward) or n < 2:
            result.append((0.0, 0.0, n))
            continue
        mean = sum(scores, Fraction(0)) / n
        variance = sum(((s - mean) ** 2 for s in scores), Fraction(0)) / (n - 1)
        result.append((float(Fraction(reward) - mean), float(variance), n))
    return result


def grpo(rewards: list[float], groups: list[int], norm_by_std: bool = True, eps: float = 1e-6) -> list[float]:
    result = []
    for centred, variance, _ in group_statistics(rewards, groups):
        if centred == 0.0 or not norm_by_std:
            result.append(centred)
        else:
            result.append(centred / (math.sqrt(variance) + eps))
    return result


def rloo(rewards: list[float], groups: list[int]) -> list[float]:
    """By its definition: the reward minus the mean of the others."""
    result = []
    for i, reward in enumerate(rewards):
        others = [
            Fraction(r)
            for j, r in enumerate(rewards)
            if j != i and groups[j] == groups[i] and not math.isnan(r)
        ]
        if math.isnan(reward) or not others:
            result.append(0.0)
        else:
            result.append(float(Fraction(reward) - sum(others, Fraction(0)) / len(others)))
    return result


def kl_value(logprob: float, ref: float, kind: str) -> float:
    x = logprob - ref
    base = kind.removesuffix("+")
    if base in ("kl", "k1"):
        return x
    if base == "abs":
        return abs(x)
    if base in ("mse", "k2"):
        return x * x / 2
    y = min(max(-x, -20.0), 20.0)
    return min(max(math.exp(y) - 1 - y, -10.0), 10.0)


def kl_gradient(logprob: float, ref: float, kind: str) -> float:
    """With respect to `logprob`."""
    x = logprob - ref
    if kind in ("kl", "k1"):
        return 1.0
    if kind == "abs":
        return float((x > 0) - (x < 0))
    if kind in ("low_var_kl", "k3"):
        return 0.0 if abs(x) > 20 or math.exp(-x) - 1 + x > 10 else 1 - math.exp(-x)
    return x


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


def ppo_clip(
    logprobs: Rows, old: Rows, advantages: Rows, mask: Rows, low: float, high: float, dual: float | None
) -> tuple[Rows, Rows, dict[str, float]]:
    """Loss, its gradient to `logprobs`, and the statistics."""
    losses = [[0.0] * len(row) for row in mask]
    gradients = [[0.0] * len(row) for row in mask]
    count, at_low, at_high, log_ratios, ratios = 0, 0, 0, 0.0, [0.0]
    for b, row in enumerate(mask):
        for t, m in enumerate(row):
            if not m:
                continue
            a, d = advantages[b][t], logprobs[b][t] - old[b][t]
            ratio = math.exp(min(max(d, -20.0), 20.0))
            count, log_ratios = count + 1, log_ratios + d
            ratios.append(ratio)
            loss, gradient = -a * ratio, -a * ratio if abs(d) <= 20 else 0.0
            if a > 0 and ratio > 1 + high:
                loss, gradient, at_high = -a * (1 + high), 0.0, at_high + 1
            if a < 0 and ratio < 1 - low:
                loss, gradient, at_low = -a * (1 - low), 0.0, at_low + 1
            if a < 0 and dual is not None and loss > -a * dual:
                loss, gradient = -a * dual, 0.0
            losses[b][t], gradients[b][t] = loss, gradient
    n = max(count, 1)
    stats = {
        "clip_fraction_low": at_low / n,
        "clip_fraction_high": at_high / n,
        "approx_kl_old": -log_ratios / n,
        "ratio_max": max(ratios),
    }
    return losses, gradients, stats
