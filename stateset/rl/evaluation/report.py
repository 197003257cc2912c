"""A comparison as tables: Markdown for a README or a benchmark page, and the same tables on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from stateset.rl.evaluation.compare import ArmResult, Comparison, Rate
from stateset.rl.evaluation.tables import Grid, markdown_grid, percent, points, rich_grid

_NOTHING = "-"


def markdown(comparison: Comparison) -> str:
    """Every table in GitHub's Markdown, one after the other, each below its title in bold."""
    blocks = [_summary(comparison), *(markdown_grid(grid) for grid in _grids(comparison))]
    return "\n\n".join(blocks) + "\n"


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Every table on a terminal."""
    console.print(Text(_summary(comparison)))
    for grid in _grids(comparison):
        console.print()
        console.print(Text(grid.title, style="bold"))
        console.print(rich_grid(grid))


def _summary(comparison: Comparison) -> str:
    passed = comparison.arms[0].passed
    return (
        f"{passed.num_rows} tasks in {passed.num_clusters} clusters. In brackets: 95 % intervals, bootstrap "
        "over clusters. Differences are paired, task by task, in percentage points."
    )


def _grids(comparison: Comparison) -> list[Grid]:
    found = [_arms(comparison), *(_slices(comparison, kind) for kind in _kinds(comparison))]
    parts = _parts(comparison)
    return [*found, parts] if parts.rows else found


def _arms(comparison: Comparison) -> Grid:
    return Grid(
        title="Tasks passed",
        head=("arm", "passed", f"{comparison.target} minus arm", "CPU seconds", "note"),
        rows=tuple(_arm_row(result) for result in comparison.arms),
        words=(0, 4),
    )


def _arm_row(result: ArmResult) -> tuple[str, ...]:
    seconds = result.arm.cpu_seconds
    return (
        result.arm.name,
        percent(result.passed),
        "(target)" if result.difference is None else points(result.difference),
        _NOTHING if seconds is None else f"{seconds:,.1f}",
        result.arm.note,
    )


def _kinds(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(kind for result in comparison.arms for kind in result.slices))


def _slices(comparison: Comparison, kind: str) -> Grid:
    """Share passed by each value of one kind of slice; the tasks are the same for every arm."""
    first = comparison.arms[0].slices[kind]
    return Grid(
        title=f"Tasks passed by {kind}",
        head=(kind, "tasks", *_names(comparison)),
        rows=tuple(
            (value, str(rate.num_rows), *(f"{r.slices[kind][value].mean:.1%}" for r in comparison.arms))
            for value, rate in first.items()
        ),
    )


def _parts(comparison: Comparison) -> Grid:
    """Mean of each part; the number of answers where not every answer has it."""
    names = dict.fromkeys(name for result in comparison.arms for name in result.parts)
    tasks = comparison.arms[0].passed.num_rows
    return Grid(
        title="Parts, means",
        head=("part", *_names(comparison)),
        rows=tuple((n, *(_part(r.parts.get(n), tasks) for r in comparison.arms)) for n in names),
    )


def _names(comparison: Comparison) -> tuple[str, ...]:
    return tuple(result.arm.name for result in comparison.arms)


def _part(rate: Rate | None, num_tasks: int) -> str:
    if rate is None or not rate.num_rows:
        return _NOTHING
    count = "" if rate.num_rows == num_tasks else f" (of {rate.num_rows})"
    return f"{rate.mean:.3f}{count}"
