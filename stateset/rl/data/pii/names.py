"""Names that an export knows, as they may stand in a folded text: whole, in part, with initials."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stateset.rl.data.pii.folding import fold


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORDS = _set(
    """
    will mark may grace rose hope chase bill art sue jack rich joy faith june april august dawn summer
    amber ruby pearl lily daisy violet olive ivy heather holly iris jade crystal grant frank dean earl
    guy miles rob drew pat don ray max king young long short white black brown green gray grey stone
    wood woods hill lake rivers field best good price cook baker page day case small little rush sharp
    cash bush ford lane park hall wells banks christian major noble royal star sunny sky sage an in so
    do no my see the and
    """
)
_NOBODY = _set(
    """
    support team service services help desk helpdesk info sales shop bot agent assistant admin system
    customer user guest anonymous unknown none null nan test
    """
)
_PARTS_LEFT_OUT = _set("von van der den de la le bin al jr sr ii iii")
_TITLES = _set("mr mrs ms miss mx dr prof sir madam herr frau")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_UNSPACED = (  # letters of scripts that leave no space between words, Thai to Hangul
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
)
_BETWEEN = r"[\s_.-]{1,3}"
_ADDRESSED = (  # where a word is a name: within a sentence, called by it, or alone on a line
    r"(?:(?<=[a-z,] ){0}|(?<=(?i:from|name): ){0}|{0}(?=,)|^{0}(?=[ \t]*[.!]?[ \t]*$))"
)


def name_pattern(name: str) -> re.Pattern[str] | None:
    """A pattern of all forms of one name, for a folded text; None without a name of letters.

    A part of a name that is also a word ("Will", "Rose") counts only where it is written as a name and does
    not begin a sentence, or stands before a comma or on a line of its own.
    """
    spellings = dict.fromkeys((fold(name).text, fold(name.translate(_UMLAUTS)).text))
    forms = list(dict.fromkeys(form for spelling in spellings for form in _forms(spelling)))
    if not forms:
        return None
    forms.sort(key=len, reverse=True)
    bounded = rf"(?<![^\W_])(?<![^\W_][.@-])(?:{'|'.join(forms)})(?:'s\b)?(?![^\W_]|@)"
    unspaced = [form for form in forms if re.search(_UNSPACED, form)]
    return re.compile("|".join((*unspaced, bounded)), re.M)


def _forms(name: str) -> Iterator[str]:
    """Expressions; those of whole names are the longest."""
    parts = [part for part in re.split(r"[\s,._]+", name) if re.fullmatch(r"[^\W\d_][\w'-]*", part)]
    parts = [part for part in parts if part.lower() not in _TITLES]
    if not parts or _NOBODY & {part.lower() for part in parts}:  # "Support Team" is nobody
        return
    if len(parts) > 1:
        first, last = _loose(parts[0]), _loose(parts[-1])
        between = rf"(?:{_BETWEEN})?" if re.search(_UNSPACED, name) else _BETWEEN
        yield rf"(?i:{between.join(map(_loose, parts))})"
        yield rf"(?i:{last}(?:,\s?|{_BETWEEN}){first})"
        yield rf"(?i:{re.escape(parts[0][0])}(?:\.\s?|\s)?{last})"
        yield rf"(?i:{first}\s{re.escape(parts[-1][0])}\.)"
    for part in parts:
        for piece in dict.fromkeys((part, *part.split("-"))):
            yield from _forms_of_part(piece)


def _forms_of_part(part: str) -> Iterator[str]:
    lower = part.lower()
    if len(lower) < 2 or lower in _PARTS_LEFT_OUT:
        return
    if lower in _WORDS:
        yield _ADDRESSED.format(lower.capitalize()) if len(lower) > 2 else rf"(?<=[a-z,] ){part}"
    elif len(lower) == 2 and lower.isascii():
        yield re.escape(part)
    else:
        yield rf"(?i:{_loose(part)})"


def _loose(part: str) -> str:
    """Apostrophes may be missing, and a space may stand for a hyphen."""
    return re.escape(part).replace("'", "'?").replace(r"\-", r"[\s-]?")
