"""Advantages, one number at a time; NaN is an unscorable reward."""

from __future__ import annotations

import math
from fractions import Fraction

Rows = list[list[float]]
Tokens = list[list[float | None]]  # None takes part in nothing and gets 0


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


def mean_and_variance(values: list[float]) -> tuple[Fraction, Fraction]:
    """Exact, the variance with n-1; 0 where there are too few values."""
    exact = [Fraction(v) for v in values]
    mean = sum(exact, Fraction(0)) / max(len(exact), 1)
    return mean, sum(((v - mean) ** 2 for v in exact), Fraction(0)) / max(len(exact) - 1, 1)


def grpo_batch_std(rewards: list[float], groups: list[int]) -> list[float]:
    _, variance = mean_and_variance([r for r in rewards if not math.isnan(r)])
    return [centred / (math.sqrt(variance) + 1e-6) for centred, _, _ in group_statistics(rewards, groups)]


def maxrl(rewards: list[float], groups: list[int]) -> list[float]:
    result = []
    for (centred, _, n), group in zip(group_statistics(rewards, groups), groups, strict=True):
        scores = [r for r, g in zip(rewards, groups, strict=True) if g == group and not math.isnan(r)]
        mean, _ = mean_and_variance(scores)
        rounding = n * 2.0**-52 * max((abs(s) for s in scores), default=0.0)
        result.append(centred / float(mean) if mean > rounding else 0.0)
    return result


def grpo_passk(rewards: list[float], groups: list[int]) -> list[float]:
    """All but the best get 0; of two that share the best reward each is the other's second."""
    result = []
    for i, reward in enumerate(rewards):
        others = [r for j, r in enumerate(rewards) if j != i and groups[j] == groups[i] and not math.isnan(r)]
        if math.isnan(reward) or not others:
            result.append(0.0)
        else:
            result.append(max(reward - max(others), 0.0))
    return result


def gdpo(components: Rows, weights: list[float], groups: list[int]) -> list[float]:
    sums = gdpo_sums(components, weights, groups)
    scored = [s for s in sums if not math.isnan(s)]
    mean, variance = mean_and_variance(scored)
    result = []
    for total, group in zip(sums, groups, strict=True):
        n = sum(1 for s, g in zip(sums, groups, strict=True) if g == group and not math.isnan(s))
        if math.isnan(total) or n < 2:
            result.append(0.0)
        else:
            result.append(float(Fraction(total) - mean) / (math.sqrt(variance) + 1e-6))
    return result


def gdpo_sums(components: Rows, weights: list[float], groups: list[int]) -> list[float]:
    """Per response the weighted sum of its components' z-scores; NaN where one component is."""
    sums = [math.nan if any(math.isnan(c) for c in row) else 0.0 for row in components]
    for k, weight in enumerate(weights):
        column = [math.nan if math.isnan(s) else row[k] for row, s in zip(components, sums, strict=True)]
        for i, (centred, variance, _) in enumerate(group_statistics(column, groups)):
            if centred != 0.0:
                sums[i] += weight * centred / math.sqrt(variance)
    return sums


def whitened(tokens: Tokens) -> Rows:
    values = [v for row in tokens for v in row if v is not None]
    mean, variance = mean_and_variance(values)
    scale = math.sqrt(float(variance) + 1e-8)
    few = len(values) < 2
    return [[0.0 if v is None or few else float(Fraction(v) - mean) / scale for v in row] for row in tokens]


def inside(rewards: list[float], mask: list[float]) -> list[int]:
    """The places of a row's tokens, none where a reward among them is NaN."""
    places = [t for t, m in enumerate(mask) if m]
    return [] if any(math.isnan(rewards[t]) for t in places) else places


def discounted_returns(token_rewards: Rows, mask: Rows, gamma: float) -> Tokens:
    tokens = []
    for rewards, row in zip(token_rewards, mask, strict=True):
        places = inside(rewards, row)
        returns: list[float | None] = [None] * len(row)
        for k, t in enumerate(places):
            returns[t] = math.fsum(gamma**i * rewards[later] for i, later in enumerate(places[k:]))
        tokens.append(returns)
    return tokens


def reinforce_plus_plus(token_rewards: Rows, mask: Rows, gamma: float = 1.0) -> Rows:
    return whitened(discounted_returns(token_rewards, mask, gamma))


def centred_tokens(rewards: list[float], groups: list[int], mask: Rows) -> Tokens:
    tokens = []
    for reward, row, (centred, _, n) in zip(rewards, mask, group_statistics(rewards, groups), strict=True):
        trains = n >= 2 and not math.isnan(reward)
        tokens.append([centred if m and trains else None for m in row])
    return tokens


def reinforce_plus_plus_baseline(rewards: list[float], groups: list[int], mask: Rows) -> Rows:
    return whitened(centred_tokens(rewards, groups, mask))


def raw_gae(token_rewards: Rows, values: Rows, mask: Rows, gamma: float, lam: float) -> Tokens:
    """By its definition, a sum of all later deltas; the next value is that of the row's next token."""
    tokens = []
    for rewards, value, row in zip(token_rewards, values, mask, strict=True):
        places = inside(rewards, row)
        deltas = [rewards[t] - value[t] for t in places]
        for k, later in enumerate(places[1:]):
            deltas[k] += gamma * value[later]
        raw: list[float | None] = [None] * len(row)
        for k, t in enumerate(places):
            raw[t] = math.fsum((gamma * lam) ** i * delta for i, delta in enumerate(deltas[k:]))
        tokens.append(raw)
    return tokens


def gae(token_rewards: Rows, values: Rows, mask: Rows, gamma: float, lam: float) -> tuple[Rows, Rows]:
    tokens = raw_gae(token_rewards, values, mask, gamma, lam)
    returns = [
        [0.0 if a is None else a + v for a, v in zip(row, row_values, strict=True)]
        for row, row_values in zip(tokens, values, strict=True)
    ]
    return whitened(tokens), returns
