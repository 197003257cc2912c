"""What training changed, as pictures: changes with their intervals, and what is won by longer answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from stateset.rl.evaluation.improvement import Improvement
from stateset.rl.evaluation.record import SIDES, SUCCESS
from stateset.rl.evaluation.statistics import FEW_CLUSTERS, Difference, paired_difference
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
    """One line a change, its 95 % interval as a whisker; a bare number has none, nor what never varied."""
    ends = [0.0, *(end for _, one in changes for end in _ends(one))]
    bottom = _ROW * len(changes) + 8
    x = around(ends, _NAMES, WIDTH - RIGHT)
    lines = [ticks_below(x, 4, bottom), line(x.at(0), 4, x.at(0), bottom, "mark")]
    for row, (name, one) in enumerate(changes):
        y, (low, mean, high) = _ROW * row + 18, _ends(one)
        lines.append(text(_NAMES - 10, y + 4, name, "end"))
        if low < high:
            lines.append(line(x.at(low), y, x.at(high), y, "whisker"))
        interval = f" [{low:+.3f}, {high:+.3f}]" if low < high else ""
        lines.append(dot(x.at(mean), y, 0, f"{name}: {mean:+.3f}{interval}", 5))
    lines.append(text((_NAMES + WIDTH - RIGHT) / 2, bottom + 34, "after minus before"))
    return Picture(title, _reading([one for _, one in changes]), svg(lines, bottom + BOTTOM, title))


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
    """Values with a task that could be judged; bare numbers where all of them are in one cluster."""
    for value, rows in found.record.where(kind).items():
        before, after, clusters = found.record.pairs(SUCCESS, rows)
        if len(set(clusters)) > 1:
            yield value, paired_difference(before, after, clusters, seed=found.record.seed)
        elif before:
            yield value, (sum(after) - sum(before)) / len(before)


def _reading(changes: Sequence[Difference | float]) -> str:
    """What the lines mean, and where there are too few clusters for them to hold what they say."""
    said = "Right of the line is more than before. Whiskers: 95 % intervals, not corrected for their number."
    counts = [1 if isinstance(one, float) else one.num_clusters for one in changes]
    few = [count for count in counts if count < FEW_CLUSTERS]
    if not few:
        return said
    who = "All" if len(few) == len(counts) else f"{len(few)} of {len(counts)}"
    return (
        f"{said} {who} have fewer than {FEW_CLUSTERS} clusters (the fewest {min(few)}): there whiskers may "
        "be too short, and none means that nothing varied, not that it is sure."
    )


def _ends(one: Difference | float) -> tuple[float, float, float]:
    return (one, one, one) if isinstance(one, float) else (one.low, one.mean, one.high)
