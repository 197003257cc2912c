"""The sandbox's protocol: code and inputs in, a value or a reason out. What is right never goes in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

REASONS = {
    "": "it ran and gave a value",
    "raised": "the code raised an error",
    "no-entry": "the code defines no such function",
    "timeout": "it took too long and was killed",
    "memory": "it asked for more memory than it may have",
    "output": "it printed or returned more than is allowed",
    "forbidden": "it made a system call that ends a process: a fork, a signal, a socket, a trace",
    "crashed": "its process died of a signal",
    "no-result": "its process ended without a result",
    "bad-frame": "what came out is no single result",
}
UNSAFE = "unsafe-local: a plain process with every right of its user"
used: set[str] = set()  # the tiers in which this process has run a case
SAID_INSIDE = ("raised", "no-entry", "memory", "output")  # all others are known from outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run, in a process of its own.

    Attributes:
        source: Python code.
        entry: the function to call; None: the value is what the code prints.
        args: plain data: numbers, text, lists, tuples, sets, dicts.
        stdin: what the code may read.
    """

    source: str
    entry: str | None = None
    args: Sequence[Any] = ()
    stdin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run: a `value` where `reason` is empty, else one of `REASONS` with its `detail`."""

    value: Any = None
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0


class Executor(Protocol):
    """Runs code that nobody trusts. `tier` names how, for the run's manifest; each case adds it to `used`."""

    tier: str

    def run(self, request: Request) -> Outcome:
        """Run it; whatever the code does becomes an outcome.

        Raises:
            SandboxError: the sandbox itself does not work.
        """
        ...

    def close(self) -> None:
        """End its processes."""
        ...


def same(found: Any, expected: Any, *, tolerance: float = 0.0) -> bool:
    """Whether two values are equal and of equal types, all the way down.

    Args:
        found: what the code returned.
        expected: what is right.
        tolerance: relative, for floats.
    """
    if type(found) is not type(expected):
        return False
    if isinstance(expected, float):
        return bool(found == expected or abs(found - expected) <= tolerance * max(abs(found), abs(expected)))
    if isinstance(expected, list | tuple):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(same(a, b, tolerance=tolerance) for a, b in pairs)
    if isinstance(expected, dict):
        keys = {(type(key), key) for key in expected}
        return {(type(key), key) for key in found} == keys and all(
            same(found[key], value, tolerance=tolerance) for key, value in expected.items()
        )
    if isinstance(expected, set | frozenset):
        return {(type(item), item) for item in found} == {(type(item), item) for item in expected}
    return bool(found == expected)
