"""Several ranks against one process: gradients, metrics, trace, and what each decides."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import on_ranks
from test_policy_forward import make_batch
from test_policy_learner import ADVANTAGES, on_policy
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from stateset.rl.config.load import make_config
from stateset.rl.errors import ConfigError, RewardError
from stateset.rl.policy.distributed import World
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.load import load_policy
from stateset.rl.policy.policy import Policy

GROUPS = ((17, 5, 30, 9), ((7, 1), (3, 12), (9, 9), (4, 0)))  # tokens of prompts and of their responses
MODES: dict[str, dict[str, Any]] = {
    "kl and entropy": {"use_kl_loss": True, "kl_loss_coef": 0.1, "entropy_coef": 0.01},
    "several updates": {"ppo_epochs": 2, "mini_batch_size": 4, "loss_agg_mode": "seq-mean-token-mean"},
    "kl in the reward": {"use_kl_loss": True, "kl_placement": "reward"},
    "critic": {"adv_estimator": "gae", "critic_learning_rate": 1e-3},
}


def join(size: int) -> World:
    return World.join(make_config({"distributed": True, "num_gpus": size, "device": "cpu"}))


def float64_norm(self: LlamaRMSNorm, hidden: torch.Tensor) -> torch.Tensor:
    """The model's own rounds to float32 on the way."""
    return self.weight * hidden * (hidden.square().mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()


def update(
    folder: Path, settings: dict[str, Any], dtype: str, size: int = 1, most_rows: int | None = None
) -> dict[str, Any]:
    """One update of a recorded batch: the gradients that the optimizer was handed, and what is told of it."""
    world = join(size) if size > 1 else World()
    config = make_config(
        {"rollout_n": 2, "batch_size": 4, "max_response_length": 12, "max_grad_norm": 1e9, **settings}
    )
    policy = load_policy(str(folder), device="cpu", dtype="fp32")
    if dtype == "fp64":
        for parameter in policy.module.parameters():
            parameter.data = parameter.data.double()
        for module in policy.module.modules():
            if isinstance(module, LlamaRMSNorm):
                module.forward = partial(float64_norm, module)
    learner = Learner(policy, config, exact_sampler=True, world=world)
    learner.micro_batches.max_rows = most_rows
    gradients: list[torch.Tensor] = []

    def seen(adamw: torch.optim.AdamW, *_: Any) -> None:
        grads = [p.grad for group in adamw.param_groups for p in group["params"]]
        gradients.append(torch.cat([grad.double().flatten() for grad in grads]))

    learner.optimizer.adamw.register_step_pre_hook(seen)
    batch, plan = on_policy(learner, make_batch(*GROUPS)), [[0, 1, 2, 3]]
    if "ppo_epochs" in settings:
        plan = [[2, 0], [1, 3], [1, 2], [3, 0]]
    rates = [1e-3] * len(plan)
    fixed = learner.before(batch, len(plan))
    told = learner.update(batch, ADVANTAGES, plan, rates, fixed)
    if learner.critic is not None:
        learner.critic.optimizer.adamw.register_step_pre_hook(seen)
        told |= learner.update_critic(batch, ADVANTAGES[:, None] * batch.mask, fixed, plan, rates)
    world.refuse_drift(list(learner.optimizer.masters.values()))
    return {
        "gradients": [gradient.numpy() for gradient in gradients],
        "told": told,
        "trace": [one.logprobs.numpy() for one in learner.trace],
        "fixed": [
            values.numpy() for values in (fixed.old, fixed.reference, fixed.values) if values is not None
        ],
    }


def near(one: list[Any], other: list[Any], tolerance: float) -> None:
    assert len(one) == len(other) > 0
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(
            torch.as_tensor(left), torch.as_tensor(right), rtol=0, atol=tolerance, equal_nan=True
        )


@pytest.mark.parametrize("size", [2, 3])
def test_gradient_of_one_recorded_batch_is_the_same_on_several_ranks(tiny_llama: Path, size: int) -> None:
    settings = MODES["kl and entropy"]
    alone = update(tiny_llama, settings, "fp64")["gradients"]
    assert abs(alone[0]).max() > 1e-3
    for one in on_ranks(size, update, tiny_llama, settings, "fp64", size):
        near(one["gradients"], alone, 1e-10 * abs(alone[0]).max())


@pytest.mark.parametrize("most_rows", [1, 2, None])
def test_gradient_of_one_recorded_batch_is_the_same_in_every_micro_batch(
    tiny_llama: Path, most_rows: int | None
) -> None:
    """One response, two responses and all eight at a time, against group by group."""
    settings = MODES["kl and entropy"]
    groups = update(tiny_llama, settings, "fp64")["gradients"]
    parts = update(tiny_llama, settings | {"micro_batch_tokens": 10**6}, "fp64", most_rows=most_rows)
    near(parts["gradients"], groups, 1e-10 * abs(groups[0]).max())


@pytest.mark.parametrize("mode", MODES)
def test_an_update_is_the_same_on_two_ranks(tiny_llama: Path, mode: str) -> None:
    """Every optimizer step's gradient, every metric, every log-probability of the trace."""
    alone = update(tiny_llama, MODES[mode], "fp32")
    for one in on_ranks(2, update, tiny_llama, MODES[mode], "fp32", 2):
        near(one["gradients"], alone["gradients"], 1e-5)
        near(one["trace"], alone["trace"], 1e-5)
        near(one["fixed"] or [0.0], alone["fixed"] or [0.0], 1e-5)
        assert one["told"] == pytest.approx(alone["told"], rel=1e-4, abs=1e-6)


def spoiled(folder: Path, size: int) -> tuple[dict[str, float], bool, int]:
    """An update in which one group's advantage is infinite: on one rank alone, where there are two."""
    world = join(size) if size > 1 else World()
    config = make_config({"rollout_n": 2, "batch_size": 4, "max_response_length": 12})
    learner = Learner(
        load_policy(str(folder), device="cpu", dtype="fp32"), config, exact_sampler=True, world=world
    )
    before = {name: master.detach().clone() for name, master in learner.optimizer.masters.items()}
    advantages = ADVANTAGES.clone()
    advantages[2] = torch.inf
    told = learner.update(on_policy(learner, make_batch(*GROUPS)), advantages, [[0, 1, 2, 3]], [1e-3])
    same = all(torch.equal(before[name], now) for name, now in learner.optimizer.masters.items())
    return {"bad": told["bad_batches"]}, same, learner.skipped_in_a_row


def test_a_step_that_one_rank_spoils_is_left_out_on_all(tiny_llama: Path) -> None:
    alone = spoiled(tiny_llama, 1)
    assert alone == ({"bad": 1.0}, True, 1)
    assert on_ranks(2, spoiled, tiny_llama, 2) == [alone, alone]


def short_of_memory(folder: Path, size: int = 1) -> dict[str, Any]:
    """The same update where the last rank has memory for one response at a time."""
    logprobs, small = Policy.logprobs, os.environ.get("RANK") == str(size - 1)

    def allocate(self: Policy, batch: Any, temperature: float) -> Any:
        if small and torch.is_grad_enabled() and len(batch.lengths) > 1:
            raise torch.OutOfMemoryError
        return logprobs(self, batch, temperature)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Policy, "logprobs", allocate)
        return update(folder, {}, "fp32", size)


