"""Which rules of a row's context a reply breaks.

`forbidden`: phrases that may not occur at all. `must_not_promise`: phrases that may not occur unless the
clause negates them. `required`: phrases that must occur. `policy`: free text, of which two kinds of
sentence are understood: "never / do not / must not (promise, offer, say, ...) X" makes X a must-not-
promise, and a quoted phrase in a sentence with "always" or "must" and no negation is required.
Inflections count as the same word; paraphrases do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stateset.rl.rewards import text

_BAN = re.compile(
    r"\b(?:never|do not|don't|must not|may not|cannot|can't|no agent may) "
    r"(?:ever |to )?(?:promise|offer|say|mention|state|guarantee|disclose|share|give(?: out)?|grant|use) "
    r"(?:customers? |a |an |any |the )*(?P<what>[^.;,!\n]+)"
)
_MUST = re.compile(r"\b(?:always|must)\b")
_QUOTED = re.compile(r"[\"\u201c]([^\"\u201c\u201d]+)[\"\u201d]")
_SECRET = re.compile(
    r"(?<!i'll )(?<!we'll )(?<!will )\b(?:send|give|tell|share|provide|confirm|reply with|email|text)\b"
    r"(?: (?!reset|new|change)[a-z']+){0,4} "
    r"(?:password|pin|cvv|cvc|social security number|ssn|card number|full card details)\b"
)


def policy_violations(response: str, context: Mapping[str, Any]) -> list[str]:
    """List the broken rules, one phrase for people each; an empty reply breaks none."""
    clauses = [clause for sentence in text.sentences(response) for clause in text.clauses(sentence)]
    return [*_spoken(response, context), *_promised(clauses, context), *_asked_for(clauses)]


def required_share(response: str, context: Mapping[str, Any]) -> float:
    """Return the share of the required phrases that occur, 1 where none is required."""
    wanted = [*text.texts(context.get("required")), *_policy_requirements(context)]
    if not wanted:
        return 1.0
    whole = " ".join(text.words(response))
    return sum(text.find_phrase(phrase, whole) >= 0 for phrase in wanted) / len(wanted)


def _spoken(response: str, context: Mapping[str, Any]) -> Iterator[str]:
    whole = " ".join(text.words(response))
    for phrase in text.texts(context.get("forbidden")):
        if text.find_phrase(phrase, whole) >= 0:
            yield f"says {phrase!r}"


def _promised(clauses: list[str], context: Mapping[str, Any]) -> Iterator[str]:
    for phrase in [*text.texts(context.get("must_not_promise")), *_policy_bans(context)]:
        for clause in clauses:
            start = text.find_phrase(phrase, clause)
            if start >= 0 and not _ruled_out(clause, start, len(text.words(phrase))):
                yield f"promises {phrase!r}"
                break


def _ruled_out(clause: str, start: int, length: int) -> bool:
    """Whether a negation stands before the phrase or within three words after it ("is not possible")."""
    after = clause[start:].split()[length : length + 3]
    return text.negated(clause[:start]) or text.negated(" ".join(after))


def _asked_for(clauses: list[str]) -> Iterator[str]:
    for clause in clauses:
        found = _SECRET.search(clause)
        if found and not text.negated(clause[: found.start()]):
            yield f"asks for a secret: {found[0]!r}"


def _policy_sentences(context: Mapping[str, Any]) -> list[str]:
    return [sentence for part in text.texts(context.get("policy")) for sentence in text.sentences(part)]


def _policy_bans(context: Mapping[str, Any]) -> list[str]:
    found = [_BAN.search(text.normalize(sentence)) for sentence in _policy_sentences(context)]
    return [phrase for match in found if match for phrase in re.split(r"\bor\b", match["what"])]


def _policy_requirements(context: Mapping[str, Any]) -> list[str]:
    return [
        phrase
        for sentence in _policy_sentences(context)
        if _MUST.search(plain := text.normalize(sentence)) and not text.negated(plain)
        for phrase in _QUOTED.findall(sentence)
    ]
