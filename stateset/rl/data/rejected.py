"""A row that was turned away: the file, the line or record in it, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stateset.rl.manifest import to_json, write_text_atomic

_PLACE = re.compile(r"(?P<file>.+?)(?::(?P<line>\d+))?(?:(?: row |\[)(?P<record>\d+)\]?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """`line` counts the file's lines from 1; `record` its records, where a line may hold several or none."""

    file: str
    reason: str
    line: int | None = None
    record: int | None = None
    ticket: str | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"

    @property
    def place(self) -> str:
        """Where it stands, as error messages name it."""
        line = f":{self.line}" if self.line else ""
        record = f" row {self.record}" if self.record is not None else ""
        return f"{self.file}{line}{record}"


def rejected_at(where: str, reason: str, ticket: str | None = None) -> Rejected:
    """From a place as `read_rows` names it: "a.csv:12", "a.json:7 row 3", "a.parquet row 3"."""
    reason = reason.removeprefix(f"{where}: ")
    found = _PLACE.fullmatch(where)
    file, line, record = found.group("file", "line", "record") if found else (where, None, None)
    return Rejected(
        file=file,
        line=int(line) if line else None,
        record=int(record) if record else None,
        reason=reason,
        ticket=ticket,
    )


def write_rejected(path: Path, rejected: Sequence[Rejected]) -> None:
    """One JSON object a line; no file, and none left of an earlier time, where nothing was rejected."""
    if rejected:
        write_jsonl(path, (asdict(one) for one in rejected))
    else:
        path.unlink(missing_ok=True)


def write_jsonl(path: Path, rows: Iterable[object]) -> None:
    """One JSON object a line; the file is the old or the new one, never half of it."""
    write_text_atomic(path, "".join(to_json(row) + "\n" for row in rows))
