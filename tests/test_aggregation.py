"""Token weights: numbers by hand, agreement with plain loops, and a loss that no split or padding changes."""

from __future__ import annotations

import math
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import algorithm as reference
from reference.agree import assert_agrees

from stateset.rl.algorithm.aggregation import AGGREGATIONS, masked, token_weights
from stateset.rl.errors import ConfigError

NORM = "seq-mean-token-sum-norm"
LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=6)

EXAMPLES = 1000 if os.environ.get("STATESET_LONG") else 60


def ragged(lengths: list[int], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).to(dtype)


@pytest.mark.parametrize(
    ("mode", "first", "second"),
    [
        ("token-mean", 1 / 4, 1 / 4),
        ("seq-mean-token-sum", 1 / 2, 1 / 2),
        ("seq-mean-token-mean", 1 / 6, 1 / 2),
        (NORM, 1 / 20, 1 / 20),
    ],
)
def test_rows_of_three_no_and_one_token_by_hand(mode: str, first: float, second: float) -> None:
    """N = 4 tokens in B' = 2 rows; the empty row counts nowhere; a hole is a token of a tool."""
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.float64)
    expected = [[first, 0, first, first], [0, 0, 0, 0], [0, second, 0, 0]]
    assert_agrees(token_weights(mask, mode, norm=10), expected)


def test_modes_are_those_of_the_specification() -> None:
    assert set(AGGREGATIONS) == {"token-mean", "seq-mean-token-sum", "seq-mean-token-mean", NORM}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("mode", AGGREGATIONS)
@given(rows=st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=5, max_size=5), min_size=1, max_size=6))
@settings(max_examples=EXAMPLES, deadline=None)
def test_agrees_with_plain_loops(mode: str, dtype: torch.dtype, rows: list[list[float]]) -> None:
    weights = token_weights(torch.tensor(rows, dtype=dtype), mode, norm=7)
    assert weights.dtype == dtype
    assert_agrees(weights, reference.token_weights(rows, mode, norm=7))


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("shape", [(3, 4), (3, 0), (0, 4)])
def test_no_valid_token_weighs_nothing(mode: str, shape: tuple[int, int]) -> None:
    weights = token_weights(torch.zeros(shape), mode, norm=4)
    assert weights.shape == shape
    assert (weights == 0).all()


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_whole_number_masks_get_float_weights(mode: str, dtype: torch.dtype) -> None:
    weights = token_weights(ragged([2, 3], dtype), mode, norm=3)
    assert weights.dtype == torch.float32
    assert torch.equal(weights, token_weights(ragged([2, 3], torch.float32), mode, norm=3))


@pytest.mark.parametrize("mode", AGGREGATIONS)
@given(lengths=LENGTHS, left=st.integers(0, 3), right=st.integers(0, 3))
@settings(max_examples=EXAMPLES, deadline=None)
def test_padding_changes_no_weight(mode: str, lengths: list[int], left: int, right: int) -> None:
    mask = ragged([*lengths, 1])
    padded = torch.nn.functional.pad(mask, (left, right, 0, 2))
    expected = torch.nn.functional.pad(token_weights(mask, mode, norm=5), (left, right, 0, 2))
    assert torch.equal(token_weights(padded, mode, norm=5), expected)


def test_masked_is_zero_outside_forward_and_backward() -> None:
    values = torch.tensor([[2.0, math.nan], [math.inf, -3.0]], requires_grad=True)
    inside = masked(values, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    inside.square().sum().backward()
    assert inside.tolist() == [[2, 0], [0, -3]]
    assert values.grad is not None
    assert values.grad.tolist() == [[4, 0], [0, -6]]


def test_unknown_mode_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'mean' is unknown; .*token-mean, seq-mean-token-sum"):
        token_weights(torch.ones(1, 1), "mean")


@pytest.mark.parametrize("norm", [None, 0, -1.0])
def test_constant_length_is_needed(norm: float | None) -> None:
    with pytest.raises(ConfigError, match="pass norm=max_response_length"):
        token_weights(torch.ones(1, 1), NORM, norm=norm)
