"""Tables of any source: csv, jsonl, parquet, and data sets of Hugging Face, by a column mapping.

A message is used only where its flag says public; a value that is neither public nor private turns the whole
thread away.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

from stateset.rl.data.files import READERS
from stateset.rl.data.importers.export_file import mapping_of, text_of, utc_time
from stateset.rl.data.importers.flags import FALSE, MESSAGE_AUTHOR, MESSAGE_TEXT, TRUE, values_of
from stateset.rl.data.importers.imported import Imported, ThreadError, by_time, said
from stateset.rl.data.importers.mapping import ColumnMapping, check_columns, guess_mapping, with_flags
from stateset.rl.data.importers.thread import Author, Person, Thread, ThreadMessage, rows_of
from stateset.rl.data.rejected import rejected_at
from stateset.rl.data.rows import Row, is_missing
from stateset.rl.errors import DataError

_AUTHORS: dict[str, Author] = {
    **dict.fromkeys(
        ("customer", "user", "end-user", "enduser", "requester", "client", "human", "contact", "visitor",
         "guest", "buyer", "consumer", "inbound", "in", "incoming"), "customer",
    ),
    **dict.fromkeys(
        ("agent", "admin", "assistant", "gpt", "support", "staff", "operator", "representative", "rep",
         "employee", "outbound", "out", "outgoing"), "agent",
    ),
    "system": "system",
}  # fmt: skip
_SHOWN = 40  # characters of a time in a message
_STATUS = {
    **dict.fromkeys(("solved", "closed", "resolved", "done"), True),
    **dict.fromkeys(("open", "new", "pending", "hold", "on-hold", "unresolved", "snoozed"), False),
}


def import_tables(
    files: Iterable[Path], kind: str, given: ColumnMapping | None
) -> tuple[Imported, ColumnMapping]:
    """Read the tables of all files with one mapping, guessed from the first row where none is given.

    Args:
        files: of the format `kind`: csv, jsonl (a .json list too) or parquet.
        kind: the reader.
        given: a mapping, or None.

    Raises:
        DataError: a file that cannot be read, or columns that say too little.
        MissingExtraError: parquet without pyarrow.
    """
    rows: list[Row] = []
    for path in files:
        if not path.is_file():
            raise DataError(f"no file {path}; check the path.")
        suffix = ".json" if kind == "jsonl" and path.suffix.lower() == ".json" else f".{kind}"
        rows += READERS[suffix](path, path.name)
    return import_rows(rows, kind, given)


def import_rows(
    rows: Iterable[Row], kind: str, given: ColumnMapping | None
) -> tuple[Imported, ColumnMapping]:
    """The same for rows that are read already."""
    found, good = Imported(), []
    for row in rows:
        if row.problem or not isinstance(row.value, Mapping):
            reason = row.problem or f"a row is a mapping, not {type(row.value).__name__}"
            found.rejected.append(rejected_at(row.where, reason))
        else:
            good.append(row)
    if not good:
        raise DataError(f"no rows that can be read in this {kind}; is it the right file?")
    columns = list(dict.fromkeys(column for row in good for column in row.value))
    label = good[0].where.rpartition(":")[0] or good[0].where
    mapping = given or guess_mapping(columns, label, _sample(good, columns))
    seen = values_of((row.value for row in good), mapping.columns.get("messages"))
    mapping, found.remarks = with_flags(mapping, seen, label)
    check_columns(mapping, [*columns, *(path for path in seen if path not in columns)], label)
    if mapping.layout == "messages":
        _import_messages(good, mapping, found, kind)
    else:
        _import_threads(good, mapping, found, kind)
    return found, mapping


def _sample(rows: list[Row], columns: list[str]) -> dict[str, Any]:
    """The first value of each column that there is."""
    return {
        column: next((row.value[column] for row in rows if not is_missing(row.value.get(column))), None)
        for column in columns
    }


def _import_threads(rows: list[Row], mapping: ColumnMapping, found: Imported, kind: str) -> None:
    """Layouts with a whole thread, or a pair of one, in each row."""
    for row in rows:
        names = (text_of(mapping.get(row.value, column)) for column in ("thread", "id"))
        name = next(filter(None, names), "") or _name_of(row.value)
        try:
            thread = _thread(name, [row], _messages_of(row, mapping, found.counts), mapping)
            _add(thread, row, mapping, found, kind)
        except ThreadError as error:
            found.rejected.append(rejected_at(row.where, str(error), name))


def _name_of(row: Mapping[str, Any]) -> str:
    """Of a row that has none: the same in every file that holds this row, and of no other row."""
    return sha256(json.dumps(row, default=str).encode()).hexdigest()[:12]


def _import_messages(rows: list[Row], mapping: ColumnMapping, found: Imported, kind: str) -> None:
    """One message a row; a thread with one row that cannot be used is turned away as a whole."""
    threads: dict[str, list[Row]] = {}
    for row in rows:
        name = text_of(mapping.get(row.value, "thread"))
        if name:
            threads.setdefault(name, []).append(row)
        else:
            found.rejected.append(rejected_at(row.where, "no thread; which conversation is it of?"))
    for name, group in threads.items():
        messages, problems = [], []
        for row in group:
            try:
                message = _message(row.value, mapping, found.counts)
            except ThreadError as error:
                problems.append(rejected_at(row.where, f"{error}; its thread is turned away", name))
            else:
                messages += [message] if message else []
        found.rejected += problems
        if problems:
            continue
        try:
            _add(_thread(name, group, messages, mapping), group[0], mapping, found, kind)
        except ThreadError as error:
            found.rejected.append(rejected_at(group[0].where, str(error), name))


def _add(thread: Thread, row: Row, mapping: ColumnMapping, found: Imported, kind: str) -> None:
    start = len(found.rows)
    if mapping.layout == "pairs" and not rows_of(thread, kind):
        raise ThreadError("prompt or reply is empty, quoted or automatic, or the row is private")
    kept = {
        column: _json_value(row.value[column], column)
        for column in mapping.keep
        if not is_missing(row.value.get(column))
    }
    found.add(thread, kind)
    for name in ("template", "difficulty"):
        if not is_missing(mapping.get(row.value, name)):
            kept[name] = text_of(mapping.get(row.value, name))
    for made in found.rows[start:]:
        made |= {name: value for name, value in kept.items() if name not in made}


def _json_value(value: Any, column: str) -> Any:
    """As JSON can hold it: times as ISO 8601, decimals as numbers.

    Raises:
        ThreadError: a value that it cannot hold.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, list | tuple):
        return [_json_value(one, column) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _json_value(one, column) for key, one in value.items()}
    raise ThreadError(f"`{column}` holds {type(value).__name__}, which JSON cannot: take it out of `keep:`")


