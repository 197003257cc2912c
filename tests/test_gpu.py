"""The same code on a CUDA device: shared prefix, sampler against trainer, a run that learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_policy_forward import make_batch
from trainer_rewards import count_e

from stateset.rl.policy.forward import plain_logprobs, shared_logprobs
from stateset.rl.policy.load import load_policy
from stateset.rl.trainer import GRPOTrainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_shared_prefix_equals_plain_rows(tiny_llama: Path) -> None:
    policy = load_policy(str(tiny_llama), device="cuda", dtype="fp32")
    batch = make_batch().to(policy.device)
    with torch.no_grad():
        shared, _ = shared_logprobs(policy.module, policy.head, batch, 0.7)
        plain, _ = plain_logprobs(policy.module, policy.head, batch, 0.7)
    assert torch.allclose(shared, plain, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"dtype": "fp32"}, {"dtype": "bf16"}, {"mixed_precision": "fp16"}, {"dtype": "bf16", "lora": True}],
)
def test_a_run_learns_and_its_sampler_agrees(
    tiny_llama: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    seen = []
    config = {
        "rollout_n": 4, "batch_size": 4, "max_response_length": 10, "learning_rate": 1e-3, "epochs": 8,
        "device": "cuda", "warmup_steps": 0, "output_dir": str(tmp_path / "run"), **settings,
    }  # fmt: skip
    rows = [{"prompt": f"hello {i}"} for i in range(8)]
    GRPOTrainer(str(tiny_llama), count_e, config, on_step=seen.append).train(rows)
    assert seen[0].values["sampler/mean_gap"] < 0.1
    assert sum(m.avg_reward for m in seen[-4:]) > sum(m.avg_reward for m in seen[:4])
