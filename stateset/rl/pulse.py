"""`beat()` stands between two pieces of long work: the work goes on, and may be dropped here without a trace.

Between two tokens of a rollout, two micro-batches, two scores. Who listens is for `train()` to say: the
request to stop (`signals.py`), which raises there, and the watchdog (`watchdog.py`). Without them a beat does
nothing, so that engines and rewards are the same everywhere. It belongs to the main thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Listener = Callable[[bool], None]
_listeners: list[Listener] = []


def beat(*, progress: bool = True) -> None:
    """Tell the listeners; without `progress` something is only still being waited for."""
    for listener in _listeners:
        listener(progress)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener` of each beat."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
