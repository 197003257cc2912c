"""What must hold exactly: expected gradients by enumeration, and a step that no split or padding changes."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from reference.agree import assert_agrees
from torch import Tensor

from stateset.rl.algorithm.advantages import grpo, rloo, trainable_rows
from stateset.rl.algorithm.aggregation import AGGREGATIONS, masked, token_weights
from stateset.rl.algorithm.kl import kl_penalty
from stateset.rl.algorithm.loss import POLICY_LOSSES, Clip

Estimator = Callable[[Tensor, Tensor], Tensor]
ppo_clip = POLICY_LOSSES["ppo_clip"]
mean_centred = functools.partial(grpo, norm_by_std=False)

# Every text of at most two tokens over {0, 1, end = 2}; the policy has logits for what follows "", 0 and 1.
TEXTS = ((2,), (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2))
MASK = torch.tensor([[1.0, float(len(text) == 2)] for text in TEXTS], dtype=torch.float64)
REWARDS = torch.tensor([0.3, -1.0, 2.0, 0.5, 0.0, 1.5, -0.7], dtype=torch.float64)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def text_logprobs(logits: Tensor) -> Tensor:
    """Log-probability of each token of each text, [7, 2], 0 behind the end; logits [3 prefixes, 3 tokens]."""
    table = logits.log_softmax(-1)
    firsts = torch.tensor([text[0] for text in TEXTS])
    seconds = torch.tensor([text[-1] for text in TEXTS])
    after = (firsts + 1).clamp(max=2)
    return masked(torch.stack([table[0, firsts], table[after, seconds]], dim=-1), MASK)


def groups_of(logprobs: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Every possible group of n texts: the text of each row, its group, and the probability of its group."""
    chosen = torch.tensor(list(itertools.product(range(len(TEXTS)), repeat=n)))
    probability = logprobs.detach().sum(-1)[chosen].sum(-1).exp()
    groups = torch.arange(len(chosen)).repeat_interleave(n)
    return chosen.flatten(), groups, probability[groups]


def expected_gradient(logits: Tensor, rewards: Tensor, n: int, estimator: Estimator) -> Tensor:
    """Mean over all groups, by their probability, of the gradient of a group's loss."""
    logprobs = text_logprobs(logits)
    rows, groups, probability = groups_of(logprobs, n)
    advantages = estimator(rewards[rows], groups)[:, None].expand(-1, 2)
    losses, _ = ppo_clip(logprobs[rows], logprobs.detach()[rows], advantages, MASK[rows], Clip())
    weights = token_weights(MASK[rows], "seq-mean-token-sum") * (len(rows) / n)  # a batch of one group each
    return torch.autograd.grad((losses * weights * probability[:, None]).sum(), logits)[0]


def objective_gradient(logits: Tensor, rewards: Tensor, ref: Tensor, kl_coef: float) -> Tensor:
    """Gradient of E[r] - kl_coef KL(policy || reference), by autograd through every probability."""
    logprobs = text_logprobs(logits).sum(-1)
    objective = (logprobs.exp() * (rewards - kl_coef * (logprobs - text_logprobs(ref).sum(-1)))).sum()
    return torch.autograd.grad(objective, logits)[0]


@pytest.mark.parametrize("kl_coef", [0.0, 0.7])
@pytest.mark.parametrize("n", [2, 3])
def test_identity_2_rloo_is_unbiased_and_the_mean_baseline_shrinks(n: int, kl_coef: float) -> None:
    logits, ref = random(3, 3, seed=0).requires_grad_(), random(3, 3, seed=1)
    log_ratio = (text_logprobs(logits) - text_logprobs(ref)).sum(-1).detach()
    rewards = REWARDS - kl_coef * log_ratio
    exact = objective_gradient(logits, REWARDS, ref, kl_coef)
    assert exact.norm() > 0.1
    assert_agrees(expected_gradient(logits, rewards, n, rloo), -exact)
    assert_agrees(expected_gradient(logits, rewards, n, mean_centred), -exact * (n - 1) / n)


