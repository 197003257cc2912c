"""Choosing rows by their `difficulty`, the stages of a curriculum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from stateset.rl.errors import DataError
from stateset.rl.types import Task

Rows = TypeVar("Rows", bound=Sequence[Any])


def filter_by_difficulty(data: Rows, level: str) -> Rows:
    """Keep the rows of one difficulty, in their order.

    Args:
        data: a list of rows, a list of tasks, or a `datasets.Dataset`; the result is of the same kind.
        level: the value of the `difficulty` column, compared as text.

    Raises:
        DataError: no row has this difficulty; the message lists the ones found. Or the rows are no list.
    """
    if isinstance(data, str) or not hasattr(data, "__getitem__"):
        raise DataError(f"these rows are a {type(data).__name__}: give a list, or a datasets.Dataset")
    levels = [_level(row) for row in data]
    chosen = [index for index, found in enumerate(levels) if found == level]
    if not chosen:
        known = ", ".join(sorted({found for found in levels if found is not None}))
        raise DataError(f"no row has difficulty '{level}'. " + _remedy(known))
    if hasattr(data, "select"):  # a datasets.Dataset
        return data.select(chosen)  # type: ignore[no-any-return]
    return [data[index] for index in chosen]  # type: ignore[return-value]


def _remedy(known: str) -> str:
    return f"Levels found: {known}." if known else "No row has a `difficulty`: add that column, e.g. `easy`."


def _level(row: object) -> str | None:
    value = (
        row.difficulty
        if isinstance(row, Task)
        else row.get("difficulty", (row.get("context") or {}).get("difficulty"))
        if isinstance(row, Mapping)
        else None
    )
    return None if value is None else str(value)
