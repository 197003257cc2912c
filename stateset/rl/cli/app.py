"""The commands, and what an error looks like to someone at a terminal.

An error is one message on stderr and an exit code, never a traceback unless `--traceback` asks for it.
Exit codes: 0 done, 1 failed, 2 usage or settings, 3 a gate said no, 4 an extra is missing, 130 Ctrl-C and
143 SIGTERM after a checkpoint.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

import stateset.rl
from stateset.rl.cli import (
    chat,
    compare,
    config,
    data,
    doctor,
    evaluate,
    generate,
    import_project,
    init,
    judge,
    plan,
    registry,
    replay,
    reward,
    rollout_server,
    runs,
    show,
    train,
    verify_resume,
)
from stateset.rl.errors import StatesetRLError
from stateset.rl.redact import redact

_TRACEBACK = "STATESET_RL_TRACEBACK"
_OS_ADVICE = {
    errno.ENOSPC: "Free some disk space and try again.",
    errno.EDQUOT: "Your disk quota is used up: free some space and try again.",
    errno.EACCES: "Check the permissions, or choose another folder.",
    errno.ENAMETOOLONG: "Give a shorter name.",
    errno.EROFS: "The disk is read-only: choose another folder.",
}

app = typer.Typer(
    name="stateset-rl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("init")(init.init)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("gate")(compare.gate)
app.command("generate")(generate.generate)
app.command("chat")(chat.chat)
app.command("plan")(plan.plan)
app.command("runs")(runs.runs)
app.command("replay")(replay.replay)
app.command("rollout-server")(rollout_server.rollout_server)
app.command("verify-resume")(verify_resume.verify_resume)
app.command("doctor")(doctor.doctor)
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(import_project.app, name="import")
app.add_typer(reward.app, name="reward")
app.add_typer(judge.app, name="judge")
app.add_typer(registry.app, name="registry")


def _show_version(wanted: bool) -> None:
    if wanted:
        show.data(f"stateset-rl {stateset.rl.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
    with_traceback: Annotated[
        bool, typer.Option("--traceback", help=f"Show where an error comes from ({_TRACEBACK}=1 does too).")
    ] = False,
) -> None:
    """Train a language model toward your own reward with GRPO."""
    if with_traceback:
        os.environ[_TRACEBACK] = "1"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (by default the process's own) and exit with its code; typer makes Ctrl-C 130."""
    try:
        app(arguments)
        sys.exit(0)
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            show.note(redact(traceback.format_exc()))
        explained = explain(error)
        show.note(redact(f"error: {explained}"))
        sys.exit(explained.exit_code)


def explain(error: Exception) -> StatesetRLError:
    """Any exception as an error with a message for people and an exit code."""
    if isinstance(error, StatesetRLError):
        return error
    missing = stateset.rl.missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
    if missing is not None:
        return missing
    if isinstance(error, OSError) and error.errno in _OS_ADVICE:
        place = f"{error.filename}: " if error.filename else ""
        return StatesetRLError(f"{place}{error.strerror}. {_OS_ADVICE[error.errno]}")
    return StatesetRLError(
        f"unexpected {type(error).__name__}: {error}\n"
        "To see where it comes from, run the same command as `stateset-rl --traceback ...`"
    )
