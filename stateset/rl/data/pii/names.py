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
    do no my see the and can per are even odd you she he man love nice hanks any mine nur bin mai
    """
)
_NOBODY = _set(
    """
    support team service services help desk helpdesk info sales shop bot agent assistant admin system
    customer customers client user guest anonymous unknown none null nan test care success center centre
    department dept billing returns return refunds refund orders order accounts account payments payment
    shipping delivery logistics warranty repairs technical tech chat live web online store office contact
    noreply reply automation kundenservice kundendienst kundenbetreuung equipe
    """
)
_PARTS_LEFT_OUT = _set("von van der den de la le bin al jr sr ii iii and und et from at of bei")
_TITLES = _set("mr mrs ms miss mx dr prof sir madam herr frau")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_BEHIND = re.compile(r"\s(?:from|at|@|bei)\s")  # what follows is where somebody works
_SEGMENTS = re.compile(r"\s[-/]\s|\s{3}|[|,;:/]")
_CALLED = (  # before one who is addressed, signs or is spoken of, perhaps with a comma
    *("hi", "hello", "hey", "dear", "hallo", "liebe", "lieber", "thanks", "thank you", "best", "regards"),
    *("cheers", "sincerely", "yours", "gruss", "grusse", "gruesse", "i am", "i'm", "this is", "name is"),
    *("spoke with", "spoke to", "talked with", "talked to", "agent", "colleague"),
)
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
    person = _person(name)
    parts = _parts(person)
    if _of_team(parts):  # "Tom Support" is somebody, "Acme Support" is not
        for part in parts:
            if not _of_team([part]) and len(part) > 2 and part.lower() not in _PARTS_LEFT_OUT:
                yield _addressed(part)
        return
    if len(parts) > 1:
        first, last = _loose(parts[0]), _loose(parts[-1])
        between = rf"(?:{_BETWEEN})?" if re.search(_UNSPACED, name) else _BETWEEN
        whole = (between.join(map(_loose, parts)), rf"{last}(?:,\s?|{_BETWEEN}){first}")
        words = all(part.lower() in _WORDS for part in parts)  # "We will grant" names no Will Grant
        yield from (rf"(?:{form})" if words else rf"(?i:{form})" for form in whole)
        yield _with_initial(parts[0][0], parts[-1])
        yield rf"(?i:{first}\s{re.escape(parts[-1][0])}\.)"
    for part in parts:
        for piece in dict.fromkeys((part, *part.split("-"))):
            yield from _forms_of_part(piece)


def _person(name: str) -> str:
    """Without team and company, where a sign or a word parts them: "Anna" of "Anna | Acme Support Team"."""
    name = _BEHIND.split(name, maxsplit=1)[0]
    segments = _SEGMENTS.split(name) if _of_team(_parts(name.replace("|", " "))) else name.split("|")
    people = [one for one in segments if _parts(one) and not _of_team(_parts(one))]
    return people[0] if people else name


def _parts(name: str) -> list[str]:
    words = re.split(r"[\s,._]+", name)
    return [one for one in words if re.fullmatch(r"[^\W\d_][\w'-]*", one) and one.lower() not in _TITLES]


def _of_team(parts: list[str]) -> bool:
    return any(part.lower() in _NOBODY for part in parts)


def _addressed(part: str) -> str:
    """One who may be a company: only where a person is addressed or signs, and no team word follows."""
    word = re.escape(part)
    called = "|".join(rf"(?<=\b{before}{comma} {word})" for before in _CALLED for comma in ("", ","))
    line = rf"(?<=^{word})(?=[ \t]*[.!,]?[ \t]*$)"
    return rf"(?i:{word}(?:{called}|{line}|(?=\s(?:here|speaking)\b))(?!\s(?:{'|'.join(sorted(_NOBODY))})\b))"


def _with_initial(first: str, last: str) -> str:
    """A surname behind an initial; one that is a word only where no sentence says it."""
    initial = re.escape(first.upper())
    if last.lower() not in _WORDS:
        return rf"(?i:{initial}(?:\.\s?|\s)?{_loose(last)})"
    space = r"\.\s?" if initial in "AI" else r"(?:\.\s?|\s)"  # "I Hope": also a sentence's beginning
    return rf"{initial}{space}(?:{re.escape(last.capitalize())}|{re.escape(last.upper())})"


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
