"""The names a setting may have in a file: ours, the platform document's, verl's, TRL's and OpenRLHF's.

A file speaks one dialect. It is recognised by a key that only one has, unless `dialect:` in the file or
`--from` says which. `read` makes our keys of a file, `write_config` a file of ours; each lists what the other
side cannot say, and docs/dialects.md shows the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stateset.rl.config.dialects import platform
from stateset.rl.config.dialects.exchange import Reader, Writer
from stateset.rl.config.dialects.openrlhf import OPENRLHF
from stateset.rl.config.dialects.platform import HOUSE, NESTED, PATHS, rollout_notices, translate
from stateset.rl.config.dialects.table import Aside, Dialect, Entry, flatten, nested
from stateset.rl.config.dialects.trl import TRL
from stateset.rl.config.dialects.verl import VERL
from stateset.rl.config.rules import acting_values
from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError

__all__ = [
    "DIALECTS", "NESTED", "PATHS", "PEERS", "Aside", "Entry", "Reading", "Written", "detect", "flatten",
    "read", "rollout_notices", "translate", "write_config",
]  # fmt: skip

PEERS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (VERL, TRL, OPENRLHF)}
DIALECTS = ("platform", *PEERS)
_MARKED = ("platform", "verl", "trl")  # OpenRLHF has no file but a command line


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file said: our keys, and everything of it that is no key of ours.

    `notes` are nearly the same here, `refused` not at all, `asides` do not act.
    """

    dialect: str
    found: Mapping[str, Entry]
    headline: str = ""
    notes: Sequence[str] = ()
    refused: Sequence[str] = ()
    asides: Sequence[Aside] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A file for another dialect, and which of our keys it cannot say, each with the reason."""

    values: Mapping[str, Any]
    lost: Sequence[tuple[str, str]] = field(default=())


def detect(entries: Iterable[Entry], candidates: Sequence[str] = _MARKED) -> tuple[str, Entry | None]:
    """The dialect of a file, and the key that decided; `platform` where none does.

    Raises:
        ConfigError: keys of two dialects.
    """
    deciding: dict[str, Entry] = {}
    for entry in entries:
        owners = [name for name in candidates if _knows(name, entry.path)]
        if len(owners) == 1 and entry.path not in (*HOUSE, "profile"):
            deciding.setdefault(owners[0], entry)
    if len(deciding) > 1:
        said = [f"{entry.where}: `{entry.path}` is {_title(name, entry)}" for name, entry in deciding.items()]
        raise ConfigError(
            f"{said[0]}, and {said[1]}: a file speaks one dialect. Remove one, or say which with `dialect:`."
        )
    return next(iter(deciding.items()), ("platform", None))


def read(entries: Sequence[Entry], dialect: str, fixed: Mapping[str, Any]) -> Reading:
    """Make our keys of a file.

    Args:
        entries: the file's keys.
        dialect: whose they are.
        fixed: our keys that an override sets.

    Raises:
        ConfigError: a key of the platform's own is unknown, or a setting stands there twice with two values.
    """
    if dialect == "platform":
        return Reading(dialect, translate(entries))
    peer = PEERS[dialect]
    house = translate(entry for entry in entries if _is_ours(peer, entry))
    given: dict[str, Entry] = {}
    for entry in entries:
        if not _is_ours(peer, entry):
            path = peer.names.get(entry.path, entry.path)
            first = given.setdefault(path, entry)
            if first.value != entry.value:
                raise ConfigError(f"{entry.where}: `{entry.path}` contradicts {first.where}. Remove one.")
    reader = Reader(peer, given, fixed)
    reader.read()
    for key, entry in house.items():
        other = reader.found.get(key)
        if other is not None and other.path in reader.given and other.value != entry.value:
            raise ConfigError(
                f"{entry.where}: `{entry.path}: {entry.value}` contradicts `{other.path}: {other.value}` "
                f"({other.where}); both set {key}. Remove one."
            )
    return Reading(
        dialect, reader.found | house, "; ".join(reader.headline), reader.notes, reader.refused, reader.asides
    )


def write_config(config: Config, dialect: str) -> Written:
    """Say a config in a dialect: `platform`, `verl` or `trl`.

    Raises:
        ConfigError: OpenRLHF has no file to write, or the dialect is unknown.
    """
    if dialect == "platform":
        defaults = Config.model_fields
        plain = acting_values(config)
        values = {
            key: value
            for key, value in plain.items()
            if key in config.origins or getattr(config, key) != defaults[key].default
        }
        return Written(values)
    if dialect not in PEERS or PEERS[dialect].write_joint is None:
        raise ConfigError(f"a config cannot be written for `{dialect}`: choose platform, verl or trl.")
    writer = Writer(PEERS[dialect], acting_values(config))
    writer.write(config)
    return Written(nested(writer.values), tuple(writer.lost))


def _knows(name: str, path: str) -> bool:
    return platform.knows(path) if name == "platform" else PEERS[name].knows(path)


def _title(name: str, entry: Entry) -> str:
    """Whose key it is, and what it is called here if it sets just one of ours."""
    if name == "platform":
        return "ours"
    row = PEERS[name].row(entry.path)
    here = f" (ours: `{row.ours}`)" if row and row.ours in Config.model_fields else ""
    return f"{PEERS[name].title}'s{here}"


def _is_ours(peer: Dialect, entry: Entry) -> bool:
    theirs = entry.path in peer.names or peer.row(entry.path) is not None
    return entry.path in (*HOUSE, "profile") and not theirs
