"""Advantages by response: numbers by hand, agreement with plain loops, and what must be exactly zero."""

from __future__ import annotations

import math
import os
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import algorithm as reference
from reference.agree import assert_agrees
from torch import Tensor

from stateset.rl.algorithm.advantages import (
    ADVANTAGES,
    gdpo,
    grpo,
    grpo_batch_std,
    grpo_passk,
    maxrl,
    rloo,
    trainable_rows,
)

EXAMPLES = 1000 if os.environ.get("STATESET_LONG") else 100
NAN = math.nan
GROUP_ESTIMATORS = ("grpo", "grpo_batch_std", "rloo", "maxrl", "grpo_passk")
TOKEN_ESTIMATORS = ("reinforce_plus_plus", "reinforce_plus_plus_baseline", "gae")
Batch = tuple[list[float], list[int]]


def of(values: list[float], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


def numbers(groups: list[int]) -> Tensor:
    return torch.tensor(groups, dtype=torch.long)


MILLIONTHS = st.integers(-(10**6), 10**6).map(lambda number: number / 10**6)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Interleaved groups of 1-5 responses: constant, binary or spread, each at a scale, some unscored."""
    rewards: list[float] = []
    groups: list[int] = []
    for group in draw(st.lists(st.integers(-3, 9), unique=True, max_size=4)):
        scale = draw(st.sampled_from([1e-9, 1.0, 1e6]))
        base = draw(st.sampled_from([st.just(0.1), st.sampled_from([0.0, 1.0]), MILLIONTHS]))
        size = draw(st.integers(1, 5))
        values = draw(st.lists(st.one_of(base, base, base, st.just(NAN)), min_size=size, max_size=size))
        rewards += [value * scale for value in values]
        groups += [group] * size
    order = draw(st.permutations(range(len(rewards))))
    return [rewards[i] for i in order], [groups[i] for i in order]


@st.composite
def component_batches(draw: st.DrawFn) -> tuple[list[list[float]], list[float], list[int]]:
    """Components [B,K], weights [K] and groups; a later column is constant, binary or in tenths."""
    first, groups = draw(batches())
    columns = [first]
    for _ in range(draw(st.integers(0, 2))):
        scale = draw(st.sampled_from([1e-9, 1.0, 1e6]))
        value = draw(
            st.sampled_from(
                [st.just(0.1), st.sampled_from([0.0, 1.0]), st.integers(-9, 9).map(lambda i: i / 10)]
            )
        )
        column = draw(
            st.lists(st.one_of(*[value] * 9, st.just(NAN)), min_size=len(first), max_size=len(first))
        )
        columns.append([v * scale for v in column])
    weights = draw(st.permutations([0.3, 1.0, 2.0]))[: len(columns)]  # of these no sum of z-scores cancels
    return [list(row) for row in zip(*columns, strict=True)], weights, groups


def mean_is_not_all_rounding(rewards: list[float], groups: list[int]) -> bool:
    """`maxrl` divides by the mean: where that is small beside the rewards, so are the digits it has."""
    for group in set(groups):
        scores = [Fraction(r) for r, g in zip(rewards, groups, strict=True) if g == group and r == r]
        if scores and 0 < sum(scores) / len(scores) < 1e-5 * max(abs(s) for s in scores):
            return False
    return True


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


def test_std_of_the_batch_by_hand() -> None:
    """All five scores, the lone 4 too: mean 4, squared distances 16 + 4 + 0 + 4 + 16 over 4 = 10."""
    rewards, groups = of([0, 2, NAN, 4, 6, 8]), torch.tensor([0, 0, 0, 1, 2, 2])
    unit = 1 / (math.sqrt(10) + 1e-6)
    assert_agrees(grpo_batch_std(rewards, groups), [-unit, unit, 0, 0, -unit, unit])


def test_maxrl_by_hand() -> None:
    """Means 1 and 4; a mean of 0, also by rounding, or below gives 0."""
    assert_agrees(maxrl(of([0, 1, 0, 3, 2, 6]), torch.tensor([0, 0, 0, 0, 1, 1])), [-1, 0, -1, 2, -0.5, 0.5])
    for rewards in ([0.0, 0.0], [-1.0, 1.0], [-2.0, 1.0], [0.1, 0.2, -0.3], [0.7, 0.1, -0.8], [NAN, 2.0]):
        assert maxrl(of(rewards), numbers([0] * len(rewards))).tolist() == [0] * len(rewards)


def test_grpo_passk_by_hand() -> None:
    rewards = of([1, 5, 3, NAN, 4, 1, 4, -7, -2])
    groups = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2])
    assert grpo_passk(rewards, groups).tolist() == [0, 2, 0, 0, 0, 0, 0, 0, 5]


def test_gdpo_by_hand() -> None:
    """Pairs have z-scores -h and h with h = sqrt(1/2), so S = (-h, h, h - 3h, 3h - h) and 0 for the lone row.

    Its mean is 0, its squares sum to h^2 (1 + 1 + 4 + 4) = 5, over 5 - 1.
    """
    components = of([[0, 10], [2, 10], [5, 1], [3, 3], [8, 8], [NAN, 0], [0, NAN]])
    groups = torch.tensor([0, 0, 1, 1, 2, 0, 1])
    unit = math.sqrt(0.5) / (math.sqrt(5 / 4) + 1e-6)
    expected = [-unit, unit, -2 * unit, 2 * unit, 0, 0, 0]
    assert_agrees(gdpo(components, of([1, 3]), groups), expected)


def test_names_are_those_of_the_specification() -> None:
    assert set(ADVANTAGES) == {*GROUP_ESTIMATORS, "gdpo", *TOKEN_ESTIMATORS}


@pytest.mark.parametrize("name", GROUP_ESTIMATORS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(batch=batches())
@settings(max_examples=EXAMPLES, deadline=None)
def test_agrees_with_plain_loops(name: str, dtype: torch.dtype, batch: Batch) -> None:
    rewards, groups = of(batch[0], dtype), numbers(batch[1])
    values = rewards.double().tolist()
    assume(name != "maxrl" or mean_is_not_all_rounding(values, batch[1]))
    ours = ADVANTAGES[name](rewards, groups)
    assert ours.dtype == dtype
    assert_agrees(ours, getattr(reference, name)(values, batch[1]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(batch=component_batches())
@settings(max_examples=EXAMPLES, deadline=None)
def test_gdpo_agrees_with_plain_loops(
    dtype: torch.dtype, batch: tuple[list[list[float]], list[float], list[int]]
) -> None:
    rows, weights, groups = batch
    components = of(rows, dtype).reshape(len(rows), len(weights))
    exact_weights = of(weights, dtype).double().tolist()
    ours = gdpo(components, of(weights, dtype), numbers(groups))
    assert ours.dtype == dtype
    assert_agrees(ours, reference.gdpo(components.double().tolist(), exact_weights, groups))


@given(batch=batches(), scale=st.sampled_from([1e-12, 1.0, 1e12]), eps=st.sampled_from([0.0, 1e-6, 1e-3]))
@settings(max_examples=EXAMPLES, deadline=None)
def test_grpo_options_agree_at_any_scale(batch: Batch, scale: float, eps: float) -> None:
    rewards = [r * scale for r in batch[0]]
    groups = numbers(batch[1])
    assert_agrees(grpo(of(rewards), groups, eps=eps), reference.grpo(rewards, batch[1], eps=eps))
    distances = grpo(of(rewards), groups, norm_by_std=False)
    assert_agrees(
        distances / scale, [d / scale for d in reference.grpo(rewards, batch[1], norm_by_std=False)]
    )


@pytest.mark.parametrize("name", GROUP_ESTIMATORS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(reward=st.floats(-(2.0**99), 2.0**99, width=32), size=st.integers(1, 9))
@settings(max_examples=EXAMPLES, deadline=None)
def test_equal_rewards_give_exactly_zero(name: str, dtype: torch.dtype, reward: float, size: int) -> None:
    rewards = of([reward, 5.0, *[reward] * size, NAN, -2.0], dtype)
    groups = torch.tensor([1, 0, *[1] * size, 1, 0])
    ours = ADVANTAGES[name](rewards, groups)
    assert (ours[groups == 1] == 0).all()
    if name == "grpo_passk":
        assert ours[groups == 0].tolist() == [7, 0]
    else:
        assert (ours[groups == 0] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(
    reward=st.floats(-(2.0**99), 2.0**99, width=32),
    other=st.lists(MILLIONTHS, max_size=7),
    size=st.integers(2, 9),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_gdpo_of_equal_components_is_exactly_zero(
    dtype: torch.dtype, reward: float, other: list[float], size: int
) -> None:
    """A group without signal is skipped, so its advantages are 0 beside other groups too."""
    components = of([*[[reward, -0.1]] * size, *([r, 0.7] for r in other)], dtype)
    groups = numbers([1] * size + [0] * len(other))
    weights = of([0.3, 2.0], dtype)
    assert (gdpo(components[groups == 1], weights, groups[groups == 1]) == 0).all()
    assert (gdpo(components, weights, groups)[groups == 1] == 0).all()


def test_equal_rewards_are_zero_without_eps() -> None:
    assert grpo(of([0.1, 0.1, 0.1]), torch.zeros(3, dtype=torch.long), eps=0.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", GROUP_ESTIMATORS)
def test_fewer_than_two_scores_give_zero(name: str) -> None:
    rewards, groups = of([3.0, NAN, 2.0, NAN, NAN, 1.0, 5.0]), torch.tensor([0, 1, 1, 2, 2, 3, 3])
    ours = ADVANTAGES[name](rewards, groups)
    assert ours[:5].tolist() == [0, 0, 0, 0, 0]
    if name == "grpo_passk":
        assert ours[5:].tolist() == [0, 4]
    else:
        assert ours[5] < 0 < ours[6]
    assert ADVANTAGES[name](of([]), numbers([])).shape == (0,)


def test_gdpo_of_fewer_than_two_scores_is_zero() -> None:
    components = of([[3.0, 1.0], [NAN, 1.0], [2.0, 5.0], [NAN, NAN], [0.0, NAN], [1.0, 2.0], [5.0, 3.0]])
    ours = gdpo(components, of([1, 1]), torch.tensor([0, 1, 1, 2, 2, 3, 3]))
    assert ours[:5].tolist() == [0, 0, 0, 0, 0]
    assert ours[5] < 0 < ours[6]
    assert gdpo(of([]).reshape(0, 2), of([1, 1]), numbers([])).shape == (0,)


def test_only_scored_rows_of_scored_groups_train() -> None:
    rewards = of([1.0, NAN, 2.0, NAN, NAN, 3.0, 3.0, 9.0])
    groups = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3])
    assert trainable_rows(rewards, groups).tolist() == [True, False, True, False, False, True, True, False]


@given(batch=batches(), factor=st.floats(0.01, 100), shift=st.floats(-10, 10))
@settings(max_examples=EXAMPLES, deadline=None)
def test_identity_1_affine_rewards(batch: Batch, factor: float, shift: float) -> None:
    """Unchanged with eps = 0; with eps the factor is std / (std + eps / a)."""
    rewards, groups = of([round(r, 3) for r in batch[0]]), numbers(batch[1])
    moved, eps = factor * rewards + shift, 1e-3
    unscaled = grpo(rewards, groups, eps=0.0)
    assert_agrees(grpo(moved, groups, eps=0.0), unscaled, 1e-8)
    for group in groups.unique():
        rows = (groups == group) & ~rewards.isnan()
        std = float(rewards[rows].std()) if rows.sum() > 1 else 0.0
        expected = unscaled[rows] * std / (std + eps / factor)
        assert_agrees(grpo(moved, groups, eps=eps)[rows], expected, 1e-8)


@pytest.mark.parametrize("name", GROUP_ESTIMATORS)
@given(batch=batches(), data=st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_identity_1_permutations(name: str, batch: Batch, data: st.DataObject) -> None:
    """Permuted rows permute advantages; renamed groups change nothing."""
    assume(name != "maxrl" or mean_is_not_all_rounding(*batch))
    rewards, groups = of(batch[0]), numbers(batch[1])
    order = numbers(data.draw(st.permutations(range(len(rewards)))))
    names = torch.tensor(data.draw(st.permutations(range(13))))
    ours = ADVANTAGES[name](rewards, groups)
    assert_agrees(ADVANTAGES[name](rewards[order], groups[order]), ours[order])
    assert_agrees(ADVANTAGES[name](rewards, names[groups + 3]), ours)


@given(batch=component_batches(), data=st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_identity_1_permutations_of_gdpo(
    batch: tuple[list[list[float]], list[float], list[int]], data: st.DataObject
) -> None:
    """Also of the components with their weights."""
    rows, weights, groups = of(batch[0]).reshape(-1, len(batch[1])), of(batch[1]), numbers(batch[2])
    order = numbers(data.draw(st.permutations(range(len(rows)))))
    names = torch.tensor(data.draw(st.permutations(range(13))))
    ours = gdpo(rows, weights, groups)
    assert_agrees(gdpo(rows[order], weights, groups[order]), ours[order])
    assert_agrees(gdpo(rows, weights, names[groups + 3]), ours)
    assert_agrees(gdpo(rows.flip(1), weights.flip(0), groups), ours)
