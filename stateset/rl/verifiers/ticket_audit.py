"""A second opinion on replies to the bundled support tickets, written without sight of the first verifier.

A policy trained against one verifier learns that verifier's blind spots; the share of replies on which
two independent ones agree shows how far it went. Two readings must agree here. The first
(`ticket_audit_grammar`) bounds what may be said: every sentence is parsed whole as a greeting, sympathy, a
fact, the commitment, its next step or a closing of this sort of ticket, or the reply fails. The second
is bookkeeping: a reply becomes sentences, a sentence clauses, a clause a frame of *acts* (the resolutions it
speaks of) and one *mood* (given, denied, asked, told, rule, bare); the right resolution is nowhere denied,
every other one is at most denied or told as the customer's wish. Numbers, products and form come apart.

Limits: an unforeseen wording is refused rather than guessed, about two in five of a stranger's right
replies. What the row does not say (how soon money arrives) is not checked, nor whether sympathy fits the
situation: "sorry that your parcel is lost" before the repair of a lamp.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stateset.rl.errors import RewardError
from stateset.rl.verifiers import ticket_audit_grammar as grammar
from stateset.rl.verifiers import ticket_words as words
from stateset.rl.verifiers.ticket_audit_case import reasons_of_case

MAX_WORDS = 80
_MAX_CHARACTERS = 1500  # no reply of 80 words is longer
_COLUMNS = ("resolution", "allowed", "must_not_promise", "question_kind", "facts")
_FIGURES = {  # kind of question: the fact, its unit, words of its topic, resolutions that may be mentioned
    "return_window": ("window", "day", r"return|sen[dt]|back|refund|chang\w+ (?:your|my) mind",
                      {"refund", "return_label", "store_credit"}),
    "warranty_length": ("warranty", "month", r"warrant|guarant|cover|protect|repair|defect", {"repair"}),
    "delivery_time": ("delivery", "working day", r"deliver|arriv|ship|reach|parcel|way|door|come", set()),
    "card_validity": ("validity", "month", r"card|valid|redeem|spend|spent|expire|code", {"new_code"}),
}  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """A clause: its words, the resolutions that it speaks of, and how."""

    words: str
    acts: frozenset[str]
    mood: str  # given, denied, asked (or offered), told (the customer's wish), rule (for everyone), bare


def audit_ticket(question: str, answer: str, context: Mapping[str, Any]) -> bool:
    """Whether `answer` settles the ticket of `context` as its shop's policy says; `question` is not needed.

    Raises:
        RewardError: `context` is no row of the bundled tickets.
    """
    return not audit_reasons(answer, context)


def audit_reasons(answer: str, context: Mapping[str, Any]) -> tuple[str, ...]:
    """Why `answer` fails, in words; empty if it passes.

    Args:
        answer: the model's reply.
        context: the row: resolution, allowed, must_not_promise, question_kind, facts; `messages` or `prompt`,
            where present, show which policy lines were copied.
    Raises:
        RewardError: a column or fact is missing.
    """
    _check_row(context)
    if len(answer) > _MAX_CHARACTERS or len(answer.split()) > 2 * MAX_WORDS:
        return (f"more than {MAX_WORDS} words",)  # and need not be read
    text = words.plain(answer)
    frames = list(_frames(text, context["facts"]["item"].lower()))
    reasons = [*_layout(answer, context), *_form(text, context["facts"])]
    reasons += [*_numbers(text, context["facts"]), *_promises(text, frames, context)]
    reasons += _understood(answer, context)
    if context["resolution"] == "answer":
        reasons += _figure(text, frames, context)
    else:
        reasons += [*_resolution(frames, context), *_products(frames, context["facts"]["item"].lower())]
    return tuple(dict.fromkeys(reasons))


def _understood(answer: str, context: Mapping[str, Any]) -> Iterator[str]:
    """Every sentence must be one that the grammar knows, and one of them a commitment to what is right."""
    if len(answer.split()) > MAX_WORDS:
        yield f"more than {MAX_WORDS} words"
        return
    strange, commits = grammar.read(answer, context)
    for sentence in strange:
        yield f"a sentence that is not understood: {sentence!r}"
    if not commits:
        yield f"the reply does not give the right resolution, {context['resolution']}"


def _check_row(context: Mapping[str, Any]) -> None:
    missing = [name for name in _COLUMNS if name not in context]
    facts = context.get("facts", {})
    needed = ["order", "item", "amount"]
    if context.get("resolution") == "answer" and "question_kind" in context:
        kind = context["question_kind"]
        missing += [] if kind in _FIGURES else ["question_kind"]
        needed += [_FIGURES[kind][0]] if kind in _FIGURES else []
    missing += [f"facts.{name}" for name in needed if name not in facts]
    if missing:
        raise RewardError(
            f"`audit_ticket` finds no usable column {', '.join(missing)} in the row: it reads the bundled "
            "support tickets; keep these columns in the data file, or choose a verifier that fits your rows"
        )


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def _frames(text: str, item: str) -> Iterator[Frame]:
    """The clauses of a reply; a verbless fragment shares the mood of the clause that it hangs on."""
    last = Frame("", frozenset(), "bare")
    for sentence in _sentences(text):
        whole = re.sub(rf",\s*((?:your|the|a|an|namely the) {re.escape(item)}),", r" \1", sentence)
        clauses = list(_clauses(whole.strip(" .!?")))
        asked = sentence.endswith("?") or len(sentence.split()) < 3 or any(map(_conditional, clauses))
        mood = "bare"
        for clause in clauses:
            turns = mood == "denied" and words.TURNS.match(clause)
            mood = _mood(clause, "bare" if turns else mood)
            acts = _acts(clause, item) | _meant(clause, last)
            last = Frame(clause, acts, "asked" if asked and mood in ("given", "rule") else mood)
            yield last


def _clauses(sentence: str) -> Iterator[str]:
    for clause in words.BREAK.split(sentence):
        yield from filter(None, words.ASIDE.split(clause) if words.TOLD.search(clause) else [clause])


def _meant(clause: str, last: Frame) -> set[str]:
    """The acts that a pronoun takes up from the clause before: a wish granted, a specialist in charge."""
    acts: set[str] = set()
    if last.mood == "told" and words.STANDS_FOR.search(clause):
        acts |= last.acts - ({"cancel", "repair"} if words.ON_THE_ROAD.search(clause) else set())
    handed = words.TO_THEM.search(clause) and words.TAKES.search(clause)
    staffed = last.mood == "given" and words.PEOPLE.search(last.words)
    return acts | ({"escalate"} if staffed and handed else set())


def _conditional(clause: str) -> bool:
    doubtful = words.CONDITION.match(clause) and not words.HARMLESS.search(clause)
    return bool(doubtful or words.REVIEW.match(clause))


def _mood(clause: str, before: str) -> str:
    ordered = (
        ("told", words.TOLD), ("denied", words.DENIES), ("asked", words.LIKENED), ("rule", words.RULE),
        ("asked", words.UNSURE), ("asked", words.YOURSELF), ("given", words.SAYS),
    )  # fmt: skip
    return next(
        (mood for mood, pattern in ordered if pattern.search(clause) and not _lifted(mood, clause)), before
    )


def _lifted(mood: str, clause: str) -> bool:
    """Whether a wish is granted in its own clause, or a rule speaks of this very order."""
    if mood == "told":
        return bool(words.GRANTS.search(clause)) and not words.DENIES.search(clause)
    return mood == "rule" and bool(words.SPECIFIC.search(clause))


def _acts(clause: str, item: str) -> frozenset[str]:
    acts = {act for act, pattern in words.STRONG.items() if pattern.search(clause)}
    if words.PEOPLE.search(clause) and words.TAKES.search(clause):
        acts.add("escalate")
    if words.LOOKS.search(clause) and words.CARRIER.search(clause):
        acts.add("trace")
    if re.search(r"\bcodes?\b", clause):  # a code is what is replaced or cancelled, not the item or the order
        acts -= {"replacement", "cancel"}
    if "cancel" in acts and re.search(r"\b(?:charge|payment|debit)s?\b", clause):
        acts = acts - {"cancel"} | {"refund"}
    return frozenset(acts or _weak_acts(clause, item))


def _weak_acts(clause: str, item: str) -> set[str]:
    if words.PAYS.search(clause):
        return {"refund"}
    anew = words.SENDS.search(clause) and words.ANEW.search(clause) and not re.search(r"\bcodes?\b", clause)
    ships = any(re.search(way.replace("{item}", re.escape(item)), clause) for way in words.SHIPS_IT)
    return {"replacement"} if anew or ships else set()


def _spoken(frames: list[Frame], *moods: str) -> set[str]:
    return {act for frame in frames if frame.mood in moods for act in frame.acts}


def _resolution(frames: list[Frame], context: Mapping[str, Any]) -> Iterator[str]:
    """The right resolution is not denied, and no other is given, offered or left open."""
    right = context["resolution"]
    lasting = [frame for frame in frames if not re.match("until|while|before", frame.words)]
    if right in _spoken(lasting, "denied"):
        yield f"the reply both gives and denies {right}"
    for act in sorted(_spoken(frames, "given", "asked", "bare") - {right, *context["allowed"]}):
        yield f"the reply also speaks of {act}, without denying it"
    refunds = [frame.words for frame in frames if "refund" in frame.acts and frame.mood == "given"]
    if any(map(words.TWICE.search, refunds)):
        yield "more than the second charge is refunded"
    given = [frame.words for frame in frames if frame.mood == "given" and right in frame.acts]
    yield from reasons_of_case(given, context)


def _promises(text: str, frames: list[Frame], context: Mapping[str, Any]) -> Iterator[str]:
    forbidden = context["must_not_promise"]
    for frame in frames:
        if frame.mood in ("denied", "told"):
            continue
        if words.EXTRAS.search(re.sub(r"\b(?:gift )?vouchers? codes?", "code", frame.words)):
            yield f"compensation is promised: {frame.words!r}"
        if "fault" in forbidden and words.BLAME.search(frame.words):
            yield f"fault is admitted: {frame.words!r}"
    for sentence in _sentences(text) if "delivery_date" in forbidden else ():
        if _dated(sentence, spans=context["resolution"] != "answer"):
            yield f"a day of delivery is promised: {sentence!r}"


def _dated(sentence: str, *, spans: bool) -> bool:
    """Whether a sentence names the day of an arrival; `spans`: "in two days" counts as one."""
    if not words.ARRIVES.search(sentence) or re.search(r"\b(?:ago|not|never|cannot|no)\b", sentence):
        return False
    span = (
        spans and words.SPAN.search(sentence) and not re.search(r"refund|money|credit|payment|\$", sentence)
    )
    return bool(words.DAY.search(sentence) or span)


def _numbers(text: str, facts: Mapping[str, Any]) -> Iterator[str]:
    amount = float(str(facts["amount"]).replace("$", "").replace(",", ""))
    money = re.compile(r"\$ ?(\d[\d,]*(?:\.\d+)?)|\b(\d[\d,]*\.\d+)\b|\b(\d[\d,]*) (?:dollars|usd)\b")
    for found in money.finditer(text):
        if float(next(group for group in found.groups() if group).replace(",", "")) != amount:
            yield f"a wrong amount of money: {found[0]}"
    for number in re.findall(r"\b\d{4,}\b|(?<=order )\d+|(?<=number )\d+|(?<=#)\d+", money.sub(" ", text)):
        if number != str(facts["order"]):
            yield f"a number that is not this order's: {number}"


def _products(frames: list[Frame], item: str) -> Iterator[str]:
    """A product that is not the row's, except where a mix-up is retold."""
    own = set(item.split())
    for frame in frames:
        if not frame.acts and words.MIXED_UP.search(frame.words):
            continue
        others = [head for head in words.PRODUCT.findall(frame.words) if head not in own]
        others += [" ".join(both) for both in words.KINDS.findall(frame.words) if not set(both) <= own]
        if others:
            yield f"another product than the {item}: {others[0]}"


