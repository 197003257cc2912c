"""No dead key: each setting, flipped in every mode that allows it, shows an effect or is refused.

An effect is a change in any file of the run, the weights, how often the model ran, or how a part was set up.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from conftest import write_model

from stateset.rl.config.schema import Config
from stateset.rl.errors import StatesetRLError
from stateset.rl.policy.policy import Policy
from stateset.rl.rewards.first_trial import Doubt
from stateset.rl.trainer import GRPOTrainer

ROWS = [{"id": str(i), "prompt": f"hello {i}", "pass_rate": i / 6} for i in range(6)]
MODES: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"lora": True},
    "kl": {"use_kl_loss": True, "ppo_epochs": 2, "mini_batch_size": 4, "kl_loss_coef": 0.1},
}
# key -> another value than the one of BASE; a value that needs the file system is made in `flips`
FLIPS: dict[str, Any] = {
    "reward": "trainer_rewards:count_marked",
    "objective": "be kind",
    "seed": 1,
    "device": "cuda",
    "dtype": "bf16",
    "mixed_precision": "fp16",
    "gradient_checkpointing": True,
    "micro_batch_tokens": 10_000,
    "rollout_engine": "vllm",
    "rollout_server": "http://127.0.0.1:1",
    "distributed": True,
    "num_gpus": 2,
    "strategy": "ddp",
    "lora": True,
    "lora_rank": 3,
    "lora_alpha": 5,
    "learning_rate": 3e-3,
    "betas": [0.5, 0.9],
    "weight_decay": 0.3,
    "max_grad_norm": 1e-4,
    "warmup_steps": 3,
    "schedule": "linear",
    "rollout_n": 4,
    "batch_size": 3,
    "epochs": 2,
    "max_steps": 2,
    "max_minutes": 1e-9,
    "mini_batch_size": 2,
    "ppo_epochs": 3,
    "gradient_accumulation_steps": 2,
    "temperature": 0.7,
    "max_prompt_length": 5,
    "max_response_length": 5,
    "adv_estimator": "rloo",
    "norm_adv_by_std": False,
    "clip_ratio": 1e-6,
    "clip_ratio_low": 1e-6,
    "clip_ratio_high": 1e-6,
    "clip_ratio_dual": 1.0001,
    "use_kl_loss": True,
    "kl_loss_coef": 1.0,
    "kl_loss_type": "abs",
    "loss_agg_mode": "seq-mean-token-sum",
    "entropy_coef": 0.1,
    "loss": "reinforce",
    "kl_placement": "reward",
    "kl_importance": True,
    "gamma": 0.5,
    "max_cost": 1e-9,
    "price_per_hour": 1.0,
    "dynamic_sampling": True,
    "max_gen_batches": 1,
    "retire_pass_rate": 0.1,
    "target_pass_rate": 0.5,
    "mask_truncated": True,
    "overlong_buffer": 8,
    "overlong_penalty": 0.1,
    "lam": 0.5,
    "critic_learning_rate": 1e-2,
    "value_clip": 1e-3,
    "reward_timeout_seconds": 7.0,
    "reward_check": False,
    "eval_every": 1,
    "save_every": 3,
    "keep_checkpoints": 3,  # 1 is as good as 2: two always stay
    "warm_start": {"rows": "x"},
}
FROM_FILES = {"model", "dataset", "eval_dataset", "eval_reward", "verifier", "output_dir"}
# A clip cannot bind with one optimizer step a rollout batch: (key, mode) without an effect.
SILENT = {
    (key, mode)
    for key in ("clip_ratio", "clip_ratio_low", "clip_ratio_high", "clip_ratio_dual")
    for mode in ("full", "lora")
}


def base(folder: Path, out: Path) -> dict[str, Any]:
    return {
        "model": str(folder), "reward": "trainer_rewards:parts_marked", "output_dir": str(out),
        "rollout_n": 2, "batch_size": 2, "max_response_length": 8, "learning_rate": 1e-2,
        "device": "cpu", "dtype": "fp32",
        "micro_batch_tokens": 1, "warmup_steps": 0, "save_every": 1, "keep_checkpoints": 2,
    }  # fmt: skip


@pytest.fixture
def observe(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function from settings to everything that a run with them shows."""
    forwards: list[int] = []
    original = Policy.logprobs

    def counted(self: Policy, batch: Any, temperature: float) -> Any:
        forwards.append(len(batch.prompts))
        return original(self, batch, temperature)

    monkeypatch.setattr(Policy, "logprobs", counted)
    tried: list[str] = []
    monkeypatch.setattr(
        "stateset.rl.trainer.refuse_useless", lambda scorer, tasks: tried.append(scorer.name) or Doubt()
    )
    monkeypatch.chdir(Path(__file__).parent)

    def run(name: str, **settings: Any) -> dict[str, Any]:
        forwards.clear()
        tried.clear()
        settings = base(tiny_llama, tmp_path / name) | settings
        try:
            trainer = GRPOTrainer(config=settings)
            rows = None if "dataset" in settings else ROWS
            held_out = None if "eval_dataset" in settings else [{"prompt": "good day"}]
            trainer.train(rows, eval_dataset=held_out)
        except StatesetRLError as error:
            return {"refused": str(error).replace(name, "")}
        out = Path(settings["output_dir"])
        seen: dict[str, Any] = {"forwards": list(forwards), "where": str(out.parent.relative_to(tmp_path))}
        for file in sorted(out.rglob("*")):
            if file.is_file() and file.name not in (
                "manifest.json",
                "timings.jsonl",
                "config.resolved.yaml",
                "origin.json",  # the settings themselves
                "logs.json",  # how long the timings are
                "MANIFEST.json",  # hashes of these
                ".lock",
            ):
                data = file.read_bytes().replace(str(out).encode(), b"OUT")
                seen[str(file.relative_to(out))] = hashlib.sha256(data).hexdigest()
        seen["checkpointing"] = any(
            getattr(m, "gradient_checkpointing", False) for m in trainer.policy.module.modules()
        )
        seen["tried"] = list(tried)
        seen["timeout"] = trainer.scorer.timeout_seconds
        return seen

    return run


def test_every_key_has_a_flip() -> None:
    assert set(Config.model_fields) == set(FLIPS) | FROM_FILES


def test_the_same_settings_look_the_same(observe: Any) -> None:
    assert observe("one") == observe("two")


def _modes() -> list[Any]:
    return [pytest.param(mode, marks=[] if mode == "kl" else pytest.mark.slow) for mode in MODES]


@pytest.mark.parametrize("mode", _modes())
def test_each_key_acts_or_is_refused(observe: Any, mode: str) -> None:
    before = observe("before", **MODES[mode])
    assert "refused" not in before
    dead = []
    for key, value in FLIPS.items():
        settings = MODES[mode] | {key: value}
        if settings == MODES[mode]:
            settings[key] = not value
        after = observe(f"flip-{key}", **settings)
        if after == before and (key, mode) not in SILENT:
            dead.append(key)
    assert dead == []


def test_keys_that_name_files_act(observe: Any, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
    before = observe("before")
    assert observe("model", model=str(write_model(tmp_path / "other", seed=9))) != before
    assert observe("dataset", dataset=str(rows)) != before
    assert observe("held-out", eval_dataset=str(rows)) != before
    assert observe("reward", eval_reward="trainer_rewards:count_marked") != before
    assert "refused" in observe("unverified", reward="trainer_rewards:right")
    assert "refused" not in observe(
        "verified", reward="trainer_rewards:right", verifier="trainer_rewards:even"
    )
    assert observe("out", output_dir=str(tmp_path / "deep" / "er"))["where"] == "deep"
