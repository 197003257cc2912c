"""A transparent quality score of a logged ticket, from what its export says of the outcome.

The score knows nothing of the policy: a customer who was given too much is content. It is a way to leave out
conversations that went badly, not a judgement of the reply.

In `data prepare` three parts of the reply's text join the outcome: its length, whether it is a macro that
many threads were sent, and how much of it is personal data. They never make a score by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stateset.rl.data.near_duplicates import near_pairs, normal_text
from stateset.rl.data.pii import pii_density
from stateset.rl.data.rows import described, is_missing
from stateset.rl.data.split import linked_groups
from stateset.rl.errors import DataError

WEIGHTS = {"resolved": 0.4, "satisfaction": 0.4, "reopened": 0.2}
TEXT_WEIGHTS = {"length": 0.1, "own_words": 0.1, "pii": 0.1}
_SHORT, _LONG, _ENDLESS = 8, 200, 400  # words of a reply
_MACRO_THREADS = 3
_MACRO_LIKENESS = 0.9
_DENSE = 0.25  # share of placeholders at which nothing else is left to learn


def quality_score(
    row: Mapping[str, Any], where: str = "row", text_parts: Mapping[str, float] | None = None
) -> float | None:
    """Weighted mean of the parts that the row has, in [0, 1]; None for a row without an outcome.

    Args:
        row: with any of `resolved`, `satisfaction` and `reopened`.
        where: names the row in an error.
        text_parts: of `text_quality`, by the names of TEXT_WEIGHTS.
    """
    parts = quality_parts(row, where)
    if not parts:
        return None
    weights = WEIGHTS | TEXT_WEIGHTS
    parts |= text_parts or {}
    return sum(weights[name] * value for name, value in parts.items()) / sum(weights[name] for name in parts)


def text_quality(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The parts that the replies' texts have, each in [0, 1]; empty for a row without `reply`.

    `length` is 1 from 8 to 200 words and falls to 0 at none and at 400; `own_words` is 0 for a reply of
    eight or more words that three or more threads were sent nearly as it is; `pii` falls to 0 where a
    quarter of the words are placeholders.
    """
    replies = [str(row.get("reply") or "") for row in rows]
    macros = _macros(rows, replies)
    return [
        {
            "length": round(_length(len(reply.split())), 4),
            "own_words": float(place not in macros),
            "pii": round(max(0.0, 1 - pii_density(reply) / _DENSE), 4),
        }
        if reply
        else {}
        for place, reply in enumerate(replies)
    ]


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


def _length(words: int) -> float:
    if words > _LONG:
        return max(0.0, (_ENDLESS - words) / (_ENDLESS - _LONG))
    return min(1.0, words / _SHORT)


def _macros(rows: Sequence[Mapping[str, Any]], replies: Sequence[str]) -> set[int]:
    """Places of replies that stand in three or more threads."""
    texts = [reply if len(normal_text(reply).split()) >= _SHORT else "" for reply in replies]
    links = ((pair.first, pair.second) for pair in near_pairs(texts, _MACRO_LIKENESS))
    names = [str(row.get("thread") or f"row {place}") for place, row in enumerate(rows)]
    return {
        place
        for group in linked_groups(len(rows), links)
        if len({names[one] for one in group}) >= _MACRO_THREADS
        for place in group
    }


def _read(read: Callable[[Any], float | None], value: Any, what: str) -> float:
    part = read(value)
    if part is None:
        expected = "a number from 1 to 5" if read is _stars else "true or false"
        raise DataError(f"{what} is {described(value)}; it must be {expected}.")
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
