"""Scoring itself: a reward is called on units; what fails in the user's code becomes a reply, not an error.

`UnitRunner` does it, in this process or in a worker. `main` is a worker's life: it receives the pickled
reward, then numbered batches of units, and answers each under its number, with nothing as long as it gets on
through the plain work of coroutines; it ends when the other end of
the connection is closed. `process.py` is that end. A child that the reward forks never answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import pickle
import signal
import time
import types
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from stateset.rl.errors import RewardError
from stateset.rl.rewards.call import RewardCall
from stateset.rl.rewards.failure import ENDS_THE_RUN, describe_failure
from stateset.rl.rewards.judge import asked
from stateset.rl.rewards.result import Sample
from stateset.rl.types import Score
from stateset.rl.verifiers.sandbox.executor import used

ORPHAN_SECONDS = 15.0  # how long past its limit a worker lives whose parent has died
TELL_SECONDS = 0.5  # between two signs of life
NUMBER_BYTES = 8  # before each request and each reply

Unit = Sequence[Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of one unit.

    `failure` is "", "raised", "timed out" or "crashed"; the scores of a failed unit are None with the
    reason. `broken` is the message of a broken contract, or of what is missing for any response, which ends
    the run. `tiers` names the sandboxes in which the process has run code so far, `judges` the models that
    it has asked, each with why it is not fit to judge.
    """

    scores: tuple[Score, ...] = ()
    failure: str = ""
    broken: str = ""
    tiers: frozenset[str] = frozenset()
    judges: tuple[tuple[str, str], ...] = ()


def failed(unit: Unit, failure: str, reason: str) -> Reply:
    """Return the reply of a unit that could not be scored."""
    return Reply(scores=tuple(Score(total=None, reason=reason) for _ in unit), failure=failure)


def timed_out(unit: Unit, timeout_seconds: float) -> Reply:
    """Return the reply of a unit that took too long."""
    return failed(unit, "timed out", f"timed out after {timeout_seconds:g} s")


def numbered(number: int, message: bytes) -> bytes:
    """Put the request's number before a request or its reply."""
    return number.to_bytes(NUMBER_BYTES) + message


def split_number(message: bytes) -> tuple[int, bytes]:
    """Undo `numbered`."""
    return int.from_bytes(message[:NUMBER_BYTES]), message[NUMBER_BYTES:]


@contextlib.contextmanager
def forks_end_here() -> Iterator[None]:
    """End a child that the code inside forked and that came back: it must not go on as its parent."""
    process_id = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process_id:
            os._exit(0)


def _broken(unit: Unit, error: Exception) -> Reply:
    """The reply that ends the run; what a part of another reward says does not know its row."""
    said, task = str(error), f"task {unit[0].task_id!r}"
    where = f"{task}, sample {unit[0].index}" if len(unit) == 1 else task
    return Reply(broken=said if task in said or not isinstance(error, RewardError) else f"{said} ({where})")


