"""Verifiers say right or wrong; a reward that asks for `verified` decides what the verdict is worth.

A verifier is a plain function `(question, answer)` or `(question, answer, context)`, or an object of that
shape. The answer is the model's; the gold answer, where the row has one, is `context["answer"]`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from stateset.rl.errors import ConfigError, RewardError

Function = TypeVar("Function", bound=Callable[..., Any])
Verify = Callable[[str, str, Mapping[str, Any]], bool]
_MARK = "__stateset_rl_verifier__"


class Verifier(ABC):
    """Base for verifiers that hold settings; a plain function does as well."""

    @abstractmethod
    def __call__(self, question: str, answer: str, context: Mapping[str, Any]) -> bool:
        """Return whether the model's `answer` to `question` is right."""


def verifier(function: Function) -> Function:
    """Mark a function as a verifier, so that a command may name it, and check its shape; it stays as it is.

    Raises:
        ConfigError: it does not take (question, answer) or (question, answer, context).
    """
    make_verifier(function)
    setattr(function, _MARK, True)
    return function


def is_verifier(value: object) -> bool:
    """Whether `value` is a `Verifier` (class or instance) or marked with `@verifier`."""
    kind = value if isinstance(value, type) else type(value)
    return issubclass(kind, Verifier) or getattr(value, _MARK, False) is True


def make_verifier(function: Callable[..., Any]) -> Verify:
    """Return `function` as a call of (question, answer, context) that answers True or False.

    Raises:
        ConfigError: the signature is another one. The returned call raises RewardError for a result that
        is no bool.
    """
    name = _name(function)
    takes_context = _takes_context(function, name)

    def verify(question: str, answer: str, context: Mapping[str, Any]) -> bool:
        result = function(question, answer, context) if takes_context else function(question, answer)
        plain = result.item() if hasattr(result, "item") else result
        if not isinstance(plain, bool):
            raise RewardError(
                f"the verifier `{name}` returned {result!r} for the answer {answer[:60]!r}: "
                "a verifier returns True or False; wrap the result in bool(...)"
            )
        return plain

    return verify


def _takes_context(function: Callable[..., Any], name: str) -> bool:
    wrong = ConfigError(
        f"the verifier `{name}` cannot be called: write it as a plain (not async) function "
        "`(question, answer) -> bool` or `(question, answer, context) -> bool`"
    )
    if isinstance(function, type) or not callable(function):
        raise wrong
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise wrong
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some builtins have no signature
        raise wrong from None
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        raise wrong
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in positional)
    if len(positional) < 2 or required > 3:
        raise wrong
    return len(positional) > 2 and (required == 3 or positional[2].name == "context")


def _name(function: object) -> str:
    named = function if inspect.isroutine(function) else type(function)
    return f"{named.__module__}.{named.__qualname__}"
