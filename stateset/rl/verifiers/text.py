"""Verifiers of plain answers: exact, a number with tolerance and units, JSON, a pattern, words in or out.

The right answer is the row's `answer`, unless a verifier says otherwise. What a verifier cannot judge (a row
without an answer, a pattern that takes too long) is an error and never "wrong".
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NoReturn

from stateset.rl.errors import ConfigError, DataError, MissingExtraError
from stateset.rl.verifiers.quantities import Quantities
from stateset.rl.verifiers.sandbox.executor import Request
from stateset.rl.verifiers.sandbox.linux import LinuxSandbox
from stateset.rl.verifiers.verifier import Verifier

_TYPED = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b\u02bc\u2032\u00b4\u0060\uff07", "'")
    | dict.fromkeys("\u2010\u2011", "-")
)
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
_SEARCH = "import re\ndef f(pattern, text, whole):\n    find = re.fullmatch if whole else re.search\n" \
    "    return find(pattern, text) is not None\n"  # fmt: skip


class Exact(Verifier):
    """The answer is the right one, blanks around it aside.

    Args:
        ignore_case: letters of either case are the same.
    """

    def __init__(self, *, ignore_case: bool = False) -> None:
        self.ignore_case = ignore_case

    def __call__(self, question: str, answer: str, context: Mapping[str, Any]) -> bool:
        """Compare the texts, their Unicode composed."""
        found, right = (self._form(text) for text in (answer, _right(context)))
        return found == right

    def _form(self, text: str) -> str:
        plain = unicodedata.normalize("NFC", text).strip()
        return plain.casefold() if self.ignore_case else plain


class Numeric(Verifier):
    """The last number of the answer is the right one, within a tolerance, in whatever unit it is written.

        Numeric(relative=0.01, units={"m": 1, "km": 1000})

    Fractions (1/2, 1 1/2), commas between thousands, a sign before or behind a currency and Markdown are
    understood; values are compared exactly, digit for digit. A number that is part of something else (10:30,
    10^3) is none, in the right answer an error. With `units`, a number must have one of them on both sides,
    or on neither, behind it or in front; without, they are ignored.

    Args:
        relative: tolerance as a share of the right number.
        absolute: tolerance as a number, in the unit whose factor is 1.
        units: how many of the base unit one of each is.
    """

    def __init__(
        self, *, relative: float = 0.0, absolute: float = 0.0, units: Mapping[str, float] | None = None
    ) -> None:
        if not (math.isfinite(relative) and math.isfinite(absolute) and min(relative, absolute) >= 0):
            raise ConfigError(f"the tolerances {relative} and {absolute} are no numbers from 0 on")
        self.relative, self.absolute, self.units = relative, absolute, dict(units or {})
        try:
            self._read = Quantities(self.units)
        except ValueError as error:
            raise ConfigError(f"the units {units} have a factor that is no number: {error}") from error

    def __call__(self, question: str, answer: str, context: Mapping[str, Any]) -> bool:
        """Compare the last numbers of both."""
        right = self._read.last(_right(context))
        if right is None:
            raise DataError(
                f"the right answer {_right(context)!r} has no number, or a unit that is unknown, or its last "
                "number is only a part of something (10:30, 10^3): write it as one number"
            )
        found = self._read.last(answer)
        if found is None or (found[1] is None) != (right[1] is None):
            return False
        absolute, relative = (Fraction(str(tolerance)) for tolerance in (self.absolute, self.relative))
        return abs(found[0] - right[0]) <= max(absolute, relative * abs(right[0]))


class JsonSchema(Verifier):
    """The answer is JSON that fits a schema, and equals the right answer where there is one.

    The right answer is a value or its text; `10` equals `10.0`, and the order of keys is free.

    Needs the extra `[verifiers]`.

    Args:
        schema: a JSON schema; None: the row's column `schema`.
    """

    def __init__(self, schema: Mapping[str, Any] | None = None) -> None:
        self.schema = schema

    def __call__(self, question: str, answer: str, context: Mapping[str, Any]) -> bool:
        """Read, validate, compare."""
        try:
            import jsonschema
            from jsonschema_specifications import REGISTRY
            from referencing.exceptions import Unresolvable
        except ImportError as error:
            raise MissingExtraError(
                "JsonSchema needs jsonschema: pip install 'stateset-rl[verifiers]'"
            ) from error
        schema = context.get("schema") if self.schema is None else self.schema
        if not isinstance(schema, Mapping):
            raise DataError("a row has no `schema`, and the verifier was given none")
        try:
            found = json.loads(answer, parse_constant=_no_json)
        except (ValueError, RecursionError):
            return False
        try:
            jsonschema.validate(found, schema, registry=REGISTRY)  # the default one would ask the network
            return "answer" not in context or _alike(found, _json(context["answer"]))
        except (jsonschema.ValidationError, ArithmeticError, RecursionError):  # 1e999, [[[[...
            return False
        except jsonschema.SchemaError as error:
            raise DataError(f"the schema is wrong: {error.message}") from error
        except Unresolvable as error:
            raise DataError(f"the schema has a `$ref` that leads nowhere: {error}") from error


def _json(right: Any) -> Any:
    """The right answer as a value, which a row may hold as one."""
    try:
        return json.loads(right, parse_constant=_no_json) if isinstance(right, str) else right
    except ValueError as error:
        raise DataError(f"the right answer {right!r} is no JSON") from error


def _alike(found: Any, right: Any) -> bool:
    """Whether two values of JSON are equal, numbers by value; True is no 1."""
    if isinstance(right, Mapping):
        return (
            isinstance(found, dict)
            and found.keys() == right.keys()
            and all(_alike(found[key], value) for key, value in right.items())
        )
    if isinstance(right, list | tuple):
        return isinstance(found, list) and len(found) == len(right) and all(map(_alike, found, right))
    return isinstance(found, bool) is isinstance(right, bool) and bool(found == right)


class Pattern(Verifier):
    """A regular expression matches; it is tried in the sandbox, because some take forever.

    Args:
        pattern: for the whole answer.
        anywhere: it is enough if a part matches.
        timeout_seconds: of one try.

    Raises:
        ConfigError: the pattern is malformed.
        DataError: an answer for which it takes too long.
    """

    def __init__(self, pattern: str, *, anywhere: bool = False, timeout_seconds: float = 1.0) -> None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"the pattern {pattern!r} is malformed: {error}") from error
        self._given = pattern, anywhere, timeout_seconds
        self._sandbox = LinuxSandbox(timeout_seconds=timeout_seconds)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to a worker process without its sandbox."""
        return _pattern, self._given

    def __call__(self, question: str, answer: str, context: Mapping[str, Any]) -> bool:
        """Try the pattern."""
        pattern, anywhere, seconds = self._given
        outcome = self._sandbox.run(Request(source=_SEARCH, entry="f", args=(pattern, answer, not anywhere)))
        if outcome.reason:
            raise DataError(
                f"the pattern {pattern!r} takes over {seconds:g} s on the answer {answer[:60]!r} "
                f"({outcome.reason}): avoid repetitions within repetitions"
            )
        return bool(outcome.value)


