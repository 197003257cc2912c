"""What an update computed with, kept so that it can be computed again with other settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stateset.rl.policy.batch import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """What is known of a rollout batch [B, T] before its optimizer steps, and not changed by them.

    `old` are the policy's before the first step (None: one step alone, whose own forward gives them),
    `reference` the reference's (None: there is none, or the KL is over whole distributions), `values` the
    critic's estimates (None: there is no critic).
    """

    old: Tensor | None = None
    reference: Tensor | None = None
    values: Tensor | None = None


@dataclass(frozen=True, slots=True)
class UpdateTrace:
    """One optimizer step: its groups, and the policy's log-probabilities [B, T] in it, NaN where skipped.

    `entropy` [B, T] is what an entropy bonus saw; None: there is none.
    """

    groups: tuple[int, ...]
    logprobs: Tensor
    entropy: Tensor | None = None


def trace_lines(
    batch: Batch,
    advantages: Tensor,
    fixed: Fixed,
    updates: Sequence[UpdateTrace],
    given: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The trace of one step as plain values, one list a response: first what was fixed, then each update.

    Args:
        batch: B responses; the mask that trained.
        advantages: [B, T].
        fixed: what was known before.
        updates: the optimizer steps, in order.
        given: plain values that acted and stand in no other file of the run.
    """
    before = {
        "advantages": advantages,
        "old": fixed.old,
        "reference": fixed.reference,
        "values": fixed.values,
    }
    first: dict[str, Any] = {"mask": [row[:n] for row, n in _rows(batch, batch.mask.int())]}
    first["given"] = dict(given)
    first |= {name: _cut(batch, tensor) for name, tensor in before.items() if tensor is not None}
    return [
        first,
        *({"groups": list(u.groups), "logprobs": _cut(batch, u.logprobs)} for u in updates),
    ]


def _cut(batch: Batch, values: Tensor) -> list[list[float] | None]:
    """Each response's values without the padding, None for a response with a NaN; exact for float32."""
    return [
        None if any(map(math.isnan, row[:n])) else [float(f"{value:.9g}") for value in row[:n]]
        for row, n in _rows(batch, values)
    ]


def _rows(batch: Batch, values: Tensor) -> list[tuple[list[Any], int]]:
    return list(zip(values.tolist(), batch.lengths.tolist(), strict=True))
