"""The last number of a text: its exact value, its sign, and its unit before or behind it.

A fraction (1/2, 1 1/2) is a number; what is only a part of something else (10:30, 10^3, 1.2.3) is none.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Mapping
from fractions import Fraction

LONGEST = 400  # digits, and the largest exponent: a number of any size is a few characters long
_MINUS = "-\u2212"
_CURRENCIES = "".join(chr(code) for code in range(0x24, 0x20D0) if unicodedata.category(chr(code)) == "Sc")
_BLANKS, _MARKS = r"[^\S\n]*", "[*_`]*"  # marks are Markdown's
_NUMBER = r"(?:(?:(?<!\d,)\d{1,3}(?:,\d{3})+(?!,?\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+)(?:[eE][-+]?\d+)?"
_FRACTION = r"(?:(?:[ \u00a0](?P<over>\d+))?[ \u00a0]?/[ \u00a0]?(?P<under>\d+(?:\.\d+)?))?"
_HANGS = (
    re.compile(  # ends where a number begins that is the exponent, the minutes, the root, ... of something
        r"(?:\^[\s({]*|\d(?:[:.]|\*\*|\s?/\s?)|\d\.\d{3},|\}\s?\{|(?:\\[dt]?frac|\\sqrt|√)\s?\{?)$"
    )
)
_MINUS_WORD = re.compile(r"(?<![\d\s])\s+(?:minus|negative)\s+$|^\s*(?:minus|negative)\s+$", re.IGNORECASE)
_BEHIND = re.compile(
    rf"{_MARKS}{_BLANKS}{_MARKS}"
    rf"(?P<unit>(?:[%\u00b0{_CURRENCIES}]|[^\W\d_])+(?:\d|[\u00b2\u00b3]|[/^*\u00b7][\w^]+)*)"
)  # km, km/h, m2


class Quantities:
    """Reads numbers with their units.

    Args:
        units: how many of the base unit one of each is; empty: units are not read.

    Raises:
        ValueError: a factor is no number.
    """

    def __init__(self, units: Mapping[str, float]) -> None:
        self._factors = {name: Fraction(str(factor)) for name, factor in units.items()}
        known = "|".join(re.escape(name) for name in sorted(units, key=len, reverse=True))
        named = rf"(?<!\w)(?<!\d\s)(?:{known}){_BLANKS}|" if units else ""  # the $ in "5 $ 6 $" is the 5's
        before = rf"(?P<unit>{named}(?<!\d)[{_CURRENCIES}]){_MARKS}(?P<inner>[{_MINUS}+])?"
        self._quantity = re.compile(
            rf"(?P<sign>(?<!\d)[{_MINUS}+])?(?:{before})?(?P<number>{_NUMBER}){_FRACTION}"
        )  # -$5 and $-5

    def last(self, text: str) -> tuple[Fraction, str | None] | None:
        """The last number in the base unit, and its unit; None: there is none, or its unit is unknown.

        None, too, where it is only a part of something else.
        """
        [found] = deque(self._quantity.finditer(text), maxlen=1) or [None]
        if found is None or _is_part(found, text):
            return None
        value = _value(found)
        before = text[max(0, found.start() - 20) : found.start()]
        if {found["sign"], found["inner"]} & {*_MINUS} or _MINUS_WORD.search(before):
            value = -value
        behind = _BEHIND.match(text, found.end())
        names = [behind["unit"] if behind else "", (found["unit"] or "").strip()]
        if not self._factors or not any(names):
            return value, None
        return next(((value * self._factors[name], name) for name in names if name in self._factors), None)


def _value(found: re.Match[str]) -> Fraction:
    number, over, under = (
        Fraction((found[name] or "1").replace(",", "")) for name in ("number", "over", "under")
    )
    return number + over / under if found["over"] else number / under


def _is_part(found: re.Match[str], text: str) -> bool:
    """Whether a number is part of something else, or none that can be worked out."""
    hangs = _HANGS.search(text[max(0, found.start() - 20) : found.start()])
    raised = unicodedata.category(text[found.end() : found.end() + 1] or " ") == "No"  # 10³, 2½
    huge = any(_is_huge(found[name] or "1") for name in ("number", "over", "under"))
    return bool(hangs) or raised or huge or float(found["under"] or 1) == 0


def _is_huge(number: str) -> bool:
    exponent = number.lower().partition("e")[2] or "0"
    return len(number) > LONGEST or abs(int(exponent)) > LONGEST
