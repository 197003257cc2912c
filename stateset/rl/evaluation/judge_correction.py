"""What a judge's pass rate says of the true one, given how often the judge is right.

A judge passes a share TPR of the right answers and, by mistake, 1 - TNR of the wrong ones, so that its rate
is compressed and shifted. Both errors must be the same on the answers that are judged now as on the labelled
ones, and in both arms: a policy that learned to please the judge breaks that, and no arithmetic repairs it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from stateset.rl.errors import DataError
from stateset.rl.evaluation.statistics import Difference, standard_error

Changes = tuple[Sequence[float], Sequence[float], Sequence[Hashable]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeErrors:
    """How often a judge agrees with labels: `tpr` of `num_right` right answers, `tnr` of `num_wrong`."""

    tpr: float
    num_right: int
    tnr: float
    num_wrong: int


def judge_errors(calibration: Mapping[str, Any]) -> JudgeErrors | None:
    """The errors that a record of `judge calibrate` holds; None where it is of a version without them."""
    measured = {one["name"]: one["value"] for one in calibration.get("measures", [])}
    graded = calibration.get("graded")
    if graded is None or not {"TPR", "TNR"} <= measured.keys():
        return None
    return JudgeErrors(
        tpr=measured["TPR"], num_right=graded["right"], tnr=measured["TNR"], num_wrong=graded["wrong"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """An estimate with its interval, on the scale of the true rate."""

    mean: float
    low: float
    high: float


def correct_rate(
    rate: float, standard_error: float, judge: JudgeErrors, *, confidence: float = 0.95
) -> Corrected:
    """The true pass rate behind a judge's, (rate + TNR - 1) / (TPR + TNR - 1) (Rogan & Gladen 1978).

    The interval is that of the delta method over all three rates, cut to 0 and 1.

    Args:
        rate: the judge's pass rate, 0 to 1.
        standard_error: of `rate`, with whole clusters as units.
        judge: from its calibration.
        confidence: share of such intervals that hold the true rate.

    Raises:
        DataError: the judge is no better than chance, or a number is out of range.
    """
    youden = _youden(judge)
    true = (rate + judge.tnr - 1) / youden
    spread = standard_error**2 + true**2 * _variance(judge.tpr, judge.num_right)
    spread += (1 - true) ** 2 * _variance(judge.tnr, judge.num_wrong)
    found = _around(true, math.sqrt(spread) / youden, confidence)
    return Corrected(**{name: min(max(value, 0.0), 1.0) for name, value in found.items()})


def correct_difference(
    difference: float, standard_error: float, judge: JudgeErrors, *, confidence: float = 0.95
) -> Corrected:
    """The true difference behind one of a judge's pass rates: difference / (TPR + TNR - 1).

    Arguments and errors as for `correct_rate`; cut to -1 and 1. An imperfect judge sees every difference
    smaller than it is.
    """
    youden = _youden(judge)
    true = difference / youden
    errors = _variance(judge.tpr, judge.num_right) + _variance(judge.tnr, judge.num_wrong)
    found = _around(true, math.sqrt(standard_error**2 + true**2 * errors) / youden, confidence)
    return Corrected(**{name: min(max(value, -1.0), 1.0) for name, value in found.items()})


def corrected_change(
    found: Difference, values: Changes, judge: JudgeErrors, *, confidence: float
) -> Difference:
    """A paired difference of a judge's pass rates, on the scale of the true ones.

    Args:
        found: the difference as the judge sees it.
        values: what it was made of: before, after and the cluster of each row.
        judge: from its calibration.
        confidence: share of such intervals that hold the true difference.
    """
    before, after, clusters = values
    error = standard_error(np.asarray(after) - np.asarray(before), clusters)
    true = correct_difference(found.mean, error, judge, confidence=confidence)
    return replace(found, mean=true.mean, low=true.low, high=true.high)


def _around(mean: float, error: float, confidence: float) -> dict[str, float]:
    reach = float(stats.norm.ppf(0.5 + confidence / 2)) * error
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def _variance(share: float, rows: int) -> float:
    """Of a share from few labels, with one hit and one miss added, so that 20 of 20 is not certain."""
    smoothed = (share * rows + 1) / (rows + 2)
    return smoothed * (1 - smoothed) / (rows + 2)


def _youden(judge: JudgeErrors) -> float:
    if not (0 <= judge.tpr <= 1 and 0 <= judge.tnr <= 1 and judge.num_right > 0 and judge.num_wrong > 0):
        raise DataError(f"{judge} is no calibration: TPR and TNR lie in [0, 1], each from labelled answers")
    youden = judge.tpr + judge.tnr - 1
    if youden <= 0:
        raise DataError(
            f"TPR {judge.tpr:.2f} and TNR {judge.tnr:.2f}: this judge is no better than chance, so its rates "
            "say nothing; calibrate another one"
        )
    return youden