def _messages_of(row: Row, mapping: ColumnMapping, counts: Counter[str]) -> list[ThreadMessage]:
    if mapping.layout == "pairs":
        if not mapping.says_public(row.value):
            counts["private notes left out"] += 1
            return []
        sides: tuple[tuple[Author, str], ...] = (("customer", "prompt"), ("agent", "reply"))
        made = [_said(mapping.get(row.value, name), author, "", counts) for author, name in sides]
        return [message for message in made if message]
    listed = mapping.get(row.value, "messages")
    if not isinstance(listed, list):
        raise ThreadError(f"`{mapping.columns['messages']}` is no list of messages")
    if not mapping.says_public(row.value):
        raise ThreadError("the whole conversation is marked private")
    messages = []
    for place, one in enumerate(map(mapping_of, listed), start=1):
        if not _in_list_is_public(one, mapping, place):
            counts["private notes left out"] += 1
            continue
        author = _author(text_of(_first(one, MESSAGE_AUTHOR)), mapping, f"message {place}")
        message = _said(_first(one, MESSAGE_TEXT), author, "", counts)
        messages += [message] if message else []
    return messages


def _in_list_is_public(message: Mapping[str, Any], mapping: ColumnMapping, place: int) -> bool:
    try:
        return mapping.says_public(message, in_list=True)
    except ThreadError as error:
        raise ThreadError(f"message {place}: {error}") from error


