"""Tables of a report: Markdown for a page, and the same on a terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from stateset.rl.evaluation.statistics import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One table: the columns in `words` hold text, the others numbers."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[int, ...] = (0,)


def percent(found: Interval) -> str:
    """A share with its interval: 61.2% [55.0, 67.1]."""
    return f"{found.mean:.1%} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def points(found: Interval) -> str:
    """A difference of shares in percentage points, with its interval: +9.6 [+2.2, +17.0]."""
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def markdown_grid(grid: Grid) -> str:
    """A table in GitHub's Markdown below its title in bold."""
    rule = ["---" if i in grid.words else "---:" for i in range(len(grid.head))]
    rows = [list(map(cell, row)) for row in (grid.head, *grid.rows)]
    lines = [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]
    return "\n".join([f"**{cell(grid.title)}**", "", *lines])


def cell(text: str) -> str:
    """One line of Markdown, with nothing in it that ends a cell."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def rich_grid(grid: Grid) -> Table:
    """A table for a terminal, without its title."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_edge=False, pad_edge=False)
    for i, name in enumerate(grid.head):
        table.add_column(Text(name), justify="left" if i in grid.words else "right", overflow="fold")
    for row in grid.rows:
        table.add_row(*map(Text, row))
    return table
