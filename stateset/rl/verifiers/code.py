"""`CodeVerifier`: the model's program against tests, in the sandbox. What is right never enters it."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from stateset.rl.errors import ConfigError, DataError
from stateset.rl.verifiers.code_blocks import program
from stateset.rl.verifiers.sandbox.executor import Executor, Outcome, Request, same
from stateset.rl.verifiers.sandbox.fork_server import tagged
from stateset.rl.verifiers.sandbox.linux import LinuxSandbox
from stateset.rl.verifiers.sandbox.probes import self_test
from stateset.rl.verifiers.sandbox.unsafe import UnsafeLocal
from stateset.rl.verifiers.verifier import Verifier

_order = random.SystemRandom()


class CodeVerifier(Verifier):
    """Whether the program in the model's answer passes every test of its row.

    A row's context has `tests`: a list of mappings with `expected` and either `args` (a list; then the
    context names the function with `entry`) or `stdin` (then the whole program runs, and what it prints
    counts, blanks at line ends aside). The program is the last block of Python in the answer, of those that
    define `entry` if any does, or the whole answer without one. Each test is a process of its own, in an
    order that the program cannot know.

    Args:
        timeout_seconds: of one test.
        memory_bytes: of one test's process.
        tolerance: relative, for floats in a result.
        sandbox: "linux", or "unsafe-local": no sandbox at all. Each process says so, and the manifest.

    Raises:
        ConfigError: another name of a sandbox.
        SandboxError: at the first answer, where this machine has no complete sandbox; nothing is run then.
        DataError: a row without tests, or with malformed ones.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float = 5.0,
        memory_bytes: int = 512 * 2**20,
        tolerance: float = 0.0,
        sandbox: str = "linux",
    ) -> None:
        if sandbox not in ("linux", "unsafe-local"):
            raise ConfigError(f"sandbox is {sandbox!r}: `linux`, or `unsafe-local` for none at all")
        self.timeout_seconds, self.memory_bytes, self.tolerance = timeout_seconds, memory_bytes, tolerance
        self.sandbox = sandbox
        self._local = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to a worker process without its own."""
        return _made, (self.timeout_seconds, self.memory_bytes, self.tolerance, self.sandbox)

    def __call__(self, question: str, answer: str, context: Mapping[str, Any]) -> bool:
        """Run the tests, up to the first that fails."""
        return all(passed for passed, _ in self.outcomes(answer, context))

    def outcomes(self, answer: str, context: Mapping[str, Any]) -> Sequence[tuple[bool, Outcome]]:
        """Whether each test passed, and what came of it, as they ran; ends with the first failure."""
        entry = context.get("entry")
        tests = [_checked(test, entry) for test in context.get("tests") or ()]
        if not tests:
            raise DataError("a row has no `tests`: code is verified by what it returns")
        source = program(answer, entry)
        _order.shuffle(tests)
        found: list[tuple[bool, Outcome]] = []
        for test in tests:
            request = Request(
                source=source, entry=entry if "args" in test else None,
                args=test.get("args", ()), stdin=test.get("stdin", ""),
            )  # fmt: skip
            outcome = self._executor().run(request)
            right = not outcome.reason and self._right(outcome.frame, test)
            found.append((right, outcome))
            if not right:
                break
        return found

    def _right(self, frame: Any, test: Mapping[str, Any]) -> bool:
        if "args" in test:
            return same(frame, test["expected"], tolerance=self.tolerance)
        return isinstance(frame, str) and _lines(frame) == _lines(test["expected"])

    def _executor(self) -> Executor:
        """The thread's own, tried with every probe before it is used."""
        found: Executor | None = getattr(self._local, "executor", None)
        if found is None:
            if self.sandbox == "unsafe-local":
                found = UnsafeLocal(timeout_seconds=self.timeout_seconds)
            else:
                found = LinuxSandbox(timeout_seconds=self.timeout_seconds, memory_bytes=self.memory_bytes)
                self_test(found)
            self._local.executor = found
        return found


def _made(timeout_seconds: float, memory_bytes: int, tolerance: float, sandbox: str) -> CodeVerifier:
    return CodeVerifier(
        timeout_seconds=timeout_seconds, memory_bytes=memory_bytes, tolerance=tolerance, sandbox=sandbox
    )


def _lines(text: Any) -> list[str]:
    return [line.rstrip() for line in str(text).rstrip().splitlines()]


def _checked(test: Any, entry: Any) -> Mapping[str, Any]:
    if not isinstance(test, Mapping) or "expected" not in test or ("args" in test) == ("stdin" in test):
        raise DataError(f"a test is {test!r}: a mapping with `expected`, and either `args` or `stdin`")
    if "args" in test and (not isinstance(entry, str) or not isinstance(test["args"], list | tuple)):
        raise DataError("a test with `args` (a list) needs `entry`, the name of the function, in the row")
    if not isinstance(test.get("stdin", ""), str):
        raise DataError(f"a test has `stdin` {test['stdin']!r}: give the text that the program reads")
    try:
        tagged(test["expected"])
    except (TypeError, ValueError) as error:
        raise DataError(f"a test expects {test['expected']!r}, which is no plain data: {error}") from error
    return test
