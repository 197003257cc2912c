"""`stateset-rl plan`: what a project file amounts to, before anything runs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stateset.rl.cli import project, show
from stateset.rl.errors import ConfigError

if TYPE_CHECKING:
    from stateset.rl.config.plan import Plan

PROMPTS = 24  # a few dozen
_LABELS = {
    "rows": "rows",
    "prompts_per_step": "prompts a step",
    "responses_per_step": "responses a step",
    "mini_batches_per_step": "mini-batches a step",
    "updates_per_step": "optimizer updates a step",
    "steps_per_epoch": "steps an epoch",
    "total_steps": "steps",
    "total_prompts": "prompts",
    "total_responses": "responses",
    "total_updates": "optimizer updates",
    "max_generated_tokens": "generated tokens, at most",
}


def plan(
    words: project.Words = None,
    config_file: project.ConfigFile = None,
    profile: project.Profile = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Load the model; time and memory of a step here.")
    ] = False,
    probe: Annotated[
        int,
        typer.Option(
            metavar="K", min=0, help="Sample the model K times a prompt: how many groups will teach?"
        ),
    ] = 0,
    prompts: Annotated[
        int | None, typer.Option(min=2, help=f"Prompts that --probe takes; default {PROMPTS}.")
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(metavar="EUR", min=0.0, help="Price of an hour; with --measure or --probe."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count the steps, updates and tokens of a run, and advise; --measure and --probe try the model."""
    from stateset.rl.config.plan import plan as make_plan
    from stateset.rl.config.plan import supervised_steps
    from stateset.rl.data.load import load_replies, load_tasks

    _refuse_idle_options(measure=measure, probe=probe, prompts=prompts, price=price)
    config = project.read_config(words, config_file, profile)
    project.required(config, "dataset")
    for notice in config.notices:
        show.note(f"note: {notice}")
    tasks = load_tasks(config.dataset)
    counted = make_plan(config, len(tasks))
    before = supervised_steps(config.warm_start, len(load_replies(config.warm_start, tasks)))
    found = None
    if measure or probe:
        from stateset.rl.cli.probe import run_probe

        found = run_probe(config, tasks, counted, samples=probe, prompts=prompts or PROMPTS, price=price)
    if as_json:
        show.data_json({**asdict(counted), "supervised_steps": before, **(found.values if found else {})})
        return
    _show(counted, before)
    for line in found.lines if found else ():
        show.data(line)


def _refuse_idle_options(*, measure: bool, probe: int, prompts: int | None, price: float | None) -> None:
    """Options that do nothing alone are mistakes."""
    if prompts is not None and not probe:
        raise ConfigError("--prompts are those that --probe samples: add --probe K, such as --probe 8")
    if price is not None and not math.isfinite(price):
        raise ConfigError(f"--price {price} is no price: give a number")
    if price is not None and not (measure or probe):
        raise ConfigError(
            "--price is multiplied by the time that --measure or --probe finds: add one of them"
        )


def _show(plan: Plan, supervised: int) -> None:
    width = max(map(len, _LABELS.values()))
    for key, label in _LABELS.items():
        show.data(f"{label:<{width}}  {getattr(plan, key):>10,}")
    if supervised:
        show.data(f"{'supervised steps before':<{width}}  {supervised:>10,}")
    for advice in plan.advice:
        show.data(f"advice: {advice}")
