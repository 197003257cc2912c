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
_REPLY = (
    r"^\s*\[?(auto(matic|mated)?[- ]?(reply|response|message)"
    r"|out of (the )?office( (auto ?)?(reply|message))?"
    r"|abwesenheits(notiz|assistent)|automatische antwort|réponse automatique)\s*"
)
_AUTOMATIC = re.compile(
    rf"{_REPLY}([:\]!.]|\s[-–]\s|$)|^\s*this is an automat(ed|ic) (reply|response|message|e-?mail)\b",
    re.I | re.M,
)
_AUTOMATIC_SUBJECT = re.compile(rf"{_REPLY}([:\]]|$)", re.I)
_RETURNED = re.compile(
    r"^\s*(delivery status notification \((failure|delay|success)\)|mail delivery failed: returning|"
    r"undelivered mail returned to sender|delivery has failed to these recipients)",
    re.I,
)
_UNDELIVERED = re.compile(
    r"^\s*(mail delivery (failed|failure|sub\s?system)|delivery status notification|undeliverable:|"
    r"undelivered mail returned)",
    re.I,
)
_MAIL_SERVER = re.compile(  # what it says of a mail, and nobody of a parcel
    r"\b(message|e-?mail|mail)\b[^\n]{0,80}\b(could|can|was|has)( ?no|n')t\b|these recipients|recipient's"
    r"|unable to deliver (your|the) message|following (address|recipient)|address (not found|rejected)"
    r"|mail (system at host|delivery software)|(remote|mail|receiving) server|permanent (fatal )?error"
    r"|postmaster|mailer-daemon|\bsmtp\b|\b[45]\.\d\.\d\b"
    r"|(nachricht|mail) [^\n]{0,80}nicht (zugestellt|übermittelt)",
    re.I,
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
_OWN = re.compile(  # "my lamp", but not what an absent person has
    r"\b[Mm]y (?!([\w-]+ )?(absence|return|leave|vacation|holidays?|trip|office|desk|colleagues?|co-?workers?"
    r"|team|manager|supervisor|assistant|deputy|boss|partner|substitute|backup|e-?mails?|mails?|mailbox|inbox|"
    r"messages?|voice-?mail|phone|mobile|cell|calls?|apologies|behalf|regular|usual|working|hours|schedule|"
    r"reply|response|earliest|attention|computer|laptop)\b)[a-z]"
    r"|\b[Mm]eine?[mnrs]? (?!(\w+ )?(Abwesenheit|Rückkehr|Urlaub\w*|Kolleg\w*|Vertretung|Team|Büro|E-?Mails?|"
    r"Mails?|Postfach|Nachrichten?|Vorgesetzt\w*|Handy|Mobil\w*|Assisten\w*)\b)\w"
)
_ASKED = re.compile(  # a notice asks for no more than to wait or to turn to somebody else
    r"\bplease (?!(also |feel free to |kindly )?(contact|e-?mail|call|reach|ring|phone|dial|text|write"
    r"|message|reply|respond|direct|redirect|forward|refer|turn|address|speak|ask|get|see|visit|use|check|try|note|"
    r"expect|allow|be|bear|accept|excuse|understand|find|wait|do|don't|resend|submit|send (an?|your|all|any) "
    r"|leave (an?|your) |in|for|with|at|via|to)\b)\w"
    r"|\bbitte (?!(wenden|kontaktieren|rufen|schreiben|melden|richten|senden|beachten|haben|nutzen|an|direkt|"
    r"per|unter|telefonisch|um|in|bei|nicht|ich)\b)\w"
    r"|\b(order|delivery|parcel|package|shipment|booking|invoice|bestellung|lieferung|paket|sendung|rechnung|"
    r"buchung)(s?nummer| no| nr| number| id)?[.: #]*[a-z]{0,3}-?\d{3}",
    re.I,
)
_LONGEST = 700  # characters of a confirmation; a longer text has something of its own


def is_merge_notice(text: str) -> bool:
    """Whether the help desk wrote it when one ticket was merged into another."""
    return bool(_MERGED.match(text))


def is_automatic(text: str, subject: str = "") -> bool:
    """Whether a mail program or a trigger wrote it: away, not delivered, "we have received your request".

    A text that names something of one's own, or asks for more than to turn to somebody else, is a customer's,
    also under an automatic subject: a notice that stays is better than a request that is gone.
    """
    if _is_of_mail_server(text, subject):
        return True
    if _OWN.search(text):
        return False
    if _AUTOMATIC.match(text):
        return True
    is_away = _AWAY.match(text) and _WHILE_AWAY.search(text) and "?" not in text
    if is_away or _AUTOMATIC_SUBJECT.match(subject):
        return not _ASKED.search(text)
    return len(text) <= _LONGEST and bool(_RECEIVED.search(text)) and bool(_NO_REPLY.search(text))


def _is_of_mail_server(text: str, subject: str) -> bool:
    if _RETURNED.match(text) or _RETURNED.match(subject):
        return True
    begins = _UNDELIVERED.match(text) or _UNDELIVERED.match(subject)
    return bool(begins and _MAIL_SERVER.search(text))
