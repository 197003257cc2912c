"""Arithmetic over named numbers, parsed and never run as code: `calculate_output` of OpenAI's graders.

Operators by rising precedence: `+ -`, `* /`, unary `-`, and `^` (to the right); functions min, max, abs,
floor, ceil, exp, sqrt, log; numbers, names and parentheses.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence, Set

from stateset.rl.errors import ConfigError

Value = Callable[[Mapping[str, float]], float]

_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_TOKEN = re.compile(rf"\s*(?:({_NUMBER})|([^\W\d]\w*)|([-+*/^(),]))")
_FUNCTIONS: Mapping[
    str, tuple[Callable[..., float], int | None]
] = {  # and how many arguments; None: one or more
    "min": (lambda *numbers: min(numbers), None),
    "max": (lambda *numbers: max(numbers), None),
    "abs": (abs, 1),
    "floor": (
        lambda number: float(math.floor(number)),
        1,
    ),  # a float, of which a power overflows and never hangs
    "ceil": (lambda number: float(math.ceil(number)), 1),
    "exp": (math.exp, 1),
    "sqrt": (math.sqrt, 1),
    "log": (math.log, 1),
}
_DEEPEST = 50  # parentheses within parentheses


class Formula:
    """A formula that was checked, ready to be computed.

    Args:
        text: such as `0.5 * name + 0.5 * min(email, 1)`.
        names: the numbers that it may use.

    Raises:
        ConfigError: it does not parse, or uses another name; says where.
    """

    def __init__(self, text: str, names: Set[str]) -> None:
        self.text, self._names = text, names
        self._tokens = self._split()
        self._next = self._depth = 0
        self._value = self._sum()
        if self._next < len(self._tokens):
            raise self._error("an operator is missing before {}")

    def __call__(self, values: Mapping[str, float]) -> float:
        """Compute it.

        Raises:
            ArithmeticError, ValueError: a division by zero, a root of what has none, an overflow.
        """
        number = self._value(values)
        if not math.isfinite(number):
            raise ValueError(f"{self.text} is {number}")
        return float(number)

    def _split(self) -> list[tuple[str, int]]:
        tokens, at = [], 0
        text = self.text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                rest = text[at:].lstrip()
                raise ConfigError(f"the formula {self.text!r} has {rest[0]!r}, which it cannot use")
            tokens.append((found[0].strip(), at))
            at = found.end()
        return tokens

    def _peek(self, ahead: int = 0) -> str:
        at = self._next + ahead
        return self._tokens[at][0] if at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _error(self, problem: str) -> ConfigError:
        at = self._tokens[self._next][1] if self._next < len(self._tokens) else len(self.text)
        place = repr(self._peek()) if self._peek() else "its end"
        return ConfigError(f"the formula {self.text!r}, character {at + 1}: {problem.format(place)}")

    def _sum(self) -> Value:
        return self._chain(self._product, {"+": operator.add, "-": operator.sub})

    def _product(self) -> Value:
        return self._chain(self._signed, {"*": operator.mul, "/": operator.truediv})

    def _chain(self, part: Callable[[], Value], operations: Mapping[str, Callable[..., float]]) -> Value:
        first, rest = part(), []
        while self._peek() in operations:
            rest.append((operations[self._take()], part()))
        return _chained(first, rest) if rest else first

    def _signed(self) -> Value:
        if self._peek() not in ("-", "+"):
            return self._power()
        self._deeper()
        sign, value = self._take(), self._signed()
        self._depth -= 1
        return _apply(operator.neg, value) if sign == "-" else value

    def _power(self) -> Value:
        base = self._operand()
        if self._peek() != "^":
            return base
        self._take()
        self._deeper()
        value = _apply(_power, base, self._signed())
        self._depth -= 1
        return value

    def _operand(self) -> Value:
        token = self._peek()
        if token == "(":
            return self._inside()[0]
        if re.match(r"[0-9.]", token):
            number = float(self._take())
            return lambda _: number
        if not token.isidentifier():
            raise self._error("a number, a name or ( is missing before {}")
        if token in _FUNCTIONS and self._peek(1) == "(":
            return self._call()
        if token not in self._names:
            known = ", ".join(sorted(self._names)) or "none"
            raise self._error(f"{{}} is no grader's name (there are: {known})")
        self._take()
        return lambda values: values[token]

    def _call(self) -> Value:
        function, count = _FUNCTIONS[self._peek()]
        name = self._take()
        arguments = self._inside(many=True)
        if count is not None and len(arguments) != count:
            raise self._error(f"{name} takes one number, not {len(arguments)}, before {{}}")
        return _apply(function, *arguments)

    def _inside(self, many: bool = False) -> list[Value]:
        self._deeper()
        self._take()
        values = [self._sum()]
        while many and self._peek() == ",":
            self._take()
            values.append(self._sum())
        if self._peek() != ")":
            raise self._error(") is missing before {}")
        self._take()
        self._depth -= 1
        return values

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error("it is nested too deeply at {}")


def _chained(first: Value, rest: Sequence[tuple[Callable[..., float], Value]]) -> Value:
    def value(values: Mapping[str, float]) -> float:
        found = first(values)
        for operation, part in rest:
            found = operation(found, part(values))
        return found

    return value


def _power(base: float, exponent: float) -> float:
    found = operator.pow(base, exponent)
    if isinstance(found, complex):
        raise ValueError(f"{base:g} ^ {exponent:g} is no real number")
    return float(found)


def _apply(function: Callable[..., float], *parts: Value) -> Value:
    return lambda values: function(*(part(values) for part in parts))
