"""A file of somebody else's while it is read or written with their table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stateset.rl.config.dialects.table import Aside, Dialect, Entry, NoEqual, Row
from stateset.rl.config.schema import Config

LOWEST_CLIP = 1.0  # no lower bound: a ratio is never below 0
_HUGE = 10**12  # no setting is larger
_FOLLOWING = ("learning_rate", "mini_batch_size", "kl_loss_type")  # our default depends on other keys


@dataclass(slots=True)
class Reader:
    """A file of theirs while it is read: fills `found`, and lists everything that is not found there.

    `fixed` are our own keys that an override sets: where theirs needs one of them, the override's counts.
    """

    dialect: Dialect
    given: dict[str, Entry]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    found: dict[str, Entry] = field(default_factory=dict)
    asides: list[Aside] = field(default_factory=list)
    headline: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Read every key."""
        self.dialect.read_joint(self)
        for row in self.dialect.rows:
            if not row.joint:
                self._read_row(row)
        for path, entry in self.given.items():
            if self.dialect.row(path) is None:
                self._set_aside(path, entry)

    def get(self, path: str) -> Any:
        """The value of a key: the file's, else their default (None if that does not matter)."""
        row = self.dialect.row(path)
        default = row.default if row else None
        if path not in self.given:
            return default
        try:
            value = self.dialect.resolve(self, self.given[path])
        except NoEqual as problem:
            self.refuse(path, str(problem))
            return default
        if row and row.joint and not row.many and isinstance(value, (list, tuple, dict)):
            self.refuse(path, "is a list, and one value is meant.")
            return default
        return default if value is None else value

    def number(self, path: str) -> float:
        """The value of a key that must be a number; what is none is refused."""
        value = self.get(path)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _HUGE:
            return value
        if value is not None:
            self.refuse(path, "is not a number.")
        return 0

    def count(self, path: str, key: str = "") -> int:
        """The value of a key that must be a whole number above zero; what is none is refused.

        With `key`, ours of the same unit, an override of that counts in its place.
        """
        value = self.forced(key) or self.get(path)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _HUGE:
            return value
        self.refuse(path, "is not a whole number above zero.")
        return 1

    def forced(self, key: str) -> int | None:
        """What an override says of a whole number of ours; what is none is refused elsewhere."""
        value = self.fixed.get(key)
        return value if type(value) is int and 0 < value <= _HUGE else None

    def group_size(self, path: str) -> int:
        """Responses to a prompt: an override's if there is one; 1 makes no groups."""
        size = self.count(path, "rollout_n")
        if size > 1:
            return size
        whose = "" if self.has(path) else f", {self.dialect.title}'s default,"
        self.refuse(path, f"of 1{whose} makes no groups: write a number of 2 or more.")
        return 2

    def has(self, path: str) -> bool:
        """Whether the file gives this key a value."""
        return path in self.given and self.given[path].value is not None

    def put(self, key: str, value: Any, *paths: str, always: bool = False) -> None:
        """Set one of our keys from these of theirs; a default of theirs that is also ours is left out."""
        written = [self.given[path] for path in paths if self.has(path)]
        if written:
            self.found[key] = Entry(written[0].path, value, written[0].where)
            return
        if always or key in _FOLLOWING or value != Config.model_fields[key].default:
            self.found[key] = Entry(paths[0] if paths else key, value, f"{self.dialect.title}'s default")

    def where(self, path: str) -> str:
        """File and line of a key, or whose default it is."""
        return self.given[path].where if path in self.given else f"{self.dialect.title}'s default"

    def note(self, text: str) -> None:
        """Say that something is only nearly the same here."""
        if text not in self.notes:
            self.notes.append(text)

    def refuse(self, path: str, text: str) -> None:
        """Say that a value has no equal here."""
        entry = self.given.get(path)
        name = f"{entry.path}: {entry.value}" if entry else path
        said = f"{self.where(path)}: `{name}` {text}"
        if said not in self.refused:
            self.refused.append(said)

    def put_every(self, path: str, key: str) -> None:
        """Set how often something is done; -1, never, cannot be said here."""
        if self.has(path) and self.number(path) > 0:
            self.put(key, self.get(path), path)
        else:
            self.put_aside(path, f"-1 is never there; here {key} stays as it is")

    def put_aside(self, path: str, reason: str) -> None:
        """List a key as one that does not act, if it is given."""
        if path in self.given:
            self.asides.append(Aside(self.given[path], reason))

    def _read_row(self, row: Row) -> None:
        value = self.get(row.theirs)
        if value is None:
            return
        try:
            self.put(row.ours, row.read(value), row.theirs)
        except NoEqual as problem:
            self.refuse(row.theirs, str(problem))
        except (TypeError, ValueError, OverflowError):
            self.refuse(row.theirs, f"is no value of {row.ours}: {Config.model_fields[row.ours].description}")

    def _set_aside(self, path: str, entry: Entry) -> None:
        if entry.value in (None, {}) and any(row.theirs.startswith(f"{path}.") for row in self.dialect.rows):
            self.asides.append(Aside(entry, "an empty section"))
            return
        item = next((item for item in self.dialect.unsaid if item.theirs == path), None)
        if item is not None:
            value = self.get(path)
            if value is None or value in item.harmless:
                self.asides.append(Aside(entry, "at this value nothing differs"))
            else:
                usual = f" Write {item.harmless[0]}." if item.harmless else " Remove it."
                self.refuse(path, f"has no equal here: it {item.change}.{usual}")
            return
        reason = self.dialect.aside(path)
        if reason is not None:
            self.asides.append(Aside(entry, reason))
        else:
            self.refuse(path, f"is an unknown {self.dialect.title} key; {self.dialect.suggestion(path)}")


