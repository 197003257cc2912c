"""What training changed, as pictures: changes with their intervals, and what is won by longer answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from stateset.rl.evaluation.improvement import Improvement
from stateset.rl.evaluation.record import SIDES, SUCCESS
from stateset.rl.evaluation.statistics import Difference, paired_difference
from stateset.rl.page import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Picture,
    around,
    dot,
    keys,
    line,
    svg,
    text,
    ticks_below,
    ticks_beside,
)

_NAMES, _ROW = 170, 24
_LENGTH = "words"
_UNBOUNDED = (_LENGTH, "reward")  # their changes have a scale of their own


def improvement_plots(found: Improvement) -> Iterator[Picture]:
    """A forest plot of the metrics, one of success a kind of slice, and reward or quality against length."""
    metrics = [name for name in found.record.metrics if name not in _UNBOUNDED]
    yield forest("Changes", [(name, found.difference(name)) for name in metrics])
    for kind in found.record.kinds:
        yield forest(f"{SUCCESS} by {kind}", list(_by_slice(found, kind)))
    graded = "reward" if "reward" in found.record.metrics else "quality"
    if {graded, _LENGTH} <= set(found.record.metrics):
        yield against_length(found, graded)


def forest(title: str, changes: Sequence[tuple[str, Difference | float]]) -> Picture:
    """One line a change, its 95 % interval as a whisker; a bare number has none."""
    ends = [0.0, *(end for _, one in changes for end in _ends(one))]
    bottom = _ROW * len(changes) + 8
    x = around(ends, _NAMES, WIDTH - RIGHT)
    lines = [ticks_below(x, 4, bottom), line(x.at(0), 4, x.at(0), bottom, "mark")]
    for row, (name, one) in enumerate(changes):
        y, (low, mean, high) = _ROW * row + 18, _ends(one)
        lines.append(text(_NAMES - 10, y + 4, name, "end"))
        if low < high:
            lines.append(line(x.at(low), y, x.at(high), y, "whisker"))
        lines.append(dot(x.at(mean), y, 0, f"{name}: {mean:+.3f} [{low:+.3f}, {high:+.3f}]", 5))
    lines.append(text((_NAMES + WIDTH - RIGHT) / 2, bottom + 34, "after minus before"))
    reading = (
        "Right of the line is more than before. Whiskers: 95 % intervals, not corrected for their number."
    )
    return Picture(title, reading, svg(lines, bottom + BOTTOM, title))


def against_length(found: Improvement, metric: str) -> Picture:
    """A metric against words, one point a task of either model; none where an answer has no value."""
    pairs = [
        [
            pair
            for pair in zip(
                found.record.column(_LENGTH, side), found.record.column(metric, side), strict=True
            )
            if pair[1] == pair[1]
        ]
        for side in SIDES
    ]
    x = around((words for words, _ in chain(*pairs)), LEFT, WIDTH - RIGHT)
    y = around((value for _, value in chain(*pairs)), HEIGHT, 12)
    lines = [ticks_below(x, 12, HEIGHT), *ticks_beside(y)]
    for colour, arm in enumerate(pairs):
        lines += [dot(x.at(words), y.at(value), colour) for words, value in arm]
    lines.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT + 34, "words of the answer"))
    title = f"{metric.capitalize()} and length"
    return Picture(title, keys(SIDES), svg(lines, HEIGHT + BOTTOM, f"{metric} against length"))


def _by_slice(found: Improvement, kind: str) -> Iterator[tuple[str, Difference | float]]:
    record = found.record
    before, after = (record.column(SUCCESS, "before"), record.column(SUCCESS, "after"))
    for value, rows in record.where(kind).items():
        clusters = [record.clusters[row] for row in rows]
        pairs = [before[row] for row in rows], [after[row] for row in rows]
        if len(set(clusters)) > 1:
            yield value, paired_difference(*pairs, clusters, seed=record.seed)
        else:
            yield value, sum(pairs[1]) / len(rows) - sum(pairs[0]) / len(rows)


def _ends(one: Difference | float) -> tuple[float, float, float]:
    return (one, one, one) if isinstance(one, float) else (one.low, one.mean, one.high)
