"""The exact KL in chunks, and what the KL settings do to an update."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_policy_forward import make_batch
from test_policy_learner import ADVANTAGES, gradient, learner_of, on_policy, run
from torch import Tensor

from stateset.rl.algorithm.aggregation import token_weights
from stateset.rl.algorithm.kl import full_kl
from stateset.rl.policy.load import load_policy
from stateset.rl.policy.logprobs import Head, token_kl
from stateset.rl.policy.optimizer import PolicyOptimizer
from stateset.rl.policy.policy import Policy


@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.4, None), (1.0, 5.0), (1.7, 3.0)])
def test_chunked_kl_has_value_and_gradient_of_the_whole_one(monkeypatch, scale, softcap) -> None:
    monkeypatch.setattr("stateset.rl.policy.logprobs.CHUNK_TOKENS", 3)
    torch.manual_seed(0)
    leaves = hidden, weight, bias = torch.randn(7, 6), torch.randn(11, 6), torch.randn(11)
    for leaf in leaves:
        leaf.requires_grad_()
    other, other_weight = torch.randn(7, 6), torch.randn(11, 6)
    outer = torch.randn(7)

    def logits(states: Tensor, matrix: Tensor, offset: Tensor | float) -> Tensor:
        raw = (states @ matrix.T + offset) * scale
        return (softcap * torch.tanh(raw / softcap) if softcap else raw) / 0.8

    ours = token_kl(
        hidden, other, Head(weight, bias, scale, softcap), Head(other_weight, None, scale, softcap), 0.8
    )
    whole = full_kl(logits(hidden, weight, bias), logits(other, other_weight, 0.0))
    assert torch.allclose(ours, whole, atol=1e-5)
    found = torch.autograd.grad((outer * ours).sum(), leaves)
    wanted = torch.autograd.grad((outer * whole).sum(), leaves)
    for left, right in zip(found, wanted, strict=True):
        assert torch.allclose(left, right, atol=1e-5)


def dense_logits(policy: Policy, batch) -> Tensor:
    """[N, V]: logits before every masked token, row by row through the module itself."""
    found = []
    for row, group in enumerate(batch.groups.tolist()):
        prompt, n = batch.prompts[group], int(batch.lengths[row])
        if n:
            ids = torch.tensor([[*prompt, *batch.token_ids[row, :n].tolist()]])
            found.append(policy.module(input_ids=ids).logits[0, len(prompt) - 1 : -1])
    return torch.cat(found)


@pytest.mark.parametrize("lora", [None, 4], ids=["full", "lora"])
@pytest.mark.parametrize("shares", [True, False])
def test_exact_kl_of_a_policy_to_its_reference(tiny_llama: Path, lora: int | None, shares: bool) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32", lora_rank=lora)
    policy.shares_prefix = shares
    batch, reference = make_batch(), policy.snapshot()
    assert float(policy.logprobs_and_kl(batch, 0.7, reference)[2].detach().abs().max()) < 1e-6
    with torch.no_grad():
        before = dense_logits(policy, batch) / 0.7
        for parameter in policy.trainable().values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    logprobs, entropy, kl = policy.logprobs_and_kl(batch, 0.7, reference)
    assert torch.equal(logprobs, policy.logprobs(batch, 0.7)[0])
    assert torch.equal(entropy, policy.logprobs(batch, 0.7)[1])
    wanted = full_kl(dense_logits(policy, batch) / 0.7, before)
    assert float(wanted.detach().max()) > 1e-3
    assert torch.allclose(kl[batch.mask.bool()], wanted, atol=1e-5)
    names, parameters = zip(*policy.trainable().items(), strict=True)
    ours, theirs = (torch.autograd.grad(k.sum(), parameters, allow_unused=True) for k in (kl, wanted))
    for name, left, right in zip(names, ours, theirs, strict=True):
        assert (left is None) == (right is None), name
        assert left is None or (left - right).norm() <= 1e-4 * right.norm() + 1e-6, name


def moved(tiny_llama: Path, **settings):
    """A learner that is away from its reference."""
    learner = learner_of(tiny_llama, use_kl_loss=True, **settings)
    with torch.no_grad():
        for name, parameter in learner.policy.trainable().items():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
            parameter += 0.03 * noise
            learner.optimizer.masters[name].copy_(parameter)
    return learner


def test_the_exact_kl_is_added_with_the_losss_weights(tiny_llama: Path, monkeypatch) -> None:
    batch = make_batch()
    learner = moved(tiny_llama, kl_loss_type="full", kl_loss_coef=0.7, loss_agg_mode="seq-mean-token-sum")
    ours = gradient(learner, batch, torch.zeros(8), monkeypatch)
    _, _, kl = learner.policy.logprobs_and_kl(batch, 1.0, learner.reference)
    loss = 0.7 * (kl * token_weights(batch.mask, "seq-mean-token-sum")).sum()
    wanted = torch.cat(
        [g.flatten() for g in torch.autograd.grad(loss, list(learner.policy.trainable().values()))]
    )
    assert (ours - wanted).norm() <= 1e-5 * wanted.norm()
    found = run(moved(tiny_llama, kl_loss_type="full"), batch, ADVANTAGES)
    mean = float((kl.detach() * batch.mask).sum() / batch.mask.sum())
    assert found["kl"] == pytest.approx(mean, rel=1e-5)


def test_a_kl_in_the_reward_stays_out_of_the_loss(tiny_llama: Path, monkeypatch) -> None:
    batch = make_batch()
    plain = gradient(moved(tiny_llama, kl_loss_coef=0.0), batch, ADVANTAGES, monkeypatch)
    learner = moved(tiny_llama, kl_placement="reward", kl_loss_coef=9.0)
    assert torch.allclose(gradient(learner, batch, ADVANTAGES, monkeypatch), plain, atol=1e-7)
    fixed = learner.before(batch, 1)
    assert fixed.old is not None, "one step alone, and the reward asks for it"
    assert fixed.reference is not None
    found = run(learner, batch, ADVANTAGES)
    x = (fixed.old - fixed.reference)[batch.mask.bool()]
    assert found["kl"] == pytest.approx(float(((-x).exp() - 1 + x).mean()), rel=1e-4)


def test_kl_importance_weighs_later_updates_by_the_ratio(tiny_llama: Path, monkeypatch) -> None:
    """The second update's KL gradient, against one made of the log-probabilities of that moment."""

    def second_gradient(importance: bool) -> tuple[Tensor, Tensor]:
        learner = moved(tiny_llama, kl_loss_type="k2", kl_loss_coef=1.0, kl_importance=importance)
        batch = on_policy(learner, make_batch())
        fixed = learner.before(batch, 2)
        everything = [list(range(len(batch.prompts)))]
        learner.update(batch, ADVANTAGES * 30, everything, [0.02], fixed)
        found = []
        with monkeypatch.context() as patch:
            patch.setattr(PolicyOptimizer, "step", lambda self, rate, loss: found.append(flat(self)) or 0.0)
            learner.update(batch, torch.zeros(8), everything, [0.0], fixed)
        logprobs, _ = learner.policy.logprobs(batch, 1.0)
        ratio = (logprobs - fixed.old).detach().exp().clamp(max=2.0) if importance else 1.0
        x = logprobs - fixed.reference
        loss = (ratio * x.square() / 2 * token_weights(batch.mask, "token-mean")).sum()
        parameters = list(learner.policy.trainable().values())
        return found[0], torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    on, off = second_gradient(True), second_gradient(False)
    for ours, wanted in (on, off):
        assert (ours - wanted).norm() <= 1e-4 * wanted.norm()
    assert (on[0] - off[0]).norm() > 0.01 * off[0].norm(), "the first update moved the ratio"


def flat(optimizer: PolicyOptimizer) -> Tensor:
    return torch.cat([master.grad.flatten() for master in optimizer.masters.values()])
