"""A judge asked about labelled answers: each several times, and once with the answer before the request.

What is asked goes to the endpoint, whatever the ledger remembers; the budget holds.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stateset.rl.data.load import load_tasks
from stateset.rl.errors import DataError
from stateset.rl.evaluation.judge_fitness import Graded, Measure, measure_judge
from stateset.rl.rewards.failure import UnscorableError
from stateset.rl.rewards.rubric import RubricReward
from stateset.rl.types import Task

_VERDICTS = {
    **dict.fromkeys(("1", "yes", "right", "pass", "true"), True),
    **dict.fromkeys(("0", "no", "wrong", "fail", "false"), False),
}
_COLUMNS = ("response", "label", "verified")  # nothing that the judge's reward may see
_SHOWN = 5


class Labelled(NamedTuple):
    """An answer to a task, and what people said of it."""

    task: Task
    response: str
    right: bool


class Calibration(NamedTuple):
    """What was measured on so many answers of either label, and why the first unscored one has no grade."""

    measures: Sequence[Measure]
    first_failure: str
    num_right: int
    num_wrong: int


def load_labels(path: Path) -> list[Labelled]:
    """Read rows with `prompt`, `response` and `label`; other columns join the context.

    Raises:
        DataError: as `load_tasks`; or a row without a response, or with a label that is no verdict.
        MissingExtraError: .parquet without pyarrow.
    """
    rows, problems = [], []
    for task in load_tasks(path):
        response, label = (task.context.get(name) for name in ("response", "label"))
        verdict = _VERDICTS.get(str(label).strip().lower().removesuffix(".0"))
        if not isinstance(response, str):
            problems.append(f"{task.source}: no `response`; name the column with the model's answer so.")
        elif verdict is None:
            problems.append(f"{task.source}: `label` is {label!r}; write one of {', '.join(_VERDICTS)}.")
        else:
            rows.append(Labelled(task, response, verdict))
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise DataError("\n  ".join([*problems[:_SHOWN], *more]))
    return rows


def calibrate(reward: RubricReward, rows: Sequence[Labelled], *, repeat: int) -> Calibration:
    """Ask the judge `repeat + 1` times about each row, and measure it.

    Args:
        reward: its judge, rubric and threshold are measured.
        rows: at least one.
        repeat: times that the same is asked, at least 2.

    Raises:
        RewardError: the judge's budget is spent, or its endpoint does not know the model or the key.
        MissingExtraError: the `openai` package is not installed.
    """
    forms = [reward.variant(answer_first=False)] * repeat + [reward.variant(answer_first=True)]
    found = asyncio.run(_ask_all(forms, rows))
    grades = np.array([math.nan if isinstance(one, str) else one for one in found]).reshape(len(rows), -1)
    graded = Graded(
        right=np.array([row.right for row in rows]),
        grades=grades[:, :-1],
        swapped=grades[:, -1],
        lengths=np.array([float(len(row.response)) for row in rows]),
        prompts=[repr(row.task.prompt) for row in rows],
    )
    failure = next((one for one in found if isinstance(one, str)), "")
    labels = graded.right[~np.isnan(graded.grades[:, 0])]
    return Calibration(
        measure_judge(graded, reward.passes_at), failure, int(labels.sum()), int((~labels).sum())
    )


def record(reward: RubricReward, labels: Path, repeat: int, found: Calibration) -> dict[str, Any]:
    """What `require_fit` reads, with what it was made of."""
    unfit = [measure.name for measure in found.measures if not measure.fit]
    return {
        "fit": not unfit,
        "unfit": unfit,
        "model": reward.judge.model,
        "rubric": reward.rubric_hash,
        "base_url": reward.judge.base_url,
        "passes_at": reward.passes_at,
        "labels": {"file": str(labels), "sha256": hashlib.sha256(labels.read_bytes()).hexdigest()},
        "graded": {"right": found.num_right, "wrong": found.num_wrong},
        "repeat": repeat,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "measures": [asdict(measure) for measure in found.measures],
        "first_failure": found.first_failure,
    }


async def _ask_all(forms: Sequence[RubricReward], rows: Sequence[Labelled]) -> list[float | str]:
    """Grades, or why there is none, the forms of a row one behind the other."""
    return await asyncio.gather(*(_grade(form, row) for row in rows for form in forms))


async def _grade(form: RubricReward, row: Labelled) -> float | str:
    context = {name: value for name, value in row.task.context.items() if name not in _COLUMNS}
    try:
        return (await form.compute(row.task.question, row.response, context)).value
    except UnscorableError as error:
        return f"{row.task.source}: {error}"
