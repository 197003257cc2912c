"""`stateset-rl reward`: try a reward before it trains anything."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.errors import GateError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
_MARKS = {"pass": "ok", "warn": "!", "fail": "X"}


@app.callback()
def _group() -> None:
    """Try a reward before it trains anything."""


@app.command("check")
def check(
    reward: Annotated[str, typer.Argument(metavar="MODULE:NAME", help="Looked for below this folder.")],
    data: Annotated[Path, typer.Option(metavar="FILE", help="Rows with right answers, in `answer`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score answers that nobody should be paid for; exit with 3 if the reward pays for one."""
    from stateset.rl.data.load import load_tasks
    from stateset.rl.rewards.check import verdict
    from stateset.rl.rewards.resolve import resolve_reward
    from stateset.rl.rewards.trial import try_reward

    tasks = load_tasks(data)
    function, file = resolve_reward(reward, Path.cwd())
    show.note(f"reward  {reward} ({file})")
    findings = try_reward(function, tasks)
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
