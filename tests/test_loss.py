"""The policy losses: the clip by hand, agreement with plain loops, and NaN outside the mask."""

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

from stateset.rl.algorithm.aggregation import AGGREGATIONS, token_weights
from stateset.rl.algorithm.loss import POLICY_LOSSES, Clip

EXAMPLES = 1000 if os.environ.get("STATESET_LONG") else 100
NAMES = ("ppo_clip", "gspo", "cispo", "reinforce")
ppo_clip = POLICY_LOSSES["ppo_clip"]
STATS = {"clip_fraction_low", "clip_fraction_high", "approx_kl_old", "ratio_max"}


def with_gradient(
    logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: Clip, name: str = "ppo_clip"
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    leaf = logprobs.clone().requires_grad_()
    losses, stats = POLICY_LOSSES[name](leaf, old, advantages, mask, clip)
    return losses.detach(), torch.autograd.grad(losses.sum(), leaf)[0], stats


def test_names_are_those_of_the_specification() -> None:
    assert set(POLICY_LOSSES) == set(NAMES)


@pytest.mark.parametrize(
    ("advantage", "ratio", "loss", "gradient"),
    [
        (2.0, 1.0, -2.0, -2.0),
        (2.0, 1.1, -2.2, -2.2),
        (2.0, 1.5, -2.6, 0.0),  # good and already likelier: cut at 1 + high = 1.3
        (2.0, 0.5, -1.0, -1.0),  # good and grown unlikely: pulled back, never cut
        (-2.0, 1.1, 2.2, 2.2),
        (-2.0, 0.5, 1.6, 0.0),  # bad and already unlikelier: cut at 1 - low = 0.8
        (-2.0, 1.5, 3.0, 3.0),  # bad and grown likelier: pushed down ...
        (-2.0, 3.5, 6.0, 0.0),  # ... up to the dual bound 3
        (0.0, 9.0, 0.0, 0.0),
    ],
)
def test_regions_by_hand(advantage: float, ratio: float, loss: float, gradient: float) -> None:
    logprobs = torch.tensor([[math.log(ratio) - 1.25]], dtype=torch.float64)
    old, mask = torch.full_like(logprobs, -1.25), torch.ones_like(logprobs)
    losses, gradients, _ = with_gradient(
        logprobs, old, torch.full_like(logprobs, advantage), mask, Clip(low=0.2, high=0.3, dual=3.0)
    )
    assert_agrees(losses, [[loss]])
    assert_agrees(gradients, [[gradient]])


def test_without_dual_clip_a_bad_token_is_pushed_without_bound() -> None:
    log_ratio = torch.tensor([[math.log(50.0)]], dtype=torch.float64)
    zero, one = torch.zeros_like(log_ratio), torch.ones_like(log_ratio)
    losses, gradients, _ = with_gradient(log_ratio, zero, -one, one, Clip(dual=None))
    assert_agrees(losses, [[50.0]])
    assert_agrees(gradients, [[50.0]])


def test_default_clip() -> None:
    assert Clip() == Clip(low=0.2, high=0.2, dual=3.0)


def test_log_ratio_is_clamped() -> None:
    logprobs = torch.tensor([[0.0, -500.0, 19.0]])
    old = torch.tensor([[-500.0, 0.0, 0.0]])
    advantages, mask = torch.tensor([[-1.0, 1.0, -1.0]]), torch.ones(1, 3)
    losses, gradients, stats = with_gradient(logprobs, old, advantages, mask, Clip(dual=None))
    assert losses[0, 0].item() == pytest.approx(math.exp(20), rel=1e-5)
    assert losses[0, 1].item() == pytest.approx(-math.exp(-20), rel=1e-5)
    assert gradients[0, :2].tolist() == [0, 0]
    assert gradients[0, 2].item() == pytest.approx(math.exp(19), rel=1e-5)
    assert stats["ratio_max"].item() == pytest.approx(math.exp(20), rel=1e-5)
    assert stats["approx_kl_old"].item() == pytest.approx(-19 / 3, rel=1e-5)


def test_clip_fractions_go_by_the_sign_of_the_advantage() -> None:
    """Ratios 1.5 and 0.5 under both signs, 1.1 and a padded 9: two of five are cut, one on each side."""
    ratios = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1, 9.0]], dtype=torch.float64)
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, 1.0]], dtype=torch.float64)
    mask = torch.tensor([[1.0, 1, 1, 1, 1, 0]], dtype=torch.float64)
    _, gradients, stats = with_gradient(ratios.log(), torch.zeros_like(ratios), advantages, mask, Clip())
    assert (gradients == 0).tolist() == [[True, False, False, True, False, True]]
    assert set(stats) == STATS
    assert stats["clip_fraction_low"].item() == pytest.approx(1 / 5)
    assert stats["clip_fraction_high"].item() == pytest.approx(1 / 5)
    assert stats["approx_kl_old"].item() == pytest.approx(-math.log(1.5 * 1.5 * 0.5 * 0.5 * 1.1) / 5)
    assert stats["ratio_max"].item() == pytest.approx(1.5)


