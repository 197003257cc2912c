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


def simulated(
    seed: int,
    *,
    groups: int,
    steps: int = 100,
    right: tuple[float, float] = (0.45, 0.85),
    spread: float = 0.25,
    entropy: tuple[float, float] = (1.4, 0.35),
    cut: tuple[float, float] = (0.1, 0.1),
    kl: tuple[float, float] = (0.0, 0.08),
) -> Iterator[dict[str, float]]:
    """Metrics of a run with groups of 8 right or wrong answers; each pair goes from its first to its second.

    `right` is the mean chance of a right answer, which differs by `spread` between prompts.
    """
    rng = random.Random(seed)
    for step in range(steps):
        done = step / steps

        def now(pair: tuple[float, float], done: float = done) -> float:
            return pair[0] + (pair[1] - pair[0]) * done

        all_right = all_wrong = hits = 0
        for _ in range(groups):
            chance = rng.gauss(now(right), spread)
            found = sum(rng.random() < chance for _ in range(8))
            all_right, all_wrong, hits = all_right + (found == 8), all_wrong + (found == 0), hits + found
        cut_off = sum(rng.random() < now(cut) for _ in range(8 * groups))
        yield {
            "signal/all_wrong": all_wrong / groups,
            "signal/all_right": all_right / groups,
            "frac_reward_zero_std": (all_right + all_wrong) / groups,
            "quality_score": hits / (8 * groups),
            "entropy": max(0.01, now(entropy)) * rng.lognormvariate(0, 0.2),
            "completions/clipped_ratio": cut_off / (8 * groups),
            "kl": now(kl) * rng.lognormvariate(0, 0.5),
        }


def findings(run: Iterator[dict[str, float]], groups: int) -> set[str]:
    health = Health(groups_per_step=groups)
    return {finding.name for values in run for finding in health.update(values)}


@pytest.mark.parametrize("groups", [1, 2, 4, 8])  # 8 to 64 rewards a step
def test_at_most_one_healthy_run_in_twenty_alarms(groups: int) -> None:
    alarmed = sum(bool(findings(simulated(seed, groups=groups), groups)) for seed in range(100))
    assert alarmed <= 5


SICK = {
    "all_wrong": {"right": (0.0, 0.0), "spread": 0.0},
    "all_right": {"right": (1.0, 1.0), "spread": 0.0},
    "no_signal": {"right": (0.5, 0.5), "spread": 50.0},
    "entropy_collapse": {"entropy": (1.4, -0.6)},
    "length_at_cap": {"cut": (0.1, 0.95)},
    "kl_runaway": {"kl": (0.0, 2.0)},
}


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize("name", SICK)
def test_a_sick_run_gets_its_sentence(name: str, groups: int) -> None:
    """And no other, but that a run in which all is right is also at the end of its range."""
    for seed in range(10):
        found = findings(simulated(seed, groups=groups, **SICK[name]), groups)
        assert name in found
        assert found <= {name, "reward_saturated"}
