"""From a file, a mapping and `key=value` overrides to one checked `Config`.

Later layers win: profile, then file or mapping, then overrides. Relative paths in a file are relative to the
file's folder; those in a mapping or an override to the working directory. Nothing of the user's is imported.
A file may be another project's (`dialects`); what that project does where its file says nothing is then part
of the file.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stateset.rl.config.dialects import (
    DIALECTS,
    PEERS,
    Aside,
    Entry,
    Reading,
    detect,
    flatten,
    read,
    rollout_notices,
    translate,
)
from stateset.rl.config.dialects.flags import SUFFIXES, read_flags
from stateset.rl.config.parts import WarmStart
from stateset.rl.config.rules import NEEDS, check
from stateset.rl.config.schema import BUNDLED_TICKETS, Config, Provenance
from stateset.rl.config.yaml_file import parse_scalar, read_yaml
from stateset.rl.errors import ConfigError

PROFILES = Path(__file__).parent / "profiles"
_OVERRIDE = "override"
_SHOWN = 200  # characters of a value in a message
_DATA_KEYS = ("dataset", "eval_dataset", "warm_start.rows")
_PATH_KEYS = (*_DATA_KEYS, "output_dir")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A config and everything that led to it.

    `layers` are another project's defaults, profile, file and overrides, each by flat key; `asides` the
    given keys that do not act.
    """

    config: Config
    layers: tuple[Mapping[str, Entry], ...]
    reading: Reading
    asides: tuple[Aside, ...]


def load_config(
    file: str | os.PathLike[str],
    *,
    overrides: Sequence[str] = (),
    profile: str | None = None,
    dialect: str | None = None,
) -> Config:
    """Read a project file, or a config of verl, TRL or OpenRLHF.

    Args:
        file: YAML with flat keys, the document's nested paths, or both; or another project's config (YAML, or
            a script with its flags).
        overrides: `key=value`, the value read as YAML; they win over the file.
        profile: name of a profile below the file; wins over a `profile` key.
        dialect: whose config it is: `platform`, `verl`, `trl` or `openrlhf`; by default its keys tell.

    Raises:
        ConfigError: anything wrong with the file or its values, with file and line.
    """
    return resolve_file(file, overrides=overrides, profile=profile, dialect=dialect).config


def resolve_file(
    file: str | os.PathLike[str],
    *,
    overrides: Sequence[str] = (),
    profile: str | None = None,
    dialect: str | None = None,
    strict: bool = True,
) -> Resolved:
    """Read a file as `load_config` does, and keep what led to the config.

    With `strict=False`, settings without an equal here are listed in `reading.refused` and not an error.
    """
    path = Path(file)
    is_script = path.suffix in SUFFIXES
    entries = read_flags(path) if is_script else read_yaml(path)
    candidates = DIALECTS if is_script else DIALECTS[:-1]
    said = [text.partition("=")[2].strip() for text in overrides if text.startswith("dialect=")]
    overrides = [text for text in overrides if not text.startswith("dialect=")]
    spoken = _dialect_of(entries, next(iter(said), dialect), candidates)
    return _resolve(entries, overrides, profile, path.absolute().parent, path.name, spoken, strict=strict)


def make_config(
    values: Mapping[str, Any] | None = None, *, overrides: Sequence[str] = (), profile: str | None = None
) -> Config:
    """Make a config from a mapping; names, layers and errors as in `load_config`."""
    entries = flatten(values or {}, "config")
    spoken = _dialect_of(entries, None, DIALECTS[:-1])
    return _resolve(entries, overrides, profile, Path.cwd(), "config", spoken).config


def merge_settings(config: Mapping[str, Any] | Config | None, settings: Mapping[str, Any]) -> Config:
    """Make one config of a mapping and single keywords; a finished `Config` takes no keywords.

    Raises:
        ConfigError: a key has two values, or as in `make_config`.
    """
    if isinstance(config, Config):
        if settings:
            raise ConfigError(
                f"{', '.join(settings)} beside a finished Config: give load_config overrides instead."
            )
        return config
    given = dict(config or {})
    for key in settings:
        if key in given and given[key] != settings[key]:
            raise ConfigError(
                f"{key} is {given[key]!r} in config and {settings[key]!r} as a keyword: keep one."
            )
    return make_config(given | dict(settings))


