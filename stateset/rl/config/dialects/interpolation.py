"""Hydra's references between settings: `${path}`, `${.neighbour}`, `${oc.select:path,default}`, and `???`.

Nothing else of OmegaConf is read (environment variables, arithmetic): such a value must be written out.
"""

from __future__ import annotations

import re
from typing import Any

from stateset.rl.config.dialects.exchange import Reader
from stateset.rl.config.dialects.table import Entry, NoEqual

_DEPTH = 10
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_WORDS = {"null": None, "none": None, "true": True, "false": False}


def resolve(reader: Reader, entry: Entry, depth: int = 0) -> Any:
    """The value that an entry stands for.

    Raises:
        NoEqual: a reference that cannot be followed, or `???`.
    """
    value = entry.value
    if not isinstance(value, str):
        return value
    if value == "???":
        raise NoEqual("is left open: give it a value.")
    while found := _REFERENCE.search(value):
        if depth > _DEPTH:
            raise NoEqual("is a reference that leads to itself: write the value in its place.")
        depth += 1
        target = _follow(reader, entry, found.group(1).strip(), depth)
        if found.group(0) == value:
            return target
        value = value[: found.start()] + str(target) + value[found.end() :]
    if "$" in value:
        raise NoEqual("holds a reference that cannot be read: write the value in its place.")
    return value


def _follow(reader: Reader, entry: Entry, reference: str, depth: int) -> Any:
    default: str | None = None
    path = reference
    if reference.startswith("oc.select:"):
        path, _, default = reference.removeprefix("oc.select:").partition(",")
        path = path.strip()
    elif ":" in reference:
        raise NoEqual(
            f"asks for `{reference.partition(':')[0]}`, which is not read: write the value in its place."
        )
    if path.startswith("."):
        path = f"{entry.path.rpartition('.')[0]}{path}"
    if path in reader.given:
        return resolve(reader, reader.given[path], depth)
    if default is not None:
        return scalar(default.strip())
    row = reader.dialect.row(path)
    if row is not None and row.default is not None:
        return row.default
    raise NoEqual(f"refers to `{path}`, which is not in the file: write the value in its place.")


def scalar(text: str) -> Any:
    """A word as YAML and command lines mean it: true, null, 3, 1e-6, [a, b], or itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if text.startswith("[") and text.endswith("]"):
        return [scalar(part.strip().strip("'\"")) for part in text[1:-1].split(",") if part.strip()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
