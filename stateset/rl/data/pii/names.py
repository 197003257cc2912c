"""Names that an export knows, as they may stand in a text: whole, in part, with initials."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_WORDS = frozenset(
    [
        "will",
        "mark",
        "may",
        "grace",
        "rose",
        "hope",
        "chase",
        "bill",
        "art",
        "sue",
        "jack",
        "rich",
        "joy",
        "faith",
        "june",
        "april",
        "august",
        "dawn",
        "summer",
        "amber",
        "ruby",
        "pearl",
        "lily",
        "daisy",
        "violet",
        "olive",
        "ivy",
        "heather",
        "holly",
        "iris",
        "jade",
        "crystal",
        "grant",
        "frank",
        "dean",
        "earl",
        "guy",
        "miles",
        "rob",
        "drew",
        "pat",
        "don",
        "ray",
        "max",
        "king",
        "young",
        "long",
        "short",
        "white",
        "black",
        "brown",
        "green",
        "gray",
        "grey",
        "stone",
        "wood",
        "woods",
        "hill",
        "lake",
        "rivers",
        "field",
        "best",
        "good",
        "price",
        "cook",
        "baker",
        "page",
        "day",
        "case",
        "small",
        "little",
        "rush",
        "sharp",
        "cash",
        "bush",
        "ford",
        "lane",
        "park",
        "hall",
        "wells",
        "banks",
        "christian",
        "major",
        "noble",
        "royal",
        "star",
        "sunny",
        "sky",
        "sage",
        "an",
        "in",
        "so",
        "do",
        "no",
        "my",
        "see",
        "the",
        "and",
    ]
)
_TEAMS = frozenset(
    ("support", "team", "service", "services", "help", "desk", "helpdesk", "info", "sales", "shop")
)
_PARTS_LEFT_OUT = frozenset(
    ("von", "van", "der", "den", "de", "la", "le", "bin", "al", "jr", "sr", "ii", "iii")
)


def name_pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern of all forms of one person's names; None without a name of letters.

    A part of a name that is also a word ("Will", "Rose") counts only where it is written as a name and
    does not begin a sentence.
    """
    forms = sorted({form for name in names for form in _forms(name)}, key=len, reverse=True)
    return re.compile(rf"(?<![\w@.-])(?:{'|'.join(forms)})(?:'s\b|’s\b)?(?!\w|@)") if forms else None


def _forms(name: str) -> Iterator[str]:
    plain = re.sub(r"\s+", " ", name).strip()
    parts = [
        part for part in re.split(r"[\s,]+", plain) if re.fullmatch(r"[^\W\d_][^\W\d_'’.-]*[\w'’.-]*", part)
    ]
    if not parts or _TEAMS & {part.lower() for part in parts}:  # "Support Team" is nobody
        return
    if len(parts) > 1:
        yield rf"(?i:{re.escape(plain)})"
        yield rf"(?i:{re.escape(parts[-1])},\s?{re.escape(parts[0])})"
        yield rf"(?i:{re.escape(parts[0][0])}\.?\s?{re.escape(parts[-1])})"
        yield rf"(?i:{re.escape(parts[0])}\s{re.escape(parts[-1][0])}\.)"
    for part in parts:
        lower = part.lower().strip(".")
        if len(lower) < 2 or lower in _PARTS_LEFT_OUT:
            continue
        if lower in _WORDS:
            yield rf"(?<=[a-z,] ){re.escape(part)}"
        elif len(lower) == 2:
            yield re.escape(part)
        else:
            yield rf"(?i:{re.escape(part)})"
