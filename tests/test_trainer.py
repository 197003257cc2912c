"""Whole runs on a tiny model: what is on disk, going on, stopping, resuming, what is refused at once."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from trainer_rewards import constant, count_a, count_e, parts, ran_code

import stateset.rl.checkpoint as checkpoint
from stateset.rl.checkpoint import list_checkpoints
from stateset.rl.config.load import make_config
from stateset.rl.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    ModelError,
    ModelNotTrainableError,
    RewardError,
    StoppedError,
)
from stateset.rl.policy.aliases import aliases
from stateset.rl.policy.load import load_policy
from stateset.rl.rollout.model import Model
from stateset.rl.rollout.native import NativeEngine
from stateset.rl.trainer import GRPOTrainer
from stateset.rl.verifiers.code import CodeVerifier

ROWS = [{"id": str(i), "prompt": f"hello {i}", "place": i} for i in range(8)]
HELD_OUT = [{"prompt": "good morning"}, {"prompt": "good night"}]
SETTINGS: dict[str, Any] = {
    "rollout_n": 4,
    "batch_size": 2,
    "max_response_length": 10,
    "learning_rate": 1e-3,
    "device": "cpu",
    "dtype": "fp32",
    "warmup_steps": 0,
}


def trainer(model: object, out: Path, reward: object = count_e, **settings: object) -> GRPOTrainer:
    keywords = {
        k: settings.pop(k) for k in ("on_step", "eval_reward_function", "engine", "verifier") if k in settings
    }
    config = {**SETTINGS, "output_dir": str(out), **settings}
    name = str(model) if isinstance(model, Path) else model
    return GRPOTrainer(model=name, reward_function=reward, config=config, **keywords)  # type: ignore[arg-type]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def weights_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def finished(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps with held-out evaluation and KL."""
    out = tmp_path_factory.mktemp("finished") / "run"
    one = trainer(
        tiny_llama, out, parts, use_kl_loss=True, eval_every=2, save_every=2, objective="say vowels"
    )
    one.train(ROWS, eval_dataset=HELD_OUT)
    return out


def test_run_directory_tells_everything(finished: Path) -> None:
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    metrics = lines(finished / "metrics.jsonl")
    assert [m["step"] for m in metrics] == [1, 2, 3, 4]
    assert {
        "reward",
        "reward_std",
        "kl",
        "entropy",
        "grad_norm",
        "loss",
        "learning_rate",
        "num_tokens",
    } <= set(metrics[0])
    assert {"rewards/vowels/mean", "clip_ratio/low_mean", "completions/clipped_ratio"} <= set(metrics[0])
    assert {"signal/all_wrong", "signal/all_right", "frac_reward_zero_std", "sampler/mean_gap"} <= set(
        metrics[0]
    )
    groups = lines(finished / "rollouts" / "step_00003.jsonl")
    assert len(groups) == 2
    responses = groups[0]["responses"]
    assert len(responses) == 4
    mean = sum(r["reward"] for r in responses) / 4
    std = math.sqrt(sum((r["reward"] - mean) ** 2 for r in responses) / 3)
    assert [r["advantage"] for r in responses] == pytest.approx(
        [(r["reward"] - mean) / (std + 1e-6) for r in responses]
    )
    assert [line["step"] for line in lines(finished / "eval" / "summary.jsonl")] == [0, 2, 4]
    assert [p.name for p in list_checkpoints(finished / "checkpoints")] == ["step_00002", "step_00004"]
    assert metrics[-1]["num_tokens"] > metrics[0]["num_tokens"] > 0
    assert metrics[-1]["epoch"] == 1


def test_model_folder_is_plain_transformers(finished: Path, tiny_llama: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(finished / "model")
    before = AutoModelForCausalLM.from_pretrained(tiny_llama)
    moved = [not torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True)]
    assert all(moved)
    assert AutoTokenizer.from_pretrained(finished / "model").chat_template
    lineage = json.loads((finished / "model" / "stateset_rl.json").read_text())
    assert (lineage["step"], lineage["objective"], lineage["base"]) == (4, "say vowels", str(tiny_llama))


