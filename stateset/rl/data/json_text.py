"""JSON as data files need it: what Python's parser would let through and nobody can have meant is an error.

That is the same key twice (the parser keeps the last), Infinity, and numbers that are none any more (1e999,
hundreds of digits). NaN, which Python and pandas write where a table has a gap, is read as null.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

_DIGITS = 300  # a longer one is no float any more


class NotJSONError(ValueError):
    """Why a text is no JSON, in a few words; `line` counts from 1, None where it is not known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def parse_json(text: str) -> Any:
    """The value that a JSON text stands for.

    Raises:
        NotJSONError: it stands for none.
    """
    try:
        return _DECODER.decode(text.removeprefix("\ufeff"))  # files that were put together have several marks
    except json.JSONDecodeError as error:
        reason = f"{error.msg.removesuffix(' at')} at column {error.colno}"
        raise NotJSONError(reason, error.lineno) from error
    except RecursionError:
        raise NotJSONError("nested too deeply") from None


def elements(text: str) -> Iterator[tuple[int, str]]:
    """The elements of a JSON list as they are written, each behind the line, from 1, in which it begins.

    Raises:
        ValueError, RecursionError: the text is no list, or not one that any parser reads.
    """
    place, line, counted = text.index("[") + 1, 1, 0
    while text[(place := _past_gap(text, place)) : place + 1] not in ("]", ""):
        line += text.count("\n", counted, place)
        counted = place
        end = _PLAIN.raw_decode(text, place)[1]
        yield line, text[place:end]
        place = end


def _past_gap(text: str, place: int) -> int:
    found = _GAP.match(text, place)
    return found.end() if found else place


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise NotJSONError(f"the key `{name[:60]}` twice")
        found[name] = value
    return found


def _constant(name: str) -> None:
    if name != "NaN":
        raise NotJSONError(f"{name}, which is no number of JSON")


def _float(digits: str) -> float:
    found = float(digits)
    if math.isinf(found):
        raise NotJSONError(f"the number {digits[:20]} is too large")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise NotJSONError(f"a number of {len(digits)} digits")
    return int(digits)


_GAP = re.compile(r"[\s,]+")
_PLAIN = json.JSONDecoder(parse_int=str, parse_float=str)
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
)
