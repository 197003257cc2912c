"""The record of a judge's calibration, which a judge's reward asks for before it scores.

`stateset-rl judge calibrate` writes it; `evaluation/judge_fitness.py` says what fit means. It is a JSON file:
whoever edits it fools himself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stateset.rl.errors import RewardError

_ADVICE = (
    "Measure it on labelled answers with `stateset-rl judge calibrate MODULE:NAME labels.csv`, or give the "
    "reward force=True to score with a judge that nobody has measured"
)


def require_fit(file: Path, model: str | None, rubric: str) -> Mapping[str, Any]:
    """The record of a fit judge; one that was not measured, or was found unfit, is refused.

    Args:
        file: the record.
        model: the judge's model, which must be the record's.
        rubric: hash of the rubric and of how it is asked, which must be the record's.

    Raises:
        RewardError: there is no record, it is of another judge, or it says unfit.
    """
    if not file.is_file():
        raise RewardError(
            f"the judge {model} is not calibrated for this rubric: there is no {file}. {_ADVICE}"
        )
    record = _read(file)
    for name, wanted in (("model", model), ("rubric", rubric)):
        if record.get(name) != wanted:
            raise RewardError(
                f"{file} is the calibration of another {name} ({record.get(name)}, not {wanted}). {_ADVICE}"
            )
    if record.get("fit") is not True:
        reasons = "; ".join(map(str, record.get("unfit", []))) or "no reason given"
        raise RewardError(
            f"the judge {model} is unfit by {file}: {reasons}. Change the rubric or the model and "
            "calibrate again, or give the reward force=True to train on its faults"
        )
    return record


def why_unfit(file: Path, model: str | None, rubric: str) -> str:
    """What `require_fit` says; empty for a fit judge."""
    try:
        require_fit(file, model, rubric)
    except RewardError as error:
        return str(error)
    return ""


def _read(file: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RewardError(f"{file} cannot be read as a calibration ({error}). {_ADVICE}") from error
    if not isinstance(record, Mapping):
        raise RewardError(f"{file} is no calibration: it holds no JSON object. {_ADVICE}")
    return record