def list_profiles() -> tuple[str, ...]:
    """Names of the profiles that come with the package, sorted."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.yaml")))


def profile_values(name: str) -> dict[str, Any]:
    """Read what a profile sets, by flat key.

    Raises:
        ConfigError: no profile has this name.
    """
    return {key: entry.value for key, entry in _read_profile(name).items()}


def _dialect_of(
    entries: list[Entry], wanted: str | None, candidates: Sequence[str]
) -> tuple[str, Entry | None]:
    """Whose config it is, and the key that told; takes `dialect` out of the entries."""
    named = next((entry for entry in entries if entry.path == "dialect"), None)
    if named is not None:
        entries.remove(named)
    chosen = wanted or (named.value if named else None)
    if chosen is None:
        return detect(entries, candidates)
    if chosen not in DIALECTS:
        raise ConfigError(f"unknown dialect `{chosen}`. Known: {', '.join(DIALECTS)}.")
    return chosen, None


def _resolve(
    entries: list[Entry],
    overrides: Sequence[str],
    profile: str | None,
    folder: Path,
    label: str,
    spoken: tuple[str, Entry | None],
    *,
    strict: bool = True,
) -> Resolved:
    dialect, deciding = spoken
    override_entries = [entry for text in overrides for entry in _parse_override(text)]
    theirs = [entry for entry in override_entries if _is_theirs(dialect, entry)]
    override_entries = [entry for entry in override_entries if entry not in theirs]
    forced = _absolute_paths(translate(override_entries), Path.cwd())
    replaced = {entry.path for entry in theirs}
    entries = [entry for entry in entries if entry.path not in replaced] + theirs
    reading = read(entries, dialect, {key: entry.value for key, entry in forced.items()})
    if reading.refused and strict:
        raise ConfigError("\n".join((*_why(dialect, deciding), *reading.refused)))
    found = _absolute_paths(dict(reading.found), folder)
    theirs_unsaid = {key: entry for key, entry in found.items() if _is_default(entry)}
    given = {key: entry for key, entry in found.items() if key not in theirs_unsaid}
    names = [layer.pop("profile", None) for layer in (forced, given)]
    named = next((entry.value for entry in names if entry), None)
    chosen = named if profile is None else profile
    base = {} if chosen is None else _read_profile(chosen)

    layers = (theirs_unsaid, base, given, forced)
    merged = theirs_unsaid | base | given | forced
    rank = {key: level for level, layer in enumerate(layers) for key in layer}
    merged = _without_overruled(merged, rank)
    config = _validate(merged)
    dead = _dead_of_theirs(config, merged, reading.found) if dialect in PEERS else {}
    if dead:
        merged = {key: entry for key, entry in merged.items() if key not in dead}
        rank = {key: level for key, level in rank.items() if key not in dead}
        config = _validate(merged)
    asides = (*reading.asides, *(Aside(given[key], why) for key, why in dead.items() if key in given))
    origins = {key: entry.where for key, entry in merged.items()}
    own = [] if dialect in PEERS else entries
    notices = (
        *_dialect_notices(reading, merged, asides, label),
        *rollout_notices([*own, *override_entries]),
        *check(config, rank, origins),
    )
    config = config.with_provenance(Provenance(notices, origins, folder))
    return Resolved(config, layers, reading, asides)


def _why(dialect: str, deciding: Entry | None) -> Iterator[str]:
    if deciding is not None:
        title = _a(PEERS[dialect].title)
        yield f"{deciding.where}: `{deciding.path}` is {title} key, so this is read as {title} config."


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"


def _is_theirs(dialect: str, entry: Entry) -> bool:
    is_flat = entry.path in Config.model_fields or entry.path.startswith("warm_start.")
    return dialect in PEERS and not is_flat and PEERS[dialect].knows(entry.path)


def _dead_of_theirs(
    config: Config, merged: Mapping[str, Entry], found: Mapping[str, Entry]
) -> dict[str, str]:
    """Keys of another project's file that another key switches off; theirs are many, so they are listed."""
    return {
        key: f"{key} has no effect without {NEEDS[key].remedy}"
        for key, entry in found.items()
        if key in NEEDS and merged[key].where == entry.where and not NEEDS[key].is_on(config)
    }


def _is_default(entry: Entry) -> bool:
    return any(entry.where == f"{peer.title}'s default" for peer in PEERS.values())


