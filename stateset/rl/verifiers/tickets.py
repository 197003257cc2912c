"""Verifier of the bundled tickets: a reply must give the one resolution that policy and facts call for.

A reply is read two times. A lexical reading finds the resolutions that its clauses commit to, deny or only
speak of: "a refund is not possible", "you asked for a refund" and "contact us for a refund" give none. A
closed grammar (`ticket_grammar`) then bounds what may be said at all: a reply passes only where every clause
is understood, so that a sly addition ("less a small fee", "forget that") needs no pattern of its own to fail.
What is right stands in the row: `resolution`, `allowed` beside it, `must_not_promise`, the order's `facts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stateset.rl.errors import RewardError
from stateset.rl.verifiers.ticket_grammar import understand

# What names a resolution. {item} is the ordered product. Earlier ones hide their words from later ones: a
# "replacement code" is no replacement.
_WHO = (
    r"(?:(?:safety|specialist|legal|senior|expert|claims|care|incident|complaints?) (?:team|desk|department|"
    r"colleague|staff|agent|specialist|group|unit|officer)|specialist|supervisor|manager|colleague|boss)\b"
)
_MONEY = r"(?:money|payment|charge|amount|price|sum|value|\$[\d.]+(?![\d.]))"
_NO_CREDIT = r"(?! (?:(?:in|of|as|as a|worth of|to your|to the) )?~)"  # "give you $5 of store credit"
_NAMED = {
    "new_code": (
        r"(?:new|fresh|replacement|another|working|valid|different|second) (?:gift[ -]?card )?code|"
        r"code (?:\w+ ){0,3}re-?issued|re-?issu\w+ (?:\w+ ){0,3}(?:code|gift card)|"
        r"(?:new|replacement|another) e?-?gift[ -]?card (?=(?:\w+ ){0,4}(?:by e-?mail|code\b|to your inbox))"
    ),
    "store_credit": (
        r"(?:store|shop)[ -]?credit|credit (?:note|voucher)|credit (?:to|you can) (?:spend|use) (?:at|"
        r"in|on|with)|"
        r"credit (?:for|at|in) (?:our|the) (?:shop|store)|"
        r"credit(?:ed|ing)? (?:to )?your (?:store|shop|customer)? ?account|"
        r"credit(?:ed|ing)? (?:you )?(?:\$[\d.]+|the \w+|it) (?:back )?to (?:your|ur|the) "
        r"(?:store|shop|customer)? ?account"
    ),
    "return_label": (
        r"(?:return|returns|prepaid|pre-paid|postage|shipping) (?:\w+ )?labels?|"
        r"labels? (?:to|for) \w*return\w*"
    ),
    "refund": (
        r"(?<!non-)refund(?:ed|ing|s|able)?|money back|reimburs\w+|"
        r"cancel\w* (?:the |your )?(?:second|extra|duplicate|double) (?:charge|payment)|"
        r"revers\w+ (?:the |your )?(?:second |extra |duplicate |double )?(?:charge|payment|\$[\d.]+)|"
        r"(?:charge|payment) (?:\w+ ){0,4}(?:reversed|returned)|"
        r"(?:give|giving|gave|pay|paying|paid|return\w*|send\w*|sent|put\w*|wir(?:e[ds]?|ing)|transfer\w*) "
        rf"(?:you )?(?:back )?(?:the |your )?(?:full |whole |second |extra |duplicate )?{_MONEY}{_NO_CREDIT}"
        r"(?: back)?|"
        rf"{_MONEY} (?:was|is|are|has been|have been|will be|gets|is being) (?:\w+ )?"
        rf"(?:wired|transferred|paid|sent|returned|remitted|repaid|given back){_NO_CREDIT}|"
        r"\$[\d.]+ (?:goes|went|will go|is going) (?:back )?(?:to|on|onto|into) (?:your|ur|the) "
        r"(?:card|bank|paypal|payment)|"
        r"(?:paypal|bank|card|account|wallet) (?:\w+ ){0,2}(?:gets?|receives?) "
        rf"(?:the |your )?(?:full )?{_MONEY}{_NO_CREDIT}|"
        r"credit(?:ed|ing)? (?:\$[\d.]+|the \w+|it) (?:back )?to (?:your|ur|the) (?:card|bank|paypal)"
        r"|back (?:to|on|onto) (?:your|the) (?:card|account|original|payment)"
    ),
    "replacement": (
        r"replac\w+|exchang\w+|re-?send\w*|re-?sent|re-?ship\w*|"
        r"(?:a|the|your|another|brand|one) (?:brand )?(?:new|fresh|right|correct|another|"
        r"second) (?:{item}|one|item|unit|piece|device|product)\b|"
        r"another (?:{item}|one|item|unit|piece|device)\b|"
        r"(?:right|correct) (?:{item}|one|item|product|article)\b|"
        r"(?:ship\w*|send\w*|sent|dispatch\w*|deliver) (?:you )?(?:out )?(?:an?|another) (?:new|{item})\b"
    ),
    "trace": (
        r"\btrac(?:e|es|ed|ing)\b|"
        r"(?<!team will )(?<!team to )(?<!specialist will )(?<!manager will )investigat\w+|search\w* for|"
        r"(?:carrier|courier|delivery company|post)\b.{0,40}\b(?:search\w*|look\w* for|locat\w+|find|"
        r"track\w* down)|"
        r"(?:look\w* for|locat\w+|track\w* down) (?:your|the|it)\b"
    ),
    "cancel": r"cancel\w*|order is stopped|stopp?(?:ed|ing)? (?:your|the) order",
    "repair": (
        r"repair\w*|\bmend\w*|"
        r"(?:send|sent|goes|go|bring|forward\w*|taken|hand\w*) .{0,40}\bto (?:our|the) (?:\w+ )?"
        r"(?:workshop|service cent\w+)|"
        r"(?:workshop|service cent\w+|technicians?) (?:will |can |is going to )?(?:fix|restore|look)\w*|"
        r"\bfix(?:ed|es|ing)? (?:your|the|ur|this|that) {item}|(?:get|have|gets) (?:it|your {item}) fixed"
    ),
    "escalate": (
        r"escalat\w+|(?:pass\w*|hand(?!l)\w*|forward\w*|transfer\w*|refer\w*|sent|send|sending|assign\w*|"
        r"goes|go|needs?|brought|bring\w*|involv\w*|inform\w*|alert\w*|notif\w*|told) "
        rf".{{0,60}}?\b{_WHO}|"
        rf"\b{_WHO} .{{0,60}}?\b(?:tak(?:e|es|en|ing)\b.{{0,30}}\bover|takes? care|look\w* (?:into|at|after)|"
        r"contact\w*|call\w*|phone\w*|handl\w*|deal\w*|in charge|receiv\w*|review\w*|investigat\w*|"
        r"in touch|reach\w*|respond\w*|repl(?:y|ies)|follow\w* up|write\w*|has your|have your|on your case)"
    ),
}
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_CLAUSE = re.compile(
    r"[,;()]|:\s|\s[-–—]\s|\b(?:but|however|although|though|yet)\b|"
    r"\b(?:and|so|because|since) (?=(?:i|we|you|it|its|it's|i've|i'll|i'm|we're|we've|we'll|you'll|here|"
    r"our|your|order) )"
)
_CONTRAST = frozenset({"but", "however", "although", "though", "yet"})
_ON_ITS_OWN = re.compile(  # a verb or a subject: the clause does not lean on the one before
    r"\b(?:i|we|you|u|it|is|are|was|has|have|been|being|will|can|sent|issued|attached|booked|opened|"
    r"created|added|goes|gets|"
    r"follows|comes|ships|leaves|here|heres|please|use|send|print|approved|confirmed|filed|dispatched)\b|'(?:s|ll|ve|"
    r"re|m)\b"
)
_NO_DENIAL = re.compile(  # what sounds like one: "it is not a problem to refund it"
    r"\b(?:not (?:a|any) (?:problem|trouble|bother)|no (?:problem|trouble|worries|worry|doubt|question)|"
    r"without (?:a |any |further )?(?:question|doubt|hesitation|delay|problem|ado)s?|"
    r"(?:don't|dont|do not) (?:worry|hesitate))\b"
)
_DENIAL = re.compile(
    r"\b(?:not(?! only)|cannot|can't|cant|can not|couldn't|won't|wont|don't|doesn't|didn't|isn't|aren't|"
    r"wasn't|haven't|unable|"
    r"impossible|no(?! (?:worries|worry|problem|trouble|doubt))|never|nor|neither|without|too late|"
    r"declin\w+|refus\w+\b(?! (?:the |your |this )?(?:parcel|delivery|package|it)\b)|"
    r"unavailable|ineligible|excluded?|rule out|out of the question)\b"
)
_DENIED_AFTER = re.compile(
    r"^[\w\s~]{0,25}?\b(?:is|are|was|be|has|can|could|will)?\s?(?:not|cannot|can't|isn't|won't|no longer|"
    r"impossible|unavailable|"
    r"out of the question)\b"
)
_REPORTED = re.compile(
    r"\b(?:you|customer|your|u) (?!(?:can|will|may|should|could) )(?:\w+ )?"
    r"(?:ask\w*|want\w*|request\w*|demand\w*|wish\w*|would like|"
    r"prefer\w*|mention\w*|"
    r"expect\w*|need\w*|tried|hop\w+)\b|\b(?:contact|call|reach out to|email|write to|get in touch with|"
    r"visit|check with) "
    r"(?:\w+ )?(?:us|our|the|your|a|customer|support)\b"
)
_JOINED = re.compile(r"\b(?:and|so|then|plus)\b")
_FINITE = re.compile(  # what follows an "and" says something of its own: the wish ends there
    r"\b(?:i|we|it|is|are|was|were|has|been|will|can|goes|gets|ships|leaves|follows|comes|arrives|went)\b|"
    r"'(?:s|ll|ve|re|m)\b"
)
_ONLY_TOLD = (
    r"(?:request|claim|wish|application)?\s*"
    r"(?:is|was|has been|will be|'s|'ll be) (?:now |hereby |being |just )?"
)
_AGREED = r"(?:approved|granted|accepted|agreed|done)\b"
_UNDER_WAY = (
    r"(?:issued|processed|paid|arranged|booked|coming|yours|on (?:its|the) way(?! (?:to you|with)))\b"
)
_GRANTED = re.compile(  # of an act that was spoken of before
    rf"\b(?:it|that|this|which|one|request|claim|wish)\s*{_ONLY_TOLD}{_AGREED}|"
    r"\byou(?:'ll| will)? (?:get|have|receive) (?:it|one|that)\b|\b(?:done|did) (?:so|that)\b|\bwe grant\b"
)
_COMES = re.compile(rf"\b(?:it|that|this|which|one)\s*{_ONLY_TOLD}{_UNDER_WAY}")
_GRANTED_AFTER = re.compile(rf"^\s*{_ONLY_TOLD}(?:{_AGREED}|{_UNDER_WAY})")
_BOTH = re.compile(
    r"\b(?:get|have|receive|give|gave|given|grant|granted|offer|send|sent|do|did|done|you) (?:you )?both\b"
    r"(?! (?:charges|payments|orders|of the))|\bboth (?:are|were|have been|will be)\b"
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_PROMISES = {
    "delivery_date": re.compile(
        r"\b(?:by|on|until|before|next|this|coming) (?:mon|tues|wednes|thurs|fri|satur|sun)day|"
        r"\btomorrow\b|\btonight\b|"
        r"(?:arriv\w+|reach\w*|deliver\w*|with you|in your hands)\b.{0,30}\b(?:today|by the \d|"
        r"on the \d|within \d+ (?:hours|days)|"
        r"in \d+ (?:hours|days)|the weekend|next week|this week)|"
        rf"\b\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}\b|\b{_MONTH} (?:the )?\d{{1,2}}(?:st|nd|rd|th)?\b|"
        r"(?<!no )(?<!not )(?<!cannot )(?<!can't )(?<!without )(?<!not a )(?<!without a )guarantee\w*"
    ),
    "compensation": re.compile(
        r"voucher|coupon|discount|\d+ ?(?:%|percent) off|free (?:gift|shipping|delivery|item)|"
        r"delivery is free|bonus|compensat\w+|"
        r"gift for you|goodwill|as an apology|"
        r"(?:cover|pay|reimburs|settl|refund|meet|bear)\w* (?:for )?(?:[\w']+ ){0,3}"
        r"(?:medical|doctor|hospital|dent|treatment|lawyer|legal|damages\b|bills\b|expenses\b)"
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
_AMOUNT = re.compile(r"\$ ?(\d[\d,]*(?:\.\d+)?)")
_TWICE = re.compile(  # the amount given two times: "refunded $5 twice"
    r"\$[\d.]+ twice|(?:refund|reimburs|repa|return)\w* (?:it |you |this |that |them )?(?:twice|both)\b"
)
_ASSENT = re.compile(  # right after a wish it grants it: "you asked for a refund, consider it done"
    r"^\W*(?:sure|of course|certainly|gladly|absolutely|yes|ok|okay|right|done|consider it done|"
    r"(?:it is|it's) done|all (?:done|set|good|right)|(?:that is|that's) (?:fine|okay|understandable))\b"
)
_NO_TROUBLE = re.compile(
    r"(^|[,.;:!]\s*)(?:(?:that|it) ?(?:is|'s) )?(?:no|not a) (?:problem|trouble|worr(?:y|ies))\b"
)
_PAST_REPAIR = re.compile(  # nobody has had the item yet
    r"\b(?:was|were|been|have|has|already|we|i) (?:\w+ly |already |now )?(?:repaired|fixed|mended)\b|"
    r"(?:repaired|fixed|mended) already\b"
)
_WHOLE_ORDER = re.compile(  # of an order that was charged twice, one charge goes back, not the order
    r"full price|whole price|price of|\bin full\b|money back|"
    r"(?:full|whole|entire|complete) (?:order|refund|amount)|"
    r"(?:refund|reimburs|repa[iy])\w* (?:you )?(?:for )?(?:the |your )?~"
)
_OTHER_MISHAP = {  # words of another sort of ticket: "refunded for the lost parcel" of one that came broken
    "damaged": r"lost|missing|wrong|unwanted",
    "lost": r"broken|damaged|cracked|wrong|unwanted",
    "wrong_item": r"lost|missing|broken|damaged|unwanted",
}
_BROKEN_OFF = re.compile(  # the last word asks for another one
    r"(?:[,;:(\-]|\b(?:to|for|of|(?<!paid )(?<!pay )with|in|on|at|by|from|into|onto|under|about|than|and|or|"
    r"but|nor|because|if|when|as|since|which|who|the|an?|your|ur|our|my|its|their|has|have|had|be|been|"
    r"will|i|we))$"
)
_LONGEST = 90  # words of a reply that still counts as one


@dataclass(frozen=True, slots=True)
class TicketCheck:
    """What one reply gets right; `passed` needs all but `names_order`.

    Attributes:
        resolution: the right resolution is given (a question: the right figure).
        single: no other resolution is given beside it.
        keeps_promises: nothing is promised that the policy forbids.
        right_figures: no other order's number and no other amount is named.
        complete: a reply of ordinary length that comes to an end.
        names_order: the order's number is named; a question has none.
        understood: every clause is a courtesy, a fact of the ticket, or the right resolution in known words.
    """

    resolution: bool
    single: bool
    keeps_promises: bool
    right_figures: bool
    complete: bool
    names_order: bool
    understood: bool

    @property
    def passed(self) -> bool:
        """Whether the reply follows the policy."""
        return (
            self.resolution
            and self.single
            and self.keeps_promises
            and self.right_figures
            and self.complete
            and self.understood
        )


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
    text = _NO_TROUBLE.sub(r"\1sure", text)
    given = set(resolutions(text, facts["item"]))
    numbers = set(_ORDER_NUMBER.findall(text))
    complete = 2 < len(text.split()) <= _LONGEST and not _repeats(text) and not _BROKEN_OFF.search(text)
    plain = re.sub(r"[^\S\n]+", " ", answer)
    understood, meant = understand(plain, context) if complete else (False, frozenset())
    committed = right in (meant if understood else given)
    return TicketCheck(
        resolution=committed if not kind else _answers(text, kind, facts) and (committed or not understood),
        single=not given - allowed and not _off_the_case(text, context),
        keeps_promises=not any(_PROMISES[name].search(text) for name in forbidden if name in _PROMISES),
        right_figures=numbers <= {facts["order"]} and _right_amount(text, facts["amount"]),
        complete=complete,
        names_order=kind is not None or facts["order"] in numbers,
        understood=understood,
    )


def resolutions(text: str, item: str) -> Iterator[str]:
    """The resolutions that a lower-cased reply commits to; one may come several times."""
    told: set[str] = set()  # all that the reply only speaks of
    last: set[str] = set()  # what "it" may stand for
    for sentence in _SENTENCE.split(_NO_DENIAL.sub(" ", text)):
        denied = False
        for link, clause in _clauses(sentence):
            # "no refund, replacement or credit"
            denied = denied and link not in _CONTRAST and not _ON_ITS_OWN.search(clause)
            given, wished = _read(clause, item.lower(), denied)
            if sentence.endswith("?"):  # an offer to be answered settles nothing
                given, wished = set(), given | wished
            elif _ASSENT.search(clause):
                given |= last
            elif not _DENIAL.search(clause):
                given |= _referred(clause, told, last, link)
            yield from given
            told |= wished
            last = wished or (set() if given else last)
            denied = denied or bool(_DENIAL.search(clause))


def _clauses(sentence: str) -> Iterator[tuple[str, str]]:
    """The clauses of a sentence, each after the word or sign that links it to the one before."""
    link, start = "", 0
    for match in _CLAUSE.finditer(sentence):
        if sentence[start : match.start()].strip():
            yield link, sentence[start : match.start()]
        link, start = match.group().strip(), match.end()
    yield link, sentence[start:]


def _referred(clause: str, told: set[str], last: set[str], link: str) -> set[str]:
    """What a clause gives without its name: "you asked for a refund and it is on its way"."""
    given = set(told) if _BOTH.search(clause) else set()
    if _GRANTED.search(clause):
        given |= last
    if link not in _CONTRAST | {"because", "since"} and _COMES.search(clause):
        given |= last - {"cancel"}  # "you want to cancel, and it is on its way": the parcel
    return given


def _read(clause: str, item: str, denied: bool) -> tuple[set[str], set[str]]:
    """The resolutions that a clause gives, and those it only speaks of; `denied` from its beginning: none."""
    given: set[str] = set()
    wished: set[str] = set()
    for name, named in _NAMED.items():
        pattern = named.replace("{item}", re.escape(item))
        clause = re.sub(rf"\b(?:instead of|rather than) (?:an? |the |any |your )?(?:{pattern})", " ", clause)
        for match in re.finditer(pattern, clause):
            before, after = clause[: match.start()], clause[match.end() :]
            if not (denied or _DENIAL.search(before + match.group()) or _DENIED_AFTER.search(after)):
                only_told = _is_reported(clause, match.start()) and not _GRANTED_AFTER.search(after)
                (wished if only_told else given).add(name)
            clause = before + "~" * len(match.group()) + after  # the same length: later matches stay in place
    return given, wished


def _is_reported(clause: str, position: int) -> bool:
    """Whether what stands at `position` is a wish or a way to ask, which ends before an "and" with a verb."""
    return any(
        match.start() <= position
        and not any(
            _FINITE.search(clause[joint.end() :])
            for joint in _JOINED.finditer(clause, match.end(), max(match.end(), position))
        )
        for match in _REPORTED.finditer(clause)
    )


def _off_the_case(text: str, context: Mapping[str, Any]) -> bool:
    """Whether the right resolution is given of something else: the whole order, another mishap, the past."""
    situation = context.get("situation")
    of_item = text.replace(context["facts"]["item"].lower(), "~")
    if situation == "charged_twice" and _WHOLE_ORDER.search(of_item):
        return True
    if context["resolution"] == "repair" and _PAST_REPAIR.search(text):
        return True
    other = _OTHER_MISHAP.get(situation or "")
    return bool(other and re.search(rf"(?:for|of) (?:the|your) (?:{other}) ", of_item))


def _right_amount(text: str, amount: str) -> bool:
    """No amount of money but the order's, and that one not twice."""
    right = float(amount.strip("$").replace(",", ""))
    return not _TWICE.search(text) and all(
        float(found.replace(",", "")) == right for found in _AMOUNT.findall(text)
    )


def _answers(text: str, kind: str, facts: Mapping[str, Any]) -> bool:
    """The question's figure with its unit, and no other figure of that unit."""
    name, unit = _NUMBER_OF[kind]
    return set(re.findall(rf"(\d+)[ -]{unit}\b", text)) == {str(facts[name])}


def _repeats(text: str) -> bool:
    """One sentence said twice: text that goes round in a loop."""
    sentences = [part.strip(" .!?") for part in _SENTENCE.split(text)]
    return len(set(sentences)) < len(sentences)
