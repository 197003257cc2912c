"""Metrics as TensorBoard scalars. Uses TensorBoard's own writer: neither torch nor TensorFlow is imported."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from stateset.rl.errors import MissingExtraError
from stateset.rl.types import StepMetrics


class TensorBoardTracker:
    """A `Tracker` that writes an event file; look at it with `tensorboard --logdir FOLDER`.

    Args:
        folder: where the event file goes, such as the run directory's `tensorboard/`.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise MissingExtraError(
                "TensorBoardTracker needs TensorBoard: pip install 'stateset-rl[tensorboard]'"
            ) from error
        self._event, self._summary = Event, Summary
        self._writer: Any = EventFileWriter(str(folder))

    def log(self, metrics: StepMetrics) -> None:
        """Write every finite value of the step under its logged name."""
        values = [
            self._summary.Value(tag=name, simple_value=value)
            for name, value in metrics.values.items()
            if math.isfinite(value)
        ]
        summary = self._summary(value=values)
        self._writer.add_event(self._event(step=metrics.step, wall_time=time.time(), summary=summary))
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
