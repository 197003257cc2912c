"""Models that passed the gate on this machine, and which of them an alias such as `production` means.

A version is a folder `v1`, `v2`, ... that is written whole and never changed. An alias moves by renaming a
file, so that a reader sees the old model or the new one; `history.jsonl` gets a line a move.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from stateset.rl.errors import ConfigError, DataError
from stateset.rl.manifest import to_json
from stateset.rl.policy.aliases import OFFLINE_MODELS, TAGGED, alias_file, aliases, tag

PRODUCTION = "production"
_NAME = re.compile(r"v([1-9]\d*)")
_ALIAS = re.compile(r"[A-Za-z][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A model of the registry: its name, its folder, and the aliases that mean it."""

    name: str
    folder: Path
    aliases: tuple[str, ...]


def registry_folder() -> Path:
    """Where versions lie: in the user's data folder, or below `STATESET_RL_HOME`."""
    return alias_file().parent / "registry"


def list_versions() -> list[Version]:
    """Every version, the oldest first."""
    root = registry_folder()
    folders = [path for path in root.iterdir() if _number(path.name)] if root.is_dir() else []
    meant = aliases()
    return [
        Version(
            name=folder.name,
            folder=folder,
            aliases=tuple(sorted(name for name, target in meant.items() if target == str(folder.absolute()))),
        )
        for folder in sorted(folders, key=lambda path: _number(path.name))
    ]


def find_version(name: str) -> Version:
    """One version by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    found = list_versions()
    for version in found:
        if version.name == name:
            return version
    known = ", ".join(version.name for version in found) or "none yet: `stateset-rl registry deploy MODEL`"
    raise ConfigError(f"the registry has no version {name!r}; it has {known}")


def publish(write: Callable[[Path], None]) -> Version:
    """Make a version of what `write` writes into an empty folder; nothing stays of one that fails."""
    with _locked() as root:
        number = 1 + max((_number(version.name) for version in list_versions()), default=0)
        temporary, folder = root / f".tmp-v{number}", root / f"v{number}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            write(temporary)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        temporary.rename(folder)
    return find_version(folder.name)


def move(alias: str, version: str) -> Version:
    """Let an alias mean a version from now on.

    Raises:
        ConfigError: no such version, or an alias that `refuse_alias` refuses.
    """
    refuse_alias(alias)
    with _locked():
        found = find_version(version)
        _write(alias, found.folder, "tag")
    return find_version(version)


def refuse_alias(alias: str) -> None:
    """What can be told of an alias before there is a version.

    Raises:
        ConfigError: a word that is no name, or one that means another model everywhere.
    """
    if alias in (*OFFLINE_MODELS, *TAGGED):
        raise ConfigError(f"{alias!r} is the name of another model: choose one such as `{PRODUCTION}`")
    if not _ALIAS.fullmatch(alias) or _number(alias):
        raise ConfigError(
            f"{alias!r} is no name for an alias: letters, digits, `-`, `_` and `.`, a letter first"
        )


def roll_back(alias: str = PRODUCTION) -> Version:
    """Let an alias mean the version that it meant before.

    Raises:
        ConfigError: it meant none before, or that one is gone.
        DataError: the history is damaged.
    """
    with _locked():
        meant = _meanings(alias)
        if len(meant) < 2:
            raise ConfigError(f"`{alias}` has meant {len(meant)} versions: there is none to go back to")
        found = find_version(meant[-2])
        _write(alias, found.folder, "rollback")
    return find_version(found.name)


def _write(alias: str, folder: Path, move: str) -> None:
    tag(alias, folder)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with _history().open("a", encoding="utf-8") as file:
        file.write(to_json({"at": at, "alias": alias, "version": folder.name, "move": move}) + "\n")


def _meanings(alias: str) -> list[str]:
    """The versions that an alias has meant, the newest last; a rollback takes the newest away."""
    meant: list[str] = []
    for line in _moves():
        if line["alias"] != alias:
            continue
        if line["move"] == "rollback":
            del meant[-1:]
        elif not meant or meant[-1] != line["version"]:
            meant.append(line["version"])
    return meant


def _moves() -> Iterator[dict[str, str]]:
    file = _history()
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
            yield {name: str(found[name]) for name in ("alias", "version", "move")}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}:{number} is damaged ({error!r}): take the line out") from error


def _history() -> Path:
    return registry_folder() / "history.jsonl"


def _number(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else 0


@contextmanager
def _locked() -> Iterator[Path]:
    root = registry_folder()
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):
        yield root
