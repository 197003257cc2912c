"""The update: one gradient for any split, exact zeros, float32 masters, the right old log-probabilities."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_policy_forward import make_batch

from stateset.rl.config.load import make_config
from stateset.rl.errors import ConfigError, TrainingError
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.load import load_policy, resolve_dtype
from stateset.rl.policy.optimizer import PolicyOptimizer, learning_rate_at
from stateset.rl.policy.policy import Policy
from stateset.rl.schedule import optimizer_steps
from stateset.rl.types import Rollout, RolloutGroup, Task

RATE = 1e-3


def policy_of(folder, dtype: str = "fp32", **settings) -> Policy:
    return load_policy(str(folder), device="cpu", dtype=dtype, **settings)


def learner_of(folder, dtype: str = "fp32", *, lora_rank: int | None = None, **settings) -> Learner:
    config = make_config({"rollout_n": 2, "batch_size": 3, "max_response_length": 12, **settings})
    return Learner(policy_of(folder, dtype, lora_rank=lora_rank), config, exact_sampler=dtype == "fp32")


def on_policy(learner: Learner, batch: Batch) -> Batch:
    """The batch as if the policy had sampled it."""
    with torch.no_grad():
        logprobs, _ = learner.policy.logprobs(batch, learner.config.temperature)
    return dataclasses.replace(batch, sampler_logprobs=logprobs)


def run(learner: Learner, batch: Batch, advantages: torch.Tensor, plan=None) -> dict[str, float]:
    plan = plan or [list(range(len(batch.prompts)))]
    return learner.update(on_policy(learner, batch), advantages, plan, [RATE] * len(plan))


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: master.detach().clone() for name, master in learner.optimizer.masters.items()}


ADVANTAGES = torch.tensor([1.0, -0.5, 0.3, 0.0, 1.2, -1.0, 0.7, -0.9])


def gradient(learner: Learner, batch: Batch, advantages: torch.Tensor, monkeypatch) -> torch.Tensor:
    """The flat gradient that the optimizer is handed."""
    found: list[torch.Tensor] = []

    def step(self, rate: float, loss: float) -> float:
        zeros = {n: torch.zeros_like(m) for n, m in self.masters.items()}
        found.append(
            torch.cat(
                [(m.grad if m.grad is not None else zeros[n]).flatten() for n, m in self.masters.items()]
            )
        )
        self.clear()
        return 0.0

    with monkeypatch.context() as patch:
        patch.setattr(PolicyOptimizer, "step", step)
        run(learner, batch, advantages)
    return found[0]


@pytest.mark.parametrize(
    "mode", ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"]
)
def test_gradient_is_the_same_for_any_micro_batch(tiny_llama, monkeypatch, mode) -> None:
    batch = make_batch()
    settings = {"loss_agg_mode": mode, "use_kl_loss": True, "kl_loss_coef": 0.1, "entropy_coef": 0.01}
    found = [
        gradient(
            learner_of(tiny_llama, micro_batch_tokens=tokens, **settings), batch, ADVANTAGES, monkeypatch
        )
        for tokens in (1, 60, 100_000)
    ]
    assert found[0].norm() > 0
    for other in found[1:]:
        assert (other - found[0]).norm() <= 1e-5 * found[0].norm()


def test_gradient_is_the_policy_gradient_by_hand(tiny_llama, monkeypatch) -> None:
    """On-policy, token-mean: -sum_t A_t grad logp_t / N, by plain rows and autograd."""
    learner = learner_of(tiny_llama)
    batch = make_batch()
    ours = gradient(learner, batch, ADVANTAGES, monkeypatch)
    logprobs, _ = learner.policy.logprobs(batch, 1.0)
    loss = -(logprobs * ADVANTAGES[:, None] * batch.mask).sum() / batch.mask.sum()
    expected = torch.autograd.grad(loss, list(learner.policy.trainable().values()))
    flat = torch.cat([g.flatten() for g in expected])
    assert (ours - flat).norm() <= 1e-5 * flat.norm()


def test_groups_without_signal_are_skipped_and_change_nothing(tiny_llama, monkeypatch) -> None:
    advantages = ADVANTAGES.clone()
    advantages[:3] = 0  # the first group
    batch = make_batch()
    seen: list[int] = []
    original = Policy.logprobs

    def counted(self, part, temperature):
        if torch.is_grad_enabled():
            seen.append(len(part.prompts))
        return original(self, part, temperature)

    monkeypatch.setattr(Policy, "logprobs", counted)
    skipping, whole = (
        learner_of(tiny_llama, micro_batch_tokens=1),
        learner_of(tiny_llama, micro_batch_tokens=1),
    )
    whole._with_signal = lambda batch, advantages, groups: list(groups)
    for _ in range(2):  # twice: AdamW's moments must agree, too
        run(skipping, batch, advantages)
        run(whole, batch, advantages)
    assert seen.count(1) == 2 * (1 + 3)  # row 3 is a group of its own, without signal, too
    for left, right in zip(weights(skipping).values(), weights(whole).values(), strict=True):
        assert torch.allclose(left, right, atol=1e-7)


def test_a_batch_without_any_signal_only_lets_the_moments_decay(tiny_llama) -> None:
    learner = learner_of(tiny_llama)
    before = weights(learner)
    measured = run(learner, make_batch(), torch.zeros(8))
    assert measured["grad_norm"] == 0
    assert all(torch.equal(before[name], now) for name, now in weights(learner).items())
    empty = dataclasses.replace(make_batch(), mask=torch.zeros_like(make_batch().mask))
    run(learner, empty, ADVANTAGES)
    assert all(torch.isfinite(now).all() for now in weights(learner).values())


def test_update_raises_what_was_better_and_lowers_what_was_worse(tiny_llama) -> None:
    learner = learner_of(tiny_llama)
    batch = make_batch()
    advantages = torch.tensor([1.0, 0, -1.0, 0, 1.0, -1.0, 0, 0])
    before = on_policy(learner, batch).sampler_logprobs.sum(1)
    run(learner, batch, advantages)
    change = on_policy(learner, batch).sampler_logprobs.sum(1) - before
    assert (change[advantages > 0] > 0).all()
    assert (change[advantages < 0] < 0).all()


def test_one_update_has_ratio_one_and_several_do_not(tiny_llama) -> None:
    single = run(learner_of(tiny_llama), make_batch(), ADVANTAGES)
    assert single["ratio_max"] == 1
    assert single["clip_ratio/low_mean"] == single["clip_ratio/high_mean"] == 0
    twice = run(learner_of(tiny_llama), make_batch(), ADVANTAGES, plan=[[0, 1, 2], [2, 0, 1]])
    assert twice["ratio_max"] > 1


def test_old_logprobs_are_those_before_the_first_update(tiny_llama, monkeypatch) -> None:
    """Two updates on one batch: the second's ratio is against the policy that sampled, not against itself."""
    learner = learner_of(tiny_llama, clip_ratio=0.9)
    batch = on_policy(learner, make_batch())
    seen: list[torch.Tensor] = []
    import stateset.rl.policy.learner as module

    original = module.POLICY_LOSSES["ppo_clip"]

    def spy(logprobs, old, *rest):
        seen.append(old.clone())
        return original(logprobs, old, *rest)

    monkeypatch.setitem(module.POLICY_LOSSES, "ppo_clip", spy)
    learner.micro_batches.max_tokens = 10**9
    learner.update(batch, ADVANTAGES + 0.01, [[0, 1, 2], [0, 1, 2]], [RATE] * 2)
    assert len(seen) == 2
    for old in seen:
        assert torch.allclose(old, batch.sampler_logprobs, atol=1e-5)


