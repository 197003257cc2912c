"""Whether a sentence tells the customer something that can be acted on: what, when, where, how much.

Lexical and English. A reply that helps names things which neither the message nor politeness holds: a day, an
hour, an amount, an attachment, a button. "Everything has been processed" names none.
"""

from __future__ import annotations

import re

from stateset.rl.rewards.text import STOPWORDS, stem, word_set, words

_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_MONTH = (
    r"(?:january|february|march|april|(?<=in )may|(?<=\d )may|june|july|august|september|october|november|"
    r"december)"
)
_COUNT = r"(?:\d+(?:[.,]\d+)?|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve)"
_UNIT = r"(?:minutes?|hours?|(?:working |business )?days?|weeks?|months?|years?|euros?|dollars?|points?|%)"
_UNIT_WORD = re.compile(_UNIT)
DETAIL = re.compile(
    rf"\b(?:{_WEEKDAY}|{_MONTH}|today|tonight|tomorrow|this (?:minute|morning|afternoon|evening)|noon|"
    rf"(?:next|last|this) (?:week|month|year|spring|summer|autumn|winter|{_MONTH})|"
    rf"(?:{_COUNT} (?:or|to) )?{_COUNT} {_UNIT}|\d+(?::\d\d)? ?(?:am|pm)|(?:the )?\d+(?:st|nd|rd|th)|"
    rf"(?:within|in) the hour|an hour ago|a moment ago|same day)\b|[$€£] ?\d|\b\d+[.,]\d\d\b"
)
AT_HAND = re.compile(  # what lies in the customer's hands with the reply
    r"\b(?:attached|enclosed)\b|\b(?:in|to) your (?:inbox|e-?mail|mailbox|account)\b|"
    r"\b(?:on|back to) your (?:card|paypal|bank)\b|"
    r"\b(?:return|prepaid|shipping) label\b|\b[a-z0-9-]+\.(?:com|org|net)/|"
    r"(?<!\w)['‘“\"][A-Za-z][^'’”\"]{2,25}['’”\"](?!\w)"
)
SLOT = re.compile(
    r"\[[A-Za-z_ ]+\]|\{+[A-Za-z_ ]+\}+|<+[A-Za-z_ ]+>+|"
    r"\((?:subject|number|product|result|name|appropriate)[^)]*\)"
)
ELSEWHERE = re.compile(  # sends the customer away
    r"\b(?:contact|call|e-?mail|write to|get in touch with|reach out to|ask|visit)\b (?:\w+ ){0,3}?"
    r"(?:support|help ?desk|service|team|colleagues|department|us)\b"
)
RETOLD = re.compile(  # gives the customer's own message back
    r"^(?:so |well |now |and |oh no )?(?:(?:i|we) (?:can |also |do |fully |completely )*"
    r"(?:see|understand|hear|read|gather|note|know)(?: that| how| why| you)|"
    r"you (?!can|may|will|get|should|need|could|only|just|must|are (?:covered|entitled|right)))\b"
)
HEDGED = re.compile(r"\b(?:might|could|perhaps|possibly|maybe|would)\b")
EVENT = re.compile(
    r"\b(?:ships?|leaves?|left|arrives?|goes|went|comes?|lands?|collects?|picks? (?:it |them )?up|swaps?|"
    r"rings?|phones?|calls?|covers?|covered|lasts?|drops? off|resumes?|starts?|ends?|ended|shows?|reaches|"
    r"works?|holds?|takes?|costs?|runs?|expires?|expired|replies|reply|credits?|releases?|makes?|begins?|"
    r"appears?|due|valid|on hold|set aside|sold out|available|until|waiting)\b"
)
_FILLER = STOPWORDS | word_set(
    """
    issue issues matter case cases problem problems request requests concern concerns situation inquiry
    enquiry thing things question questions everything anything nothing something experience need needs
    successfully fully completely finally properly kindly gladly happily personally immediately absolutely
    everyone people customer customers team service support company process step steps way side end part
    details information best care attention conclusion
    processed completed complete confirmed confirm checked updated arranged handled dealt addressed sorted
    sort done closed settled finalised finalized approved resolved resolve taken take actioned performed
    reviewed verified secured guaranteed scheduled created generated noted helped assist assisted fixed
    """
)


VAGUE_VERBS = word_set("resolve process fix correct update complete confirm apply arrange", stem)


def specific(prompt: str, clause: str, verb: str) -> bool:
    """Whether a normalised clause says what was done: to something, or just what the prompt asked for.

    "I've cancelled it" does what "please cancel" asks; where the prompt has "cancelled", it only repeats it.
    """
    said = words(prompt)
    asked = verb not in said and stem(verb) in map(stem, said) and stem(verb) not in VAGUE_VERBS
    return asked or any(
        word not in _FILLER and stem(word) != stem(verb) and (len(word) > 2 or word.isdigit())
        for word in words(clause)
    )


def news(prompt: str, sentence: str) -> bool:
    """Whether a sentence has a detail that the prompt does not have, or hands something over."""
    known = {word for word in words(prompt) if any(map(str.isdigit, word)) or word not in STOPWORDS}
    told = [set(words(match.group())) - STOPWORDS for match in DETAIL.finditer(sentence.lower())]
    fresh = any({word for word in one if not _UNIT_WORD.fullmatch(word)} - known or not one for one in told)
    return fresh or bool(AT_HAND.search(sentence))
