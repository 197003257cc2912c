"""From export files to rows: one format a file, one type for a thread, one place where rows are made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from stateset.rl.data.importers.imported import Imported
from stateset.rl.data.importers.mapping import ColumnMapping
from stateset.rl.errors import DataError

EXPORTS = ("zendesk", "intercom")
TABLES = ("csv", "jsonl", "parquet", "hf")
_MARKS = (("zendesk", '"comments"'), ("intercom", '"conversation_parts"'))
_LOOKED_AT = 200_000  # characters of a file


def import_files(
    kind: str, sources: Sequence[str], mapping: ColumnMapping | None = None
) -> tuple[Imported, ColumnMapping | None]:
    """Read exports of one kind.

    Args:
        kind: one of EXPORTS or TABLES.
        sources: files; for `hf` folders or hub ids.
        mapping: of a table's columns; None guesses it.
    Returns:
        What was found, and the mapping by which a table was read (None for an export).

    Raises:
        DataError: an unknown kind, a mapping where none is used, or a source that cannot be read.
        MissingExtraError: an optional package is not installed.
    """
    from stateset.rl.data.importers.hub import read_hub_rows
    from stateset.rl.data.importers.intercom import import_intercom
    from stateset.rl.data.importers.table import import_rows, import_tables
    from stateset.rl.data.importers.zendesk import import_zendesk

    files = [Path(source) for source in sources]
    if kind in EXPORTS and mapping is not None:
        raise DataError(f"an export of {kind} has columns of its own: leave out the mapping.")
    if kind == "zendesk":
        return import_zendesk(files), None
    if kind == "intercom":
        return import_intercom(files), None
    if kind == "hf":
        return import_rows([row for source in sources for row in read_hub_rows(source)], kind, mapping)
    if kind in TABLES:
        return import_tables(files, kind, mapping)
    raise DataError(f"unknown kind of export '{kind}'; use one of {', '.join((*EXPORTS, *TABLES))}.")


def export_kind(file: Path) -> str | None:
    """Whether a JSON file looks like an export of EXPORTS; None for rows and anything else."""
    if file.suffix.lower() not in (".json", ".jsonl", ".ndjson") or not file.is_file():
        return None
    with file.open(encoding="utf-8", errors="replace") as opened:
        head = opened.read(_LOOKED_AT)
    if re.search(r'"prompt"\s*:', head):
        return None
    return next((kind for kind, mark in _MARKS if re.search(rf"{mark}\s*:\s*[\[{{]", head)), None)


__all__ = ["EXPORTS", "TABLES", "ColumnMapping", "Imported", "export_kind", "import_files"]