def test_largest_ratio_may_be_below_one() -> None:
    logprobs, mask = torch.tensor([[-1.0, -2.0, -9.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    _, stats = ppo_clip(logprobs, torch.tensor([[-0.5, -1.0, -9.0]]), torch.ones(1, 3), mask, Clip())
    assert stats["ratio_max"].item() == pytest.approx(math.exp(-0.5))


@st.composite
def tokens(draw: st.DrawFn) -> list[list[list[float]]]:
    """Log-probabilities, old ones, advantages and a mask with holes, empty rows and NaN outside."""
    rows, width = draw(st.integers(0, 4)), draw(st.integers(1, 5))
    logprob = st.floats(-25, 0, width=32)
    kinds = (logprob, logprob, st.floats(-4, 4, width=32), st.sampled_from([0.0, 1.0]))
    values = [draw(st.lists(kind, min_size=rows * width, max_size=rows * width)) for kind in kinds]
    if draw(st.booleans()):  # most pairs above differ wildly; these stay near the clip
        values[1] = [logprob + a / 8 for logprob, a in zip(values[0], values[2][::-1], strict=True)]
    if draw(st.booleans()):
        values[:3] = [[v if m else math.nan for v, m in zip(vs, values[3], strict=True)] for vs in values[:3]]
    return [[v[i * width : (i + 1) * width] for i in range(rows)] for v in values]


def table(rows: list[list[float]], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(rows, dtype=dtype).reshape(len(rows), len(rows[0]) if rows else 2)


def away_from_bounds(name: str, case: list[list[list[float]]], dual: float | None) -> Tensor:
    """[B,T] bool: on which side of a bound the other tokens lie is a matter of rounding."""
    cut = []
    for shift in (-1e-5, 1e-5):
        bounds = 0.15 + shift, 0.35 + shift, dual and dual + shift
        gradients = table(getattr(reference, name)(*case, *bounds)[1])
        cut.append(gradients == 0)
    return cut[0] == cut[1]


@pytest.mark.parametrize(("name", "dual"), [("ppo_clip", None), *((name, 3.0) for name in NAMES)])
@given(case=tokens())
@settings(max_examples=EXAMPLES, deadline=None)
def test_agrees_with_plain_loops(name: str, dual: float | None, case: list[list[list[float]]]) -> None:
    logprobs, old, advantages, mask = (table(rows) for rows in case)
    losses, gradients, stats = with_gradient(logprobs, old, advantages, mask, Clip(0.15, 0.35, dual), name)
    expected, expected_gradients, expected_stats = getattr(reference, name)(*case, 0.15, 0.35, dual)
    assert_agrees(losses, table(expected))
    assert_agrees(gradients, table(expected_gradients))
    assert set(stats) == STATS
    for stat, value in stats.items():
        assert value.shape == ()
        assert not value.requires_grad
        assert_agrees(value, expected_stats[stat], 1e-6)


@pytest.mark.parametrize("name", NAMES)
@given(case=tokens())
@settings(max_examples=EXAMPLES, deadline=None)
def test_agrees_in_float32(name: str, case: list[list[list[float]]]) -> None:
    logprobs, old, advantages, mask = (table(rows, torch.float32) for rows in case)
    # the float32 difference is exact input here: where exp is large its rounding would be magnified
    log_ratio = (logprobs - old).clamp(-2, 2)
    zero, clip = torch.zeros_like(old), Clip(0.15, 0.35)
    losses, gradients, _ = with_gradient(log_ratio, zero, advantages, mask, clip, name)
    assert losses.dtype == torch.float32
    rows = [log_ratio.double().tolist(), zero.tolist(), *case[2:]]
    expected, expected_gradients, _ = getattr(reference, name)(*rows, 0.15, 0.35, 3.0)
    assert_agrees(losses, table(expected))
    sure = away_from_bounds(name, rows, 3.0)
    assert_agrees(gradients[sure], table(expected_gradients)[sure])


@pytest.mark.parametrize("dual", [None, 3.0])
def test_gradcheck(dual: float | None) -> None:
    generator = torch.Generator().manual_seed(3)
    logprobs, old, advantages = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
    mask = (torch.rand(4, 6, generator=generator) < 0.7).double()
    clip = Clip(dual=dual)
    logprobs.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: ppo_clip(p, old, advantages, mask, clip)[0], (logprobs,))


def test_on_policy_gradient_is_minus_the_advantage() -> None:
    """One update a batch: the old log-probabilities are the first forward's, so the ratio is exactly 1."""
    logprobs = torch.tensor([[-0.3, -7.1]], dtype=torch.bfloat16).float()
    advantages = torch.tensor([[0.7, -1.9]])
    losses, gradients, stats = with_gradient(logprobs, logprobs, advantages, torch.ones(1, 2), Clip())
    assert torch.equal(losses, -advantages)
    assert torch.equal(gradients, -advantages)
    assert [stats[name].item() for name in sorted(STATS)] == [0, 0, 0, 1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["logprobs", "old", "advantages"])
@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf, 1e38])
def test_nothing_outside_the_mask_is_read(name: str, place: str, junk: float) -> None:
    mask = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    clean = {
        "logprobs": torch.tensor([[-1.0, -2.0, -1.0], [-1.0, -3.0, -1.0]]),
        "old": torch.tensor([[-1.1, -1.0, -1.0], [-1.0, -2.0, -1.0]]),
        "advantages": torch.tensor([[1.0, -1.0, 1.0], [0.5, 2.0, 3.0]]),
    }
    dirty = clean | {place: torch.where(mask != 0, clean[place], junk)}
    expected = with_gradient(*clean.values(), mask, Clip(), name)
    losses, gradients, stats = with_gradient(*dirty.values(), mask, Clip(), name)
    assert torch.equal(losses, expected[0])
    assert torch.equal(gradients, expected[1])
    assert stats == expected[2]
    assert (losses[mask == 0] == 0).all()
    assert (gradients[mask == 0] == 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("shape", [(2, 3), (2, 0), (0, 3)])
def test_no_valid_token_gives_zero_loss_and_gradient(name: str, mode: str, shape: tuple[int, int]) -> None:
    leaf = torch.full(shape, math.nan, requires_grad=True)
    mask = torch.zeros(shape)
    losses, stats = POLICY_LOSSES[name](leaf, torch.zeros(shape), torch.ones(shape), mask, Clip())
    loss = (losses * token_weights(mask, mode, norm=4)).sum()
    loss.backward()
    assert loss.item() == 0
    assert leaf.grad is not None
    assert (leaf.grad == 0).all()
    assert {name: value.item() for name, value in stats.items()} == dict.fromkeys(STATS, 0)