def _dialect_notices(
    reading: Reading, merged: Mapping[str, Entry], asides: Sequence[Aside], label: str
) -> list[str]:
    if reading.dialect not in PEERS:
        return []
    title = PEERS[reading.dialect].title
    machine = sum(aside.reason == "about the machine" for aside in asides)
    said = [reading.headline, f"{machine} key(s) are about the machine" if machine else ""]
    details = "; ".join(filter(None, said))
    first = f"{label} is read as {_a(title)} config{details and ': ' + details}."
    taken = [f"{key} {entry.value}" for key, entry in merged.items() if entry.where == f"{title}'s default"]
    second = [f"From {title}'s defaults, where {label} says nothing: {', '.join(taken)}."] if taken else []
    return [first, *second, *reading.notes]


def _read_profile(name: object) -> dict[str, Entry]:
    known = list_profiles()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, 1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ConfigError(f"unknown profile `{name}`; {hint}Known: {', '.join(known)}.")
    entries = translate(read_yaml(PROFILES / f"{name}.yaml"))
    return {key: entry._replace(where=f"profile {name}") for key, entry in entries.items()}


def _parse_override(text: str) -> list[Entry]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip() or len(path) > _SHOWN:
        raise ConfigError(f"override `{text[:_SHOWN]}` is not key=value; write for example `batch_size=8`.")
    try:
        return flatten({path.strip(): parse_scalar(value)}, _OVERRIDE)
    except (yaml.YAMLError, ValueError, ArithmeticError) as error:
        reason = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise ConfigError(
            f"override `{text[:_SHOWN]}`: the value is not valid YAML ({reason[:_SHOWN]}); put it in quotes."
        ) from error


def _absolute_paths(layer: dict[str, Entry], folder: Path) -> dict[str, Entry]:
    return {
        key: entry._replace(
            value=_absolute(key, entry.value, Path.cwd() if entry.where == _OVERRIDE else folder)
        )
        for key, entry in layer.items()
    }


def _absolute(key: str, value: Any, folder: Path) -> Any:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value:
        return value
    path = folder / os.path.expanduser(value)
    if key in _DATA_KEYS and value.partition("/")[0] == BUNDLED_TICKETS and not os.path.isfile(path):
        return value
    is_local = key in _PATH_KEYS or (
        key == "model" and os.path.isdir(path)
    )  # any other model name is a hub id
    return os.path.normpath(path) if is_local else value


def _without_overruled(merged: Mapping[str, Entry], rank: Mapping[str, int]) -> dict[str, Entry]:
    """`warm_start: null` (or `{}`) as a whole, or its single keys: whichever the later layer wrote.

    Raises:
        ConfigError: one layer wrote both.
    """
    inner = [key for key in merged if key.startswith("warm_start.")]
    if not inner or "warm_start" not in merged:
        return dict(merged)
    whole, newest = rank["warm_start"], max(map(rank.__getitem__, inner))
    if whole == newest:
        entry, other = merged["warm_start"], merged[next(key for key in inner if rank[key] == newest)]
        raise ConfigError(
            f"{entry.where}: `warm_start: {entry.value}` contradicts `{other.path}: {other.value}` "
            f"({other.where}). Remove one."
        )
    dropped = inner if whole > newest else ["warm_start"]
    return {key: entry for key, entry in merged.items() if key not in dropped}


def _nested(merged: Mapping[str, Entry]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, entry in merged.items():
        outer, dot, inner = key.partition(".")
        if dot:
            values.setdefault(outer, {})[inner] = entry.value
        else:
            values[key] = entry.value
    return values


def _validate(merged: Mapping[str, Entry]) -> Config:
    try:
        return Config(**_nested(merged))
    except ValidationError as error:
        problems: dict[str, list[str]] = {}
        for detail in error.errors():
            message = detail["msg"].removeprefix("Value error, ").replace("Input should", "it must")
            names = [str(detail["loc"][0]), ".".join(map(str, detail["loc"][:2]))]
            problems.setdefault(next(name for name in names if name in merged), []).append(message)
        lines = [_explain(merged[key], key, " or ".join(messages)) for key, messages in problems.items()]
        raise ConfigError("\n".join(lines)) from error


def _explain(entry: Entry, key: str, message: str) -> str:
    outer, _, inner = key.partition(".")
    fields = WarmStart.model_fields if inner else Config.model_fields
    sentence = fields[inner or outer].description
    shown = repr(entry.value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return f"{entry.where}: `{entry.path}` is {shown}: {message}. {key}: {sentence}"
