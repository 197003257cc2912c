"""Texts that nobody wrote: auto-replies, failed deliveries, and what a help desk says of merged tickets."""

from __future__ import annotations

import re

_MERGED = re.compile(
    r"^\s*(requests? #?\d+.{0,400}? (was|were) closed and merged into this request|"
    r"this request was closed and merged into request #?\d+|"
    r"ticket #?\d+.{0,400}? (was|has been) merged into (this|ticket)|"
    r"this (ticket|conversation) (was|has been) merged (into|with))",
    re.I | re.S,
)
_AUTOMATIC = re.compile(
    r"^\s*(\[?(auto(matic|mated)?[- ]?(reply|response|message)|out of (the )?office( (reply|message))?|"
    r"abwesenheits(notiz|assistent)|automatische antwort|réponse automatique)\s*([:\]!.]|\s[-–]\s|$)"
    r"|mail delivery (failed|failure|sub\s?system)|delivery status notification"
    r"|delivery has failed to these recipients|undeliverable:|undelivered mail returned"
    r"|this is an automat(ed|ic) (reply|response|message|e-?mail)\b)",
    re.I | re.M,
)
_AWAY = re.compile(
    r"^\s*((hello|hi|dear \w+|thank you for your (e-?mail|message))[,.!]?\s+)?"
    r"(i am (currently )?(out of (the )?office|on (annual |parental )?leave|on vacation|on holiday)\b"
    r"|ich bin (derzeit |zur zeit |aktuell )?(nicht im (büro|haus)|abwesend|im urlaub)\b)",
    re.I,
)
_WHILE_AWAY = re.compile(
    r"(limited|no) access to (my )?e-?mail|(will|shall) (then )?(answer|reply|respond|read|get back)\b"
    r"|urgent (matters?|requests?|cases?|issues?|questions?|inquiries|enquiries)|in my absence"
    r"|in dringenden fällen|vertretung|(werde|melde) .{0,60}(antworten|beantworten|zurück)|wenden sie sich",
    re.I,
)
_RECEIVED = re.compile(
    r"(your (request|ticket|message|e-?mail|enquiry|inquiry) (\(?#?[\w-]*\d[\w-]*\)? )?"
    r"(has been|was) (received|created)"
    r"|we('ve| have) received your (request|ticket|message|e-?mail|enquiry|inquiry))",
    re.I,
)
_NO_REPLY = re.compile(r"(do not|don't|please do not) reply to this|reviewed by our support (staff|team)|"
                       r"to add additional comments,? reply to this", re.I)  # fmt: skip
_LONGEST = 700  # characters of a confirmation; a longer text has something of its own


def is_merge_notice(text: str) -> bool:
    """Whether the help desk wrote it when one ticket was merged into another."""
    return bool(_MERGED.match(text))


def is_automatic(text: str, subject: str = "") -> bool:
    """Whether a mail program or a trigger wrote it: away, not delivered, "we have received your request"."""
    if _AUTOMATIC.match(text) or _AUTOMATIC.match(subject):
        return True
    if _AWAY.match(text) and _WHILE_AWAY.search(text) and "?" not in text:
        return True
    return len(text) <= _LONGEST and bool(_RECEIVED.search(text)) and bool(_NO_REPLY.search(text))
