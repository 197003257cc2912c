"""Plain text measures that the criteria share: words, clauses, negation, substance, numbers.

Lexical and English: nothing here understands a sentence. Other languages and scripts pass through without
an error but find few of the cues.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_CLAUSE_END = re.compile(
    r"[,;:]\s|[()]|\s[-\u2013\u2014]\s|\u2014|\b(?:but|however|although|though|instead)\b", re.IGNORECASE
)
_NEGATION = re.compile(
    r"\b(?:not(?! (?:only|to worry|worry|hesitate)\b)|[a-z]+n't(?! (?:worry|hesitate)\b)|never|cannot|unable"
    r"|refuse|refuses|decline|declined|neither|nor|cant|wont|dont|didnt|isnt|hasnt|havent|couldnt|wouldnt)\b"
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")
_IDENTIFIER = re.compile(r"#?[a-z0-9]+(?:-[a-z0-9]+)*")
_SUFFIXES = (
    *("ations", "ation", "ments", "ment", "ings", "ing", "ies", "ied"),
    *("ers", "er", "ed", "es", "ly", "e", "y", "s"),
)


def word_set(listed: str, form: Callable[[str], str] = str) -> frozenset[str]:
    """Return the words of a blank-separated list, each through `form`."""
    return frozenset(map(form, listed.split()))


# Words that hold English prose together; a pile of keywords has long runs without them.
_GLUE = word_set(
    """
    a an the your my our their his her its this that these those to for of in on at by with from as and or
    but if so is are was were be been has have had it not we i'm i've i'll we've we'll we're you're you'll
    it's it'll that's there's they're don't can't into about
    """
)
_LOOSE_RUN = 8  # words in a row without glue
_LONG = 16  # words from which one alone should not rule
_LIST_ITEM = 3  # words of what may be an item of a list

STOPWORDS = _GLUE | word_set(
    """
    i you me us he she they them who what when where which why how do does did done am will would can
    could should may might must shall just very really also too then than there here any some all no yes
    please thank thanks hello hi hey dear sorry help want need like get got let know make out up off over
    after before again more most much many only now still
    """
)


def normalize(text: str) -> str:
    """Lower the case, unify the forms of a character and its apostrophes, drop what is invisible."""
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).replace("\u2019", "'").lower()


def words(text: str) -> list[str]:
    """Split into normalised words: "I've sent #12." -> ["i've", "sent", "12"]."""
    return _WORD.findall(normalize(text))


def sentences(text: str) -> list[str]:
    """Split into the sentences and lines that hold a word, as written."""
    return [part for part in _SENTENCE_END.split(text) if _WORD.search(part)]


def clauses(sentence: str) -> list[str]:
    """Split a sentence into clauses, each as normalised words joined by spaces."""
    return [" ".join(found) for part in _CLAUSE_END.split(sentence) if (found := words(part))]


def negated(text: str) -> bool:
    """Whether a negating word ("not", "can't", "unable", ...) stands in a normalised text."""
    return _NEGATION.search(text) is not None


def stem(word: str) -> str:
    """Cut to a crude English stem of at most six letters: "cancelled" and "cancellation" agree."""
    word = word.removesuffix("'s")
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word.removesuffix(suffix)
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word[:6]


def content_stems(text: str) -> set[str]:
    """Return the stems of the words that carry meaning; numbers stay whole."""
    return {word if word.isdigit() else stem(word) for word in words(text) if word not in STOPWORDS}


def substance(prompt: str, response: str) -> float:
    """Say how far a response is prose of its own, in [0, 1].

    0 if empty, repetitive, a copy of the prompt or loose keywords: the product of how many word triples are
    distinct (0 at 40 %, 1 at 80 %; single words in a reply of up to five), how little of a longer one is one
    word (0 at 40 %, 1 at 25 %), `own_words`, and the share of words outside long runs and lists without an
    article, preposition or other function word. Ordinary English scores 1.
    """
    tokens = words(response)
    if not tokens:
        return 0.0
    grams = _ngrams(tokens, 3 if len(tokens) > 5 else 1)
    distinct = len(set(grams)) / len(grams)
    commonest = max(Counter(tokens).values()) / len(tokens) if len(tokens) >= _LONG else 0.0
    varied = _ramp(distinct, 0.4, 0.8) * _ramp(1 - commonest, 0.6, 0.75)
    return varied * own_words(prompt, response) * _prose(response)


def own_words(prompt: str, response: str) -> float:
    """Return 0 if all word triples of a response (or it is empty) are the prompt's, 1 if at most half are."""
    tokens = words(response)
    size = min(3, len(tokens))
    asked, triples = set(_ngrams(words(prompt), size)), _ngrams(tokens, size)
    return _ramp(sum(triple not in asked for triple in triples) / len(triples), 0.1, 0.5) if tokens else 0.0


def _prose(response: str) -> float:
    """Share of words outside long runs without a function word."""
    total = loose = 0
    for part in _unlisted(response):
        for is_glue, run in groupby(part.split(), _GLUE.__contains__):
            length = len(list(run))
            total += length
            loose += length if not is_glue and length >= _LOOSE_RUN else 0
    return 1.0 - loose / total if total else 0.0


def _unlisted(response: str) -> Iterator[str]:
    """The clauses; short ones in a row are one, so that commas and full stops make no prose of keywords."""
    every = [clause for sentence in sentences(response) for clause in clauses(sentence)]
    for short, run in groupby(every, lambda clause: len(clause.split()) <= _LIST_ITEM):
        parts = list(run)
        yield from [" ".join(parts)] if short else parts


def _ngrams(tokens: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def numbers(text: str) -> set[str]:
    """Find the numbers of a text, without thousands separators: "$1,250.00" -> {"1250"}."""
    return {re.sub(r"\.0+$", "", _THOUSANDS.sub("", n)) for n in _NUMBER.findall(normalize(text))}


def identifiers(text: str) -> set[str]:
    """Find what looks like an order number, phone number or code, as digits: "#12", "1045", "ORD-104"."""
    found = set()
    for token in _IDENTIFIER.findall(normalize(text)):
        digits = re.sub(r"\D", "", token)
        fewest = 1 if token[0] == "#" else 3 if token[0].isalpha() else 4
        if len(digits) >= fewest:
            found.add(digits)
    return found


def known_text(prompt: str, context: Mapping[str, Any]) -> str:
    """Join everything that the prompt and the context state."""
    return "\n".join([prompt, *_leaves(context)])


def texts(value: object) -> list[str]:
    """Read a context entry as phrases: a string, a number, a list, or a mapping's values."""
    return [text for text in _leaves(value) if text.strip()]


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _leaves(item)
    elif value is not None:
        yield str(value)


def find_phrase(phrase: str, clause: str) -> int:
    """Find where the words of `phrase` begin in `clause` (joined words), inflections aside; -1 if nowhere."""
    wanted, found = [stem(word) for word in words(phrase)], clause.split()
    stems = [stem(word) for word in found]
    for i in range(len(stems) - len(wanted) + 1):
        if wanted and stems[i : i + len(wanted)] == wanted:
            return len(" ".join(found[:i]))
    return -1
