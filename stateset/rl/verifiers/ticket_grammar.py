"""A closed grammar for replies to tickets: what cannot be read as one of its phrases is not understood.

A reply is cut into sentences and these into clauses, and every clause must be, from its first word to its
last, a phrase of `ticket_given.yaml` (resolutions) or `ticket_talk.yaml` (courtesies, facts, denials). An
unforeseen wording is refused rather than guessed: a wrong refusal costs less than a wrong pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

_SPELLINGS = [  # chat and contractions, in the spelling of the phrases; the order matters
    (r"[’`´]", "'"),
    (r"\be-mail", "email"),
    (r"\bpre-paid\b", "prepaid"),
    (r"\bre-(?=send|sent|ship|issue)", "re"),
    (r"\bcancel(?=ed\b|ing\b)", "cancell"),
    (r"\b(i|you|we|they)'ve\b", r"\1 have"),
    (r"\b(i|you|we|they|it)'ll\b", r"\1 will"),
    (r"\b(you|we|they)'re\b", r"\1 are"),
    (r"\b(it|that|here|there|what)'s\b", r"\1 is"),
    (r"\blet's\b", "let us"),
    (r"\bi'm\b", "i am"),
    (r"\b(?:can't|cant|cannot)\b", "can not"),
    (r"\b(?:won't|wont)\b", "will not"),
    (r"\b(do|does|did|is|are|was|has|have|had|could)n't\b", r"\1 not"),
    (r"\b(do|does|did|is|has|have|had)nt\b", r"\1 not"),
    (r"\b(i|you|we)ve\b", r"\1 have"),
    (r"\bill\b", "i will"),
    (r"\bhave got\b(?! (?:your|it))", "have"),
    (r"\bhave gone ahead and\b", "have"),
    (r"\bur\b", "your"),
    (r"\bu\b", "you"),
    (r"\bim\b", "i am"),
    (r"\bheres\b", "here is"),
    (r"\bthats\b", "that is"),
    (r"\bits\b(?= (?:a|an|the|on|in|being|taking|\d+|shipped|cancelled|store|already|still|AMT))", "it is"),
    (r"\b(?:'?bout)\b", "about"),
    (r"\btho\b", "though"),
    (  # what only announces the clause behind it
        r"\b(?:i|we) (?:can|am happy to|are happy to|am pleased to|are pleased to|am writing to) "
        r"(?:confirm|tell you|let you know|inform you),?(?: that)? ",
        "",
    ),
    (r"\b(?:i|we) (?:will make|have made|made) sure(?: that)? (?=(?:a|the|your|you)\b)", ""),
    (r"\b(?:please note|this means|rest assured)(?: that)? (?=\w)", ""),
    (
        r"\b(?:unfortunately|sadly|fortunately|luckily|thankfully)\b,? ?",
        "",
    ),  # the clause behind must be known
    (r"\b(?:as per|according to|in line with|under) (?:our|the) policy\b", ""),
    (r"\bthx\b", "thanks"),
    (r"\bpls\b", "please"),
]
_LINKS = frozenset(
    {"and", "but", "so", "because", "since", "as", "while", "then", "though", "however", "therefore"}
)
_OPENERS = frozenset(  # a clause may begin here without a sign before it: relative ones, and chat's farewells
    {
        "who",
        "which",
        "cheers",
        "kind",
        "best",
        "take",
        "thanks",
        "thank",
        "write",
        "all",
        "have",
        "i",
        "we",
        "you",
    }
)
_BREAK = ","  # stands for every sign that parts clauses
_TOKEN = re.compile(r"\w+(?:[-']\w+)*|[,;:()!?.–—-]|\S")
_PIECE = re.compile(r"[\[\]()|]|<\w+>[?*]?|[^\s\[\]()|<]+")
_LONGEST_CLAUSE = 40
_ANSWER_UNITS = {
    "return_window": ("window", r"days?"),
    "warranty_length": ("warranty", r"months?"),
    "delivery_time": ("delivery", r"(?:working|business)[ -]days?"),
    "card_validity": ("validity", r"months?"),
}


def understand(answer: str, context: Mapping[str, Any]) -> tuple[bool, frozenset[str]]:
    """Whether every clause of a reply is a phrase of the grammar, and which resolutions the clauses give.

    Args:
        answer: the model's reply.
        context: the row, as `check_ticket` takes it; `situation` narrows which facts may be told.
    """
    phrases = _phrases(
        context["resolution"],
        tuple(sorted(context["allowed"])),
        context["question_kind"],
        context.get("situation"),
    )
    understood, given = True, frozenset[str]()
    for sentence in _sentences(with_names(answer, context)):
        found = _read(sentence, phrases)
        if found is None:
            understood = False
        else:
            given |= found
    return understood, given


def with_names(answer: str, context: Mapping[str, Any]) -> str:
    """The reply in the spelling of the phrases, the ticket's own names and figures put as tokens."""
    facts, kind = context["facts"], context["question_kind"]
    text = answer.replace("’", "'")
    for fact, token in (("shop", "SHOP"), ("name", "NAME")):
        text = re.sub(rf"\b{re.escape(facts[fact])}\b", token, text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?!(?:SHOP|NAME)\b)\w+", lambda match: match.group().lower(), text)
    for pattern, spelling in _SPELLINGS:
        text = re.sub(pattern, spelling, text)
    text = re.sub(r"\bgift[ -]?cards?\b", "GIFT", text)
    text = re.sub(rf"\b{re.escape(facts['item'].lower())}s?\b", "ITEM", text)
    text = re.sub(
        rf"(?:\b(?:the|your|this|my) )?(?:\border (?:number |no\.? ?)?)?#?\b{facts['order']}\b", "ORD", text
    )
    text = re.sub(r"\b(?:the|your|this) (?:whole |entire )?order\b(?! (?:number|confirmation))", "ORD", text)
    right = float(facts["amount"].strip("$").replace(",", ""))

    def amount(match: re.Match[str]) -> str:
        return "AMT" if float(match.group(1).replace(",", "")) == right else match.group()

    text = re.sub(r"\$ ?(\d[\d,]*(?:\.\d+)?)", amount, text)
    if kind:
        name, unit = _ANSWER_UNITS[kind]
        text = re.sub(rf"(?<![\d$.,]){facts[name]}[ -]{unit}(?![\w-])", "FIG", text)
    else:
        text = re.sub(rf"(?<![\d$.,]){facts['window']}[ -]days?\b", "WINDOW", text)
        text = re.sub(rf"(?<![\d$.,]){facts['warranty']}[ -]months?\b", "WARRANTY", text)
        text = re.sub(rf"(?<![\d$.,]){facts['days']} days?\b", "DAYS", text)
        text = re.sub(rf"(?<![\d$.,]){facts['months']} months?\b", "MONTHS", text)
    return text


