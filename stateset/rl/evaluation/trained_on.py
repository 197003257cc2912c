"""What a model was trained on: the rows that the run that made it names, and those that it sampled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stateset.rl.data.load import load_tasks
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.rollout.model import Model
from stateset.rl.tracking.read_runs import read_jsonl, read_run
from stateset.rl.tracking.run_dir import step_file
from stateset.rl.types import Message, Task


class Origin(NamedTuple):
    """The run that made a model: its folder, its settings, the folder that their paths are relative to."""

    run: Path
    settings: Mapping[str, Any]
    project: Path


class TrainedOn(NamedTuple):
    """Rows with every prompt that a run's records show.

    Attributes:
        tasks: a row or several for each prompt.
        sources: what named them, where something did: a file, or a part of the bundled tickets.
        run: whose records they are; None: they were given.
        missing: why others may have been trained on, too; empty: there are none.
    """

    tasks: Sequence[Task]
    sources: tuple[str, ...] = ()
    run: Path | None = None
    missing: str = ""


def find_origin(model: Model) -> Origin:
    """The run that made a model.

    Raises:
        ConfigError: no run did, or it is gone.
        DataError: its files are damaged.
    """
    run = model.run_dir or _lineage(Path(model.policy.name))
    if not (run / "manifest.json").is_file():
        raise ConfigError(f"the run that made this model is gone: there is no {run / 'manifest.json'}")
    manifest = read_run(run).manifest
    file = run / "config.resolved.yaml"
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{file} cannot be read ({error}): restore it") from error
    if not isinstance(settings, dict) or not {"model", "max_response_length"} <= settings.keys():
        raise DataError(f"{file} is damaged: it names no `model` or no `max_response_length`; restore it")
    return Origin(run, settings, Path(str(manifest.get("project") or ".")))


def _lineage(folder: Path) -> Path:
    file = folder / "stateset_rl.json"
    if not file.is_file():
        raise ConfigError(
            f"{folder} was not made by a run of stateset-rl, so nothing says what it was trained on and what "
            "was held out: use evaluate_models(baseline, trained, test_set)"
        )
    try:
        return Path(json.loads(file.read_text(encoding="utf-8"))["run"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is damaged ({error!r}): train again, or restore it") from error


def trained_on(origin: Origin) -> TrainedOn:
    """What a run's records show of its rows.

    Raises:
        DataError: a file of its rollouts is damaged.
    """
    imitates = origin.settings.get("warm_start")
    imitated = (imitates or {}).get("rows")
    rows, others = _named(origin.settings.get("dataset")), _named(imitated)
    sampled = list(_sampled(origin.run))
    tasks = [*(rows or ()), *(others or ()), *sampled]
    run = read_run(origin.run)
    whole = rows is not None and len(rows) == run.manifest.get("rows")
    if imitated and others is None:
        missing = f"the rows of its warm start, {imitated}, cannot be read"
    elif whole or len({task.id for task in sampled}) == run.manifest.get("rows"):
        missing = ""
    elif imitates and not imitated:
        missing = "its warm start imitated rows of which it kept no copy"
    else:
        lost = [step for step in range(1, run.last_step + 1) if not _rollouts(origin.run, step).is_file()]
        missing = f"{_rollouts(origin.run, lost[0])} is gone" if lost else ""
    sources = tuple(str(name) for name in (origin.settings.get("dataset"), imitated) if name)
    return TrainedOn(tasks, sources, origin.run.absolute(), missing)


def _named(source: str | None) -> list[Task] | None:
    """The rows of a setting; None where there is none, or they are gone."""
    try:
        return load_tasks(source) if source else None
    except DataError:
        return None


def _rollouts(run: Path, step: int) -> Path:
    return run / "rollouts" / step_file(step)


def _sampled(run: Path) -> Iterator[Task]:
    for file in sorted((run / "rollouts").glob("*.jsonl")):
        for line in read_jsonl(file):
            if isinstance(line, dict) and {"task", "prompt"} <= line.keys():
                yield Task(id=line["task"], prompt=_prompt(line["prompt"]))


def _prompt(recorded: Any) -> str | tuple[Message, ...]:
    return recorded if isinstance(recorded, str) else tuple(recorded)
