"""`stateset-rl init`: a small project that trains as it is."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.errors import ConfigError

FILES = ("project.yaml", "reward.py", "tickets.jsonl")


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write; made if needed.")] = Path(
        "."
    ),
) -> None:
    """Write a project file, a reward to edit and eight sample tickets."""
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise ConfigError(
            f"{folder.resolve()} already holds {', '.join(there)}, and nothing is overwritten: "
            "choose another folder, for example `stateset-rl init my-project`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    templates = files("stateset.rl.cli") / "templates"
    for name in FILES:
        (folder / name).write_bytes((templates / name).read_bytes())
        show.data(str(folder / name))
    project = shlex.quote(str(folder / "project.yaml"))
    show.note(f"Next:\n  stateset-rl plan {project}\n  stateset-rl train {project}")
