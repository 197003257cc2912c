"""A project that trains in seconds, for those who have none at hand: random weights, letters as tokens."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from stateset.rl.config.load import load_config
from stateset.rl.config.schema import Config

_CHARACTERS = [chr(code) for code in range(32, 127)]
_END = "<|end|>"
_REWARD = '''from stateset.rl import reward


@reward
def early(response: str) -> float:
    """The share of letters before P."""
    return sum(letter < "P" for letter in response) / (1 + len(response))
'''
_SETTINGS = """model: model
dataset: rows.jsonl
eval_dataset: rows.jsonl
eval_every: 3
reward: reward:early
device: cpu
dtype: fp32
epochs: 4
rollout_n: 4
batch_size: 4
max_response_length: 12
learning_rate: 0.01
use_kl_loss: true
"""


def tiny_project(folder: Path, overrides: list[str]) -> Config:
    """Write the project into a folder and read its settings, with overrides."""
    folder.mkdir(parents=True)
    _write_model(folder / "model")
    rows = [json.dumps({"prompt": f"Say {letter}.", "reply": letter.upper()}) for letter in "abcdefghijkl"]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "reward.py").write_text(_REWARD, encoding="utf-8")
    (folder / "project.yaml").write_text(_SETTINGS, encoding="utf-8")
    return load_config(folder / "project.yaml", overrides=[f"model={folder / 'model'}", *overrides])


def _write_model(folder: Path) -> None:
    vocabulary = {token: number for number, token in enumerate([*_CHARACTERS, _END])}
    shape = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True,
        pad_token_id=vocabulary[_END], eos_token_id=vocabulary[_END], bos_token_id=vocabulary[_END],
        initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(shape).save_pretrained(folder)
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=" "))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=_END, eos_token=_END).save_pretrained(folder)
