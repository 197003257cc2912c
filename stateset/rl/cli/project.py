"""Settings from a command's arguments: a project file, `KEY=VALUE` overrides, or both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stateset.rl.errors import ConfigError

if TYPE_CHECKING:
    from stateset.rl.config.schema import Config

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE] [KEY=VALUE]...",
        show_default=False,
        help="A project file, and settings that win over it (docs/configuration.md lists them).",
    ),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="The same as FILE.")]
Profile = Annotated[
    str | None,
    typer.Option(help="Values below the file's: aggressive, balanced, conservative, memory, quick."),
]


def split_words(words: Sequence[str] | None, config_file: Path | None) -> tuple[Path | None, list[str]]:
    """The project file, if one is given, and the overrides.

    Raises:
        ConfigError: more than one file.
    """
    given = words or []
    # os.path: a value may be longer than a file name can be, which Path.is_file takes for an error
    overrides = [word for word in given if "=" in word and not os.path.isfile(word)]
    files = [Path(word) for word in given if word not in overrides] + ([config_file] if config_file else [])
    if len(files) > 1:
        raise ConfigError(
            f"{files[0]} and {files[1]} are two project files: give one, and single settings as KEY=VALUE"
        )
    return (files[0] if files else None), overrides


def read_config(words: Sequence[str] | None, config_file: Path | None, profile: str | None) -> Config:
    """The checked settings of a command.

    Raises:
        ConfigError: something is wrong with the file, a setting or the profile.
    """
    from stateset.rl.config.load import load_config, make_config

    file, overrides = split_words(words, config_file)
    if file is None:
        return make_config(overrides=overrides, profile=profile)
    return load_config(file, overrides=overrides, profile=profile)


def required(config: Config, *keys: str) -> None:
    """Refuse settings in which one of these keys is not given.

    Raises:
        ConfigError: with a line to add.
    """
    examples = {"model": "smollm2-135m", "dataset": "tickets.jsonl", "reward": "reward:SupportReward"}
    for key in keys:
        if getattr(config, key) is None:
            raise ConfigError(
                f"there is no `{key}`: add for example `{key}: {examples[key]}` to the project file "
                f"(or {key}={examples[key]} to the command); `stateset-rl init` writes a project that runs"
            )
