"""Draws how a step's CPU seconds grow with responses, new tokens and prompt, from lines of `compare.py`.

    python bench/growth.py runs/bench-full.jsonl docs/benchmarks/step.png

A point is the median of a cell's measured steps, its bar their least and most, a line the best straight one.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cell import Cell
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PANELS = {
    "group": "responses to a prompt",
    "new_tokens": "new tokens a response",
    "prompt_tokens": "prompt tokens",
}
# The panel of responses has a line for each of these prompts; the other two are drawn at the first.
PROMPTS = {200: "#0072B2", 800: "#D55E00"}
PLAIN = {"lora": 0, "beta": 0.0, "prompts": 1}


def main() -> None:
    """Read the lines, write the picture."""
    source, target = map(Path, sys.argv[1:])
    lines = [json.loads(text) for text in source.read_text().splitlines()]
    draw([line for line in lines if line["kind"] == "step" and line["tool"] == "stateset-rl"], target)


def draw(steps: list[dict[str, Any]], target: Path) -> None:
    """Three panels, one a quantity that varies while the others stay as in `Cell()`."""
    figure = Figure(figsize=(12, 4), dpi=100, layout="constrained")
    figure.suptitle("One training step of SmolLM2-135M on one core, CPU seconds", fontsize=12)
    for axes, (name, label) in zip(figure.subplots(1, 3), PANELS.items(), strict=True):
        for prompt, colour in PROMPTS.items():
            fixed = {key: getattr(Cell(), key) for key in PANELS} | {"prompt_tokens": prompt} | PLAIN
            if name == "group" or prompt == Cell().prompt_tokens:
                _line(axes, steps, name, fixed, colour)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(color="#DDDDDD")
        if name == "group":
            axes.legend(frameon=False)
    FigureCanvasAgg(figure).print_png(str(target))


def _line(axes: Axes, steps: list[dict[str, Any]], name: str, fixed: dict[str, Any], colour: str) -> None:
    fixed = {key: value for key, value in fixed.items() if key != name}
    seconds: dict[int, list[float]] = {}
    for step in steps:
        if all(step[key] == value for key, value in fixed.items()):
            seconds.setdefault(step[name], []).extend(step["cpu_seconds"])
    if len(seconds) < 2:
        return
    places = sorted(seconds)
    middles = np.array([statistics.median(seconds[at]) for at in places])
    ends = np.array([[min(seconds[at]), max(seconds[at])] for at in places])
    slope, start = np.polyfit(places, middles, 1)
    across = np.array([0, places[-1]])
    label = f"prompt of {fixed['prompt_tokens']} tokens" if "prompt_tokens" in fixed else None
    axes.plot(across, start + slope * across, color=colour, linewidth=1.5)
    spread = np.abs(ends.T - middles)
    axes.errorbar(places, middles, spread, color=colour, fmt="o", capsize=3, label=label)


if __name__ == "__main__":
    main()
