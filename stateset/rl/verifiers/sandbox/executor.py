"""The sandbox's protocol: code and inputs in, a value or a reason out. What is right never goes in."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stateset.rl.verifiers.sandbox.fork_server import END, LONGEST_DETAIL, plain, tagged

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
_SETS = ("set", "frozenset")
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
    """What came of a run: a `frame` where `reason` is empty, else one of `REASONS` with its `detail`.

    The frame is what the code wrote, JSON as `tagged` makes it of a value; nothing has looked into it yet.
    Of a whole program it is the text that it printed.
    """

    frame: Any = None
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0

    @property
    def value(self) -> Any:
        """The frame as a value, of code that is trusted; compare that of a model with `same`."""
        return plain(self.frame)


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


def read_answer(data: bytes, entry: str | None) -> tuple[str, Any, str]:
    """Reason, frame and detail in what a case wrote: what a whole program printed, END, and one frame."""
    printed, _, said = data.rpartition(END)
    try:
        frame = json.loads(said)
        if set(frame) == {"value"} and entry is None:
            return "", printed.decode("utf-8", "surrogatepass"), ""
        if set(frame) == {"value"} and not printed:
            return "", frame["value"], ""
        if set(frame) == {"reason", "detail"} and frame["reason"] in SAID_INSIDE:
            return frame["reason"], None, str(frame["detail"])[:LONGEST_DETAIL]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    return "bad-frame", None, ""


def same(frame: Any, expected: Any, *, tolerance: float = 0.0) -> bool:
    """Whether a frame holds the expected value, equal and of equal types, all the way down.

    The expected value leads: what the frame has more is not looked at, and nothing of it becomes a key of a
    set or dict here, since keys that collide would cost this process the time of the square of their number.

    Args:
        frame: what the code wrote.
        expected: what is right, plain data.
        tolerance: relative, for floats.
    """
    try:
        return _alike(frame, tagged(expected), tolerance)
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return False


def _alike(found: Any, expected: Any, tolerance: float) -> bool:
    if not isinstance(expected, dict):
        return type(found) is type(expected) and bool(found == expected)
    [(kind, inside)] = expected.items()
    if not isinstance(found, dict) or list(found) != [kind] or type(found[kind]) is not type(inside):
        return False
    other = found[kind]
    if kind == "float":
        numbers = float.fromhex(other), float.fromhex(inside)
        return math.isclose(*numbers, rel_tol=tolerance) or all(map(math.isnan, numbers))
    if kind == "int":
        return bool(other == inside)
    if len(other) != len(inside):
        return False
    if kind == "dict":
        known = {_digest(key): value for key, value in other}
        wanted = [(_digest(key), value) for key, value in inside]
        return len(known) == len(inside) and all(
            key in known and _alike(known[key], value, tolerance) for key, value in wanted
        )
    if kind in _SETS:
        return sorted(map(_digest, other)) == sorted(map(_digest, inside))
    return all(_alike(one, wanted, tolerance) for one, wanted in zip(other, inside, strict=True))


def _digest(frame: Any) -> bytes:
    """Equal for equal frames: sets in one order, keys and items of any type apart.

    One length at every depth, so that a frame costs what it is long.
    """
    kind, inside = "", frame
    if isinstance(frame, dict):
        [(kind, inside)] = frame.items()
    if isinstance(inside, list):  # a bare list is a pair of a dict
        parts = [_digest(part) for part in inside]
        said = b"".join(sorted(parts) if kind in _SETS else parts)
    else:
        said = json.dumps(inside).encode()
    return hashlib.sha256(json.dumps([kind, type(inside).__name__]).encode() + said).digest()
