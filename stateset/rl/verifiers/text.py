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
from typing import Any, NoReturn

from stateset.rl.errors import ConfigError, DataError, MissingExtraError
from stateset.rl.verifiers.sandbox.executor import Request
from stateset.rl.verifiers.sandbox.linux import LinuxSandbox
from stateset.rl.verifiers.verifier import Verifier

_NUMBER = re.compile(
    r"(?:(?<!\d)[-+\u2212])?(?:(?:\d{1,3}(?:,\d{3})+(?!,?\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
)
_UNIT = re.compile(
    r"\s?((?:[%\u00b0\u20ac$\u00a3]|[^\W\d_])+(?:\d|[\u00b2\u00b3]|[/^*\u00b7][\w^]+)*)"
)  # km, km/h, m2
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

    Commas between thousands are understood. With `units`, a number must have one of them on both sides, or on
    neither; without, what stands behind a number is ignored.

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

    def __call__(self, question: str, answer: str, context: Mapping[str, Any]) -> bool:
        """Compare the last numbers of both."""
        right = self._last(_right(context))
        if right is None:
            raise DataError(f"the right answer {_right(context)!r} has no number, or a unit that is unknown")
        found = self._last(answer)
        if found is None or (found[1] is None) != (right[1] is None):
            return False
        return math.isclose(found[0], right[0], rel_tol=self.relative, abs_tol=self.absolute)

    def _last(self, text: str) -> tuple[float, str | None] | None:
        """The last number in the base unit, and its unit; None: there is none, or its unit is unknown."""
        numbers = list(_NUMBER.finditer(text))
        if not numbers:
            return None
        value = float(numbers[-1][0].replace(",", "").replace("\u2212", "-"))
        unit = _UNIT.match(text, numbers[-1].end())
        if not self.units or unit is None:
            return value, None
        return (value * self.units[unit[1]], unit[1]) if unit[1] in self.units else None


class JsonSchema(Verifier):
    """The answer is JSON that fits a schema, and equals the right answer where there is one.

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
            jsonschema.validate(found, schema)
        except jsonschema.ValidationError:
            return False
        except jsonschema.SchemaError as error:
            raise DataError(f"the schema is wrong: {error.message}") from error
        if "answer" not in context:
            return True
        try:
            right = json.loads(context["answer"])
        except ValueError as error:
            raise DataError(f"the right answer {context['answer']!r} is no JSON") from error
        return json.dumps(found, sort_keys=True) == json.dumps(right, sort_keys=True)


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
        if isinstance(words, str) or not all(isinstance(word, str) and word.strip() for word in words):
            raise DataError(f"`{name}` is {words!r}: give a list of words or phrases")
        return list(words)


def _holds(text: str, word: str) -> bool:
    plain, wanted = (" ".join(part.casefold().split()) for part in (text, word))
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", plain) is not None


def _no_json(name: str) -> NoReturn:
    """NaN and Infinity, which Python reads and JSON has not: NaN is within all bounds of a schema."""
    raise ValueError(f"{name} is no JSON")


def _right(context: Mapping[str, Any]) -> str:
    answer = context.get("answer")
    if not isinstance(answer, str) or not answer.strip():
        raise DataError("a row has no `answer` to compare with")
    return answer
