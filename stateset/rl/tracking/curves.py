"""What a run's curves show: panels of lines, worked out from its files and ready to be drawn by `plot.py`.

A step of a small batch says little, so that training curves are running means over the last steps. What a run
did not log is left out: a panel without lines is not there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["dots", "line", "held-out", "area"]
MAX_PARTS = 7  # as many as there are colours that everyone can tell apart
_MAX_LABEL = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series.

    Attributes:
        label: for the legend; empty: not listed.
        steps: [N], ascending.
        values: [N]; NaN leaves a gap.
        kind: "dots" for single steps, "line", "held-out" (dashed, with markers), "area" (stacked on the one
            before).
        color: index into a palette.
        right: against the right-hand axis.
    """

    label: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    kind: Kind
    color: int
    right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One diagram: `unit` and `right_unit` label its axes, `bounds` are fixed limits of the left one."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    right_unit: str = ""
    bounds: tuple[float, float] | None = None


def make_panels(
    metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]
) -> tuple[Panel, ...]:
    """Reward, reward parts, groups, length with KL and entropy; those that have lines.

    Args:
        metrics: the lines of metrics.jsonl.
        evaluations: the lines of eval/summary.jsonl.
    """
    panels = (_reward(metrics, evaluations), _parts(metrics, evaluations), _groups(metrics), _length(metrics))
    return tuple(panel for panel in panels if panel.lines)


def window(num_steps: int) -> int:
    """Steps that a running mean looks back: a tenth of the run, 3 to 20, and 1 where there are too few."""
    return min(20, max(3, num_steps // 10)) if num_steps >= 6 else 1


def running_mean(values: Sequence[float], steps: int) -> list[float]:
    """At each value the mean of the last `steps` that are finite; NaN where none is."""
    return [_mean(values[max(0, end - steps) : end]) for end in range(1, len(values) + 1)]


def _reward(metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]) -> Panel:
    steps, values = _series(metrics, "reward")
    size = window(len(metrics))
    lines = [
        Line(label="training step", steps=steps, values=values, kind="dots", color=0),
        _smooth(metrics, "reward", f"mean of {size} steps" if size > 1 else "training", 0),
        _held_out("held-out", *_series(evaluations, "reward"), 1),
    ]
    return Panel(title="Mean reward", unit="reward", lines=_drawable(lines))


def _parts(metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]) -> Panel:
    names = list(
        dict.fromkeys([*_part_names(metrics), *(n for e in evaluations for n in e.get("parts", {}))])
    )
    of_evaluations = [{"step": line["step"], **line.get("parts", {})} for line in evaluations]
    lines: list[Line] = []
    for color, name in enumerate(names[:MAX_PARTS]):
        training = _drawable([_smooth(metrics, f"rewards/{name}/mean", name, color)])
        label = "" if training else f"{name} (held-out)"
        lines += [*training, *_drawable([_held_out(label, *_series(of_evaluations, name), color)])]
    styles = "solid: training, dashed: held-out"
    which = f"the first {MAX_PARTS} of {len(names)}; {styles}" if len(names) > MAX_PARTS else styles
    return Panel(title=f"Reward parts ({which})", unit="mean of the part", lines=tuple(lines))


def _groups(metrics: Sequence[Mapping[str, Any]]) -> Panel:
    """Groups whose rewards differ teach; the rest of the area is groups that are neither right nor wrong."""
    signal = [
        {"step": line["step"], "signal": 1 - flat}
        for line in metrics
        if (flat := line.get("frac_reward_zero_std")) is not None
    ]
    lines = [
        _smooth(signal, "signal", "rewards differ (signal)", 0, kind="area"),
        _smooth(metrics, "signal/all_right", "all right", 2, kind="area"),
        _smooth(metrics, "signal/all_wrong", "all wrong", 1, kind="area"),
    ]
    return Panel(
        title="Groups with signal", unit="share of groups", lines=_drawable(lines), bounds=(0.0, 1.0)
    )


def _length(metrics: Sequence[Mapping[str, Any]]) -> Panel:
    """KL and entropy share the right-hand axis: both are nats a token."""
    length = _drawable([_smooth(metrics, "completions/mean_length", "response length", 0)])
    side = bool(length)
    nats = _drawable(
        [
            _smooth(metrics, "entropy", "entropy (right axis)" if side else "entropy", 1, right=side),
            _smooth(metrics, "kl", "KL (right axis)" if side else "KL", 3, right=side),
        ]
    )
    title = ", ".join(line.label.removesuffix(" (right axis)") for line in (*length, *nats))
    return Panel(
        title=title[:1].upper() + title[1:],
        unit="tokens a response" if length else "nats a token",
        lines=(*length, *nats),
        right_unit="nats a token" if length and nats else "",
    )


def _series(lines: Iterable[Mapping[str, Any]], name: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Steps and values of one name where the lines have it; NaN stands for a logged null."""
    found = [(line["step"], line[name]) for line in lines if name in line]
    return tuple(s for s, _ in found), tuple(math.nan if v is None else float(v) for _, v in found)


def _smooth(
    metrics: Sequence[Mapping[str, Any]],
    name: str,
    label: str,
    color: int,
    *,
    kind: Kind = "line",
    right: bool = False,
) -> Line:
    steps, values = _series(metrics, name)
    means = tuple(running_mean(values, window(len(metrics))))
    return Line(label=_short(label), steps=steps, values=means, kind=kind, color=color, right=right)


def _held_out(label: str, steps: tuple[int, ...], values: tuple[float, ...], color: int) -> Line:
    return Line(label=_short(label), steps=steps, values=values, kind="held-out", color=color)


def _drawable(lines: Iterable[Line]) -> tuple[Line, ...]:
    return tuple(line for line in lines if any(math.isfinite(value) for value in line.values))


def _part_names(metrics: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for line in metrics:
        for name in line:
            if name.startswith("rewards/") and name.endswith("/mean"):
                yield name.removeprefix("rewards/").removesuffix("/mean")


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _short(label: str) -> str:
    return label if len(label) <= _MAX_LABEL else label[: _MAX_LABEL - 1] + "…"
