"""A run's curves as a picture, for a README or a look at a run without a browser.

`curves.py` says what is shown; this file only draws it, with matplotlib's figure objects: no pyplot, no
window, no global state.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stateset.rl.errors import ConfigError, DataError, MissingExtraError
from stateset.rl.tracking.curves import Kind, Line, Panel, make_panels, window
from stateset.rl.tracking.read_runs import Run, read_jsonl, read_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008): told apart with any colour vision, and dark enough on white
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
_INK, _GRID = "#333333", "#DDDDDD"
_LAYOUTS = {1: "A", 2: "A;B", 3: "AB;CC", 4: "AB;CD"}
_STYLES: dict[Kind, dict[str, Any]] = {
    "dots": {"linestyle": "none", "marker": "o", "markersize": 4, "alpha": 0.35, "markeredgewidth": 0},
    "line": {"linewidth": 2},
    "held-out": {"linewidth": 1.5, "linestyle": "--", "marker": "D", "markersize": 4},
}
_INCHES, _DPI = (12.0, 8.0), 100


def plot_curves(run_dir: Path, output: Path | None = None) -> Path:
    """Draw a run's rewards, groups, lengths, KL and entropy over its steps, as a PNG of 1200 x 800 pixels.

    Args:
        run_dir: the run, finished or not.
        output: the picture; default: `curves.png` in the run.

    Returns:
        The picture's path.

    Raises:
        ConfigError: there is no run, or no folder to write to.
        DataError: the run has nothing to draw yet, or one of its files is damaged.
        MissingExtraError: matplotlib is not installed.
    """
    run = read_run(run_dir)
    panels = make_panels(run.metrics, _evaluations(run_dir))
    if not panels:
        raise DataError(f"{run_dir} has nothing to draw yet: no step and no evaluation was recorded")
    file = output or run_dir / "curves.png"
    if file.is_dir() or not file.parent.is_dir():
        raise ConfigError(f"the picture cannot be {file}: name a file in a folder that is there")
    file.write_bytes(_draw(panels, _title(run)))
    return file


def _evaluations(run_dir: Path) -> list[dict[str, Any]]:
    file = run_dir / "eval" / "summary.jsonl"
    lines = list(read_jsonl(file))
    for number, line in enumerate(lines, 1):
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            raise DataError(
                f"{file}:{number} is damaged (it has no step): remove that line, or restore the file"
            )
    return lines


def _title(run: Run) -> str:
    model = Path(str(run.manifest.get("model") or "")).name
    size = window(len(run.metrics))
    steps = f"{run.last_step} step{'' if run.last_step == 1 else 's'}"
    means = [f"lines are means of the last {size} steps"] if size > 1 else []
    return "  ·  ".join([run.path.resolve().name, *filter(None, [model]), steps, *means])


def _draw(panels: Sequence[Panel], title: str) -> bytes:
    """The picture, as the bytes of a PNG."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise MissingExtraError(
            "drawing curves needs matplotlib: pip install 'stateset-rl[train]'"
        ) from error
    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.1)
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout=layout, facecolor="white")
    figure.suptitle(_plain(title), fontsize=12, color=_INK)
    places = figure.subplot_mosaic(_LAYOUTS[len(panels)])
    steps = [step for panel in panels for line in panel.lines for step in line.steps]
    margin = 0.5 + 0.02 * (max(steps) - min(steps))
    for axes, panel in zip(places.values(), panels, strict=True):
        _draw_panel(figure, axes, panel)
        axes.set_xlim(min(steps) - margin, max(steps) + margin)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _draw_panel(figure: Figure, axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    _dress(axes, panel)
    right = axes.twinx() if panel.right_unit else None
    handles: list[Any] = []
    below: list[float] = []
    for line in panel.lines:
        target = right if line.right and right is not None else axes
        if line.kind == "area":
            handle, below = _draw_area(target, line, below)
        else:
            handle = _draw_line(target, line)
        if line.label:
            handles.append(handle)
    if right is not None:
        _label(right, panel.right_unit)
        right.set_ylim(bottom=min(0.0, right.get_ylim()[0]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    _add_legend(figure, axes, handles, [_plain(line.label) for line in panel.lines if line.label])


def _dress(axes: Axes, panel: Panel) -> None:
    axes.set_facecolor("white")
    axes.set_title(_plain(panel.title), loc="left", fontsize=11, fontweight="bold", color=_INK)
    axes.set_xlabel("training step", fontsize=9.5, color=_INK)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    _label(axes, panel.unit)
    if panel.bounds is not None:
        axes.set_ylim(*panel.bounds)


def _label(axes: Axes, unit: str) -> None:
    axes.set_ylabel(unit, fontsize=9.5, color=_INK)
    axes.tick_params(colors=_INK, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)


def _draw_line(axes: Axes, line: Line) -> Any:
    style = _STYLES[line.kind]
    if line.kind == "line" and len(line.steps) == 1:
        style = style | {"marker": "o"}  # a line of one point is invisible
    (handle,) = axes.plot(line.steps, line.values, color=_PALETTE[line.color], **style)
    return handle


def _draw_area(axes: Axes, line: Line, below: Sequence[float]) -> tuple[Any, list[float]]:
    """A band on top of the one before; returns its upper edge too."""
    base = list(below) if len(below) == len(line.values) else [0.0] * len(line.values)
    top = [b + (0.0 if math.isnan(v) else v) for b, v in zip(base, line.values, strict=True)]
    edges = [line.steps[0] - 0.5, *(step + 0.5 for step in line.steps)]
    band = axes.stairs(top, edges, baseline=base, fill=True, color=_tint(_PALETTE[line.color]), linewidth=0)
    return band, top


def _tint(color: str, share: float = 0.7) -> str:
    """The colour mixed with white: paler, and still hiding the grid."""
    mixed = (round(255 - share * (255 - int(color[i : i + 2], 16))) for i in (1, 3, 5))
    return "#" + "".join(f"{value:02X}" for value in mixed)


def _add_legend(figure: Figure, axes: Axes, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Below the axis label, at a distance in points: outside the data in a panel of any height."""
    from matplotlib.transforms import ScaledTranslation

    axes.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=axes.transAxes + ScaledTranslation(0, -34 / 72, figure.dpi_scale_trans),
        ncols=3 if sum(sorted(map(len, labels))[-3:]) <= 60 else 2,  # wider ones would squeeze the panel
        fontsize=9,
        frameon=False,
        labelcolor=_INK,
        borderaxespad=0.0,
        handlelength=1.8,
        columnspacing=1.2,
    )


def _plain(text: str) -> str:
    """Text that matplotlib neither reads as mathematics nor leaves out of a legend."""
    return (" " + text if text.startswith("_") else text).replace("$", r"\$")
