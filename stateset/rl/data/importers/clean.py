"""From the body of a mail or chat to what its author wrote: no quoted mail, signature or automatic text.

Own rules, on purpose narrow: a rule that takes too much loses what the customer asked, which nobody sees
later. So a quoted mail begins with what a mail program writes (an address, a time, the fields of a header),
and each rule that took something is named, for the import to count. English and German phrases; French,
Spanish, Dutch and Italian quote headers.
"""

from __future__ import annotations

import re
from html import unescape

from stateset.rl.data.importers.html import TAKEN, html_to_text, looks_like_html
from stateset.rl.data.importers.signatures import without_device_line, without_legal_notice, without_signature

_REPLY_ABOVE = re.compile(
    r"^[\s#>*-]*(please type your reply above this line|reply above this line|bitte .*oberhalb dieser)", re.I
)
_WROTE = re.compile(
    r"^[>\s]*(?:on .{6,200}? wrote:|am .{6,200}? schrieb.{0,200}?:|le .{6,200}? a écrit\s*:"
    r"|el .{6,200}? escribió:|op .{6,200}? schreef.{0,200}?:|il .{6,200}? ha scritto:)\s*$",
    re.I,
)
_FORWARDED = re.compile(
    r"^[>\s]*(?:-{2,}\s*(original message|forwarded message|ursprüngliche nachricht|"
    r"weitergeleitete nachricht|message d'origine|mensaje original)\s*-{2,}|begin forwarded message:)\s*$",
    re.I,
)
_ADDRESS = re.compile(r"\S@\S")
_TIME = re.compile(r"\b\d{1,2}[:h]\d\d\b")
_YEAR = re.compile(r"\b20\d\d\b|\d[./-]\d\d?[./-]\d\d\b")
_IN_A_SENTENCE = re.compile(  # "your driver wrote:", "the courier Max Weber wrote:"
    r"\s[a-z]\S* wrote:\s*$|\s(the|your|our|my|this|his|her|their|one) |schrieb (der|die|das|[a-z]*e?in)\b"
)
_FIELD = re.compile(r"^[>\s*]*(from|sent|to|cc|subject|date|von|gesendet|an|betreff|datum)\s*:\**\s", re.I)
_FIRST_FIELDS = ("from", "von")
_SUBJECTS = ("subject", "betreff")
_QUOTED = re.compile(r"^\s*>")
_RULER = re.compile(r"^\s*[-_=*]{3,}\s*$")
_HALF = re.compile(r"[\ud800-\udfff]")  # of an emoji that was cut in two
_ENTITY = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|#\d{1,7});")
_RULES = (
    ('messages without "sent from my phone"', without_device_line),
    ("messages without a legal notice", without_legal_notice),
    (TAKEN["signature"], without_signature),
)


def clean_body(body: str, *, html: bool | None = None, taken: set[str] | None = None) -> str:
    """What the author wrote.

    Args:
        body: HTML or text.
        html: which of the two; None looks for tags.
        taken: to which the rules that took something are added, in words for people.
    Returns:
        The text; empty where all of it was quoted or automatic.
    """
    taken = set() if taken is None else taken
    body = _HALF.sub("", body)
    if looks_like_html(body) if html is None else html:
        text = html_to_text(body, taken)
    else:
        text = body.replace("\r\n", "\n").replace("\r", "\n")
        text = text if html is False else _ENTITY.sub(lambda found: unescape(found[0]), text)
    given = text.split("\n")
    lines = _without_quotes(given)
    if len(lines) < len(given):
        taken.add(TAKEN["quote"])
    for name, rule in _RULES:
        left = rule(lines)
        if len(left) < len(lines):
            taken.add(name)
        lines = left
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


def _without_quotes(lines: list[str]) -> list[str]:
    """Up to the first quoted mail; lines with ">" before answers between them are left out one by one."""
    kept: list[str] = []
    for place, line in enumerate(lines):
        if _REPLY_ABOVE.match(line):
            if any(one.strip() for one in kept):
                break
            continue
        if _starts_quote(lines, place):
            rest = lines[place + 1 :]
            if any(one.strip() and not _QUOTED.match(one) for one in rest) and _is_inline(rest):
                continue
            while kept and _RULER.match(kept[-1]):
                kept.pop()
            break
        if not _QUOTED.match(line):
            kept.append(line)
    return kept


def _starts_quote(lines: list[str], place: int) -> bool:
    line = lines[place].rstrip()
    if _FORWARDED.match(line) or _starts_header(lines, place):
        return True
    if _WROTE.match(line):
        return _is_of_mail(line, lines[:place], lines[place + 1 :])
    if len(line) <= 20 or place + 1 == len(lines) or _WROTE.match(lines[place + 1]):
        return False
    joined = f"{line.strip()} {lines[place + 1].strip()}"  # one line that was broken into two
    return bool(_WROTE.match(joined)) and _is_of_mail(joined, lines[:place], lines[place + 2 :])


def _is_of_mail(line: str, before: list[str], rest: list[str]) -> bool:
    """Whether a mail program wrote "On ... wrote:": with an address, or with quotes or nothing behind.

    Help desks take addresses and ">" out of mails. What is left of such a line has a year and a time, stands
    below a text, and is no sentence.
    """
    if _ADDRESS.search(line) or _is_inline(rest) or not any(one.strip() for one in rest):
        return True
    is_below = any(one.strip() and not _QUOTED.match(one) for one in before)
    return bool(is_below and _TIME.search(line) and _YEAR.search(line)) and not _IN_A_SENTENCE.search(line)


def _starts_header(lines: list[str], place: int) -> bool:
    """Whether fields of a mail's header begin here: From with an address, or with Subject and two more."""
    block = []
    for line in lines[place : place + 6]:
        field = _FIELD.match(line)
        if not field:
            break
        block.append(field[1].lower())
    if len(block) < 3 or block[0] not in _FIRST_FIELDS:
        return False
    has_address = any("@" in line for line in lines[place : place + len(block)])
    return has_address or (len(block) >= 4 and any(one in _SUBJECTS for one in block))


def _is_inline(rest: list[str]) -> bool:
    """Whether the author answers between the quoted lines: the next text line is marked with ">"."""
    first = next((line for line in rest if line.strip()), "")
    return bool(_QUOTED.match(first))
