"""`stateset-rl runs`: what the run directories say."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stateset.rl.cli import show
from stateset.rl.cli.held_out import read_held_out
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.tracking.attribution import describe_attribution

if TYPE_CHECKING:
    from stateset.rl.tracking.read_runs import Run


def runs(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROOT | show RUN | plot RUN | doctor RUN]",
            show_default=False,
            help="A folder of runs (default: runs), or one run.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List runs, the newest first; show one with all its steps, draw its curves, or look for damage."""
    from stateset.rl.tracking.read_runs import list_runs, read_run

    match words or ["runs"]:
        case ["show", run]:
            _show_run(read_run(Path(run)), as_json)
        case ["show"]:
            raise ConfigError("`runs show` needs a run: stateset-rl runs show runs/NAME")
        case ["plot", run]:
            _plot_run(Path(run), as_json)
        case ["plot"]:
            raise ConfigError("`runs plot` needs a run: stateset-rl runs plot runs/NAME")
        case ["doctor", run]:
            _examine(Path(run), as_json)
        case ["doctor"]:
            raise ConfigError("`runs doctor` needs a run: stateset-rl runs doctor runs/NAME")
        case [root]:
            _show_list(list_runs(Path(root)), root, as_json)
        case _:
            raise ConfigError(
                "give one folder of runs, or `show`, `plot` or `doctor` and one run: stateset-rl runs show "
                "runs/NAME"
            )


def _show_list(found: list[Run], root: str, as_json: bool) -> None:
    summaries = [_listed(run) for run in found]
    if as_json:
        show.data_json(summaries)
    elif found:
        show.data_table(("run", "status", "steps", "reward", "best held-out"), list(map(_cells, summaries)))
    for summary in summaries:
        if summary["status"] == "damaged":
            show.note(f"note: {summary['error']}")
    if (Path(root) / "manifest.json").is_file():
        show.note(f"{root} is itself a run: stateset-rl runs show {shlex.quote(root)}")
    elif not found:
        show.note(f"no runs in {root}: `stateset-rl train FILE` makes one, or name another folder")


def _listed(run: Run) -> dict[str, Any]:
    """The summary of a run; one whose evaluations cannot be read is damaged too."""
    from stateset.rl.tracking.read_runs import damaged_run

    try:
        return _summary(run)
    except DataError as error:
        return _summary(damaged_run(run.path, error))


def _summary(run: Run) -> dict[str, Any]:
    held_out = None if run.status == "damaged" else read_held_out(run.path)
    return {
        "run": str(run.path),
        "status": run.status,
        "error": run.error,
        "steps": run.last_step,
        "reward": run.metrics[-1].get("reward") if run.metrics else None,
        "held_out": asdict(held_out) if held_out else None,
    }


def _cells(summary: dict[str, Any]) -> list[str]:
    best = summary["held_out"]["best"] if summary["held_out"] else None
    words = [summary["run"], summary["status"], str(summary["steps"])]
    return [*words, show.number(summary["reward"]), show.number(best)]


def _show_run(run: Run, as_json: bool) -> None:
    if as_json:
        show.data_json(_summary(run) | {"manifest": run.manifest, "metrics": run.metrics})
        return
    for name, value in _facts(run).items():
        show.data(f"{name:<9}{value}")
    for line in describe_attribution(run.metrics):
        show.data(f"{'parts':<9}{line}")
    columns = ("step", "reward", "reward_std", "kl", "entropy", "completions/mean_length")
    rows = [
        [str(line["step"]), *(show.number(line.get(name)) for name in columns[1:])] for line in run.metrics
    ]
    show.data_table(columns, rows)


def _plot_run(run: Path, as_json: bool) -> None:
    """Write the picture and say where it is."""
    from stateset.rl.tracking.plot import plot_curves

    picture = str(plot_curves(run))
    if as_json:
        show.data_json({"picture": picture})
    else:
        show.data(picture)


def _examine(run: Path, as_json: bool) -> None:
    """What is damaged, what a resume goes on from, what it does again; exit code 1 if anything is damaged."""
    from stateset.rl.tracking.diagnosis import diagnose

    found = diagnose(run)
    if as_json:
        show.data_json(asdict(found))
    else:
        lines = [("run", f"{found.run} ({found.status}, {found.last_step} steps recorded)")]
        for name, problem in found.checkpoints.items():
            lines.append((name, (problem or "whole") + (", pinned" if name in found.pinned else "")))
        lines += [("note", remark) for remark in found.remarks]
        lines += [("damaged", problem) for problem in found.problems]
        show.data("\n".join(f"{name:<12}{text}" for name, text in lines))
    if found.problems:
        raise typer.Exit(1)


def _took(run: Run) -> str | None:
    """Time, memory and parameters; a resumed run counts each step once."""
    from stateset.rl.tracking.forecast import duration
    from stateset.rl.tracking.read_runs import read_jsonl

    file = run.path / "timings.jsonl"
    lines = list(read_jsonl(file)) if file.is_file() else []
    if not lines:
        return None
    told = [f"{duration(sum(line['seconds']['total'] for line in lines))} in {len(lines)} steps"]
    peak = max((line.get("peak_bytes", 0) for line in lines), default=0)
    told += [f"{peak / 2**20:,.0f} MiB at most"] if peak else []
    told += [f"{name} {count:,} parameters" for name, count in run.manifest.get("parameters", {}).items()]
    return ", ".join(told)


def _facts(run: Run) -> dict[str, str]:
    held_out = read_held_out(run.path)
    facts = {
        "run": str(run.path),
        "status": run.status,
        "error": run.error,
        "started": run.manifest.get("started"),
        "ended": run.manifest.get("ended"),
        "model": run.manifest.get("model"),
        "took": _took(run),
        "held-out": held_out
        and f"{show.number(held_out.before)} -> {show.number(held_out.after)}, "
        f"best {show.number(held_out.best)} at step {held_out.best_step}",
    }
    return {name: str(value) for name, value in facts.items() if value}
