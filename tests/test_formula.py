"""Formulas of `multi` graders: parsed by us, never run as code."""

from __future__ import annotations

import math

import pytest

from stateset.rl.errors import ConfigError
from stateset.rl.rewards.formula import Formula

VALUES = {"a": 0.5, "b": 2.0, "name": 0.25, "min": 3.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(a + b) / 2", 1.25),
        ("0.5 * a + 0.5 *b", 1.25),
        ("1 - 2 - 3", -4),
        ("8 / 4 / 2", 1),
        ("2 ^ 3 ^ 2", 512),
        ("-2 ^ 2", -4),
        ("2 ^ -1", 0.5),
        ("2 * -3", -6),
        ("+a", 0.5),
        ("min(a, b, name)", 0.25),
        ("min + 1", 4),
        ("max(a, min(b, 1))", 1),
        ("abs(-a) + floor(2.7) + ceil(2.1) + exp(0) + sqrt(4) + log(1)", 0.5 + 2 + 3 + 1 + 2 + 0),
        ("1e-2 + .5", 0.51),
        ("(100 - abs(b - a)) / 100", 0.985),
        ("max(b) + min(a)", 2.5),
        ("+".join(["a"] * 1500), 750),
        ("floor(2.5) ^ ceil(1.5)", 4),
    ],
)
def test_values(text: str, expected: float) -> None:
    assert Formula(text, VALUES.keys())(VALUES) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"character 1: a number, a name or \( is missing before its end"),
        ("a +", "character 4: a number.*missing before its end"),
        ("a b", r"character 2: an operator is missing before 'b'"),
        ("(a", r"character 3: \) is missing before its end"),
        ("a)", "an operator is missing before"),
        ("c + 1", r"'c' is no grader's name \(there are: a, b, min, name\)"),
        ("sqrt(a, b)", "sqrt takes one number, not 2"),
        ("min()", "a number, a name"),
        ("a ** b", "a number, a name"),
        ("a; b", "has ';'"),
        ("\u00b2", r"a number, a name or \( is missing before '\u00b2'"),
        ("a * \u0663", "has '\u0663'"),
        ("__import__('os')", "has"),
        ("a.__class__", "has '.'"),
        ("(" * 60 + "a" + ")" * 60, "nested too deeply"),
        ("-" * 2000 + "a", "nested too deeply"),
    ],
)
def test_what_does_not_parse_says_where(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Formula(text, VALUES.keys())


@pytest.mark.parametrize(
    "text", ["1 / (a - a)", "sqrt(-b)", "log(a - a)", "exp(1000)", "(-b) ^ a", "9 ^ 9 ^ 9"]
)
def test_what_has_no_value_is_an_error_of_its_own(text: str) -> None:
    with pytest.raises((ArithmeticError, ValueError)):
        Formula(text, VALUES.keys())(VALUES)


def test_a_formula_is_no_python() -> None:
    assert Formula("2^3", set())({}) == 8, "in Python that is 1"
    assert math.isclose(Formula("log(a)", {"a"})({"a": math.e}), 1)
