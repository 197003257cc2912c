"""A reward's worker process, seen from the parent: started when needed, killed past its limit, started again.

It is a fresh interpreter that imports the reward's module and never the user's main script, which may be
the one that trains. What the reward prints goes to stderr; the messages have a socket of their own,
numbered so that no reply is taken for another request's.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from io import BytesIO
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import FunctionType
from typing import Any

from stateset.rl.errors import RewardError
from stateset.rl.rewards.worker import Reply, numbered, split_number

START_SECONDS = 120.0  # the reward's module may import torch on a cold disk
MAX_LOST_IN_A_ROW = 3

_BOOT = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from stateset.rl.rewards.worker import main; main(int(sys.argv[1]))"
)


class WorkerLostError(Exception):
    """The worker was killed past its limit, or died; the message completes "the worker ..."."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


class _Traveller(pickle.Pickler):
    """Pickles by import path, and refuses what another process cannot import."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise pickle.PicklingError(f"{obj.__qualname__} is defined in the main script")
        return NotImplemented


def pack(value: object) -> bytes:
    """Pickle a value for a worker process; raises whatever makes that impossible."""
    buffer = BytesIO()
    _Traveller(buffer).dump(value)
    return buffer.getvalue()


class WorkerProcess:
    """One worker; `setup` is the packed (reward, verifier, timeout), `name` the reward's for messages."""

    def __init__(self, setup: bytes, name: str) -> None:
        self._setup = setup
        self._name = name
        self._running: tuple[subprocess.Popen[bytes], Connection] | None = None
        self._lost_in_a_row = 0
        self._number = 0  # of the latest request

    def ask(self, units: bytes, seconds: float) -> list[Reply]:
        """Score packed units.

        Raises:
            WorkerLostError: no answer within `seconds`, or another request's, or the process died; the next
                call starts another process.
            RewardError: the reward's module cannot be imported, or workers are lost again and again.
        """
        try:
            replies: list[Reply] = pickle.loads(self._ask(units, seconds))
        except WorkerLostError as lost:
            self.close()
            self._lost_in_a_row += 1
            if self._lost_in_a_row < MAX_LOST_IN_A_ROW:
                raise
            raise RewardError(
                f"the reward `{self._name}` lost {MAX_LOST_IN_A_ROW} worker processes in a row; the last one "
                f"{lost}. Try it on one response by hand; raise `reward_timeout_seconds` if it is only slow"
            ) from None
        except BaseException:  # an answer that nobody reads must not be taken for the next one's
            self.close()
            raise
        self._lost_in_a_row = 0
        return replies

    def kill(self) -> None:
        """End the process and all that it started; another thread may be asking."""
        if self._running is not None and self._running[0].poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._running[0].pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process and leave nothing of it behind."""
        if self._running is not None:
            self.kill()
            self._running[0].wait()
            self._running[1].close()
            self._running = None

    def _ask(self, units: bytes, seconds: float) -> bytes:
        if self._running is None:
            self._running = _start()
            refused = _exchange(*self._running, self._setup, START_SECONDS).decode()
            if refused:
                raise RewardError(
                    f"the reward `{self._name}` cannot be loaded in its worker process: {refused}. "
                    "A fresh interpreter must be able to import its module"
                )
        self._number += 1
        answer = _exchange(*self._running, numbered(self._number, units), seconds)
        number, replies = split_number(answer)
        while number == self._number and not replies:  # a sign of life: the time begins anew
            number, replies = split_number(_exchange(*self._running, b"", seconds))
        if number != self._number:
            raise WorkerLostError("sent a reply to another request")
        return replies


def _start() -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = Pipe()
    paths = [str(path) or os.getcwd() for path in sys.path]
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", _BOOT, str(theirs.fileno()), *paths],
            stdin=subprocess.DEVNULL,
            stdout=2,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is the trainer's to handle
            env={"PYTHONHASHSEED": "0", **os.environ},
        )
    return process, ours


def _exchange(process: subprocess.Popen[bytes], link: Connection, message: bytes, seconds: float) -> bytes:
    """Send a message, unless it is empty, and wait for the next one."""
    try:
        if message:
            link.send_bytes(message)
        if link.poll(seconds):
            return link.recv_bytes()
    except (EOFError, OSError):
        raise WorkerLostError(_end(process)) from None
    raise WorkerLostError(f"timed out after {seconds:g} s", timed_out=True)


def _end(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, in words."""
    try:
        code = process.wait(1.0)
    except subprocess.TimeoutExpired:
        return "closed its connection"
    return f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
