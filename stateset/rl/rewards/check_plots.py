"""What a trial of a reward found, as pictures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from stateset.rl.page import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Picture,
    Scale,
    around,
    bar,
    dot,
    keys,
    line,
    svg,
    text,
    ticks_below,
    ticks_beside,
)
from stateset.rl.rewards.check import Trial
from stateset.rl.rewards.group_checks import KINDS, signal_kinds
from stateset.rl.types import ScoredGroup

_BINS = 13  # odd: a single score stands in the middle of its bin
_MOST_POINTS = 1000
_ENDS = ("right", "wrong")
_LABELS = {  # of probes whose names are short
    "right": "right answers",
    "wrong": "other rows' answers",
    "ugly": "right but ugly",
    "pretty": "wrong but pretty",
}


def plots(trials: Sequence[Trial]) -> Iterator[Picture]:
    """The pictures of whatever was tried; a trial that ended early has none."""
    for trial in trials:
        if trial.probes:
            yield probe_means(trial)
            yield distribution({_LABELS[p.name]: _finite(p.scores) for p in trial.probes[:2]}, trial.on)
        if trial.groups:
            scores = [score.total for group in trial.groups for score in group.scores]
            yield signal(trial)
            yield distribution({"responses": _finite(scores)}, trial.on)
            yield lengths(trial)


def probe_means(trial: Trial) -> Picture:
    """Every probe's mean score beside those of right answers and of other rows' right answers."""
    kept = [probe for probe in trial.probes if not math.isnan(probe.mean)]
    verdicts = {finding.name: finding.verdict for finding in trial.findings}
    height, left = 22 * len(kept) + 10, 200
    x = around([probe.mean for probe in kept], left, WIDTH - RIGHT)
    lines = [ticks_below(x, 4, height)]
    lines += [
        line(x.at(probe.mean), 4, x.at(probe.mean), height, "mark") for probe in kept if probe.name in _ENDS
    ]
    for row, probe in enumerate(kept):
        y, kind = 22 * row + 16, verdicts.get(probe.name, "plain")
        lines.append(text(left - 10, y + 4, _LABELS.get(probe.name, probe.name), "end"))
        lines.append(_shape(kind, x.at(probe.mean), y, f"{probe.name}: {probe.mean:.3f}"))
    lines.append(text((left + WIDTH - RIGHT) / 2, height + 34, "mean score"))
    reading = (
        "The two lines: the means of right answers and of other rows' right answers. "
        "Dot: passed; triangle: warning; cross: failed; ring: no verdict of its own."
    )
    return Picture("Probes", reading, svg(lines, height + BOTTOM, "mean score of every probe"))


def distribution(series: Mapping[str, Sequence[float]], on: str) -> Picture:
    """How often each score was given."""
    series = {name: values for name, values in series.items() if values}
    x = around([value for values in series.values() for value in values], LEFT, WIDTH - RIGHT)
    counted = {name: np.histogram(values, _BINS, (x.low, x.high))[0] for name, values in series.items()}
    shares = {name: counts / counts.sum() for name, counts in counted.items()}
    top = max((max(share) for share in shares.values()), default=1.0)
    y = Scale(0.0, float(top), HEIGHT, 12)
    lines = [ticks_below(x, 12, HEIGHT), *ticks_beside(y, percent=True)]
    wide = (x.end - x.start) / _BINS
    each = (wide - 4) / max(1, len(shares))
    for place, (name, share) in enumerate(shares.items()):
        for number, value in enumerate(share):
            left = x.start + number * wide + 2 + place * each
            lines.append(bar(left, y.at(value), each, HEIGHT - y.at(value), place, f"{name}: {value:.1%}"))
    lines.append(text((x.start + x.end) / 2, HEIGHT + 34, "score"))
    return Picture(f"Scores of {on}", keys(shares), svg(lines, HEIGHT + BOTTOM, f"scores of {on}"))


def lengths(trial: Trial) -> Picture:
    """Length against score, each less the mean of its group."""
    found = np.concatenate([_less_mean(group) for group in trial.groups])
    found = found[:: max(1, math.ceil(len(found) / _MOST_POINTS))]
    x, y = around(found[:, 0], LEFT, WIDTH - RIGHT), around(found[:, 1], HEIGHT, 12)
    points = [dot(x.at(a), y.at(b), 0) for a, b in found]
    lines = [ticks_below(x, 12, HEIGHT), *ticks_beside(y), *points]
    lines.append(text((x.start + x.end) / 2, HEIGHT + 34, "characters, less the group's mean"))
    reading = (
        "Each response's score less the mean of its group. A slope says that length is paid for, or punished."
    )
    return Picture(
        f"Length and score, {trial.on}", reading, svg(lines, HEIGHT + BOTTOM, "length against score")
    )


def signal(trial: Trial) -> Picture:
    """Which share of the groups can teach."""
    counts = Counter(signal_kinds(trial.groups, trial.bounds))
    total, left, lines = len(trial.groups), 0.0, []
    for place, kind in enumerate(KINDS):
        width = WIDTH * counts[kind] / total
        if counts[kind]:
            lines.append(bar(left, 6, max(1.0, width - 2), 34, place, f"{kind}: {counts[kind]}"))
        left += width
    shares = keys(f"{counts[kind] / total:.0%} {kind}" if counts[kind] else "" for kind in KINDS)
    return Picture(f"{total} {trial.on}", shares, svg(lines, 46, "share of groups with signal"))


def _less_mean(group: ScoredGroup) -> np.ndarray[Any, Any]:
    """[N, 2], length and score of its N scored responses, less their means."""
    pairs = zip(group.group.rollouts, group.values, strict=True)
    kept = [(len(rollout.text), value) for rollout, value in pairs if math.isfinite(value)]
    found = np.array(kept, dtype=float).reshape(-1, 2)
    return found - found.mean(0) if kept else found


def _finite(scores: Iterable[float | None]) -> list[float]:
    return [score for score in scores if score is not None and math.isfinite(score)]


def _shape(kind: str, x: float, y: float, said: str) -> str:
    """Told apart without colour, too."""
    path = {
        "pass": f"M{x - 5},{y}a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z",
        "plain": f"M{x - 4},{y}a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
        "warn": f"M{x},{y - 6}l6,11h-12z",
        "fail": f"M{x - 5},{y - 5}l10,10m0,-10l-10,10",
    }[kind]
    return f'<path class="{kind}" d="{path}"><title>{escape(said)}</title></path>'
