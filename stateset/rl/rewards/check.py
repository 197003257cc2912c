"""Whether a reward can teach: what a check finds, and the checks on probes. Limits: docs/reward-check.md.

Pure: nothing here calls a reward or a model. `probes.py` makes the probes, `trial.py` calls the reward,
`group_checks.py` looks at groups.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from stateset.rl.errors import RewardError
from stateset.rl.types import Score, ScoredGroup

Verdict = Literal["pass", "warn", "fail"]
UNSCORED = (0.01, 0.2)  # warn above, fail above
UGLY_LOSES = (0.01, 0.05)
NO_BETTER = (0.2, 1.0)
CLOSE = 1e-9  # equal, but for rounding
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

    @property
    def mean(self) -> float:
        """Of the scored rows; NaN where there is none."""
        values = [score for score in self.scores if score is not None]
        return statistics.fmean(values) if values else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was looked at, and what that says of the reward.

    Attributes:
        on: what was looked at, in words.
        findings: one a check.
        probes: the right answers, those of other rows, then the others; empty for groups.
        groups: sampled or recorded; empty for probes.
        bounds: the reward's lowest and highest value, where it names them.
    """

    on: str
    findings: Sequence[Finding]
    probes: Sequence[Probe] = ()
    groups: Sequence[ScoredGroup] = ()
    bounds: tuple[float, float] | None = None


def broken(on: str, error: RewardError) -> Trial:
    """Of a reward that broke its contract, or worked for no response at all."""
    return Trial(on=on, findings=[Finding(name="contract", verdict="fail", said=str(error))])


def check_repeat(name: str, first: Sequence[Score], second: Sequence[Score], texts: Sequence[str]) -> Finding:
    """Whether the same responses got the same scores again."""
    differ = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if not _same(a.total, b.total)]
    if not differ:
        return Finding(name=name, verdict="pass", said=f"{len(texts)} scores are the same")
    worst = differ[0]
    return Finding(
        name=name, verdict="fail", said=f"{len(differ)} of {len(texts)} scores differ",
        example=f"{first[worst].total} and {second[worst].total} for {short(texts[worst])}",
    )  # fmt: skip


def check_probes(right: Probe, wrong: Probe, probes: Sequence[Probe]) -> list[Finding]:
    """What a reward pays for: probes against the rows' right answers and right answers of other rows."""
    r, w = right.mean, wrong.mean
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
    return [first, _no_better(right, wrong), *(_probed(probe, r, w) for probe in probes)]


def _no_better(right: Probe, wrong: Probe) -> Finding:
    """Rows whose right answer is worth no more than another row's: the mean may hide them."""
    pairs = [
        (a, text)
        for a, b, text in zip(right.scores, wrong.scores, right.texts, strict=True)
        if a is not None and b is not None and a <= b + CLOSE
    ]
    share = len(pairs) / len(right.scores)
    return Finding(
        name="right answers worth no more", verdict=above(share, NO_BETTER),
        said=f"in {share:.0%} of rows the right answer scores no more than that of another row",
        example=f"{pairs[0][0]:.3f} for {short(pairs[0][1])}" if share > NO_BETTER[0] else "",
    )  # fmt: skip


def verdict(findings: Sequence[Finding]) -> Verdict:
    """The worst of them."""
    order: tuple[Verdict, ...] = ("pass", "warn", "fail")
    return max((finding.verdict for finding in findings), key=order.index, default="pass")


def _probed(probe: Probe, r: float, w: float) -> Finding:
    found = probe.mean
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
        name="right but ugly against wrong but pretty", verdict=above(share, UGLY_LOSES),
        said=f"the wrong one wins in {share:.0%} of rows",
        example=short(example) if example else "",
    )  # fmt: skip


def check_running(calls: Sequence[str]) -> Finding:
    """Whether a reward's source runs code: with a response in it, the model is the author."""
    said = f"calls in its source: {len(calls)}; a response must never get there" if calls else "none"
    verdict: Verdict = "warn" if calls else "pass"
    return Finding(name="eval, exec or compile", verdict=verdict, said=said, example="".join(calls[:1]))


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
    return found > w + CLOSE


def _as_right(found: float, r: float, w: float) -> bool:
    return found >= r - CLOSE


_WORTHLESS = _rule(_halfway, _above_wrong)
_MEANS_THE_SAME = _rule(
    lambda found, r, w: found < (r + w) / 2, lambda found, r, w: found < r - 0.2 * (r - w)
)
RULES: Mapping[str, Callable[[float, float, float], Verdict]] = {
    "empty": _WORTHLESS,
    "blanks": _WORTHLESS,
    "the prompt said again": _WORTHLESS,
    "the policy copied": _WORTHLESS,
    "the reward's own words": _WORTHLESS,
    "all right answers at once": _rule(_as_right, _halfway),
    "right, then another row's answer": _rule(_as_right, _halfway),
    "right, in the middle of others": _rule(_never, _halfway),
    "right, with other numbers": _rule(_never, _halfway),
    "another row's answer with this row's numbers": _rule(_never, _halfway),
    "code that equals anything": _WORTHLESS,
    "a generic apology": _WORTHLESS,
    "resolved!": _WORTHLESS,
    "a template without content": _WORTHLESS,
    "cut in half": _rule(_as_right, _never),
    "padded with politeness": _rule(
        lambda found, r, w: found > r + 0.2 * (r - w), lambda found, r, w: found < r - 0.5 * (r - w)
    ),
    "in another case and spacing": _MEANS_THE_SAME,
    "in long or short forms": _MEANS_THE_SAME,
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
        name="unscored", verdict=above(share, UNSCORED), said=f"{share:.1%} of {len(every)} responses",
        example=missing[0].reason if missing else "",
    )  # fmt: skip


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


def _worst(probe: Probe, *, highest: bool) -> str:
    pairs = [(s, text) for s, text in zip(probe.scores, probe.texts, strict=True) if s is not None]
    if not pairs:
        return ""
    score, text = max(pairs) if highest else min(pairs)
    return f"{score:.3f} for {short(text)}"


def above(value: float, limits: tuple[float, float]) -> Verdict:
    """The verdict on a value that should be small: `limits` are those of warning and failing."""
    return "fail" if value > limits[1] else "warn" if value > limits[0] else "pass"


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= CLOSE * max(1.0, abs(one))


def short(text: str) -> str:
    """The beginning of a text on one line, in quotation marks."""
    return repr(text if len(text) <= 160 else text[:159] + "\u2026")
