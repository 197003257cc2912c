"""Seven criteria for support replies, each `(prompt, response, context) -> float` in [0, 1].

Deterministic, offline, English, and lexical: they look at phrases, clauses, numbers and overlap, never at
meaning. A pile of cue words, a repeated sentence, a copy of the prompt and an empty reply score near 0,
and a negated phrase does not count. A fluent lie ("I've refunded your order" where nobody has) scores
like the truth: what only the shop's systems know must come from the row's `context`, or from a reward of
your own.

Context entries that are read, all optional: `answer` (gold reply), `facts` (values that a right reply
states), `forbidden`, `must_not_promise`, `required` (phrases) and `policy` (text); see `accuracy` and
`policy_compliance`. Where a verifier said wrong (`verified` is False), nothing is resolved or accurate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stateset.rl.rewards import concrete, cues, text
from stateset.rl.rewards.policies import policy_violations, required_share

Criterion = Callable[[str, str, Mapping[str, Any]], float]

_EMPATHY_BY_KINDS = (0.0, 0.5, 0.8, 1.0, 1.0)
_WRONG_NUMBER = 0.3
_PROMISES_ALL, _MOST_ACTS = 0.3, 6  # different acts named in one reply
_VAGUE = 0.3  # "your claim has been resolved", without any news


def resolution(prompt: str, response: str, context: Mapping[str, Any]) -> float:
    """Whether the reply does, promises or explains what the customer asked for.

    Counts a clause that does something to something, like "I've refunded your order" (1), "I'll send a
    replacement" (0.9), an instruction (0.8), an offer (0.5); a sentence with news, a day, an amount or an
    attachment that the prompt does not have (0.6 to 0.8); or agreement with the gold `answer`. More with
    news. Negated, conditional and asked clauses do not count, nor what sends the customer elsewhere or is a
    template's empty slot; promising everything at once, another order's number or another topic costs most
    of it. It believes what the reply claims, and takes a justified refusal without a next step for no
    resolution unless the gold answer refuses too.
    """
    told = [sentence for sentence in text.sentences(response) if _counts(sentence)]
    if context.get("verified") is False or concrete.SLOT.search(response):
        return 0.0
    strength = max([0.9 * _agreement(context, response), *(_strength(prompt, one) for one in told)])
    if not strength:
        return 0.0
    detail = any(concrete.news(prompt, sentence) for sentence in told)
    score = (0.8 * strength + 0.2 * detail) * _relevance(prompt, response) * text.substance(prompt, response)
    score *= _PROMISES_ALL if _acts_named(response) > _MOST_ACTS else 1.0
    return score * (_WRONG_NUMBER if _foreign_identifiers(prompt, response, context) else 1.0)


def empathy(prompt: str, response: str, context: Mapping[str, Any]) -> float:
    """Kinds of concern that are voiced: apology for something, understanding, thanks for something, care.

    One kind 0.5, two 0.8, three 1; repeating one adds nothing. Single words ("sorry") do not count, nor
    do negated or rude ones. It cannot tell warmth from a formula.
    """
    if cues.RUDE.search(text.normalize(response)):
        return 0.0
    kinds = {
        kind
        for sentence in text.sentences(response)
        for clause in text.clauses(sentence)
        for kind, cue in enumerate(cues.EMPATHY)
        if (found := cue.search(clause)) and not text.negated(clause[: found.start()])
    }
    return _EMPATHY_BY_KINDS[len(kinds)] * text.substance(prompt, response)


def clarity(prompt: str, response: str, context: Mapping[str, Any]) -> float:
    """Sentences of readable length (half), whole rather than fragments (0.3), and a proper end (0.2).

    A sentence of up to 25 words is readable, one of 50 is not; under three words is a fragment. A clear
    sentence that says nothing is still clear.
    """
    lengths = [len(text.words(sentence)) for sentence in text.sentences(response)]
    if not lengths:
        return 0.0
    readable = sum(min(1.0, max(0.0, (50 - n) / 25)) for n in lengths) / len(lengths)
    whole = sum(n >= 3 for n in lengths) / len(lengths)
    ended = response.rstrip().rstrip("\"')*”’").endswith((".", "!", "?"))
    return (0.5 * readable + 0.3 * whole + 0.2 * ended) * text.substance(prompt, response)


def efficiency(prompt: str, response: str, context: Mapping[str, Any]) -> float:
    """Return min(1, 50 / words), 0 for an empty reply: it measures length alone."""
    count = len(response.split())
    return min(1.0, 50 / count) if count else 0.0


def policy_compliance(prompt: str, response: str, context: Mapping[str, Any]) -> float:
    """0 if a rule of the context is broken, else the share of `required` phrases that the reply holds.

    Rules: no phrase of `forbidden`; none of `must_not_promise` unless the clause negates it; sentences of
    `policy` of the form "never/do not promise X" (see `policies.py`); never a request for a password,
    PIN, CVV or card number. Text without substance complies with nothing. Paraphrases of a forbidden
    phrase are not seen.
    """
    if policy_violations(response, context):
        return 0.0
    return required_share(response, context) * text.substance(prompt, response)


def accuracy(prompt: str, response: str, context: Mapping[str, Any]) -> float:
    """Agreement with the gold `answer` and `facts` of the context, and no invented numbers.

    With gold: the share of its content words in the reply, less where the reply says the opposite ("can"
    for "can't"), times the share of the reply's numbers that prompt, context or gold state. Without gold
    there is nothing to agree with: 0.5. Each order number, phone number or code that neither prompt nor
    context holds multiplies by 0.3. Wrong claims in words that the gold does not use are not seen.
    """
    if context.get("verified") is False:
        return 0.0
    score = text.substance(prompt, response)
    score *= _WRONG_NUMBER ** min(3, len(_foreign_identifiers(prompt, response, context)))
    if not _gold(context):
        return 0.5 * score
    stated = text.numbers(response)
    supported = stated & text.numbers(text.known_text(prompt, context))
    return score * _agreement(context, response) * (len(supported) / len(stated) if stated else 1.0)


def tone(prompt: str, response: str, context: Mapping[str, Any]) -> float:
    """Professional manner: 0.5 for neutral prose, 0.25 each for a courtesy and for addressing the customer.

    0 for a rude or profane word; halved for shouting (capitals, "!!"). Sarcasm is not seen.
    """
    plain = text.normalize(response)
    if cues.RUDE.search(plain):
        return 0.0
    score = 0.5 + 0.25 * bool(cues.COURTESY.search(plain))
    score += 0.25 * bool({"you", "your"} & set(text.words(response)))
    capitals = sum(word.isupper() and len(word) > 3 for word in response.split())
    shouting = capitals > 2 or "!!" in response
    return score * (0.5 if shouting else 1.0) * text.substance(prompt, response)


CRITERIA: dict[str, Criterion] = {
    "resolution": resolution,
    "empathy": empathy,
    "clarity": clarity,
    "efficiency": efficiency,
    "policy_compliance": policy_compliance,
    "accuracy": accuracy,
    "tone": tone,
}


def _counts(sentence: str) -> bool:
    """Whether a sentence may resolve anything: no question, no retelling, no way to elsewhere."""
    plain, asked = text.normalize(sentence), sentence.rstrip().endswith("?")
    return not (asked or concrete.RETOLD.search(plain) or concrete.ELSEWHERE.search(plain))


def _strength(prompt: str, sentence: str) -> float:
    """Return the strongest action that one sentence performs, promises, explains or offers, or its news."""
    clauses = [
        clause
        for clause in text.clauses(sentence)
        if not cues.DEFERRED.match(clause) and not concrete.HEDGED.search(clause)
    ]
    kind = any(cue.search(clause) for cue in cues.EMPATHY for clause in clauses)
    news = bool(clauses) and not kind and concrete.news(prompt, sentence)
    acted = [
        value * (_VAGUE if verb in concrete.VAGUE_VERBS and not news else 1.0)
        for clause in clauses
        for verb, value in _acts(prompt, clause)
    ]
    happens = news and any(concrete.EVENT.search(one) and not text.negated(one) for one in clauses)
    return max([*acted, 0.8 if happens else 0.6 if news and len(text.words(sentence)) > 2 else 0.0])


def _acts(prompt: str, clause: str) -> Iterator[tuple[str, float]]:
    """The acts of a clause, as stems of their verbs, with how much each is worth; negated ones are none."""
    found = [
        (cues.STARTED, _is_done, 1.0),
        (cues.PASSIVE, _is_done, 1.0),
        (cues.SHORT, _is_done, 0.9),
        (cues.COMMITTED, _is_action, 0.9),
        (cues.TOLD, _is_step, 0.8),
        (cues.OFFERED, _is_action, 0.5),
    ]
    for cue, fits, value in found:
        for match in cue.finditer(clause):
            verb = match["verb"]
            whole = fits(verb) and clause.count(" ") >= 2 and concrete.specific(prompt, clause, verb)
            if whole and not text.negated(clause[: match.end("verb")]):
                yield text.stem(verb), value


def _acts_named(response: str) -> int:
    """How many different acts a reply names, done or not: an honest one names few."""
    return len({text.stem(word) for word in text.words(response)} & cues.ACTIONS)


def _is_action(verb: str) -> bool:
    return text.stem(verb) in cues.ACTIONS


def _is_step(verb: str) -> bool:
    return text.stem(verb) in cues.STEPS


def _is_done(verb: str) -> bool:
    return _is_action(verb) and (verb.endswith("ed") or verb in cues.IRREGULAR_DONE)


def _relevance(prompt: str, response: str) -> float:
    """1 if the reply is on the prompt's topic or shares two content words, 0.6 with one, 0.3 with none."""
    asked, said = text.content_stems(prompt), text.content_stems(response)
    if not asked or any(topic & asked and topic & said for topic in cues.TOPICS):
        return 1.0
    shared = len(asked & said)
    return 1.0 if shared >= min(2, len(asked)) else 0.6 if shared else 0.3


