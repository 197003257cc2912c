r"""A second opinion on replies to the bundled support tickets, written without sight of the first verifier.

A policy trained against one verifier learns that verifier's blind spots; the share of replies on which two independent
ones agree shows how far. This one reads like a small parser: a reply becomes sentences, a sentence clauses, and
a clause a frame of *acts* (which resolutions it speaks of) and one *mood* (given, denied, asked, told, rule, bare).
The verdict is bookkeeping over frames: the right resolution is given and nowhere denied, every other one
is at most denied or told as the customer's wish. Numbers, money, dates, products and form are checked on the text.

Limits: a frame's mood holds for all of its acts; a denial that a later clause takes back counts as a contradiction;
lexicons are plain shop English, so an unforeseen wording is refused rather than guessed. Truth beyond the facts
of the row (how soon money arrives, why a parcel was late, who the customer is) is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stateset.rl.errors import RewardError

MAX_WORDS = 80
_COLUMNS = ("resolution", "allowed", "must_not_promise", "question_kind", "facts")
_FIGURES = {  # kind of question: (fact, unit, words of its topic, resolutions that a rule may speak of)
    "return_window": ("window", "day", r"return|sen[dt]|back|refund|chang\w+ (?:your|my) mind", "refund return_label store_credit"),
    "warranty_length": ("warranty", "month", r"warrant|guarant|cover|protect|repair|defect", "repair"),
    "delivery_time": ("delivery", "working day", r"deliver|arriv|ship|reach|parcel|way|door|come|transit", ""),
    "card_validity": ("validity", "month", r"card|valid|redeem|spend|spent|expire|code", "new_code"),
}
_NUMBERS = {
    name: value
    for value, name in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
} | {"a": 1, "an": 1, "fourteen": 14, "eighteen": 18, "twenty-four": 24, "thirty": 30, "sixty": 60}


_TOPICS = r"warrant|guarant|gift card|\breturn|\bdelivery (?:time|takes|is)|\bshipping"


def _any(words: str) -> re.Pattern[str]:
    """A pattern of whole words; a space in `words` is any space of the text."""
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)")


# One writing: contractions and the log's hasty spelling, then phrases whose "no" or "credit" denies or gives nothing.
_PLAIN = [
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"[‘’`]", "'"), (r"[“”\"]", ""), (r"\b(?:can't|cant|can not)\b", "cannot"),
        (r"\bwo(?:n't|nt)\b", "will not"),
        (r"\b(do|does|did|is|are|was|were|has|have|had|could|would|should)(?:n't|nt)\b", r"\1 not"),
        (r"\b(?:i'll|ill)\b", "i will"), (r"'ll\b|(?<=\byou)ll\b", " will"),
        (r"'ve\b|(?<=\bi)ve\b|(?<=\bwe)ve\b", " have"), (r"'re\b", " are"), (r"'m\b|(?<=\bi)m\b", " am"),
        (r"\b(it|that|what|here|there)'s\b", r"\1 is"), (r"\bu\b", "you"), (r"\bur\b", "your"),
        (r"\bthat would be\b", "that is"), (r"\bgonna\b", "going to"), (r"\bwanna\b", "want to"), (r"\bcancelation", "cancellation"),
        (r"\bno (?:problem|worries|trouble|doubt|hassle|(?:extra |additional |further )?(?:cost|charge|fee|delay)s?)\b", " "),
        (r"\bwithout (?:any )?(?:extra |further )?(?:cost|charge|fee|delay)s?\b|\bnot only\b|\bnothing to pay\b", " "),
        (r"\b(?:no|not|never) (?:more|later|longer) than\b", "within"), (r"\bcredit card\b", "card"),
        (r"\b(?:that|which|who)(?: \w+){0,2} not (?:be )?\w+(?: yet)?", " "),
        (r"\b(?:rejected|refused|declined|invalid)(?= (?:gift |card )*codes?\b)", "old"),
        (r",? (?:just )?as (?:you )?(?:have )?(?:wish|wished|wanted|asked|requested|hoped)\b", " "),
        (r"\b((?:instead of|rather than)(?: \S+){1,4}?)(?= (?:we|i|you|our|your|the workshop)\b)", r"\1,"),
        (r",\s*(?:namely )?(\$[\d.]+),", r" \1"), (r"\bbest wishes\b|\bkind regards\b|\bhave a (?:nice|good|great|lovely) \w+", " "),
        (r"\b(?:refund|return|credit|cancellation|repair) (?=(?:policy|form|page|terms|rules|period)\b)", ""),
        (r"\b(?:replacement|spare|broken|faulty) parts?\b", "parts"),
    )
]  # fmt: skip
_BREAK = re.compile(
    r"\s*[;:()]\s*|\s+-+\s+|,\s+|\s+(?=(?:but|although|though|however|because|since|so|unless|while|whereas|yet|(?<!see )(?<!check )(?<!know )(?<!ask )if"
    r"|when|once|until(?! \d)|(?<!look )(?<!looks )(?<!looked )(?<!looking )after(?! \d)|before(?! \d)|upon|as soon as|even though|instead of|rather than|without|not (?:a|an|the|as|with)"
    r"|as (?:order|it|we|i|the|you|your|this))\b)"
    r"|\s+and\s+(?=(?:i|we|you|it|they|the|your|our|its|is|are|was|were|has|have|had|will|can|cannot|could|do|does"
    r"|did|am|now|then|therefore|instead|no|not|order|stands|stays|goes|gets|comes|\$?\d\S*)\b)|\s+or\s+(?=(?:i|we|you)\b)"
)

# What a clause speaks of. A weak pattern counts only where no strong one of another act does.
_CARD = r"(?:card|bank|payment|wallet|account)"
_PAID = r"(?:card|bank|payment|wallet)"
_MONEY = r"(?:charge|payment|price|amount|money|debit|sum|every cent|\$[\d.]+)"
_STRONG = {
    "refund": _any(rf"refund\w*|reimburs\w*|repa(?:y|ys|id|ying|yment)|(?:get|have|return\w*) your money|money (?:\S+ ){{0,3}}back|(?:no|any|never) money|cash"
                   rf"|credit\w* (?:\S+ )*?to (?:\S+ ){{0,2}}{_PAID}|credit\w* your (?:\w+ )?{_PAID}|back (?:on|to|onto|into) (?:\S+ ){{0,3}}{_CARD}"),
    "store_credit": _any(rf"credit(?:s|ed|ing)?(?! (?:(?:\S+ )*?to (?:\S+ ){{0,2}}|your (?:\w+ )?){_PAID})"),
    "replacement": _any(r"replac\w+|exchang\w+|swap\w*|substitut\w+"),
    "trace": _any(r"traces?|traced|tracing"),
    "return_label": _any(r"labels?|return slip|prepaid (?:slip|sticker|postage)"),
    "cancel": _any(r"cancel\w*|annul\w*|call\w* off|revok\w+|withdr[ae]wn? (?:\S+ )?(?:order|purchase)|order \d+ (?:\S+ ){0,3}withdrawn|stop\w* (?:\S+ )?(?:order|parcel|shipment)"
                   r"|(?:order|parcel|shipment) (?:\S+ ){0,5}stopped"),
    "repair": _any(r"repair\w*|mend(?:s|ed|ing)?|(?:workshop|technician)s? (?:\S+ ){0,4}(?:restore|take|look|sort|work)\w*"
                   r"|fix(?:es|ed|ing)?(?! (?:this|that|the (?:problem|issue|mistake|mix)))"),
    "new_code": _any(r"(?:new|another|fresh|replacement|second|different|working|replac\w+|reissu\w+) (?:\S+ ){0,7}?codes?"
                     r"|codes? (?:\S+ ){0,6}?(?:replac\w+|reissu\w+|new one|fresh one|another)"),
    "escalate": _any(r"escalat\w+"),
}  # fmt: skip
_SENDS = _any(r"sen[dt]\w*|ship\w*|dispatch\w*|mail\w*|post\w*|pack\w*|goes|leav\w+|on (?:its|the) way|coming|arrang\w+|prepar\w+"
              r"|receiv\w+|get|gets|give\w*|offer\w*|provid\w+|deliver\w*|book\w*|order\w*|put\w*")  # fmt: skip
_ANEW = _any(r"(?:new|another|fresh|right(?! away| now| team| back| here)|correct|proper|identical"
             r"|second|same|ordered|working|intact)"
             r" (?!charge|payment|card|code|label|search|team|trace|of |day|account|method|on |in |with )\w+")  # fmt: skip
_GOT_AWAY = _any(r"carrier|courier|parcel|package|shipment|delivery company|post office|depots?|haulier")
_LOOKS = _any(r"search\w*|investigat\w+|look\w* for|locat\w+|track\w* (?:\S+ ){0,3}down|track down|inquir\w+|enquir\w+|hunt\w*")
_PEOPLE = _any(r"(?:safety|claims|legal|care|incident|specialist|product|complaints?|expert|injury) (?:\w+ )?"
               r"(?:team|desk|department)|specialists?|managers?|supervisors?|experts?")  # fmt: skip
_TAKES = _any(r"pass\w*|hand(?:s|ed|ing)?|forward\w*|transferr?\w*|referr?\w*|(?:take|takes|taken|taking|took) (?:\S+ ){0,5}?over"
              r"|look\w* after|handl\w+|in charge|brought in|bring\w* in|assign\w*|with (?:our|the|a)|ha[sv]e? (?:now )?your"
              r"|contact\w* you|touch|deal\w*|care of|charge of|responsible|(?:take|takes|taken|took|taking) on|inform\w*|alert\w*|notif\w*|given your|lies with|receiv\w+|review\w*|respons?\w*|own\w*|went|gone|goes|sen[dt]\w*|brief\w*"
              r"|repl(?:y|ies)")  # fmt: skip
_PAYS = _any(rf"(?:return|revers|giv|send|sent|transfer|cancel|remov)\w* (?:back )?(?:\S+ ){{0,4}}?{_MONEY}"
             rf"|(?:pay|pays|paying|paid) (?:\S+ )?back|{_MONEY} (?:\S+ ){{0,7}}?(?:back|returned|returns|reversed|cancelled|removed)")  # fmt: skip

# How a clause speaks of it.
_LEAD = r"(?:(?:and|but|so|since|because|as|although|though|while|when|that|i|we|am|are|see|know|understand|hear|note|sorry) )*"
_TOLD = re.compile(
    rf"^{_LEAD}you (?:have |had |also |really |now |still |already |only |are |were |would |do )*"
    r"(?:want|ask|request|wish|like|hop|prefer|demand|mention|need(?! not)|expect|said|say|told|writ|wrote|claim|look)"
    r"|\byour (?:\w+ ){0,2}(?:wish|request|demand|question|desire)\b|\brequest for\b|\basking (?:for|to|about)\b"
    r"|\b(?:refund|replacement|cancellation|credit|repair) (?:request|(?:was|has been|is) (?:received|noted))\b|^(?:thank you|thanks) for (?:asking|wanting)"
    r"|^(?:i |we )?(?:am |are )?(?:so |very |really )*sorry (?:that |about |bout |for )?(?:your|the)\b"
)
_RULE = re.compile(
    r"^(?:our |if |when )?(?:customers|agents|items|goods|products|people|buyers|anyone|everyone|returns (?:are|get|earn|can)|defects|parcels)\b"
    r"|\b(?:a|the|our) (?:customer|buyer)s?\b(?!'| (?:\w+ )?(?:team|safety|care|service|manager|specialist))|\bwhenever\b|\banything (?:that|which|you)\b"
    r"|\bother(?:s| customers| shops| people| stores)\b|\b(?:any|every|each) (?:\w+ )?(?:parcel|item|order|customer|case|one|gift card)\b"
)
_DENIES = _any(r"not|no|never|cannot|neither|nor|without|unable|none|nothing|nobody|refus\w+|declin\w+|den(?:y|ied)|reject\w*"
               r"|impossible|instead of|rather than|too late|rul\w+ out|out of the question|past the|ended|finished|off the table|(?:must|has to|have to) wait"
               r"|(?:is|has|have|was|are) (?:now |already |been )*(?:over|ended|closed|finished)"
               r"|fail\w* to|gave up|given up|unsuccessful\w*")  # fmt: skip
_UNSURE = _any(r"might|may|maybe|perhaps|possib\w+|could|would|hop(?:e|es|ing)|try|tries|trying|consider\w*|whether|look into"
               r"|should(?! (?:\w+ )?(?:see|appear|arrive|reach|show|be))|see if|check\w* (?:if|for|on)|depend\w*|eligible"
               r"|entitled|qualif\w+|apply|appl(?:y|ies)|wants?|wish\w*|choose|choice|options?|prefer\w*|either|let (?:us|me) know"
               r"|can be|could be|to be decided|pending|subject to|usually|normally|sometimes|think|believe|guess|probably"
               r"|asks? (?:us|me)|ask\w* (?:my|our|the|a) \w+ (?:team )?for|recommend\w*|suggest\w*|deserv\w*|see (?:about|what|to)|under review")  # fmt: skip
_YOURSELF = re.compile(
    r"\byou (?:can|may|must|need to|have to|should|will have to|will need to|are able to)\b"
    r"(?! (?:\w+ )?(?:get|have|receive|use|spend|send|return|keep|find|redeem|expect|look|count|be)\b)"
    r"|^(?:please |just |simply |kindly |or )*(?:contact|call|visit|email|request|apply|ask|order (?!\d)|buy|get|go|write|reply|confirm|tell)\b"
    r"|^(?:please |just |or )*(?:send|give|offer|issue|open|start|hand|pass|replace|cancel|escalate|ship|reimburse|book|forward)\b"
    r"(?!.*\blabel)|^(?:please |just |or )*(?:refund|repair|trace|mend|fix|exchange|swap) (?:the|it|this|that|them|your|any|order)\b"
)
_SAYS = re.compile(
    r"\b(?:i|we|am|is|are|was|were|be|been|being|has|had|have|will)\b|\byou (?:\w+ ){0,2}(?:get|receive|find)\b"
    r"|(?<!ne)(?<!inde)(?<!spe)(?<=\w\w)ed\b|\b(?:sent|made|put|given|gone|done|begun|began|paid|got|brought|under way|running)\b"
    r"|\b(?:comes?|came|goes|follows?|returns|becomes?|repairs|searches|receives?|works|takes|leaves|looks|gets|sends|replaces"
    r"|refunds|ships|stands|starts|handles|opens|cancels|traces|mends|fixes|owns|gives|means|shows|lies|sits|stays|holds|lasts?|needs?|reach(?:es)?|arrives?|lands|moves|heads|appears)\b"
    r"|^(?:\w+ ){0,2}(?:send|ship|refund|replac|repair|mend|fix|open|start|trac|cancel|giv|issu|email|pass|hand|escalat|forward)\w*ing\b"
    r"|^(?:please |just |simply |to )*(?:use|return|send|post|mail|put)\b.*\blabel"
)
_CONDITION = re.compile(r"^(?:if|unless|in case|provided|should you|whether|only if)\b")
_BENIGN = _any(r"questions?|unclear|anything|help|else|return\w*|back|arriv\w*|reach\w*|post|label")
_REVIEW = re.compile(r"^(?:once|when|as soon as|until|after)\b.*\b(?:confirm|approv|review|decid|inspect|verif|agree|pay\b|buy)")

# What must not be promised, form, products.
_EXTRAS = _any(r"vouchers?|coupons?|discount\w*|\d+ ?%|percent|goodwill|compensat\w*|bonus\w*|gifts?(?! cards?)|free (?:shipping|delivery"
               r"|month)|next (?:order|purchase)|points|freebies?|surprise|cash ?back|(?:make|making) it up|extra (?:credit|money)|medical|expenses"
               r"|on (?:the house|top)|for your (?:trouble|troubles|pain|time)|damages|% off")  # fmt: skip
_BLAME = _any(r"our (?:own |sole )?(?:fault|mistake|error|negligence|responsibility)|liab\w+|to blame|at fault|(?:we|i|shop|company) (?:are|am|is) (?:\w+ )?responsible"
              r"|(?:admit|accept|take|tak|acknowledg|assum)\w* (?:\w+ ){0,3}(?:fault|responsib\w+|blame|guilt)|negligen\w+|careless"
              r"|should (?:not|never) have|(?:was|is|were) (?:clearly )?(?:defective|faulty|unsafe|dangerous)|we (?:caused|hurt|injured)"
              r"|(?:bad|faulty|unsafe|defective|poor) (?:design|product|part|batch|item)|(?:our|the) (?:defective|faulty|unsafe|dangerous) \w+|blame|fault(?! report)|guilty?")  # fmt: skip
_ARRIVES = _any(r"arriv\w*|deliver\w*|reach\w*|with you|door|have (?:your|the|it)|get it|be there|there|here|lands?|comes?|expect|receive")
_DAY = _any(r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?|tomorrow|tonight|today|\d{1,2}(?:st|nd|rd|th)|weekend|next week|this week"
            r"|(?:january|february|march|april|june|july|august|september|october|november|december)(?: \d+)?")  # fmt: skip
_NUMBER = rf"(\d+|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_QUANTITY = re.compile(
    rf"\b(?:{_NUMBER} ?(?:to|-|or|and) ?)?{_NUMBER}[ -](?:full |calendar )?(working |business )?(day|week|month|year|hour)s?\b"
)
_LEAK = re.compile(
    r"\bpolicy ?:|<\||\b(?:system|user|assistant|agent|customer) ?:|you are the support agent|reply in one or two|follow the policy"
    r"|promise nothing|must_not|, delivered \d+ days ago|no open order|[{}\[\]<>|]|^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE
)  # fmt: skip
_SALAD = re.compile(  # neighbours that no sentence has
    r"\b(?:a|an|the|your|our|my) (?:(?:a|an|the|your|our|my|i|we|you|he|she|they|it|to|of|for|in|on|at|by|from|with|and|or|but|is|are"
    r"|was|were|be|been|has|have|had|will|am|so|as|if)(?![\w-])|$)|\b(?:a|an|the|your|our|my)[.,;!?]"
    r"|\b(?:of|from|into) (?:is|are|was|were|am|has|have|had|will|and|or|but|be|been|of|to|i|we|he|she|they|for)\b"
    r"|\b(?:for|with|to) (?:for|of|to)\b|(?<!\bi )\bam\b|\b(?:is|are|was|were) (?:am|is|are|was|were|i|will|has|have|had)\b"
    r"|\b(?:i|we) (?:you|the|a|an|your|of|for|to|with|is|in|on|at|and|it|our|my|i|we)\b"
)
_HANGING = set(
    "a an the to of for and or but with your our my in on at by from is are was will be been has have had we i not as that this"
    " it's its if when so because since new another prepaid correct brand store shop gift please can would under into than which"
    " who their his her these dear refunding after before until once because while original duplicate being just takes makes receive get order sending shipping replacing repairing opening starting issuing cancelling".split()
)
_GLUE = _HANGING | set("it me us they he she there here no do does did am after before once until while up out back now all just within usually only very up per these those through under no yes oh over again also".split()) - {"order", "receive"}
_PRODUCT = re.compile(
    r"(?<!on )(?<!by )(?<!over )(?<!around )\b(?:your|the|this|that|an?|new|another|right|correct|replacement|fresh|second|of) (?:[a-z]+ )?("
    + "|".join((
    "fryer purifier monitor sander speaker stove opener fan grinder drill lamp grill kettle shaver toothbrush espresso bike chair"
    " processor keyboard hose glue dryer blender vacuum trimmer scooter sharpener laptop mower blower helicopter heater mill charger"
    " cooker washer radiator robot rowing sewing skateboard mixer iron toaster toy treadmill waffle clock mouse jigsaw knife jug"
    " phone tablet camera headphones television tv printer router sofa desk mattress pillow blanket towel curtain carpet"
    " rug mirror vase tent backpack suitcase umbrella bottle pan pot oven microwave fridge freezer dishwasher sweater"
    " shirt shoes jacket dress puzzle doll guitar piano drone telescope thermometer humidifier juicer hammer screwdriver"
    " ladder wheelbarrow barbecue hammock candle teapot mug headset projector microphone violin binoculars trampoline dumbbell").split())
    + r")\b"
)
_MIXED_UP = _any(r"wrong|instead|other|different|mix(?:ed|-up| up)|received|got")
_KINDS = _any(r"(desk|floor|table|ceiling|tower|wall|alarm|robot|handheld|patio|space|oil|espresso|coffee|rowing|sewing|bread|rice"
              r"|pressure|stand|hand|food|air|gift|pepper|salt|steam|kitchen|bathroom|power|hair|leaf|lawn|hedge|belt|bench|garden|toy)"
              r" (lamp|fan|clock|vacuum|heater|machine|knife|cooker|washer|mixer|blender|processor|fryer|purifier|mill|iron|scale"
              r"|bank|card|dryer|blower|mower|trimmer|sander|hose|grinder|radiator|train|robot|car)")  # fmt: skip


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
        context: the row: resolution, allowed, must_not_promise, question_kind, facts; `messages` or `prompt`, where
            present, show which policy lines were copied.
    Raises:
        RewardError: a column or fact is missing.
    """
    _check_row(context)
    text = _plain(answer)
    frames = list(_frames(text, context["facts"]["item"].lower()))
    checks: tuple[Callable[[str, list[Frame], Mapping[str, Any]], Iterator[str]], ...] = (
        _form, _numbers, _products, _promises, _figure if context["resolution"] == "answer" else _resolution,
    )  # fmt: skip
    form = tuple(_layout(answer, context))
    return form + tuple(dict.fromkeys(reason for check in checks for reason in check(text, frames, context)))


