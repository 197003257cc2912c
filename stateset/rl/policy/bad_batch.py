"""An optimizer step whose loss or gradient is not finite: left out, and explained by what spoiled it.

No weight and no moment changes in such a step. What is looked at is what the step computed with, in the order
in which it came to be: the first number that is not finite names the cause. Not done: repairing a batch, or
dropping only the response that is at fault, which would train on another distribution than was sampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stateset.rl.errors import TrainingError
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.optimizer import NonFiniteError
from stateset.rl.types import RolloutGroup

MOST_IN_A_ROW = 3
RATIO = "log-ratio to the policy before the step"  # only the largest is known, never one that is not finite
GRADIENT = "gradient"
TRY = {
    "advantage": "look at the reward of that response",
    "return": "look at the reward of that response",
    "sampler's log-probability": "look at the rollout engine and its precision",
    RATIO: "lower learning_rate, or take fewer ppo_epochs",
}
TRY_ELSE = "lower learning_rate, or set dtype: fp32 to see whether precision is the cause"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadBatch:
    """What one optimizer step would have learned from.

    Attributes:
        of: whose step it was: "policy", "critic" or "warm start".
        loss: of the step.
        grad_norm: of the step; NaN where the loss was reason enough.
        rows: the responses that it computed, by their index in the batch.
        what: the first number that is not finite, a key of `numbers` or `GRADIENT`.
        where: its row and token; None for a gradient.
        detail: its value, or the name of the parameter.
        numbers: by name, one list a row of `rows`, a number a token.
    """

    of: str
    loss: float
    grad_norm: float
    rows: tuple[int, ...]
    what: str
    where: tuple[int, int] | None
    detail: str
    numbers: Mapping[str, list[list[float]]]

    def cause(self, groups: Sequence[RolloutGroup]) -> str:
        """What goes on a sentence that begins with the step; `groups` are those of the whole batch."""
        name, value = ("gradient norm", self.grad_norm) if math.isfinite(self.loss) else ("loss", self.loss)
        if self.where is None:
            what = f"every number of the batch is finite, the {GRADIENT} of {self.detail} is not"
        else:
            row, token = self.where
            task, rollout = _responses(groups)[row]
            size = "largest " if self.what == RATIO else ""
            what = (
                f"the {size}{self.what} of token {token} (id {rollout.token_ids[token]}) in sample "
                f"{rollout.sample} of task {task!r} is {self.detail}"
            )
        return f"its {name} is {value}: {what}"

    def lines(
        self, groups: Sequence[RolloutGroup], rewards: Sequence[float | None] | None = None
    ) -> list[dict[str, Any]]:
        """The batch as plain values: first the cause, then one line a response."""
        head = {"of": self.of, "cause": self.cause(groups), "loss": self.loss, "grad_norm": self.grad_norm}
        found: list[dict[str, Any]] = [{name: _plain(value) for name, value in head.items()}]
        known = _responses(groups)
        for place, row in enumerate(self.rows):
            task, rollout = known[row]
            line = {"task": task, "sample": rollout.sample, "text": rollout.text}
            line |= {"token_ids": rollout.token_ids, "reward": rewards[row] if rewards else None}
            numbers = {name: [_plain(v) for v in values[place]] for name, values in self.numbers.items()}
            found.append(line | numbers)
        return found


def explain(
    of: str, error: NonFiniteError, batch: Batch, groups: Sequence[int], numbers: Mapping[str, Tensor | None]
) -> BadBatch:
    """Find what spoiled an optimizer step.

    Args:
        of: whose step it was.
        error: what the optimizer said.
        batch: B responses.
        groups: those that the step computed.
        numbers: [B, T] each, in the order in which they came to be; None is left out.
    """
    rows = batch.rows_of(groups) if groups else batch.groups[:0]
    known = {name: values[rows] for name, values in numbers.items() if values is not None}
    inside = batch.mask[rows] != 0
    what, place, detail = (
        _first(known, inside) or _by_ratio(known, inside, error) or (GRADIENT, None, error.where)
    )
    lengths = batch.lengths[rows].tolist()
    return BadBatch(
        of=of,
        loss=error.loss,
        grad_norm=error.norm,
        rows=tuple(rows.tolist()),
        what=what,
        where=None if place is None else (int(rows[place[0]]), place[1]),
        detail=detail,
        numbers={
            name: [row[:n] for row, n in zip(values.tolist(), lengths, strict=True)]
            for name, values in known.items()
        },
    )


def refuse_more(in_a_row: int, bad: Sequence[BadBatch], groups: Sequence[RolloutGroup], folder: Path) -> None:
    """End the run where too many steps in a row were left out.

    Raises:
        TrainingError: it says what to try.
    """
    if in_a_row < MOST_IN_A_ROW:
        return
    last = bad[-1]
    raise TrainingError(
        f"{in_a_row} optimizer steps in a row were left out, and changed no weight. Of the last, "
        f"{last.cause(groups)}. Try: {TRY.get(last.what, TRY_ELSE)}; then resume the run from its last "
        f"checkpoint. The batches are in {folder}"
    )


Place = tuple[int, int]


def _first(known: Mapping[str, Tensor], inside: Tensor) -> tuple[str, Place | None, str] | None:
    for name, values in known.items():
        places = torch.nonzero(inside & ~torch.isfinite(values)).tolist()
        if places:
            row, token = places[0]
            return name, (row, token), str(float(values[row, token]))
    return None


def _by_ratio(
    known: Mapping[str, Tensor], inside: Tensor, error: NonFiniteError
) -> tuple[str, Place | None, str] | None:
    """The largest log-ratio, where the loss is not finite and every number in it is."""
    now, before = known.get("log-probability"), known.get("old log-probability")
    if math.isfinite(error.loss) or now is None or before is None or not inside.any():
        return None
    ratio = torch.where(inside, now - before, 0.0)
    row, token = divmod(int(ratio.abs().argmax()), ratio.shape[1])
    return RATIO, (row, token), f"{float(ratio[row, token]):.4g}"


def _responses(groups: Sequence[RolloutGroup]) -> list[tuple[str, Any]]:
    return [(group.task.id, rollout) for group in groups for rollout in group.rollouts]


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinities: they are written as words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
