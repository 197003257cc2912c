"""Whether a judge is fit as a reward, from its grades of answers that people labelled right or wrong.

Pure: nothing here asks a judge. docs/judge-calibration.md says where the limits come from. What speaks for a
judge must be shown, so that the lower end of an interval counts; and so must what speaks against it (length,
position). Intervals are of 95 %: Wilson's for TPR and TNR, else from resampling whole prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from stateset.rl.evaluation.statistics import cohen_kappa

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Index = NDArray[np.intp]
Rule = Callable[[float, float, float], bool]  # of the value and the ends of its interval

_LEAST_FREEDOM = 30  # degrees of freedom from which a spread within prompts is known
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """Labelled answers with a judge's grades; NaN where the judge gave none.

    Attributes:
        right: [N] the people's verdict.
        grades: [N, K] of K times that the judge was asked the same, at least 2.
        swapped: [N] grade with the answer before the request.
        lengths: [N] characters of the answers.
        prompts: [N] what tells prompts apart.
    """

    right: Bools
    grades: Floats
    swapped: Floats
    lengths: Floats
    prompts: Sequence[Hashable]


@dataclass(frozen=True, slots=True)
class Measure:
    """One number with its interval (NaN where there is none), its limit in words, and whether it is met."""

    name: str
    value: float
    low: float
    high: float
    limit: str
    fit: bool


def _lower_end_above(least: float) -> tuple[str, Rule]:
    return f"lower end above {least:g}", lambda value, low, high: low > least


def _no_bias_above(most: float) -> tuple[str, Rule]:
    def rule(value: float, low: float, high: float) -> bool:
        return abs(value) <= most or low <= 0 <= high  # neither holds for NaN

    return f"at most {most:g} from 0, or 0 in the interval", rule


def _at_most(most: float) -> tuple[str, Rule]:
    return f"at most {most:g}", lambda value, low, high: value <= most


LIMITS: Mapping[str, tuple[str, Rule]] = {
    "unscored": _at_most(0.05),
    "answers of the rarer label": ("30, else nobody can tell", lambda value, low, high: value >= 30),
    "TPR": _lower_end_above(0.6),
    "TNR": _lower_end_above(0.6),
    "Cohen's kappa": _lower_end_above(0.4),
    "Youden's J": _lower_end_above(0.0),
    "length bias": _no_bias_above(0.3),
    "position bias": _no_bias_above(0.1),
    "noise, of the spread within prompts": _at_most(0.5),
    "noise, of the spread over all prompts": _at_most(0.5),
}


def measure_judge(graded: Graded, passes_at: float) -> list[Measure]:
    """Every measure of a judge; only the first two where fewer than 2 answers of a label have a grade.

    Args:
        graded: at least one row.
        passes_at: grade from which the judge says right.
    """
    kept = ~np.isnan(graded.grades[:, 0])
    right, grades, swapped = graded.right[kept], graded.grades[kept], graded.swapped[kept]
    first, lengths = grades[:, 0], graded.lengths[kept]
    passed = first >= passes_at
    rarer = int(min(right.sum(), (~right).sum()))
    asked = np.column_stack([graded.grades, graded.swapped])
    counted = [
        _measure("unscored", float(np.isnan(asked).mean())),
        _measure("answers of the rarer label", rarer),
    ]
    if rarer < 2:
        return counted
    num_prompts, prompts = _numbered(prompt for prompt, one in zip(graded.prompts, kept, strict=True) if one)
    clusters = [np.flatnonzero(prompts == number) for number in range(num_prompts)]
    flips = flip_excess(grades, swapped, passes_at)
    place, again, apart = noise_parts(grades, prompts)
    statistics: dict[str, Callable[[Index], float]] = {
        "Cohen's kappa": lambda rows: cohen_kappa(right[rows].tolist(), passed[rows].tolist()),
        "Youden's J": lambda rows: youden(right[rows], passed[rows]),
        "length bias": lambda rows: length_bias(right[rows], first[rows], lengths[rows]),
        "position bias": lambda rows: _mean(flips[rows]),
        f"noise, of the spread {place}": lambda rows: noise_share(again[:, rows], apart[:, rows]),
    }
    every = np.arange(len(right))
    return [
        *counted,
        _measure("TPR", float(passed[right].mean()), *wilson(passed[right])),
        _measure("TNR", float((~passed[~right]).mean()), *wilson(~passed[~right])),
        *(_measure(name, one(every), *_interval(one, clusters)) for name, one in statistics.items()),
    ]


def wilson(hits: Bools) -> tuple[float, float]:
    """The interval of a share (Wilson 1927), as if every row stood for itself."""
    ends = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)


def youden(right: Bools, passed: Bools) -> float:
    """TPR + TNR - 1 (Youden 1950); NaN without both labels."""
    if right.all() or not right.any():
        return math.nan
    return float(passed[right].mean() - passed[~right].mean())


def length_bias(right: Bools, grades: Floats, lengths: Floats) -> float:
    """Rank correlation of grade and length among answers of one label, pooled; 0 if one is constant.

    Within a label it is that of the judge's error, too. Over all answers it would hold against the judge that
    right answers are longer.
    """
    grade, length = (
        np.concatenate([_centred_ranks(values[kept]) for kept in (right, ~right)])
        for values in (grades, lengths)
    )
    scale = math.sqrt(float((grade**2).sum() * (length**2).sum()))
    return float((grade * length).sum()) / scale if scale > 0 else 0.0


def flip_excess(grades: Floats, swapped: Floats, passes_at: float) -> Floats:
    """[N] 1 where the verdict flips with the answer's place, less 1 where it flips by itself.

    NaN where one of the three grades is missing. Of `grades`, [N, K], the first two count; `swapped` is [N].
    """
    first, again, other = (values >= passes_at for values in (grades[:, 0], grades[:, 1], swapped))
    missing = np.isnan(grades[:, 1]) | np.isnan(swapped)
    return np.where(missing, np.nan, (first != other).astype(np.float64) - (first != again))


def noise_parts(grades: Floats, prompts: Index) -> tuple[str, Floats, Floats]:
    """What `noise_share` adds up: where answers are compared, then each row's part of both variances, [2, N].

    Answers are compared within their prompt, as in training, where that gives degrees of freedom enough.
    """
    within = len(prompts) - len(np.unique(prompts)) >= _LEAST_FREEDOM
    rows = np.arange(len(grades))
    again = _deviations(grades.ravel(), np.repeat(rows, grades.shape[1]))
    apart = _deviations(grades[:, 0], prompts if within else np.zeros_like(prompts))
    again = again.reshape(2, *grades.shape).sum(axis=2)
    return "within prompts" if within else "over all prompts", again, apart


def noise_share(again: Floats, apart: Floats) -> float:
    """How far the grades of one answer lie apart, as a share of how far answers lie apart.

    Both are standard deviations (n-1), pooled. NaN where all answers have one grade, or none has two.
    """
    noise, freedom = again.sum(axis=1)
    spread, spread_freedom = apart.sum(axis=1)
    if not (freedom > 0 and spread > 0):
        return math.nan
    return math.sqrt(float(noise / freedom) / float(spread / spread_freedom))


def _deviations(values: Floats, groups: Index) -> Floats:
    """[2, N] squared distances from the group's mean, and parts of the degrees of freedom; 0 for NaN."""
    kept = ~np.isnan(values)
    sizes = np.maximum(np.bincount(groups, kept), 1)
    means = np.bincount(groups, np.where(kept, values, 0.0)) / sizes
    found: Floats = np.where(kept, [(values - means[groups]) ** 2, 1 - 1 / sizes[groups]], 0.0)
    return found


