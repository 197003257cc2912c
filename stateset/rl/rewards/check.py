"""Whether a reward can teach: groups and probes in, findings out. The limits' sources: docs/reward-check.md.

Pure: nothing here calls a reward or a model. `probes.py` makes the probes, `trial.py` calls the reward.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from stateset.rl.types import Score, ScoredGroup

Verdict = Literal["pass", "warn", "fail"]
NO_SIGNAL = (0.5, 0.9)  # of each pair: warn above, fail above
ONE_END = (0.5, 0.9)
LENGTH = (0.6, 0.9)
DOMINANT = 0.95
COPY = 0.95
TAIL = (20.0, 100.0)
UNSCORED = (0.01, 0.2)
SLOW = 1.0
UGLY_LOSES = (0.01, 0.05)
_CLOSE = 1e-9
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: its verdict, what was found in a sentence, and the worst example as text."""

    name: str
    verdict: Verdict
    said: str
    example: str = ""


class Probe(NamedTuple):
    """Scores of one probe, one a row (None: unscored), with the texts that were scored."""

    name: str
    texts: Sequence[str]
    scores: Sequence[float | None]


def check_groups(groups: Sequence[ScoredGroup], *, sampling_seconds: float | None = None,
                 seconds: Sequence[float] = ()) -> list[Finding]:  # fmt: skip
    """What recorded or sampled groups say about a reward.

    Args:
        groups: with at least two responses each.
        sampling_seconds: how long a response took to sample; None: unknown.
        seconds: how long each call of the reward took.
    """
    scored = [[s.total for s in group.scores if s.total is not None] for group in groups]
    return [
        check_unscored(groups),
        _signal(groups, scored),
        _one_end(scored),
        _length(groups),
        *_parts(groups),
        _tails(groups),
        *_cost(sampling_seconds, seconds),
    ]


def check_repeat(name: str, first: Sequence[Score], second: Sequence[Score], texts: Sequence[str]) -> Finding:
    """Whether the same responses got the same scores again."""
    differ = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if not _same(a.total, b.total)]
    if not differ:
        return Finding(name=name, verdict="pass", said=f"{len(texts)} scores are the same")
    worst = differ[0]
    return Finding(
        name=name, verdict="fail", said=f"{len(differ)} of {len(texts)} scores differ",
        example=f"{first[worst].total} and {second[worst].total} for {_short(texts[worst])}",
    )  # fmt: skip


def check_probes(right: Probe, wrong: Probe, probes: Sequence[Probe]) -> list[Finding]:
    """What a reward pays for: probes against the rows' right answers and right answers of other rows."""
    r, w = _mean(right), _mean(wrong)
    gap = _gap(right, wrong)
    if gap is None or gap[0] <= 0:
        low = "unscored" if gap is None else f"{r - w:.3f}, at least {gap[0]:.3f} with 95 % confidence"
        return [
            Finding(
                name="right above wrong", verdict="fail",
                said=f"right answers {r:.3f}, those of other rows {w:.3f}: the difference is {low}",
                example=_worst(wrong, highest=True),
            ),
        ]  # fmt: skip
    said = f"right answers {r:.3f}, those of other rows {w:.3f}"
    first = Finding(name="right above wrong", verdict="pass", said=said)
    return [first, *(_probed(probe, r, w) for probe in probes)]


def verdict(findings: Sequence[Finding]) -> Verdict:
    """The worst of them."""
    order: tuple[Verdict, ...] = ("pass", "warn", "fail")
    return max((finding.verdict for finding in findings), key=order.index, default="pass")


def _probed(probe: Probe, r: float, w: float) -> Finding:
    found = _mean(probe)
    if math.isnan(found):
        return Finding(name=probe.name, verdict="pass", said="the reward scored none: nothing to be won")
    judged = RULES[probe.name](found, r, w)
    example = "" if judged == "pass" else _worst(probe, highest=found > w)
    return Finding(name=probe.name, verdict=judged, said=f"{found:.3f} of {r:.3f}", example=example)


def check_order(ugly_right: Probe, pretty_wrong: Probe) -> Finding:
    """Whether right but ugly answers beat wrong but pretty ones, row by row."""
    pairs = [
        (ugly, pretty, text)
        for ugly, pretty, text in zip(ugly_right.scores, pretty_wrong.scores, pretty_wrong.texts, strict=True)
        if ugly is not None and pretty is not None
    ]
    lost = [(ugly, pretty, text) for ugly, pretty, text in pairs if pretty > ugly]
    share = len(lost) / max(1, len(pairs))
    example = max(lost, key=lambda pair: pair[1] - pair[0])[2] if lost else ""
    return Finding(
        name="right but ugly against wrong but pretty", verdict=_above(share, UGLY_LOSES),
        said=f"the wrong one wins in {share:.0%} of rows",
        example=_short(example) if example else "",
    )  # fmt: skip


