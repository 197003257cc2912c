"""How a run is asked to stop: Ctrl-C, SIGTERM, a machine that will be taken away, a time limit.

All of them end the work at the next `beat()`, within a token of a rollout or a micro-batch. The step under
way is dropped, not finished: nothing of it has changed a weight, its draws are counted, so that the resumed
run takes it again bit for bit, and what is saved is the end of the step before. Once a step changes weights,
`held` lets it come to its end: no checkpoint lies between its optimizer steps. A second signal ends the
process at once; what is on the disk stays whole.

A cloud that takes a machine back mostly says so by SIGTERM. Where it says it by other means, let whatever
hears it create the file that the environment variable STATESET_RL_SPOT_NOTICE names: that counts as SIGTERM.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from stateset.rl.errors import StoppedError
from stateset.rl.pulse import listening

NOTICE = "STATESET_RL_SPOT_NOTICE"
LOOK_SECONDS = 1.0  # between two looks for that file


class StopNow(BaseException):
    """What `beat` raises where a stop is asked for: the work under way is dropped.

    Like KeyboardInterrupt it is no `Exception`: nothing may take it for a failure of what it interrupts.
    """


class StopRequest:
    """While it is entered, a signal asks for a stop instead of ending the process.

    Outside the main thread, where Python allows no handlers, only the notice and the limit are heeded.

    Args:
        limit_seconds: after which a stop is asked for.
        clock: seconds that only go up.
        before: the request of an earlier call; a signal that came too late to stop that one stops this one.

    Attributes:
        number: the signal that asked.
        heeded: whether a signal has stopped anything.
        noticed: the file that stood for it, empty for a real one.
        late: the limit has passed.
        held: work is under way that must come to its end.
    """

    def __init__(
        self,
        limit_seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
        before: StopRequest | None = None,
    ) -> None:
        self.number: int | None = before.number if before is not None and not before.heeded else None
        self.heeded: bool = False
        self.noticed = ""
        self.late = self.held = False
        self._clock, self._deadline = clock, clock() + limit_seconds
        self._notice, self._next_look = os.environ.get(NOTICE), -math.inf
        self._earlier: dict[int, Any] = {}
        self._listening = contextlib.ExitStack()

    def __enter__(self) -> StopRequest:
        self._listening.enter_context(listening(self._hear))
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._earlier[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self.heeded = kind is not None
        if self.number is not None and kind is KeyboardInterrupt:
            raise StoppedError(
                "stopped at once by a second signal: what came after the last checkpoint is lost",
                self.number,
            ) from error

    def look(self) -> bool:
        """Whether a stop is asked for, by whatever."""
        now = self._clock()
        if self._notice and self.number is None and now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            if os.path.exists(self._notice):
                self.number, self.noticed = signal.SIGTERM, self._notice
        self.late = self.late or now >= self._deadline
        return self.number is not None or self.late

    def _hear(self, progress: bool) -> None:
        was_late = self.late  # the evaluation after the limit is not cut off by it, too
        if not self.held and self.look() and (self.number is not None or not was_late):
            raise StopNow

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