def _pattern(pattern: str, anywhere: bool, timeout_seconds: float) -> Pattern:
    return Pattern(pattern, anywhere=anywhere, timeout_seconds=timeout_seconds)


class Contains(Verifier):
    """The answer has all of some words or phrases and none of others, in either case, as whole words.

    Typography aside: composed and full-width letters, curly apostrophes, other hyphens and what is invisible
    are as if typed plainly. Letters of another alphabet that look the same are others.

    A denial has the words that it denies: "no refund" contains "refund". What a text *says* is for verifiers
    that know its subject.

    Args:
        required: all of them; None: the row's column `required`, where there is one.
        forbidden: none of them; None: the row's column `forbidden`, where there is one.
    """

    def __init__(
        self, *, required: Sequence[str] | None = None, forbidden: Sequence[str] | None = None
    ) -> None:
        self.required, self.forbidden = required, forbidden

    def __call__(self, question: str, answer: str, context: Mapping[str, Any]) -> bool:
        """Look for each of them."""
        required = self._words("required", self.required, context)
        forbidden = self._words("forbidden", self.forbidden, context)
        if not required and not forbidden:
            raise DataError(
                "there is nothing to look for: give `required` or `forbidden`, here or in the row"
            )
        return all(_holds(answer, word) for word in required) and not any(
            _holds(answer, word) for word in forbidden
        )

    @staticmethod
    def _words(name: str, given: Sequence[str] | None, context: Mapping[str, Any]) -> Sequence[str]:
        words = (context.get(name) or ()) if given is None else given
        if isinstance(words, str) or not all(isinstance(word, str) and _plain(word) for word in words):
            raise DataError(f"`{name}` is {words!r}: give a list of words or phrases")
        return list(words)


def _holds(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(_plain(word))}(?!\w)", _plain(text)) is not None


def _plain(text: str) -> str:
    """In lower case, blanks single, without typography."""
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf")
    typed = unicodedata.normalize("NFKC", _UNSEEN.sub("", visible).translate(_TYPED))
    return " ".join(typed.casefold().split())


def _no_json(name: str) -> NoReturn:
    """NaN and Infinity, which Python reads and JSON has not: NaN is within all bounds of a schema."""
    raise ValueError(f"{name} is no JSON")


def _right(context: Mapping[str, Any]) -> str:
    answer = context.get("answer")
    if not isinstance(answer, str) or not answer.strip():
        raise DataError("a row has no `answer` to compare with")
    return answer
