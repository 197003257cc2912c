"""Tells one set of weights from another: a checkpoint of an adapter does not hold its base model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from stateset.rl.policy.policy import Policy


def frozen_sha256(policy: Policy) -> str | None:
    """SHA-256 over names and bytes of the weights that training does not change; None without any."""
    frozen = {n: p for n, p in policy.module.named_parameters() if not p.requires_grad}
    return _sha256(frozen) if frozen else None


def weights_sha256(policy: Policy) -> str:
    """SHA-256 over names and bytes of all weights, as they are in memory."""
    return _sha256(dict(policy.module.named_parameters()))


def _sha256(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, parameter in weights.items():
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}\n".encode())
        digest.update(parameter.detach().reshape(-1).view(torch.uint8).cpu().numpy().data)
    return digest.hexdigest()
