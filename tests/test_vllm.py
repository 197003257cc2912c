"""vLLM as the rollout engine: `make test-vllm`, in an environment of its own."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from trainer_rewards import count_e

from stateset.rl.config.load import make_config
from stateset.rl.errors import ModelError
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.load import load_configured
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import Sampling
from stateset.rl.rollout.model import Model
from stateset.rl.rollout.vllm import VLLMEngine
from stateset.rl.rollout.vllm_server import VLLMServerEngine
from stateset.rl.trainer import GRPOTrainer
from stateset.rl.types import RolloutGroup, Task

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]
TASKS = [Task(id=str(i), prompt=f"Write {i + 2} words about rain.") for i in range(3)]
TEMPERATURE = 0.8
BF16_MEAN = 0.1  # as the trainer asks of a bf16 sampler


Engine = VLLMEngine | VLLMServerEngine
SETTINGS = {
    "full": {"device": "cpu", "dtype": "bf16"},
    "lora": {"device": "cpu", "dtype": "bf16", "lora": True},
}


@pytest.fixture(scope="module", params=["full", "lora", "full, server", "lora, server"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Policy, Engine]]:
    kind, _, server = request.param.partition(", ")
    policy = load_configured("smollm2-135m", make_config(SETTINGS[kind]))
    if not server:
        yield policy, VLLMEngine(policy, max_length=256, enforce_eager=True)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = [f"{key}={str(value).lower()}" for key, value in SETTINGS[kind].items()]
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("stateset-rl"), "rollout-server", "model=smollm2-135m",
            "max_prompt_length=200", "max_response_length=56", *settings, f"--port={port}",
            "--", "--enforce-eager",
        ],
        env=os.environ | {"STATESET_RL_TRACEBACK": "1"},
    )  # fmt: skip
    try:
        yield policy, wait_for(process, policy, f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_for(process: subprocess.Popen[bytes], policy: Policy, url: str) -> VLLMServerEngine:
    for _ in range(600):
        assert process.poll() is None, "the server ended"
        try:
            httpx.get(f"{url}/health").raise_for_status()
            return VLLMServerEngine(policy, url, max_length=256)
        except httpx.HTTPError:
            time.sleep(1)
    raise AssertionError("the server does not answer")


def sample(policy: Policy, engine: Any, **changes: Any) -> list[RolloutGroup]:
    settings = {"temperature": TEMPERATURE, "max_tokens": 24, "stop_ids": policy.stop_ids} | changes
    return collect_groups(
        engine, policy, TASKS, num_samples=4, sampling=Sampling(**settings), max_prompt_length=200,
        run_seed=0, purpose="test",
    )  # fmt: skip


def gap(policy: Policy, groups: list[RolloutGroup], temperature: float = TEMPERATURE) -> float:
    """Mean |sampler - trainer| over the sampled tokens."""
    batch = Batch.from_groups(groups)
    with torch.no_grad():
        logprobs, _ = policy.logprobs(batch, temperature)
    return float((logprobs - batch.sampler_logprobs)[batch.mask != 0].abs().mean())


def test_log_probabilities_are_those_of_the_distribution_drawn_from(pair: tuple[Policy, Engine]) -> None:
    policy, engine = pair
    engine.load_weights(policy)
    groups = sample(policy, engine)
    assert gap(policy, groups) < BF16_MEAN
    assert gap(policy, groups, temperature=1.0) > 2 * BF16_MEAN, "the temperature is in them"
    assert sample(policy, engine) == groups, "the seeds decide"
    texts = {rollout.text for group in groups for rollout in group.rollouts}
    assert len(texts) > 6


def test_a_response_ends_with_its_stop_token(pair: tuple[Policy, Engine]) -> None:
    policy, engine = pair
    [group, *_] = sample(policy, engine, temperature=0.0, max_tokens=4)
    assert all(r.stop_reason == "length" or r.token_ids[-1] in policy.stop_ids for r in group.rollouts)
    stop = group.rollouts[0].token_ids[1]
    [group, *_] = sample(policy, engine, temperature=0.0, max_tokens=4, stop_ids=frozenset({stop}))
    assert group.rollouts[0].stop_reason == "stop"
    assert group.rollouts[0].token_ids[-1] == stop
    assert len(group.rollouts[0].sampler_logprobs) == len(group.rollouts[0].token_ids) <= 2


def test_new_weights_reach_every_layer_and_the_cached_prompts(pair: tuple[Policy, Engine]) -> None:
    policy, engine = pair
    before = {name: p.detach().clone() for name, p in policy.trainable().items()}
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.add_(torch.randn_like(parameter) * (0.05 if policy.adapter else 0.003))
        if not policy.adapter:  # the tied output layer, of which vLLM packs a copy on a CPU
            policy.module.get_input_embeddings().weight.mul_(1.15)
    stale = gap(policy, sample(policy, engine))
    engine.load_weights(policy)
    fresh = gap(policy, sample(policy, engine))
    assert fresh < BF16_MEAN
    assert stale > 2 * fresh
    with torch.no_grad():
        for name, parameter in policy.trainable().items():
            parameter.copy_(before[name])


def test_a_response_of_other_weights_is_refused(pair: tuple[Policy, Engine]) -> None:
    policy, engine = pair
    engine.load_weights(policy)
    held = engine._weights
    engine._weights = "0123456789abcdef"  # as if an update had been lost on its way
    with pytest.raises(ModelError, match=f"{held}, not with 0123456789abcdef"):
        sample(policy, engine)
    engine._weights = held
    assert sample(policy, engine)


def test_a_run_trains_with_it(pair: tuple[Policy, Engine], tmp_path: Path) -> None:
    policy, engine = pair
    trainer = GRPOTrainer(
        model=Model(policy), reward_function=count_e, engine=engine,
        config={
            "rollout_n": 4, "batch_size": 2, "max_response_length": 16, "learning_rate": 1e-4,
            "warmup_steps": 0, "output_dir": str(tmp_path / "run"),
        },
    )  # fmt: skip
    seen: list[dict[str, float]] = []
    trainer.on_step = lambda metrics: seen.append(dict(metrics.values))
    trainer.train([{"prompt": task.prompt} for task in TASKS])
    assert len(seen) == 2
    assert all(0 < values["sampler/mean_gap"] < BF16_MEAN for values in seen), seen


def test_a_project_file_asks_for_it(tmp_path: Path) -> None:
    trainer = GRPOTrainer(
        model="smollm2-135m", reward_function=count_e,
        config={
            "rollout_engine": "vllm", "device": "cpu", "dtype": "bf16", "rollout_n": 2, "batch_size": 1,
            "max_prompt_length": 64, "max_response_length": 16, "output_dir": str(tmp_path / "run"),
        },
    )  # fmt: skip
    trainer.train([{"prompt": "Write two words about rain."}])
    assert isinstance(trainer.engine, VLLMEngine)


def test_a_server_that_cannot_be_used_is_refused(pair: tuple[Policy, Engine]) -> None:
    policy, engine = pair
    with pytest.raises(ModelError, match=r"http://127.0.0.1:1 does not answer.*rollout-server"):
        VLLMServerEngine(policy, "http://127.0.0.1:1", max_length=256)
    if isinstance(engine, VLLMServerEngine):
        with pytest.raises(ModelError, match=r"takes 256 tokens.*--max-model-len 4096"):
            VLLMServerEngine(policy, engine.url, max_length=4096)
