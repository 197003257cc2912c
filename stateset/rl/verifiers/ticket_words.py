r"""The words by which `ticket_audit` reads a clause: shop English as patterns, in groups, nothing else.

They were written without the data set's phrase bank. A pattern over several lines is joined without
its indents; a space in it is one space of the text, which `plain` has written in one way before.
"""

from __future__ import annotations

import re

_COUNT = "zero one two three four five six seven eight nine ten eleven twelve"
NUMBERS = {name: value for value, name in enumerate(_COUNT.split())}
NUMBERS |= {"a": 1, "an": 1, "fourteen": 14, "eighteen": 18, "twenty-four": 24, "thirty": 30, "sixty": 60}


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile("".join(line.strip() for line in text.splitlines()))


def _any(text: str) -> re.Pattern[str]:
    """Any of these, as whole words."""
    return _pattern(rf"(?<!\w)(?:{text})(?!\w)")


# Contractions and hasty spelling, written out.
_SPELLINGS = [
    (_pattern(old), new)
    for old, new in (
        (r"[‘’`]", "'"),
        (r"[“”\"]", ""),
        (r"\b(?:can't|cant|can not)\b", "cannot"),
        (r"\bwo(?:n't|nt)\b", "will not"),
        (r"\b(do|does|did|is|are|was|were|has|have|had|could|would|should)(?:n't|nt)\b", r"\1 not"),
        (r"\b(?:i'll|ill)\b", "i will"),
        (r"'ll\b|(?<=\byou)ll\b", " will"),
        (r"'ve\b|(?<=\bi)ve\b|(?<=\bwe)ve\b", " have"),
        (r"'re\b", " are"),
        (r"'m\b|(?<=\bi)m\b", " am"),
        (r"\b(it|that|what|here|there)'s\b", r"\1 is"),
        (r"\b(here|there|that)s\b", r"\1 is"),
        (r"\bits (?=(?:already|now|been|too|still|shipped|gone|not|over|past|store|shop)\b)", "it is "),
        (r"\bu\b", "you"),
        (r"\bur\b", "your"),
    )
]
# Phrases whose "no" or "credit" denies or gives nothing.
_WRITINGS = [
    (_pattern(old), new)
    for old, new in (
        (r"\bnot (?:a|any) (?:problem|trouble|issue|bother|question)\b|\b(?:do )?not (?:to )?worry\b", " "),
        (r"\bwithout (?:a |any )?(?:question|doubt|problem|hesitation|trouble|fuss|ado|fail)s?\b", " "),
        (r"\bno (?:question|issue|bother)\b(?! of)", " "),
        (r"\brefuse (?=(?:the (?:parcel|package|delivery)|delivery|it at)\b)", "turn away "),
        (r"\b(?:as per|per|at|on|upon|by|following) your (?:request|wish)\b", " "),
        (r"\bcredit card\b", "card"),
        (r"\bbrand-new\b", "brand new"),
        (r"\b(carrier|courier|company|team|specialist|manager|workshop),(?= (?:who|which)\b)", r"\1"),
        (r"\bbest wishes\b|\bkind regards\b|\bhave a (?:nice|good|great|lovely) \w+", " "),
        (r"\bno (?:problem|worries|trouble|doubt|hassle)\b|\bnot only\b|\bnothing to pay\b", " "),
        (r"\b(?:no|without(?: any)?) (?:(?:extra|additional|further) )?(?:cost|charge|fee|delay)s?\b", " "),
        (r"\b(?:no|not|never) (?:more|later|longer) than\b", "within"),
        (r"(?<=\w )(?:that|which|who)(?: \w+){0,2} not (?:be )?\w+(?: yet)?", " "),
        (r"\b(?:rejected|refused|declined|invalid)(?= (?:gift |card )*codes?\b)", "old"),
        (r",? (?:just )?as (?:you )?(?:have )?(?:wish|wished|wanted|asked|requested|hoped)\b", " "),
        (
            r"\b((?:instead of|rather than|without)(?: \S+){1,4}?)(?= (?:we|i|you|our|your|the workshop)\b)",
            r"\1,",
        ),
        (r",\s*(?:namely )?(\$[\d.]+),", r" \1"),
        (r"\b(?:refund|return|credit|cancellation|repair) (?=(?:policy|form|page|terms|rules|period)\b)", ""),
        (r"\b(?:replacement|spare|broken|faulty) parts?\b", "parts"),
    )
]


