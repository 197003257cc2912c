"""Whether sampled or recorded groups can teach: signal, length, parts, tails and cost of a reward's scores.

Pure: nothing here calls a reward or a model; `group_trial.py` does. Limits: docs/reward-check.md.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from stateset.rl.rewards.check import CLOSE, Finding, above, check_unscored, short
from stateset.rl.types import ScoredGroup

NO_SIGNAL = (0.5, 0.9)  # of each pair: warn above, fail above
ONE_END = (0.5, 0.9)
LENGTH = (0.6, 0.9)
DOMINANT = 0.95
COPY = 0.95
TAIL = (20.0, 100.0)
SLOW = 1.0
_ADVICE = "; if the others are to count, `adv_estimator: gdpo` standardises each part by itself"
_NEEDS_WEIGHTS = ", under the `weights` that such a reward has to name"


KINDS = TEACHING, HIGHEST, LOWEST, BETWEEN, FEW = (
    "with signal",
    "all at the highest score",
    "all at the lowest",
    "alike in between",
    "fewer than two scored",
)


def check_groups(
    groups: Sequence[ScoredGroup],
    *,
    bounds: tuple[float, float] | None = None,
    sampling_seconds: float | None = None,
    seconds: Sequence[float] = (),
) -> list[Finding]:
    """What recorded or sampled groups say about a reward.

    Args:
        groups: with at least two responses each.
        bounds: the reward's lowest and highest value; None: unknown.
        sampling_seconds: how long a response took to sample; None: unknown.
        seconds: how long each call of the reward took, one a response, in their order.
    """
    finite = _finite(groups)
    if finite.verdict == "fail":  # the others would be nonsense
        return [check_unscored(groups), finite]
    kinds = signal_kinds(groups, bounds)
    return [
        check_unscored(groups),
        finite,
        _signal(groups, kinds),
        _one_end(groups, kinds),
        _length(groups),
        *_parts(groups),
        _tails(groups),
        *_cost(groups, sampling_seconds, seconds),
    ]


def signal_kinds(groups: Sequence[ScoredGroup], bounds: tuple[float, float] | None = None) -> list[str]:
    """For each group, which of `KINDS` it is.

    Args:
        groups: with scores that are finite numbers or None.
        bounds: the reward's, which tell right from wrong where all scores are the same.
    """
    scored = [_totals(group) for group in groups]
    every = [total for totals in scored for total in totals]
    low, high = min(every, default=0.0), max(every, default=0.0)
    if high - low <= CLOSE:
        low, high = bounds or (math.nan, math.nan)
    return [_kind(totals, low, high) for totals in scored]


def _kind(totals: Sequence[float], low: float, high: float) -> str:
    if len(totals) < 2:
        return FEW
    if _spread(totals) > CLOSE:
        return TEACHING
    return HIGHEST if totals[0] >= high - CLOSE else LOWEST if totals[0] <= low + CLOSE else BETWEEN


def _spread(totals: Sequence[float]) -> float:
    return max(totals, default=0.0) - min(totals, default=0.0)


def _totals(group: ScoredGroup) -> list[float]:
    return [score.total for score in group.scores if score.total is not None]


def _finite(groups: Sequence[ScoredGroup]) -> Finding:
    pairs = [
        (value, rollout.text)
        for group in groups
        for rollout, score in zip(group.group.rollouts, group.scores, strict=True)
        for value in (*([] if score.total is None else [score.total]), *score.parts.values())
    ]
    wrong = [f"{value} for {short(text)}" for value, text in pairs if not math.isfinite(value)]
    said = f"{len(wrong)} of {len(pairs)} scores and parts are no finite numbers"
    return Finding(name="finite", verdict="fail" if wrong else "pass", said=said, example="".join(wrong[:1]))


def _signal(groups: Sequence[ScoredGroup], kinds: Sequence[str]) -> Finding:
    counts = Counter(kinds)
    share = (len(kinds) - counts[TEACHING]) / max(1, len(kinds))
    judged = above(share, NO_SIGNAL)
    told = [f"{counts[kind] / len(kinds):.0%} {kind}" for kind in KINDS[1:] if counts[kind]]
    said = ": ".join([f"{share:.0%} of {len(kinds)} groups", *filter(None, [", ".join(told)])])
    example = "" if judged == "pass" else _first(groups, kinds, KINDS[1:])
    return Finding(name="groups without signal", verdict=judged, said=said, example=example)


def _one_end(groups: Sequence[ScoredGroup], kinds: Sequence[str]) -> Finding:
    counts = Counter(kinds)
    if (
        not counts.keys() - {BETWEEN, FEW}
        and _spread([t for group in groups for t in _totals(group)]) <= CLOSE
    ):
        example = _first(groups, kinds, KINDS)
        return Finding(name="saturation", verdict="fail", said="all scores are the same", example=example)
    high, low = (counts[kind] / max(1, len(kinds)) for kind in (HIGHEST, LOWEST))
    judged = above(max(high, low), ONE_END)
    said = f"{high:.0%} of groups {HIGHEST}, {low:.0%} {LOWEST}"
    example = "" if judged == "pass" else _first(groups, kinds, [HIGHEST if high > low else LOWEST])
    return Finding(name="saturation", verdict=judged, said=said, example=example)


def _first(groups: Sequence[ScoredGroup], kinds: Sequence[str], wanted: Sequence[str]) -> str:
    """The first group of a wanted kind."""
    for group, kind in zip(groups, kinds, strict=True):
        if kind in wanted:
            score = ", ".join(f"{total:g}" for total in _totals(group)[:1]) or "no score"
            return f"{score} for every response to {short(group.group.task.question)}"
    return ""


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
    judged = above(abs(mean), LENGTH)
    example = "" if judged == "pass" else short(max(found, key=lambda pair: abs(pair[0]))[1])
    said = f"rank correlation {mean:+.2f} within {len(found)} groups"
    return Finding(name="length", verdict=judged, said=said, example=example)


def _parts(groups: Sequence[ScoredGroup]) -> Iterator[Finding]:
    """Which part rules the total, and which are copies, by deviations from the group's mean."""
    names = sorted({name for group in groups for score in group.scores for name in score.parts})
    if len(names) < 2:
        return
    rows, texts = [], []
    for group in groups:
        pairs = zip(group.scores, group.group.rollouts, strict=True)
        here = {name for score in group.scores for name in score.parts}  # another route has others
        kept = [(s, r.text) for s, r in pairs if s.total is not None and here <= set(s.parts)]
        table = np.array([[s.parts.get(name, 0.0) for name in names] + [s.value] for s, _ in kept])
        if len(table) > 1:
            rows.append(table - table.mean(0))
            texts += [text for _, text in kept]
    if not rows:
        return
    values = np.concatenate(rows)
    spread = values.std(0)
    total = spread[-1]
    weights = _weights(values)
    shares = {
        name: abs(float(weights[i] * np.mean(values[:, i] * values[:, -1]))) / total**2
        for i, name in enumerate(names)
        if total > CLOSE
    }
    if shares:
        name = max(shares, key=shares.__getitem__)
        ruling = shares[name] > DOMINANT
        said = f"{name} makes {min(shares[name], 1):.0%} of the variance within groups"
        said += _advice(groups) if ruling else ""
        part = values[:, names.index(name)]
        yield Finding(
            name="one part rules", verdict="warn" if ruling else "pass", said=said,
            example=_most(texts, part, values[:, -1]) if ruling else "",
        )  # fmt: skip
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            if min(spread[i], spread[j]) > CLOSE:
                alike = float(np.corrcoef(values[:, i], values[:, j])[0, 1])
                if alike > COPY:
                    said = f"{other} and {one} correlate by {alike:.2f} within groups"
                    example = _most(texts, values[:, i], values[:, j])
                    yield Finding(name="copies", verdict="warn", said=said, example=example)