def test_memory_that_runs_out_on_one_rank_changes_nothing(tiny_llama: Path) -> None:
    alone = update(tiny_llama, {}, "fp32")
    for one in on_ranks(2, short_of_memory, tiny_llama, 2):
        near(one["gradients"], alone["gradients"], 1e-5)
        assert one["told"] == pytest.approx(alone["told"], rel=1e-4, abs=1e-6)


def exchange() -> dict[str, Any]:
    world = join(3)
    shared = torch.full((4,), torch.nan)
    shared[world.rank] = world.rank
    return {
        "map": world.map(list("abcdefg"), lambda mine: [item * 2 for item in mine]),
        "few": world.map(["a"], lambda mine: [f"{world.rank}{item}" for item in mine]),
        "lead": world.lead(lambda: world.rank),
        "gather": world.gather({"rank": world.rank, "nan": float("nan"), "odd": "\ud800é"}),
        "total": world.total(0.5 + world.rank),
        "largest": world.largest(world.rank, -world.rank),
        "fill": world.fill(shared).tolist(),
    }


def test_what_ranks_exchange() -> None:
    for one in on_ranks(3, exchange):
        assert one["map"] == ["aa", "bb", "cc", "dd", "ee", "ff", "gg"]
        assert (one["few"], one["lead"], one["total"], one["largest"]) == (["0a"], 0, 4.5, (2, 0))
        assert [given["rank"] for given in one["gather"]] == [0, 1, 2]
        assert all(given["odd"] == "\ud800é" and given["nan"] != given["nan"] for given in one["gather"])
        assert one["fill"][:3] == [0, 1, 2]
        assert one["fill"][3] != one["fill"][3]


def failing(error: type[Exception]) -> None:
    world = join(2)

    def work(items: Any) -> list[int]:
        if world.rank == 1:
            raise error("no such column")
        return [0]

    world.map([1, 2], work)


def test_an_error_of_one_rank_is_raised_on_all() -> None:
    assert on_ranks(2, failing, RewardError) == ["RewardError: no such column"] * 2
    assert on_ranks(2, failing, ValueError) == [
        "TrainingError: rank 1: ValueError: no such column", "ValueError: no such column",
    ]  # fmt: skip


def drifted() -> None:
    join(2).refuse_drift([torch.zeros(3), torch.tensor([1.0, torch.finfo().eps * join(2).rank])])


def left_alone() -> None:
    world = join(2)
    if world.rank == 0:
        world.gather(0)


def test_ranks_that_differ_or_leave_are_noticed() -> None:
    assert all("TrainingError: the ranks hold different weights" in one for one in on_ranks(2, drifted))
    assert "LostRankError: another process of this run ended" in on_ranks(2, left_alone)[0]


def test_alone_nothing_is_exchanged() -> None:
    world, items = World(), [3, 4]
    assert world.map(items, list) is not items
    assert world.share(items) is items
    assert world.lead(lambda: {1}) == {1}
    assert (world.total(2.0), world.largest(1, 2), world.gather("x")) == (2.0, (1, 2), ["x"])


def test_processes_that_settings_know_nothing_of_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "4")
    for settings in ({}, {"distributed": True, "num_gpus": 2}):
        with pytest.raises(ConfigError, match=r"4 processes were started.*num_gpus: 4"):
            World.join(make_config(settings))
