"""What a reward is: `RewardFunction` to subclass, or a function; `@reward` marks one for a project file.

How either is called stands in `call.py`, how many are scored with a time limit in `score.py`. A reward
that cannot judge a response returns None: the response is counted, shown and never trained on. A failure
is never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from stateset.rl.rewards.criteria import empathy, resolution
from stateset.rl.rewards.policies import policy_violations, required_share
from stateset.rl.rewards.text import substance
from stateset.rl.types import Score

RewardResult = float | tuple[float | None, Mapping[str, float]] | Score | None
Marked = TypeVar("Marked", bound=Callable[..., Any])

_MARK = "__stateset_rl_reward__"


class RewardFunction:
    """Base class of rewards: define `compute`; the helpers are there to be called or overridden.

    It runs as a copy in a worker process: what it keeps in itself stays there. The helpers are text rules:
    deterministic, offline and English; `criteria.py` says where they end.
    `bounds` is the lowest and highest reward there can be, if there are any: they scale `quality_score`.
    `weights` says what each part counts in the total, where a reward has it: `adv_estimator: gdpo` takes it.
    """

    bounds: tuple[float, float] | None = None

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> RewardResult:
        """Score one response.

        Args:
            prompt: the prompt, or the last user message of a conversation.
            response: the model's answer.
            context: the row's context, with `messages` (the whole prompt) and, where there is one, `answer`
                (the gold).

        Returns:
            A finite number, None (unscorable), (number, parts) or a `Score`.
        """
        raise NotImplementedError(f"{type(self).__name__} needs `compute(self, prompt, response, context)`")

    def resolves_issue(self, prompt: str, response: str) -> bool:
        """Whether the response does, promises or explains what is asked: `resolution` of at least 0.5."""
        return resolution(prompt, response, {}) >= 0.5

    def empathy_detector(self, response: str) -> float:
        """How many kinds of concern the response voices, in [0, 1]: `empathy` without the prompt."""
        return empathy("", response, {})

    def follows_policies(self, response: str, context: Mapping[str, Any]) -> bool:
        """Whether a response of substance breaks no rule of `context` and holds every required phrase."""
        complete = required_share(response, context) == 1.0 and substance("", response) >= 0.5
        return complete and not policy_violations(response, context)


def reward(function: Marked) -> Marked:
    """Mark a function or class as a reward, so that a project file may name it."""
    setattr(function, _MARK, True)
    return function


def is_reward(value: object) -> bool:
    """Whether `value` is a `RewardFunction` (class or instance) or marked with `@reward`."""
    kind = value if isinstance(value, type) else type(value)
    return issubclass(kind, RewardFunction) or getattr(value, _MARK, False) is True