def _foreign_identifiers(prompt: str, response: str, context: Mapping[str, Any]) -> set[str]:
    found = text.identifiers(response)
    return found - text.identifiers(text.known_text(prompt, context)) if found else found


def _gold(context: Mapping[str, Any]) -> list[str]:
    return [*text.texts(context.get("answer")), *text.texts(context.get("facts"))]


def _agreement(context: Mapping[str, Any], response: str) -> float:
    """Share of the gold's content words in the response; a gold sentence that it negates counts 0.3."""
    wanted = [claim for gold in _gold(context) for claim in _claims(gold)]
    said = _claims(response)
    total = sum(len(meaning) for meaning, _ in wanted)
    if not total or not said:
        return 0.0
    everything = set().union(*(meaning for meaning, _ in said))
    agreed = 0.0
    for meaning, is_negated in wanted:
        nearest = max(said, key=lambda other: len(other[0] & meaning))
        agreed += len(meaning & everything) * (1.0 if nearest[1] == is_negated else 0.3)
    length_limit = max(60, 8 * total)
    return agreed / total * min(1.0, length_limit / len(everything))


def _claims(passage: str) -> list[tuple[set[str], bool]]:
    """(content words, negated) of each sentence; without content words all its words count."""
    return [
        (text.content_stems(part) | text.numbers(part) or set(text.words(part)), text.negated(part))
        for part in map(text.normalize, text.sentences(passage))
    ]
