"""A transparent quality score of a logged ticket, from what its export says of the outcome.

The score knows nothing of the policy: a customer who was given too much is content. It is a way to leave out
conversations that went badly, not a judgement of the reply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from stateset.rl.data.rows import is_missing
from stateset.rl.errors import DataError

WEIGHTS = {"resolved": 0.4, "satisfaction": 0.4, "reopened": 0.2}


def quality_score(row: Mapping[str, Any], where: str = "row") -> float | None:
    """Weighted mean of the parts that the row has, in [0, 1]; None for a row that has none of them."""
    parts = quality_parts(row, where)
    if not parts:
        return None
    return sum(WEIGHTS[name] * value for name, value in parts.items()) / sum(WEIGHTS[name] for name in parts)


def quality_parts(row: Mapping[str, Any], where: str = "row") -> dict[str, float]:
    """`resolved` and not `reopened` as 0 or 1, `satisfaction` from 1 to 5 mapped to [0, 1].

    An empty value counts as missing; `where` names the row in an error.

    Raises:
        DataError: a value of another kind.
    """
    context = row.get("context")
    columns = {**context, **row} if isinstance(context, Mapping) else row
    return {
        name: _read(read, columns[name], f"{where}: `{name}`")
        for name, read in _PARTS.items()
        if not is_missing(columns.get(name))
    }


def _read(read: Callable[[Any], float | None], value: Any, what: str) -> float:
    part = read(value)
    if part is None:
        expected = "a number from 1 to 5" if read is _stars else "true or false"
        raise DataError(f"{what} is {value!r}; it must be {expected}.")
    return part


def _flag(value: Any) -> float | None:
    """1 for true, 0 for false, also as a table's text has them; None for anything else."""
    text = str(value).strip().lower()
    return (
        1.0 if text in ("true", "yes", "1", "1.0") else 0.0 if text in ("false", "no", "0", "0.0") else None
    )


def _not(value: Any) -> float | None:
    flag = _flag(value)
    return None if flag is None else 1.0 - flag


def _stars(value: Any) -> float | None:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    return (number - 1) / 4 if 1 <= number <= 5 else None


_PARTS: Mapping[str, Callable[[Any], float | None]] = {
    "resolved": _flag,
    "satisfaction": _stars,
    "reopened": _not,
}
