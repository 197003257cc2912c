"""Advantages: numbers by hand, agreement with plain loops, and what must be exactly zero."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import algorithm as reference
from reference.agree import assert_agrees
from torch import Tensor

from stateset.rl.algorithm.advantages import ADVANTAGES, grpo, rloo, trainable_rows

NAN = math.nan
REFERENCE = {"grpo": reference.grpo, "rloo": reference.rloo}


def of(values: list[float], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


MILLIONTHS = st.integers(-(10**6), 10**6).map(lambda number: number / 10**6)


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    """Interleaved groups of 1-5 responses: constant, binary or spread, each at a scale, some unscored."""
    rewards: list[float] = []
    groups: list[int] = []
    for group in draw(st.lists(st.integers(-3, 9), unique=True, min_size=1, max_size=4)):
        scale = draw(st.sampled_from([1e-9, 1.0, 100.0]))
        base = draw(st.sampled_from([st.just(0.1), st.sampled_from([0.0, 1.0]), MILLIONTHS]))
        size = draw(st.integers(1, 5))
        values = draw(st.lists(st.one_of(base, base, base, st.just(NAN)), min_size=size, max_size=size))
        rewards += [value * scale for value in values]
        groups += [group] * size
    order = draw(st.permutations(range(len(rewards))))
    return [rewards[i] for i in order], [groups[i] for i in order]


def test_the_documents_example() -> None:
    """Eight rewards with mean 1.0125; squared distances sum to 0.68875."""
    rewards = [0.8, 1.2, 0.6, 1.5, 0.9, 1.1, 0.7, 1.3]
    groups = torch.zeros(8, dtype=torch.long)
    distances = [-0.2125, 0.1875, -0.4125, 0.4875, -0.1125, 0.0875, -0.3125, 0.2875]
    std = math.sqrt(0.68875 / 7)
    assert_agrees(grpo(of(rewards), groups, norm_by_std=False), distances)
    assert_agrees(grpo(of(rewards), groups), [d / (std + 1e-6) for d in distances])
    assert_agrees(rloo(of(rewards), groups), [d * 8 / 7 for d in distances])


def test_two_groups_by_hand() -> None:
    """Group 7 is (1, 3), mean 2, std sqrt(2); group -1 is (0, 0, 3), mean 1, std sqrt(3)."""
    rewards, groups = of([0, 1, 0, 3, 3]), torch.tensor([-1, 7, -1, 7, -1])
    assert_agrees(grpo(rewards, groups, norm_by_std=False), [-1, -1, -1, 1, 2])
    expected = [-1 / math.sqrt(3), -1 / math.sqrt(2), -1 / math.sqrt(3), 1 / math.sqrt(2), 2 / math.sqrt(3)]
    assert_agrees(grpo(rewards, groups, eps=0.0), expected)
    assert_agrees(rloo(rewards, groups), [-1.5, -2, -1.5, 2, 3])


def test_unscorable_enters_no_mean() -> None:
    """The scored ones are (1, 2, 6): mean 3, squared distances 4 + 1 + 9 over 2 = 7."""
    rewards, groups = of([1, NAN, 2, 6]), torch.zeros(4, dtype=torch.long)
    assert_agrees(grpo(rewards, groups, norm_by_std=False), [-2, 0, -1, 3])
    assert_agrees(grpo(rewards, groups, eps=0.0), [-2 / math.sqrt(7), 0, -1 / math.sqrt(7), 3 / math.sqrt(7)])
    assert_agrees(rloo(rewards, groups), [-3, 0, -1.5, 4.5])


@pytest.mark.parametrize("name", sorted(ADVANTAGES))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(batch=batches())
@settings(max_examples=150, deadline=None)
def test_agrees_with_plain_loops(name: str, dtype: torch.dtype, batch: tuple[list[float], list[int]]) -> None:
    rewards, groups = of(batch[0], dtype), torch.tensor(batch[1])
    ours = ADVANTAGES[name](rewards, groups)
    assert ours.dtype == dtype
    assert_agrees(ours, REFERENCE[name](rewards.double().tolist(), batch[1]))


@given(batch=batches(), scale=st.sampled_from([1e-12, 1.0, 1e12]), eps=st.sampled_from([0.0, 1e-6, 1e-3]))
@settings(max_examples=150, deadline=None)
def test_grpo_options_agree_at_any_scale(
    batch: tuple[list[float], list[int]], scale: float, eps: float
) -> None:
    rewards = [r * scale for r in batch[0]]
    groups = torch.tensor(batch[1])
    assert_agrees(grpo(of(rewards), groups, eps=eps), reference.grpo(rewards, batch[1], eps=eps))
    distances = grpo(of(rewards), groups, norm_by_std=False)
    assert_agrees(
        distances / scale, [d / scale for d in reference.grpo(rewards, batch[1], norm_by_std=False)]
    )


@pytest.mark.parametrize("name", sorted(ADVANTAGES))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(reward=st.floats(-(2.0**99), 2.0**99, width=32), size=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_equal_rewards_give_exactly_zero(name: str, dtype: torch.dtype, reward: float, size: int) -> None:
    rewards = of([reward, 5.0, *[reward] * size, NAN, -2.0], dtype)
    groups = torch.tensor([1, 0, *[1] * size, 1, 0])
    ours = ADVANTAGES[name](rewards, groups)
    assert (ours[groups == 1] == 0).all()
    assert (ours[groups == 0] != 0).all()


def test_equal_rewards_are_zero_without_eps() -> None:
    assert grpo(of([0.1, 0.1, 0.1]), torch.zeros(3, dtype=torch.long), eps=0.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", sorted(ADVANTAGES))
def test_fewer_than_two_scores_give_zero(name: str) -> None:
    rewards, groups = of([3.0, NAN, 2.0, NAN, NAN, 1.0, 5.0]), torch.tensor([0, 1, 1, 2, 2, 3, 3])
    ours = ADVANTAGES[name](rewards, groups)
    assert ours[:5].tolist() == [0, 0, 0, 0, 0]
    assert ours[5] < 0 < ours[6]
    assert ADVANTAGES[name](of([]), torch.tensor([], dtype=torch.long)).shape == (0,)


def test_only_scored_rows_of_scored_groups_train() -> None:
    rewards = of([1.0, NAN, 2.0, NAN, NAN, 3.0, 3.0, 9.0])
    groups = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3])
    assert trainable_rows(rewards, groups).tolist() == [True, False, True, False, False, True, True, False]


@given(batch=batches(), factor=st.floats(0.01, 100), shift=st.floats(-10, 10))
@settings(max_examples=100, deadline=None)
def test_identity_1_affine_rewards(batch: tuple[list[float], list[int]], factor: float, shift: float) -> None:
    """Unchanged with eps = 0; with eps the factor is std / (std + eps / a)."""
    rewards, groups = of([round(r, 3) for r in batch[0]]), torch.tensor(batch[1])
    moved, eps = factor * rewards + shift, 1e-3
    unscaled = grpo(rewards, groups, eps=0.0)
    assert_agrees(grpo(moved, groups, eps=0.0), unscaled, 1e-8)
    for group in groups.unique():
        rows = (groups == group) & ~rewards.isnan()
        std = float(rewards[rows].std()) if rows.sum() > 1 else 0.0
        expected = unscaled[rows] * std / (std + eps / factor)
        assert_agrees(grpo(moved, groups, eps=eps)[rows], expected, 1e-8)


@pytest.mark.parametrize("name", sorted(ADVANTAGES))
@given(batch=batches(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_identity_1_permutations(
    name: str, batch: tuple[list[float], list[int]], data: st.DataObject
) -> None:
    """Permuted rows permute advantages; renamed groups change nothing."""
    rewards, groups = of(batch[0]), torch.tensor(batch[1])
    order = torch.tensor(data.draw(st.permutations(range(len(rewards)))))
    names = torch.tensor(data.draw(st.permutations(range(13))))
    ours = ADVANTAGES[name](rewards, groups)
    assert_agrees(ADVANTAGES[name](rewards[order], groups[order]), ours[order])
    assert_agrees(ADVANTAGES[name](rewards, names[groups + 3]), ours)
