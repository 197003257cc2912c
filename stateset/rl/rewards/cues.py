"""The English phrases that the criteria look for, matched against clauses of normalised words."""

from __future__ import annotations

import re

from stateset.rl.rewards.text import stem, word_set

_ADVERBS = (
    r"(?:(?:now|just|already|also|gladly|happily|immediately|personally|gone ahead and|going to|today|be) )*"
)
_VERB = r"(?P<verb>[a-z-]+)"

# Clauses that act, each with its verb: done by us, done to the order, promised, explained, offered.
STARTED = re.compile(rf"\b(?:i|we)(?:'ve| have|) {_ADVERBS}{_VERB}")
PASSIVE = re.compile(rf"\b(?:(?:has|have) {_ADVERBS}been|(?:is|are|was|were)(?: being)?) {_ADVERBS}{_VERB}")
COMMITTED = re.compile(rf"\b(?:i|we)(?:'ll| will|'m| am|'re| are) {_ADVERBS}{_VERB}")
TOLD = re.compile(
    r"(?:\b(?:and|then|please|first|next|finally|simply|just|you can|you'll need to|you need to) |^)(?:try )?"
    r"(?P<verb>[a-z]+) (?:[a-z0-9']+ ){0,6}?"
    r"(?:the|your|our|on|to|in|into|under|it|this|a|an|with|from|for|at)\b"
)
SHORT = re.compile(  # "new lamp ordered, ships today", but not what can or may be ordered
    r"^(?:done )?(?:(?!can |may |must )[a-z0-9]+ ){0,3}(?P<verb>[a-z]+ed|sent)\b"
)
OFFERED = re.compile(rf"\b(?:(?:i|we) can|let me|let's|(?:glad|happy) to) {_ADVERBS}{_VERB}")
DEFERRED = re.compile(r"^(?:if|once|when|unless|as soon as|in case)\b")
ACTIONS = word_set(
    """
    refund credit issue process cancel replace reship resend ship dispatch update change correct fix
    resolve reset restore unlock reactivate activate remove reverse waive apply extend upgrade downgrade
    schedule reschedule arrange book order add enable disable generate create escalate forward adjust
    switch merge delete expedite approve send email return exchange deliver repair sent resent
    pause stop end undo void reserve hold put lift pull move post pay swap trigger release hand report file
    debit
    """,
    stem,
)
IRREGULAR_DONE = word_set("sent resent reset")
STEPS = word_set(
    """
    click go open select enter visit log sign use follow reply check tap choose press restart unplug plug
    download install reset scroll type send return print pack drop hold update uninstall turn switch
    disconnect remove navigate copy paste upload fill attach take bring
    put wipe leave stick write answer wash rinse stop show see order keep wrap refuse say tap skip wear
    """,
    stem,
)

# A reply is on topic if it and the prompt have a word of the same line.
TOPICS = tuple(
    word_set(line, stem)
    for line in (
        "package parcel order delivery shipping ship shipment arrive courier tracking track late lost",
        "refund charge bill billing invoice payment pay money card price credit cost fee twice",
        "password login account access reset locked unlock username code authentication",
        "broken damage defective replacement replace return exchange faulty item product wrong missing",
        "cancel subscription plan renew renewal trial membership upgrade downgrade",
        "app website error crash install update device restart bug screen",
    )
)

EMPATHY = (
    re.compile(r"\b(?:sorry|apologi[sz]e|apologies) (?:that|for|about|to hear|you|we|your|this|it)\b.*\w"),
    re.compile(
        r"\b(?:i|we)(?: can|) (?:(?:completely|fully|totally|really|certainly) )?"
        r"(?:understand|see|imagine|appreciate|know) (?:how|that|why|your|you|the|this|what)\b"
        r"|\b(?:must|can) (?:be|have been|feel) (?:\w+ )?"
        r"(?:frustrat|disappoint|stress|upset|annoy|worr|difficult|hard)"
    ),
    re.compile(r"\b(?:thank you|thanks) (?:so much |very much )?(?:for|again)\b|\bappreciate your \w+"),
    re.compile(
        r"\b(?:happy|glad|here|like|love) to (?:help|sort|fix|assist|make|get|take)\b"
        r"|\bmake (?:this|it|things) right\b|\btake care of (?:this|it|that|your)\b"
        r"|\b(?:right|not what) you (?:deserve|expect)"
    ),
)
RUDE = re.compile(
    r"\b(?:stupid|idiots?|idiotic|dumb|moron\w*|shut up|not my problem|all your (?:own )?fault|pathetic"
    r"|damn\w*|crap\w*|fuck\w*|shit\w*|bullshit|asshole\w*|bitch\w*|stop (?:complaining|whining)|calm down"
    r"|i don't care|we don't care|sorry not sorry|who cares)\b"
)
COURTESY = re.compile(
    r"\b(?:please (?!help\b)[a-z]+|thank you|thanks for|you're welcome|happy to|glad to|of course"
    r"|let me|let us know"
    r"|(?:i'm|i am|we're|we are) (?:so |very |truly )?sorry|(?:we|i) apologi[sz]e|my apologies"
    r"|good (?:morning|afternoon|evening))\b"
)