def _figure(text: str, frames: list[Frame], context: Mapping[str, Any]) -> Iterator[str]:
    fact, unit, topic, mentioned = _FIGURES[context["question_kind"]]
    said = [(quantity, frame) for frame in frames for quantity in _quantities(frame.words)]
    if not said:
        yield "the figure asked for is not stated"
    for (value, of), frame in said:
        if (value, of) != (context["facts"][fact], unit):
            yield f"a wrong figure or unit: {value} {of}s"
        elif not _states(frame):
            yield f"the figure is not stated as such: {frame.words!r}"
    if not re.search(topic, text) and words.TOPICS.search(text):
        yield "the figure is of something else than was asked"
    for act in sorted(_spoken(frames, "given", "asked", "bare") - mentioned):
        yield f"a question is answered with {act}"
    if words.ACTION.search(text):
        yield "a question is answered with an action"


def _quantities(clause: str) -> Iterator[tuple[int, str]]:
    """The spans of time of a clause; years count as months and weeks as days, a range is two."""
    scale = {"year": (12, "month"), "week": (7, "day")}
    for first, second, working, unit in words.QUANTITY.findall(re.sub(r"\bday (\d+)\b", r"\1 days", clause)):
        times, of = scale.get(unit, (1, unit))
        for word in filter(None, (first, second)):
            value = words.NUMBERS[word] if word in words.NUMBERS else int(word)
            yield value * times, "working day" if working and unit == "day" else of