def _advice(groups: Sequence[ScoredGroup]) -> str:
    scores = [score for group in groups for score in group.scores if score.total is not None]
    add_up = all(abs(sum(score.parts.values()) - score.value) <= CLOSE for score in scores)
    return _ADVICE + ("" if add_up else _NEEDS_WEIGHTS)


def _most(texts: Sequence[str], one: np.ndarray, other: np.ndarray) -> str:
    """The response that is farthest above its group in both."""
    return short(texts[int(np.argmax(np.minimum(one / one.std(), other / other.std())))])


def _weights(values: np.ndarray) -> np.ndarray:
    """How much of each part is in the total, its last column: all of it, or what fits best."""
    parts, total = values[:, :-1], values[:, -1]
    if np.allclose(parts.sum(1), total):
        return np.ones(parts.shape[1])
    found: np.ndarray = np.linalg.lstsq(parts, total, rcond=None)[0]
    return found


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
        if usual > CLOSE and far / usual > worst:
            worst, text = far / usual, said
    judged = above(worst, TAIL)
    return Finding(
        name="tails", verdict=judged, said=f"the farthest response is {worst:.1f} median distances away",
        example="" if judged == "pass" else short(text),
    )  # fmt: skip


def _cost(
    groups: Sequence[ScoredGroup], sampling: float | None, seconds: Sequence[float]
) -> Iterator[Finding]:
    if not seconds:
        return
    p50, p95 = (float(np.quantile(seconds, q)) for q in (0.5, 0.95))
    slow = sampling is not None and p95 > SLOW * sampling
    every = [score.total for group in groups for score in group.scores]
    failed = every.count(None) / len(every)
    said = f"{1000 * p50:.1f} ms a response, p95 {1000 * p95:.1f} ms, {failed:.1%} failed"
    if sampling is not None:
        said += f"; sampling one takes {1000 * sampling:.1f} ms"
    texts = [rollout.text for group in groups for rollout in group.group.rollouts]
    example = short(texts[int(np.argmax(seconds))]) if slow else ""
    yield Finding(name="cost", verdict="warn" if slow else "pass", said=said, example=example)
