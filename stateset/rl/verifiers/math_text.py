"""Where the mathematics is in a text: the last answer of a model's prose, the task of a question.

Plain writing ("x^2 - 1", "12 × 7", "sqrt(8)") and LaTeX are brought to one writing. Nothing is evaluated
here: the text is cut into tokens, and whatever is not a token of mathematics ends an expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

MAX_LENGTH = 300  # characters of one expression
MAX_DEPTH = 10  # brackets within brackets
MAX_BESIDE = 8  # different expressions on the line of an answer
_TAIL = 4000  # characters of a response that are read; the last answer counts

_SIGNS = str.maketrans({
    "×": "*", "·": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-", "≈": "=", "≤": "\\le ", "≥": "\\ge ",
    "±": "\\pm ", "π": "\\pi ", "∞": "\\infty ", "²": "^2", "³": "^3",
})  # fmt: skip
_WRITINGS = (  # in this order
    (re.compile(r"(?<!\\)\\(?:left|right|[!;:])|(?<=\d)\{,\}(?=\d{3})|(?<=\d)\\,(?=\d{3})"), ""),
    (re.compile(r"(?<!\\)\\(?:,| |quad\b)|\xa0"), " "),
    (re.compile(r"\\[dt]frac\b"), r"\\frac"),
    (re.compile(r"\\(?:cdot|times)(?![A-Za-z])"), "*"),
    (re.compile(r"\\div(?![A-Za-z])"), "/"),
    (re.compile(r"\\approx(?![A-Za-z])"), "="),
    (re.compile(r"\\text(?:bf)?\{\s*(or|and)\s*\}"), ","),
    (re.compile(r"(?<=[\w)]) ?\*\* ?(?=[\w(-])"), "^"),
    (re.compile(r"\*\*|__(?=\W|$)|`"), " "),  # Markdown
    (re.compile(r"(?<!\d)\d{1,3}(?:,\d{3})+(?!\d)"), lambda found: found[0].replace(",", "")),
    (re.compile(r"(?<=\d)[eE]([+-]?\d{1,4})\b"), r"*10^{\1}"),
    (re.compile(r"(?<=\d)\s*[xX]\s*(?=\d)"), "*"),
    (re.compile(r"(?<![\d/.])(\d+) +(\d+)/(\d+)(?![\d/.])"), r"(\1+\2/\3)"),  # a mixed number
    (re.compile(r"(?<=\d)(\s*\\?%)\s+of\s+(?=[\d(\\$])"), r"\1 * "),
    (re.compile(r"(?<=[\d)])\s*(?<![A-Za-z\\])\\?b?mod\s*(?=[\d(])"), r" \\mod "),
    (re.compile(r"√\s*(\w+)|√(?=\()"), lambda found: f"sqrt({found[1]})" if found[1] else "sqrt"),
    (re.compile(r"(?<![A-Za-z\\])(sin|cos|tan|ln|log|exp|pi)(?![A-Za-z])"), r"\\\1"),
    (re.compile(r"\^\s*\(([^()]*)\)"), r"^{\1}"),
    (re.compile(r"\^\s*(-?\d+)"), r"^{\1}"),
)
_PROSE = "am|an|as|at|be|by|do|go|he|hi|if|in|is|it|me|my|no|of|oh|ok|on|or|so|to|up|us|we"
_TOKEN = re.compile(
    rf"""
      (?P<number>  (?:\d+(?:\.\d+)?|\.\d+)(?!(?:st|nd|rd|th)\b)(?:\s?\\?%)? )
    | (?P<name>    \\(?:begin|end)\{{\w+\}} | \\[A-Za-z]+ | sqrt(?=[({{])
                 | (?<![A-Za-z'])(?!(?i:{_PROSE})\b)[A-Za-z]{{1,2}}(?![A-Za-z'’]) )
    | (?P<open>    [({{\[] | \\\{{ )
    | (?P<close>   [)}}\]!] | \\\}} )
    | (?P<sign>    [-+*/^=<>_|&] )
    | (?P<comma>   [,;] | \\\\ )
    | (?P<other>   \S )
    """,
    re.VERBOSE,
)
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$|\\\[(.+?)\\\]|\\\((.+?)\\\)", re.DOTALL)
_CUE = re.compile(r"####|\banswer\b[^\n.:=]{0,40}?(?:\bis\b|:|=)", re.IGNORECASE)
_NEGATED = re.compile(  # ends right before the value: "is not 4", "can't be the 4", "!= 4"
    r"(?:(?:\b(?:not|never|cannot|neither|nor)\b|n['’]t\b)(?:\s+(?!but\b)[A-Za-z]+){0,3}|≠|\\neq?|!=)"
    r"[\s:$(\[{\\\"'“*]*(?:(?:boxed|fbox)\s*\{)?$",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"\b(?:what(?:\s+is|'s)|how\s+much\s+is|calculate|compute|evaluate|expand|simplify|work\s+out|find|solve"
    r"|is\s+it\s+true\s+that|true\s+or\s+false|is|please|the\s+(?:value|result)\s+of)\b",
    re.IGNORECASE,
)
_SPOKEN = {
    r"\bplus\b": "+",
    r"\bminus\b": "-",
    r"\btimes\b|\bmultiplied\s+by\b": "*",
    r"\bdivided\s+by\b": "/",
}
_EXCLAIMED = re.compile(r"(?<=\d)!+(?=\s*$|\s+[A-Z])")
_BETWEEN = re.compile(r"\s*,\s*(?:(?:and|or)\s+)?|\s+(?:and|or)\s+")
_SIDE_BY_SIDE = re.compile(r"\d\s+\d|\n")
_TRUTH = re.compile(r"(?:(\bnot|n't)\s+)?\b(yes|true|correct|no|false|incorrect|wrong)\b", re.IGNORECASE)


def last_answer(text: str, *, several: bool = False) -> str | None:
    r"""The expression that a response gives as its answer, or None.

    The last `\boxed{...}` wins; then what follows the last "answer is", "answer:" or "####"; then the text as
    a whole, if it is nothing but mathematics; then its last expression (or, with `several`, the last ones,
    where nothing but "and", "or" or a comma is between them).
    """
    return next(iter(last_answers(text, several=several)), None)


def last_answers(text: str, *, several: bool = False) -> list[str]:
    """The last answer, and what else stands on its line after a cue: all of it must have one value.

    Empty without an answer, and where a "not" stands before it.
    """
    text = _tail(text)
    plain = tidy(_EXCLAIMED.sub("", text))
    boxed, start = _boxed(text)
    if boxed and _negated(text[:start]):
        return []
    found = [boxed] if boxed else _after_cue(plain)
    if found is None:
        one = _whole(plain) or _last(plain, several)
        found = [one] if one else []
    kept = [one for one in found if _short(one)]
    return kept if len(kept) == len(found) <= MAX_BESIDE else []


def expressions(text: str) -> list[str]:
    """The expressions in a text, in order; not those within another."""
    return [found for _, _, found in _outer(tidy(_tail(text)))]


def gold_answer(text: str) -> str | None:
    """The expression that a gold answer is, or, where it is prose, the one that it ends in."""
    return _short(_boxed(_tail(text))[0] or _whole(tidy(text)) or last_answer(text))


def asked(question: str) -> str | None:
    """The expression or equation that a question asks to work out; None if it says anything else."""
    if len(question) > 2 * MAX_LENGTH:
        return None
    text = _LEAD.sub(" ", question)
    for words, sign in _SPOKEN.items():
        text = re.sub(words, sign, text, flags=re.IGNORECASE)
    whole = _whole(tidy(text.strip(" \n?.,:$")).strip(" ?=:,"))
    one = whole is not None and whole.count("=") <= 1 and "," not in whole and re.search(r"\d|[-+*/^]", whole)
    return _short(whole) if one else None


def truth(text: str) -> bool | None:
    """The last yes or no of a text, None without one."""
    words = _TRUTH.findall(_tail(text))
    return None if not words else (words[-1][1].lower() in ("yes", "true", "correct")) != bool(words[-1][0])


def tidy(text: str) -> str:
    """One writing for what can be written in several ways; prose stays as it is."""
    text = text.translate(_SIGNS)
    for pattern, writing in _WRITINGS:
        text = pattern.sub(writing, text)
    return text


def _boxed(text: str) -> tuple[str, int]:
    r"""The content of the last complete `\boxed{...}` and where it starts; empty without one."""
    for start in reversed([found.end() for found in re.finditer(r"\\(?:boxed|fbox)\s*\{", text)]):
        depth = 1
        for index in range(start, len(text)):
            depth += (text[index] == "{") - (text[index] == "}")
            if depth == 0:
                return tidy(text[start:index]).strip(), start
    return "", 0


def _short(found: str | None) -> str | None:
    """The expression, unless it is too long, or too deep: each level doubles the parser's time."""
    if not found or len(found) > MAX_LENGTH:
        return None
    depths = accumulate((sign in "({[") - (sign in ")}]") for sign in found)
    return found if max(depths) <= MAX_DEPTH else None


def _tail(text: str) -> str:
    """The end of a long text, without the word that the cut goes through."""
    return text if len(text) <= _TAIL else re.sub(r"^\S+", "", text[-_TAIL:])


def _after_cue(text: str) -> list[str] | None:
    """The expressions on the line after the last cue; None without any, empty if the first one is negated."""
    cues = list(_CUE.finditer(text))
    if not cues:
        return None
    line = text[cues[-1].end() :].strip().partition("\n")[0]
    whole = _whole(line)
    found = [(0, len(line), whole)] if whole else _outer(line)
    if not found:
        return None
    if _negated(f"{cues[-1][0]} {line[: found[0][0]]}"):
        return []
    return list(dict.fromkeys(one for _, _, one in found))


def _negated(before: str) -> bool:
    return bool(_NEGATED.search(before[-80:].rpartition("\n")[2]))


def _outer(text: str) -> list[tuple[int, int, str]]:
    """The expressions of a text in their order, without those that are part of another."""
    kept: list[tuple[int, int, str]] = []
    for one in sorted(_expressions(text), key=lambda expression: (expression[0], -expression[1])):
        if not kept or one[0] >= kept[-1][1]:
            kept.append(one)
    return kept


def _last(text: str, several: bool) -> str | None:
    """The expression that ends last; the one that begins first, of those."""
    found = sorted(_expressions(text), key=lambda expression: (expression[1], -expression[0]))
    if not found:
        return None
    first, _, last = found.pop()
    if _negated(text[:first]):
        return None
    while several and found and _BETWEEN.fullmatch(text[found[-1][1] : first]):
        first, _, one = found.pop()
        last = f"{one}, {last}"
    return last


def _whole(text: str) -> str | None:
    """The text, if all of it is mathematics."""
    text = _BETWEEN.sub(", ", text.strip().rstrip(".").strip("$ "))
    tokens = list(_TOKEN.finditer(text))
    if _SIDE_BY_SIDE.search(text) or any(token.lastgroup == "other" for token in tokens):
        return None
    return text if any(token.lastgroup in ("number", "name") for token in tokens) else None


def _expressions(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and text of each formula between LaTeX's marks, and of each run of tokens in the prose."""
    for formula in _FORMULA.finditer(text):
        content = _whole(next(group for group in formula.groups() if group).replace("\n", " "))
        if content:
            yield formula.start(), formula.end(), content
    run: list[re.Match[str]] = []
    for token in [*_TOKEN.finditer(text), None]:
        if token is None or not _continues(run, token, text):
            start, end = _trimmed(run, text)
            if end > start:
                yield start, end, text[start:end]
            run = []
        if token is not None and token.lastgroup not in ("other", "comma"):
            run.append(token)


def _continues(run: list[re.Match[str]], token: re.Match[str], text: str) -> bool:
    """Whether a token belongs to the run before it: beside it, or with a sign or bracket between."""
    if not run or token.lastgroup in ("other", "comma"):
        return not run and token.lastgroup not in ("other", "comma")
    gap = text[run[-1].end() : token.start()]
    loose = run[-1].lastgroup in ("sign", "open") or token.lastgroup in ("sign", "close")
    return not gap or ("\n" not in gap and loose)


def _trimmed(run: list[re.Match[str]], text: str) -> tuple[int, int]:
    """Where a run starts and ends without signs and brackets that have no counterpart."""
    kept = list(run)
    while kept and _hangs(kept, text, 0):
        kept.pop(0)
    while kept and _hangs(kept, text, -1):
        kept.pop()
    names = sum(token.lastgroup == "name" for token in kept)
    if not any(token.lastgroup == "number" for token in kept) and names == len(kept) < 2:
        kept = [token for token in kept if token[0].startswith("\\")]  # "a" or "I" is a word, \pi is not
    return (kept[0].start(), kept[-1].end()) if kept else (0, 0)


def _hangs(run: list[re.Match[str]], text: str, place: int) -> bool:
    token = run[place]
    if token.lastgroup == "sign":
        after = text[token.end() : token.end() + 1]
        return place == -1 or token[0] != "-" or after.isspace() or not after
    opened = sum(t.lastgroup == "open" for t in run)
    closed = sum(t.lastgroup == "close" and t[0] != "!" for t in run)
    return (token.lastgroup == "open" and (place == -1 or opened > closed)) or (
        token.lastgroup == "close" and token[0] != "!" and (place == 0 or closed > opened)
    )
