"""Counted randomness: each draw depends on its key (run seed, step, task, sample, ...) and nothing else.

A token is drawn by one uniform number: the first token whose cumulative probability exceeds it. So in
float32 a response is the same whatever else is in its batch; in bf16 another shape may round otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 512


def sample_seed(run_seed: int, purpose: str, step: int, task_id: str, sample: int, turn: int = 0) -> int:
    """A 64-bit seed for one response: the hash of its key."""
    key = "\x1f".join(map(str, (run_seed, purpose, step, task_id, sample, turn)))
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


def permutation(length: int, seed: int) -> list[int]:
    """A permutation of range(length) that depends on `seed` alone."""
    order: list[int] = np.random.Generator(np.random.Philox(key=seed)).permutation(length).tolist()
    return order


def uniforms(seeds: Sequence[int], num_tokens: int) -> Tensor:
    """[B, T] float32 numbers in [0, 1), one a row and token; row b depends on `seeds[b]` alone."""
    rows = [
        np.random.Generator(np.random.Philox(key=seed)).random(num_tokens, dtype=np.float32) for seed in seeds
    ]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, num_tokens)


def draw(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """One token a row.

    Args:
        logits: [B, V] float32.
        uniform: [B] in [0, 1).
        temperature: divides the logits; 0 takes the most likely token (log-probability then at temperature
        1).
    Returns:
        Token ids [B] int64 and their log-probabilities [B] float32, temperature included.
    """
    scaled = logits / temperature if temperature not in (0, 1) else logits
    # [B, V] is large: as few passes over it as can be
    probabilities = scaled.softmax(-1)
    ids = logits.argmax(-1) if temperature == 0 else _invert(probabilities, uniform)
    return ids, probabilities.gather(-1, ids[:, None])[:, 0].log()


def _invert(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The inverse of the cumulative distribution, in two levels: a sum a block, then one block."""
    rows, vocabulary = probabilities.shape
    padded = F.pad(probabilities, (0, -vocabulary % _BLOCK)).view(rows, -1, _BLOCK)
    exact = torch.float32 if padded.device.type == "mps" else torch.float64  # mps has no float64
    upto = F.pad(padded.sum(-1).to(exact).cumsum(-1), (1, 0))
    target = uniform.to(exact) * upto[:, -1]
    block = (upto[:, 1:] <= target[:, None]).sum(-1).clamp_(max=padded.shape[1] - 1)
    chosen = torch.arange(rows, device=probabilities.device)
    inside = padded[chosen, block].to(exact).cumsum(-1)
    offset = (inside <= (target - upto[chosen, block])[:, None]).sum(-1).clamp_(max=_BLOCK - 1)
    ids = (block * _BLOCK + offset).clamp_(max=vocabulary - 1)
    # rounding at the far end of a block could point behind the last token that has any probability
    possible = probabilities[chosen, ids] > 0
    return ids if bool(possible.all()) else torch.where(possible, ids, probabilities.argmax(-1))