Rule = Callable[[float, float, float], bool]  # a probe's mean, that of right answers, that of wrong ones


def _rule(fail: Rule, warn: Rule) -> Callable[[float, float, float], Verdict]:
    def judged(found: float, r: float, w: float) -> Verdict:
        return "fail" if fail(found, r, w) else "warn" if warn(found, r, w) else "pass"

    return judged


def _never(found: float, r: float, w: float) -> bool:
    return False


def _halfway(found: float, r: float, w: float) -> bool:
    return found >= (r + w) / 2


def _above_wrong(found: float, r: float, w: float) -> bool:
    return found > w + _CLOSE


def _as_right(found: float, r: float, w: float) -> bool:
    return found >= r - _CLOSE


_WORTHLESS = _rule(_halfway, _above_wrong)
RULES: Mapping[str, Callable[[float, float, float], Verdict]] = {
    "empty": _WORTHLESS,
    "blanks": _WORTHLESS,
    "the prompt said again": _WORTHLESS,
    "the policy copied": _WORTHLESS,
    "the reward's own words": _WORTHLESS,
    "all right answers at once": _rule(_as_right, _halfway),
    "a generic apology": _WORTHLESS,
    "resolved!": _WORTHLESS,
    "a template without content": _WORTHLESS,
    "cut in half": _rule(_as_right, _never),
    "padded with politeness": _rule(
        lambda found, r, w: found > r + 0.2 * (r - w), lambda found, r, w: found < r - 0.5 * (r - w)
    ),
    "in another case and spacing": _rule(
        lambda found, r, w: found < (r + w) / 2, lambda found, r, w: found < r - 0.2 * (r - w)
    ),
    "sentences in another order": _rule(_never, lambda found, r, w: found < (r + w) / 2),
    "another language": _rule(_as_right, _never),
    "injection": _WORTHLESS,
}


def check_unscored(groups: Sequence[ScoredGroup]) -> Finding:
    """How many responses the reward could not score."""
    every = [score for group in groups for score in group.scores]
    missing = [score for score in every if score.total is None]
    share = len(missing) / max(1, len(every))
    return Finding(
        name="unscored", verdict=_above(share, UNSCORED), said=f"{share:.1%} of {len(every)} responses",
        example=missing[0].reason if missing else "",
    )  # fmt: skip


def _signal(groups: Sequence[ScoredGroup], scored: Sequence[Sequence[float]]) -> Finding:
    flat = [i for i, values in enumerate(scored) if len(values) < 2 or max(values) - min(values) <= _CLOSE]
    share = len(flat) / max(1, len(scored))
    example = ""
    if flat and share > NO_SIGNAL[0]:
        group = groups[flat[0]].group
        example = f"{scored[flat[0]][:1]} for every response to {_short(group.task.question)}"
    said = f"{share:.0%} of {len(scored)} groups"
    return Finding(name="groups without signal", verdict=_above(share, NO_SIGNAL), said=said, example=example)


def _one_end(scored: Sequence[Sequence[float]]) -> Finding:
    every = [value for values in scored for value in values]
    flat = [values[0] for values in scored if values and max(values) - min(values) <= _CLOSE]
    if not every or max(every) - min(every) <= _CLOSE:
        return Finding(name="saturation", verdict="fail", said="all scores are the same")
    high = sum(value >= max(every) - _CLOSE for value in flat) / len(scored)
    low = sum(value <= min(every) + _CLOSE for value in flat) / len(scored)
    said = f"{high:.0%} of groups all at the highest score, {low:.0%} all at the lowest"
    return Finding(name="saturation", verdict=_above(max(high, low), ONE_END), said=said)


def _length(groups: Sequence[ScoredGroup]) -> Finding:
    found: list[tuple[float, str]] = []
    for group in groups:
        pairs = [
            (len(rollout.text), score.total, rollout.text)
            for rollout, score in zip(group.group.rollouts, group.scores, strict=True)
            if score.total is not None
        ]
        lengths, totals = [p[0] for p in pairs], [p[1] for p in pairs]
        if len(set(lengths)) > 1 and len(set(totals)) > 1:
            best = max(pairs, key=lambda pair: pair[1])[2]
            found.append((float(stats.spearmanr(lengths, totals).statistic), best))
    if not found:
        return Finding(name="length", verdict="pass", said="no group in which it could show")
    mean = statistics.fmean(value for value, _ in found)
    judged = _above(abs(mean), LENGTH)
    example = "" if judged == "pass" else _short(max(found, key=lambda pair: abs(pair[0]))[1])
    said = f"rank correlation {mean:+.2f} within {len(found)} groups"
    return Finding(name="length", verdict=judged, said=said, example=example)


