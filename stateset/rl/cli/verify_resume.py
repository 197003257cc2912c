"""`stateset-rl verify-resume`: a short run, killed at random instants and resumed, compared bit for bit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stateset.rl.cli import project, show
from stateset.rl.errors import ConfigError

if TYPE_CHECKING:
    from stateset.rl.config.schema import Config
    from stateset.rl.resume_proof.kills import Verdict

_SHOWN = 5  # differences


def verify_resume(
    words: project.Words = None,
    config_file: project.ConfigFile = None,
    profile: project.Profile = None,
    kills: Annotated[int, typer.Option(min=1, help="How often the run is killed.")] = 10,
    steps: Annotated[int, typer.Option(min=2, help="Training steps of the run.")] = 6,
    seed: Annotated[int, typer.Option(help="Of the instants.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder that keeps the runs; without it they stay where they differ.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Prove that a killed run resumes exactly: with your project, or without FILE a tiny one."""
    folder = _folder(out)
    config = _short(_config(words, config_file, profile, folder), steps)
    from stateset.rl.resume_proof.kills import prove

    verdict = prove(config, kills, seed, folder, show.note)
    scope = _scope(config)
    if as_json:
        show.data_json(_as_json(verdict, scope, folder))
    else:
        _show(verdict, scope)
    if not verdict.exact:
        show.note(f"the runs are in {folder}")
        raise typer.Exit(1)
    if out is None:
        _remove(folder)


def _folder(out: Path | None) -> Path:
    """An empty folder for the runs, absolute.

    Raises:
        ConfigError: `out` holds something.
    """
    if out is None:
        return Path(tempfile.mkdtemp(prefix="stateset-rl-verify-resume-")).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not empty: name a new folder for the runs")
    return out.resolve()


def _config(words: list[str] | None, config_file: Path | None, profile: str | None, folder: Path) -> Config:
    file, overrides = project.split_words(words, config_file)
    if file is None and profile is None:
        from stateset.rl.resume_proof.tiny import tiny_project

        return tiny_project(folder / "project", overrides)
    config = project.read_config(words, config_file, profile)
    project.required(config, "model", "dataset", "reward")
    return config


def _short(config: Config, steps: int) -> Config:
    """Few steps with many checkpoints, so that much is saved, removed and gone back to.

    Raises:
        ConfigError: a run of several processes.
    """
    if config.distributed:
        raise ConfigError("verify-resume kills one process: add distributed=false")
    values = {"max_steps": min(steps, config.max_steps or steps), "save_every": 1, "keep_checkpoints": 2}
    given = {key for key, origin in config.origins.items() if origin == "override"}
    return config.model_copy(update={key: value for key, value in values.items() if key not in given})


def _scope(config: Config) -> dict[str, Any]:
    """What the verdict is about: on another machine or build, sums may round otherwise."""
    import platform

    import torch

    from stateset.rl.policy.load import resolve_device

    device = resolve_device(config.device)
    on_gpu = device.type == "cuda"
    return {
        "machine": torch.cuda.get_device_name(device) if on_gpu else platform.machine(),
        "system": platform.system(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _show(verdict: Verdict, scope: dict[str, Any]) -> None:
    hits = ", ".join(f"{kind} {count}" for kind, count in sorted(verdict.kills.items()))
    show.data(f"killed {verdict.kills.total()} times: {hits}; {verdict.runs} runs of {verdict.steps} steps")
    show.data(f"checkpoints lost {len(verdict.lost)}, damaged {len(verdict.damaged)}")
    before = verdict.compared_before
    what = (
        "weights, optimizer, logs, rollouts" if before is None else f"logs and rollouts before step {before}"
    )
    show.data(f"{what}: {len(verdict.differences)} differences from a run that was never killed")
    found = [*verdict.lost, *verdict.damaged, *verdict.differences]
    for line in found[:_SHOWN]:
        show.data(f"  {line}")
    show.data(f"{verdict.late_calls} reward calls hit their time limit, which depends on the clock")
    show.data("scope   {machine}, {system}, torch {torch}, {threads} threads".format(**scope))
    show.data("verdict resume is exact" if verdict.exact else "verdict resume is NOT exact")


def _as_json(verdict: Verdict, scope: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {
        "exact": verdict.exact,
        "kills": dict(verdict.kills),
        "runs": verdict.runs,
        "steps": verdict.steps,
        "lost": verdict.lost,
        "damaged": verdict.damaged,
        "differences": verdict.differences,
        "late_calls": verdict.late_calls,
        "compared_before_step": verdict.compared_before,
        "scope": scope,
        "folder": str(folder),
    }


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)
