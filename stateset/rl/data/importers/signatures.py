"""What stands below a mail: the name card behind a goodbye, the line of a phone, the lawyers' paragraph.

A goodbye ends a mail only where nothing but a card follows: names in capitals, addresses, numbers. "Thanks"
before another sentence is part of the text.
"""

from __future__ import annotations

import re

_DEVICE = re.compile(
    r"^(sent from my (\w+[ ,]+){0,3}(iphone|ipad|ipod|android|phone|smartphone|mobile|galaxy|samsung|huawei|"
    r"pixel|xiaomi|blackberry|tablet|device)\b|sent from (outlook|yahoo mail|mail for windows|proton)\b|"
    r"get outlook for (ios|android)|gesendet von (mail für|outlook für|meinem|mobile)\b|"
    r"von meinem .{2,30} gesendet$|diese nachricht wurde von meinem .{2,60} gesendet|"
    r"envoyé de mon (iphone|ipad|mobile|téléphone)|enviado desde mi (iphone|ipad|móvil|teléfono))"
    r"[^.?!]{0,40}[.!]?$",
    re.I,
)
_DEVICE_WORDS = 9
_GOODBYE = re.compile(
    r"^(best|best wishes|all the best|(kind|best|warm|many)( \w+)? regards|regards|cheers|sincerely|"
    r"yours (sincerely|truly|faithfully)|many thanks|thanks|thank you|thx|mit freundlichen grüßen|"
    r"(viele|beste|liebe|freundliche) grüße|mfg|lg|vg|cordialement|saludos)\s*[,.!]?$",
    re.I,
)
_DELIMITER = "-- "  # of RFC 3676, with its space
_LIKE_DELIMITERS = ("--", "—", "__")
_LINES = 8  # a name, a title, a company, an address, numbers and links
_LONGEST_LINE = 60

_LEGAL_START = re.compile(
    r"^\W*(this (e-?mail|message)\b|the (information|contents?) (contained )?(in|of) this|"
    r"confidentiality notice|disclaimer|diese e-?mail)",
    re.I,
)
_LEGAL_MARKS = tuple(
    re.compile(mark, re.I)
    for mark in (
        r"confidential|privileged|vertraulich",
        r"intended (only|solely|exclusively|for the|recipient)|(nur|ausschließlich) für",
        r"recipient|addressee|empfänger|adressat",
        r"(notify|inform|contact) the sender|absender",
        r"disclos|disseminat|copying|distribution|unauthori[sz]ed|unbefugt|weitergabe",
        r"in error|by mistake|irrtümlich",
    )
)
_OF_A_MAIL = re.compile(r"e-?mail|message|communication|transmission|nachricht|mitteilung", re.I)
_OF_THE_AUTHOR = re.compile(  # who complains of such a mail uses the same words; lawyers ask and tell nothing
    r"\?(\s|$)|\b(I|[Mm]y|[Mm]ine|[Ii]ch|[Mm]ich|[Mm]ein\w*|(?<!notify )(?<!inform )[Mm]e)\b|\brefund"
    r"|\byou( have|'ve)? (sent|mailed|forwarded|disclosed|shared|gave)\b|\bSie .{0,80}(geschickt|gesendet)\b"
)
_GREETING = re.compile(r"\W*(hi|hello|hey|dear|good|hallo|guten|sehr|liebe[r]?|moin)\b.{0,40}", re.I)

