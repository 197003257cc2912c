"""`prepare_training_data`: rows that went well enough to learn from, of whatever source there is.

Rows are checked and scored. Those that come from a help desk (an export, a hub data set, or rows with
`thread` or `people`, as `data import` writes them) are also pseudonymised and lose their near-duplicates. Any
others stay as they are, with a warning where they hold what looks like personal data. The split into train,
validation and test is that of `stateset-rl data prepare`, which writes a folder.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from stateset.rl.data.bundled import bundled_rows
from stateset.rl.data.files import READERS
from stateset.rl.data.load import load_rows
from stateset.rl.data.pii import pseudonymise_rows
from stateset.rl.data.pii.columns import check_people
from stateset.rl.data.preparation import Settings, clean_rows, with_quality
from stateset.rl.data.quality import quality_score
from stateset.rl.errors import DataError


def prepare_training_data(source: Any, *, min_quality_score: float = 0.0) -> list[dict[str, Any]]:
    """Rows that went well enough to learn from, in their order.

    Args:
        source: `support_tickets` (the bundled set), a path of rows or of an export of Zendesk or Intercom, a
            folder or hub id of a data set ("owner/name"), a list of rows or a `datasets.Dataset`.
        min_quality_score: least `quality_score` of a row, from 0 to 1; 0 keeps every row.

    Returns:
        Rows for `train()`, each with its `quality_score` where it has one.

    Raises:
        DataError: rows that cannot be used, without any of the columns that the score reads, or none left.
        MissingExtraError: an export without the extra `data`.
    """
    given = min_quality_score
    if isinstance(given, bool) or not (isinstance(given, int | float) and 0 <= given <= 1):
        raise DataError(f"min_quality_score is {min_quality_score!r}: give a number from 0 to 1.")
    imported = _imported(source)
    rows = load_rows(source if imported is None else imported)
    if imported is not None or any("people" in row or "thread" in row for _, row in rows):
        scored = _cleaned(rows)
    else:
        scored = [(row, quality_score(row, where)) for where, row in rows]
        _warn_of_personal_data(source, rows)
    unknown = [score for _, score in scored].count(None)
    if min_quality_score > 0 and unknown:
        raise DataError(
            f"{_name(source)}: {unknown} of {len(rows)} rows have no quality: give `resolved`, "
            "`satisfaction` (1 to 5) or `reopened`, or leave out min_quality_score."
        )
    kept = [
        row if score is None else {**row, "quality_score": round(score, 4)}
        for row, score in scored
        if score is None or score >= min_quality_score
    ]
    if not kept:
        best = max(score for _, score in scored if score is not None)
        raise DataError(
            f"{_name(source)}: no row reaches min_quality_score {min_quality_score}; "
            f"the best has {best:.2f}. Lower it."
        )
    return kept


def _imported(source: Any) -> list[dict[str, Any]] | None:
    """Rows of an export or a hub data set; None for any other source."""
    if not isinstance(source, str | os.PathLike):
        return None
    from stateset.rl.data.importers import export_kind, import_files

    path = Path(source)
    kind = export_kind(path) or ("hf" if _is_hub(os.fspath(source)) else None)
    if kind is None:
        return None
    found, _ = import_files(kind, [os.fspath(source)])
    for remark in found.remarks:
        warnings.warn(f"{path.name}: {remark}.", stacklevel=3)
    if found.rejected:
        warnings.warn(
            f"{path.name}: {len(found.rejected)} records were rejected, the first: {found.rejected[0]} "
            f"`stateset-rl data import {kind}` lists all.",
            stacklevel=3,
        )
    if not found.rows:
        raise DataError(f"{path.name}: no agent's public reply to a customer was found.")
    return found.rows


def _is_hub(source: str) -> bool:
    """A folder, or "owner/name" where no such place is on this machine."""
    path = Path(source)
    if bundled_rows(source) is not None or path.is_file():
        return False
    if path.is_dir():
        return not any(child.suffix.lower() in READERS for child in path.iterdir() if child.is_file())
    owner, slash, name = source.partition("/")
    return bool(slash and owner and name) and "/" not in name and not path.suffix and not Path(owner).exists()


def _cleaned(rows: list[tuple[str, dict[str, Any]]]) -> list[tuple[dict[str, Any], float | None]]:
    for where, row in rows:
        check_people(row, where)
    cleaned = clean_rows([{"id": f"row-{number}"} | row for number, (_, row) in enumerate(rows)], Settings())
    return [
        (with_quality(cleaned.rows[place], score, parts), score)
        for place, (score, parts) in zip(cleaned.kept, cleaned.scores, strict=True)
    ]


def _warn_of_personal_data(source: Any, rows: list[tuple[str, dict[str, Any]]]) -> None:
    _, found = pseudonymise_rows(row for _, row in rows)
    if found:
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.most_common())
        warnings.warn(
            f"{_name(source)}: these rows hold what looks like personal data ({kinds}) and are used as they "
            "are; `stateset-rl data prepare` replaces it.",
            stacklevel=3,
        )


def _name(source: Any) -> str:
    return os.fspath(source) if isinstance(source, str | os.PathLike) else type(source).__name__
