"""Where a command writes: data on stdout, everything else on stderr."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import typer

from stateset.rl.manifest import to_json


def data(text: str) -> None:
    """One piece of what was asked for."""
    typer.echo(text)


def data_json(value: Any) -> None:
    """What was asked for, as JSON."""
    typer.echo(to_json(value, indent=2))


def note(text: str) -> None:
    """Progress, and what else people should know."""
    typer.echo(text, err=True)


def data_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their longest cell, never cut."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def number(value: float | None, digits: int = 3) -> str:
    """A number for people; "-" where there is none."""
    return f"{value:.{digits}f}" if value is not None and math.isfinite(value) else "-"
