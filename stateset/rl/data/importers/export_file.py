"""The JSON objects in an export: one a line, a list, or a page of an API (`{"tickets": [...], ...}`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

from stateset.rl.data.json_text import NotJSONError, parse_json
from stateset.rl.data.rejected import Rejected
from stateset.rl.errors import DataError

_EARLIEST = "1980"  # what is read as an earlier time is another number, such as the day of a table
_OF_MAIL = re.compile(  # its parser would pass over a PM or a zone that it does not know
    r"[A-Z][a-z]{2},? [\w ]+ \d\d:\d\d:\d\d( [+-]\d{4}| (GMT|UTC?|[ECMP][SD]T))?( \d{4})?( \([\w ]+\))?"
)


class Document(NamedTuple):
    """One object of an export and where it stands; `key` is the list of an API page that held it."""

    value: dict[str, Any]
    file: str
    line: int | None
    record: int | None
    key: str

    @property
    def where(self) -> str:
        """As error messages name it."""
        return f"{self.file}:{self.line}" if self.line is not None else f"{self.file} row {self.record}"

    def reject(self, reason: str, ticket: str | None = None) -> Rejected:
        """The report of this object as one that was turned away."""
        return Rejected(file=self.file, line=self.line, record=self.record, reason=reason, ticket=ticket)


def documents(path: Path, lists: tuple[str, ...]) -> Iterator[Document | Rejected]:
    """Every object of a file; what is no object comes as a rejection.

    Args:
        path: .json or .jsonl; a .json file with one object a line is read as such.
        lists: keys of an API page whose lists hold objects, such as "tickets".

    Raises:
        DataError: the file is missing, not UTF-8, or not JSON as a whole.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8; export it as JSON in UTF-8.") from error
    try:
        whole = parse_json(text)
    except NotJSONError as error:
        if not _is_lines(text):
            line = f":{error.line}" if error.line else ""
            what = "the JSON ends in the middle" if _is_cut_off(text, error) else "not valid JSON"
            raise DataError(f"{path}{line}: {what} ({error}); export it again.") from error
        yield from _lines(text, path.name, lists)
        return
    yield from _whole(whole, path.name, lists)


def _is_lines(text: str) -> bool:
    """Whether a file is one object a line: its first line is one, or half of them are."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2 or not lines[0].lstrip().startswith("{"):
        return False
    return _is_json(lines[0]) or sum(map(_is_json, lines)) * 2 >= len(lines)


def _is_json(line: str) -> bool:
    try:
        parse_json(line)
    except NotJSONError:
        return False
    return True


def _is_cut_off(text: str, error: NotJSONError) -> bool:
    last_line = text.rstrip().count("\n") + 1
    at_end = error.line is not None and error.line >= last_line and not str(error).startswith("Extra data")
    return at_end or str(error).startswith("Unterminated string")


def _lines(text: str, file: str, lists: tuple[str, ...]) -> Iterator[Document | Rejected]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except NotJSONError as error:
            yield Rejected(file=file, line=number, reason=f"not valid JSON ({error})")
            continue
        if not isinstance(value, dict):
            yield Rejected(file=file, line=number, reason=f"an object was expected, not {_kind(value)}")
            continue
        yield from _page(value, file, lists, line=number)


def _whole(value: Any, file: str, lists: tuple[str, ...]) -> Iterator[Document | Rejected]:
    if isinstance(value, dict):
        yield from _page(value, file, lists, line=None)
    elif isinstance(value, list):
        for record, item in enumerate(value, start=1):
            if isinstance(item, dict):
                yield Document(item, file, None, record, "")
            else:
                yield Rejected(file=file, record=record, reason=f"an object was expected, not {_kind(item)}")
    else:
        raise DataError(f"{file}: an export is an object or a list, not {_kind(value)}.")


def _page(
    value: dict[str, Any], file: str, lists: tuple[str, ...], line: int | None
) -> Iterator[Document | Rejected]:
    pages = [key for key in lists if isinstance(value.get(key), list)]
    if not pages or "id" in value:
        yield Document(value, file, line, None if line is not None else 1, "")
        return
    for key in pages:
        for record, item in enumerate(value[key], start=1):
            if isinstance(item, dict):
                yield Document(item, file, line, record, key)
            else:
                reason = f"`{key}` holds {_kind(item)} where an object was expected"
                yield Rejected(file=file, line=line, record=record, reason=reason)


def utc_time(value: Any) -> str:
    """ISO 8601 in UTC of a text or of seconds since 1970; empty where it is neither.

    A text is ISO 8601 or a mail's date (`Mon, 5 Jan 2026 10:00:00 +0000`); one without a zone is in UTC. In
    which order `01/07/2026` has day and month, nobody can say.
    """
    text = str(value).strip().removesuffix(".0")
    try:
        if isinstance(value, bool) or value in (None, ""):
            return ""
        if len(text) == 8 and text.isdigit():  # 20260105: as seconds it would be in 1970
            moment = datetime.strptime(text, "%Y%m%d")
        elif isinstance(value, int | float) or text.isdigit():
            seconds = float(value)
            moment = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        elif _OF_MAIL.fullmatch(text):
            moment = parsedate_to_datetime(text)
        else:
            moment = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    found = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return found if found >= _EARLIEST else ""


def text_of(value: Any) -> str:
    """An id or a name as text; empty for None and for what is no single value."""
    if value is None or isinstance(value, bool | Mapping | list):
        return ""
    return str(value).strip()


def mapping_of(value: Any) -> Mapping[str, Any]:
    """A nested object, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def list_of(value: Any) -> list[Any]:
    """A nested list, or an empty one."""
    return value if isinstance(value, list) else []


def _kind(value: Any) -> str:
    return type(value).__name__