@dataclass(slots=True)
class Writer:
    """A file of theirs while it is written: their dotted keys, and what of ours they cannot say."""

    dialect: Dialect
    ours: Mapping[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    lost: list[tuple[str, str]] = field(default_factory=list)

    def put(self, path: str, value: Any, *keys: str) -> None:
        """Write a key of theirs, with which these of ours are said."""
        self.values[path] = value
        self.said.update(keys)

    def lose(self, key: str, reason: str) -> None:
        """List one of our keys as one that they cannot say."""
        self.said.add(key)
        self.lost.append((key, reason))

    def write(self, config: Config) -> None:
        """Write every key that acts."""
        if self.dialect.write_joint:
            self.dialect.write_joint(config, self)
        for row in self.dialect.rows:
            if not row.joint and not row.alias and row.ours in self.ours and row.ours not in self.said:
                self._write_row(row)
        for key, value in self.ours.items():
            if key not in self.said and value != _plain(Config.model_fields[key].default):
                self.lose(key, self.dialect.lost.get(key, f"{self.dialect.title} has no such setting."))

    def _write_row(self, row: Row) -> None:
        value = self.ours[row.ours]
        if value is None:
            return
        try:
            self.put(row.theirs, row.write(value), row.ours)
        except NoEqual as problem:
            self.lose(row.ours, str(problem))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def put_clip(
    reader: Reader, low: float, high: float, low_path: str, high_path: str, *, is_gspo: bool
) -> None:
    """Set the clip bounds with as few keys as say them; one that is our default is left out.

    Nothing is left out with gspo, whose own default is far narrower here.
    """
    lowest = min(low, LOWEST_CLIP)
    paths = (low_path, high_path)
    if lowest == high < LOWEST_CLIP:
        reader.put("clip_ratio", lowest, *paths, always=is_gspo)
        return
    if lowest != 0.2 or is_gspo:
        reader.put("clip_ratio_low", lowest, *paths)
    if high != 0.2 or is_gspo:
        reader.put("clip_ratio_high", high, high_path, low_path)
