"""Metrics to Weights & Biases, or to a folder beside the run with `WANDB_MODE=offline`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stateset.rl.errors import MissingExtraError
from stateset.rl.types import StepMetrics


class WandbTracker:
    """A `Tracker` that makes one W&B run.

    Args:
        folder: where W&B keeps its local files.
        project: the W&B project.
        name: of the W&B run; None lets W&B make one up.
        config: settings shown beside the run.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        project: str = "stateset-rl",
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            import wandb
        except ImportError as error:
            raise MissingExtraError("WandbTracker needs wandb: pip install 'stateset-rl[wandb]'") from error
        folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(project=project, name=name, dir=str(folder), config=dict(config or {}))

    def log(self, metrics: StepMetrics) -> None:
        """Send every finite value of the step under its logged name."""
        values = {name: value for name, value in metrics.values.items() if math.isfinite(value)}
        self._run.log(values, step=metrics.step)

    def close(self) -> None:
        """Finish the W&B run."""
        self._run.finish()
