"""What each part of a reward pushed: numbers by hand, exact sums, and conflicts."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.agree import assert_agrees
from torch import Tensor

from stateset.rl.algorithm.advantages import ADVANTAGES, grpo
from stateset.rl.algorithm.attribution import attribute
from stateset.rl.credit import SCALED_DISTANCES
from stateset.rl.tracking.attribution import describe_attribution
from stateset.rl.trainer import GRPOTrainer
from stateset.rl.types import Score

EXAMPLES = 1000 if os.environ.get("STATESET_LONG") else 60


def of(rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


ONE = torch.zeros(3, dtype=torch.long)


def test_two_parts_by_hand() -> None:
    """r = 2a + b. a = (0, 1, 2) pushes (-2, 0, 2), b = (1, 1, 0), from its mean 2/3, (1/3, 1/3, -2/3).

    Their sum is (-5/3, 1/3, 4/3), its square 42/9; a's product with it is 54/9, b's (-5 + 1 - 8)/9 = -12/9.
    """
    components, weights = of([[0, 1], [1, 1], [2, 0]]), of([2, 1])
    rewards = components @ weights
    advantages = grpo(rewards, ONE, norm_by_std=False)
    assert_agrees(advantages, [-5 / 3, 1 / 3, 4 / 3])
    found = attribute(advantages, rewards, components, weights, ONE)
    assert_agrees(found.shares, [54 / 42, -12 / 42, 0])
    assert found.conflicts.tolist() == [[0, 1], [1, 0]], "b pushed down what a pushed up"
    scaled = attribute(grpo(rewards, ONE), rewards, components, weights, ONE)
    assert_agrees(scaled.shares, found.shares)


def test_a_response_that_does_not_train_has_no_share() -> None:
    """Part b differs on the third response only, which is masked; the second counts twice.

    r = a + b: advantages from the mean 4/3 are (-4/3, -1/3, 5/3); a pushes (-1/3, 2/3, -1/3).
    """
    components = of([[0, 0], [1, 0], [0, 3]])
    rewards = components.sum(-1)
    advantages = grpo(rewards, ONE, norm_by_std=False)
    assert_agrees(advantages, [-4 / 3, -1 / 3, 5 / 3])
    found = attribute(advantages, rewards, components, of([1, 1]), ONE, of([1, 2, 0]))
    total = 16 / 9 + 2 / 9
    assert_agrees(found.shares[:1], [(4 / 9 - 2 * 2 / 9) / total])
    assert_agrees(found.shares.sum()[None], [1.0])


def test_what_no_part_explains_is_the_rest() -> None:
    """The reward is a, and a bonus of 4 for the third: pushes of a (-1, 0, 1), in all (-7/3, -4/3, 11/3)."""
    components = of([[0], [1], [2]])
    rewards = of([0, 1, 6])
    found = attribute(grpo(rewards, ONE, norm_by_std=False), rewards, components, of([1]), ONE)
    assert_agrees(found.shares, [18 / 3 / (186 / 9), 1 - 18 / 3 / (186 / 9)])


def test_conflicts_are_counted_over_groups_with_signal() -> None:
    components = of([[0, 1], [1, 0], [0, 0], [1, 1], [1, 1], [1, 1]])
    groups = torch.tensor([0, 0, 1, 1, 2, 2])
    rewards = components @ of([2, 1])
    found = attribute(grpo(rewards, groups), rewards, components, of([2, 1]), groups)
    assert_agrees(found.conflicts, [[0, 0.5], [0.5, 0]])


def test_a_missing_part_pushes_nothing() -> None:
    components = of([[0, math.nan], [1, math.nan], [2, math.nan]])
    rewards = of([0, 1, 2])
    found = attribute(grpo(rewards, ONE), rewards, components, of([1, 1]), ONE)
    assert_agrees(found.shares, [1, 0, 0])


PART = st.integers(-8, 8).map(lambda n: n / 4)


@pytest.mark.parametrize("name", SCALED_DISTANCES)
@given(
    parts=st.lists(st.tuples(PART, PART, PART), min_size=4, max_size=12),
    weights=st.tuples(PART, PART, PART),
    unscored=st.sets(st.integers(0, 11), max_size=2),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_pushes_add_up_to_every_advantage(name, parts, weights, unscored) -> None:
    components, groups = of(parts), torch.arange(len(parts)) % 2
    rewards = components @ of(weights)
    rewards[[i for i in unscored if i < len(parts)]] = math.nan
    advantages = ADVANTAGES[name](rewards, groups)
    found = attribute(advantages, rewards, components, of(weights), groups)
    assert not found.shares.isnan().any()
    if advantages.any():
        assert float(found.shares.sum()) == pytest.approx(1, abs=1e-9)
        assert float(found.shares[-1]) == pytest.approx(0, abs=1e-9), "the reward is the weighted sum"
    else:
        assert not found.shares.any()


class Weighted:
    def __init__(self) -> None:
        self.weights = {"length": -0.1, "letters": 1.0}

    def compute(self, prompt, response, context):
        parts = {"length": float(len(response)), "letters": float(len(set(response))), "note": 3.0}
        return Score(total=sum(self.weights[name] * parts[name] for name in self.weights), parts=parts)


def test_a_run_logs_the_shares_of_weighted_parts(tiny_llama: Path, tmp_path: Path) -> None:
    settings = {"rollout_n": 6, "batch_size": 2, "max_response_length": 8, "device": "cpu", "dtype": "fp32"}
    trainer = GRPOTrainer(
        model=str(tiny_llama),
        reward_function=Weighted(),
        config={**settings, "max_steps": 1, "output_dir": str(tmp_path / "run")},
    )
    trainer.train([{"prompt": f"hello {i}"} for i in range(2)])
    (line,) = (json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    shares = [line[f"attribution/{name}"] for name in ("length", "letters", "rest")]
    assert sum(shares) == pytest.approx(1)
    assert shares[2] == pytest.approx(0, abs=1e-9)
    assert 0 <= line["attribution/conflict/length|letters"] <= 1
    assert "attribution/note" not in line, "a part without a weight"


def test_words() -> None:
    line = {"attribution/tone": 0.2, "attribution/accuracy": 0.9, "attribution/rest": -0.1}
    conflict = {"attribution/conflict/tone|accuracy": 0.31, "attribution/conflict/tone|length": 0.1}
    assert describe_attribution([line | conflict, {"reward": 1.0}]) == [
        "of the last 2 updates: accuracy 90%, tone 20%, rest -10%",
        "tone pushed up what accuracy pushed down in 31% of the groups",
    ]
    assert describe_attribution([{"reward": 1.0}]) == []