def test_kl_is_against_the_policy_that_entered(tiny_llama) -> None:
    learner = learner_of(tiny_llama, use_kl_loss=True, kl_loss_coef=0.0)
    first = run(learner, make_batch(), ADVANTAGES)
    second = run(learner, make_batch(), ADVANTAGES)
    assert first["kl"] == pytest.approx(0, abs=1e-9)
    assert second["kl"] > 1e-6


@pytest.mark.parametrize("lora", [None, 4], ids=["full", "lora"])
def test_kl_pulls_back_to_the_reference(tiny_llama, lora) -> None:
    learner = learner_of(
        tiny_llama, lora_rank=lora, use_kl_loss=True, kl_loss_coef=5.0, lora=lora is not None
    )
    with torch.no_grad():
        for name, parameter in learner.policy.trainable().items():
            if lora is None or "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    values = [run(learner, make_batch(), torch.zeros(8))["kl"] for _ in range(6)]
    assert values[0] > 1e-3
    assert values[-1] < values[0]


def test_rollout_correction_weighs_by_the_bounded_ratio(tiny_llama, monkeypatch) -> None:
    learner = learner_of(tiny_llama)
    learner.exact_sampler = False
    learner._sampler_checked = True
    batch = on_policy(learner, make_batch())
    advantages = torch.zeros(8)
    advantages[4] = 1.0
    plain = _losses(learner, batch, advantages)
    for shift, factor in ((-0.3, torch.tensor(-0.3).exp()), (5.0, 2.0)):
        shifted = dataclasses.replace(batch, sampler_logprobs=batch.sampler_logprobs - shift * batch.mask)
        assert _losses(learner, shifted, advantages) == pytest.approx(plain * float(factor), rel=1e-4)


