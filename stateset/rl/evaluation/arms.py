"""What a comparison is made of: arms, each with one answer to every task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stateset.rl.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One arm's answer to one task.

    Attributes:
        task_id: the task; each arm answers it once.
        cluster: what makes tasks alike, such as their template or customer; resampled as a whole.
        slices: kind of slice -> this task's value, such as situation -> "refund".
        text: the answer.
        passed: whether it is good enough.
        parts: components of the judgement, usually 0 to 1; NaN or absent where one does not apply.
    """

    task_id: str
    cluster: str
    slices: Mapping[str, str]
    text: str
    passed: bool
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One model's answers to every task, in any order.

    Attributes:
        name: shown in tables, unlike any other arm's.
        answers: one a task.
        cpu_seconds: processor time that the arm cost, such as its training; None: not measured.
        note: one line on what this arm is.
    """

    name: str
    answers: tuple[Answer, ...]
    cpu_seconds: float | None
    note: str


def align(arms: Sequence[Arm]) -> list[Arm]:
    """Every arm with its answers in the order of the first arm's.

    Raises:
        DataError: an arm answers a task twice, or the arms differ in their tasks; the message names them.
    """
    order = _by_task(arms[0])
    aligned = []
    for arm in arms:
        answers = _by_task(arm)
        _refuse_other_tasks(arms[0].name, order, arm.name, answers)
        aligned.append(replace(arm, answers=tuple(answers[task] for task in order)))
    return aligned


def _by_task(arm: Arm) -> dict[str, Answer]:
    answers = {answer.task_id: answer for answer in arm.answers}
    if len(answers) < len(arm.answers):
        counts = Counter(answer.task_id for answer in arm.answers)
        twice = sorted(task for task, count in counts.items() if count > 1)
        raise DataError(f"arm {arm.name!r} answers {_list(twice)} more than once: give one answer a task")
    return answers


def _refuse_other_tasks(
    name: str, expected: Mapping[str, Answer], other: str, found: Mapping[str, Answer]
) -> None:
    """The same ids, and the same cluster and slices of each."""
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        raise DataError(
            f"arms {name!r} and {other!r} did not answer the same tasks; only {name!r}: {_list(missing)}; "
            f"only {other!r}: {_list(extra)}: compare them on the tasks of both"
        )
    for task, answer in expected.items():
        same = answer.cluster == found[task].cluster and dict(answer.slices) == dict(found[task].slices)
        if not same:
            raise DataError(
                f"task {task!r} has another cluster or slices in arm {other!r} than in {name!r}: "
                "they belong to the task; make both arms from the same rows"
            )


def _list(tasks: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(tasks) - shown} more" if len(tasks) > shown else ""
    return ", ".join(map(repr, tasks[:shown])) + more if tasks else "none"
