"""What a few samples a prompt say about groups of another size: how many would have no signal.

A measured pass rate of 0 of 8 is no rate of 0: with 32 samples half of such prompts may have a right
answer. So where a reward knows right and wrong only, the rates' distribution over prompts is fitted to the
counts (a beta-binomial), and the shares come from it. Of a graded reward, equal values are counted instead.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln
from scipy.stats import binomtest, norm

from stateset.rl.errors import DataError

REFITS = 200  # of the bootstrap over prompts
_BOUNDS = (-5.0, 7.0)  # of log a and log b: from all-or-nothing prompts to prompts that are all alike


@dataclass(frozen=True, slots=True)
class Beta:
    """Pass rates over prompts as a beta distribution."""

    a: float
    b: float

    def no_signal(self, n: int) -> float:
        """Share of groups of n responses that are all right or all wrong."""
        base = betaln(self.a, self.b)
        right, wrong = betaln(self.a + n, self.b) - base, betaln(self.a, self.b + n) - base
        return float(math.exp(right) + math.exp(wrong))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Share of groups of `n` responses without signal, with a 95 % interval."""

    n: int
    share: float
    low: float
    high: float


def fit_beta_binomial(passes: Sequence[int], samples: int, near: Beta | None = None) -> Beta:
    """The beta distribution under which these counts are likeliest.

    Args:
        passes: right answers to each prompt, each from 0 to `samples`.
        samples: answers to each prompt, two or more.
        near: where to begin; else several beginnings are tried.

    Raises:
        DataError: fewer than two prompts or samples, or a count out of range.
    """
    if len(passes) < 2 or samples < 2 or not all(0 <= count <= samples for count in passes):
        raise DataError(
            f"{len(passes)} prompts with {samples} samples each: pass rates need two or more of both, and "
            "counts from 0 to the number of samples"
        )
    counts, how_often = np.unique(np.asarray(passes), return_counts=True)

    def surprise(logs: np.ndarray) -> float:
        a, b = np.exp(logs)
        return -float((how_often * (betaln(counts + a, samples - counts + b) - betaln(a, b))).sum())

    mean = (np.sum(passes) + 0.5) / (len(passes) * samples + 1)
    starts = [np.log([mean * size, (1 - mean) * size]).clip(*_BOUNDS) for size in (0.5, 4.0, 100.0)]
    if near is not None:
        starts = [np.log([near.a, near.b])]
    found = [minimize(surprise, start, method="L-BFGS-B", bounds=[_BOUNDS] * 2) for start in starts]
    best = min(found, key=lambda result: float(result.fun))
    return Beta(*map(float, np.exp(best.x)))


def forecast(passes: Sequence[int], samples: int, sizes: Sequence[int], seed: int = 0) -> list[Forecast]:
    """Shares of groups without signal for several group sizes.

    The interval is the bootstrap's over prompts (2.5 % and 97.5 %). Where all counts are equal, the bootstrap
    has nothing to draw from: then it is that of one pass rate within its exact binomial interval.

    Args:
        passes: right answers to each prompt.
        samples: answers to each prompt.
        sizes: group sizes to forecast.
        seed: of the bootstrap.
    """
    fitted, draws = fit_beta_binomial(passes, samples), np.random.default_rng(seed)
    resampled = [
        fit_beta_binomial(draws.choice(passes, len(passes)).tolist(), samples, near=fitted)
        for _ in range(REFITS)
    ]
    result = []
    for n in sizes:
        if len(set(passes)) == 1:
            rates = _possible_rates(sum(passes), len(passes) * samples)
            found = [rate**n + (1 - rate) ** n for rate in rates]
        else:
            found = [beta.no_signal(n) for beta in resampled]
            found = np.quantile(found, [0.025, 0.975]).tolist()
        low, high = min(found), max(found)
        share = fitted.no_signal(n)
        result.append(Forecast(n=n, share=share, low=min(float(low), share), high=max(float(high), share)))
    return result


def forecast_equal(rewards: Sequence[Sequence[float]], sizes: Sequence[int], seed: int = 0) -> list[Forecast]:
    """Shares of groups whose rewards are all equal, for the sizes that are no larger than the samples.

    Of K samples with k equal ones a group of n drawn without repetition has these alone with probability
    C(k, n) / C(K, n); summed over the values, that is unbiased. Interval: bootstrap over prompts; where all
    prompts are alike, the exact binomial one.

    Args:
        rewards: those of the samples of each prompt, equally many.
        sizes: group sizes to forecast.
        seed: of the bootstrap.
    """
    samples, draws, result = len(rewards[0]), np.random.default_rng(seed), []
    for n in (size for size in sizes if size <= samples):
        ways = math.comb(samples, n)
        shares = np.array([sum(math.comb(k, n) for k in Counter(row).values()) / ways for row in rewards])
        share = float(shares.mean())
        if len(set(shares.tolist())) == 1:
            low, high = binomtest(round(share * len(shares)), len(shares)).proportion_ci(0.95)
        else:
            resampled = draws.choice(shares, (REFITS, len(shares))).mean(axis=1)
            low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
        result.append(Forecast(n=n, share=share, low=min(float(low), share), high=max(float(high), share)))
    return result


def _possible_rates(right: int, answers: int) -> list[float]:
    """Pass rates in the 95 % Clopper-Pearson interval, a hundred of them."""
    low, high = binomtest(right, answers).proportion_ci(0.95)
    return list(map(float, np.linspace(low, high, 100)))


def rows_for_effect(effect: float, *, discordant: float = 0.3, power: float = 0.8) -> int:
    """Test rows after which a true difference in pass rate shows, two-sided at 5 %, compared pair by pair.

    Args:
        effect: the difference, 0 to 1.
        discordant: share of rows that one model passes and the other does not, at least `effect`.
        power: how often such an experiment shows it.
    """
    spread = max(discordant, abs(effect)) - effect**2
    return math.ceil(float(norm.ppf(0.975) + norm.ppf(power)) ** 2 * spread / effect**2)
