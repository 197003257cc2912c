"""Each rule is raised by the run it is made for, once; healthy runs raise next to nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest

from stateset.rl.tracking.health import RULES, Finding, Health

HEALTHY = {
    "signal/all_wrong": 0.2,
    "signal/all_right": 0.2,
    "frac_reward_zero_std": 0.4,
    "quality_score": 0.6,
    "entropy": 1.2,
    "completions/clipped_ratio": 0.1,
    "kl": 0.02,
}
ILL = {
    "all_wrong": {"signal/all_wrong": 1.0, "frac_reward_zero_std": 1.0},
    "all_right": {"signal/all_right": 1.0, "frac_reward_zero_std": 1.0, "quality_score": 1.0},
    "no_signal": {"signal/all_wrong": 0.5, "signal/all_right": 0.5, "frac_reward_zero_std": 1.0},
    "reward_saturated": {"quality_score": 0.99},
    "entropy_collapse": {"entropy": 0.11},
    "length_at_cap": {"completions/clipped_ratio": 0.7},
    "kl_runaway": {"kl": 0.9},
}


def raised(health: Health, values: dict[str, float], steps: int) -> list[tuple[int, Finding]]:
    """(step from 1, finding) of feeding the same metrics again and again."""
    return [(step, f) for step in range(1, steps + 1) for f in health.update(values)]


def test_the_table_is_covered() -> None:
    assert {rule.name for rule in RULES} == set(ILL)


@pytest.mark.parametrize("name", ILL)
def test_each_finding_is_raised_once_until_it_clears(name: str) -> None:
    health = Health(groups_per_step=8)
    assert raised(health, HEALTHY, 15) == []
    found = raised(health, HEALTHY | ILL[name], 15)
    assert [f.name for _, f in found] == [name]
    assert "Try: " in found[0][1].message
    assert raised(health, HEALTHY, 15) == []
    assert [f.name for _, f in raised(health, HEALTHY | ILL[name], 15)] == [name]


@pytest.mark.parametrize(
    ("groups_per_step", "first"),
    [(32, 3), (8, 3), (4, 5), (1, 20)],  # at least 3 steps and at least 20 groups
)
def test_small_batches_are_given_more_steps(groups_per_step: int, first: int) -> None:
    ill = HEALTHY | ILL["all_wrong"]
    assert [step for step, _ in raised(Health(groups_per_step), ill, 60)] == [first]


def test_the_mean_of_the_window_decides() -> None:
    health = Health(groups_per_step=20)  # kl: 5 steps, 0.5
    levels = [0.0, 0.0, 0.9, 0.9, 0.6, 0.09, 0.02]  # means of five: 0.48, 0.498, 0.502
    assert [bool(health.update({"kl": level})) for level in levels] == [False] * 6 + [True]


def test_the_message_tells_the_value_and_what_to_try() -> None:
    (_, finding), *_ = raised(Health(groups_per_step=20), {"kl": 0.875}, 5)
    assert finding.message.startswith("the policy is 0.88 nats a token away")
    assert "Try: raise kl_loss_coef" in finding.message


def test_near_the_bound_a_finding_is_not_raised_again() -> None:
    health = Health(groups_per_step=20)
    assert len(raised(health, {"kl": 0.6}, 5)) == 1
    assert raised(health, {"kl": 0.4}, 10) == []  # under 0.5 but not under 0.3: not cleared
    assert raised(health, {"kl": 0.6}, 10) == []
    assert raised(health, {"kl": 0.2}, 10) == []
    assert len(raised(health, {"kl": 0.6}, 10)) == 1


def test_entropy_is_compared_with_the_start_of_the_run() -> None:
    low = Health(groups_per_step=20)
    assert raised(low, {"entropy": 0.05}, 40) == []  # low from the start is no collapse
    high = Health(groups_per_step=20)
    assert raised(high, {"entropy": 2.0}, 10) == []
    assert [f.name for _, f in raised(high, {"entropy": 0.19}, 10)] == ["entropy_collapse"]


@pytest.mark.parametrize("unknown", [math.nan, None])
def test_what_is_not_known_raises_nothing(unknown: float | None) -> None:
    health = Health(groups_per_step=32)
    for _ in range(40):
        assert health.update(dict.fromkeys(HEALTHY, unknown)) == []
    assert health.update({}) == []


def test_a_step_without_a_value_leaves_no_hole_in_the_window() -> None:
    health = Health(groups_per_step=20)
    levels = [0.9, 0.9, math.nan, 0.9, None, 0.9, 0.9]
    assert [bool(health.update({"kl": level})) for level in levels] == [False] * 6 + [True]


def healthy_run(seed: int, steps: int = 200, groups: int = 4) -> Iterator[dict[str, float]]:
    """A run that learns: noisy, from 45 % right answers a group of 8 to 85 %, entropy down to a quarter."""
    rng = random.Random(seed)
    for step in range(steps):
        done = step / steps
        right = wrong = total = 0
        for _ in range(groups):
            chance = min(0.98, max(0.02, rng.gauss(0.45 + 0.4 * done, 0.25)))
            hits = sum(rng.random() < chance for _ in range(8))
            right, wrong, total = right + (hits == 8), wrong + (hits == 0), total + hits
        yield {
            "signal/all_wrong": wrong / groups,
            "signal/all_right": right / groups,
            "frac_reward_zero_std": (right + wrong) / groups,
            "quality_score": total / (8 * groups),
            "entropy": (1.4 - 1.05 * done) * rng.lognormvariate(0, 0.2),
            "completions/clipped_ratio": min(1.0, rng.expovariate(10)),
            "kl": 0.08 * done * rng.lognormvariate(0, 0.5),
        }


def test_at_most_one_healthy_run_in_twenty_alarms() -> None:
    alarmed = 0
    for seed in range(60):
        health = Health(groups_per_step=4)
        findings = [finding for values in healthy_run(seed) for finding in health.update(values)]
        alarmed += bool(findings)
    assert alarmed <= 3
