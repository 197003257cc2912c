"""Placeholders for the personal data of one thread: the same value has the same placeholder everywhere.

Running it twice changes nothing: what is a placeholder already is never looked into, and new ones are
numbered after those that are there. Pseudonymised is not anonymous: who knows the case may still know the
person.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from stateset.rl.data.pii.names import name_pattern
from stateset.rl.data.pii.patterns import PLACEHOLDER, Found, find

Detector = Callable[[str], Iterable[Found]]
_IDENTIFIERS = ("customer", "thread")
_HASHED = re.compile(r"(?:customer|thread)-[0-9a-f]{12}")
_UNTOUCHED = ("id", "time", "source", "template", "difficulty", "situation", "split", "status")


class Pseudonyms:
    """Replaces personal data in the texts of one thread.

    Args:
        people: mappings with `name`, `email`, `phone`, as the importers write them.
        detectors: more finders beside the patterns, such as presidio's.
    """

    def __init__(self, people: Iterable[Mapping[str, str]] = (), detectors: Iterable[Detector] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._detectors = tuple(detectors)
        self._placeholders: dict[tuple[str, str], str] = {}
        self._last: Counter[str] = Counter()
        self._known: list[tuple[str, str, re.Pattern[str]]] = []
        for number, person in enumerate(people):
            self._add(number, person)

    def reserve(self, texts: Iterable[str]) -> None:
        """Number new placeholders after those that stand in these texts."""
        for text in texts:
            for match in PLACEHOLDER.finditer(text):
                kind, _, number = match[0][1:-1].rpartition("_")
                self._last[kind] = max(self._last[kind], int(number[:9]))

    def text(self, text: str) -> str:
        """The text with placeholders."""
        while (replaced := "".join(self._pieces(text))) != text:  # a placeholder ends a word, which may show
            text = replaced  # another find beside it; every pass takes some of the text away, so this ends
        return text

    def value(self, value: Any) -> Any:
        """The same for the texts within lists and mappings; anything else as it is."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list | tuple) else value

    def _add(self, number: int, person: Mapping[str, str]) -> None:
        who = f"person {number}"
        for kind, field in (("EMAIL", "email"), ("PHONE", "phone")):
            given = person.get(field) or ""
            if given and not PLACEHOLDER.search(given):
                key = _normal(kind, given)
                self._known.append((kind, key, re.compile(rf"(?<!\w)(?i:{re.escape(given)})(?!\w)")))
        names = name_pattern([person.get("name") or ""])
        if names is not None and not PLACEHOLDER.search(person.get("name") or ""):
            self._known.append(("NAME", who, names))

    def _pieces(self, text: str) -> Iterator[str]:
        """What stands between placeholders is replaced; placeholders stay."""
        end = 0
        for match in PLACEHOLDER.finditer(text):
            yield self._replaced(text[end : match.start()])
            yield match[0]
            end = match.end()
        yield self._replaced(text[end:])

    def _replaced(self, text: str) -> str:
        finds = sorted(self._finds(text), key=lambda pair: pair[0].start)
        pieces, end = [], 0
        for found, key in finds:
            pieces += [text[end : found.start], self._placeholder(found.kind, key)]
            end = found.end
        return "".join((*pieces, text[end:]))

    def _finds(self, text: str) -> list[tuple[Found, str]]:
        """Finds that do not overlap: addresses and numbers, then names, then other detectors."""
        taken: list[tuple[Found, str]] = []
        for found, key in self._every(text):
            if not any(one.start < found.end and found.start < one.end for one, _ in taken):
                taken.append((found, key))
        return taken

    def _every(self, text: str) -> Iterator[tuple[Found, str]]:
        for found in find(text):
            yield found, _normal(found.kind, text[found.start : found.end])
        for kind, key, pattern in self._known:
            for match in pattern.finditer(text):
                end = match.end() - 2 if match[0].endswith(("'s", "’s")) else match.end()
                yield Found(match.start(), end, kind), key
        for detector in self._detectors:
            for found in detector(text):
                yield found, _normal(found.kind, text[found.start : found.end])

    def _placeholder(self, kind: str, key: str) -> str:
        self.counts[kind] += 1
        if (kind, key) not in self._placeholders:
            self._last[kind] += 1
            self._placeholders[kind, key] = f"<{kind}_{self._last[kind]}>"
        return self._placeholders[kind, key]


def pseudonymise_rows(
    rows: Iterable[Mapping[str, Any]], detectors: Iterable[Detector] = ()
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Rows without personal data, in their order, and how many finds of each kind were replaced.

    Rows of one thread share their placeholders and the people that any of them knows. `people` is removed;
    `customer` and `thread` become short hashes, which say who is the same and not who it is.
    """
    given = [dict(row) for row in rows]
    threads: dict[Any, list[dict[str, Any]]] = {}
    for number, row in enumerate(given):
        threads.setdefault(str(row["thread"]) if row.get("thread") else number, []).append(row)
    counts: Counter[str] = Counter()
    detectors = tuple(detectors)
    for group in threads.values():
        people = {tuple(sorted(one.items())): one for row in group for one in row.get("people") or ()}
        names = Pseudonyms(people.values(), detectors)
        names.reserve(text for row in group for text in _texts(row))
        for row in group:
            row.pop("people", None)
            ordered: list[str] = [name for name in ("prompt", "reply") if name in row]
            ordered += [name for name in row if name not in (*_UNTOUCHED, *_IDENTIFIERS, *ordered)]
            for column in ordered:
                row[column] = names.value(row[column])
            row.update(_hashed_identifiers(row))
            if isinstance(row.get("id"), str) and any(find(row["id"])):  # ids stay unique
                row["id"] = f"row-{sha256(row['id'].encode()).hexdigest()[:12]}"
        counts += names.counts
    return given, counts


def pii_density(text: str) -> float:
    """Share of a text's words that are placeholders, from 0 to 1."""
    words = len(text.split())
    return min(1.0, len(PLACEHOLDER.findall(text)) / words) if words else 0.0


def hashed(kind: str, value: Any) -> str:
    """A customer or thread as a hash of 12 digits; one that is hashed already stays."""
    text = str(value)
    return text if _HASHED.fullmatch(text) else f"{kind}-{sha256(f'{kind} {text}'.encode()).hexdigest()[:12]}"


def _hashed_identifiers(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: hashed(name, row[name]) for name in _IDENTIFIERS if row.get(name) not in (None, "")}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _normal(kind: str, value: str) -> str:
    """One form of a value that people write in several."""
    if kind in ("PHONE", "CARD", "SSN"):
        return re.sub(r"\D", "", value)
    return re.sub(r"\s+", "" if kind in ("IBAN", "EMAIL") else " ", value).casefold()
