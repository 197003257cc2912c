"""A recogniser of what may be said in a ticket: a sentence is parsed whole, or it is not understood.

The grammar (`ticket_audit_phrases`) is closed: roles such as greeting, sympathy, the ticket's facts, the
commitment, its next step, closing, and the phrases that each is made of. A reply with one sentence outside
of it is refused, whatever the rest says, since "on second thought, no" has no end of wordings. The parser
follows every reading at once and remembers each place: its time grows with the reply and never doubles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from stateset.rl.verifiers import ticket_audit_phrases as phrases
from stateset.rl.verifiers import ticket_words as words

Node = tuple[
    Any, ...
]  # ("word", w) | ("sym", name) | ("seq", *nodes) | ("alt", *nodes) | ("opt" or "rep", node)
Grammar = dict[str, Node]
_PIECES = re.compile(r"<[\w.]+>\*?|[\])]\*?|[\[(|]|[^\s\[\]()|<>]+")
_ORDER = r"\border (?:(?:number|no\.?|nr\.?) ?)?#? ?{order}\b|(?<!\w)#{order}\b"
_AMOUNT = (
    r"(?<![\d.,$])(?:\$ ?{amount}(?:\.00)?(?: usd| dollars)?|{amount}(?:\.00)? ?(?:usd|dollars)"
    r"|{amount}(?<=\.\d\d))(?![\d%]|[.,]\d)"
)
_LOOSE_HEADS = {"card", "bank", "box", "set", "station", "code", "label"}  # words with a meaning of their own
_KINDS = {  # what the row is about, and the figure that a reply may name
    "return_window": ("window", "day"), "warranty_length": ("warranty", "month"),
    "delivery_time": ("delivery", "working day"), "card_validity": ("validity", "month"),
    "refund": ("window", "day"), "store_credit": ("window", "day"), "repair": ("warranty", "month"),
    "new_code": ("validity", "month"),
}  # fmt: skip
_SCALE = {"year": (12, "month"), "week": (7, "day")}


def _compile(text: str) -> Node:
    """A rule's right side: words, <symbols>, [optional], (one | another), <repeated>* and [repeated]*."""
    pieces = _PIECES.findall(text)
    node, end = _either(pieces, 0)
    if end != len(pieces):
        raise ValueError(f"a bracket too many in the rule {text!r}")
    return node


def _either(pieces: list[str], at: int) -> tuple[Node, int]:
    ways: list[Node] = []
    row: list[Node] = []
    while at < len(pieces) and pieces[at][0] not in "])":
        piece = pieces[at]
        at += 1
        if piece in ("[", "("):
            inner, at = _either(pieces, at)
            row.append(_group(piece + pieces[at], inner))
            at += 1
        elif piece == "|":
            ways.append(("seq", *row))
            row = []
        else:
            row.append(_leaf(piece))
    ways.append(("seq", *row))
    return (ways[0] if len(ways) == 1 else ("alt", *ways)), at


def _group(brackets: str, inner: Node) -> Node:
    if brackets.endswith("*"):
        return ("rep", inner)
    return ("opt", inner) if brackets == "[]" else inner


def _leaf(piece: str) -> Node:
    if piece.endswith(">*"):
        return ("rep", ("sym", piece[1:-2]))
    return ("sym", piece[1:-1]) if piece.startswith("<") else ("word", piece)


@cache
def _rules(resolution: str, allowed: frozenset[str], kind: str | None) -> Grammar:
    """The grammar of one sort of row; its symbols `deny` and `commit` depend on what is right."""
    return {name: _compile(text) for name, text in phrases.rules(resolution, allowed, kind).items()}


@dataclass
class _Reading:
    """One sentence under one grammar; `seen` remembers where a symbol that starts at a word may end."""

    grammar: Grammar
    said: tuple[str, ...]
    barred: frozenset[str] = frozenset()
    seen: dict[tuple[str, int], frozenset[int]] = field(default_factory=dict)

    def whole(self, symbol: str) -> bool:
        return len(self.said) in self._symbol(symbol, 0)

    def met(self, symbol: str) -> bool:
        """Whether the symbol was found anywhere, even if the sentence can be read without it."""
        return any(ends for (name, _), ends in self.seen.items() if name == symbol)

    def _symbol(self, name: str, at: int) -> frozenset[int]:
        if (name, at) not in self.seen:
            self.seen[name, at] = frozenset()
            if name not in self.barred:
                self.seen[name, at] = frozenset(self._ends(self.grammar[name], at))
        return self.seen[name, at]

    def _ends(self, node: Node, at: int) -> set[int] | frozenset[int]:
        kind = node[0]
        if kind == "word":
            return {at + 1} if at < len(self.said) and self.said[at] == node[1] else set()
        if kind == "sym":
            return self._symbol(node[1], at)
        if kind == "alt":
            return {end for way in node[1:] for end in self._ends(way, at)}
        if kind == "opt":
            return {at, *self._ends(node[1], at)}
        return self._row(node[1:], at) if kind == "seq" else self._repeated(node[1], at)

    def _row(self, nodes: tuple[Node, ...], at: int) -> set[int]:
        ends = {at}
        for node in nodes:
            ends = {end for start in ends for end in self._ends(node, start)}
            if not ends:
                break
        return ends

    def _repeated(self, node: Node, at: int) -> set[int]:
        reached, fresh = {at}, {at}
        while fresh:
            fresh = {end for start in fresh for end in self._ends(node, start)} - reached
            reached |= fresh
        return reached


