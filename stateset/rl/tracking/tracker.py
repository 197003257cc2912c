"""The protocol for sending metrics elsewhere. The run directory stays the truth; a tracker gets a copy."""

from __future__ import annotations

from typing import Protocol

from stateset.rl.types import StepMetrics


class Tracker(Protocol):
    """Receives each step's metrics.

    An implementer need not know who else listens, nor keep anything: what it is given is already on disk. An
    evaluation arrives as metrics of its step that hold only `eval/...` values.
    """

    def log(self, metrics: StepMetrics) -> None:
        """Take the metrics of one step."""

    def close(self) -> None:
        """Send what is still buffered; called once, by whoever made the tracker."""
