"""How long a run will still take: a rough guess from the model's size until steps have been measured."""

from __future__ import annotations

from collections import deque

# Sustained operations per second, low on purpose: a forecast that shrinks annoys nobody.
_OPERATIONS_PER_SECOND = {"cpu": 1e11, "mps": 2e12, "cuda": 2e13}
_WINDOW = 10


def guess_step_seconds(*, num_parameters: int, num_tokens: int, device: str) -> float:
    """Rough seconds of one step, before any was measured.

    Sampling a token costs about 2 operations a parameter, training on it 6 (arXiv 2001.08361).

    Args:
        num_parameters: of the model.
        num_tokens: most tokens that a step samples and trains on.
        device: "cpu", "mps" or "cuda".
    """
    return 8 * num_parameters * num_tokens / _OPERATIONS_PER_SECOND[device]


class Forecast:
    """Remaining seconds of a run.

    Args:
        steps_left: steps that are still to be done.
        step_seconds: what one step is thought to take, until some are measured.
        limit_seconds: the run ends by then at the latest; None: no limit.
    """

    def __init__(self, *, steps_left: int, step_seconds: float, limit_seconds: float | None = None) -> None:
        self._steps_left = steps_left
        self._guess = step_seconds
        self._limit = limit_seconds
        self._first: float | None = None
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._spent = 0.0

    @property
    def step_seconds(self) -> float:
        """Mean of the last 10 steps; the first, which warms everything up, counts only while it is alone."""
        if self._recent:
            return sum(self._recent) / len(self._recent)
        return self._guess if self._first is None else self._first

    def finished(self, seconds: float) -> None:
        """One more step is done; it took this long, evaluations and checkpoints before it included."""
        self._steps_left -= 1
        self._spent += seconds
        if self._first is None:
            self._first = seconds
        else:
            self._recent.append(seconds)

    def remaining(self, elapsed: float) -> float:
        """Seconds until the end, `elapsed` seconds into the current step."""
        if self._steps_left <= 0:
            return 0.0
        each = max(self.step_seconds, elapsed)
        left = each * self._steps_left - elapsed
        return left if self._limit is None else max(0.0, min(left, self._limit - self._spent - elapsed))


def duration(seconds: float) -> str:
    """A time for people: "8 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
