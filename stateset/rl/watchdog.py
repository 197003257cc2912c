"""Says where a run stands still: once a stall, the phase's name and all threads' stacks; the run goes on.

A phase stands still when no beat (`pulse.py`) came for much longer than ever before in it. Nothing is ended:
only a person can tell a deadlock from a slow disk. It cannot speak while a C extension or a regular
expression holds the interpreter's lock.
"""

from __future__ import annotations

import contextlib
import faulthandler
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from stateset.rl.pulse import listening

PATIENCE_SECONDS = 600.0
FACTOR = 10.0  # times the longest gap between two beats of the phase so far
LOOK_SECONDS = 5.0
BETWEEN = "between the phases"


class Watchdog:
    """Watches while it is entered.

    Args:
        report: gets what is said of a stall, from a thread of its own.
        patience_seconds: no shorter gap is a stall, whatever was before.
        clock: seconds that only go up.
        look_seconds: between two looks.
    """

    def __init__(
        self,
        report: Callable[[str], None],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._report, self._patience, self._clock = report, patience_seconds, clock
        self._look_seconds = look_seconds
        self._phase, self._last, self._told = BETWEEN, clock(), False
        self._longest: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._listening = contextlib.ExitStack()

    def __enter__(self) -> Watchdog:
        self._last = self._clock()
        self._listening.enter_context(listening(self._hear))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        self._over.set()
        self._thread.join()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What is done inside has this name; phases may lie within others."""
        outer = self._phase
        self._enter(name)
        try:
            yield
        finally:
            self._enter(outer)

    def look(self) -> None:
        """Report a stall that was not reported yet."""
        phase, seconds = self._phase, self._clock() - self._last
        limit = max(self._patience, FACTOR * self._longest.get(phase, 0.0))
        if seconds > limit and not self._told:
            self._told = True
            self._report(
                f"no progress for {seconds:.0f} s in the phase `{phase}`, where {limit:.0f} s would be much; "
                f"the run goes on. What each thread does:\n{stacks()}"
            )

    def _hear(self, progress: bool) -> None:
        if progress:
            now = self._clock()
            self._longest[self._phase] = max(now - self._last, self._longest.get(self._phase, 0.0))
            self._last, self._told = now, False

    def _enter(self, phase: str) -> None:
        self._hear(True)
        self._phase = phase

    def _watch(self) -> None:
        while not self._over.wait(self._look_seconds):
            self.look()


def stacks() -> str:
    """The stack of every thread of this process, the latest call first."""
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read().decode(errors="replace")