def _losses(learner: Learner, batch: Batch, advantages: torch.Tensor) -> float:
    return learner.update(batch, advantages, [[0, 1, 2]], [1e-12])["loss"]


def test_a_sampler_that_disagrees_stops_the_run(tiny_llama) -> None:
    learner = learner_of(tiny_llama)
    before = weights(learner)
    batch = on_policy(learner, make_batch())
    wrong = dataclasses.replace(batch, sampler_logprobs=batch.sampler_logprobs * 1.3)
    with pytest.raises(TrainingError, match="sampler"):
        learner.update(wrong, ADVANTAGES, [[0, 1, 2]], [RATE])
    assert all(torch.equal(before[name], now) for name, now in weights(learner).items())


def test_bf16_keeps_float32_masters(tiny_llama) -> None:
    learner = learner_of(tiny_llama, "bf16")
    learner.optimizer.max_grad_norm = 0
    name, parameter = next(iter(learner.policy.trainable().items()))
    master = learner.optimizer.masters[name]
    assert (parameter.dtype, master.dtype) == (torch.bfloat16, torch.float32)
    start = parameter.detach().clone()
    for _ in range(3):  # each far below what bf16 can show beside the weight
        master.grad = torch.ones_like(master)
        learner.optimizer.step(1e-5)
    assert torch.allclose(start.float() - master, torch.full_like(master, 3e-5), rtol=0.02, atol=1e-6)
    assert torch.equal(parameter, master.bfloat16())


def test_clipping_scales_the_gradient_to_the_norm(tiny_llama) -> None:
    learner = learner_of(tiny_llama)
    for master in learner.optimizer.masters.values():
        master.grad = torch.ones_like(master)
    count = sum(m.numel() for m in learner.optimizer.masters.values())
    name = next(iter(learner.optimizer.masters))
    assert learner.optimizer.step(0.0) == pytest.approx(count**0.5, rel=1e-5)
    moment = learner.optimizer.adamw.state[learner.optimizer.masters[name]]["exp_avg"]
    assert torch.allclose(moment, torch.full_like(moment, 0.1 / count**0.5), rtol=1e-4)