def _measure(name: str, value: float, low: float = math.nan, high: float = math.nan) -> Measure:
    limit, rule = LIMITS[name]
    return Measure(name, value, low, high, limit, bool(rule(value, low, high)))


def _interval(statistic: Callable[[Index], float], clusters: Sequence[Index]) -> tuple[float, float]:
    """The middle 95 % over resamples of whole clusters, of rows where there is but one (Efron 1979)."""
    units = clusters if len(clusters) > 1 else [*clusters[0][:, None]]
    random = np.random.default_rng(0)
    draws = (random.integers(len(units), size=len(units)) for _ in range(_RESAMPLES))
    found = [statistic(np.concatenate([units[unit] for unit in drawn])) for drawn in draws]
    finite = [value for value in found if math.isfinite(value)]
    low, high = np.quantile(finite, (0.025, 0.975)) if finite else (math.nan, math.nan)
    return float(low), float(high)


def _centred_ranks(values: Floats) -> Floats:
    """[N] ranks about 0, in shares of N."""
    ranks: Floats = (stats.rankdata(values) - (len(values) + 1) / 2) / max(1, len(values))
    return ranks


def _numbered(names: Iterable[Hashable]) -> tuple[int, Index]:
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)
    return len(numbers), codes


def _mean(values: Floats) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else math.nan