def test_a_finished_train_is_tagged(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run").train(ROWS[:2])
    assert aliases() == {
        "base": str(tiny_llama),
        "grpo_trained": str((tmp_path / "run" / "model").absolute()),
    }


def test_metrics_and_weights_are_the_same_twice(finished: Path, tiny_llama: Path, tmp_path: Path) -> None:
    twin = tmp_path / "run"
    one = trainer(
        tiny_llama, twin, parts, use_kl_loss=True, eval_every=2, save_every=2, objective="say vowels"
    )
    one.train(data=ROWS, eval_dataset=HELD_OUT)
    assert (twin / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()
    assert (twin / "rollouts/step_00004.jsonl").read_bytes() == (
        finished / "rollouts/step_00004.jsonl"
    ).read_bytes()
    assert weights_hash(twin / "model") == weights_hash(finished / "model")


def test_reward_rises(tiny_llama: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    one = trainer(tiny_llama, tmp_path / "run", epochs=4, on_step=lambda m: seen.append(m.avg_reward))
    one.train(ROWS)
    assert sum(seen[-4:]) > 2 * sum(seen[:4])


def test_on_step_prints_as_documented(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = trainer(tiny_llama, tmp_path / "run", use_kl_loss=True)
    one.on_step = lambda metrics: print(
        f"Step {metrics.step}: {metrics.avg_reward:.3f} {metrics.reward_std:.3f} {metrics.kl_div:.4f} "
        f"{metrics.quality_score:.2%}"
    )
    one.train(ROWS[:2])
    out = capsys.readouterr().out.split()
    assert out[:2] == ["Step", "1:"]
    assert out[4] == "0.0000"
    assert 0 <= float(out[5].rstrip("%")) <= 100


def test_kl_is_nan_without_a_reference(tiny_llama: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    trainer(tiny_llama, tmp_path / "run", on_step=lambda m: seen.append(m.kl_div)).train(ROWS[:2])
    assert math.isnan(seen[0])
    assert f"{seen[0]:.4f}" == "nan"


def test_train_again_goes_on(tiny_llama: Path, tmp_path: Path) -> None:
    one = trainer(tiny_llama, tmp_path / "run", use_kl_loss=True, warmup_steps=3)
    first = one.train(ROWS)
    reference = {name: tensor.clone() for name, tensor in (one.learner.reference or {}).items()}
    again = one.train(ROWS[:4], epochs=2)
    assert again is first
    metrics = lines(tmp_path / "run" / "metrics.jsonl")
    assert [m["step"] for m in metrics] == list(range(1, 9))
    assert [m["learning_rate"] for m in metrics] == pytest.approx(
        [1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3] + [1e-3] * 4
    )
    assert one.learner.optimizer.adamw.state[next(iter(one.learner.optimizer.masters.values()))]["step"] == 8
    assert all(torch.equal(tensor, reference[name]) for name, tensor in (one.learner.reference or {}).items())


def test_reward_scale_scales_the_parameter_change(tiny_llama: Path, tmp_path: Path) -> None:
    """AdamW's first step is rate * g / (|g| + eps), so the change shows the rate."""
    changes = []
    for scale in (1.0, 0.5):
        one = trainer(tiny_llama, tmp_path / str(scale), max_grad_norm=1e9)
        start = {
            n: t.detach().clone()
            for n, t in load_policy(str(tiny_llama), device="cpu", dtype="fp32").trainable().items()
        }
        one.train(ROWS[:2], reward_scale=scale)
        events = one.run_path / "events.jsonl"
        told = events.read_text() if events.is_file() else ""
        assert (f"reward_scale {scale:g} multiplies the learning rate" in told) == (scale != 1)
        changes.append(sum(float((p.detach() - start[n]).norm()) for n, p in one.policy.trainable().items()))
    assert changes[1] == pytest.approx(0.5 * changes[0], rel=1e-3)


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    "settings",
    [{}, {"lora": True, "use_kl_loss": True}, {"dtype": "bf16", "ppo_epochs": 2, "mini_batch_size": 4}],
)
def test_a_resumed_run_ends_like_one_that_was_never_stopped(
    tiny_llama: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    trainer(tiny_llama, whole, epochs=2, **settings).train(ROWS, eval_dataset=HELD_OUT)

    def kill(metrics: Any) -> None:
        if metrics.step == 5:
            raise Killed

    with pytest.raises(Killed):
        trainer(tiny_llama, cut, epochs=2, save_every=2, on_step=kill, **settings).train(
            ROWS, eval_dataset=HELD_OUT
        )
    assert json.loads((cut / "manifest.json").read_text())["status"] == "failed"
    resumed = trainer(tiny_llama, cut, epochs=2, save_every=2, **settings)
    resumed.train(ROWS, eval_dataset=HELD_OUT, resume=cut)
    assert (cut / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert json.loads((cut / "manifest.json").read_text())["status"] == "finished"
    name = "adapter_model.safetensors" if settings.get("lora") else "model.safetensors"
    ours, theirs = load_file(cut / "model" / name), load_file(whole / "model" / name)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_resume_refuses_other_rows(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run").train(ROWS)
    with pytest.raises(CheckpointError, match="other rows"):
        trainer(tiny_llama, tmp_path / "run").train(ROWS[:3], resume=tmp_path / "run")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_after_the_step_with_a_checkpoint(
    tiny_llama: Path, tmp_path: Path, number: int, code: int
) -> None:
    one = trainer(
        tiny_llama, tmp_path / "run", on_step=lambda m: os.kill(os.getpid(), number) if m.step == 2 else None
    )
    with pytest.raises(StoppedError, match="resume=") as caught:
        one.train(ROWS)
    assert caught.value.exit_code == code
    assert [p.name for p in list_checkpoints(tmp_path / "run" / "checkpoints")] == ["step_00002"]
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "stopped"
    assert signal.getsignal(number) is not one


def test_a_signal_in_the_last_step_finds_the_run_finished(tiny_llama: Path, tmp_path: Path) -> None:
    def stop(metrics: Any) -> None:
        if metrics.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    trainer(tiny_llama, tmp_path / "run", on_step=stop).train(ROWS)  # 8 rows, 2 a step
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "finished"
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_a_full_disk_leaves_the_earlier_checkpoint(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    def fill(metrics: Any) -> None:
        if metrics.step == 3:
            monkeypatch.setattr(checkpoint, "save_file", full)

    trainer(tiny_llama, tmp_path / "run", save_every=2, on_step=fill).train(ROWS)
    warnings = [e["message"] for e in lines(tmp_path / "run" / "events.jsonl") if e["kind"] == "warning"]
    assert any("No space left on device" in w and "training goes on" in w for w in warnings)
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["step_00002"]
    monkeypatch.undo()
    trainer(tiny_llama, tmp_path / "run").train(ROWS, resume=tmp_path / "run")


def test_best_weights_follow_another_metric(tiny_llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    one = trainer(tiny_llama, out, count_e, eval_every=1, epochs=2, eval_reward_function=count_a)
    one.train(ROWS, eval_dataset=HELD_OUT)
    summary = lines(out / "eval" / "summary.jsonl")
    best = max(summary, key=lambda line: (line["reward"], -line["step"]))
    assert one.state.best_step == best["step"]
    assert json.loads((out / "best" / "stateset_rl.json").read_text())["step"] == best["step"]
    answers = [g["responses"][0] for g in lines(out / "eval" / f"step_{best['step']:05d}.jsonl")]
    assert best["reward"] == sum(a["text"].count("a") for a in answers) / 2


def test_health_warns_of_missing_signal(tiny_llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trainer(tiny_llama, out, constant, batch_size=8, epochs=6, reward_check=False).train(ROWS)
    warnings = [e["message"] for e in lines(out / "events.jsonl") if e["kind"] == "warning"]
    assert any("groups" in w and "Try:" in w for w in warnings)
    assert weights_hash(out / "model") == weights_hash(tiny_llama)


def test_a_model_object_and_own_engine(tiny_llama: Path, tmp_path: Path) -> None:
    calls: list[int] = []

    class Counting(NativeEngine):
        def generate(self, requests: Any, sampling: Any) -> Any:
            calls.append(len(requests))
            return super().generate(requests, sampling)

    model = Model(load_policy(str(tiny_llama), device="cpu", dtype="fp32"))
    one = trainer(model, tmp_path / "run", engine=Counting(model.policy))
    assert one.train(ROWS) is model
    assert calls == [2, 2, 2, 2]


def test_max_steps_and_max_minutes(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "a", max_steps=3).train(ROWS)
    assert len(lines(tmp_path / "a" / "metrics.jsonl")) == 3
    trainer(tiny_llama, tmp_path / "b", max_minutes=1e-9).train(ROWS)
    assert not (tmp_path / "b" / "metrics.jsonl").exists()
    assert weights_hash(tmp_path / "b" / "model") == weights_hash(tiny_llama)


def test_what_a_run_has_cost_counts_in_every_call_and_process(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run", max_steps=1).train(ROWS)
    one = trainer(tiny_llama, tmp_path / "run", max_cost=1e-9, price_per_hour=1.0)
    for resume in (tmp_path / "run", None):
        one.train(ROWS, resume=resume)
        assert one.recorder.limit_seconds == 0
    assert len(lines(tmp_path / "run" / "metrics.jsonl")) == 1


def test_gradient_checkpointing_trains_the_same(tiny_llama: Path, tmp_path: Path) -> None:
    for name, on in (("off", False), ("on", True)):
        trainer(
            tiny_llama, tmp_path / name, gradient_checkpointing=on, mixed_precision="bf16", dtype="auto"
        ).train(ROWS)
    off, on_ = (load_file(tmp_path / n / "model" / "model.safetensors") for n in ("off", "on"))
    assert all(torch.equal(off[key], on_[key]) for key in off)


def test_missing_model_or_reward_shows_the_lines(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reward_function="):
        GRPOTrainer(model="smollm2-135m").train(ROWS)
    with pytest.raises(ConfigError, match="model="):
        GRPOTrainer(reward_function=count_e, output_dir=str(tmp_path / "x")).train(ROWS)
    with pytest.raises(ConfigError, match="no rows to train on"):
        GRPOTrainer(model="smollm2-135m", reward_function=count_e).train()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "name", ["gpt-3.5-turbo", "openai/gpt-4o", "claude-3-opus", "gemini-1.5-pro", "o3-mini"]
)
def test_closed_models_are_refused_at_construction(name: str) -> None:
    with pytest.raises(ModelNotTrainableError, match="judge"):
        GRPOTrainer(model=name, reward_function=count_e)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distributed": True, "num_gpus": 4}, "this machine has 0 GPUs"),
        ({"batch_size": 3, "mini_batch_size": 6}, "mini_batch_size"),
        ({"rolout_n": 4}, "rollout_n"),
        ({"config": {"batch_size": 3}, "batch_size": 4}, "keep one"),
        ({"config": make_config({}), "batch_size": 4}, "overrides"),
    ],
)
def test_wrong_settings_are_refused_at_construction(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GRPOTrainer(model="smollm2-135m", reward_function=count_e, **settings)


def test_what_can_be_known_at_step_0_fails_at_step_0(tiny_llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(DataError, match=r"data\[1\].*'long' has \d+ tokens"):
        trainer(tiny_llama, out, max_prompt_length=60).train(
            [{"prompt": "hi"}, {"id": "long", "prompt": "x" * 99}]
        )
    with pytest.raises(ConfigError, match="fp16"):
        trainer(tiny_llama, out, dtype="auto", mixed_precision="fp16").train(ROWS)
    with pytest.raises(ConfigError, match="cuda"):
        trainer(tiny_llama, out, device="cuda").train(ROWS)
    with pytest.raises(ConfigError, match="eval_every"):
        trainer(tiny_llama, out, eval_every=3).train(ROWS)
    with pytest.raises(DataError, match="no rows"):
        trainer(tiny_llama, out).train([])
    assert not out.exists()


def test_a_reward_that_always_fails_ends_the_run(tiny_llama: Path, tmp_path: Path) -> None:
    def broken(response: str) -> float:
        raise ValueError("no such column")

    with pytest.raises(RewardError, match="no such column"):
        trainer(tiny_llama, tmp_path / "tried", broken).train(ROWS)
    assert not (tmp_path / "tried").exists(), "the short trial finds it before anything is loaded"
    with pytest.raises(RewardError, match="no such column"):
        trainer(tiny_llama, tmp_path / "run", broken, reward_check=False).train(ROWS)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "failed"


def test_one_model_serves_two_trainers(tiny_llama: Path, tmp_path: Path) -> None:
    model = Model(load_policy(str(tiny_llama), device="cpu", dtype="bf16"))
    for name in ("a", "b"):
        settings = {k: v for k, v in SETTINGS.items() if k != "dtype"} | {"output_dir": str(tmp_path / name)}
        GRPOTrainer(model=model, reward_function=count_e, config=settings).train(ROWS)
    fresh = Model(load_policy(str(tmp_path / "b" / "model"), device="cpu", dtype="bf16"))
    ask = {"prompt": "hello 1", "num_returns": 4, "max_new_tokens": 8}
    assert model.generate(**ask) == fresh.generate(**ask)


def test_a_given_engine_starts_with_the_weights_and_stays_with_the_model(
    tiny_llama: Path, tmp_path: Path
) -> None:
    adapter = trainer(tiny_llama, tmp_path / "lora", lora=True, dtype="bf16", learning_rate=0.05)
    adapter.train(ROWS)
    model = Model(load_policy(str(tmp_path / "lora" / "model"), device="cpu", dtype="bf16"))
    model.generate("hello", max_new_tokens=2)
    one = trainer(
        model, tmp_path / "run", engine=NativeEngine(model.policy), dtype="bf16", learning_rate=0.05
    )
    one.train(ROWS)
    again = Model(load_policy(str(tmp_path / "run" / "model"), device="cpu", dtype="bf16"))
    ask = {"prompt": "hello 1", "num_returns": 4, "max_new_tokens": 8}
    assert model.generate(**ask) == again.generate(**ask)


def test_best_starts_anew_with_other_held_out_rows(tiny_llama: Path, tmp_path: Path) -> None:
    one = trainer(tiny_llama, tmp_path / "run", lambda response: 100.0 + response.count("e"))
    one.train(ROWS[:2], eval_dataset=HELD_OUT)
    assert (one.state.best_reward or 0) >= 100
    one.train(ROWS[:2], eval_dataset=[{"prompt": "another"}], reward_function=count_e)
    assert (one.state.best_reward or 0) < 100
    assert [line["step"] for line in lines(tmp_path / "run" / "eval" / "summary.jsonl")] == [0, 1, 1, 2]


@pytest.mark.parametrize("settings", [{"use_kl_loss": True}, {"lora": True}, {"batch_size": 4}])
def test_resume_refuses_settings_that_do_not_fit(
    tiny_llama: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    trainer(tiny_llama, tmp_path / "run").train(ROWS)
    with pytest.raises(CheckpointError, match=r"(?i)resume (it )?with"):
        trainer(tiny_llama, tmp_path / "run", **settings).train(ROWS, resume=tmp_path / "run")


def test_rows_may_move_to_another_file_before_a_resume(tiny_llama: Path, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    trainer(tiny_llama, tmp_path / "run").train(tmp_path / "a.jsonl")
    resumed = trainer(tiny_llama, tmp_path / "run")
    resumed.train(tmp_path / "b.jsonl", resume=tmp_path / "run")
    assert resumed.state.step == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"lora": True}, "lora"), ({"dtype": "bf16"}, "dtype"), ({"gradient_checkpointing": True}, "grad")],
)
def test_loading_keys_beside_a_loaded_model_are_refused(
    tiny_llama: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    model = Model(load_policy(str(tiny_llama), device="cpu", dtype="fp32"))
    with pytest.raises(ConfigError, match=message):
        trainer(model, tmp_path / "run", **settings).train(ROWS)


def test_another_model_needs_another_trainer(tiny_llama: Path, tmp_path: Path) -> None:
    one = trainer(tiny_llama, tmp_path / "run")
    one.train(ROWS[:2])
    with pytest.raises(ConfigError, match="another GRPOTrainer"):
        one.train(ROWS[:2], model=str(tiny_llama))


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"epochs": -1}, {"reward_scale": -1.0}, {"reward_scale": math.nan}]
)
def test_numbers_of_a_call_are_checked(tiny_llama: Path, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        trainer(tiny_llama, tmp_path / "run").train(ROWS, **wrong)


def test_a_response_longer_than_the_context_is_named(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_response_length 600 leaves no room"):
        trainer(tiny_llama, tmp_path / "run", max_response_length=600).train(ROWS)


def test_the_newest_checkpoint_is_the_highest_number(tmp_path: Path) -> None:
    for step in (99_999, 100_000, 5):
        checkpoint.save_checkpoint(
            tmp_path, checkpoint.TrainerState(step=step), {"a": torch.zeros(1)}, keep=5
        )
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step_00005", "step_99999", "step_100000"]


def raises_on_the_seventh() -> Any:
    calls: list[str] = []

    def reward(response: str) -> float:
        calls.append(response)
        if len(calls) == 7:
            raise KeyError("seventh")
        return float(response.count("e"))

    return reward


def test_a_reward_that_raises_once_is_counted_and_shown(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run", raises_on_the_seventh(), reward_check=False).train(ROWS)
    notices = [e["message"] for e in lines(tmp_path / "run" / "events.jsonl") if e["kind"] == "notice"]
    assert sum("1 responses could not be scored" in n and "seventh" in n for n in notices) == 1
    metrics = lines(tmp_path / "run" / "metrics.jsonl")
    assert [m["rewards/unscored"] for m in metrics] == [1, 0, 0, 0]
    responses = [r for g in lines(tmp_path / "run" / "rollouts" / "step_00001.jsonl") for r in g["responses"]]
    assert (responses[6]["reward"], responses[6]["advantage"]) == (None, 0)


def test_what_a_resume_changes_is_recorded(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run", max_steps=2).train(ROWS)
    trainer(tiny_llama, tmp_path / "run", max_steps=3).train(ROWS, resume=tmp_path / "run")
    assert "max_steps: 3" in (tmp_path / "run" / "config.resolved.yaml").read_text()
    assert len(lines(tmp_path / "run" / "metrics.jsonl")) == 3


@pytest.mark.parametrize("damage", ["{", "[1]"])
def test_damaged_aliases_lose_no_model_and_are_not_written_anew(
    tiny_llama: Path, tmp_path: Path, damage: str
) -> None:
    """What `production` means stands in that file, too."""
    file = Path(os.environ["STATESET_RL_HOME"]) / "aliases.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(damage)
    trainer(tiny_llama, tmp_path / "run").train(ROWS[:2])
    assert (tmp_path / "run" / "model" / "config.json").is_file()
    assert any("not named" in e["message"] for e in lines(tmp_path / "run" / "events.jsonl"))
    assert file.read_text() == damage
    with pytest.raises(ModelError, match="is damaged"):
        GRPOTrainer(model="grpo_trained", reward_function=count_e, config=SETTINGS).train(ROWS[:2])


def test_an_unwritable_home_loses_no_model(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATESET_RL_HOME", "/dev/null/x")
    trainer(tiny_llama, tmp_path / "run").train(ROWS[:2])
    assert (tmp_path / "run" / "model" / "config.json").is_file()
    assert any("not named" in e["message"] for e in lines(tmp_path / "run" / "events.jsonl"))


def test_reward_std_over_steps_is_that_of_the_means(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run").train(ROWS)
    metrics = lines(tmp_path / "run" / "metrics.jsonl")
    means = [m["reward"] for m in metrics]
    middle = sum(means) / 4
    assert metrics[0]["reward_std_over_steps"] is None
    assert metrics[-1]["reward_std_over_steps"] == pytest.approx(
        math.sqrt(sum((m - middle) ** 2 for m in means) / 3)
    )


def test_an_occupied_folder_is_refused_before_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="other files"):
        trainer("no/such-model", tmp_path / "run").train(ROWS)


@pytest.mark.skipif(sys.platform != "linux", reason="the tier is Linux's")
@pytest.mark.parametrize("sandbox", ["linux", "unsafe-local"])
def test_the_sandbox_of_a_reward_stands_in_the_manifest(
    tiny_llama: Path, tmp_path: Path, sandbox: str
) -> None:
    verify = CodeVerifier(sandbox=sandbox, timeout_seconds=20.0)
    rows = [{"prompt": "add", "entry": "add", "tests": [{"args": [1, 2], "expected": 3}]}] * 2
    trainer(tiny_llama, tmp_path / "run", ran_code, max_steps=2, batch_size=1, verifier=verify).train(rows)
    [tier] = json.loads((tmp_path / "run" / "manifest.json").read_text())["sandbox"]
    assert tier.startswith(sandbox)
    events = tmp_path / "run" / "events.jsonl"
    said = sum("without a sandbox" in event["message"] for event in lines(events)) if events.exists() else 0
    assert said == (sandbox == "unsafe-local"), "at each start"