def _first(message: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((value for key in keys if (value := message.get(key))), None)


def _message(row: Mapping[str, Any], mapping: ColumnMapping, counts: Counter[str]) -> ThreadMessage | None:
    if not mapping.says_public(row):
        counts["private notes left out"] += 1
        return None
    author = _author(text_of(mapping.get(row, "author")), mapping, "the message")
    return _said(mapping.get(row, "text"), author, _time(mapping.get(row, "time"), mapping), counts)


def _time(value: Any, mapping: ColumnMapping) -> str:
    if is_missing(value):
        return ""
    for form in mapping.time_formats:
        with suppress(ValueError):
            return utc_time(datetime.strptime(str(value).strip(), form).isoformat())
    found = utc_time(value)
    if not found:
        raise ThreadError(
            f"`time` cannot be read ({str(value)[:_SHOWN]!r}): write it as ISO 8601, such as "
            "2026-01-31T10:00:00Z, or say in a mapping how it is written, such as `time_formats: "
            "['%d/%m/%Y %H:%M']`; if the rows stand in order, `time` may be left out of the mapping"
        )
    return found


def _said(text: Any, author: Author, time: str, counts: Counter[str]) -> ThreadMessage | None:
    if is_missing(text):
        return None
    if not isinstance(text, str):
        raise ThreadError(f"a message is {type(text).__name__}, not text")
    return said(text, html=None, author=author, time=time, subject="", counts=counts)


def _author(value: str, mapping: ColumnMapping, what: str) -> Author:
    author = _author_of(value, mapping)
    if author is None:
        raise ThreadError(
            f"the author of {what} is {value or 'missing'!r}, neither customer nor agent: name it in the "
            "mapping under `customers:` or `agents:`"
        )
    return author


def _author_of(value: str, mapping: ColumnMapping) -> Author | None:
    if value in mapping.customers:
        return "customer"
    return "agent" if value in mapping.agents else _AUTHORS.get(value.lower())


def _thread(name: str, rows: list[Row], messages: list[ThreadMessage], mapping: ColumnMapping) -> Thread:
    def first(field: str, among: list[Row] = rows) -> Any:
        return next((value for row in among if not is_missing(value := mapping.get(row.value, field))), None)

    theirs = [row for row in rows if mapping.layout != "messages" or _wrote_as_customer(row, mapping)]
    status = text_of(first("status"))
    tags = first("tags")
    return Thread(
        id=name,
        where=rows[0].where,
        messages=by_time(messages),
        customer=text_of(first("customer", theirs)) or text_of(first("customer_email", theirs)),
        created=_time(first("time"), mapping),
        subject=text_of(first("subject")),
        status=status,
        resolved=_flag(first("resolved"), "resolved")
        if "resolved" in mapping.columns
        else _STATUS.get(status.lower()),
        satisfaction=_stars(first("satisfaction")),
        reopened=_flag(first("reopened"), "reopened"),
        tags=tuple(map(text_of, tags)) if isinstance(tags, list) else tuple(text_of(tags).split()),
        people=tuple(_people(rows, mapping)),
    )


def _wrote_as_customer(row: Row, mapping: ColumnMapping) -> bool:
    return _author_of(text_of(mapping.get(row.value, "author")), mapping) == "customer"


def _people(rows: list[Row], mapping: ColumnMapping) -> list[Person]:
    found: dict[Person, None] = {}
    sides: tuple[Author, ...] = ("customer", "agent")
    for kind in sides:
        for row in rows:
            name, email, phone = (
                text_of(mapping.get(row.value, f"{kind}_{field}")) for field in ("name", "email", "phone")
            )
            if name or email or phone:
                found[Person(kind=kind, name=name, email=email, phone=phone)] = None
    return list(found)


def _flag(value: Any, name: str) -> bool | None:
    if is_missing(value):
        return None
    text = str(value).strip().lower()
    if text in TRUE or text in FALSE:
        return text in TRUE
    if name == "reopened" and text.isdigit():
        return int(text) > 0
    raise ThreadError(f"`{name}` is {value!r}: it must be true or false")


def _stars(value: Any) -> float | None:
    text = text_of(value).lower()
    if text in ("", "offered", "unoffered", "nan"):
        return None
    if text in ("good", "bad"):
        return 5.0 if text == "good" else 1.0
    try:
        stars = float(text)
    except ValueError:
        stars = -1.0
    if not 1 <= stars <= 5:
        raise ThreadError(f"`satisfaction` is {value!r}: it must be from 1 to 5, or good or bad")
    return stars
