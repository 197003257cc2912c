"""What the evaluations of a run said, for the commands that show runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stateset.rl.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Mean rewards on the held-out rows; None where nothing could be scored."""

    before: float | None
    after: float | None
    best: float | None
    best_step: int | None


def read_held_out(run: Path) -> HeldOut | None:
    """The first, last and best evaluation of a run; None if it had none.

    Raises:
        DataError: its file is damaged.
    """
    from stateset.rl.tracking.read_runs import read_jsonl

    file = run / "eval" / "summary.jsonl"
    lines = list(read_jsonl(file))
    for number, line in enumerate(lines, 1):
        if not isinstance(line, dict) or not {"reward", "step"} <= line.keys():
            raise DataError(
                f"{file}:{number} is damaged (it has no reward or step): remove that line, "
                "or restore the file"
            )
    return _summarize(lines) if lines else None


def _summarize(lines: list[dict[str, Any]]) -> HeldOut:
    scored = [line for line in lines if line["reward"] is not None]
    best = max(scored, key=lambda line: float(line["reward"]), default={"reward": None, "step": None})
    return HeldOut(
        before=lines[0]["reward"], after=lines[-1]["reward"], best=best["reward"], best_step=best["step"]
    )
