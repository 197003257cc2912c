"""Settings on a command line: `--flag value` and `path=value` words in a script or a text file.

A script is not run. `$NAME` is replaced where the file itself sets `NAME=value`; any other variable stays,
and is an error where its value matters.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stateset.rl.config.dialects.interpolation import scalar
from stateset.rl.config.dialects.table import Entry
from stateset.rl.config.text_file import read_text
from stateset.rl.errors import ConfigError

SUFFIXES = (".sh", ".bash", ".txt", ".args")
_WORD = re.compile(r"\+{0,2}([A-Za-z_][\w@/]*(?:\.[\w@/]+)+)=(.*)", re.DOTALL)
_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)=(\S.*)?")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_LONGEST = 10_000  # characters that variables may make of a word
_PAIRS = ("betas", "range", "low_high", "threshold")  # flags of two numbers end so


def read_flags(file: Path) -> list[Entry]:
    """List the settings in a script, each with its line.

    Raises:
        ConfigError: the file cannot be read, a setting stands there twice with two values, or variables
            grow without end.
    """
    entries: dict[str, Entry] = {}
    variables = {"HOME": "~"}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        try:
            settings = list(_settings(line, variables))
        except ValueError as error:
            raise ConfigError(f"{file.name}:{number}: {error}. Write the value itself.") from error
        for path, value in settings:
            entry = Entry(path, value, f"{file.name}:{number}")
            first = entries.setdefault(path, entry)
            if first.value != value:
                raise ConfigError(
                    f"{entry.where}: `{path}` stands here again (first in {first.where}). Remove one."
                )
    return list(entries.values())


def _settings(line: str, variables: dict[str, str]) -> Iterator[tuple[str, Any]]:
    text = line.strip().removesuffix("\\").strip()
    assigned = _ASSIGNMENT.fullmatch(text)
    words = _words(text)
    if assigned and len(words) <= 2:
        variables[assigned.group(1)] = _replaced(words[-1].partition("=")[2], variables)
        return
    words = [_replaced(word, variables) for word in words]
    while words:
        word = words.pop(0)
        setting = _WORD.fullmatch(word)
        if setting:
            yield setting.group(1), scalar(setting.group(2))
        elif word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            yield name, scalar(value) if equals else _values(name, words)


def _values(name: str, words: list[str]) -> Any:
    """Take a flag's values off the words after it; a flag without one is on."""
    most = 2 if name.endswith(_PAIRS) else 1
    values: list[Any] = []
    while words and len(values) < most and not words[0].startswith("--"):
        values.append(scalar(words.pop(0)))
    if not values:
        return True
    return values if most == 2 else values[0]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # a quote that ends on another line
        return text.split()


def _replaced(text: str, variables: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return variables.get(found.group(1) or found.group(2), found.group(0))

    replaced = _VARIABLE.sub(value, text)
    if len(replaced) > max(_LONGEST, len(text)):  # a few lines `B=$A$A` would make gigabytes
        raise ValueError(f"variables make a text of {len(replaced)} characters")
    return replaced
