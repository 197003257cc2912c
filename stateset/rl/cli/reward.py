"""`stateset-rl reward`: try a reward before it trains anything."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.errors import ConfigError, GateError

if TYPE_CHECKING:
    from stateset.rl.rewards.check import Finding

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
_MARKS = {"pass": "ok", "warn": "!", "fail": "X"}


@app.callback()
def _group() -> None:
    """Try a reward before it trains anything."""


@app.command("check")
def check(
    reward: Annotated[
        str | None, typer.Argument(metavar="[MODULE:NAME]", help="Looked for below this folder.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rows with right answers, in `answer`.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A run, whose groups and rewards are looked at.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score answers that nobody should be paid for, and look at a run's groups; exit with 3 if one fails."""
    from stateset.rl.rewards.check import check_groups, verdict

    if (reward is None) != (data is None) or (reward is None and run is None):
        raise ConfigError("give a reward with --data (rows with right answers), or --run, or all three")
    findings = [] if reward is None or data is None else _tried(reward, data)
    if run is not None:
        from stateset.rl.replay.recorded import load_groups

        findings += check_groups(load_groups(run))
    worst = verdict(findings)
    if as_json:
        show.data_json({"verdict": worst, "findings": [asdict(finding) for finding in findings]})
    else:
        show.data_table(("", "check", "found"), [[_MARKS[f.verdict], f.name, f.said] for f in findings])
        for finding in findings:
            if finding.example:
                show.data(f"{finding.name}: {finding.example}")
    if worst == "fail":
        failed = ", ".join(finding.name for finding in findings if finding.verdict == "fail")
        raise GateError(f"this reward would teach something else ({failed}): docs/reward-check.md says why")


def _tried(reward: str, data: Path) -> list[Finding]:
    from stateset.rl.data.load import load_tasks
    from stateset.rl.rewards.resolve import resolve_reward
    from stateset.rl.rewards.trial import try_reward

    tasks = load_tasks(data)
    function, file = resolve_reward(reward, Path.cwd())
    show.note(f"reward  {reward} ({file})")
    return try_reward(function, tasks)
