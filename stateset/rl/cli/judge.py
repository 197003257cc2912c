"""`stateset-rl judge`: measure a judge before its grades train anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.errors import ConfigError, GateError

if TYPE_CHECKING:
    from stateset.rl.evaluation.judge_fitness import Measure
    from stateset.rl.rewards.rubric import RubricReward

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Measure a judge before its grades train anything."""


@app.command("calibrate")
def calibrate(
    reward: Annotated[str, typer.Argument(metavar="MODULE:NAME", help="A RubricReward below this folder.")],
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS",
            help="Rows with `prompt`, `response` and `label`, the people's verdict (1 or 0).",
        ),
    ],
    repeat: Annotated[
        int, typer.Option(min=2, help="Times that the same is asked; once more in another order.")
    ] = 2,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The record; default: beside the ledger."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record.")] = False,
) -> None:
    """Ask a judge about labelled answers, write down how far it can be trusted, exit with 3 if unfit."""
    from stateset.rl.evaluation.calibrate import calibrate as measure
    from stateset.rl.evaluation.calibrate import load_labels, record
    from stateset.rl.manifest import write_json_atomic

    rows = load_labels(labels)
    judged = _resolved(reward)
    file = out or judged.calibration_file
    if file.is_dir() or not file.parent.is_dir() or file.resolve() == labels.resolve():
        raise ConfigError(f"the record cannot be {file}: name a file of its own in a folder that is there")
    show.note(f"asking {judged.judge.model} {repeat + 1} times about each of {len(rows)} answers ...")
    before = judged.judge.spent()
    found = measure(judged, rows, repeat=repeat)
    cost = judged.judge.spent() - before
    written = record(judged, labels, repeat, found)
    write_json_atomic(file, written)
    if as_json:
        show.data_json(written)
    else:
        _show(found.measures)
    show.note(f"{cost.calls} calls, {cost.tokens} tokens, {cost.money:g} of money; record {file}")
    if found.first_failure:
        show.note(f"first unscored: {found.first_failure}")
    if file.resolve() != judged.calibration_file.resolve():
        show.note(f"note: the reward reads {judged.calibration_file}: give it RubricReward(calibration=...)")
    if written["unfit"]:
        said = "; ".join(written["unfit"])
        raise GateError(f"this judge is unfit as a reward ({said}): docs/judge-calibration.md says why")


def _resolved(name: str) -> RubricReward:
    from stateset.rl.rewards.resolve import resolve_reward
    from stateset.rl.rewards.rubric import RubricReward

    found, file = resolve_reward(name, Path.cwd())
    if not isinstance(found, RubricReward):
        raise ConfigError(
            f"{name} in {file} is a {type(found).__name__}, no RubricReward: nothing else can be asked anew "
            "and in another order. Where one is a part of another reward, name that part in the module"
        )
    return found


def _show(measures: Sequence[Measure]) -> None:
    def interval(one: Measure) -> str:
        return f"{one.low:.3f} to {one.high:.3f}" if math.isfinite(one.low) else "-"

    show.data_table(
        ("", "measure", "value", "95 %", "limit"),
        [
            ["ok" if one.fit else "X", one.name, show.number(one.value), interval(one), one.limit]
            for one in measures
        ],
    )
