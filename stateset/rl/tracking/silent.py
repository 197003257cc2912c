"""The recorder of a rank that does not lead: it goes through the same steps, and writes and says nothing."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from stateset.rl.tracking.recorder import Recorder


class SilentRecorder(Recorder):
    """Knows where the run lies, and nothing else; the leading rank decides when time is up."""

    def __init__(self, path: Path) -> None:
        self.path, self.limit_seconds = path, math.inf

    def __enter__(self) -> SilentRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time nothing."""
        yield

    def _nothing(self, *_: Any, **__: Any) -> None:
        """Write and say nothing."""

    step = warm_start_step = warm_start_done = evaluation = _nothing
    unscored = sandboxes = notice = warning = event = bad_batches = _nothing
