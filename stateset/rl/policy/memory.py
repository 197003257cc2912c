"""What a process holds, has held at most, and how a model makes do with less."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch
from transformers import PreTrainedModel


def peak_bytes(device: torch.device) -> int:
    """Most bytes that this process has held: on a GPU as tensors, else of the machine's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def held_bytes(device: torch.device) -> int:
    """Bytes held now, counted as `peak_bytes` does; the most so far where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    pages = Path("/proc/self/statm")
    return (
        int(pages.read_text().split()[1]) * resource.getpagesize() if pages.is_file() else peak_bytes(device)
    )


def recomputes_activations(module: PreTrainedModel) -> bool:
    """Whether activations are computed again in the backward pass instead of being kept."""
    renamed = hasattr(module, "is_activation_checkpointing")  # in transformers 5
    return bool(module.is_activation_checkpointing if renamed else module.is_gradient_checkpointing)


def recompute_activations(module: PreTrainedModel) -> bool:
    """Keep no activations from here on; whether that is new."""
    if recomputes_activations(module):
        return False
    if hasattr(module, "activation_checkpointing_enable"):
        module.activation_checkpointing_enable()
    else:
        module.gradient_checkpointing_enable()
    module.enable_input_require_grads()
    return True
