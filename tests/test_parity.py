"""The cause of a gap between sampler and trainer: each usual one is planted and named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from test_policy_forward import make_batch

from stateset.rl.config.load import make_config
from stateset.rl.errors import TrainingError
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.load import load_policy
from stateset.rl.policy.parity import explain_gap
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import Sampling
from stateset.rl.rollout.native import NativeEngine
from stateset.rl.types import Task

TEMPERATURE = 0.7


def sampled(policy: Policy) -> Batch:
    """Responses drawn by the real engine, so that they are likely ones."""
    engine = NativeEngine(policy)
    engine.load_weights(policy)
    sampling = Sampling(temperature=TEMPERATURE, max_tokens=24, stop_ids=frozenset())
    groups = collect_groups(
        engine, policy, [Task(id="t", prompt="hello there")], num_samples=8, sampling=sampling,
        max_prompt_length=64, run_seed=0, purpose="test",
    )  # fmt: skip
    return Batch.from_groups(groups)


@pytest.fixture(params=[None, 4], ids=["full", "lora"])
def policy(request: pytest.FixtureRequest, tiny_llama: Path) -> Policy:
    torch.manual_seed(0)
    loaded = load_policy(str(tiny_llama), device="cpu", dtype="fp32", lora_rank=request.param)
    with torch.no_grad():  # away from uniform, and with an adapter that does something
        for name, parameter in loaded.trainable().items():
            parameter.add_(torch.randn_like(parameter) * (0.3 if "lora" in name else 0.05))
    return loaded


def reported(policy: Policy, batch: Batch, temperature: float) -> Batch:
    with torch.no_grad():
        logprobs, _ = policy.logprobs(batch, temperature)
    return dataclasses.replace(batch, sampler_logprobs=logprobs)


def test_the_temperature_is_named(policy: Policy) -> None:
    wrong = reported(policy, sampled(policy), 1.0)
    assert "they fit temperature 1, and 0.7 was asked for" in explain_gap(policy, wrong, TEMPERATURE)


def test_a_cut_off_distribution_is_named(policy: Policy) -> None:
    batch = sampled(policy)
    kept = 0.4  # of the probability; what is left is divided by it
    logprobs = reported(policy, batch, TEMPERATURE).sampler_logprobs - torch.tensor(kept).log()
    wrong = dataclasses.replace(batch, sampler_logprobs=logprobs * batch.mask)
    assert "top-p" in explain_gap(policy, wrong, TEMPERATURE)


def test_a_coarser_precision_is_named(policy: Policy) -> None:
    batch = reported(policy, sampled(policy), TEMPERATURE)
    noise = torch.randn(batch.mask.shape, generator=torch.Generator().manual_seed(0)) * 0.2
    wrong = dataclasses.replace(batch, sampler_logprobs=(batch.sampler_logprobs + noise) * batch.mask)
    assert "coarser precision" in explain_gap(policy, wrong, TEMPERATURE)


def test_a_forgotten_adapter_is_named(tiny_llama: Path) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32", lora_rank=4)
    batch = sampled(policy)  # with B = 0 the adapter does nothing yet
    with torch.no_grad():
        for name, parameter in policy.trainable().items():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    assert "without its adapter" in explain_gap(policy, batch, TEMPERATURE)


def test_other_weights_are_named(policy: Policy) -> None:
    batch = sampled(policy)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    assert "the engine has other weights" in explain_gap(policy, batch, TEMPERATURE)


def test_a_run_that_is_stopped_says_why(tiny_llama: Path) -> None:
    config: dict[str, Any] = {"rollout_n": 2, "device": "cpu", "dtype": "fp32", "temperature": TEMPERATURE}
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    learner = Learner(policy, make_config(config), exact_sampler=True)
    wrong = reported(policy, make_batch(), 1.0)
    advantages = torch.linspace(-1, 1, len(wrong.groups))
    with pytest.raises(TrainingError, match=r"they fit temperature 1, and 0\.7 was asked for"):
        learner.update(wrong, advantages, [[0, 1, 2]], [1e-3])
