"""One process that trains, watched through a pipe and ended by SIGKILL at a given instant.

Processes are forked by a server (`multiprocessing`'s forkserver) that has imported torch once and holds no
threads of it, so that a life begins in a moment.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from stateset.rl.config.schema import Config
from stateset.rl.resume_proof import victim


class Point(NamedTuple):
    """A run was about to do something: `kind` and `checkpoint` as `victim.Observer` sends them."""

    at: float  # monotonic seconds
    kind: str
    checkpoint: str


class Life(NamedTuple):
    """What one process went through, and its exit code: 0 at its end, below 0 the signal that killed it."""

    points: tuple[Point, ...]
    code: int

    @property
    def killed_in(self) -> str:
        """The kind of its last point where it was killed; empty where it ended by itself."""
        return self.points[-1].kind if self.points and self.code == -signal.SIGKILL else ""

    @property
    def committed(self) -> str:
        """Its newest checkpoint that surely had its name, as something came after it; empty without one."""
        return next((point.checkpoint for point in self.points[-2::-1] if point.checkpoint), "")


@dataclass(frozen=True, slots=True)
class Instant:
    """When to kill: so many seconds after the `number`-th point of a kind, or standing still at it (None)."""

    kind: str
    number: int
    seconds: float | None


def live(run: Config, home: Path, *, resume: bool, instant: Instant | None) -> Life:
    """Train `run`, or go on with it, in a process that is killed at `instant` if it comes there.

    Args:
        run: its settings; `output_dir` is absolute.
        home: a folder for its log and aliases.
        resume: whether it goes on with what is in `output_dir`.
        instant: None lets it live.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([victim.__name__])
    ours, theirs = context.Pipe(duplex=False)
    stop_at = (instant.kind, instant.number) if instant and instant.seconds is None else None
    process = context.Process(target=victim.train, args=(run, resume, theirs, stop_at, home), daemon=True)
    process.start()
    theirs.close()
    try:
        points = tuple(_watch(ours, instant, process.kill))
        process.join()
    finally:
        process.kill()
        ours.close()
    return Life(points, process.exitcode or 0)


def spans(life: Life) -> dict[str, list[float]]:
    """Of each kind of point, the seconds from each to the point that followed."""
    found: dict[str, list[float]] = {}
    for point, following in zip(life.points, (*life.points[1:], life.points[-1]), strict=True):
        found.setdefault(point.kind, []).append(following.at - point.at)
    return found


def _watch(link: Connection, instant: Instant | None, kill: Callable[[], None]) -> Iterator[Point]:
    """What comes through `link` until the process is gone; `kill` is called at the instant."""
    seen: Counter[str] = Counter()
    while True:
        try:
            kind, checkpoint = link.recv_bytes().decode().split("|")
        except (EOFError, ConnectionResetError):
            return
        yield Point(time.monotonic(), kind, checkpoint)
        seen[kind] += 1
        if instant and (kind, seen[kind]) == (instant.kind, instant.number):
            time.sleep(instant.seconds or 0)
            kill()
