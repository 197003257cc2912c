"""The losses beside `ppo_clip`: numbers by hand, gradients, and what each of them leaves constant."""

from __future__ import annotations

import math

import pytest
import torch
from reference.agree import assert_agrees
from torch import Tensor

from stateset.rl.algorithm.loss import POLICY_LOSSES, Clip

STATS = ("approx_kl_old", "clip_fraction_high", "clip_fraction_low", "ratio_max")
WIDE = Clip(low=0.2, high=0.3)


def of(values: list[list[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def run(
    name: str, logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: Clip = WIDE
) -> tuple[Tensor, Tensor, list[float]]:
    """Losses, gradients, and the statistics in the order of STATS."""
    leaf = logprobs.clone().requires_grad_()
    losses, stats = POLICY_LOSSES[name](leaf, old, advantages, mask, clip)
    gradients = torch.autograd.grad(losses.sum(), leaf)[0]
    assert tuple(sorted(stats)) == STATS
    return losses.detach(), gradients, [stats[name].item() for name in STATS]


def test_gspo_by_hand() -> None:
    """Mean log-ratios over the tokens: (0.3 - 0.1) / 2 = 0.1, then -0.3 (below 0.8), then 0.5 (above 1.3)."""
    old = of([[-1, math.nan, -2], [-1, -1, -1], [-3, -3, math.nan]])
    logprobs = of([[-0.7, 5, -2.1], [-1.6, -1.3, -1.0], [-2, -3, 5]])
    mask = of([[1, 0, 1], [1, 1, 1], [1, 1, 0]])
    advantages = of([[2, 9, -1], [1, -1, -2], [1, -1, math.nan]])
    losses, gradients, stats = run("gspo", logprobs, old, advantages, mask)
    near, low, high = math.exp(0.1), math.exp(-0.3), math.exp(0.5)
    assert_agrees(losses, [[-2 * near, 0, near], [-low, 0.8, 1.6], [-1.3, high, 0]])
    assert_agrees(gradients, [[-2 * near, 0, near], [-low, 0, 0], [0, high, 0]])
    assert stats == pytest.approx([(-0.2 + 0.9 - 1) / 7, 1 / 7, 2 / 7, high])


@pytest.mark.parametrize(("log_ratio", "moves"), [(9.5, True), (10.5, False), (400.0, False), (-400.0, True)])
def test_gspo_clamps_the_sequence_at_10(log_ratio: float, moves: bool) -> None:
    """One token at twice the mean and one unmoved; a bad sequence has no dual bound."""
    logprobs, mask = of([[2 * log_ratio, 0]]), torch.ones(1, 2).double()
    losses, gradients, stats = run("gspo", logprobs, 0 * mask, -mask, mask, Clip(low=1.0))
    ratio = math.exp(min(log_ratio, 10))
    assert_agrees(losses, [[ratio, ratio]])
    assert_agrees(gradients, [[ratio * moves] * 2])
    assert stats[-1] == pytest.approx(ratio)


def test_cispo_by_hand() -> None:
    """Weights 1.1, 0.8 for a ratio of 0.5, 1.3 for 2: each keeps its gradient, under either sign."""
    ratios = of([[1.1, 0.5, 0.5, 2, 2, 2]])
    logprobs, mask = of([[-1, -2, -3, -1, -2, 7]]), of([[1, 1, 1, 1, 1, 0]])
    advantages = of([[2, 1, -1, 1, -1, 1]])
    losses, gradients, stats = run("cispo", logprobs, logprobs - ratios.log(), advantages, mask)
    assert_agrees(losses, [[2.2, 1.6, -2.4, 1.3, -2.6, 0]])
    assert_agrees(gradients, [[-2.2, -0.8, 0.8, -1.3, 1.3, 0]])
    assert stats == pytest.approx([-math.log(1.1) / 5, 1 / 5, 1 / 5, 2])


def test_reinforce_by_hand() -> None:
    """No ratio enters the loss, so no clip binds."""
    logprobs, mask = of([[-1, -2, 7], [-3, 5, 5]]), of([[1, 1, 0], [1, 0, 0]])
    old = logprobs - of([[2, 0.25, 9], [1, 1, 1]]).log()
    losses, gradients, stats = run("reinforce", logprobs, old, of([[2, -1, 3], [0.5, 1, 1]]), mask)
    assert_agrees(losses, [[2, -2, 0], [1.5, 0, 0]])
    assert_agrees(gradients, [[-2, 1, 0], [-0.5, 0, 0]])
    assert stats == pytest.approx([math.log(2) / 3, 0, 0, 2])


@pytest.mark.parametrize("name", sorted(POLICY_LOSSES))
def test_on_policy_gradient_is_minus_the_advantage(name: str) -> None:
    """One update a batch: every ratio is exactly 1, so all losses agree in their gradient."""
    logprobs = torch.tensor([[-0.3, -7.1, -2.0], [-1.0, -1.0, -4.0]], dtype=torch.bfloat16).float()
    advantages = torch.tensor([[0.7, -1.9, 0.0], [1.0, 2.0, 3.0]])
    mask = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    _, gradients, stats = run(name, logprobs, logprobs, advantages, mask)
    assert torch.equal(gradients, -advantages * mask)
    assert stats == [0, 0, 0, 1]


def case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log-probabilities, how far they moved, advantages and a mask, [4, 6] each, no ratio at a bound."""
    generator = torch.Generator().manual_seed(3)
    logprobs, moved, advantages = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
    return (
        logprobs.requires_grad_(),
        moved,
        advantages,
        (torch.rand(4, 6, generator=generator) < 0.7).double(),
    )


@pytest.mark.parametrize("name", ["cispo", "reinforce"])
def test_gradcheck_with_the_ratio_held(name: str) -> None:
    """The old log-probabilities follow, as the weight is a constant of the loss."""
    logprobs, moved, advantages, mask = case()
    assert torch.autograd.gradcheck(
        lambda p: POLICY_LOSSES[name](p, p.detach() - moved, advantages, mask, WIDE)[0], (logprobs,)
    )


def test_gradcheck_gspo() -> None:
    """With one advantage a sequence the straight-through gradient is the sum's true one."""
    logprobs, moved, advantages, mask = case()
    old, sequence = logprobs.detach() - moved, advantages[:, :1].expand_as(mask)
    assert torch.autograd.gradcheck(
        lambda p: POLICY_LOSSES["gspo"](p, old, sequence, mask, WIDE)[0].sum(-1), (logprobs,)
    )


@pytest.mark.parametrize("name", ["gspo", "cispo", "reinforce"])
def test_no_dual_clip(name: str) -> None:
    logprobs, moved, advantages, mask = case()
    old = logprobs.detach() - 3 * moved
    plain = run(name, logprobs.detach(), old, advantages, mask, Clip(dual=None))
    tight = run(name, logprobs.detach(), old, advantages, mask, Clip(dual=1.01))
    assert torch.equal(plain[0], tight[0])
    assert torch.equal(plain[1], tight[1])
    assert plain[2] == tight[2]


@pytest.mark.parametrize("name", sorted(POLICY_LOSSES))
def test_padding_changes_nothing(name: str) -> None:
    """Any side and width: GSPO's mean counts tokens, not places."""
    logprobs, moved, advantages, mask = case()
    inputs = logprobs.detach(), logprobs.detach() - moved, advantages
    losses, gradients, stats = run(name, *inputs, mask)
    padded = [torch.nn.functional.pad(x, (2, 3), value=math.nan) for x in inputs]
    wide = run(name, *padded, torch.nn.functional.pad(mask, (2, 3)))
    assert_agrees(wide[0], torch.nn.functional.pad(losses, (2, 3)))
    assert_agrees(wide[1], torch.nn.functional.pad(gradients, (2, 3)))
    assert wide[2] == pytest.approx(stats)
