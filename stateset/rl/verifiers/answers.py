"""`verify_math` says whether the model's answer is right, as mathematics.

Which part of a text is its answer is decided in `math_text.py`, whether two expressions are equal in
`math_equal.py`. What cannot be judged is an error, never a wrong answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stateset.rl.errors import DataError
from stateset.rl.verifiers.math_process import comparer
from stateset.rl.verifiers.math_text import asked, expressions, gold_answer, last_answers, tidy, truth

_NUMBER = r"-?(?:\d+(?:\.\d+)?|\.\d+)"
_RATIO = rf"{_NUMBER}/{_NUMBER}|-?\\frac{{{_NUMBER}}}{{{_NUMBER}}}|-?\\frac\d\d|-?\d+\\frac{{\d+}}{{\d+}}"
_WRITTEN = re.compile(
    rf"\(?[+]?(?:{_NUMBER}(?:\\?%)?|{_RATIO}|-?\(\d+\+\d+/\d+\)|(?:{_NUMBER}\*)?{_NUMBER}\^{{?{_NUMBER}}}?)\)?"
)
_UNIT = re.compile(
    r"(?<=[\d)}%])\s*(?:\\(?:text|mathrm)\s*\{[^{}]*\}|km|cm|mm|m|kg|mg|g|ml|L|ft|lb|oz|hr)(?:\^\{?[23]\}?)?$"
)
_ASSIGNED = re.compile(r"^[A-Za-z](?:_\w+)?(?:\([a-z]\))?\s*=\s*(?=[^=]*$)")
_LABEL = re.compile(  # what names a value, left of "=": x, x_1, f(x), P(A), AB, \theta, dy/dx
    r"[|\[]?\\?(?!(?:sin|cos|tan|ln|log|exp|pi|sqrt|infty)(?![A-Za-z]))[A-Za-z]+"
    r"(?:_\w+|_\{\w+\})?(?:\(\w+\))?[|\]]?|[A-Za-z]\([^()=]*\)|\(\w\)|d\w?/d\w|\\frac\{d\w?\}\{d\w\}"
    r"|\\(?:text|mathrm|overline|angle|vec)\s*\{?[\w ]+\}?"
)
_CLOCK = re.compile(r"\d?\d:[0-5]\d")
_MIXED = re.compile(r"-?\(\d+\+\d+/\d+\)")
_OPERATION = re.compile(r"[\w)}]\s*[-+*/^]|(?:frac|sqrt|sin|cos|tan|ln|log|exp)(?![a-z])|\)\s*\(|!")


def verify_math(question: str, answer: str, context: Mapping[str, Any] | None = None) -> bool:
    r"""Whether the model's answer equals the right one, by value: `verify_math("2+2", "4")` is True.

    The right answer is `context["answer"]`; without one the question is worked out itself, where it is
    nothing but arithmetic or algebra ("2+2", "What is 12 * 7?"). An equation is then a claim, to be answered
    yes or no ("x^2 - 1 = (x-1)(x+1)?"), if it holds always or has no variable.

    The model's answer may be prose, plain or LaTeX: the last `\boxed{...}` counts, else what follows the last
    "answer is", "answer:" or "####", else the last expression. A "not" before it, another value on the line
    after "answer is", or an equation whose sides differ is no answer. Where the right answer is a rational
    number, the model's must be one written out (4, 1/2, 2.5, 2^10), not 3 + 1, and decimals of a value that
    is no integer are right to six significant digits. The question said again is no answer. A ratio (3:2) is
    right by its value, a time of day (10:30) as it is written.

    The gold answer is one number or expression, or a list of them; in prose, the only one, or what stands in
    `\boxed{...}` or behind the last "answer is" or "####". Of the words around it, "minus", "million" and the
    like count; units do not.

    Only the value counts: whether an answer is simplified, or why it is right, is not seen.

    Args:
        question: the prompt.
        answer: the model's response.
        context: the row's context; `answer` in it is the gold answer.

    Raises:
        DataError: no gold answer, and the question is no mathematics; a gold answer that is none, or holds
            several values or parts (2 hours 15 minutes, May 5, 2-5); or the comparison took more than five
            seconds.
        MissingExtraError: the extra `math` is not installed.
    """
    gold = (context or {}).get("answer")
    if gold is None:
        right = asked(question)
        if right is None:
            raise DataError(
                f"nothing says what answers {question[:60]!r}: it is no expression that could be worked out, "
                "and the row has no `answer`; give the row one"
            )
        return _claim(question, right, answer) if "=" in right else _equals(question, right, answer)
    right = gold_answer(str(gold))
    if right is not None:
        return _equals(question, right, answer, gold=right)
    if truth(str(gold)) is None:
        raise DataError(
            f"the gold answer {str(gold)[:60]!r} is neither mathematics nor yes or no: verify_math cannot "
            "judge this row; write its `answer` as a number, an expression or LaTeX"
        )
    return truth(answer) is truth(str(gold))


def _claim(question: str, equation: str, answer: str) -> bool:
    left, right = equation.split("=")
    found = comparer.compare(left, right)
    if not (found["equal"] or found["constant"]):
        raise DataError(
            f"{question[:60]!r} is an equation that does not always hold, so it asks for a solution: "
            "give the row its `answer`"
        )
    return truth(answer) is found["equal"]


def _equals(question: str, right: str, answer: str, gold: str | None = None) -> bool:
    answers = last_answers(answer, several="," in right)
    if not answers:
        return False
    found, *beside = answers
    if "," not in right and "=" not in found:
        right = _ASSIGNED.sub("", right)  # x = 3 says 3
    *sides, found = _sides(right, found)  # 2 + 2 = 4 says 4
    if _restates(found, question, gold):
        return False
    if ":" in right:
        return not beside and _same_ratio(right, found)
    compared = comparer.compare(right, found)
    written = _WRITTEN.fullmatch(_squeeze(found)) or (gold and _squeeze(found) == _squeeze(gold))
    if not compared["equal"] or (compared["rational"] and not written):
        return False
    for one in beside:
        if _UNIT.sub("", f"1 {one}") != "1":  # the cm^2 of 5 cm^2
            *more, last = _sides(right, one)
            sides += [*more, last]
    others = (side for side in dict.fromkeys(sides) if side != found)
    return all(comparer.compare(right, side)["equal"] for side in others)


def _same_ratio(right: str, found: str) -> bool:
    """Two numbers by their ratio; a time of day and three numbers as they are written."""
    right, found = _squeeze(right), _squeeze(found)
    if right.count(":") > 1 or _CLOCK.fullmatch(right):
        return found.lstrip("0") == right.lstrip("0")
    found = found.replace(":", "/")
    return _WRITTEN.fullmatch(found) is not None and comparer.compare(right.replace(":", "/"), found)["equal"]


def _sides(right: str, found: str) -> list[str]:
    """The sides of an equation that must all equal the right answer; what only names the value is none."""
    sides = [found]
    if "," not in found and "=" not in right:
        *before, last = (side.strip(" &") for side in found.split("="))
        label = before[0] if before and _LABEL.fullmatch(before[0]) else ""
        if label and not _letters(right):  # the formula in A = \pi r^2 = 4\pi
            before = [side for side in before if not _letters(side) or _letters(side) & _letters(label)]
        sides = [*(side for side in before if side and not _LABEL.fullmatch(side)), last]
    return sides if re.search(r"[A-Za-z]", right) else [_UNIT.sub("", side) for side in sides]


def _letters(side: str) -> set[str]:
    return set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+|\bsqrt\b", "", side)))


def _restates(found: str, question: str, gold: str | None) -> bool:
    """Whether an answer with something left to work out only repeats the question, in whatever order."""
    said = _squeeze(found)
    if not _OPERATION.search(found) or _MIXED.fullmatch(said) or (gold and said == _squeeze(gold)):
        return False
    tasks = [asked(question) or "", *expressions(question)]
    return said in _squeeze(tidy(question)) or any(_signs(said) == _signs(_squeeze(task)) for task in tasks)


def _signs(said: str) -> list[str]:
    return sorted(said.replace("+", ""))  # -1 + x^2 is x^2 - 1


def _squeeze(text: str) -> str:
    return re.sub(r"[\s$]", "", text)
