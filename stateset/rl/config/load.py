"""From a file, a mapping and `key=value` overrides to one checked `Config`.

Later layers win: profile, then file or mapping, then overrides. Relative paths in a file are relative to the
file's folder; those in a mapping or an override to the working directory. Nothing of the user's is imported.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stateset.rl.config.dialects import Entry, flatten, rollout_notices, translate
from stateset.rl.config.rules import check
from stateset.rl.config.schema import BUNDLED_TICKETS, Config, Provenance, WarmStart
from stateset.rl.config.yaml_file import parse_scalar, read_yaml
from stateset.rl.errors import ConfigError

PROFILES = Path(__file__).parent / "profiles"
_DATA_KEYS = ("dataset", "eval_dataset", "warm_start.rows")
_PATH_KEYS = (*_DATA_KEYS, "output_dir")


def load_config(
    file: str | os.PathLike[str], *, overrides: Sequence[str] = (), profile: str | None = None
) -> Config:
    """Read a project file.

    Args:
        file: YAML with flat keys, the document's nested paths, or both.
        overrides: `key=value`, the value read as YAML; they win over the file.
        profile: name of a profile below the file; wins over a `profile` key.

    Raises:
        ConfigError: anything wrong with the file or its values, with file and line.
    """
    path = Path(file)
    return _resolve(read_yaml(path), overrides, profile, path.absolute().parent)


def make_config(
    values: Mapping[str, Any] | None = None, *, overrides: Sequence[str] = (), profile: str | None = None
) -> Config:
    """Make a config from a mapping; names, layers and errors as in `load_config`."""
    return _resolve(flatten(values or {}, "config"), overrides, profile, Path.cwd())


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


def _resolve(entries: list[Entry], overrides: Sequence[str], profile: str | None, folder: Path) -> Config:
    given = _absolute_paths(translate(entries), folder)
    override_entries = [entry for text in overrides for entry in _parse_override(text)]
    forced = _absolute_paths(translate(override_entries), Path.cwd())
    names = [layer.pop("profile", None) for layer in (forced, given)]
    named = next((entry.value for entry in names if entry), None)
    chosen = named if profile is None else profile
    base = {} if chosen is None else _read_profile(chosen)

    merged = base | given | forced
    rank = {key: level for level, layer in enumerate((base, given, forced)) for key in layer}
    merged = _without_overruled(merged, rank)
    config = _validate(merged)
    origins = {key: entry.where for key, entry in merged.items()}
    notices = (*rollout_notices([*entries, *override_entries]), *check(config, rank, origins))
    return config.with_provenance(Provenance(notices, origins, folder))


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
    if not equals or not path.strip():
        raise ConfigError(f"override `{text}` is not key=value; write for example `batch_size=8`.")
    try:
        return flatten({path.strip(): parse_scalar(value)}, "override")
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"override `{text}`: the value is not valid YAML; put it in quotes.") from error


def _absolute_paths(layer: dict[str, Entry], folder: Path) -> dict[str, Entry]:
    return {key: entry._replace(value=_absolute(key, entry.value, folder)) for key, entry in layer.items()}


def _absolute(key: str, value: Any, folder: Path) -> Any:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value:
        return value
    path = folder / Path(value).expanduser()
    if key in _DATA_KEYS and value.partition("/")[0] == BUNDLED_TICKETS and not path.is_file():
        return value
    is_local = key in _PATH_KEYS or (key == "model" and path.is_dir())  # any other model name is a hub id
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
    return f"{entry.where}: `{entry.path}` is {entry.value!r}: {message}. {key}: {sentence}"
