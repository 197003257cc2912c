"""What a trial of a reward found, as pictures: inline SVG that takes its colours from the page around it.

No plotting library: four small pictures that follow light and dark, need no script, and hold no font. Every
text from outside is escaped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from stateset.rl.rewards.check import CLOSE, Trial
from stateset.rl.rewards.group_checks import KINDS, signal_kinds
from stateset.rl.types import ScoredGroup

WIDTH = 460
_LEFT, _RIGHT, _BOTTOM = 44, 12, 40  # margins
_HEIGHT = 240
_BINS = 13  # odd: a single score stands in the middle of its bin
_MOST_POINTS = 1000
_ENDS = ("right", "wrong")
_LABELS = {  # of probes whose names are short
    "right": "right answers",
    "wrong": "other rows' answers",
    "ugly": "right but ugly",
    "pretty": "wrong but pretty",
}


class Plot(NamedTuple):
    """A picture with its title and a sentence that says how to read it."""

    title: str
    reading: str
    svg: str


class _Scale(NamedTuple):
    """From values to places on the page."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Three to six round numbers."""
        span = self.high - self.low
        step = 10.0 ** math.floor(math.log10(span))
        step *= next(part for part in (0.2, 0.5, 1.0, 2.0) if span / (part * step) < 6.5)
        first = math.ceil(self.low / step - 1e-9)
        return [step * n for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def plots(trials: Sequence[Trial]) -> Iterator[Plot]:
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


def probe_means(trial: Trial) -> Plot:
    """Every probe's mean score beside those of right answers and of other rows' right answers."""
    kept = [probe for probe in trial.probes if not math.isnan(probe.mean)]
    verdicts = {finding.name: finding.verdict for finding in trial.findings}
    height, left = 22 * len(kept) + 10, 200
    x = _scale([probe.mean for probe in kept], left, WIDTH - _RIGHT)
    lines = [_ticks_below(x, 4, height)]
    lines += [
        _line(x.at(probe.mean), 4, x.at(probe.mean), height, "mark") for probe in kept if probe.name in _ENDS
    ]
    for row, probe in enumerate(kept):
        y, kind = 22 * row + 16, verdicts.get(probe.name, "plain")
        lines.append(_text(left - 10, y + 4, _LABELS.get(probe.name, probe.name), "end"))
        lines.append(_shape(kind, x.at(probe.mean), y, f"{probe.name}: {probe.mean:.3f}"))
    lines.append(_text((left + WIDTH - _RIGHT) / 2, height + 34, "mean score"))
    reading = (
        "The two lines: the means of right answers and of other rows' right answers. "
        "Dot: passed; triangle: warning; cross: failed; ring: no verdict of its own."
    )
    return Plot("Probes", reading, _svg(lines, height + _BOTTOM, "mean score of every probe"))


def distribution(series: Mapping[str, Sequence[float]], on: str) -> Plot:
    """How often each score was given."""
    series = {name: values for name, values in series.items() if values}
    x = _scale([value for values in series.values() for value in values], _LEFT, WIDTH - _RIGHT)
    counted = {name: np.histogram(values, _BINS, (x.low, x.high))[0] for name, values in series.items()}
    shares = {name: counts / counts.sum() for name, counts in counted.items()}
    top = max((max(share) for share in shares.values()), default=1.0)
    y = _Scale(0.0, float(top), _HEIGHT, 12)
    lines = [_ticks_below(x, 12, _HEIGHT), *_ticks_beside(y, percent=True)]
    wide = (x.end - x.start) / _BINS
    each = (wide - 4) / max(1, len(shares))
    for place, (name, share) in enumerate(shares.items()):
        for number, value in enumerate(share):
            left = x.start + number * wide + 2 + place * each
            lines.append(_bar(left, y.at(value), each, _HEIGHT - y.at(value), place, f"{name}: {value:.1%}"))
    lines.append(_text((x.start + x.end) / 2, _HEIGHT + 34, "score"))
    return Plot(f"Scores of {on}", _keys(shares), _svg(lines, _HEIGHT + _BOTTOM, f"scores of {on}"))


def lengths(trial: Trial) -> Plot:
    """Length against score, each less the mean of its group."""
    found = np.concatenate([_less_mean(group) for group in trial.groups])
    found = found[:: max(1, math.ceil(len(found) / _MOST_POINTS))]
    x, y = _scale(found[:, 0], _LEFT, WIDTH - _RIGHT), _scale(found[:, 1], _HEIGHT, 12)
    points = [f'<circle class="point" cx="{x.at(a)}" cy="{y.at(b)}" r="3"/>' for a, b in found]
    lines = [_ticks_below(x, 12, _HEIGHT), *_ticks_beside(y), *points]
    lines.append(_text((x.start + x.end) / 2, _HEIGHT + 34, "characters, less the group's mean"))
    reading = (
        "Each response's score less the mean of its group. A slope says that length is paid for, or punished."
    )
    return Plot(
        f"Length and score, {trial.on}", reading, _svg(lines, _HEIGHT + _BOTTOM, "length against score")
    )


def signal(trial: Trial) -> Plot:
    """Which share of the groups can teach."""
    counts = Counter(signal_kinds(trial.groups, trial.bounds))
    total, left, lines = len(trial.groups), 0.0, []
    for place, kind in enumerate(KINDS):
        width = WIDTH * counts[kind] / total
        if counts[kind]:
            lines.append(_bar(left, 6, max(1.0, width - 2), 34, place, f"{kind}: {counts[kind]}"))
        left += width
    keys = _keys(f"{counts[kind] / total:.0%} {kind}" if counts[kind] else "" for kind in KINDS)
    return Plot(f"{total} {trial.on}", keys, _svg(lines, 46, "share of groups with signal"))


def _less_mean(group: ScoredGroup) -> np.ndarray[Any, Any]:
    """[N, 2], length and score of its N scored responses, less their means."""
    pairs = zip(group.group.rollouts, group.values, strict=True)
    kept = [(len(rollout.text), value) for rollout, value in pairs if math.isfinite(value)]
    found = np.array(kept, dtype=float).reshape(-1, 2)
    return found - found.mean(0) if kept else found


def _finite(scores: Iterable[float | None]) -> list[float]:
    return [score for score in scores if score is not None and math.isfinite(score)]


def _scale(values: Iterable[float], start: float, end: float) -> _Scale:
    """With some space around the values; a single value stands in the middle."""
    every = [float(value) for value in values]
    low, high = min(every, default=0.0), max(every, default=1.0)
    size = max(1.0, abs(low))
    space = 0.05 * (high - low) if high - low > CLOSE * size else 0.5 * size
    return _Scale(low - space, high + space, start, end)


def _ticks_below(x: _Scale, top: float, bottom: float) -> str:
    return "".join(
        _line(x.at(tick), top, x.at(tick), bottom, "grid") + _text(x.at(tick), bottom + 17, f"{tick:.4g}")
        for tick in x.ticks()
    )


def _ticks_beside(y: _Scale, *, percent: bool = False) -> Iterator[str]:
    for tick in y.ticks():
        yield _line(_LEFT, y.at(tick), WIDTH - _RIGHT, y.at(tick), "grid")
        yield _text(_LEFT - 6, y.at(tick) + 4, f"{tick:.0%}" if percent else f"{tick:.4g}", "end")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _bar(x: float, y: float, width: float, height: float, place: int, said: str) -> str:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="c{place}" {size}><title>{escape(said)}</title></rect>'


def _shape(kind: str, x: float, y: float, said: str) -> str:
    """Told apart without colour, too."""
    path = {
        "pass": f"M{x - 5},{y}a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z",
        "plain": f"M{x - 4},{y}a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
        "warn": f"M{x},{y - 6}l6,11h-12z",
        "fail": f"M{x - 5},{y - 5}l10,10m0,-10l-10,10",
    }[kind]
    return f'<path class="{kind}" d="{path}"><title>{escape(said)}</title></path>'


def _keys(names: Iterable[str]) -> str:
    """The legend, as markup: a coloured square before each name; an empty name only takes its colour."""
    return " ".join(f'<span class="key k{n}">{escape(name)}</span>' for n, name in enumerate(names) if name)


def _svg(lines: Sequence[str], height: float, said: str) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(said)}">'
    return "\n".join([head, *lines, "</svg>"])