class UnitRunner:
    """Calls a reward on units, coroutines together on one event loop with a time limit each.

    What one of them does without waiting, as its verifier and the plain parts of a combination, stops the
    loop for all: that time counts against its own limit alone. A plain function is not limited here: only the
    death of its process stops it.

    Args:
        call: how the reward is called.
        timeout_seconds: limit of one unit.
        alive: told now and then that a coroutine got on.
    """

    def __init__(
        self, call: RewardCall, timeout_seconds: float, alive: Callable[[], None] = lambda: None
    ) -> None:
        self._call = call
        self._timeout_seconds = timeout_seconds
        self._alive, self._told = alive, 0.0
        self._limits: set[asyncio.Timeout] = set()  # of the coroutines under way
        # A thread of its own, because the caller's may already run a loop (a notebook's does).
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._loop = asyncio.Runner()

    def run(self, units: Sequence[Unit]) -> list[Reply]:
        """Score every unit, one reply each."""
        if not self._call.is_async:
            replies = [self._attempt(unit) for unit in units]
        else:
            replies = self._thread.submit(self._loop.run, self._attempt_together(units)).result()
        tiers, judges = frozenset(used), tuple(asked.items())
        return [replace(reply, tiers=tiers, judges=judges) for reply in replies]

    def close(self) -> None:
        """End the event loop."""
        self._thread.submit(self._loop.close).result()
        self._thread.shutdown()

    def _attempt(self, unit: Unit) -> Reply:
        try:
            with forks_end_here():
                result = self._call.function(**self._call.arguments(unit))
            return Reply(scores=self._call.scores(unit, result))
        except ENDS_THE_RUN as error:
            return _broken(unit, error)
        except (Exception, SystemExit) as error:
            return failed(unit, "raised", describe_failure(error))

    async def _attempt_together(self, units: Sequence[Unit]) -> list[Reply]:
        return await asyncio.gather(*(self._attempt_async(unit) for unit in units))

    async def _attempt_async(self, unit: Unit) -> Reply:
        limit = asyncio.timeout(self._timeout_seconds)
        try:
            async with limit:
                self._limits.add(limit)
                with forks_end_here():
                    result = await self._stepped(self._called(unit), limit)
            return Reply(scores=self._call.scores(unit, result))
        except ENDS_THE_RUN as error:
            return _broken(unit, error)
        except (Exception, SystemExit) as error:
            if limit.expired():
                return timed_out(unit, self._timeout_seconds)
            return failed(unit, "raised", describe_failure(error))
        finally:
            self._limits.discard(limit)

    async def _called(self, unit: Unit) -> object:
        return await self._call.function(**self._call.arguments(unit))

    @types.coroutine
    def _stepped(
        self, coroutine: Coroutine[Any, Any, object], limit: asyncio.Timeout
    ) -> Generator[Any, Any, object]:
        """Await it; what its steps take is given back to the others."""
        resume: Callable[[], Any] = functools.partial(coroutine.send, None)
        while True:
            began = time.monotonic()
            try:
                waits_for = resume()
            except StopIteration as done:
                return done.value
            finally:
                self._give_back(time.monotonic() - began, limit)
            try:
                yield waits_for
                resume = functools.partial(coroutine.send, None)
            except BaseException as error:  # a limit, the end of the loop
                resume = functools.partial(coroutine.throw, error)

    def _give_back(self, seconds: float, limit: asyncio.Timeout) -> None:
        for other in self._limits - {limit}:
            due = other.when()
            if due is not None and not other.expired():
                other.reschedule(due + seconds)
        # what its limit has cancelled and goes on all the same is for the parent to kill
        if not limit.expired() and time.monotonic() - self._told > TELL_SECONDS:
            self._told = time.monotonic()
            self._alive()


def main(descriptor: int) -> NoReturn:
    """Serve the parent on the other end of the connection until it closes."""
    os.set_inheritable(descriptor, False)
    with contextlib.suppress(EOFError, OSError):
        _serve(Connection(descriptor))
    os._exit(0)  # threads that the reward started must not keep the process


def _serve(connection: Connection) -> None:
    number, process_id = 0, os.getpid()
    setup = connection.recv_bytes()

    def alive() -> None:
        if os.getpid() == process_id:
            signal.setitimer(signal.ITIMER_REAL, timeout_seconds + ORPHAN_SECONDS)
            connection.send_bytes(numbered(number, b""))

    try:
        with forks_end_here():
            reward, verifier, timeout_seconds = pickle.loads(setup)
            runner = UnitRunner(RewardCall(reward, verifier), timeout_seconds, alive)
    except (Exception, SystemExit) as error:
        connection.send_bytes(describe_failure(error).encode())
        return
    connection.send_bytes(b"")
    while True:
        number, units = split_number(connection.recv_bytes())
        signal.setitimer(signal.ITIMER_REAL, timeout_seconds + ORPHAN_SECONDS)
        replies = runner.run(pickle.loads(units))
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(numbered(number, pickle.dumps(replies)))
