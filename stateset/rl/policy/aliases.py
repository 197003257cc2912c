"""Names for models on this machine: `grpo_trained` is the newest trained one, `base` what it came from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import platformdirs

from stateset.rl.manifest import write_json_atomic


def alias_file() -> Path:
    """The JSON file of aliases, in the user's data folder or below `STATESET_RL_HOME`."""
    home = os.environ.get("STATESET_RL_HOME") or platformdirs.user_data_dir("stateset-rl")
    return Path(home) / "aliases.json"


def tag(alias: str, model: str | Path) -> None:
    """Let `alias` name a folder, hub id or offline model from now on."""
    file = alias_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    value = str(Path(model).absolute()) if Path(model).exists() else str(model)
    write_json_atomic(file, aliases() | {alias: value})


def aliases() -> dict[str, str]:
    """Every alias and what it names."""
    file = alias_file()
    if not file.is_file():
        return {}
    found: dict[str, str] = json.loads(file.read_text())
    return found