def _check_row(context: Mapping[str, Any]) -> None:
    missing = [name for name in _COLUMNS if name not in context]
    missing += [f"facts.{name}" for name in ("order", "item", "amount") if name not in context.get("facts", {})]
    kind = context.get("question_kind")
    if not missing and context["resolution"] == "answer":
        missing = ["question_kind"] if kind not in _FIGURES else []
        missing += [f"facts.{_FIGURES[kind][0]}"] if kind in _FIGURES and _FIGURES[kind][0] not in context["facts"] else []
    if missing:
        raise RewardError(
            f"`audit_ticket` finds no usable column {', '.join(missing)} in the row: it reads the bundled support tickets; "
            "keep these columns in the data file, or choose a verifier that fits your rows"
        )


def _plain(text: str) -> str:
    text = text.lower()
    for pattern, plain in _PLAIN:
        text = pattern.sub(plain, text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def _frames(text: str, item: str) -> Iterator[Frame]:
    """The clauses of a reply; a verbless fragment shares the mood of the clause that it hangs on."""
    for sentence in _sentences(text):
        aside = re.sub(rf",\s*((?:your|the|a|an|namely the) {re.escape(item)}),", r" \1", sentence)
        clauses = [clause for clause in _BREAK.split(aside.strip(" .!?")) if clause]
        asked = sentence.endswith("?") or len(sentence.split()) < 3 or any(map(_conditional, clauses))
        mood = "bare"
        for clause in clauses:
            turns = mood == "denied" and re.match(r"(?:but|however|yet|so|instead|which means)\b(?! of)", clause)
            mood = _mood(clause, "bare" if turns else mood)
            yield Frame(clause, _acts(clause, item), "asked" if asked and mood in ("given", "rule") else mood)


def _conditional(clause: str) -> bool:
    return bool((_CONDITION.match(clause) and not _BENIGN.search(clause)) or _REVIEW.match(clause))


def _mood(clause: str, before: str) -> str:
    ordered = (("told", _TOLD), ("denied", _DENIES), ("rule", _RULE), ("asked", _UNSURE), ("asked", _YOURSELF), ("given", _SAYS))
    return next((mood for mood, pattern in ordered if pattern.search(clause)), before)


def _acts(clause: str, item: str) -> frozenset[str]:
    acts = {act for act, pattern in _STRONG.items() if pattern.search(clause)}
    if _PEOPLE.search(clause) and _TAKES.search(clause):
        acts.add("escalate")
    if _LOOKS.search(clause) and _GOT_AWAY.search(clause):
        acts.add("trace")
    if re.search(r"\bcodes?\b", clause):  # a code is replaced, cancelled or withdrawn: nothing else is
        acts -= {"replacement", "cancel"}
    if re.search(r"\b(?:charge|payment|debit)s?\b", clause) and "cancel" in acts:
        acts = acts - {"cancel"} | {"refund"}
    return frozenset(acts or _weak_acts(clause, item))


def _weak_acts(clause: str, item: str) -> set[str]:
    if _PAYS.search(clause):
        return {"refund"}
    ships = rf"\b(?:i|we)\b.*\b(?:sen[dt]|ship|dispatch|mail|post)\w*\b(?!.*\b(?:back|us)\b).*\b{re.escape(item)}\b"
    again = _SENDS.search(clause) and _ANEW.search(clause) and not re.search(r"\bcodes?\b", clause)
    out = rf"(?=.*\b{re.escape(item)}\b)(?=.*\b(?:ordered|chose|picked|bought)\b).*\b(?:goes|going|ships|shipped|sent|now on its way|leaves)\b"
    passive = rf"\b{re.escape(item)}\b(?: from order \d+)? (?:is(?: now)? being|will be) (?:shipped|sent|dispatched|posted|mailed)\b(?!.*\bback\b)"
    return {"replacement"} if again or any(re.search(way, clause) for way in (ships, out, passive)) else set()


def _resolution(text: str, frames: list[Frame], context: Mapping[str, Any]) -> Iterator[str]:
    right, fine = context["resolution"], {context["resolution"], *context["allowed"]}
    given = {act for frame in frames if frame.mood == "given" for act in frame.acts}
    if right not in given:
        yield f"the reply does not give the right resolution, {right}"
    elif any(right in f.acts and f.mood == "denied" and not re.match("until|while|before", f.words) for f in frames):
        yield f"the reply both gives and denies {right}"
    for act in sorted({act for f in frames if f.mood in ("given", "asked", "bare") for act in f.acts} - fine):
        yield f"the reply also speaks of {act}, without denying it"
    if any(right in frame.acts and frame.mood == "asked" for frame in frames) and right not in given:
        yield f"the reply only asks for or considers {right}"
    both = re.compile(r"\b(?:both|all|first) (?:of )?(?:the |your )?(?:two )?(?:charge|payment)s?\b(?<!of both payments)")
    if any("refund" in frame.acts and frame.mood == "given" and both.search(frame.words) for frame in frames):
        yield "more than the second charge is refunded"


def _promises(text: str, frames: list[Frame], context: Mapping[str, Any]) -> Iterator[str]:
    forbidden = context["must_not_promise"]
    for frame in frames:
        if frame.mood in ("denied", "told"):
            continue
        extras = re.sub(r"\b(?:gift )?vouchers? codes?", "code", frame.words)
        if _EXTRAS.search(extras):
            yield f"compensation is promised: {frame.words!r}"
        if "fault" in forbidden and _BLAME.search(frame.words):
            yield f"fault is admitted: {frame.words!r}"
    for sentence in _sentences(text) if "delivery_date" in forbidden else ():
        if _dated(sentence, spans=context["resolution"] != "answer"):
            yield f"a day of delivery is promised: {sentence!r}"


def _dated(sentence: str, *, spans: bool) -> bool:
    """Whether a sentence names the day on which something arrives."""
    clause = re.sub(r"delivery company|delivery service|here is|there is", " ", sentence)
    if not _ARRIVES.search(clause) or re.search(r"\bago\b", clause) or re.search(r"\b(?:not|never|cannot|no)\b", clause):
        return False
    span = spans and re.search(r"\b(?:in|within|takes?) (?:\S+ ){0,3}(?:days?|hours?|weeks?)\b", clause)
    return bool(_DAY.search(clause)) or bool(span and not re.search(r"refund|money|credit|payment|\$", clause))


def _numbers(text: str, frames: list[Frame], context: Mapping[str, Any]) -> Iterator[str]:
    facts = context["facts"]
    amount = float(str(facts["amount"]).replace("$", "").replace(",", ""))
    money = re.compile(r"\$ ?(\d[\d,]*(?:\.\d+)?)|\b(\d[\d,]*\.\d+)\b|\b(\d[\d,]*) (?:dollars|usd)\b")
    for found in money.finditer(text):
        if float(next(group for group in found.groups() if group).replace(",", "")) != amount:
            yield f"a wrong amount of money: {found[0]}"
    rest = money.sub(" ", text)
    for number in re.findall(r"\b\d{4,}\b|(?<=order )\d+|(?<=number )\d+|(?<=#)\d+", rest):
        if number != str(facts["order"]):
            yield f"a number that is not this order's: {number}"


def _products(text: str, frames: list[Frame], context: Mapping[str, Any]) -> Iterator[str]:
    item = set(context["facts"]["item"].lower().split())
    for frame in frames if context["resolution"] != "answer" else ():
        if not frame.acts and _MIXED_UP.search(frame.words):
            continue
        other = [word for word in _PRODUCT.findall(frame.words) if word not in item]
        other += [f"{kind} {head}" for kind, head in _KINDS.findall(frame.words) if not {kind, head} <= item]
        if other:
            yield f"another product than the {context['facts']['item']}: {other[0]}"


def _figure(text: str, frames: list[Frame], context: Mapping[str, Any]) -> Iterator[str]:
    fact, unit, topic, rules = _FIGURES[context["question_kind"]]
    said = [(quantity, frame) for frame in frames for quantity in _quantities(frame.words)]
    if not said:
        yield "the figure asked for is not stated"
    for (value, of), frame in said:
        if (value, of) != (context["facts"][fact], unit):
            yield f"a wrong figure or unit: {value} {of}s"
        elif not _states(frame):
            yield f"the figure is not stated as such: {frame.words!r}"
    if not re.search(topic, text) and re.search(_TOPICS, text):
        yield "the figure is of something else than was asked"
    for act in sorted({act for f in frames if f.mood in ("given", "asked", "bare") for act in f.acts} - set(rules.split())):
        yield f"a question is answered with {act}"
    if re.search(r"\b(?:have|has|am|are|been) (?:\w+ )?(?:refund|replac|repair)(?:ed|ing)\b|\byour refund\b|\brefund\w* (?:your |the )?order", text):
        yield "a question is answered with an action"


def _states(frame: Frame) -> bool:
    """Whether a clause states its figure as the limit: neither denied, hedged, told, nor turned round."""
    late = re.search(r"\b(?:after|beyond|over|more than|longer than|later than|past) (?:the )?\S+ (?:working |business )?\w+", frame.words)
    ends = re.search(r"expire|end|close|lapse|run out|stop|credit|invalid", frame.words)
    vague = re.search(r"\b(?:at least|about|around|roughly|approximately|or so|less than|fewer than|under|nearly|almost|maybe|perhaps"
                      r"|might|probably|i think|could|should|would|between)\b(?! (?:our|the|your|warranty))", frame.words)  # fmt: skip
    told = frame.mood == "told" or (frame.mood == "asked" and not re.search(r"\b(?:may|can be|usually|normally|you can|possible)\b", frame.words))
    return not vague and not told and bool(late) == bool(frame.mood == "denied" or (late and ends))


def _quantities(words: str) -> Iterator[tuple[int, str]]:
    """The spans of time of a clause; years count as months and weeks as days, a range is two."""
    scale = {"year": (12, "month"), "week": (7, "day")}
    for first, second, working, unit in _QUANTITY.findall(re.sub(r"\bday (\d+)\b", r"\1 days", words)):
        for word in filter(None, (first, second)):
            times, of = scale.get(unit, (1, unit))
            value = int(word) if word.isdigit() else _NUMBERS[word]
            yield value * times, "working day" if working and unit == "day" else of


def _layout(answer: str, context: Mapping[str, Any]) -> Iterator[str]:
    """Lines, leaks and copied policy, on the text as it was written."""
    if _LEAK.search(answer.lower()):
        yield "a list, a placeholder, or text of the prompt"
    said = " ".join(answer.lower().split())
    messages = context.get("messages") or context.get("prompt") or ()
    system = [m["content"] for m in messages if m["role"] == "system"] if not isinstance(messages, str) else [messages]
    lines = [line.strip(" -.\n").lower() for text in system for line in text.split("\n") if line.startswith("- ")]
    if any(len(line.split()) > 3 and line in said for line in lines):
        yield "a line of the policy is copied"


def _form(text: str, frames: list[Frame], context: Mapping[str, Any]) -> Iterator[str]:
    words = re.findall(r"[\w$'%.-]*\w", text)
    if len(words) < 3:
        yield "empty, or a bare keyword"
        return
    if len(words) > MAX_WORDS:
        yield f"more than {MAX_WORDS} words"
    fives = [" ".join(words[i : i + 5]) for i in range(len(words) - 4)]
    threes = [" ".join(words[i : i + 3]) for i in range(len(words) - 2)]
    thrice = any(threes.count(three) > 2 for three in threes) or re.search(r"\b(\w+)(?:\W+\1\b){2,}", text)
    if len(set(fives)) < len(fives) or thrice or re.search(r"\b([a-z]+) \1\b(?<!that that)(?<!had had)", text):
        yield "the reply repeats itself"
    if sum(word in _GLUE for word in words) < 0.12 * len(words) or _SALAD.search(text):
        yield "a pile of words, not a sentence"
    last, stops = words[-1], text[-1] in ".!?)" or text.endswith(str(context["facts"].get("shop", ".")).lower())
    cut = not stops and any(part.startswith(last) for part in context["facts"]["item"].lower().split()[:-1])
    cut |= not stops and (head := context["facts"]["item"].lower().split()[-1]) != last and head.startswith(last)
    if text[-1] in ",:;-(" or (not stops and last in _HANGING) or cut:
        yield "the reply stops in the middle"
