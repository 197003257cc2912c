"""A model's files: safetensors and JSON only, every weight of them, and no code of its repository.

What others wrote is read here, by libraries that fail in a hundred ways: each becomes one error that names
the file and says what to do. A missing weight would be filled up with random numbers, and a NaN would spread
to every other, so both are refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from stateset.rl.errors import ModelError

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_CONVERT = (
    'python -c "import sys, transformers as t; old, new = sys.argv[1:]; '
    "t.AutoModelForCausalLM.from_pretrained(old, use_safetensors=False).save_pretrained(new); "
    't.AutoTokenizer.from_pretrained(old).save_pretrained(new)" {folder} {folder}-safe'
)
_CONVERT_ADAPTER = (
    'python -c "import sys, torch, safetensors.torch as s; old, new = sys.argv[1:]; '
    's.save_file(torch.load(old, weights_only=True), new)" {folder}/adapter_model.bin '
    "{folder}/adapter_model.safetensors"
)


def read_model(
    name: str, tokenizer_from: str, offline: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model in float32, and its tokenizer.

    Args:
        name: a folder or hub id.
        tokenizer_from: the folder or hub id of the tokenizer.
        offline: names that need neither, for the message.

    Raises:
        ModelError: anything wrong with the files.
    """
    transformers_logging.disable_progress_bar()
    for place in {name, tokenizer_from}:
        _check_files(Path(place))
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_from, trust_remote_code=False)
    except Exception as error:  # whatever transformers and tokenizers make of files that others wrote
        raise ModelError(
            f"cannot load model '{name}': {cause(error)}. Give a folder with config.json and safetensors, a "
            f"hub id that this machine can reach, or an offline name ({offline})"
        ) from error
    module, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"the files of model '{name}' lack {len(missing)} of its weights, such as {missing[0]}, which "
            "would be random: download it again, or give a model for text generation"
        )
    return module, tokenizer


def refuse_non_finite(module: nn.Module, name: str) -> None:
    """Raises a ModelError where a weight is NaN or infinite: every probability would be NaN."""
    for key, parameter in module.named_parameters():
        if not torch.stack(torch.aminmax(parameter.detach())).isfinite().all():
            raise ModelError(
                f"the weights of model '{name}' hold NaN or infinity, in {key} for one: take an earlier "
                "save, or download it again"
            )


def cause(error: Exception) -> str:
    """What an error of a library says, in a line."""
    said = str(error)
    if "ignore_mismatched_sizes" in said:
        return "its weights have other shapes than its config.json says, as the report above shows"
    if "custom code" in said:
        return "it needs code of its own repository, which is never run here"
    lines = [line.strip() for line in said.splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1]).rstrip(".")[:300]


def _check_files(folder: Path) -> None:
    """Refuse a local folder whose weights are pickled only, or whose JSON or safetensors are broken."""
    weights = sorted(folder.glob("*.safetensors"))
    pickled = [file for kind in _PICKLES for file in sorted(folder.glob(kind))]
    if pickled and not weights:
        command = _CONVERT_ADAPTER if (folder / "adapter_config.json").is_file() else _CONVERT
        raise ModelError(
            f"{pickled[0]} is a pickle, which can run code when it is read, so it is not read here: convert "
            f"it with\n  {command.format(folder=folder)}"
        )
    for file in sorted(folder.glob("*.json")):
        read_json(file)
    for file in weights:
        try:
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{file} is damaged or no safetensors file ({cause(error)}): download or save it again"
            ) from error


def read_json(file: Path) -> Any:
    """A JSON file of a model.

    Raises:
        ModelError: it is none.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ModelError(
            f"{file}{line} is no JSON ({cause(error)}): correct it, or download it again"
        ) from error
