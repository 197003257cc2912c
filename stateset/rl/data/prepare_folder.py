"""Files of rows into a folder that training reads: three splits, what was left out and why, a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stateset.rl.data.bundled import bundled_rows
from stateset.rl.data.data_report import report_page
from stateset.rl.data.files import read_rows
from stateset.rl.data.frozen import FORMAT, file_hash, frozen_part, row_hash
from stateset.rl.data.preparation import Prepared, Settings, prepare_rows
from stateset.rl.data.rejected import write_jsonl, write_rejected
from stateset.rl.data.rows import Row
from stateset.rl.data.split import SPLITS
from stateset.rl.errors import DataError
from stateset.rl.manifest import versions, write_json_atomic, write_text_atomic

_PACKAGES = ("stateset-rl", "datasketch", "beautifulsoup4")


def prepare_folder(sources: Sequence[Path | str], out: Path, settings: Settings) -> Prepared:
    """Prepare the rows of one or more files together and write the folder.

    The folder gets `train.jsonl`, `validation.jsonl`, `test.jsonl`, `manifest.json`, `report.html`, and where
    there is something to say `rejected.jsonl` and `duplicates.jsonl`.

    Args:
        sources: files as `load_tasks` reads them, or the name of the bundled set.
        out: a new or empty folder.
        settings: how.

    Raises:
        DataError: a source that cannot be read, nothing left, or a folder that is not empty.
        GateError: the rows' own split leaks; nothing is written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is not empty, and nothing is overwritten: choose another folder.")
    prepared = prepare_rows([row for source in sources for row in _rows(source)], settings)
    out.mkdir(parents=True, exist_ok=True)
    for name in SPLITS:
        write_jsonl(out / f"{name}.jsonl", prepared.splits[name])
    write_rejected(out / "rejected.jsonl", prepared.rejected)
    if prepared.duplicates:
        write_jsonl(out / "duplicates.jsonl", (one._asdict() for one in prepared.duplicates))
    names = ", ".join(Path(source).name for source in sources)
    write_text_atomic(out / "report.html", report_page(prepared, settings, f"Prepared data: {names}"))
    write_json_atomic(out / "manifest.json", _manifest(sources, out, prepared, settings))
    return prepared


def _rows(source: Path | str) -> Iterator[Row]:
    path = Path(source)
    bundled = None if path.is_file() else bundled_rows(str(source))
    if bundled is not None:
        return (Row(value, f"{source} row {number}") for number, value in enumerate(bundled, start=1))
    return read_rows(path, path.name)


def _manifest(
    sources: Sequence[Path | str], out: Path, prepared: Prepared, settings: Settings
) -> dict[str, Any]:
    files = [Path(source) for source in sources]
    return {
        "format": FORMAT,
        "sources": [
            {"file": file.name, "sha256": file_hash(file)} if file.is_file() else {"file": str(file)}
            for file in files
        ],
        "settings": asdict(settings),
        "counts": prepared.counts,
        "pii": dict(sorted(prepared.pii.items())),
        "split": {
            "given": prepared.given_split,
            "by": settings.by,
            "by_time": prepared.split.by_time,
            "groups": prepared.split.groups,
            "largest_group": prepared.split.largest_group,
        },
        "splits": {name: _split_part(out / f"{name}.jsonl", prepared.splits[name]) for name in SPLITS},
        "frozen": frozen_part(prepared.splits["test"], settings.by),
        "packages": versions(_PACKAGES),
    }


def _split_part(file: Path, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    times = sorted(str(row["time"]) for row in rows if row.get("time"))
    return {
        "file": file.name,
        "sha256": file_hash(file),
        "rows": len(rows),
        "first_time": times[0] if times else None,
        "last_time": times[-1] if times else None,
        "row_hashes": [row_hash(row) for row in rows],
    }