def read(answer: str, context: Mapping[str, Any]) -> tuple[list[str], bool]:
    """The sentences of `answer` that are not understood, and whether another commits to what is right.

    Args:
        answer: the reply, as it was written.
        context: the row: resolution, allowed, question_kind, facts.
    """
    sort = (context["resolution"], frozenset(context["allowed"]), context["question_kind"])
    strange, commits = [], False
    barred: frozenset[str] = frozenset()
    for sentence in _sentences(_slotted(words.spelled(answer), context)):
        understood, committed, wished = _role(sort, tuple(sentence), barred)
        if not understood:
            strange.append(" ".join(sentence))
        if committed:  # what follows must not undo it: "A new lamp is sent. The lamp got lost."
            commits = True
            barred |= {"report"}
        if wished:  # nor grant the wish: "You asked for your money. Done."
            barred |= {"grant"}
    return strange, commits


@lru_cache(maxsize=8192)  # replies share most of their sentences, once the slots are filled in
def _role(
    sort: tuple[str, frozenset[str], str | None], sentence: tuple[str, ...], barred: frozenset[str]
) -> tuple[bool, bool, bool]:
    """Whether a sentence is understood, whether it commits, and whether it retells a wish."""
    grammar = _rules(*sort)
    reading = _Reading(grammar, sentence, barred)
    if not reading.whole("sentence"):
        return False, False, False
    commits = reading.met("commit") and not _Reading(grammar, sentence).whole("remark")
    return True, commits, reading.met("wish")


def _sentences(text: str) -> list[list[str]]:
    """Words by sentence; marks inside a sentence are dropped, all but the question mark."""
    parts = re.split(r"(?<=[.!?])(?<!\.\.\.)[\s\"')]+|\n+|(?<=\w)[.!]+$", text)
    said = [re.sub(r"[,;:()!.…\"]+|\s-+\s|^-+\s|\s[–—]\s", " ", part).split() for part in parts]
    return [part for part in said if part]


def _slotted(text: str, context: Mapping[str, Any]) -> str:
    """The text with the row's own order, amount, item, name, shop and figure as slots in capitals."""
    facts = context["facts"]
    text = words.QUANTITY.sub(lambda found: _figure(found, context), text)
    text = re.sub(_ORDER.format(order=re.escape(str(facts["order"]))), " ORDER ", text)
    amount = re.escape(str(facts["amount"]).replace("$", "").replace(",", "").removesuffix(".00"))
    text = re.sub(_AMOUNT.format(amount=amount), " AMOUNT ", text)
    foreign = context["question_kind"] == "card_validity" and facts["item"].lower() != "gift card"
    for slot in ("shop", "name") if foreign else ("shop", "item", "name"):
        if facts.get(slot):
            text = re.sub(
                rf"(?<![\w-]){re.escape(str(facts[slot]).lower())}(?![\w-])", f" {slot.upper()} ", text
            )
    plural = "s?" if context["question_kind"] else ""
    *kind, head = facts["item"].lower().split()
    if kind and head not in _LOOSE_HEADS and not foreign:
        text = re.sub(rf"(?<![\w-]){re.escape(head)}{plural}(?![\w-])", " ITEM ", text)
    return text


def _figure(found: re.Match[str], context: Mapping[str, Any]) -> str:
    """`FIGURE` for the one figure that the row allows to be named, as the text has it for any other."""
    fact, unit = _KINDS.get(context["question_kind"] or context["resolution"], ("", ""))
    first, second, working, of = found.groups()
    times, scaled = _SCALE.get(of, (1, of))
    scaled = "working day" if working and scaled == "day" else scaled
    value = words.NUMBERS[second] if second in words.NUMBERS else int(second)
    if first or not fact or (value * times, scaled) != (context["facts"].get(fact), unit):
        return found[0]
    return " FIGURE "
