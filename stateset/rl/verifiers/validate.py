"""A verifier is tried before it trains: the data's right answers pass, planted wrong ones do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stateset.rl.errors import DataError, StatesetRLError
from stateset.rl.types import Task
from stateset.rl.verifiers.verifier import make_verifier

DENIAL = "a denial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Misjudged:
    """One answer that a verifier judged wrongly, or not at all.

    Attributes:
        task_id: of which row.
        kind: "right answer rejected", or "accepted: " and what was planted.
        answer: the text.
        error: what the verifier raised instead of judging, or "".
    """

    task_id: str
    kind: str
    answer: str
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What came of it: how many answers were tried, and those that were misjudged."""

    right: int
    wrong: int
    misjudged: tuple[Misjudged, ...]


def validate_verifier(verifier: Callable[..., Any], tasks: Sequence[Task]) -> Validation:
    """Try every row's right answer, and planted wrong ones.

    Planted are an empty answer, blanks, the question said again, the right answer denied, and the right
    answer of the next row that has another one.

    Args:
        verifier: `(question, answer)` or `(question, answer, context)`.
        tasks: rows with an `answer`; others are left out.

    Raises:
        DataError: no row has an answer.
    """
    verify = make_verifier(verifier)
    known = [task for task in tasks if task.answer is not None]
    if not known:
        raise DataError("no row has an `answer`, so that there is nothing to try the verifier with")
    found: list[Misjudged] = []
    wrong = 0
    for index, task in enumerate(known):
        context = {**task.context, "answer": task.answer}
        tried = [("right answer rejected", str(task.answer), True)]
        tried += [
            (f"accepted: {kind}", text, False) for kind, text in planted(task, known[index + 1 :] + known)
        ]
        wrong += len(tried) - 1
        for kind, text, expected in tried:
            error = ""
            try:
                judged = verify(task.question, text, context)
            except Exception as failure:  # a verifier may raise anything, and that is what is asked
                judged, error = not expected, _described(failure)
            if judged != expected:
                found.append(Misjudged(task_id=task.id, kind=kind, answer=text, error=error))
    return Validation(right=len(known), wrong=wrong, misjudged=tuple(found))


def _described(failure: Exception) -> str:
    return str(failure) if isinstance(failure, StatesetRLError) else f"{type(failure).__name__}: {failure}"


def planted(task: Task, others: Iterable[Task]) -> Iterator[tuple[str, str]]:
    """Kinds and texts of answers that no verifier should accept; one is the first other one of `others`."""
    right = str(task.answer)
    yield "an empty answer", ""
    yield "blanks", " \n\t "
    if task.question.strip() != right.strip():
        yield "the question said again", task.question
    yield DENIAL, f"It is not {right}"
    other = next((str(t.answer) for t in others if str(t.answer).strip() != right.strip()), None)
    if other is not None:
        yield "another row's answer", other
