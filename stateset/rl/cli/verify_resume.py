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
_FAULT, _NOTHING = 1, 3  # exit codes: not exact; no step could be compared


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
        raise typer.Exit(_FAULT if verdict.fault else _NOTHING)
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
    differ = f"{len(verdict.differences)} differences from a run that was never killed"
    show.data(f"{_compared(verdict)}: {differ}")
    found = [*verdict.lost, *verdict.damaged, *verdict.differences]
    for line in found[:_SHOWN]:
        show.data(f"  {line}")
    show.data(f"{verdict.late_calls} reward calls hit their time limit, which depends on the clock")
    show.data("scope   {machine}, {system}, torch {torch}, {threads} threads".format(**scope))
    show.data(f"verdict {_sentence(verdict)}")


def _compared(verdict: Verdict) -> str:
    found, before = verdict.compared, verdict.compared_before
    steps = f"{found['steps']} of {verdict.runs * verdict.steps} steps"
    rest = "logs, final weights" if before is None else f"logs before step {before}"
    return f"{steps}, {found['rollouts']} rollouts, {found['checkpoints']} checkpoints, {rest}"


def _sentence(verdict: Verdict) -> str:
    if verdict.fault:
        return "resume is NOT exact"
    if not verdict.exact:
        return (
            "nothing could be compared: reward calls hit their time limit from the first step on, which "
            "depends on the clock. Raise reward_timeout_seconds, or try with a quicker reward"
        )
    limit = verdict.compared_before
    return "resume is exact" if limit is None else f"resume is exact before step {limit}; the rest is unknown"


def _as_json(verdict: Verdict, scope: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {
        "exact": verdict.exact,
        "kills": dict(verdict.kills),
        "runs": verdict.runs,
        "steps": verdict.steps,
        "compared": dict(verdict.compared),
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