def expected_kl_gradient(logprobs: Tensor, ref: Tensor, mask: Tensor, kind: str, logits: Tensor) -> Tensor:
    """Mean gradient of the penalty of one sampled text, by the text's probability."""
    probability = logprobs.detach().sum(-1).exp()
    weights = token_weights(mask, "seq-mean-token-sum") * len(mask)
    penalty = kl_penalty(logprobs, ref, kind) * weights
    return torch.autograd.grad((probability[:, None] * penalty).sum(), logits, retain_graph=True)[0]


@pytest.mark.parametrize("kind", ["kl", "k1"])
def test_identity_2_k1_in_the_loss_regularises_nothing(kind: str) -> None:
    logits, ref = random(3, 3, seed=2).requires_grad_(), random(3, 3, seed=3)
    gradient = expected_kl_gradient(text_logprobs(logits), text_logprobs(ref), MASK, kind, logits)
    assert_agrees(gradient, torch.zeros(3, 3))


@pytest.mark.parametrize(
    ("kind", "direction"),
    [
        ("mse", "reverse"),
        ("k2", "reverse"),
        ("low_var_kl", "forward"),
        ("k3", "forward"),
        ("kl+", "reverse"),
        ("abs+", "reverse"),
        ("mse+", "reverse"),
        ("low_var_kl+", "reverse"),
    ],
)
def test_identity_2_one_token(kind: str, direction: str) -> None:
    """`k2` and every `+` descend KL(policy || ref), `k3` descends KL(ref || policy)."""
    logits, ref = random(5, seed=4).requires_grad_(), random(5, seed=5).log_softmax(-1)
    logprobs = logits.log_softmax(-1)
    mask = torch.ones(5, 1, dtype=torch.float64)
    gradient = expected_kl_gradient(logprobs[:, None], ref[:, None], mask, kind, logits)
    reverse = (logprobs.exp() * (logprobs - ref)).sum()
    forward = (ref.exp() * (ref - logprobs)).sum()
    exact = torch.autograd.grad({"reverse": reverse, "forward": forward}[direction], logits)[0]
    assert exact.norm() > 0.1
    assert_agrees(gradient, exact)


@dataclass(frozen=True)
class Recorded:
    """Rollouts of a bigram policy with 8 tokens: [B, T] each, groups and advantages [B]."""

    previous: Tensor
    tokens: Tensor
    mask: Tensor
    groups: Tensor
    advantages: Tensor

    def rows(self, chosen: Tensor) -> Recorded:
        return Recorded(**{name: tensor[chosen] for name, tensor in vars(self).items()})


def recorded() -> Recorded:
    """Four groups: one with an empty and an unscored response, one constant, one of one score, one plain."""
    nan = float("nan")
    lengths = torch.tensor([5, 0, 2, 7, 4, 4, 3, 6, 1, 2, 7, 5])
    groups = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3])
    rewards = torch.tensor([1.0, 0.0, nan, 4.0, 2.0, 2.0, 2.0, 1.0, nan, 0.0, -3.0, 1.0], dtype=torch.float64)
    text = torch.randint(0, 8, (12, 8), generator=torch.Generator().manual_seed(6))
    inside = (torch.arange(7) < lengths[:, None]).double()
    mask = inside * trainable_rows(rewards, groups)[:, None]
    return Recorded(text[:, :-1], text[:, 1:], mask, groups, grpo(rewards, groups))


