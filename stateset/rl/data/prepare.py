"""Raw tickets to training rows. So far: rows as `load_tasks` reads them, filtered by a quality score."""

from __future__ import annotations

import os
from typing import Any

from stateset.rl.data.load import load_rows
from stateset.rl.data.quality import quality_score
from stateset.rl.errors import DataError


def prepare_training_data(source: Any, *, min_quality_score: float = 0.0) -> list[dict[str, Any]]:
    """Rows that went well enough to learn from, in their order.

    Args:
        source: `support_tickets` (the bundled set), a path, a list of rows or a `datasets.Dataset`.
        min_quality_score: least `quality_score` of a row, from 0 to 1; 0 keeps every row.

    Returns:
        Rows for `train()`, each with its `quality_score` where it has one.

    Raises:
        DataError: rows that cannot be used, without any of the columns that the score reads, or none left.
    """
    given = min_quality_score
    if isinstance(given, bool) or not (isinstance(given, int | float) and 0 <= given <= 1):
        raise DataError(f"min_quality_score is {min_quality_score!r}: give a number from 0 to 1.")
    rows = load_rows(source)
    scores = [quality_score(row, where) for where, row in rows]
    unknown = scores.count(None)
    if min_quality_score > 0 and unknown:
        raise DataError(
            f"{_name(source)}: {unknown} of {len(rows)} rows have no quality: give `resolved`, "
            "`satisfaction` (1 to 5) or `reopened`, or leave out min_quality_score."
        )
    kept = [
        row if score is None else {**row, "quality_score": round(score, 4)}
        for (_, row), score in zip(rows, scores, strict=True)
        if score is None or score >= min_quality_score
    ]
    if not kept:
        best = max(score for score in scores if score is not None)
        raise DataError(
            f"{_name(source)}: no row reaches min_quality_score {min_quality_score}; "
            f"the best has {best:.2f}. Lower it."
        )
    return kept


def _name(source: Any) -> str:
    return os.fspath(source) if isinstance(source, str | os.PathLike) else type(source).__name__
