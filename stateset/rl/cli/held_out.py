"""What the evaluations of a run said, for the commands that show runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Mean rewards on the held-out rows; None where nothing could be scored."""

    before: float | None
    after: float | None
    best: float | None
    best_step: int | None


def read_held_out(run: Path) -> HeldOut | None:
    """The first, last and best evaluation of a run; None if it had none."""
    from stateset.rl.tracking.read_runs import read_jsonl

    lines = list(read_jsonl(run / "eval" / "summary.jsonl"))
    if not lines:
        return None
    scored = [line for line in lines if line["reward"] is not None]
    best = max(scored, key=lambda line: float(line["reward"]), default={"reward": None, "step": None})
    return HeldOut(
        before=lines[0]["reward"], after=lines[-1]["reward"], best=best["reward"], best_step=best["step"]
    )