_SMALL = re.compile(
    r"of|the|and|at|for|from|in|team|support|de|la|le|du|di|da|von|van|der|den|und|im|y|et|[&|–-]", re.I
)
_NO_NAME = re.compile(
    r"(please|ps|p\.s|also|and|but|i|we|it|is|my|no|yes|not|still|order|invoice|ticket|case|refund|code|model|"
    r"number|bitte|bestellung|rechnung)\b",
    re.I,
)
_LABEL = re.compile(
    r"^(e-?mail|mail|tel|telefon|phone|mobile|mobil|cell|fax|web|[tmfpew])\b\s*[.:]+\s*|^(tel|fax)\s+", re.I
)
_CONTACT = re.compile(
    r"<?[^\s@<>]+@[^\s@<>]+\.\w+>?|(https?://|www\.)\S+|[\w-]+(\.[\w-]+)*\.[a-z]{2,10}(/\S*)?|"
    r"[+(0][\d\s()/.-]{6,20}\d|\d{3}[-. ]\d{3}[-. ]\d{4}",
    re.I,
)
_PLACE = re.compile(
    r"(?i:\d+\w? .{2,30}\b(street|st|road|rd|avenue|ave|lane|drive|square)\b.{0,20})"
    r"|[A-ZÄÖÜ][\w-]*(straße|str\.?|weg|platz|allee) \d+\w?"
    r"|([A-Z]{1,2}-)?\d{5} [A-ZÄÖÜ][\w-]+( [A-ZÄÖÜ][\w-]+)?|[A-Z][\w. -]{2,30},? [A-Z]{2} \d{5}"
)


def without_device_line(lines: list[str]) -> list[str]:
    """Without "Sent from my iPhone": that line and no more."""
    return [line for line in lines if not _DEVICE.match(line.strip()) or len(line.split()) > _DEVICE_WORDS]


def without_legal_notice(lines: list[str]) -> list[str]:
    """Without the paragraphs that say for whom a mail is meant, and whom to tell of an error.

    Such a paragraph stands below a text: the first one stays, whatever it says.
    """
    kept: list[str] = []
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
            continue
        is_first = not any(one.strip() and not _GREETING.fullmatch(one.strip()) for one in kept)
        kept += [] if _is_legal(paragraph) and not is_first else paragraph
        kept.append(line)
        paragraph = []
    return kept[:-1]


def _is_legal(paragraph: list[str]) -> bool:
    text = " ".join(paragraph)
    if _OF_THE_AUTHOR.search(text) or not _OF_A_MAIL.search(text):
        return False
    marks = sum(bool(mark.search(text)) for mark in _LEGAL_MARKS)
    return marks >= (2 if _LEGAL_START.match(text) else 3)


def without_signature(lines: list[str]) -> list[str]:
    """Up to a delimiter or goodbye behind which nothing but a name card stands."""
    return _up_to_card(_up_to_card(lines))  # a goodbye above a delimiter


def _up_to_card(lines: list[str]) -> list[str]:
    texts = [place for place, line in enumerate(lines) if line.strip()]
    for last in texts[1:][-_LINES - 1 :]:
        line, after = lines[last], [lines[place].strip() for place in texts if place > last]
        is_delimiter = line == _DELIMITER or (not after and line.strip() in _LIKE_DELIMITERS)
        ends = line.strip() in _LIKE_DELIMITERS or _GOODBYE.match(line.strip())
        if is_delimiter or (after and ends and _is_card(after)):
            return lines[:last]
    return lines


def _is_card(lines: list[str]) -> bool:
    """A name, and below it titles, places and ways to reach somebody."""
    return _is_name(lines[0], 5) and all(_is_of_card(line) for line in lines[1:])


def _is_of_card(line: str) -> bool:
    pieces = [piece.strip() for piece in re.split(r"\s[|·•]\s", line)]
    return len(line) <= _LONGEST_LINE and all(
        _is_name(piece, 7) or _CONTACT.fullmatch(_LABEL.sub("", piece)) or _PLACE.fullmatch(piece)
        for piece in pieces
    )


def _is_name(line: str, most_words: int) -> bool:
    """Words that begin with a capital, as in names and titles; no digits, no shouting, no order's number."""
    words = line.replace(",", " ").split()
    large = [word for word in words if not _SMALL.fullmatch(word)]
    return (
        len(large) > 0
        and len(words) <= most_words
        and not _NO_NAME.match(line)
        and not re.search(r"[\d?!:]|\w{3,}\.\s", line)
        and all(word.strip("()")[:1].isupper() for word in large)
        and not (all(word.isupper() for word in large) and len(line) > 4)
    )
