"""What a reward returned, checked and made a `Score`, or a `RewardError` that names the sample."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stateset.rl.errors import RewardError
from stateset.rl.types import Score

LARGEST = 1e100  # the squares of larger rewards would leave float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a reward sees of one response, and what names it in messages; plain data that can travel."""

    task_id: str
    index: int
    prompt: str
    response: str
    context: Mapping[str, Any]

    def __str__(self) -> str:
        """Name the sample in a message, with the start of the response; that alone inside another reward."""
        start = self.response[:60] + ("…" if len(self.response) > 60 else "")
        named = f"task {self.task_id!r}, sample {self.index} (response {start!r})"
        return named if self.task_id else f"the response {start!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedScore(Score):
    """None because a part raised; where a reward says None by itself, a plain `Score` does."""


def to_score(value: object, name: str, sample: Sample) -> Score:
    """Read the result of reward `name` for `sample`.

    Raises:
        RewardError: the value is no finite number, None, (number, parts) or Score.
    """
    if isinstance(value, FailedScore):
        return value
    total: object
    parts: Mapping[str, Any]
    if isinstance(value, Score):
        total, parts, reason = value.total, value.parts, value.reason
    elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping):
        total, parts, reason = value[0], value[1], ""
    else:
        total, parts, reason = value, {}, ""
    said, where = f"the reward `{name}` returned", f"for {sample}"
    checked = {
        str(part): _number(of, f"{said} {reprlib.repr(of)} as part {part!r} {where}")
        for part, of in parts.items()
    }
    if total is None:
        return Score(total=None, parts=checked, reason=reason or "the reward returned None")
    number = _number(total, f"{said} {reprlib.repr(total)} {where}")
    return Score(total=number, parts=checked, reason=reason)


def to_values(result: object, name: str, samples: Sequence[Sample]) -> list[object]:
    """Read the result of a batched reward: one value for each of `samples`.

    Raises:
        RewardError: no list, tuple or array, or one of another length.
    """
    values = result.tolist() if hasattr(result, "tolist") else result
    task = f"the {len(samples)} responses" + f" to task {samples[0].task_id!r}" * bool(samples[0].task_id)
    if not isinstance(values, list | tuple):
        raise RewardError(
            f"the reward `{name}` takes `completions` but returned {reprlib.repr(result)} for {task}: "
            "return a list with one value for each of them, in their order"
        )
    if len(values) != len(samples):
        raise RewardError(
            f"the reward `{name}` returned {len(values)} values for {task}: "
            "return one value for each of `completions`, in their order"
        )
    return list(values)


def plain_number(value: Any) -> float | None:
    """A bool, int, float or one-element array as a float; None for anything else."""
    try:
        plain = value.item() if hasattr(value, "item") else value
        return float(plain) if isinstance(plain, int | float) else None
    except (ValueError, RuntimeError, OverflowError):  # an array of many elements; an integer beyond float
        return None


def _number(value: Any, where: str) -> float:
    number = plain_number(value)
    if number is None or not abs(number) <= LARGEST:
        raise RewardError(
            f"{where}: a reward is a number of at most 1e100, None, (number, parts) or Score. "
            "Return None for a response that cannot be scored"
        )
    return number
