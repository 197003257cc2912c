"""`stateset-rl train`: a project file becomes a run directory and a model folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stateset.rl.cli import project, show
from stateset.rl.cli.held_out import read_held_out
from stateset.rl.errors import ConfigError

if TYPE_CHECKING:
    from stateset.rl.config.schema import Config


def train(
    words: project.Words = None,
    config_file: project.ConfigFile = None,
    profile: project.Profile = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a run that stopped, from its own settings.")
    ] = None,
    allow_change: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="With --resume: a setting or package that may differ."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train the model of a project file toward its reward."""
    if allow_change and resume is None:
        raise ConfigError("--allow-change belongs to --resume RUN: a new run has no beginning to differ from")
    if resume is None:
        config = project.read_config(words, config_file, profile)
    else:
        config = _config_of_run(resume, words, config_file, profile)
    project.required(config, "model", "dataset", "reward")
    leads = _leads()
    if leads:
        _announce(config)
    from stateset.rl.trainer import GRPOTrainer

    if leads:
        _announce_device(config)
    trainer = GRPOTrainer(config=config)
    trainer.train(resume=resume, allow_change=allow_change or ())
    assert trainer.run_path is not None
    if leads:
        _report(trainer.run_path, as_json)


def _leads() -> bool:
    """Whether this process talks to the user: of those that torchrun starts, the first alone does."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["RANK"] == "0"


def _config_of_run(
    run: Path, words: Sequence[str] | None, config_file: Path | None, profile: str | None
) -> Config:
    """The settings that a run recorded, with overrides; the project's folder is where it began."""
    from stateset.rl.config.load import load_config
    from stateset.rl.config.schema import Provenance
    from stateset.rl.tracking.read_runs import read_run

    file, overrides = project.split_words(words, config_file)
    if file is not None or profile is not None:
        raise ConfigError(
            f"--resume takes the settings of {run}: leave out {file or '--profile'}; "
            "single settings may be given, for example max_steps=100"
        )
    manifest = read_run(run).manifest
    config = load_config(run / "config.resolved.yaml", overrides=overrides)
    chosen = {
        key: where for key, where in config.origins.items() if where == "override"
    }  # not every recorded key
    notices = _notices_about(chosen, config.notices)
    return config.with_provenance(Provenance(notices, chosen, Path(manifest["project"])))


def _notices_about(keys: Mapping[str, str], notices: Sequence[str]) -> tuple[str, ...]:
    """Those that name one of the keys; a record holds every key, so others may be about nobody's choice."""
    return tuple(text for text in notices if any(re.search(rf"\b{key}\b", text) for key in keys))


def _announce(config: Config) -> None:
    """What will run, before anything slow is imported; wrong rows and rewards end here."""
    from stateset.rl.config.plan import plan, supervised_steps
    from stateset.rl.data.load import load_replies, load_tasks
    from stateset.rl.rewards.resolve import resolve_reward, resolve_verifier

    rows = load_tasks(config.dataset)
    counted = plan(config, len(rows))
    warm = supervised_steps(config.warm_start, len(load_replies(config.warm_start, rows)))
    _, file = resolve_reward(str(config.reward), config.folder)
    resolve_verifier(config.verifier, config.folder)
    show.note(f"reward  {config.reward} ({file})")
    show.note(
        f"plan    {counted.rows} rows: {f'{warm} supervised steps, then ' if warm else ''}"
        f"{counted.total_steps} steps of {counted.prompts_per_step} prompts x "
        f"{config.rollout_n} responses, {counted.total_updates} updates, "
        f"at most {counted.max_generated_tokens:,} generated tokens"
    )


def _announce_device(config: Config) -> None:
    from stateset.rl.policy.load import refuse_untrainable, resolve_device, resolve_dtype

    refuse_untrainable(config.model, config)
    device = resolve_device(config.device)
    dtype = resolve_dtype(config.compute_dtype, device)
    ranks = f", {config.num_gpus} processes" if config.distributed else ""
    show.note(f"model   {config.model} on {device.type}, {str(dtype).removeprefix('torch.')}{ranks}")


def _report(run: Path, as_json: bool) -> None:
    """Where everything lies, and the held-out reward before and after."""
    from stateset.rl.tracking.read_runs import read_run

    held_out, found = read_held_out(run), read_run(run)
    result: dict[str, Any] = {
        "run": str(run),
        "model": str(run / "model"),
        "best": str(run / "best") if (run / "best").is_dir() else None,
        "steps": found.last_step,
        "reward": found.metrics[-1]["reward"] if found.metrics else None,
        "held_out": asdict(held_out) if held_out else None,
    }
    if as_json:
        show.data_json(result)
        return
    show.data(f"run    {result['run']}\nmodel  {result['model']}")
    if held_out:
        show.data(
            f"held-out reward {show.number(held_out.before)} -> {show.number(held_out.after)} "
            f"(best {show.number(held_out.best)} at step {held_out.best_step})"
        )
