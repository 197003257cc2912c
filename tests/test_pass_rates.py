"""Forecasts of groups without signal: exact integrals, simulated prompts, and the bias of measured rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta

from stateset.rl.errors import DataError
from stateset.rl.evaluation.pass_rates import (
    Beta,
    fit_beta_binomial,
    forecast,
    forecast_equal,
    rows_for_effect,
)


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.7), (2.0, 5.0), (40.0, 40.0)])
@pytest.mark.parametrize("n", [2, 8, 32])
def test_the_share_is_the_integral_over_rates(a: float, b: float, n: int) -> None:
    whole, _ = quad(lambda p: (p**n + (1 - p) ** n) * beta.pdf(p, a, b), 0, 1, limit=200)
    assert Beta(a, b).no_signal(n) == pytest.approx(whole, rel=1e-4)


def test_a_group_of_one_never_has_signal() -> None:
    assert Beta(1.0, 3.0).no_signal(1) == pytest.approx(1)
    assert Beta(1.0, 1.0).no_signal(2) == pytest.approx(2 / 3), "by hand: 1/3 all right, 1/3 all wrong"


def test_the_fit_finds_the_distribution() -> None:
    draws = np.random.default_rng(0)
    rates = draws.beta(0.8, 2.4, size=4000)
    found = fit_beta_binomial(draws.binomial(8, rates).tolist(), 8)
    assert found.a == pytest.approx(0.8, rel=0.1)
    assert found.b == pytest.approx(2.4, rel=0.1)


def test_rare_answers_are_not_taken_for_impossible_ones() -> None:
    """Every prompt passes in 5 %: of groups of 32 19 % have no signal; rates measured with 8 say 67 %."""
    draws = np.random.default_rng(1)
    true = 0.95**32 + 0.05**32
    plain, ours, inside = [], [], 0
    for seed in range(12):
        passes = draws.binomial(8, 0.05, size=48)
        rates = passes / 8
        plain.append(float((rates**32 + (1 - rates) ** 32).mean()))
        (found,) = forecast(passes.tolist(), 8, [32], seed=seed)
        ours.append(found.share)
        inside += found.low <= true <= found.high
    assert np.mean(plain) > 0.6
    assert abs(np.mean(ours) - true) < 0.1
    assert inside >= 9


def test_the_interval_holds_for_mixed_prompts() -> None:
    draws, inside = np.random.default_rng(2), 0
    true = Beta(0.5, 1.0).no_signal(16)
    for seed in range(20):
        passes = draws.binomial(8, draws.beta(0.5, 1.0, size=40)).tolist()
        (found,) = forecast(passes, 8, [16], seed=seed)
        inside += found.low <= true <= found.high
        assert found.low <= found.share <= found.high
    assert inside >= 16


def test_shares_fall_with_the_size_and_extremes_stay_finite() -> None:
    sizes = [2, 4, 8, 16, 32]
    for passes in ([0] * 10, [8] * 10, [4] * 10, [0] * 5 + [8] * 5):
        shares = [found.share for found in forecast(passes, 8, sizes)]
        assert shares == sorted(shares, reverse=True)
        assert all(0 <= share <= 1 + 1e-9 for share in shares)
    assert forecast([0] * 10, 8, [8])[0].share > 0.9
    assert forecast([4] * 10, 8, [8])[0].share < 0.05


@pytest.mark.parametrize(("passes", "samples"), [([3], 8), ([1, 1], 1), ([9, 1], 8), ([-1, 1], 8)])
def test_counts_that_say_nothing_are_refused(passes: list[int], samples: int) -> None:
    with pytest.raises(DataError, match="two or more of both"):
        fit_beta_binomial(passes, samples)


def test_rows_for_an_effect() -> None:
    """(1.96 + 0.8416)^2 = 7.849; a tenth, of three tenths that differ: 7.849 x 0.29 / 0.01."""
    assert rows_for_effect(0.1) == math.ceil(7.8489 * 0.29 / 0.01) == 228
    assert rows_for_effect(0.05) > 4 * 220
    assert rows_for_effect(0.5, discordant=0.3) == math.ceil(7.8489 * 0.25 / 0.25)


def test_rows_for_an_effect_by_simulation() -> None:
    """With that many rows, four experiments in five show a true difference of ten points."""
    rows, draws = rows_for_effect(0.1), np.random.default_rng(3)
    changes = draws.choice([1, -1, 0], p=[0.2, 0.1, 0.7], size=(2000, rows))
    z = changes.mean(1) / (changes.std(1, ddof=1) / math.sqrt(rows))
    assert 0.76 <= float((z > 1.96).mean()) <= 0.84


def test_equal_counts_leave_the_rate_open() -> None:
    """0 of 192: rates up to 1 - 0.025^(1/192), 1.9 %, are possible (Clopper-Pearson)."""
    [small, large] = forecast([0] * 24, 8, [2, 32])
    rate = 1 - 0.025 ** (1 / 192)
    assert (small.high, large.high) == (1.0, 1.0)
    assert large.low == pytest.approx((1 - rate) ** 32 + rate**32, abs=1e-3)
    [middle] = forecast([4] * 24, 8, [2])
    assert middle.low == pytest.approx(0.5, abs=1e-3)
    assert middle.high > 0.505


def test_equal_graded_rewards_by_hand() -> None:
    rewards = [[0.1, 0.1, 0.1, 0.7], [0.2, 0.3, 0.4, 0.5]]
    two, three = forecast_equal(rewards, [2, 3, 8])
    assert (two.n, three.n) == (2, 3), "four samples say nothing of eight"
    assert two.share == pytest.approx((3 / 6 + 0) / 2), "three of the six pairs of the first prompt"
    assert three.share == pytest.approx((1 / 4 + 0) / 2)
    assert two.low <= two.share <= two.high
    [alike] = forecast_equal([[1.0, 1.0, 1.0]] * 10, [2])
    assert alike.share == 1.0
    assert 0.5 < alike.low < 1, "ten prompts prove no certainty"


def test_equal_graded_rewards_are_unbiased_and_covered() -> None:
    draws, covered, shares = np.random.default_rng(0), 0, []
    values, chances, n = [0.0, 0.3, 1.0], [0.7, 0.2, 0.1], 3
    true = sum(chance**n for chance in chances)
    for _ in range(100):
        found = forecast_equal(draws.choice(values, (40, 8), p=chances).tolist(), [n])[0]
        shares.append(found.share)
        covered += found.low <= true <= found.high
    assert np.mean(shares) == pytest.approx(true, abs=4 * np.std(shares) / 10)
    assert covered >= 85
