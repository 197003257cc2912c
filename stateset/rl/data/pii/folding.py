"""A text as patterns read it: one kind of space, hyphen, apostrophe and digit, no accents, nothing unseen."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NamedTuple

_SAME = {
    **dict.fromkeys("\u2212\ufe63\uff0d", "-"),
    **dict.fromkeys("\u2014\u2015\u2028\u2029", " "),  # a dash between words joins none
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u02b9\u00b4\u2032\uff07", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02", '"'),
    **{"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE"},
    **dict(zip("øØłŁđĐıþÞ", "oOlLdDitT", strict=True)),
}


class Folded(NamedTuple):
    """`places` has where each character of `text` came from, and the end; None if nothing moved."""

    text: str
    places: tuple[int, ...] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) of the folded text, not empty, as a place in the text."""
        if self.places is None:
            return start, end
        return self.places[start], max(self.places[end - 1] + 1, self.places[end])


def fold(text: str) -> Folded:
    """Fold a text for matching; what is found in it is cut out of the text itself."""
    if text.isascii():
        return Folded(text, None)
    pieces = [_folded(character) for character in text]
    if all(len(piece) == 1 for piece in pieces):
        return Folded("".join(pieces), None)
    places = [place for place, piece in enumerate(pieces) for _ in piece]
    return Folded("".join(pieces), (*places, len(text)))


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    if character in _SAME:
        return _SAME[character]
    category = unicodedata.category(character)
    if category in ("Zs", "Pd"):
        return " " if category == "Zs" else "-"
    if category in ("Cf", "Mn", "Me"):  # zero-width, soft hyphens, accents that stand alone
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "No":  # no digit of the number before it
        return character
    plain = [one for one in unicodedata.normalize("NFKD", character) if unicodedata.category(one) != "Mn"]
    return plain[0] if len(plain) == 1 else character
