"""JSON as data files need it: what Python's parser would let through and nobody can have meant is an error.

That is the same key twice (the parser keeps the last), Infinity, and numbers that are none any more (1e999,
hundreds of digits). NaN, which Python and pandas write where a table has a gap, is read as null.
"""

from __future__ import annotations

import json
import math
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


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
)
