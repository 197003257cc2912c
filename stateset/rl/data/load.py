"""Rows into tasks: from a file, a list of rows, or a `datasets.Dataset`.

A row that cannot be used is never skipped: all of them are collected, and the error shows the first ones with
file, line and reason. The formats are read in `files.py`, one row is checked in `rows.py`.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from stateset.rl.config.parts import WarmStart
from stateset.rl.data.bundled import bundled_rows
from stateset.rl.data.files import read_rows
from stateset.rl.data.rows import Row, task_from_row
from stateset.rl.errors import DataError
from stateset.rl.types import Task

_SHOWN = 5


def load_tasks(source: Any, *, name: str | None = None) -> list[Task]:
    """Turn a source of rows into tasks, in the same order.

    A row has `prompt` (text or a list of messages) and may have `id`, `answer`, `difficulty` and `context`
    (a mapping); every other column joins the context. A row without `id` gets one from its content, so the id
    stays the same wherever the row stands.

    Args:
        source: a path (.jsonl, .json, .csv, .parquet), `support_tickets` or `support_tickets/<split>` (the
            bundled set), an iterable of mappings or tasks, or a Dataset of `datasets`.
        name: what error messages call the source.

    Raises:
        DataError: the source is missing, empty, or holds rows that cannot be used.
        MissingExtraError: .parquet without pyarrow.
    """
    label = name or _label_of(source)
    return _tasks(_rows(source, label), label)


def load_replies(settings: WarmStart | None, tasks: Sequence[Task]) -> Sequence[Task]:
    """The rows whose replies a warm start imitates: those that it names, else the training rows."""
    return tasks if settings is None or settings.rows is None else load_tasks(settings.rows)


def load_rows(source: Any) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a source as they are, each behind where it stands, checked as `load_tasks` checks them.

    Raises:
        DataError, MissingExtraError: as in `load_tasks`; also for tasks in place of rows.
    """
    label = _label_of(source)
    rows = list(_rows(source, label))
    _tasks(rows, label)
    if any(isinstance(row.value, Task) for row in rows):
        raise DataError(f"{label}: these are tasks; give the rows that they were made of.")
    return [(row.where, dict(row.value)) for row in rows]


def _label_of(source: Any) -> str:
    return Path(source).name if isinstance(source, str | os.PathLike) else "data"


def _tasks(rows: Iterable[Row], label: str) -> list[Task]:
    tasks: list[Task] = []
    problems: list[str] = []
    for row in rows:
        try:
            tasks.append(task_from_row(row))
        except DataError as error:
            problems.append(str(error))
    problems += _duplicate_ids(tasks)
    if problems:
        raise DataError(_report(problems, label))
    if not tasks:
        raise DataError(f"{label}: no rows; give a dataset with at least one.")
    return _with_ids(tasks)


def _rows(source: Any, label: str) -> Iterator[Row]:
    named = isinstance(source, str | os.PathLike) and not os.path.isfile(source)
    bundled = bundled_rows(os.fspath(source)) if named else None
    if bundled is not None:
        return (Row(value, f"{label}[{index}]") for index, value in enumerate(bundled))
    if isinstance(source, str | os.PathLike):
        return read_rows(Path(source), label)
    if isinstance(getattr(source, "column_names", None), Mapping):
        raise DataError(
            f"{label}: this dataset has splits ({', '.join(source)}); give one, e.g. data['train']."
        )
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        kind = type(source).__name__
        raise DataError(f"{label}: cannot read rows from {kind}; give a path, a list of rows or a Dataset.")
    return (Row(value, f"{label}[{index}]") for index, value in enumerate(source))


def _duplicate_ids(tasks: list[Task]) -> Iterator[str]:
    first: dict[str, Task] = {}
    for task in tasks:
        if task.id in first:
            shown, other = reprlib.repr(task.id), first[task.id].source
            yield f"{task.source}: id {shown} is also that of {other}; make ids unique."
        elif task.id:
            first[task.id] = task


def _with_ids(tasks: list[Task]) -> list[Task]:
    taken = {task.id for task in tasks}
    complete = []
    for task in tasks:
        named = task if task.id else replace(task, id=_free_id(task, taken))
        taken.add(named.id)
        complete.append(named)
    return complete


def _free_id(task: Task, taken: set[str]) -> str:
    content = (task.prompt, task.answer, task.difficulty, sorted(task.context.items()))
    digest = sha256(ascii(content).encode()).hexdigest()[:12]
    repeat = 1
    while (name := digest if repeat == 1 else f"{digest}-{repeat}") in taken:
        repeat += 1
    return name


def _report(problems: list[str], label: str) -> str:
    if len(problems) == 1:
        return problems[0]
    more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return "\n  ".join([f"{label}: {len(problems)} rows cannot be used:", *problems[:_SHOWN], *more])
