"""The order of AdaRFT (Shi et al., arXiv 2504.05520): prompts that suit the model as it is now.

Difficulty is one minus a measured pass rate, from 0 (every sample is right) to 1 (none is). A target starts
at 0 and rises while the model does better than wanted; each step takes the prompts nearest to it. Other than
in the paper, no prompt is asked twice in an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stateset.rl.errors import DataError
from stateset.rl.types import Task

STEP_SIZE, SENSITIVITY = 0.5, 2.0  # eta and alpha of the paper, whose difficulties are from 0 to 100


def difficulties(tasks: Sequence[Task]) -> list[float]:
    """One minus each task's `pass_rate`.

    Raises:
        DataError: a task without one from 0 to 1; the message says how to measure it.
    """
    return [1 - _pass_rate(task.context, task.source or task.id) for task in tasks]


def next_target(target: float, quality: float, wanted: float) -> float:
    """The target difficulty after a step.

    Args:
        target: before it, from 0 to 1.
        quality: mean quality of the step's responses, from 0 to 1.
        wanted: the mean quality that is aimed at.
    """
    moved = target + STEP_SIZE * math.tanh(SENSITIVITY * (quality - wanted))
    return min(1.0, max(0.0, moved))


def nearest(known: Mapping[int, float], target: float, count: int) -> list[int]:
    """Up to `count` keys whose difficulty is nearest to the target; of equals the first in `known`."""
    return sorted(known, key=lambda place: abs(known[place] - target))[:count]


def _pass_rate(context: Mapping[str, Any], where: str) -> float:
    value = context.get("pass_rate")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise DataError(
            f"{where}: `pass_rate` is {value!r}, and target_pass_rate needs one from 0 to 1 in each row: "
            "measure it with `stateset-rl data difficulty`, or remove target_pass_rate."
        )
    return float(value)
