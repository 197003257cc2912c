"""KL penalties and the full divergence: by hand, gradients by autograd, bounds, padding that holds NaN."""

from __future__ import annotations

import math
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import algorithm as reference
from reference.agree import assert_agrees
from torch import Tensor

from stateset.rl.algorithm.aggregation import masked
from stateset.rl.algorithm.kl import KL_KINDS, full_kl, kl_penalty
from stateset.rl.errors import ConfigError

EXAMPLES = 1000 if os.environ.get("STATESET_LONG") else 100
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
@settings(max_examples=EXAMPLES, deadline=None)
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


def full_gradient(logits: Tensor, ref_logits: Tensor) -> Tensor:
    leaf = logits.clone().requires_grad_()
    return torch.autograd.grad(full_kl(leaf, ref_logits).sum(), leaf)[0]


def test_full_kl_by_hand() -> None:
    """(1/2, 1/4, 1/4) against (1/4, 1/4, 1/2): ln 2 / 2 + 0 - ln 2 / 4; the gradient is p (log p/q - KL)."""
    logits = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log() + 3  # any multiple of the odds
    ref_logits = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64).log() - 700
    assert_agrees(full_kl(logits, ref_logits), LN2 / 4)
    assert_agrees(full_gradient(logits, ref_logits), [3 / 8 * LN2, -1 / 16 * LN2, -5 / 16 * LN2])


@st.composite
def distributions(draw: st.DrawFn) -> tuple[list[list[float]], list[list[float]]]:
    """Logits of 0-4 tokens over 1-6 words, twice; the second near the first or far from it."""
    count, words = draw(st.integers(0, 4)), draw(st.integers(1, 6))
    row = st.lists(st.floats(-15, 15, width=32), min_size=words, max_size=words)
    first = draw(st.lists(row, min_size=count, max_size=count))
    second = draw(st.lists(row, min_size=count, max_size=count))
    if draw(st.booleans()):
        pairs = zip(first, second, strict=True)
        second = [[a + b / 64 for a, b in zip(*pair, strict=True)] for pair in pairs]
    return first, second


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(case=distributions())
@settings(max_examples=EXAMPLES, deadline=None)
def test_full_kl_agrees_with_plain_loops(
    dtype: torch.dtype, case: tuple[list[list[float]], list[list[float]]]
) -> None:
    width = len(case[0][0]) if case[0] else 3
    logits, ref_logits = (torch.tensor(rows, dtype=dtype).reshape(-1, width) for rows in case)
    expected = [
        reference.full_kl(*pair)
        for pair in zip(logits.double().tolist(), ref_logits.double().tolist(), strict=True)
    ]
    value = full_kl(logits, ref_logits)
    assert value.dtype == dtype
    assert_agrees(value, [v for v, _ in expected])
    gradients = torch.tensor([g for _, g in expected], dtype=torch.float64).reshape(-1, width)
    assert_agrees(full_gradient(logits, ref_logits), gradients)


def test_full_kl_gradcheck() -> None:
    generator = torch.Generator().manual_seed(2)
    logits, ref_logits = torch.randn(2, 2, 3, 5, generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: full_kl(x, ref_logits), (logits,))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (2, 0, 4), (0, 3, 4)])
def test_identity_5_equal_distributions_have_no_full_divergence(shape: tuple[int, ...]) -> None:
    logits = 20 * torch.randn(shape, generator=torch.Generator().manual_seed(3))
    value = full_kl(logits, logits.clone())
    assert value.shape == shape[:-1]
    assert (value == 0).all()
    assert_agrees(full_gradient(logits, logits.clone()), torch.zeros(shape))


def test_full_kl_of_a_word_that_cannot_be_chosen() -> None:
    """It adds nothing: 0 log 0 is 0, so (1, 0) against (1/2, 1/2) is ln 2 and the gradient 0."""
    logits = torch.tensor([[0.0, -math.inf], [0.0, -1e5]])
    for ref_logits, expected in ((torch.zeros(2, 2), LN2), (logits, 0.0)):
        assert_agrees(full_kl(logits, ref_logits), [expected] * 2)
        assert_agrees(full_gradient(logits, ref_logits), torch.zeros(2, 2))


def test_full_kl_is_the_mean_of_the_sampled_ones() -> None:
    """k1 and k3 averaged over every word by its probability; the mean gradient of k2 is the full gradient."""
    generator = torch.Generator().manual_seed(4)
    logits, ref_logits = (
        torch.randn(2, 7, 5, generator=generator, dtype=torch.float64) / 2
    )  # k3 below its cut
    logits.requires_grad_()
    logprobs, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    probabilities = logprobs.detach().exp()
    for kind in ("k1", "k3"):
        assert_agrees((probabilities * kl_penalty(logprobs, ref, kind)).sum(-1), full_kl(logits, ref_logits))
    sampled = torch.autograd.grad((probabilities * kl_penalty(logprobs, ref, "k2")).sum(), logits)[0]
    assert_agrees(sampled, full_gradient(logits.detach(), ref_logits))
