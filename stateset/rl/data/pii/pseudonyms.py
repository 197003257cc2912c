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

from stateset.rl.data.pii.checks import digits_of
from stateset.rl.data.pii.columns import is_person, known_in, personal_kind, text_of
from stateset.rl.data.pii.folding import fold
from stateset.rl.data.pii.names import name_pattern
from stateset.rl.data.pii.patterns import PLACEHOLDER, Found, find

Detector = Callable[[str], Iterable[Found]]
_IDENTIFIERS = ("customer", "thread")
_HASHED = re.compile(r"(?:customer|thread)-[0-9a-f]{12}")
_UNTOUCHED = ("id", "time", "split", "people")
_FIELD = re.compile(r"[a-z0-9_]+")  # a key that is no text
_NOTHING = re.compile(r"(?!)")
_ANY_GAP = r"[\s./()_-]{0,4}"
_LEAST_KNOWN = 4  # characters of a value that is looked for in texts


class Pseudonyms:
    """Replaces personal data in the texts of one thread.

    Args:
        people: rows or persons, of which columns such as `name`, `customer_email` and `phone` are known.
        detectors: more finders beside the patterns, such as presidio's.
    """

    def __init__(self, people: Iterable[Mapping[str, Any]] = (), detectors: Iterable[Detector] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._detectors = tuple(detectors)
        self._placeholders: dict[tuple[str, str], str] = {}
        self._last: Counter[str] = Counter()
        known = dict.fromkeys(one for person in people for one in known_in(person))
        whole_first = sorted(known, key=lambda one: -len(one.value))
        self._known = [(one.kind, _normal(*one), _expression(*one)) for one in whole_first]

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

    def columns(self, mapping: Mapping[str, Any], *, person: bool = True) -> dict[str, Any]:
        """The columns of a row or person: those of personal data whole, the texts of the others."""
        return {name: self._column(name, value, person=person) for name, value in mapping.items()}

    def _column(self, name: str, value: Any, *, person: bool) -> Any:
        kind = personal_kind(name, value, person=person)
        return self._value(value) if kind is None else self._whole(kind, text_of(value))

    def _value(self, value: Any) -> Any:
        """The texts within lists and mappings; anything else as it is."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self._keyed(self.columns(value, person=is_person(value)))
        return [self._value(item) for item in value] if isinstance(value, list | tuple) else value

    def _keyed(self, mapping: Mapping[str, Any]) -> dict[str, Any]:
        """Placeholders in keys, too; two spellings of one address stay two keys."""
        done: dict[str, Any] = {}
        for name, value in mapping.items():
            clean = self.text(name) if isinstance(name, str) and not _FIELD.fullmatch(name) else name
            done[f"{clean} {len(done)}" if clean in done else clean] = value
        return done

    def _whole(self, kind: str, value: str) -> str:
        """The placeholder of the person or number of which this is a form."""
        text = fold(value).text
        keys = (key for known, key, pattern in self._known if known == kind and pattern.fullmatch(text))
        return self._placeholder(kind, next(keys, _normal(kind, value)))

    def finds(self, text: str) -> bool:
        """Whether there is anything to replace."""
        return bool(self._finds(text))

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
        finds, taken = [], bytearray(len(text))
        for found, key in self._every(text):
            if not any(taken[found.start : found.end]):
                taken[found.start : found.end] = b"\1" * (found.end - found.start)
                finds.append((found, key))
        return finds

    def _every(self, text: str) -> Iterator[tuple[Found, str]]:
        folded = fold(text)
        for found in find(folded.text):
            start, end = folded.span(found.start, found.end)
            yield Found(start, end, found.kind), _normal(found.kind, text[start:end])
        for kind, key, pattern in self._known:
            for match in pattern.finditer(folded.text):
                end = match.end() - 2 if match[0].endswith("'s") else match.end()
                yield Found(*folded.span(match.start(), end), kind), key
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
        names = Pseudonyms(group, detectors)
        names.reserve(text for row in group for text in _texts(row))
        for row in group:
            row.pop("people", None)
            row.update(names.columns(_in_order(row)))
            row.update(_hashed_identifiers(row))
            row.update(_clean_id(row, names))
        counts += names.counts
    return given, counts


def pii_density(text: str) -> float:
    """Share of a text's words that are placeholders, from 0 to 1."""
    words = len(text.split())
    return min(1.0, len(PLACEHOLDER.findall(text)) / words) if words else 0.0


def hashed(kind: str, value: Any) -> str:
    """A customer or thread as a hash of 12 digits; one that is hashed already stays. Mail has no case."""
    text = str(value).strip()
    text = text.casefold() if "@" in text else text
    return text if _HASHED.fullmatch(text) else f"{kind}-{sha256(f'{kind} {text}'.encode()).hexdigest()[:12]}"


def _hashed_identifiers(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: hashed(name, row[name]) for name in _IDENTIFIERS if row.get(name) not in (None, "")}


def _in_order(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that are looked into: placeholders are numbered as prompt and reply have them."""
    first = {name: row[name] for name in ("prompt", "reply") if name in row}
    return first | {name: value for name, value in row.items() if name not in (*_UNTOUCHED, *_IDENTIFIERS)}


def _clean_id(row: Mapping[str, Any], names: Pseudonyms) -> dict[str, str]:
    """A hash in place of an id that says who somebody is; ids stay unique."""
    name = row.get("id")
    if not isinstance(name, str) or not names.finds(name):
        return {}
    return {"id": f"row-{sha256(name.encode()).hexdigest()[:12]}"}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(name)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _expression(kind: str, value: str) -> re.Pattern[str]:
    """What finds a value that a column gave, in a folded text."""
    if kind == "NAME":
        return name_pattern(value) or _NOTHING
    plain = fold(value).text
    digits = digits_of(plain)
    if kind in ("PHONE", "CARD", "SSN"):
        return re.compile(rf"(?<!\d)[(+]?{_ANY_GAP.join(digits)}(?!\d)")
    if len(plain) < _LEAST_KNOWN:
        return _NOTHING
    words = r"\s+".join(map(re.escape, plain.split())).replace("@", r"\s?@\s?")
    return re.compile(rf"(?<!\w)(?i:{words})(?!\w)")


def _normal(kind: str, value: str) -> str:
    """One form of a value that people write in several."""
    value = fold(value).text
    if kind in ("PHONE", "CARD", "SSN"):
        return digits_of(value)
    if kind == "IBAN":
        return re.sub(r"[\W_]", "", value).casefold()
    return re.sub(r"\s+", "" if kind == "EMAIL" else " ", value).casefold()
