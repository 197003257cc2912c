"""The right word for the wrong thing: whether what a reply gives belongs to this sort of ticket."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_DOUBLED = re.compile(
    r"\b(?:second|duplicate\w*|extra|double|additional) (?:of )?(?:\w+ )*(?:charge|payment|debit|amount|\$)|"
    r"\btwice\b"
)
_ENTIRE = re.compile(r"\bin full\b|\bprice\b|money back|\b(?:full|whole|entire|complete)\b")
_REPAIRED = re.compile(
    r"\b(?:was|were|been|have|has|already|we|i) (?:\w+ly |already |now )?(?:repaired|fixed|mended)\b|"
    r"(?:repaired|fixed|mended) already\b"
)
_AGAIN = re.compile(r"\bof the wrong\b|\bsame\b|\bwrong \w+ again\b")
_MISHAP = {  # what another sort of ticket is about
    "damaged": re.compile(r"\b(?:for|of) (?:the|your) (?:lost|missing|wrong|unwanted)\b"),
    "lost": re.compile(r"\b(?:for|of) (?:the|your) (?:broken|damaged|cracked|wrong|unwanted)\b"),
    "wrong_item": re.compile(r"\b(?:for|of) (?:the|your) (?:lost|missing|broken|damaged|unwanted)\b"),
}


def reasons_of_case(given: Sequence[str], context: Mapping[str, Any]) -> Iterator[str]:
    """Why the right resolution is given for something else than the ticket's matter.

    Args:
        given: the clauses that give the right resolution, lower-cased.
        context: the row; which mishap it is about is told by `situation`, where it has that column.
    """
    situation = context.get("situation", "")
    item = re.escape(str(context["facts"]["item"]).lower())
    refunds_item = re.compile(rf"refund\w* (?:you )?(?:for )?(?:the |your )?{item}")
    mishap = _MISHAP.get(situation)
    for clause in given:
        whole = _ENTIRE.search(clause) or refunds_item.search(clause)
        if situation == "charged_twice" and whole and not _DOUBLED.search(clause):
            yield f"the order is refunded, not the second charge: {clause!r}"
        if context["resolution"] == "repair" and _REPAIRED.search(clause):
            yield f"a repair that is over before the item was sent in: {clause!r}"
        if situation == "wrong_item" and _AGAIN.search(clause):
            yield f"the wrong item is sent once more: {clause!r}"
        if mishap and mishap.search(clause):
            yield f"another mishap is settled than the ticket's: {clause!r}"
