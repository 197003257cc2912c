"""KL penalties: values by hand, the table of gradients by autograd, bounds, and padding that holds NaN."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import algorithm as reference
from reference.agree import assert_agrees
from torch import Tensor

from stateset.rl.algorithm.aggregation import masked
from stateset.rl.algorithm.kl import KL_KINDS, kl_penalty
from stateset.rl.errors import ConfigError

LN2 = math.log(2)


def gradient(logprobs: Tensor, ref: Tensor, kind: str) -> Tensor:
    leaf = logprobs.clone().requires_grad_()
    return torch.autograd.grad(kl_penalty(leaf, ref, kind).sum(), leaf)[0]


def test_kinds_are_those_of_the_specification() -> None:
    bases = {"kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3"}
    assert set(KL_KINDS) == bases | {f"{base}+" for base in bases}
    assert len(KL_KINDS) == 14


@pytest.mark.parametrize(
    ("kind", "values", "gradients"),
    [
        ("kl", [LN2, -LN2], [1, 1]),
        ("abs", [LN2, LN2], [1, -1]),
        ("mse", [LN2**2 / 2, LN2**2 / 2], [LN2, -LN2]),
        ("low_var_kl", [0.5 - 1 + LN2, 2 - 1 - LN2], [0.5, -1]),
        ("kl+", [LN2, -LN2], [LN2, -LN2]),
        ("abs+", [LN2, LN2], [LN2, -LN2]),
        ("mse+", [LN2**2 / 2, LN2**2 / 2], [LN2, -LN2]),
        ("low_var_kl+", [0.5 - 1 + LN2, 2 - 1 - LN2], [LN2, -LN2]),
    ],
)
def test_half_and_double_probability_by_hand(kind: str, values: list[float], gradients: list[float]) -> None:
    """The policy gives one token twice, the other half of the reference's probability: x = ln 2 and -ln 2."""
    logprobs = torch.tensor([0.5, 0.25], dtype=torch.float64).log()
    ref = torch.tensor([0.25, 0.5], dtype=torch.float64).log()
    assert_agrees(kl_penalty(logprobs, ref, kind), values)
    assert_agrees(gradient(logprobs, ref, kind), gradients)


@pytest.mark.parametrize(("short", "long"), [("k1", "kl"), ("k2", "mse"), ("k3", "low_var_kl")])
@pytest.mark.parametrize("suffix", ["", "+"])
def test_short_names(short: str, long: str, suffix: str) -> None:
    logprobs, ref = torch.randn(2, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(kl_penalty(logprobs, ref, short + suffix), kl_penalty(logprobs, ref, long + suffix))
    assert torch.equal(gradient(logprobs, ref, short + suffix), gradient(logprobs, ref, long + suffix))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", KL_KINDS)
@given(pairs=st.lists(st.tuples(st.floats(-30, 0, width=32), st.floats(-30, 0, width=32)), min_size=1))
@settings(max_examples=40, deadline=None)
def test_agrees_with_plain_loops(kind: str, dtype: torch.dtype, pairs: list[tuple[float, float]]) -> None:
    table = torch.tensor(pairs, dtype=dtype)
    logprobs, ref = table.unbind(-1)
    differences = [(float(a - b), 0.0) for a, b in table]  # in the dtype: its rounding is not the formula's
    assert_agrees(kl_penalty(logprobs, ref, kind), [reference.kl_value(*pair, kind) for pair in differences])
    expected = [reference.kl_gradient(*pair, kind) for pair in differences]
    assert_agrees(gradient(logprobs, ref, kind), expected, 1e-10 if dtype == torch.float64 else 2e-5)


@pytest.mark.parametrize("kind", [kind for kind in KL_KINDS if not kind.endswith("+")])
def test_gradcheck(kind: str) -> None:
    logprobs = torch.tensor([[-0.1, -2.0], [-1.5, -0.7]], dtype=torch.float64, requires_grad=True)
    ref = torch.tensor([[-0.6, -1.0], [-3.0, -0.2]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: kl_penalty(p, ref, kind), (logprobs,))


@pytest.mark.parametrize("kind", ["low_var_kl", "k3"])
def test_low_var_kl_is_bounded(kind: str) -> None:
    """e^2.5 - 3.5 = 8.68 passes, e^2.7 - 3.7 = 11.18 is cut to 10; 9 + e^-10 passes, 29 is cut."""
    x = torch.tensor([-2.5, -2.7, -1000.0, 10.0, 30.0], dtype=torch.float64)
    zero = torch.zeros_like(x)
    assert_agrees(kl_penalty(x, zero, kind), [math.exp(2.5) - 3.5, 10, 10, 9 + math.exp(-10), 10])
    assert_agrees(gradient(x, zero, kind), [1 - math.exp(2.5), 0, 0, 1 - math.exp(-10), 0])
    assert_agrees(gradient(x, zero, f"{kind}+"), x)


@pytest.mark.parametrize("kind", KL_KINDS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0)])
def test_identity_5_equal_policies_have_no_divergence(kind: str, shape: tuple[int, ...]) -> None:
    logprobs = -torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 9
    value = kl_penalty(logprobs, logprobs.clone(), kind)
    assert value.shape == shape
    assert (value == 0).all()


@pytest.mark.parametrize("kind", KL_KINDS)
@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf])
def test_masked_padding_reaches_neither_value_nor_gradient(kind: str, junk: float) -> None:
    mask = torch.tensor([[1.0, 0.0, 0.0]])
    logprobs = torch.tensor([[-1.0, junk, -1.0]], requires_grad=True)
    ref = torch.tensor([[-2.0, -1.0, junk]])
    total = kl_penalty(masked(logprobs, mask), masked(ref, mask), kind).sum()
    total.backward()
    assert total.item() == pytest.approx(reference.kl_value(-1, -2, kind), abs=1e-6)
    assert logprobs.grad is not None
    assert logprobs.grad[0, 1:].tolist() == [0, 0]


def test_a_nan_of_a_real_token_is_not_hidden() -> None:
    for kind in KL_KINDS:
        assert kl_penalty(torch.tensor([math.nan]), torch.tensor([-1.0]), kind).isnan().all()


def test_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"kl_loss_type 'full\+' is unknown; .*low_var_kl\+"):
        kl_penalty(torch.zeros(1), torch.zeros(1), "full+")