def test_state_survives_a_round_trip(tiny_llama) -> None:
    learner = learner_of(tiny_llama, "bf16", use_kl_loss=True)
    run(learner, make_batch(), ADVANTAGES)
    twin = learner_of(tiny_llama, "bf16", use_kl_loss=True)
    twin.load_state_tensors({k: v.clone() for k, v in learner.state_tensors().items()})
    for one in (learner, twin):
        run(one, make_batch(seed=3), ADVANTAGES)
    assert all(
        torch.equal(a, b) for a, b in zip(weights(learner).values(), weights(twin).values(), strict=True)
    )


def test_optimizer_steps_take_accumulated_mini_batches() -> None:
    assert optimizer_steps([4, 2, 0, 1, 3], 2, 1) == [[4, 2], [0, 1], [3]]
    assert optimizer_steps([4, 2, 0, 1, 3], 2, 2) == [[4, 2, 0, 1], [3]]


def test_learning_rate_by_hand() -> None:
    def rates(schedule: str) -> list[float]:
        return [learning_rate_at(s, peak=8.0, warmup=2, total=6, schedule=schedule) for s in range(6)]

    assert rates("constant") == [4, 8, 8, 8, 8, 8]
    assert rates("linear") == [4, 8, 8, 6, 4, 2]
    assert rates("cosine") == pytest.approx([4, 8, 8, 4 + 4 * 0.5**0.5, 4, 4 - 4 * 0.5**0.5])


def test_fp16_on_a_cpu_names_bf16() -> None:
    with pytest.raises(ConfigError, match="bf16"):
        resolve_dtype("fp16", torch.device("cpu"))


def test_only_chosen_tokens_of_scorable_groups_are_in_the_mask() -> None:
    rollout = Rollout(
        sample=0,
        text="",
        token_ids=(4, 5, 6),
        loss_mask=(1, 0, 1),
        sampler_logprobs=(-1.0, 0.0, -2.0),
        stop_reason="stop",
    )
    group = RolloutGroup(task=Task(id="a", prompt=""), prompt_ids=(1,), rollouts=(rollout, rollout))
    batch = Batch.from_groups([group, group])
    assert batch.mask.tolist() == [[1, 0, 1]] * 4
    kept = batch.masked(torch.tensor([True, True, False, False]))
    assert kept.mask.tolist() == [[1, 0, 1]] * 2 + [[0, 0, 0]] * 2
    assert kept.token_ids.tolist() == batch.token_ids.tolist()


def test_loss_by_hand_in_every_mode(tiny_llama) -> None:
    """On-policy the loss of a token is -A, whatever the model says."""
    batch = make_batch()
    advantages, lengths = ADVANTAGES.double(), batch.lengths.double()
    expected = {
        "token-mean": -(advantages * lengths).sum() / lengths.sum(),
        "seq-mean-token-sum": -(advantages * lengths).sum() / 7,  # the last row is empty
        "seq-mean-token-mean": -advantages[:7].sum() / 7,
        "seq-mean-token-sum-norm": -(advantages * lengths).sum() / (7 * 12),
    }
    for mode, value in expected.items():
        measured = run(learner_of(tiny_llama, loss_agg_mode=mode), batch, ADVANTAGES)
        assert measured["loss"] == pytest.approx(float(value), rel=1e-5)


def test_entropy_bonus_lowers_the_loss_and_raises_entropy(tiny_llama) -> None:
    learner = learner_of(tiny_llama, entropy_coef=0.5)
    first = run(learner, make_batch(), torch.zeros(8))
    assert first["loss"] == pytest.approx(-0.5 * first["entropy"], rel=1e-4)
    for _ in range(4):
        last = run(learner, make_batch(), torch.zeros(8))
    assert last["entropy"] > first["entropy"] + 0.01


def test_nan_behind_the_end_reaches_nothing(tiny_llama) -> None:
    learner = learner_of(tiny_llama)
    learner.exact_sampler = False
    batch = on_policy(learner, make_batch())
    behind = batch.mask == 0
    spoiled = dataclasses.replace(
        batch, sampler_logprobs=batch.sampler_logprobs.masked_fill(behind, float("nan"))
    )
    measured = learner.update(spoiled, ADVANTAGES, [[0, 1, 2]], [RATE])
    assert all(value == value for value in measured.values())
    assert all(torch.isfinite(now).all() for now in weights(learner).values())


