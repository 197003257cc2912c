"""One family of errors: every message says what is wrong, where, and what to do."""

from __future__ import annotations


class StatesetRLError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class ConfigError(StatesetRLError):
    """A setting, argument or project file is wrong."""

    exit_code = 2


class DataError(StatesetRLError):
    """A row or data file is missing, corrupt or unusable; the message names file, line and reason."""

    exit_code = 2


class RewardError(StatesetRLError):
    """A reward function broke its contract; the message names the function, the sample and the value."""


class ModelError(StatesetRLError):
    """A model or tokenizer cannot be loaded or lacks something that training needs."""

    exit_code = 2


class ModelNotTrainableError(ModelError):
    """The name belongs to a closed API model: there are no weights to train."""


class MissingExtraError(StatesetRLError):
    """An optional dependency is not installed; the message holds the pip command."""

    exit_code = 4


class SandboxError(StatesetRLError):
    """Code of a model cannot be run safely here, so none was run."""


class CheckpointError(StatesetRLError):
    """A checkpoint or a model folder could not be written, or a checkpoint not be read."""


class TrainingError(StatesetRLError):
    """Training cannot go on, for example after a non-finite gradient; the message says what to try."""


class LostRankError(TrainingError):
    """Another process of the same run ended, or cannot be reached."""


class GateError(StatesetRLError):
    """A quality gate said no."""

    exit_code = 3


class StoppedError(StatesetRLError):
    """A signal stopped training after a checkpoint; `exit_code` is 128 + the signal's number."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
