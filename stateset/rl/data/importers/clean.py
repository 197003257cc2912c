"""From the body of a mail or chat to what its author wrote: no quoted mail, signature or automatic text.

Own rules, on purpose narrow: a rule that takes too much loses what the customer asked, which nobody sees
later. So a list with hyphens is no signature, and "Thanks, ..." in the middle of a text is no goodbye.
English and German phrases; French, Spanish, Dutch and Italian quote headers.
"""

from __future__ import annotations

import re

from stateset.rl.data.importers.html import html_to_text, looks_like_html

_REPLY_ABOVE = re.compile(
    r"^[\s#>*-]*(please type your reply above this line|reply above this line|bitte .*oberhalb dieser)", re.I
)
_QUOTE_HEADS = (
    r"on .{6,200}? wrote:",
    r"am .{6,200}? schrieb.{0,200}?:",
    r"le .{6,200}? a écrit\s*:",
    r"el .{6,200}? escribió:",
    r"op .{6,200}? schreef.{0,200}?:",
    r"il .{6,200}? ha scritto:",
    r"-{2,}\s*(original message|forwarded message|ursprüngliche nachricht|weitergeleitete nachricht|"
    r"message d'origine|mensaje original)\s*-{2,}",
    r"begin forwarded message:",
)
_QUOTE_HEAD = re.compile(rf"^[>\s]*(?:{'|'.join(_QUOTE_HEADS)})\s*$", re.I)
_FIELD = re.compile(r"^[>\s*]*(from|sent|to|cc|subject|date|von|gesendet|an|betreff|datum)\s*:\**\s", re.I)
_QUOTED = re.compile(r"^\s*>")
_SENT_FROM = re.compile(
    r"^(sent from (my|outlook|yahoo|mail|proton)|get outlook for|gesendet von|von meinem .{2,30} gesendet|"
    r"envoyé de mon|enviado desde mi|diese nachricht wurde von meinem)\b.{0,80}$",
    re.I,
)
_GOODBYE = re.compile(
    r"^(best|best wishes|all the best|(kind|best|warm|many)( \w+)? regards|regards|cheers|sincerely|"
    r"yours (sincerely|truly|faithfully)|many thanks|thanks|thank you|thx|mit freundlichen grüßen|"
    r"(viele|beste|liebe|freundliche) grüße|mfg|lg|vg|cordialement|saludos)\s*[,.!]?$",
    re.I,
)
_CONFIDENTIAL = re.compile(
    r"^\W*(this (e-?mail|message)( \w+){0,6} (is|are|may be|contains?) .{0,60}(confidential|intended|"
    r"privileged)|confidentiality notice|disclaimer:|diese e-mail enthält vertrauliche)",
    re.I,
)
_SIGNATURE_LINES = 8  # a name, a title, a company, an address, numbers and links


def clean_body(body: str, *, html: bool | None = None) -> str:
    """What the author wrote.

    Args:
        body: HTML or text.
        html: which of the two; None looks for tags.
    Returns:
        The text; empty where all of it was quoted or automatic.
    """
    is_html = looks_like_html(body) if html is None else html
    text = html_to_text(body) if is_html else body.replace("\r\n", "\n").replace("\r", "\n")
    lines = [line.rstrip() for line in text.split("\n")]
    lines = _without_signature(_without_quotes(lines))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


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
            break
        if not _QUOTED.match(line):
            kept.append(line)
    return kept


def _starts_quote(lines: list[str], place: int) -> bool:
    line = lines[place]
    if _QUOTE_HEAD.match(line):
        return True
    joined = f"{line.strip()} {lines[place + 1].strip()}" if place + 1 < len(lines) else line
    if len(line) > 20 and _QUOTE_HEAD.match(joined) and not _QUOTE_HEAD.match(lines[place + 1]):
        return True
    fields = [one for one in lines[place : place + 4] if _FIELD.match(one)]
    return bool(_FIELD.match(line)) and len(fields) >= 3


def _is_inline(rest: list[str]) -> bool:
    """Whether the author answers between the quoted lines: the next text line is marked with ">"."""
    first = next((line for line in rest if line.strip()), "")
    return bool(_QUOTED.match(first))


def _without_signature(lines: list[str]) -> list[str]:
    for place, line in enumerate(lines):
        stripped = line.strip()
        if stripped in ("--", "—", "__") or _SENT_FROM.match(stripped) or _CONFIDENTIAL.match(stripped):
            return _without_signature(lines[:place])
        after = [one for one in lines[place + 1 :] if one.strip()]
        if place and _GOODBYE.match(stripped) and 0 < len(after) <= _SIGNATURE_LINES and _short(after):
            return lines[:place]
    return lines


def _short(lines: list[str]) -> bool:
    """Lines of a name card, none of them a sentence or a question."""
    return all(len(line.strip()) <= 60 and not re.search(r"[?!]\s*$|\w\.\s+\w", line) for line in lines)
