"""Comparing two expressions with math-verify, in a process of its own.

sympy can work on a short text for hours, inside one multiplication that no exception interrupts. So a
process does it that the kernel ends when its time is up; the next comparison starts another. That holds in
any thread, and leaves the caller's signals and timers alone. It ends with the process that started it. No
text is evaluated there; where Linux has what the sandbox needs, the process gives up its rights all the same
(files but those of the installation, system calls but those of arithmetic), in case a parser is wrong.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any, NoReturn

from stateset.rl.errors import DataError, MissingExtraError

_MEMORY_BYTES = 4 * 2**30
_NO_LIMIT = 10**9  # of CPU seconds: each question has its own limit
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from stateset.rl.verifiers.math_process import main; main()"


class Comparer:
    """Compares in a process that is started at the first question and again after a lost one."""

    def __init__(self, limit_seconds: float = 5.0) -> None:
        self._limit_seconds = limit_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._asked = 0
        self._waiting = False  # for a reply: one that nobody read must not be taken for the next one's

    def compare(self, right: str, found: str) -> dict[str, bool]:
        """Compare an answer with the right one.

        Returns:
            `equal`; `constant`, whether the right one holds no variable; `rational`, whether it is a
            rational number.

        Raises:
            DataError: the right one cannot be read, or the time is up.
            MissingExtraError: math-verify or what it needs is not installed.
        """
        with self._lock:
            reply = self._ask({"right": right, "found": found, "seconds": self._limit_seconds})
        if "missing" in reply:
            raise MissingExtraError(
                f"verify_math needs math-verify ({reply['missing']}): pip install 'stateset-rl[math]'"
            )
        if "unreadable" in reply:
            raise DataError(
                f"the right answer {right!r} cannot be worked out ({reply['unreadable']}): "
                "write it as a number, an expression or LaTeX"
            )
        if "failed" in reply:
            raise DataError(f"the answer {found!r} cannot be compared with {right!r}: {reply['failed']}")
        return reply

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        self._waiting = False
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.communicate()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        self._asked += 1
        number = self._asked
        self._waiting = True
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps({"number": number, **request}) + "\n")
                process.stdin.flush()
                while (line := process.stdout.readline()).endswith("\n"):
                    reply = json.loads(line)
                    if reply.pop("number") == number:  # another's: a fork repeated a request in the buffer
                        self._waiting = False
                        return dict(reply)
        finally:  # after an interrupt too; one that comes here leaves it to the next call
            if self._waiting:
                self.close()
        ended = "timed out" if process.returncode == -signal.SIGALRM else f"ended ({process.returncode})"
        raise DataError(
            f"comparing the answer {request['found']!r} with {request['right']!r} {ended}; the limit is "
            f"{self._limit_seconds:g} s. Is the right answer simpler than it is written?"
        )

    def _running(self) -> subprocess.Popen[str]:
        if self._waiting:
            self.close()
        if self._process is None or self._owner != os.getpid():  # a forked child starts its own
            paths = [str(path) or os.getcwd() for path in sys.path]
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, *paths],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._owner = os.getpid()
        return self._process


comparer = Comparer()
atexit.register(comparer.close)


def main() -> NoReturn:
    """Serve the parent, one line a question, until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends this process, whatever it is doing
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _give_up_rights()
    for line in sys.stdin:
        request = json.loads(line)
        number = request.pop("number")
        answers.write(json.dumps({**_reply(**request), "number": number}) + "\n")
        answers.flush()
    os._exit(0)


def _give_up_rights() -> None:
    """What the sandbox takes from code, taken from this process, where the kernel can."""
    if sys.platform != "linux":
        return
    from stateset.rl.verifiers.sandbox import kernel
    from stateset.rl.verifiers.sandbox.linux import listable, readable

    if kernel.can_confine():
        kernel.take_privileges()
        kernel.limit(memory_bytes=_MEMORY_BYTES, cpu_seconds=_NO_LIMIT)
        kernel.read_only(kernel.rules([*readable(), *sys.path], listable()))
        kernel.filter_calls()


def _reply(right: str, found: str, seconds: float) -> dict[str, Any]:
    try:
        from stateset.rl.verifiers.math_equal import compare
    except ImportError as error:
        return {"missing": str(error)}
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return compare(right, found)
    except Exception as error:  # MemoryError too; a failure is told, not taken for a wrong answer
        return {"failed": f"{type(error).__name__}: {error}"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
