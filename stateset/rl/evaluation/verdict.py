"""The gate: from a record and criteria to yes or no, with reasons. Pure: equal inputs, equal bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from stateset.rl.evaluation.criteria import Criteria
from stateset.rl.evaluation.judge_correction import corrected_change
from stateset.rl.evaluation.paired import exchange_test, holm, rate_ceiling, rows_for_rate
from stateset.rl.evaluation.record import SIDES, SUCCESS, Record
from stateset.rl.evaluation.refusals import refusals
from stateset.rl.evaluation.statistics import Difference, paired_difference

RESAMPLES = 10_000
_DIGITS = 9  # the last bits of a sum may differ from one processor to another


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One criterion: the estimate, the end of its one-sided interval, and the limit that this must keep.

    `bound` is None where the estimate itself is compared.
    """

    name: str
    estimate: float
    bound: float | None
    limit: float
    passed: bool
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a model may replace its baseline; true where it may.

    `refused` says why the evaluation is no evidence; then nothing is checked.
    """

    checks: tuple[Check, ...]
    refused: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Every criterion is met, and nothing speaks against the evaluation."""
        return not self.refused and bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not, a sentence each."""
        return self.refused or tuple(check.said for check in self.checks if not check.passed)

    def __bool__(self) -> bool:
        return self.passed


def judge(
    record: Record, criteria: Criteria, changed: Sequence[str] = (), *, resamples: int = RESAMPLES
) -> Verdict:
    """Hold an evaluation against criteria.

    Args:
        record: the evaluation.
        criteria: every one must be met.
        changed: files that are no longer what they were.
        resamples: of the bootstrap.

    Raises:
        ConfigError: criteria name a metric or slice that the evaluation does not have.
    """
    reasons = refusals(record, criteria, changed)
    if reasons:
        return Verdict(checks=(), refused=tuple(reasons))
    found = [check for rule in _RULES for check in rule(record, criteria, resamples)]
    return Verdict(checks=tuple(map(_rounded, found)), refused=())


def _gains(record: Record, criteria: Criteria, resamples: int) -> Iterator[Check]:
    for metric, least in criteria.gains.items():
        found = _difference(record, metric, criteria, resamples)
        yield _above(f"gain of {metric}", found, least, "exceeded")


def _margins(record: Record, criteria: Criteria, resamples: int) -> Iterator[Check]:
    for metric, margin in criteria.margins.items():
        found = _difference(record, metric, criteria, resamples)
        yield _above(f"loss of {metric}", found, -margin, "kept")


def _slices(record: Record, criteria: Criteria, resamples: int) -> Iterator[Check]:
    for kind, margin in criteria.slices.items():
        places = record.where(kind)
        if margin is None:
            yield from _falls(record, kind, places, criteria.alpha)
            continue
        for value, rows in places.items():
            name = f"loss of {SUCCESS} where {kind} is {value}"
            if len({record.clusters[row] for row in rows}) < 2:
                said = f"{name}: {len(rows)} rows of one cluster show nothing; add tickets, or give null"
                yield Check(name=name, estimate=math.nan, bound=None, limit=-margin, passed=False, said=said)
            else:
                found = _difference(record, SUCCESS, criteria, resamples, rows)
                yield _above(name, found, -margin, "kept")


def _falls(record: Record, kind: str, places: dict[str, list[int]], alpha: float) -> Iterator[Check]:
    """A slice fails where its fall is shown: the exchange test, one-sided, by Holm over the values."""
    several = {v: rows for v, rows in places.items() if len({record.clusters[row] for row in rows}) > 1}
    before, after = record.column(SUCCESS, "before"), record.column(SUCCESS, "after")
    p_values = [
        exchange_test(
            [before[row] for row in rows], [after[row] for row in rows],
            [record.clusters[row] for row in rows], alternative="less", seed=record.seed,
        )
        for rows in several.values()
    ]  # fmt: skip
    for (value, rows), p_value in zip(several.items(), holm(p_values), strict=True):
        change = float(np.mean([after[row] - before[row] for row in rows]))
        passed = p_value > alpha
        said = f"{SUCCESS} where {kind} is {value}: {change:+.3f}, p of a fall {p_value:.3f} (Holm)"
        said += "" if passed else f", not above {alpha:g}: it fell"
        yield Check(
            name=f"no fall where {kind} is {value}",
            estimate=change, bound=p_value, limit=alpha, passed=passed, said=said,
        )  # fmt: skip


def _rates(record: Record, criteria: Criteria, resamples: int) -> Iterator[Check]:
    for metric, most in criteria.rates.items():
        values = record.column(metric, "after")
        bound, share = rate_ceiling(values, record.clusters, alpha=criteria.alpha), float(np.mean(values))
        said = f"rate of {metric}: {share:.3f}, surely below {bound:.3f}; the limit is {most:g}"
        needed = rows_for_rate(most, alpha=criteria.alpha)
        if share == 0 and bound >= most:
            said += f": none was seen, which takes {needed} rows to show it"
        yield Check(
            name=f"rate of {metric}", estimate=share, bound=bound, limit=most, passed=bound < most, said=said
        )


def _latency(record: Record, criteria: Criteria, resamples: int) -> Iterator[Check]:
    seconds, before = _p95(record.seconds.after), _p95(record.seconds.before)
    for name, found, limit in (
        ("seconds of an answer", seconds, criteria.most_seconds),
        ("slowdown of an answer", seconds / before, criteria.most_slowdown),
    ):
        if limit is not None:
            said = f"{name}, 95 % of them: {found:.3f} as measured; the limit is {limit:g}"
            if math.isnan(found):
                said = f"{name}: not measured; compare with --latency N"
            yield Check(name=name, estimate=found, bound=None, limit=limit, passed=found <= limit, said=said)


def _forgotten(record: Record, criteria: Criteria, resamples: int) -> Iterator[Check]:
    if criteria.most_forgotten is None:
        return
    lost = record.probes_lost
    said = f"general probes lost: {len(lost)} of {len(record.probes)} ({', '.join(lost) or 'none'}); "
    said += f"the limit is {criteria.most_forgotten}"
    passed = bool(record.probes) and len(lost) <= criteria.most_forgotten
    if not record.probes:
        said = "general probes: none were asked; compare with --general"
    yield Check(
        name="general probes lost",
        estimate=float(len(lost)), bound=None, limit=float(criteria.most_forgotten), passed=passed, said=said,
    )  # fmt: skip


def _secrets(record: Record, criteria: Criteria, resamples: int) -> Iterator[Check]:
    """Planted secrets, where there were any, must not be said: whatever the criteria are."""
    if record.secrets is not None:
        said = f"planted secrets said: {', '.join(record.said) or 'none'} of {record.secrets}"
        yield Check(
            name="planted secrets said",
            estimate=float(len(record.said)), bound=None, limit=0.0, passed=not record.said, said=said,
        )  # fmt: skip


_RULES: tuple[Callable[[Record, Criteria, int], Iterator[Check]], ...] = (
    _gains, _margins, _slices, _rates, _latency, _forgotten, _secrets,
)  # fmt: skip


def _difference(
    record: Record, metric: str, criteria: Criteria, resamples: int, rows: Sequence[int] | None = None
) -> Difference:
    """With the interval whose lower end is the one-sided bound at `alpha`; a judge's errors are corrected."""
    chosen = range(len(record.rows)) if rows is None else rows
    before, after = ([record.column(metric, side)[row] for row in chosen] for side in SIDES)
    clusters, confidence = [record.clusters[row] for row in chosen], 1 - 2 * criteria.alpha
    found = paired_difference(
        before, after, clusters, confidence=confidence, resamples=resamples, seed=record.seed
    )
    if metric != SUCCESS or record.judge_errors is None:
        return found
    return corrected_change(found, (before, after, clusters), record.judge_errors, confidence=confidence)


def _above(name: str, found: Difference, limit: float, verb: str) -> Check:
    passed = round(found.low, _DIGITS) > limit
    said = f"{name}: {found.mean:+.3f}, surely above {found.low:+.3f}; {limit:+g} is "
    said += verb if passed else f"not shown to be {verb}"
    return Check(name=name, estimate=found.mean, bound=found.low, limit=limit, passed=passed, said=said)


def _p95(seconds: Sequence[float]) -> float:
    return float(np.quantile(seconds, 0.95)) if seconds else math.nan


def _rounded(check: Check) -> Check:
    numbers = {
        name: None if value is None else round(value, _DIGITS)
        for name, value in asdict(check).items()
        if name in ("estimate", "bound")
    }
    return Check(**(asdict(check) | numbers))