def _sentences(text: str) -> list[list[str]]:
    """Sentences as lists of words; signs inside them become `_BREAK`, a question keeps its mark."""
    sentences: list[list[str]] = [[]]
    for line in text.splitlines():
        for token in _TOKEN.findall(line):
            if token in ".!?":
                sentences[-1] += ["?"] if token == "?" else []
                sentences.append([])
            else:
                sentences[-1].append(_BREAK if token in ",;:()–—-" else token)
        sentences.append([])
    return [sentence for sentence in sentences if sentence]


def _read(words: Sequence[str], phrases: Sequence[tuple[str, re.Pattern[str]]]) -> frozenset[str] | None:
    """The resolutions that a sentence gives; None where a clause is no phrase of the grammar."""
    reached: dict[int, frozenset[str]] = {0: frozenset()}
    for start in range(len(words)):
        if start not in reached:
            continue
        if words[start] == _BREAK or words[start] in _LINKS:  # what links clauses says nothing itself
            _reach(reached, start + 1, reached[start])
        for end in _ends(words, start):
            found = _clause(" ".join(words[start:end]) + " ", phrases)
            if found is not None:
                _reach(reached, end, reached[start] | found)
    return reached.get(len(words))


def _reach(reached: dict[int, frozenset[str]], position: int, given: frozenset[str]) -> None:
    """Note that a reading gets as far as `position`."""
    reached[position] = reached.get(position, frozenset()) | given


def _ends(words: Sequence[str], start: int) -> Iterable[int]:
    """Where a clause that begins at `start` may end: before a sign, before a link, or with the sentence."""
    for position in range(start + 1, min(len(words), start + _LONGEST_CLAUSE) + 1):
        if position == len(words) or words[position] == _BREAK:
            yield position
            return
        opening = words[position - 2 : position] == ["for", "ORD"] and position == start + 2
        if opening or words[position] in _LINKS or words[position] in _OPENERS:
            yield position


def _clause(clause: str, phrases: Sequence[tuple[str, re.Pattern[str]]]) -> frozenset[str] | None:
    for name, pattern in phrases:
        if pattern.fullmatch(clause):
            return frozenset({name} - {""})
    return None


