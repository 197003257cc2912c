"""Reading rows from a file: one small reader a format.

A line that cannot be read becomes a row with a problem, so that all of them can be shown together. The
problem says where and why, never what the line holds: it may be personal.
"""

from __future__ import annotations

import contextlib
import csv
import difflib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from stateset.rl.data.json_text import NotJSONError, elements, parse_json
from stateset.rl.data.rows import Row
from stateset.rl.errors import DataError, MissingExtraError


def read_rows(path: Path, label: str) -> Iterator[Row]:
    """Read the rows of a file, in order, by its suffix.

    Raises:
        DataError: the file is missing, of an unknown format, not UTF-8, or broken as a whole.
        MissingExtraError: .parquet without pyarrow.
    """
    if not os.path.isfile(path):  # False, too, for what can be no name
        raise DataError(_missing(path))
    if path.suffix.lower() not in READERS:
        raise DataError(f"{path}: unknown format '{path.suffix}'; convert it to one of {', '.join(READERS)}.")
    return READERS[path.suffix.lower()](path, label)


def _missing(path: Path) -> str:
    if os.path.isdir(path):
        return f"{path} is a folder; give a file in it ({', '.join(READERS)})."
    if os.path.exists(path):
        return f"{path} is a pipe, a device or a socket; write its rows to a file and give that."
    names = [entry.name for entry in path.parent.iterdir()] if os.path.isdir(path.parent) else []
    near = difflib.get_close_matches(path.name, names, 1)
    data_files = sorted(name for name in names if Path(name).suffix.lower() in READERS)
    if near:
        return f"no file {path}; did you mean {path.parent / near[0]}?"
    found = f"data files there: {', '.join(data_files[:5])}" if data_files else "check the path"
    return f"no file {path}; {found}."


def _read_text(path: Path, label: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions.") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{label}: the file is UTF-16 or UTF-32; save it as UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{label}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8."
        ) from error


def _read_jsonl(path: Path, label: str) -> Iterator[Row]:
    for number, line in enumerate(_read_text(path, label).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{label}:{number}"
        try:
            yield Row(parse_json(line), where)
        except NotJSONError as error:
            yield Row(None, where, f"not valid JSON ({error}); {_remedy(line)}.")


def _remedy(line: str) -> str:
    if "\x00" in line:
        return "it holds NUL bytes, as a half-written or a UTF-16 file does: correct or remove the line"
    if "\r" in line.rstrip():
        return "lines end with CR alone: save the file with LF"
    return "correct or remove the line"


def _read_json(path: Path, label: str) -> Iterator[Row]:
    text = _read_text(path, label)
    try:
        rows = parse_json(text)
    except NotJSONError as error:
        found = error.line or _bad_element(text)
        line = f":{found}" if found else ""
        raise DataError(
            f"{label}{line}: not valid JSON ({error}); correct it there. With one row a line, name it .jsonl."
        ) from error
    if not isinstance(rows, list):
        raise DataError(
            f"{label}: expected a list of rows, found {type(rows).__name__}; write [{{...}}, {{...}}]."
        )
    numbered = enumerate(zip(rows, elements(text), strict=True), start=1)
    return (Row(row, f"{label}:{line} row {number}") for number, (row, (line, _)) in numbered)


def _bad_element(text: str) -> int | None:
    """The line in which the first element begins that is refused for what it says; None where none is."""
    with contextlib.suppress(ValueError, RecursionError):
        for line, element in elements(text):
            try:
                parse_json(element)
            except NotJSONError:
                return line
    return None


def _read_csv(path: Path, label: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(_read_text(path, label), newline=""), strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            where, line = f"{label}:{line}", reader.line_num + 1  # a cell may hold line breaks
            if not header:
                header = _checked_header(cells, where)
            elif cells:
                yield _csv_row(header, cells, where)
    except csv.Error as error:
        raise DataError(f"{label}:{line}: not valid CSV ({error}); {_csv_remedy(str(error))}.") from error


def _csv_remedy(said: str) -> str:
    if "field limit" in said:
        return "close a quote of the row that begins there, or convert the file to .jsonl, which has no limit"
    if "end of data" in said:
        return "a quote of the row that begins there is never closed: close it"
    return "export the file again"


def _checked_header(cells: list[str], where: str) -> list[str]:
    if len(cells) == 1 and any(mark in cells[0] for mark in ";\t"):
        raise DataError(
            f"{where}: the columns {cells[0]!r} are not separated by commas; export the file with commas."
        )
    repeated = [cell for cell in cells if cells.count(cell) > 1]
    if repeated:
        raise DataError(f"{where}: column `{repeated[0]}` stands in the header twice; rename one.")
    return cells


def _csv_row(header: list[str], cells: list[str], where: str) -> Row:
    if len(cells) != len(header):
        return Row(
            None, where, f"{len(cells)} cells, but the header has {len(header)}; quote cells with commas."
        )
    return Row(dict(zip(header, cells, strict=True)), where)


def _read_parquet(path: Path, label: str) -> Iterator[Row]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            f"{label}: reading .parquet needs pyarrow: pip install 'stateset-rl[parquet]'"
        ) from error
    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (ValueError, OSError) as error:
        raise DataError(f"{label}: not a readable parquet file ({error}); export it again.") from error
    return (_parquet_row(row, f"{label} row {number}") for number, row in enumerate(rows, start=1))


def _parquet_row(row: Mapping[str, Any], where: str) -> Row:
    found = {}
    for column, value in row.items():
        try:
            found[column] = _plain(value)
        except TypeError as error:
            return Row(None, where, f"`{column}` holds {error}; make it text or numbers, or leave it out.")
    return Row(found, where)


def _plain(value: Any) -> Any:
    """A table's value as JSON has it: times as ISO 8601, decimals as numbers, durations as seconds.

    Raises:
        TypeError: there is no such form; the message names the type.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return float(value) if isinstance(value, Decimal) else value.total_seconds()
    raise TypeError(type(value).__name__)


READERS: Mapping[str, Callable[[Path, str], Iterator[Row]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