def _parts(groups: Sequence[ScoredGroup]) -> Iterator[Finding]:
    """Which part rules the total, and which are copies, by deviations from the group's mean."""
    names = sorted({name for group in groups for score in group.scores for name in score.parts})
    if len(names) < 2:
        return
    rows = []
    for group in groups:
        kept = [s for s in group.scores if s.total is not None and set(names) <= set(s.parts)]
        table = np.array([[s.parts[name] for name in names] + [s.value] for s in kept])
        if len(table) > 1:
            rows.append(table - table.mean(0))
    if not rows:
        return
    values = np.concatenate(rows)
    spread = values.std(0)
    total = spread[-1]
    shares = {
        name: abs(float(np.mean(values[:, i] * values[:, -1]))) / total**2
        for i, name in enumerate(names)
        if total > _CLOSE
    }
    if shares:
        name = max(shares, key=shares.__getitem__)
        ruling = shares[name] > DOMINANT
        said = f"{name} makes {min(shares[name], 1):.0%} of the variance within groups"
        yield Finding(name="one part rules", verdict="warn" if ruling else "pass", said=said)
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            if min(spread[i], spread[j]) > _CLOSE:
                alike = float(np.corrcoef(values[:, i], values[:, j])[0, 1])
                if alike > COPY:
                    said = f"{other} and {one} correlate by {alike:.2f} within groups"
                    yield Finding(name="copies", verdict="warn", said=said)


def _tails(groups: Sequence[ScoredGroup]) -> Finding:
    worst, text = 0.0, ""
    for group in groups:
        pairs = [
            (score.total, rollout.text)
            for rollout, score in zip(group.group.rollouts, group.scores, strict=True)
            if score.total is not None
        ]
        if len(pairs) < 3:
            continue
        middle = statistics.median(total for total, _ in pairs)
        usual = statistics.median(abs(total - middle) for total, _ in pairs)
        far, said = max((abs(total - middle), text) for total, text in pairs)
        if usual > _CLOSE and far / usual > worst:
            worst, text = far / usual, said
    judged = _above(worst, TAIL)
    return Finding(
        name="tails", verdict=judged, said=f"the farthest response is {worst:.1f} median distances away",
        example="" if judged == "pass" else _short(text),
    )  # fmt: skip


def _cost(sampling: float | None, seconds: Sequence[float]) -> Iterator[Finding]:
    if not seconds:
        return
    p50, p95 = (float(np.quantile(seconds, q)) for q in (0.5, 0.95))
    slow = sampling is not None and p95 > SLOW * sampling
    said = f"{1000 * p50:.1f} ms a response, p95 {1000 * p95:.1f} ms"
    if slow:
        said += f"; sampling one takes {1000 * (sampling or 0):.1f} ms"
    yield Finding(name="cost", verdict="warn" if slow else "pass", said=said)


def _gap(right: Probe, wrong: Probe) -> tuple[float, float] | None:
    """The 95 % interval of the mean difference, rows resampled."""
    pairs = [
        (a, b) for a, b in zip(right.scores, wrong.scores, strict=True) if a is not None and b is not None
    ]
    if len(pairs) < 2:
        return None
    differences = np.array([a - b for a, b in pairs])
    picks = np.random.default_rng(0).integers(0, len(differences), (_RESAMPLES, len(differences)))
    low, high = np.quantile(differences[picks].mean(1), (0.025, 0.975))
    return float(low), float(high)


def _mean(probe: Probe) -> float:
    values = [score for score in probe.scores if score is not None]
    return statistics.fmean(values) if values else math.nan


def _worst(probe: Probe, *, highest: bool) -> str:
    pairs = [(s, text) for s, text in zip(probe.scores, probe.texts, strict=True) if s is not None]
    if not pairs:
        return ""
    score, text = max(pairs) if highest else min(pairs)
    return f"{score:.3f} for {_short(text)}"


def _above(value: float, limits: tuple[float, float]) -> Verdict:
    return "fail" if value > limits[1] else "warn" if value > limits[0] else "pass"


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _CLOSE * max(1.0, abs(one))


def _short(text: str) -> str:
    return repr(text if len(text) <= 160 else text[:159] + "\u2026")
