"""Verifier of the bundled tickets: a reply must give the one resolution that policy and facts call for.

A reply is read clause by clause. Each clause commits to, denies, or only speaks of a resolution: "a refund
is not possible", "you asked for a refund" and "contact us for a refund" give none. What is right stands in
the row: `resolution`, `allowed` beside it, `must_not_promise`, and the order's `facts`. English, lexical.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stateset.rl.errors import RewardError

# What names a resolution. {item} is the ordered product. Earlier ones hide their words from later ones: a
# "replacement code" is no replacement.
_NAMED = {
    "new_code": (
        r"(?:new|fresh|replacement|another|working|valid|different|second) (?:gift[ -]?card )?code|"
        r"code (?:\w+ ){0,3}re-?issued|re-?issu\w+ (?:\w+ ){0,3}(?:code|gift card)|"
        r"(?:new|replacement|another) (?:gift|e-?gift)[ -]?card"
    ),
    "store_credit": (
        r"(?:store|shop)[ -]?credit|credit (?:note|voucher)|credit (?:to|you can) (?:spend|use) (?:at|"
        r"in|on|with)|"
        r"credit (?:for|at|in) (?:our|the) (?:shop|store)|"
        r"credit(?:ed|ing)? (?:to )?your (?:store|shop|customer)? ?account"
    ),
    "return_label": (
        r"(?:return|returns|prepaid|pre-paid|postage|shipping) (?:\w+ )?labels?|"
        r"labels? (?:to|for) \w*return\w*"
    ),
    "refund": (
        r"(?<!non-)refund(?:ed|ing|s|able)?|money back|reimburs\w+|"
        r"cancel\w* (?:the |your )?(?:second|extra|duplicate|double) (?:charge|payment)|"
        r"(?:give|giving|gave|pay|paying|paid|return\w*|send\w*|sent|put\w*) (?:you )?(?:back )?(?:the |"
        r"your )?"
        r"(?:second |extra |duplicate )?(?:money|payment|charge|amount|\$[\d.]+)(?: back)?"
        r"|back (?:to|on|onto) (?:your|the) (?:card|account|original|payment)"
    ),
    "replacement": (
        r"replac\w+|exchang\w+|re-?send\w*|re-?sent|re-?ship\w*|"
        r"(?:a|the|your|another|brand|one) (?:brand )?(?:new|fresh|right|correct|another|"
        r"second) (?:{item}|one|item)\b|"
        r"another (?:{item}|one|item)\b|(?:right|correct) (?:{item}|one|item|product|article)\b|"
        r"(?:ship\w*|send\w*|sent|dispatch\w*|deliver) (?:you )?(?:out )?(?:an?|another) (?:new|{item})\b"
    ),
    "trace": (
        r"\btrac(?:e|es|ed|ing)\b|investigat\w+|search\w* for|"
        r"(?:carrier|courier|delivery company|post)\b.{0,40}\b(?:search\w*|look\w* for|locat\w+|find|"
        r"track\w* down)|"
        r"(?:look\w* for|locat\w+|track\w* down) (?:your|the|it)\b"
    ),
    "cancel": r"cancel\w*|order is stopped|stopp?(?:ed|ing)? (?:your|the) order",
    "repair": (
        r"repair\w*|\bmend\w*|workshop|service cent\w+|"
        r"\bfix(?:ed|es|ing)? (?:your|the|ur|this|that) {item}|(?:get|have|gets) (?:it|your {item}) fixed"
    ),
    "escalate": (
        r"escalat\w+|(?:safety|specialist|legal|senior|expert|claims|care|incident|complaints?) (?:team|"
        r"desk|department|"
        r"colleague|staff|agent|specialist|group|unit|officer)|specialist|supervisor|\bmanager\b|"
        r"hand(?:ed|ing)? (?:this|it|your|the|everything) (?:\w+ ){0,5}(?:over|to)\b|colleague"
    ),
}
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_CLAUSE = re.compile(
    r"[,;()]|:\s|\s[-–—]\s|\b(?:but|however|although|though|yet)\b|"
    r"\b(?:and|so|because|since) (?=(?:i|we|you|it|its|it's|i've|i'll|i'm|we're|we've|we'll|you'll|here|"
    r"our|your|order) )"
)
_ON_ITS_OWN = re.compile(  # a verb or a subject: the clause does not lean on the one before
    r"\b(?:i|we|you|u|it|is|are|was|has|have|been|being|will|can|sent|issued|attached|booked|opened|"
    r"created|added|goes|gets|"
    r"follows|comes|here|heres|please|use|send|print|approved|confirmed|filed|dispatched)\b|'(?:s|ll|ve|"
    r"re|m)\b"
)
_DENIAL = re.compile(
    r"\b(?:not(?! only)|cannot|can't|cant|can not|couldn't|won't|wont|don't|doesn't|didn't|isn't|aren't|"
    r"wasn't|haven't|unable|"
    r"impossible|no(?! (?:worries|worry|problem|trouble|doubt))|never|nor|neither|without|too late|"
    r"declin\w+|refus\w+|"
    r"unavailable|ineligible|excluded?|rule out|out of the question)\b"
)
_DENIED_AFTER = re.compile(
    r"^[\w\s]{0,25}?\b(?:is|are|was|be|has|can|could|will)?\s?(?:not|cannot|can't|isn't|won't|no longer|"
    r"impossible|unavailable|"
    r"out of the question)\b"
)
_REPORTED = re.compile(
    r"\b(?:you|customer|your|u) (?:\w+ )?(?:ask\w*|want\w*|request\w*|demand\w*|wish\w*|would like|"
    r"prefer\w*|mention\w*|"
    r"expect\w*|need\w*|tried|hop\w+)\b|\b(?:contact|call|reach out to|email|write to|get in touch with|"
    r"visit|check with) "
    r"(?:\w+ )?(?:us|our|the|your|a|customer|support)\b"
)
_PROMISES = {
    "delivery_date": re.compile(
        r"\b(?:by|on|until|before|next|this|coming) (?:mon|tues|wednes|thurs|fri|satur|sun)day|"
        r"\btomorrow\b|\btonight\b|"
        r"(?:arriv\w+|reach\w*|deliver\w*|with you|in your hands)\b.{0,30}\b(?:today|by the \d|"
        r"on the \d|within \d+ (?:hours|days)|"
        r"in \d+ (?:hours|days)|the weekend|next week|this week)|guarantee\w*"
    ),
    "compensation": re.compile(
        r"voucher|coupon|discount|\d+ ?(?:%|percent) off|free (?:gift|shipping|delivery|item)|"
        r"delivery is free|bonus|compensat\w+|"
        r"gift for you|goodwill|as an apology"
    ),
    "fault": re.compile(
        r"\b(?:our|my) (?:own )?(?:fault|mistake|error|negligence)|\b(?:we|"
        r"i) (?:\w+ ){0,2}(?:made a mistake|to blame|liable|at fault)|"
        r"(?:accept|admit|take|bear)\w* (?:\w+ ){0,2}(?:responsibility|liability|blame|fault)|liable|"
        r"to blame|careless|negligent"
    ),
}
_NUMBER_OF = {  # the figure that answers a question, and its unit
    "return_window": ("window", r"days?"),
    "warranty_length": ("warranty", r"months?"),
    "delivery_time": ("delivery", r"(?:working|business) days?"),
    "card_validity": ("validity", r"months?"),
}
_ORDER_NUMBER = re.compile(r"(?<![\d$.,])\d{5}(?!\d)")
_LONGEST = 90  # words of a reply that still counts as one


@dataclass(frozen=True, slots=True)
class TicketCheck:
    """What one reply gets right; `passed` needs all but `names_order`.

    Attributes:
        resolution: the right resolution is given (a question: the right figure).
        single: no other resolution is given beside it.
        keeps_promises: nothing is promised that the policy forbids.
        right_order: no other order's number is named.
        complete: a reply of ordinary length that comes to an end.
        names_order: the order's number is named; a question has none.
    """

    resolution: bool
    single: bool
    keeps_promises: bool
    right_order: bool
    complete: bool
    names_order: bool

    @property
    def passed(self) -> bool:
        """Whether the reply follows the policy."""
        return self.resolution and self.single and self.keeps_promises and self.right_order and self.complete


def verify_ticket(question: str, answer: str, context: Mapping[str, Any]) -> bool:
    """Whether `answer` follows the policy in a row of the bundled tickets; see `check_ticket`."""
    return check_ticket(answer, context).passed


def check_ticket(answer: str, context: Mapping[str, Any]) -> TicketCheck:
    """Check a reply against a row of the bundled tickets.

    Args:
        answer: the model's reply.
        context: the row's `resolution`, `allowed`, `must_not_promise`, `question_kind` and `facts`.
    Raises:
        RewardError: a column is missing.
    """
    try:
        right, facts = context["resolution"], context["facts"]
        allowed, forbidden = {right, *context["allowed"]}, context["must_not_promise"]
        kind = context["question_kind"]
    except KeyError as error:
        raise RewardError(
            f"the row has no {error}: this verifier reads the columns of the bundled tickets"
        ) from error
    text = re.sub(r"\s+", " ", answer.replace("’", "'").lower()).strip()
    given = set(resolutions(text, facts["item"]))
    numbers = set(_ORDER_NUMBER.findall(text))
    return TicketCheck(
        resolution=_answers(text, kind, facts) if kind else right in given,
        single=not given - allowed,
        keeps_promises=not any(_PROMISES[name].search(text) for name in forbidden if name in _PROMISES),
        right_order=numbers <= {facts["order"]},
        complete=2 < len(text.split()) <= _LONGEST and not _repeats(text),
        names_order=kind is not None or facts["order"] in numbers,
    )


def resolutions(text: str, item: str) -> Iterator[str]:
    """The resolutions that a lower-cased reply commits to; one may come several times."""
    for sentence in _SENTENCE.split(text):
        if sentence.endswith("?"):  # an offer to be answered settles nothing
            continue
        denied = False
        for clause in _CLAUSE.split(sentence):
            denied = denied and not _ON_ITS_OWN.search(clause)  # "no refund, replacement or credit"
            yield from _committed(clause, item.lower(), denied)
            denied = denied or bool(_DENIAL.search(clause))


def _committed(clause: str, item: str, denied: bool) -> Iterator[str]:
    """The resolutions that a clause gives; in one that is `denied` from its beginning there are none."""
    reported = _REPORTED.search(clause)
    for name, named in _NAMED.items():
        pattern = named.replace("{item}", re.escape(item))
        clause = re.sub(rf"\b(?:instead of|rather than) (?:an? |the |any |your )?(?:{pattern})", " ", clause)
        for match in re.finditer(pattern, clause):
            before, after = clause[: match.start()], clause[match.end() :]
            refused = denied or _DENIAL.search(before + match.group()) or _DENIED_AFTER.search(after)
            if not refused and not (reported and reported.start() <= match.start()):
                yield name
            clause = before + " " * len(match.group()) + after


def _answers(text: str, kind: str, facts: Mapping[str, Any]) -> bool:
    """The question's figure with its unit, and no other figure of that unit."""
    name, unit = _NUMBER_OF[kind]
    return set(re.findall(rf"(\d+)[ -]{unit}\b", text)) == {str(facts[name])}


def _repeats(text: str) -> bool:
    """One sentence said twice: text that goes round in a loop."""
    sentences = [part.strip(" .!?") for part in _SENTENCE.split(text)]
    return len(set(sentences)) < len(sentences)
