"""What a dialect is: a table of somebody else's settings, and how a file of theirs is read with it.

Each key of theirs is one of three things. A `Row` says which of our keys it sets. An aside has no meaning
here (the machine, logging), and says why. An `Unsaid` would change the mathematics and has no equal here:
only its harmless values are read. What several keys say together is read by the dialect's own function.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from stateset.rl.config.schema import Config

if TYPE_CHECKING:
    from stateset.rl.config.dialects.exchange import Reader, Writer


class Entry(NamedTuple):
    """One value as it was written: its dotted path, and where."""

    path: str
    value: Any
    where: str


class NoEqual(Exception):
    """A value that cannot be said in the other dialect; the message is a sentence about it."""


def same(value: Any) -> Any:
    """Read or write a value as it is."""
    return value


def as_written(reader: Reader, entry: Entry) -> Any:
    """The value of an entry.

    Raises:
        NoEqual: a shell variable, whose value the file does not tell.
    """
    if isinstance(entry.value, str) and "$" in entry.value:
        raise NoEqual("holds a variable: write its value.")
    return entry.value


@dataclass(frozen=True, slots=True)
class Row:
    """One key of theirs.

    `joint`: read and written by the dialect's functions, not on its own. `alias`: read, never written.
    `many`: its value is a list.
    `default` is theirs; None where it does not matter to the mathematics.
    """

    theirs: str
    ours: str
    remark: str = ""
    default: Any = None
    read: Callable[[Any], Any] = same
    write: Callable[[Any], Any] = same
    joint: bool = False
    alias: bool = False
    many: bool = False


class Unsaid(NamedTuple):
    """A key without an equal here: what it would change, and the values at which it changes nothing."""

    theirs: str
    harmless: tuple[Any, ...]
    change: str


class Aside(NamedTuple):
    """A key that was given and does not act, and why."""

    entry: Entry
    reason: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """Somebody else's settings.

    `asides` are keys or whole sections with the reason why they do not act, `lost` our keys with the reason
    why they cannot be written, `names` older names, and `resolve` reads a value as their files mean it.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    unsaid: tuple[Unsaid, ...]
    asides: Mapping[str, str]
    read_joint: Callable[[Reader], None]
    write_joint: Callable[[Config, Writer], None] | None = None
    lost: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    resolve: Callable[[Reader, Entry], Any] = as_written

    def row(self, path: str) -> Row | None:
        """The row of a key of theirs, if there is one."""
        return next((row for row in self.rows if row.theirs == path), None)

    def aside(self, path: str) -> str | None:
        """Why a key of theirs does not act; None if it is no such key."""
        if path.rsplit(".", 1)[-1] == "_target_":
            return "a class of theirs"
        parts = path.split(".")
        sections = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        return next((self.asides[section] for section in sections if section in self.asides), None)

    def knows(self, path: str) -> bool:
        """Whether this is a key of theirs, in today's or an older name."""
        path = self.names.get(path, path)
        in_table = self.row(path) is not None or any(item.theirs == path for item in self.unsaid)
        return in_table or self.aside(path) is not None

    def suggestion(self, path: str) -> str:
        """What to write in place of a key that nobody knows."""
        names = [*(row.theirs for row in self.rows), *(item.theirs for item in self.unsaid), *self.asides]
        leaf = path.rsplit(".", 1)[-1]
        close = [name for name in names if name.rsplit(".", 1)[-1] == leaf]
        close = close or difflib.get_close_matches(path, names, 1)
        return f"did you mean `{close[0]}`?" if close else "docs/dialects.md lists every key that is known."


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted paths into mappings of mappings."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *sections, leaf = path.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[leaf] = value
    return tree


def flatten(values: Mapping[Any, Any], where: str, prefix: str = "") -> list[Entry]:
    """List the values of a nested mapping under their dotted paths."""
    entries = []
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            entries += flatten(value, where, f"{path}.")
        else:
            entries.append(Entry(path, value, where))
    return entries


def one_of(choices: Mapping[Any, Any]) -> Callable[[Any], Any]:
    """Read a name with a table of names; one that is not there has no equal."""

    def read(value: Any) -> Any:
        name = value.lower() if isinstance(value, str) else value
        if isinstance(name, (list, tuple, dict)) or name not in choices:
            known = ", ".join(map(str, choices))
            raise NoEqual(f"has no equal here. Known: {known}.")
        return choices[name]

    return read
