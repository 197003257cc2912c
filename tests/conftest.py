"""Small real models of each architecture, made once a session: random weights, a character tokenizer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

CHARACTERS = [chr(c) for c in range(32, 127)]
SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }} {{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
SHAPE = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "vocab_size": len(CHARACTERS) + len(SPECIAL),
    "max_position_embeddings": 512,
    "pad_token_id": 97,
    "eos_token_id": 97,
    "bos_token_id": 96,
    "tie_word_embeddings": True,
}
ARCHITECTURES = ("llama", "qwen2", "qwen3", "mistral", "gemma3")


@pytest.fixture(autouse=True)
def _private_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own aliases."""
    monkeypatch.setenv("STATESET_RL_HOME", str(tmp_path_factory.mktemp("home")))


def write_tokenizer(folder: Path, template: str | None = TEMPLATE) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate([*CHARACTERS, *SPECIAL])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=" "))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<|im_end|>", eos_token="<|im_end|>", bos_token="<|im_start|>"
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def write_model(
    folder: Path,
    architecture: str = "llama",
    *,
    seed: int = 0,
    scale: float = 6.0,
    template: str | None = TEMPLATE,
    **shape: object,
) -> Path:
    """A folder that `load_policy` loads."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {**SHAPE, **shape}
    if architecture == "gemma3":
        settings |= {"sliding_window": 512, "query_pre_attn_scalar": 12}
    name = "gemma3_text" if architecture == "gemma3" else architecture
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **settings), dtype=torch.float32)
    with (
        torch.no_grad()
    ):  # the default initialisation makes every distribution flat; a trained model's is not
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(scale)
    model.save_pretrained(folder)
    write_tokenizer(folder, template)
    return folder


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """architecture -> folder."""
    root = tmp_path_factory.mktemp("models")
    return {name: write_model(root / name, name) for name in ARCHITECTURES}


@pytest.fixture(scope="session")
def tiny_llama(tiny_models: dict[str, Path]) -> Path:
    return tiny_models["llama"]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a file of this text and returns where it lies."""

    def write_file(text: str, name: str = "run.yaml") -> Path:
        file = tmp_path / name
        file.write_text(text)
        return file

    return write_file