def test_fp16_scales_the_loss_and_skips_an_overflow(tiny_llama) -> None:
    policy = policy_of(tiny_llama)
    for parameter in policy.module.parameters():
        parameter.data = parameter.data.half()
    learner = Learner(policy, make_config({"rollout_n": 2, "batch_size": 3}), exact_sampler=False)
    learner.optimizer.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)  # the default finds its way down
    before = weights(learner)
    measured = run(learner, make_batch(), ADVANTAGES)
    exact = run(learner_of(tiny_llama), make_batch(), ADVANTAGES)
    assert measured["grad_norm"] == pytest.approx(exact["grad_norm"], rel=0.05)
    after = weights(learner)
    assert any(not torch.equal(before[name], now) for name, now in after.items())
    scale = learner.optimizer.scaler.get_scale()
    run(learner, make_batch(), ADVANTAGES * 1e6)
    assert learner.optimizer.scaler.get_scale() == scale / 2
    assert all(torch.equal(after[name], now) for name, now in weights(learner).items())


def test_an_interrupted_update_leaves_no_gradient(tiny_llama, monkeypatch) -> None:
    learner = learner_of(tiny_llama, micro_batch_tokens=1)
    batch = on_policy(learner, make_batch())
    original, calls = Policy.logprobs, []

    def interrupted(self, part, temperature):
        calls.append(part)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, part, temperature)

    monkeypatch.setattr(Policy, "logprobs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learner.update(batch, ADVANTAGES, [[0, 1, 2]], [RATE])
    assert all(master.grad is None for master in learner.optimizer.masters.values())


def test_a_sampler_of_nan_stops_the_run(tiny_llama) -> None:
    learner = learner_of(tiny_llama)
    batch = make_batch()
    spoiled = dataclasses.replace(batch, sampler_logprobs=torch.full_like(batch.mask, float("nan")))
    with pytest.raises(TrainingError, match="sampler"):
        learner.update(spoiled, ADVANTAGES, [[0, 1, 2]], [RATE])


def test_empty_responses_train_nothing(tiny_llama) -> None:
    learner = learner_of(tiny_llama, use_kl_loss=True)
    before = weights(learner)
    empty = make_batch(prompts=(5, 7), responses=((0, 0), (0,)))
    learner.update(empty, torch.tensor([1.0, -1.0, 0.5]), [[0, 1]], [RATE])
    assert all(torch.equal(before[name], now) for name, now in weights(learner).items())


class HalfModel:
    """Two fp16 weights."""

    device, dtype = torch.device("cpu"), torch.float16

    def __init__(self) -> None:
        self.weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float16))

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        return {"weight": self.weight}


def half_optimizer() -> tuple[HalfModel, PolicyOptimizer]:
    model = HalfModel()
    return model, PolicyOptimizer(model, betas=(0.9, 0.99), weight_decay=0.0, max_grad_norm=0.0)


def test_the_loss_scale_of_fp16_survives_a_checkpoint() -> None:
    model, optimizer = half_optimizer()
    optimizer.backward((model.weight * 1e4).sum())  # beyond fp16 once it is scaled
    optimizer.step(RATE)
    assert (model.weight == 1).all(), "a step with an overflow is left out"
    optimizer.backward(model.weight.sum())
    optimizer.step(RATE)
    saved = {name: tensor.clone() for name, tensor in optimizer.state_tensors().items()}
    assert saved["loss_scale"].tolist() == [2.0**15, 1], "halved by the overflow; one good step since"
    other, resumed = half_optimizer()
    resumed.load_state_tensors(saved)
    for one, by in ((model, optimizer), (other, resumed)):
        by.backward(one.weight.sum())
        by.step(RATE)
    assert resumed.state_tensors()["loss_scale"].tolist() == [2.0**15, 2]
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(optimizer.masters["weight"], resumed.masters["weight"])
