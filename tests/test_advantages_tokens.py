"""Advantages by token: numbers by hand, agreement with plain loops, and rows that take no part."""

from __future__ import annotations

import math
import os
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import algorithm as reference
from reference.agree import assert_agrees
from torch import Tensor

from stateset.rl.algorithm.advantages import gae, reinforce_plus_plus, reinforce_plus_plus_baseline

EXAMPLES = 1000 if os.environ.get("STATESET_LONG") else 100
NAN = math.nan
UNIT = 1 / math.sqrt(1 + 1e-8)
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
FACTORS = st.sampled_from([0.0, 0.5, 0.97, 1.0])
Table = list[list[float]]


def of(values: list[Any], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, Table, Table]:
    """Token rewards, values and a mask: holes, empty rows, NaN on and under the mask, at any scale."""
    rows, width = draw(st.integers(0, 4)), draw(st.integers(0, 5))
    scale = draw(st.sampled_from([1e-9, 1.0, 1e6]))
    sparse = draw(st.booleans())
    number = st.integers(-(10**4), 10**4).map(lambda i: i / 10**4 * scale)
    reward = st.one_of(*[st.just(0.0)] * 3, number) if sparse else number

    def table(cell: st.SearchStrategy[float]) -> Table:
        return [draw(st.lists(cell, min_size=width, max_size=width)) for _ in range(rows)]

    rewards, values, mask = table(reward), table(number), table(st.sampled_from([0.0, 1.0, 1.0]))
    for b in range(rows):
        bad = draw(st.integers(0, 4)) == 0
        for t in range(width):
            if not mask[b][t] and draw(st.booleans()):
                rewards[b][t] = values[b][t] = NAN
            elif mask[b][t] and bad:
                rewards[b][t] = NAN
                bad = False
    return rewards, values, mask


def whitening_keeps_digits(tokens: list[list[float | None]]) -> bool:
    """Whitening magnifies the rounding of values that hardly differ beside their size."""
    values = [v for row in tokens for v in row if v is not None]
    _, variance = reference.mean_and_variance(values)
    return math.sqrt(float(variance) + 1e-8) >= 1e-3 * max((abs(v) for v in values), default=0.0)


def exactly(table: Table, dtype: torch.dtype) -> Table:
    """The numbers that the dtype holds."""
    return of(table, dtype).double().tolist()


def tensors(tables: tuple[Table, ...], dtype: torch.dtype) -> list[Tensor]:
    width = len(tables[0][0]) if tables[0] else 0
    return [
        of(table, dtype).reshape(-1, width) if width else torch.zeros(len(table), 0, dtype=dtype)
        for table in tables
    ]


def test_reinforce_plus_plus_by_hand() -> None:
    """The hole is stepped over: returns 0 + 2/2 = 1, 2 and 3; mean 2, squared distances 2 over 2."""
    rewards, mask = of([[0, 9, 2], [3, NAN, NAN]]), of([[1, 0, 1], [1, 0, 0]])
    ours = reinforce_plus_plus(rewards, mask, gamma=0.5)
    assert_agrees(ours, [[-UNIT, 0, 0], [UNIT, 0, 0]])
    undiscounted = reinforce_plus_plus(of([[1, 2, 3]]), torch.ones(1, 3).double())  # returns 6, 5, 3
    unit = 1 / math.sqrt(7 / 3 + 1e-8)
    assert_agrees(undiscounted, [[4 / 3 * unit, 1 / 3 * unit, -5 / 3 * unit]])