def spelled(text: str) -> str:
    """Lower case, contractions written out, single spaces; line ends stay, and so does every word."""
    text = text.lower()
    for old, new in _SPELLINGS:
        text = old.sub(new, text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


def plain(text: str) -> str:
    """As `spelled`, and in one writing of what denies or gives."""
    text = spelled(text)
    for old, new in _WRITINGS:
        text = old.sub(new, text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


# Where a clause ends: marks, conjunctions, and an "and" that starts a new statement.
BREAK = _pattern(
    r"""\s*[;:()]\s*|\s+-+\s+|,\s+|\s+(?=(?:but|although|though|even though|however|because|since|so|unless
    |while|whereas|yet|(?<!see )(?<!check )(?<!know )(?<!ask )if|when|once|until(?! \d)|before(?! \d)|upon
    |as soon as|(?<!look )(?<!looks )(?<!looked )(?<!looking )after(?! \d)|instead of|rather than|without
    |not (?:a|an|the|as|with)|as (?:order|it|we|i|the|you|your|this))\b)
    |\s+and\s+(?=(?:i|we|you|it|they|the|your|our|its|is|are|was|were|has|have|had|will|can|cannot|could|do
    |does|did|am|now|then|therefore|instead|no|not|order|stands|stays|goes|gets|comes|\$?\d\S*)\b)
    |\s+and\s+(?=an? (?:\w+ ){1,4}(?:is|are|was|has|have|will|goes|ships|leaves|comes|follows)\b)
    |\s+or\s+(?=(?:i|we|you|use)\b)"""
)
TURNS = _pattern(r"(?:but|however|yet|so|instead|which means)\b(?! of)")

# What a clause speaks of. The weak patterns count only in a clause that has no strong one.
_PAID = r"(?:card|bank|payment|wallet|paypal)"
_MONEY = r"(?:charge|payment|price|amount|money|debit|sum|every cent|\$[\d.]+)"
STRONG = {
    "refund": _any(
        rf"""refund\w*|reimburs\w*|repa(?:y|ys|id|ying|yment)|(?:get|have|return\w*) your money
        |money (?:\S+ ){{0,3}}back|\$[\d.]+ back|(?:no|any|never) money|cash
        |credit\w* (?:\S+ )*?to (?:\S+ ){{0,2}}{_PAID}
        |credit\w* your (?:\w+ )?{_PAID}|back (?:on|to|onto|into) (?:\S+ ){{0,3}}(?:account|{_PAID})"""
    ),
    "store_credit": _any(rf"credit(?:s|ed|ing)?(?! (?:(?:\S+ )*?to (?:\S+ ){{0,2}}|your (?:\w+ )?){_PAID})"),
    "replacement": _any(r"replac\w+|exchang\w+|swap\w*|substitut\w+"),
    "trace": _any(r"traces?|traced|tracing"),
    "return_label": _any(r"labels?|return slip|prepaid (?:slip|sticker|postage)"),
    "cancel": _any(
        r"""cancel\w*|annul\w*|call\w* off|revok\w+|withdr[ae]wn? (?:\S+ )?(?:order|purchase)
        |order \d+ (?:\S+ ){0,3}withdrawn|stop\w* (?:\S+ )?(?:order|parcel|shipment)
        |(?:order|parcel|shipment) (?:\S+ ){0,5}stopped"""
    ),
    "repair": _any(
        r"""repair\w*|mend(?:s|ed|ing)?|fix(?:es|ed|ing)?(?! (?:this|that|the (?:problem|issue|mistake|mix)))
        |(?:workshop|technician)s? (?:\S+ ){0,4}(?:restore|take|look|sort|work)\w*"""
    ),
    "new_code": _any(
        r"""(?:new|another|fresh|replacement|second|different|working|replac\w+
        |reissu\w+) (?:\S+ ){0,7}?codes?
        |codes? (?:\S+ ){0,6}?(?:replac\w+|reissu\w+|new one|fresh one|another)"""
    ),
    "escalate": _any(r"escalat\w+"),
}
PAYS = _any(
    rf"""(?:return|revers|giv|send|sent|transfer|cancel|remov)\w* (?:back )?(?:\S+ ){{0,4}}?{_MONEY}
    |(?:pay|pays|paying|paid) (?:\S+ )?back
    |{_MONEY} (?:\S+ ){{0,7}}?(?:back|returned|returns|reversed|cancelled|removed)
    |{_MONEY} (?:was|were|is|are|has|have|had|will|been|be|being|now|also|already| )+
    (?:paid|wired|transferred|remitted|sent)|(?:wir(?:e|es|ed|ing)|remit\w*) (?:\S+ ){{0,4}}?{_MONEY}
    |{_PAID} (?:\S+ ){{0,3}}?(?:get|gets|receive|receives|see|sees) (?:\S+ ){{0,2}}?{_MONEY}
    |{_MONEY} (?:\S+ ){{0,2}}?(?:goes|go|lands?|heads?) (?:\S+ ){{0,2}}?(?:to|on|onto|into)
    [ ](?:\S+ ){{0,2}}?{_PAID}"""
)
SENDS = _any(
    r"""sen[dt]\w*|ship\w*|dispatch\w*|mail\w*|post\w*|pack\w*|goes|leav\w+|on (?:its|the) way|coming
    |arrang\w+
    |prepar\w+|receiv\w+|get|gets|getting|expect|give\w*|offer\w*|provid\w+|deliver\w*|book\w*|order\w*
    |put\w*"""
)
ANEW = _any(
    r"""(?:new|another|fresh|correct|proper|identical|second|same|ordered|working|intact
    |right(?! away| now| team| back| here))
    [ ](?!charge|payment|card|code|label|search|team|trace|day|account|method|order|\d
    |(?:of|on|in|with|from|for|and|it|by)\b)\w+"""
)
SHIPS_IT = (  # {item} stands for the row's item
    r"\b(?:i|we)\b.*\b(?:sen[dt]|ship|dispatch|mail|post)\w*\b(?!.*\b(?:back|us)\b).*\b{item}\b",
    r"(?=.*\b{item}\b)(?=.*\b(?:ordered|chose|picked|bought)\b)"
    r".*\b(?:goes|ships|shipped|sent|now on its way|leaves)\b",
    r"\b{item}\b(?: from order \d+)? (?:is(?: now)? being|will be) "
    r"(?:shipped|sent|dispatched|posted|mailed)\b(?!.* back\b)",
)
CARRIER = _any(r"carrier|courier|parcel|package|shipment|delivery company|post office|depots?|haulier")
LOOKS = _any(
    r"search\w*|investigat\w+|look\w* for|locat\w+|track\w* (?:\S+ ){0,3}down|inquir\w+|enquir\w+|hunt\w*"
)
PEOPLE = _any(
    r"""(?:safety|claims|legal|care|incident|specialist|product|complaints?|expert|injury) (?:\w+ )?(?:team
    |desk|department)|specialists?|managers?|supervisors?|experts?"""
)
TAKES = _any(
    r"""pass\w*|hand(?:s|ed|ing)?|forward\w*|transferr?\w*|referr?\w*|(?:take|takes|taken|taking
    |took) (?:\S+ ){0,5}?over
    |(?:take|takes|taken|taking|took) on|look\w* after|handl\w+|in charge|brought in|bring\w* in|assign\w*
    |brief\w*
    |with (?:our|the|a)|ha[sv]e? (?:now )?your|contact\w* you|touch|deal\w*|care of|charge of|responsible
    |inform\w*|alert\w*|notif\w*|given your|lies with|receiv\w+|review\w*|respons?\w*|owns?
    |(?:went|gone|goes) (?:\S+ )?to
    |(?:sent|send|sending)(?! (?:\S+ ){0,3}(?:greetings|regards|wishes|thanks|apologies))|repl(?:y|ies)"""
)

# How a clause speaks of it; the order of the moods is `ticket_audit`'s.
_LEAD = (
    r"(?:(?:and|but|so|since|because|as|although|though|while|when|that|i|we|am|are"
    r"|see|know|understand|hear|note|sorry) )*"
)
TOLD = _pattern(
    rf"""^{_LEAD}you (?:(?:have|had|also|really|now|still|already|only|are|were|would|do) )*
    (?:want|ask|request|wish|like|hop|prefer|demand|mention|need(?! not)|expect|said|say|told|writ|wrote
    |claim|look)
    |\byour (?:\w+ ){{0,2}}(?:wish|request|demand|question|desire)\b|\brequest for\b|\basking (?:for|to
    |about)\b|\b(?:refund|replacement|cancellation|credit|repair) (?:request|(?:was|has been|is) (?:received
    |noted))\b|^(?:thank you|thanks) for (?:asking|wanting)
    |^(?:i |we )?(?:am |are )?(?:so |very |really )*sorry (?:(?:that|about|bout|for) )?(?:your|the)\b"""
)
ASIDE = _pattern(r"\s+(?:and|so|then)\s+")  # ends what is told of the customer
_GRANTED = r"(?:approv|grant|accept|agreed|honou?r|fulfill?|complet|confirm|process|met|done|paid|successful)"
GRANTS = _pattern(
    rf"""\b(?:request|wish|demand)\b.*\b(?:is|are|was|were|has|have|will|been|be|being) (?:\w+ )?{_GRANTED}
    |\b(?:request|wish|demand)\b.*\b(?:went|goes) through\b
    |\b(?:approv|grant|accept|honou?r|fulfil|meet|agree)\w* (?:to )?(?:your
    |the) (?:\w+ ){{0,2}}(?:request|wish|demand)"""
)
_GIVEN = (
    r"(?:approv|grant|accept|agreed|done|paid|issued|process|complet|arrang|made|fine|ok|yours|under way)"
)
STANDS_FOR = _pattern(  # "it is on its way": what was told of, is given
    rf"""\b(?:it|that|this|which|both|they|these|one|^|and|so)[ ]?(?:(?:is|are|was|were|has|have|had|will|be
    |been|being|now|all|also|just)[ ])+(?:{_GIVEN}|sent|on (?:its|the|their) way|coming|going out|in the post)
    |\b(?:you|we|i)\b (?:\w+ ){{0,2}}(?:get|gets|got|have|receive|sent|send|do|did|done|made|make
    |grant\w*|give|gave)[ ](?:you )?(?:both|it|that|this|them|one|so|exactly that|just that)\b(?! \w+ed\b)
    |^(?:and |so )?(?:got|get|received|granted|approved|done|here (?:it|you)|both)\b"""
)
ON_THE_ROAD = _any(r"already|sent|shipped|dispatched|on (?:its|the|their) way|coming|going out|in the post")
TO_THEM = _any(r"to (?:one(?: of (?:ours|them|these|those))?|them|her|him)|one of (?:ours|them)")
SPECIFIC = _pattern(r"\b\d{4,}\b|\$ ?\d|\byour\b|\bcustomer account\b")
LIKENED = _pattern(  # others, and this order: neither a rule nor a promise
    r"(?=.*\bother(?:s| customers| shops| people| stores)\b).*(?:\b\d{4,}\b|\$ ?\d|\byour\b)"
)
DENIES = _any(
    r"""not|no|never|cannot|neither|nor|without|unable|none|nothing|nobody|refus\w+|declin\w+|den(?:y|ied)
    |reject\w*
    |impossible|instead of|rather than|too late|rul\w+ out|out of the question|off the table|past the|ended
    |finished
    |(?:is|has|have|was|are) (?:now |already |been )*(?:over|closed)|(?:must|has to|have to) wait|fail\w* to
    |gave up|given up|unsuccessful\w*"""
)
RULE = _pattern(
    r"""^(?:our |if |when )?(?:customers|agents|items|goods|products|people|buyers|anyone|everyone|defects
    |parcels|returns (?:are|get|earn|can))\b|\bwhenever\b|\banything (?:that|which|you)\b
    |\b(?:a|the|our) (?:customer|buyer)s?\b(?!'| (?:\w+ )?(?:team|safety|care|service|manager|specialist))
    |\bother(?:s| customers| shops| people| stores)\b
    |\b(?:any|every|each) (?:\w+ )?(?:parcel|item|order|customer|case|one|gift card)\b"""
)
UNSURE = _any(
    r"""might|may|maybe|perhaps|possib\w+|could|would|should(?! (?:\w+ )?(?:see|appear|arrive|reach|show
    |be))|can be
    |hop(?:e|es|ing)|try|tries|trying|consider(?! (?:it|order|your))\w*|whether|look into|see (?:if
    |about|what|to)|check\w* (?:if|for|on)
    |depend\w*|eligible|entitled|deserv\w*|qualif\w+|appl(?:y|ies)|wants?|wish\w*|choose|choice|options?
    |prefer\w*|either
    |let (?:us|me) know|pending|under review|subject to|usually|normally|sometimes|think|believe|guess
    |probably|recommend\w*|suggest\w*|asks? (?:us|me)|ask\w* (?:my|our|the|a) \w+ (?:team )?for"""
)
YOURSELF = _pattern(
    r"""\byou (?:can|may|must|need to|have to|should|will have to|will need to|are able to)\b
    (?! (?:\w+ )?(?:get|have|receive|use|spend|send|return|keep|find|redeem|expect|look|count|be)\b)
    |^(?:(?:please|just|simply|kindly|or) )*(?:contact|call|visit|email|request|apply|ask|order (?!\d)|buy
    |get|go|write
    |reply|confirm|tell)\b|^(?:(?:please|just|or) )*(?:send|give|offer|issue|open|start|hand|pass|replace
    |cancel|escalate
    |ship|reimburse|book|forward)\b(?!.*\blabel)|^(?:(?:please|just|or) )*(?:refund|repair|trace|mend|fix
    |exchange|swap)[ ](?:the|it|this|that|them|your|any|order)\b"""
)
SAYS = _pattern(
    r"""\b(?:i|we|am|is|are|was|were|be|been|being|has|had|have|will)\b|\byou (?:\w+ ){0,2}(?:get|receive
    |find)\b
    |(?<!ne)(?<!inde)(?<!spe)(?<=\w\w)ed\b|\b(?:sent|made|put|given|gone|done|begun|began|paid|got|brought
    |came)\b
    |\b(?:under way|running|comes?|goes|follows?|returns|becomes?|repairs|searches|receives?|works|takes
    |leaves|looks|gets
    |sends|replaces|refunds|ships|stands|starts|handles|opens|cancels|traces|mends|fixes|owns|gives|means
    |shows|lies|sits
    |stays|holds|lasts?|needs?|reach(?:es)?|arrives?|lands|moves|heads|appears)\b|^(?:\w+ ){0,2}(?:send
    |ship|refund|replac
    |repair|mend|fix|open|start|trac|cancel|giv|issu|email|pass|hand|escalat|forward)\w*ing\b
    |^(?:(?:please|just|simply|to) )*(?:use|return|send|post|mail|put)\b.*\blabel"""
)
CONDITION = _pattern(r"^(?:if|unless|in case|provided|should you|whether|only if)\b")
HARMLESS = _any(r"questions?|unclear|anything|help|else|return\w*|back|arriv\w*|reach\w*|post|label")
REVIEW = _pattern(
    r"""^(?:once|when|as soon as|until|after)\b.*
    \b(?:confirm|approv|review|decid|inspect|verif|agree|pay\b|buy)"""
)

# What must not be promised.
EXTRAS = _any(
    r"""vouchers?|coupons?|discount\w*|\d+ ?%|percent|goodwill|compensat\w*|bonus\w*|gifts?(?! cards?)
    |freebies?|surprise
    |free (?:shipping|delivery|month)|next (?:order|purchase)|points|cash ?back|(?:make|making) it up
    |extra (?:credit|money)
    |medical|(?:doctor|hospital|medicine|treatment|pharmacy|lawyer|legal|ambulance)\w*'?s? (?:bill|cost|fee)s?
    |(?:cover|pay|settl|reimburs)\w* (?:\S+ ){0,3}(?:bills?|doctor\w*|hospital|treatment|medicines?|lawyer
    |injur\w+)|expenses|damages|on (?:the house|top)|for your (?:troubles?|pain|time)"""
)
BLAME = _any(
    r"""our (?:own |sole )?(?:fault|mistake|error|negligence|responsibility)|liab\w+|at fault|negligen\w+
    |careless|guilty?|(?:we|i|shop|company) (?:are|am|is) (?:\w+ )?responsible|(?:admit|accept|tak|acknowledg
    |assum)\w* (?:\w+ ){0,3}(?:fault
    |responsib\w+|blame|guilt)|should (?:not|never) have|(?:was|is|were) (?:clearly )?(?:defective|faulty
    |unsafe|dangerous)
    |(?:made|make|making) (?:\S+ ){0,3}(?:mistake|error)s?|(?:we|i) (?:\w+ )?(?:admit|confess)\w*
    |we (?:\w+ )?(?:failed|messed up|got (?:it|this) wrong|did wrong)|(?:mistake|error) (?:\w+ )?(?:of ours
    |on our (?:side|part|end))
    |we (?:caused|hurt|injured)|(?:bad|faulty|unsafe|defective|poor) (?:design|product|part|batch|item)
    |(?:our|the) (?:defective|faulty|unsafe|dangerous) \w+|blame|fault(?! report)"""
)
ARRIVES = _any(
    r"""arriv\w*|deliver\w*(?! (?:company|service))|reach\w*|with you|door|have (?:your|the|it)|get it
    |be there|here|lands?|comes?|expect|receive"""
)
DAY = _any(
    r"""(?:mon|tues|wednes|thurs|fri|satur|sun)days?|tomorrow|tonight|today|\d{1,2}(?:st|nd|rd|th)|weekend
    |next week|this week|january|february|march|april|june|july|august|september|october|november|december
    |(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)\.? \d{1,2}
    |\d{1,2}\.? (?:of )?(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)
    |(?!24/7)\d{1,2}/\d{1,2}(?:/\d+)?|(?<=(?:on|by) )\d{1,2}\.\d{1,2}\.(?:\d+)?"""
)
SPAN = _any(r"(?:in|within|takes?) (?:\S+ ){0,3}(?:days?|hours?|weeks?)")

# Figures of an answer.
_NUMBER = rf"(\d+|{'|'.join(sorted(NUMBERS, key=len, reverse=True))})"
QUANTITY = _pattern(
    rf"""\b(?:{_NUMBER} ?(?:to|-|or|and) ?)?{_NUMBER}[ -](?:(?:full|calendar) )?(working |business )?
    (day|week|month|year|hour)s?\b"""
)
TOPICS = _pattern(r"warrant|guarant|gift card|\breturn|\bdelivery (?:time|takes|is)|\bshipping")
BEYOND = _any(
    r"(?:after|beyond|over|more than|longer than|later than|past) (?:the )?\S+ (?:working |business )?\w+"
)
ENDS = _pattern(r"expire|end|close|lapse|run out|stop|credit|invalid")
VAGUE = _pattern(
    r"""\b(?:at least|about|around|roughly|approximately|or so|less than|fewer than|under|nearly|almost
    |maybe|perhaps|might|probably|i think|could|should|would|between)\b(?! (?:our|the|your|warranty))"""
)
ALLOWED = _any(r"may|can be|usually|normally|you can|possible")
ACTION = _pattern(
    r"""\b(?:have|has|am|are|been) (?:\w+ )?(?:refund|replac|repair)(?:ed|ing)\b|\byour refund\b
    |\brefund\w* (?:your |the )?order"""
)

TWICE = _pattern(  # a refund paid more than once
    r"""\brefund\w*(?: (?!charg|bill|paid|debit|taken|made|book)\S+){0,4} (?:twice|two times|double)\b
    |\b(?:twice|two|double|doubly) (?:\w+ )?refund|\b(?:both|all|first) (?:of )?(?:the |your )?(?:two )?
    (?:charge|payment)s?\b(?<!of both payments)"""
)

# Form.
LEAK = re.compile(
    r"\bpolicy ?:|\b(?:system|user|assistant|agent|customer) ?:|you are the support agent|reply in one or two"
    r"|no open order|follow the policy|promise nothing|must_not|, delivered \d+ days ago"
    r"|[{}\[\]<>|]|^\s*(?:[-*•]|\d+[.)])\s",
    re.MULTILINE,
)
SALAD = _pattern(  # neighbours that no sentence has
    r"""\b(?:a|an|the|your|our|my) (?:(?:a|an|the|your|our|my|i|we|you|he|she|they|it|to|of|for|in|on|at|by
    |from|with|and
    |or|but|is|are|was|were|be|been|has|have|had|will|am|so|as|if)(?![\w-])|$)|\b(?:a|an|the|your|our
    |my)[.,;!?]
    |\b(?:of|from|into) (?:is|are|was|were|am|has|have|had|will|and|or|but|be|been|of|to|i|we|he|she|they
    |for)\b
    |\b(?:for|with|to) (?:for|of|to)\b|(?<!\bi )\bam\b|\b(?:is|are|was|were) (?:am|is|are|was|were|i|will
    |has|have|had)\b|\b(?:i|we) (?:you|the|a|an|your|of|for|to|with|is|in|on|at|and|it|our|my|i|we)\b"""
)
_SMALL = """
    a an the to of for and or but with your our my in on at by from is are was will be been has have had we
    i not as that this it's its if when so because since can would under into than which who their his her
    these after before until once while being just please
"""
_OPEN = """
    new another prepaid correct original duplicate brand store shop gift dear takes makes receive get order
    refunding sending shipping replacing repairing opening starting issuing cancelling
"""
_CLOSED = """
    it me you us they he she there here no do does did am up out back now all within usually only very per
    those through yes oh over again also
"""
HANGING = {*_SMALL.split(), *_OPEN.split()}  # no reply ends with these
GLUE = {*_SMALL.split(), *_CLOSED.split()}  # no sentence does without these

# Products, as far as a reply may name the wrong one.
_HEADS = """
    fryer purifier monitor sander speaker stove opener fan grinder drill lamp grill kettle shaver toothbrush
    espresso bike chair processor keyboard hose glue dryer blender vacuum trimmer scooter sharpener laptop
    mower blower helicopter heater mill charger cooker washer radiator robot rowing sewing skateboard mixer
    iron toaster toy treadmill waffle clock mouse jigsaw knife jug phone tablet camera headphones television
    tv printer router sofa desk mattress pillow blanket towel curtain carpet rug mirror vase tent backpack
    suitcase umbrella bottle pan pot oven microwave fridge freezer dishwasher sweater shirt shoes jacket
    dress puzzle doll guitar piano drone telescope thermometer humidifier juicer hammer screwdriver ladder
    wheelbarrow barbecue hammock candle teapot mug headset projector microphone violin binoculars trampoline
    dumbbell
"""
PRODUCT = _pattern(
    rf"""(?<!on )(?<!by )(?<!over )(?<!around )\b(?:your|the|this|that|an?|new|another|right|correct
    |replacement|fresh|second|of) (?:[a-z]+ )?({"|".join(_HEADS.split())})\b"""
)
KINDS = _any(
    r"""(desk|floor|table|ceiling|tower|wall|alarm|robot|handheld|patio|space|oil|espresso|coffee|rowing
    |sewing|bread|rice
    |pressure|stand|hand|food|air|gift|pepper|salt|steam|kitchen|bathroom|power|hair|leaf|lawn|hedge|belt
    |bench|garden|toy)
    [ ](lamp|fan|clock|vacuum|heater|machine|knife|cooker|washer|mixer|blender|processor|fryer|purifier
    |mill|iron|scale|bank|card|dryer|blower|mower|trimmer|sander|hose|grinder|radiator|train|robot|car)"""
)
MIXED_UP = _any(r"wrong|instead|other|different|mix(?:ed|-up| up)|received|got")