@lru_cache(maxsize=256)
def _phrases(
    right: str, allowed: tuple[str, ...], kind: str | None, situation: str | None
) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The patterns of one kind of row: its resolutions by name, all harmless ones under ""."""
    granted, grammar = [right, *allowed], _grammar()
    given = [(name, _pattern("given", name)) for name in granted if name in grammar["given"]]
    if kind:
        given.append((right, _pattern("answers", kind)))
    if right == "replacement" and "return_label" in allowed:  # another article came: the ordered one is right
        given.append((right, _pattern("given", "wrong_item")))
    harmless = [_pattern("talk")]
    if {"refund", "return_label"} <= set(granted):
        given.append(("refund", _pattern("returning")))
        harmless.append(_pattern("returning_too"))
    harmless += [_pattern("along", name) for name in granted if name in grammar["along"]]
    harmless += [_pattern("facts", name) for name in grammar["facts"] if situation in (None, name)]
    harmless += [_pattern("denied", name) for name in grammar["denied"] if name not in granted and not kind]
    return (*given, *(("", pattern) for pattern in harmless))


@cache
def _pattern(part: str, name: str = "") -> re.Pattern[str]:
    lines = _grammar()[part]
    return re.compile(_alternatives(lines[name] if name else lines))


@cache
def _grammar() -> dict[str, Any]:
    """The three files as one; denials of a resolution are the same phrases with its words put in."""
    grammar: dict[str, Any] = {"macros": {}}
    for name in ("ticket_phrases", "ticket_given", "ticket_talk"):
        part = yaml.safe_load(Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8"))
        grammar["macros"] |= part.pop("macros", {})
        grammar |= part
    for name, words in grammar["denied"].items():
        lines = grammar["deny"]
        for word in ("noun", "verb", "part"):
            lines = lines.replace(word.upper(), f"({words[word]})")
        grammar["denied"][name] = lines + words.get("also", "")
    return grammar


def _alternatives(lines: str) -> str:
    return "(?:" + "|".join(_expand(line) for line in lines.splitlines() if line.strip()) + ")"


@cache
def _macro(name: str) -> str:
    lines = _grammar()["macros"].get(name)
    return _alternatives(lines) if lines else _verb(*name.rsplit("_", 1))


def _expand(line: str) -> str:
    """A line of the grammar as a regular expression; every word takes the space behind it along."""
    out = []
    signs = {"[": "(?:", "]": ")?", "(": "(?:", ")": ")", "|": "|"}
    for piece in _PIECE.findall(line):
        if piece in signs:
            out.append(signs[piece])
        elif piece[0] == "<":
            repeat = {"?": "?", "*": "{0,5}"}.get(piece[-1], "")  # bounded: no runaway backtracking
            out.append(_macro(piece.strip("<>?*")) + repeat)
        else:
            words = "|".join(re.escape(word) for word in piece.split("/"))
            out.append(f"(?:{words}) ")
    return "".join(out)


def _verb(name: str, form: str) -> str:
    """A class of verbs in one form: `do` (our act, also without a subject), `be` (passive), or a bare one."""
    verbs = [_forms(verb) for verb in _grammar()["verbs"][name].split(",")]
    base, third, ing, past, part = ("/".join(forms) for forms in zip(*verbs, strict=True))
    shapes = {
        "do": f"<us> <now>* ({base}|{past}|have <now>* {part}|am/are <now>* {ing}|am/are going to {base}|"
        f"will <now>* {base}|will be {ing}|was/were able to {base})\n<now>* ({past}|{ing})",
        "be": f"<be> {part}",
        "they": f"<now>* ({third}|is <now>* {ing}|are <now>* {ing}|has <now>* {part}|have <now>* {part}|"
        f"will <now>* {base}|will be {ing}|is/are going to {base})",
        "base": base,
        "ing": ing,
        "part": part,
    }
    return _alternatives(shapes[form])


def _forms(verb: str) -> tuple[str, ...]:
    """Base, third person, -ing, past and participle; irregular verbs come with all five."""
    words = verb.split()
    if len(words) == 5:
        return tuple(words)
    base = words[0]
    stem = base[:-1] if base[-1] == "e" else base
    third = base + ("es" if base[-2:] in ("sh", "ch", "ss") else "s")
    return base, third, f"{stem}ing", f"{stem}ed", f"{stem}ed"