@dataclass(frozen=True)
class Step:
    """One optimizer step's loss and gradient over micro-batches; `kl_coef` 0 leaves the KL term out."""

    mode: str
    kl_coef: float = 0.1
    dtype: torch.dtype = torch.float64

    def __call__(self, batch: Recorded, parts: Sequence[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        weight = random(8, 8, seed=7).to(self.dtype).requires_grad_()
        weights = token_weights(batch.mask.to(self.dtype), self.mode, norm=7)
        parts = [torch.arange(len(batch.mask))] if parts is None else parts
        losses = [self.loss(weight, batch.rows(part), weights[part]) for part in parts]
        gradients = [torch.autograd.grad(loss, weight)[0] for loss in losses]
        return torch.stack(losses).sum().detach(), torch.stack(gradients).sum(0)

    def loss(self, weight: Tensor, batch: Recorded, weights: Tensor) -> Tensor:
        old, ref = (weight.detach() + 0.3 * random(8, 8, seed=s).to(self.dtype) for s in (8, 9))
        logprobs, old, ref = (
            masked(w.log_softmax(-1)[batch.previous, batch.tokens], batch.mask) for w in (weight, old, ref)
        )
        advantages = batch.advantages.to(self.dtype)[:, None].expand_as(logprobs)
        losses, _ = ppo_clip(logprobs, old, advantages, batch.mask, Clip())
        loss = (losses * weights).sum()
        if self.kl_coef:
            loss = loss + self.kl_coef * (kl_penalty(logprobs, ref, "low_var_kl+") * weights).sum()
        return loss


def by_groups(batch: Recorded, *parts: Sequence[int]) -> list[Tensor]:
    return [torch.nonzero(torch.isin(batch.groups, torch.tensor(part))).flatten() for part in parts]


SPLITS = ([[0], [1], [2], [3]], [[2, 0], [3, 1]], [[3, 1, 0], [2]])


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("split", SPLITS)
def test_identity_3_micro_batches_and_ranks_add_up(mode: str, split: list[list[int]]) -> None:
    batch, step = recorded(), Step(mode)
    loss, gradient = step(batch)
    assert gradient.norm() > 0.01
    parts_loss, parts_gradient = step(batch, by_groups(batch, *split))
    assert_agrees(parts_loss, loss)
    assert_agrees(parts_gradient, gradient)


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize(("left", "right"), [(0, 5), (3, 0), (2, 2)])
def test_identity_3_padding_and_what_stands_in_it(mode: str, left: int, right: int) -> None:
    """Any side, any width, and any tokens behind the end."""
    batch, step = recorded(), Step(mode)
    loss, gradient = step(batch)
    junk = torch.randint(0, 8, (2, 12, 7 + left + right), generator=torch.Generator().manual_seed(10))

    def pad(tensor: Tensor, fill: Tensor) -> Tensor:
        inside = torch.nn.functional.pad(batch.mask, (left, right)) != 0
        return torch.where(inside, torch.nn.functional.pad(tensor, (left, right)), fill)

    mask = torch.nn.functional.pad(batch.mask, (left, right))
    wide = replace(batch, previous=pad(batch.previous, junk[0]), tokens=pad(batch.tokens, junk[1]), mask=mask)
    wide_loss, wide_gradient = step(wide)
    assert_agrees(wide_loss, loss)
    assert_agrees(wide_gradient, gradient)


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_identity_3_in_float32(mode: str) -> None:
    batch = recorded()
    _, exact = Step(mode)(batch)
    for split in SPLITS:
        _, gradient = Step(mode, dtype=torch.float32)(batch, by_groups(batch, *split))
        assert gradient.dtype == torch.float32
        assert (gradient - exact).norm() <= 1e-5 * exact.norm()


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_groups_without_signal_may_be_skipped_but_count(mode: str) -> None:
    """Group 1's rewards are equal and group 2 has one score; the weights are those of the whole step."""
    batch, step = recorded(), Step(mode, kl_coef=0.0)
    loss, gradient = step(batch)
    skipped_loss, skipped_gradient = step(batch, by_groups(batch, [0, 3]))
    assert_agrees(skipped_loss, loss)
    assert_agrees(skipped_gradient, gradient)
    alone, _ = step(batch.rows(by_groups(batch, [0, 3])[0]))
    assert (alone - loss).abs() > 1e-3
