"""KL penalties, one token at a time; the full divergence, one distribution at a time."""

from __future__ import annotations

import math


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


def full_kl(logits: list[float], ref_logits: list[float]) -> tuple[float, list[float]]:
    """KL(policy || reference) of one token's distributions, and its gradient to `logits`."""
    logs, ref_logs = log_softmax(logits), log_softmax(ref_logits)
    value = math.fsum(math.exp(p) * (p - q) for p, q in zip(logs, ref_logs, strict=True))
    return value, [math.exp(p) * (p - q - value) for p, q in zip(logs, ref_logs, strict=True)]


def log_softmax(logits: list[float]) -> list[float]:
    top = max(logits)
    total = math.log(math.fsum(math.exp(x - top) for x in logits))
    return [x - top - total for x in logits]
