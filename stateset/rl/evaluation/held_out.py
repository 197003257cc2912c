"""`evaluate(model)`: a trained model against what it started from, on the rows that its run held out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stateset.rl.config.schema import BUNDLED_TICKETS
from stateset.rl.data.load import load_tasks
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.improvement import Improvement
from stateset.rl.evaluation.models import evaluate_models
from stateset.rl.policy.load import load_policy
from stateset.rl.rewards.resolve import resolve_reward
from stateset.rl.rollout.model import Model
from stateset.rl.tracking.read_runs import read_jsonl, read_run
from stateset.rl.types import Message, Task


class Origin(NamedTuple):
    """The run that made a model: its folder, its settings, the folder that their paths are relative to."""

    run: Path
    settings: Mapping[str, Any]
    project: Path


def evaluate(
    model: Model, test_set: Any = None, *, baseline: Model | None = None, **options: Any
) -> Improvement:
    """Compare a trained model with what it started from, as its run's records say.

    The run's training rows are looked through for the test prompts. Where the rows are no bundled tickets and
    `success` is not given, the run's `eval_reward`, else its `reward`, says which answers are right: above
    the middle of its bounds.

    Args:
        model: `train` returned it, or `load_model` loaded it from a run.
        test_set: rows; None: the run's `eval_dataset`. That one has been looked at during the run, once an
            evaluation; rows that were never looked at are better evidence.
        baseline: None: the model that the run started from.
        options: as for `evaluate_models`; `max_new_tokens` is the run's `max_response_length`.

    Raises:
        ConfigError: no run made this model, or it held out no rows that can be found again.
        DataError: the run's files are damaged.
    """
    origin = find_origin(model)
    test_set = origin.settings.get("eval_dataset") if test_set is None else test_set
    if test_set is None:
        raise ConfigError(
            f"the run {origin.run} names no `eval_dataset`, so there are no held-out rows: set it in the "
            "project file before training, or give rows that the model was not trained on: "
            "evaluate(model, test_set)"
        )
    options.setdefault("max_new_tokens", origin.settings["max_response_length"])
    options.setdefault("training_data", _trained_on(origin))
    named = origin.settings.get("eval_reward") or origin.settings.get("reward")
    if options.get("success") is None and named and not _bundled(test_set):
        options["success"] = resolve_reward(named, origin.project)[0]
    before = baseline or Model(load_policy(str(origin.settings["model"])))
    return evaluate_models(before, model, test_set, **options)


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


def _trained_on(origin: Origin) -> list[Task]:
    """Rows with every prompt that the run may have seen: those that it names, and those that it sampled."""
    settings = origin.settings
    named = (settings.get("dataset"), (settings.get("warm_start") or {}).get("rows"))
    tasks = [task for source in named if source for task in load_tasks(source)]
    for file in sorted((origin.run / "rollouts").glob("*.jsonl")):
        tasks += [
            Task(id=line["task"], prompt=_prompt(line["prompt"]))
            for line in read_jsonl(file)
            if isinstance(line, dict) and {"task", "prompt"} <= line.keys()
        ]
    return tasks


def _prompt(recorded: Any) -> str | tuple[Message, ...]:
    return recorded if isinstance(recorded, str) else tuple(recorded)


def _bundled(test_set: Any) -> bool:
    return isinstance(test_set, str) and test_set.partition("/")[0] == BUNDLED_TICKETS