def _states(frame: Frame) -> bool:
    """Whether a clause states its figure as the limit, unhedged; beyond the limit, only an end is right."""
    told = frame.mood == "told" or (frame.mood == "asked" and not words.ALLOWED.search(frame.words))
    beyond = bool(words.BEYOND.search(frame.words))
    ends = frame.mood == "denied" or (beyond and bool(words.ENDS.search(frame.words)))
    return not told and not words.VAGUE.search(frame.words) and beyond == ends


def _layout(answer: str, context: Mapping[str, Any]) -> Iterator[str]:
    """Lists, leaks and copied policy, in the text as it was written."""
    if words.LEAK.search(answer.lower()):
        yield "a list, a placeholder, or text of the prompt"
    messages = context.get("messages") or context.get("prompt") or ()
    system = (
        [messages] if isinstance(messages, str) else [m["content"] for m in messages if m["role"] == "system"]
    )
    lines = [
        line.strip(" -.").lower() for text in system for line in text.split("\n") if line.startswith("- ")
    ]
    said = " ".join(answer.lower().split())
    if any(len(line.split()) > 3 and line in said for line in lines):
        yield "a line of the policy is copied"


def _form(text: str, facts: Mapping[str, Any]) -> Iterator[str]:
    said = re.findall(r"[\w$'%.-]*\w", text)
    if len(said) < 3:
        yield "empty, or a bare keyword"
        return
    if len(said) > MAX_WORDS:
        yield f"more than {MAX_WORDS} words"
    if _loops(said, text):
        yield "the reply repeats itself"
    if sum(word in words.GLUE for word in said) < 0.08 * len(said) or words.SALAD.search(text):
        yield "a pile of words, not a sentence"
    if _cut(said[-1], text, facts):
        yield "the reply stops in the middle"


def _loops(said: list[str], text: str) -> bool:
    """Five words twice, three words thrice, a word twice running, or one word in every four."""
    runs = {size: Counter(zip(*(said[i:] for i in range(size)), strict=False)) for size in (3, 5)}
    often = max(runs[3].values(), default=0) > 2 or max(runs[5].values(), default=0) > 1
    piled = max(Counter(word for word in said if word not in words.GLUE).values(), default=0)
    stutter = re.search(r"\b([a-z]+) \1\b(?<!that that)(?<!had had)", text)
    return often or (piled > 2 and 4 * piled > len(said)) or bool(stutter)


def _cut(last: str, text: str, facts: Mapping[str, Any]) -> bool:
    """Whether a reply ends inside a sentence, as far as its last word shows."""
    if text[-1] in ",:;-(":
        return True
    if text[-1] in ".!?)" or text.endswith(str(facts.get("shop", ".")).lower()):
        return False
    *kind, head = facts["item"].lower().split()
    part = any(word.startswith(last) for word in kind) or (last != head and head.startswith(last))
    whole = re.search(r"\bwhere (?:\S+ ){1,6}is$|\bpaid with$|\bon the door$", text)
    return not whole and (part or last in words.HANGING)
