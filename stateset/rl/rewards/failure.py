"""One line that says what went wrong in a user's code, and where; without the keys that it was run with."""

from __future__ import annotations

import sysconfig
import traceback

from stateset.rl.errors import ConfigError, MissingExtraError, RewardError, SandboxError
from stateset.rl.redact import redact

ENDS_THE_RUN = (RewardError, ConfigError, MissingExtraError, SandboxError)  # no response is at fault
_LIBRARIES = ("<frozen", *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")))


def describe_failure(error: BaseException) -> str:
    """Return "ValueError: no order (/home/me/my_rewards.py:12)": the deepest line outside libraries."""
    said = redact(f"{type(error).__name__}: {error}".rstrip(": "))
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)] or list(frames)
    return f"{said} ({own[-1].filename}:{own[-1].lineno})" if own else said


class UnscorableError(Exception):
    """Nobody can say what a response is worth, and it is not the response's fault."""


class NoAnswerError(UnscorableError):
    """A judge's endpoint did not answer, or was left alone: this says nothing of the response."""