def test_reinforce_plus_plus_baseline_by_hand() -> None:
    """Tokens -2, 2, 2, 2: mean 1, squared distances 9 + 1 + 1 + 1 over 3 = 4; the lone row takes no part."""
    rewards, groups = of([0, 4, 9, NAN]), torch.tensor([0, 0, 1, 0])
    mask = of([[0, 1, 0, 0], [1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    unit = 1 / math.sqrt(4 + 1e-8)
    expected = [[0, -3 * unit, 0, 0], [unit, unit, 0, unit], [0] * 4, [0] * 4]
    assert_agrees(reinforce_plus_plus_baseline(rewards, groups, mask), expected)


def test_gae_by_hand() -> None:
    """Row 1: deltas 0 + 4/2 - 2 = 0 and 1 - 4 = -3, so -3/4 and -3; row 2: 2 - 1/2 = 3/2.

    Mean -3/4, squared distances 0 + 81/16 + 81/16 over 2, so std 9/4.
    """
    rewards, values = of([[0, 9, 1], [NAN, 2, 5]]), of([[2, 9, 4], [NAN, 0.5, 7]])
    mask = of([[1, 0, 1], [0, 1, 0]])
    advantages, returns = gae(rewards, values, mask, gamma=0.5, lam=0.5)
    unit = 2.25 / math.sqrt(2.25**2 + 1e-8)
    assert_agrees(advantages, [[0, 0, -unit], [0, unit, 0]])
    assert_agrees(returns, [[1.25, 0, 1], [0, 2, 0]])


@DTYPES
@given(case=tables(), gamma=FACTORS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_reinforce_plus_plus_agrees_with_plain_loops(
    dtype: torch.dtype, case: tuple[Table, Table, Table], gamma: float
) -> None:
    rewards, mask = exactly(case[0], dtype), case[2]
    assume(whitening_keeps_digits(reference.discounted_returns(rewards, mask, gamma)))
    ours = reinforce_plus_plus(*tensors((rewards, mask), dtype), gamma=gamma)
    assert ours.dtype == dtype
    assert_agrees(ours, tensors((reference.reinforce_plus_plus(rewards, mask, gamma),), torch.float64)[0])


@DTYPES
@given(case=tables(), gamma=FACTORS, lam=FACTORS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_gae_agrees_with_plain_loops(
    dtype: torch.dtype, case: tuple[Table, Table, Table], gamma: float, lam: float
) -> None:
    rewards, values, mask = exactly(case[0], dtype), exactly(case[1], dtype), case[2]
    assume(whitening_keeps_digits(reference.raw_gae(rewards, values, mask, gamma, lam)))
    results = gae(*tensors((rewards, values, mask), dtype), gamma=gamma, lam=lam)
    expected = reference.gae(rewards, values, mask, gamma, lam)
    for ours, theirs in zip(results, tensors(expected, torch.float64), strict=True):
        assert ours.dtype == dtype
        assert_agrees(ours, theirs)


@DTYPES
@given(case=tables(), data=st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_baseline_agrees_with_plain_loops(
    dtype: torch.dtype, case: tuple[Table, Table, Table], data: st.DataObject
) -> None:
    mask = case[2]
    reward = st.one_of(st.sampled_from([0.0, 1.0, NAN]), st.integers(-999, 999).map(lambda i: i / 1000))
    scale = data.draw(st.sampled_from([1e-9, 1.0, 1e6]))
    rewards = [data.draw(reward) * scale for _ in mask]
    groups = [data.draw(st.integers(-1, 1)) for _ in mask]
    tensor = of(rewards, dtype)
    exact = tensor.double().tolist()
    assume(whitening_keeps_digits(reference.centred_tokens(exact, groups, mask)))
    ours = reinforce_plus_plus_baseline(
        tensor, torch.tensor(groups, dtype=torch.long), tensors((mask,), dtype)[0]
    )
    assert ours.dtype == dtype
    expected = reference.reinforce_plus_plus_baseline(exact, groups, mask)
    assert_agrees(ours, tensors((expected,), torch.float64)[0])


@DTYPES
@pytest.mark.parametrize("reward", [0.0, 0.1, 1e-9, 1e6 / 3, -(2.0**99)])
def test_equal_tokens_give_exactly_zero(dtype: torch.dtype, reward: float) -> None:
    mask = of([[0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype)
    rewards = torch.full((3, 3), reward, dtype=dtype)
    assert (reinforce_plus_plus(rewards, mask) == 0).all()
    assert (gae(rewards, torch.zeros(3, 3, dtype=dtype), mask, gamma=0.9, lam=0.9)[0] == 0).all()
    groups = torch.zeros(3, dtype=torch.long)
    assert (reinforce_plus_plus_baseline(rewards[:, 0], groups, torch.ones(3, 3)) == 0).all()


@pytest.mark.parametrize("mask", [[[0.0, 0.0]], [[0.0, 1.0]]])
def test_fewer_than_two_tokens_give_zero(mask: Table) -> None:
    rewards, values, inside = of([[5.0, 7.0]]), of([[1.0, 2.0]]), of(mask)
    assert (reinforce_plus_plus(rewards, inside) == 0).all()
    advantages, returns = gae(rewards, values, inside, gamma=1.0, lam=1.0)
    assert (advantages == 0).all()
    assert_agrees(returns, rewards * inside)
    two = torch.cat([inside, torch.zeros(1, 2)])
    assert (reinforce_plus_plus_baseline(of([1, 3]), torch.tensor([0, 0]), two) == 0).all()


@pytest.mark.parametrize("junk", [NAN, math.inf, -math.inf, 1e38])
def test_nothing_outside_the_mask_is_read(junk: float) -> None:
    mask = of([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]])
    rewards, values = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    dirty, dirty_values = torch.where(mask != 0, rewards, junk), torch.where(mask != 0, values, junk)
    ours = reinforce_plus_plus(dirty, mask, gamma=0.9)
    assert torch.equal(ours, reinforce_plus_plus(rewards, mask, gamma=0.9))
    assert (ours[mask == 0] == 0).all()
    results = gae(dirty, dirty_values, mask, gamma=0.9, lam=0.8)
    for result, clean in zip(results, gae(rewards, values, mask, gamma=0.9, lam=0.8), strict=True):
        assert torch.equal(result, clean)
        assert (result[mask == 0] == 0).all()


def test_an_unscorable_row_takes_no_part() -> None:
    """The others get what they get without it."""
    rewards, values = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mask, others = torch.ones(4, 5).double(), torch.tensor([0, 2, 3])
    rewards[1, 3] = NAN
    pairs = [(reinforce_plus_plus(rewards, mask), reinforce_plus_plus(rewards[others], mask[others]))]
    alone = gae(rewards[others], values[others], mask[others], gamma=1.0, lam=0.9)
    pairs += zip(gae(rewards, values, mask, gamma=1.0, lam=0.9), alone, strict=True)
    groups = torch.tensor([0, 0, 0, 0])
    baseline = reinforce_plus_plus_baseline(rewards[:, 3], groups, mask)
    pairs.append((baseline, reinforce_plus_plus_baseline(rewards[others, 3], groups[others], mask[others])))
    for whole, rest in pairs:
        assert (whole[1] == 0).all()
        assert_agrees(whole[others], rest)


def test_identity_1_permutations() -> None:
    """Permuted rows permute advantages; renamed groups change nothing."""
    generator = torch.Generator().manual_seed(2)
    rewards, values = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    mask = (torch.rand(6, 4, generator=generator) < 0.7).double()
    groups, order = torch.tensor([0, 1, 0, 1, 1, 0]), torch.tensor([4, 0, 5, 2, 1, 3])
    assert_agrees(
        reinforce_plus_plus(rewards[order], mask[order], gamma=0.9),
        reinforce_plus_plus(rewards, mask, gamma=0.9)[order],
    )
    moved = gae(rewards[order], values[order], mask[order], gamma=0.9, lam=0.8)
    for ours, plain in zip(moved, gae(rewards, values, mask, gamma=0.9, lam=0.8), strict=True):
        assert_agrees(ours, plain[order])
    plain = reinforce_plus_plus_baseline(rewards[:, 0], groups, mask)
    renamed = 7 - 9 * groups
    assert_agrees(reinforce_plus_plus_baseline(rewards[order, 0], renamed[order], mask[order]), plain[order])
