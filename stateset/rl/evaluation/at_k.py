"""Several answers to a prompt: whether one of k is right (pass@k), and whether all k are (pass^k).

Support teams need the second: a customer gets one answer, and each must be right. Both estimates are
unbiased: they average over all ways to draw k of the n answers without repetition.
"""

from __future__ import annotations

import math

from stateset.rl.errors import ConfigError


def pass_at_k(right: int, samples: int, k: int) -> float:
    """Chance that at least one of k answers is right: 1 - C(n - c, k) / C(n, k) (Chen et al. 2021).

    Args:
        right: c, right answers among those sampled.
        samples: n, answers sampled.
        k: at most `samples`.

    Raises:
        ConfigError: k or `right` is out of range.
    """
    _check(right, samples, k)
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)


def pass_all_k(right: int, samples: int, k: int) -> float:
    """Chance that all of k answers are right, pass^k: C(c, k) / C(n, k) (Yao et al. 2024, tau-bench).

    Arguments and errors as for `pass_at_k`.
    """
    _check(right, samples, k)
    return math.comb(right, k) / math.comb(samples, k)


def _check(right: int, samples: int, k: int) -> None:
    if not 1 <= k <= samples:
        raise ConfigError(f"k is {k} with {samples} answers a prompt: give a k from 1 to {samples}")
    if not 0 <= right <= samples:
        raise ConfigError(f"{right} of {samples} answers are right: count again")
