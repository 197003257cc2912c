"""Where the mathematics is in a text: the last answer of a model's prose, the task of a question.

Plain writing ("x^2 - 1", "12 × 7", "sqrt(8)") and LaTeX are brought to one writing. Nothing is evaluated
here: the text is cut into tokens, and whatever is not a token of mathematics ends an expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

from stateset.rl.errors import DataError

MAX_LENGTH = 300  # characters of one expression
MAX_DEPTH = 10  # brackets within brackets
MAX_BESIDE = 8  # different expressions on the line of an answer
_TAIL = 4000  # characters of a response that are read; the last answer counts

_SIGNS = str.maketrans({
    "×": "*", "·": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-", "≈": "=", "≤": "\\le ", "≥": "\\ge ",
    "±": "\\pm ", "π": "\\pi ", "∞": "\\infty ",
    "½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4", "⅕": " 1/5", "⅛": " 1/8",
})  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_ZEROS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_PARTS = {"half": 2, "third": 3, "quarter": 4}
_LARGE, _PART = "|".join(_ZEROS), "|".join(_PARTS)
_WRITINGS = (  # in this order
    (re.compile(r"\\\$\s?(?=\d)"), ""),
    (
        re.compile(  # the miles of 5 \text{ miles}, at the end of a line
            rf"(?<=[\d)}}])\s*\\(?:text|mathrm|mbox)\s*\{{\s*(?!(?:and|{_LARGE})\b)"
            r"[A-Za-z]{3,}[A-Za-z. ]*\}"
            r"(?:\^\{?[23]\}?)?(?=[\s.$}]*$)",
            re.MULTILINE,
        ),
        "",
    ),
    (re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+"), lambda found: f"^{{{found[0].translate(_RAISED)}}}"),
    (
        re.compile(r"(?<![\d.,])\d{1,3}(?:['’\u2009\u202f\xa0]\d{3})+(?!\d)"),
        lambda found: re.sub(r"\D", "", found[0]),
    ),
    (re.compile(r"(?<!\\)\\(?:left|right|[!;:])|(?<=\d)\{,\}(?=\d{3})|(?<=\d)\\,(?=\d{3})"), ""),
    (re.compile(r"(?<!\\)\\(?:,| |quad\b)|\xa0"), " "),
    (re.compile(r"\\[dt]frac\b"), r"\\frac"),
    (re.compile(r"\\(?:cdot|times)(?![A-Za-z])"), "*"),
    (re.compile(r"\\div(?![A-Za-z])"), "/"),
    (re.compile(r"\\approx(?![A-Za-z])"), "="),
    (re.compile(r"\\text(?:bf)?\{\s*(or|and)\s*\}"), ","),
    (re.compile(r"(?<=[\w)]) ?\*\* ?(?=[\w(-])"), "^"),
    (re.compile(r"\*\*|__(?=\W|$)|`"), " "),  # Markdown
    (re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)"), lambda found: found[0].replace(",", "")),
    (re.compile(r"(?<=\d)[eE]([+-]?\d{1,4})\b"), r"*10^{\1}"),
    (
        re.compile(rf"(?<=\d)\s*(?:\\text\s*\{{\s*)?({_LARGE})\b(?:\s*\}})?", re.IGNORECASE),
        lambda found: f"*10^{{{_ZEROS[found[1].lower()]}}}",
    ),
    (
        re.compile(rf"(?<=\d) and (?:an?|one) ({_PART})\b", re.IGNORECASE),
        lambda found: f" 1/{_PARTS[found[1].lower()]}",
    ),
    (re.compile(r"(?<=\d)\s+:\s+(?=\d)"), ":"),
    (re.compile(r"\b(?:minus|negative)\s+(?=\\?\$?[\d.(\\])", re.IGNORECASE), "-"),
    (re.compile(r"-\s?\\?\$\s?(?=\d)(?!\d[\d.,]*\$)"), "-"),  # -$5; -$5$ has a formula
    (re.compile(r"(?<=\d)\s*[xX]\s*(?=\d)"), "*"),
    (re.compile(r"(?<![\d/.])(\d+) +(\d+) ?/ ?(\d+)(?![\d/]|\.\d)"), r"(\1+\2/\3)"),  # a mixed number
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
    | (?P<sign>    [-+*/^=<>_|&] | (?<=\d):(?=\d) )
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
_MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    "|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_COUNT = "one|two|three|four|five|six|seven|eight|nine|ten"
_CUT = r"\d\.\d{3},\d|\d(?:\.\.|…|\\[lc]?dots)"  # 1.234,56 and 0.333...
_MORE = re.compile(  # words of a gold answer that make another value of its number
    rf"\b{_MONTH}\b\.?\s+\d|\d(?:st|nd|rd|th)?\s+(?:of\s+)?\b{_MONTH}\b|\d\s*[ap]\.?m\b"  # dates, times
    rf"|\b(?:{_COUNT})\s+and\s+\d|\d\s+and\s+(?:an?|{_COUNT})\s+[a-z]{{3}}"
    r"|\d\s+(?:thirds?|fifths?|sixths?|eighths?|tenths?)\b"
    rf"|{_CUT}|^\W*[A-E][.)]\s*[\d$\\-]",  # one of several choices
    re.IGNORECASE,
)
_UNWORKED = re.compile(  # 2-5, 2026-05-05, 5/6/2026, 10 x 20: a range, a date, a size?
    r"-?[\d.]+(?:\s*-\s*[\d.]+)+|[\d.]+(?:\s*/\s*[\d.]+){2,}|[\d.]+(?:\s*\*\s*[\d.]+)+"
)
_UNCLEAR = re.compile(rf"(?<![\\A-Za-z])[A-Za-z]{{1,2}}\s*\d|\d\.\d+\.\d|{_CUT}")  # 7 R 3, 2 h 15 m, 1.2.3
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
    r"""The one expression of a gold answer: in its box, behind its last cue, or else in all of it.

    Raises:
        DataError: it holds several, or a number that is only a part of what it says.
    """
    tail = _tail(text)
    boxed, start = _boxed(tail)
    if boxed:
        found: str | None = boxed
        several = _boxed(tail[:start])[0] not in ("", boxed)
    else:
        found, several = _only(tail)
    if several or (found and _UNCLEAR.search(found)):
        raise DataError(
            f"the gold answer {text[:60]!r} holds several values, or one in several parts, and verify_math "
            "cannot tell which counts: write the row's `answer` as one number or expression, or put that in "
            "\\boxed{...}"
        )
    return _short(found)


def _only(text: str) -> tuple[str | None, bool]:
    """The first expression of the line behind the last cue, or of the text; whether there is more than it."""
    cue, text = _said(text)
    whole, plain = _whole(tidy(text)), tidy(_EXCLAIMED.sub("", text))
    found = [(0, len(plain), whole)] if whole else _outer(plain)
    if not found or _negated(f"{cue} {plain[: found[0][0]]}"):
        return None, False
    start, end, first = found[0]
    more = len(found) > 1 or re.search(r"\d", plain[:start] + plain[end:]) or _MORE.search(plain)
    return first, bool(more or _UNWORKED.fullmatch(first))


def _said(text: str) -> tuple[str, str]:
    """The last cue and the line behind it; the whole text, where there is none."""
    cues = list(_CUE.finditer(text))
    line = text[cues[-1].end() :].strip().partition("\n")[0] if cues else ""
    return (cues[-1][0], line) if _outer(tidy(line)) else ("", text)


def asked(question: str) -> str | None:
    """The expression or equation that a question asks to work out; None if it says anything else."""
    if len(question) > 2 * MAX_LENGTH:
        return None
    text = _LEAD.sub(" ", question)
    for words, sign in _SPOKEN.items():
        text = re.sub(words, sign, text, flags=re.IGNORECASE)
    whole = _whole(tidy(text.strip(" \n?.,:$")).strip(" ?=:,"))
    one = whole is not None and whole.count("=") <= 1 and not re.search(r"[,:]", whole)
    return _short(whole) if one and re.search(r"\d|[-+*/^]", whole or "") else None


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
    r"""The content of the last complete `\boxed{...}` and where it starts; empty without one.

    Boxes with nothing but "and", "or" or a comma between them are one answer.
    """
    kept, first, start = "", len(text), 0
    for opening in reversed(list(re.finditer(r"\\(?:boxed|fbox)\s*\{", text))):
        end = _closing(text, opening.end())
        if end is None or (kept and end > first):  # not complete, or around the last one
            continue
        content = tidy(text[opening.end() : end]).strip()
        if kept and not _BETWEEN.fullmatch(tidy(text[end + 1 : first].replace("$", ""))):
            break
        kept = f"{content}, {kept}" if kept else content
        first, start = opening.start(), opening.end()
    return kept, start


def _closing(text: str, start: int) -> int | None:
    """Where the brace closes that was opened before `start`."""
    depth = 1
    for index in range(start, len(text)):
        depth += (text[index] == "{") - (text[index] == "}")
        if depth == 0:
            return index
    return None


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
