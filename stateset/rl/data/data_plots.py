"""What preparation did to rows, as pictures that count; no text of a ticket is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from html import escape

from stateset.rl.data.split import SPLITS
from stateset.rl.page import BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH, Picture, bar, keys, line, svg, text

_LABELS = 210  # width of the names of bars
_BINS = 20
_MOST_PERIODS = 40


def bars(title: str, reading: str, values: Mapping[str, float], *, percent: bool = False) -> Picture:
    """One bar a name, its number behind it."""
    top = max([1.0 if percent else 0.0, *values.values()]) or 1.0
    wide = WIDTH - _LABELS - 70
    lines = []
    for row, (name, value) in enumerate(values.items()):
        y = 24 * row + 4
        lines.append(text(_LABELS - 8, y + 14, name, "end"))
        lines.append(bar(_LABELS, y, wide * value / top, 18, 0, f"{name}: {value:g}"))
        shown = f"{value:.0%}" if percent else f"{value:g}"
        lines.append(text(_LABELS + wide * value / top + 6, y + 14, shown, "start"))
    return Picture(title, escape(reading), svg(lines, 24 * len(values) + 8, title))


def histogram(title: str, reading: str, scores: Sequence[float], mark: float | None) -> Picture:
    """Shares of scores from 0 to 1, with a line at `mark`."""
    counts = Counter(min(int(score * _BINS), _BINS - 1) for score in scores)
    top = max(counts.values(), default=1)
    wide = (WIDTH - LEFT - RIGHT) / _BINS
    lines = _grid_beside(top, len(scores) or 1)
    for place, count in sorted(counts.items()):
        height = (HEIGHT - 12) * count / top
        said = f"{place / _BINS:.2f} to {(place + 1) / _BINS:.2f}: {count}"
        lines.append(bar(LEFT + place * wide + 1, HEIGHT - height, wide - 2, height, 0, said))
    if mark is not None:
        x = LEFT + mark * (WIDTH - LEFT - RIGHT)
        lines.append(line(x, 4, x, HEIGHT, "mark"))
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        lines.append(text(LEFT + tick * (WIDTH - LEFT - RIGHT), HEIGHT + 17, f"{tick:g}"))
    lines.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT + 34, "quality score"))
    return Picture(title, escape(reading), svg(lines, HEIGHT + BOTTOM, title))


def timeline(title: str, reading: str, times: Mapping[str, Sequence[str]]) -> Picture:
    """Rows a day, or a longer period, stacked by split; `times` are ISO 8601."""
    days = {name: [date.fromisoformat(time[:10]) for time in found] for name, found in times.items()}
    every = [day for found in days.values() for day in found]
    first, span = min(every), (max(every) - min(every)).days + 1
    step = max(1, -(-span // _MOST_PERIODS))
    periods = -(-span // step)
    counts = {name: Counter((day - first).days // step for day in found) for name, found in days.items()}
    top = max(sum(found[place] for found in counts.values()) for place in range(periods))
    wide = (WIDTH - LEFT - RIGHT) / periods
    lines = _grid_beside(top, None)
    for place in range(periods):
        y = float(HEIGHT)
        for color, name in enumerate(SPLITS):
            height = (HEIGHT - 12) * counts.get(name, Counter())[place] / top
            if height:
                y -= height
                said = f"{first + timedelta(place * step)}, {name}: {counts[name][place]}"
                lines.append(bar(LEFT + place * wide, y, max(1.0, wide - 1), height, color, said))
    lines.append(text(LEFT, HEIGHT + 17, str(first), "start"))
    lines.append(text(WIDTH - RIGHT, HEIGHT + 17, str(first + timedelta(span - 1)), "end"))
    axis = "day of the reply" if step == 1 else f"day of the reply, {step} days a bar"
    lines.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT + 34, axis))
    return Picture(title, f"{escape(reading)} {keys(SPLITS)}", svg(lines, HEIGHT + BOTTOM, title))


def _grid_beside(top: int, total: int | None) -> list[str]:
    """Three lines with counts, or with shares of `total`."""
    lines = []
    for part in (0.0, 0.5, 1.0):
        y = HEIGHT - (HEIGHT - 12) * part
        value = top * part
        shown = f"{value:g}" if total is None else f"{value / total:.0%}"
        lines.append(line(LEFT, y, WIDTH - RIGHT, y, "grid"))
        lines.append(text(LEFT - 6, y + 4, shown, "end"))
    return lines
