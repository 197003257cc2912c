"""PPO's critic: values from zero, value clipping, its own checkpoint, and a run with `adv_estimator: gae`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_policy_forward import make_batch
from test_policy_learner import learner_of
from torch import Tensor
from trainer_rewards import count_e

from stateset.rl.policy.critic import Critic
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.optimizer import PolicyOptimizer
from stateset.rl.trainer import GRPOTrainer

GAE = {"adv_estimator": "gae"}


def critic_of(folder: Path, **settings) -> tuple[Learner, Critic]:
    learner = learner_of(folder, **GAE, **settings)
    assert learner.critic is not None
    return learner, learner.critic


def test_it_starts_at_zero_as_a_second_model(tiny_llama: Path) -> None:
    learner, critic = critic_of(tiny_llama)
    assert float(critic.values(make_batch()).abs().max()) == 0
    head = learner.policy.module.get_output_embeddings().weight
    tied = head is learner.policy.module.get_input_embeddings().weight
    width = head.shape[1]
    assert critic.num_parameters == learner.policy.num_parameters - (0 if tied else head.numel()) + width + 1
    own = {p.data_ptr() for p in learner.policy.module.parameters()}
    assert own.isdisjoint(p.data_ptr() for p in critic.trainable().values())


def test_values_learn_the_returns_and_the_policy_does_not_move(tiny_llama: Path) -> None:
    learner, critic = critic_of(tiny_llama, critic_learning_rate=1e-2, learning_rate=1e-2, value_clip=100.0)
    before = learner.policy.snapshot()
    batch = make_batch()
    returns = torch.randn(batch.mask.shape, generator=torch.Generator().manual_seed(0)) + 3
    plan = [list(range(len(batch.prompts)))]
    first = critic.update(batch, returns, critic.values(batch), plan, [1e-2])
    inside = batch.mask != 0
    assert first["critic/loss"] == pytest.approx(float(returns[inside].square().mean()) / 2, rel=1e-5)
    for _ in range(60):
        last = critic.update(batch, returns, critic.values(batch), plan, [1e-2])
    assert last["critic/loss"] < 0.05 * first["critic/loss"]
    assert last["critic/explained_variance"] > 0.8
    assert all(torch.equal(before[name], p) for name, p in learner.policy.snapshot().items())


@pytest.mark.parametrize("shares", [True, False])
def test_values_are_those_of_plain_rows(tiny_llama: Path, shares: bool) -> None:
    learner, critic = critic_of(tiny_llama)
    torch.nn.init.normal_(critic.head.weight, std=0.5)
    learner.policy.shares_prefix = shares
    batch = make_batch()
    values = critic.values(batch)
    for row, group in enumerate(batch.groups.tolist()):
        prompt, n = batch.prompts[group], int(batch.lengths[row])
        ids = torch.tensor([[*prompt, *batch.token_ids[row, :n].tolist()]])
        with torch.no_grad():
            hidden = critic.module(input_ids=ids).last_hidden_state[0, len(prompt) - 1 : -1]
        assert torch.allclose(values[row, :n], critic.head(hidden)[:, 0], atol=1e-5)
        assert (values[row, n:] == 0).all()


def gradient(critic: Critic, returns: Tensor, old: Tensor, monkeypatch) -> Tensor:
    found: list[Tensor] = []

    def step(self: PolicyOptimizer, rate: float, loss: float) -> float:
        found.append(torch.cat([m.grad.flatten() for m in self.masters.values() if m.grad is not None]))
        self.clear()
        return 0.0

    batch = make_batch()
    with monkeypatch.context() as patch:
        patch.setattr(PolicyOptimizer, "step", step)
        critic.update(batch, returns, old, [[0, 1, 2]], [1.0])
    return found[0]


def test_a_value_that_moved_too_far_is_not_pushed_on(tiny_llama: Path, monkeypatch) -> None:
    """Values are 0; an old value of -1 with a clip of 0.5 holds them at -0.5, which 0 has left behind."""
    _, critic = critic_of(tiny_llama, value_clip=0.5)
    ones = torch.ones_like(make_batch().mask)
    assert gradient(critic, ones, 0 * ones, monkeypatch).norm() > 1e-3
    assert gradient(critic, ones, -ones, monkeypatch).norm() == 0, "moved by 1, toward the return"
    assert gradient(critic, -ones, -ones, monkeypatch).norm() > 1e-3, "moved away from the return"


def test_micro_batches_add_up(tiny_llama: Path, monkeypatch) -> None:
    _, whole = critic_of(tiny_llama, micro_batch_tokens=10**9)
    _, split = critic_of(tiny_llama, micro_batch_tokens=1)
    returns = torch.randn(make_batch().mask.shape, generator=torch.Generator().manual_seed(1))
    ours, theirs = (gradient(c, returns, 0 * returns, monkeypatch) for c in (split, whole))
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


ROWS = [{"id": str(i), "prompt": f"hello {i}"} for i in range(6)]
SETTINGS = {
    **{"rollout_n": 4, "batch_size": 2, "max_response_length": 10, "learning_rate": 1e-3, "device": "cpu"},
    **{"dtype": "fp32", "warmup_steps": 0, "max_steps": 3, "save_every": 1, "adv_estimator": "gae"},
}


def train(model: Path, out: Path, resume: Path | None = None, **settings) -> GRPOTrainer:
    trainer = GRPOTrainer(
        model=str(model), reward_function=count_e, config={**SETTINGS, "output_dir": str(out), **settings}
    )
    trainer.train(ROWS, resume=resume)
    return trainer


def test_a_run_with_a_critic_resumes_bit_for_bit(tiny_llama: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    one = train(tiny_llama, whole, use_kl_loss=True, kl_placement="reward", kl_loss_coef=0.1)

    class Killed(Exception):
        pass

    def kill(metrics) -> None:
        if metrics.step == 2:
            raise Killed

    other = GRPOTrainer(
        model=str(tiny_llama),
        reward_function=count_e,
        config={**SETTINGS, "output_dir": str(cut)}
        | {"use_kl_loss": True, "kl_placement": "reward", "kl_loss_coef": 0.1},
        on_step=kill,
    )
    with pytest.raises(Killed):
        other.train(ROWS)
    two = train(tiny_llama, cut, resume=cut, use_kl_loss=True, kl_placement="reward", kl_loss_coef=0.1)
    assert (cut / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    ours, theirs = one.learner.state_tensors(), two.learner.state_tensors()
    assert ours.keys() == theirs.keys()
    assert any(name.startswith("critic/exp_avg/value_head") for name in ours)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    values = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    assert values["critic/loss"] > 0
    phases = json.loads((whole / "timings.jsonl").read_text().splitlines()[-1])["seconds"]
    assert phases["critic"] > 0


def test_after_a_warm_start_the_critic_is_a_copy_of_the_warm_policy(tiny_llama: Path, tmp_path: Path) -> None:
    rows = [{**row, "reply": "bee"} for row in ROWS]
    trainer = GRPOTrainer(
        model=str(tiny_llama),
        reward_function=count_e,
        config={**SETTINGS, "output_dir": str(tmp_path / "run"), "warm_start": {"learning_rate": 1e-2}}
        | {"max_steps": 1, "critic_learning_rate": 1e-12},
    )
    trainer.train(rows)
    critic = trainer.learner.critic
    assert critic is not None
    from safetensors.torch import load_file

    warm = load_file(tmp_path / "run" / "warm_start" / "model.safetensors")
    name = "layers.0.mlp.up_proj.weight"
    assert torch.allclose(critic.trainable()[name], warm[f"model.{name}"], atol=1e-9)
