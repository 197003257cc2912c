"""Tells one model from another: its weights, and the texts that decide what they are asked and say.

A checkpoint of an adapter does not hold its base model, nor any of tokenizer and chat template.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stateset.rl.manifest import fingerprint, to_json
from stateset.rl.policy.policy import Policy


def frozen_sha256(policy: Policy) -> str | None:
    """SHA-256 over names and bytes of the weights that training does not change; None without any."""
    frozen = {n: p for n, p in policy.module.named_parameters() if not p.requires_grad}
    return _sha256(frozen) if frozen else None


def weights_sha256(policy: Policy) -> str:
    """SHA-256 over names and bytes of all weights, as they are in memory."""
    return _sha256(dict(policy.module.named_parameters()))


def text_facts(policy: Policy) -> dict[str, Any]:
    """Hashes of tokenizer and chat template, and the tokens that end an answer."""
    return {
        "tokenizer": _tokenizer_sha256(policy),
        "chat_template": _text_sha256(policy.tokenizer.chat_template),
        "stop_ids": sorted(policy.stop_ids),
    }


def texts_sha256(policy: Policy) -> str:
    """SHA-256 over `text_facts`: the same weights under another template are another model."""
    return fingerprint([to_json(text_facts(policy))])


def _tokenizer_sha256(policy: Policy) -> str | None:
    """Of how text becomes tokens; None for one that is written in Python alone."""
    backend: Any = getattr(policy.tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    found = json.loads(backend.to_str())
    return _text_sha256({key: found[key] for key in found if key not in ("padding", "truncation")})


def _text_sha256(value: Any) -> str | None:
    return None if value is None else fingerprint([json.dumps(value)])


def _sha256(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, parameter in weights.items():
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}\n".encode())
        digest.update(parameter.detach().reshape(-1).view(torch.uint8).cpu().numpy().data)
    return digest.hexdigest()
