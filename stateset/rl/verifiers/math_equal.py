"""Whether two expressions are equal: read by math-verify's LaTeX parser, compared exactly where possible.

This is what runs in the process of `math_process.py`, and the one file that needs the extra `math`. The
parser has a grammar of its own and builds expressions without evaluating them: no text is executed, and the
size of the numbers is known before they are worked out.
"""

from __future__ import annotations

import logging
import re
from fractions import Fraction
from typing import Any

import sympy
from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify

MAX_BITS = 20_000  # of a number on the way
DIGITS = Fraction(1, 10**6)  # how near a rounded decimal must be

_READING = LatexExtractionConfig(
    boxed_match_priority=-1,
    # no `units`: they would drop the variable of 3t
    normalization_config=NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
    ),
)


class UnreadableError(Exception):
    """A text is no mathematics, or too much of it; the message says which."""


def compare(right: str, found: str) -> dict[str, Any]:
    """Return `equal`, and whether the right one is `constant` and `rational`; or why it is `unreadable`."""
    logging.disable()  # math-verify warns that its own time limits are off
    try:
        wanted = _read(right)
    except UnreadableError as error:
        return {"unreadable": str(error)}
    facts = {"constant": not wanted.free_symbols, "rational": isinstance(_value(wanted), sympy.Rational)}
    try:
        return {"equal": _equal(wanted, _read(found), right, found), **facts}
    except UnreadableError:
        return {"equal": False, **facts}


def _read(text: str) -> Any:
    """A sympy object, decimals as exact fractions, not evaluated."""
    if re.search(r"\^\s*(\w|\{[^{}]*\})\s*\^", text):
        raise UnreadableError("a power of a power needs brackets")
    try:
        read = parse(f"${text}$", [_READING], fallback_mode="no_fallback", parsing_timeout=None)
    except Exception as error:  # whatever the parser stumbles over
        raise UnreadableError(f"{type(error).__name__}: {error}") from error
    if not read or not hasattr(read[0], "free_symbols"):
        raise UnreadableError("it is no expression")
    if _bits(read[0]) > MAX_BITS:
        raise UnreadableError("its numbers are too large")
    exact = read[0].xreplace({number: sympy.Rational(str(number)) for number in read[0].atoms(sympy.Float)})
    if _value(exact).has(sympy.nan, sympy.zoo):
        raise UnreadableError("it has no value")
    return exact


def _equal(wanted: Any, got: Any, right: str, found: str) -> bool:
    a, b = _value(wanted), _value(got)
    if not all(getattr(side, "is_number", False) for side in (a, b)):  # a matrix has no such thing
        return bool(verify(wanted, got, timeout_seconds=None))
    if "%" in right + found:  # 50 % is right where 50 is
        return bool(a == b or verify(wanted, got, timeout_seconds=None))
    if "." in right + found and not a.is_Integer:
        return bool(abs(sympy.N(a - b, 30)) <= DIGITS * abs(sympy.N(a, 30)))
    rational = a.is_Rational and b.is_Rational
    return bool(a == b or (not rational and verify(wanted, got, timeout_seconds=None)))


def _value(expression: Any) -> Any:
    try:
        return expression.doit()
    except Exception as error:  # sympy's, of many kinds
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def _bits(node: Any) -> int:
    """About how many bits the largest number has that working this out makes."""
    if isinstance(node, sympy.Rational):
        return max(int(node.p).bit_length(), int(node.q).bit_length())
    inner = node.flat() if isinstance(node, sympy.MatrixBase) else node.args
    parts = [_bits(part) for part in inner] or [8]
    if isinstance(node, sympy.Pow):
        power: int = abs(int(node.exp)) if node.exp.is_Integer else 2 ** min(parts[1], 32)
        return parts[0] * power if node.exp.is_number else max(parts)
    if isinstance(node, sympy.exp | sympy.factorial | sympy.gamma | sympy.binomial):
        return int(2 ** min(max(parts), 32)) * max(parts)
    return sum(parts) if isinstance(node, sympy.Mul) else max(parts) + len(parts)
