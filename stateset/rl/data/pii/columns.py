"""Columns that hold a person's data by their name: `customer_name`, `Email`, `phoneNumber`, `people`.

What stands in such a column is replaced whole, as text or as a number, and known in the texts of its thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from stateset.rl.data.pii.checks import digits_of
from stateset.rl.data.pii.names import name_pattern
from stateset.rl.data.pii.patterns import PLACEHOLDER
from stateset.rl.data.rows import is_missing
from stateset.rl.errors import DataError

_PERSON = (
    r"(?:customer|client|user|requester|contact|buyer|caller|sender|recipient|author|agent|assignee|account|"
    r"guest|member|patient|billing|shipping)"
)
_KINDS = {
    "EMAIL": rf"{_PERSON}?e?mail(?:address)?",
    "PHONE": rf"{_PERSON}?(?:(?:tele)?phone|mobile|cell(?:phone)?|fax|whatsapp)(?:number|no)?|contactnumber",
    "NAME": rf"{_PERSON}?(?:full|first|last|middle|given|family|sur|display|nick)name|{_PERSON}name|"
    "agent|assignee",
    "CARD": r"(?:credit|debit)?card(?:number|no)?",
    "IBAN": r"iban|(?:bank)?accountiban",
    "SSN": r"ssn|socialsecurity(?:number|no)?",
    "ADDRESS": rf"{_PERSON}?(?:street|home|postal|mailing)?address(?:line)?\d?",
    "BIRTHDATE": r"dob|birthda(?:te|y)|dateofbirth",
}
_COLUMNS = {kind: re.compile(names) for kind, names in _KINDS.items()}
_WHO = re.compile(r"customer|client|user|requester|contact|buyer|caller|sender|recipient|author")
_WORDS_OF_A_NAME = re.compile(r"[^\W\d_][^\W\d_'’.-]*(?:[\s,]+[^\W\d_]['’.\w-]*){1,3}")
_LONGEST = 100  # characters; a column `email` with more is a mail, not its address
_LEAST_DIGITS = 5


class Known(NamedTuple):
    """A value that a column gives, and the kind of personal data that it is."""

    kind: str
    value: str


def check_people(row: Mapping[str, Any], where: str) -> None:
    """Refuse a column `people` that is none.

    Raises:
        DataError: it is no list of mappings.
    """
    people = row.get("people")
    if not is_missing(people) and not (
        isinstance(people, list | tuple) and all(isinstance(one, Mapping) for one in people)
    ):
        raise DataError(
            f"{where}: `people` must be a list of mappings with `name`, `email` and `phone`; rename a column "
            "that means something else."
        )


def known_in(mapping: Mapping[str, Any], *, person: bool = True) -> Iterator[Known]:
    """What the columns of a row or of a person say, and those of mappings within.

    Args:
        mapping: the row or person.
        person: whether a plain `name` is that of a person.
    """
    for column, value in mapping.items():
        kind = personal_kind(column, value, person=person)
        if kind:
            yield Known(kind, text_of(value))
        elif column != "prompt":
            yield from _within(value, person=column == "people")


def personal_kind(column: str, value: Any, *, person: bool) -> str | None:
    """The kind of personal data that a column holds; None where its name or its value says otherwise."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or is_missing(value):
        return None
    if PLACEHOLDER.search(str(column)):
        return None
    name, text = _plain(column), text_of(value)
    kind = next((kind for kind, names in _COLUMNS.items() if names.fullmatch(name)), None)
    if kind is None and (
        (person and name == "name") or (_WHO.fullmatch(name) and _WORDS_OF_A_NAME.fullmatch(text))
    ):
        kind = "NAME"
    if kind is None or len(text) > _LONGEST or PLACEHOLDER.search(text):
        return None
    return kind if _CHECKS[kind](text) else None


def is_person(mapping: Mapping[str, Any]) -> bool:
    """Whether a mapping within a row has a mail address or a telephone, so that its `name` is a person's."""
    plain = [_plain(column) for column in mapping]
    return any(_COLUMNS[kind].fullmatch(column) for kind in ("EMAIL", "PHONE") for column in plain)


def text_of(value: str | int | float) -> str:
    """A value as people write it; a table may hold a telephone number as 4155550132.0."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _within(value: Any, *, person: bool) -> Iterator[Known]:
    if isinstance(value, Mapping):
        yield from known_in(value, person=person or is_person(value))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _within(item, person=person)


def _plain(column: Any) -> str:
    return re.sub(r"[\W_]", "", str(column)).casefold()


def _has_digits(text: str) -> bool:
    return len(digits_of(text)) >= _LEAST_DIGITS


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "NAME": lambda text: name_pattern(text) is not None,
    "EMAIL": lambda text: "@" in text,
    "ADDRESS": lambda text: any(map(str.isalpha, text)),
    **dict.fromkeys(("PHONE", "CARD", "IBAN", "SSN", "BIRTHDATE"), _has_digits),
}
