"""The values that flow through one training step.

rows -> Task -> RolloutGroup -> ScoredGroup -> advantages -> Batch -> loss -> StepMetrics. Each stage returns
a new, complete, frozen value; nothing is filled in later. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

OVERLONG = "overlong"  # the part of a score that punishes its length


class Message(TypedDict):
    """One chat message, in the shape that chat templates take."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One prompt to answer, with what a reward may look at.

    `prompt` is what the user's row held (a string or a list of messages). `context` is the row's `context`
    merged with every column that is not a field of its own; it also holds `answer` (the gold answer) where
    the row has one.
    """

    id: str
    prompt: str | tuple[Message, ...]
    answer: str | None = None
    difficulty: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""  # "tickets.jsonl:12", for error messages

    @property
    def question(self) -> str:
        """The prompt as text: the string itself, or the last user message."""
        if isinstance(self.prompt, str):
            return self.prompt
        return next((m["content"] for m in reversed(self.prompt) if m["role"] == "user"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One sampled response: token ids and a loss mask, never text that is tokenized again.

    The three tuples have one entry a response token. `loss_mask` is 1 where the policy chose the token.
    `sampler_logprobs` are the rollout engine's log-probabilities, temperature included (0 outside the mask).
    `stop_reason` is "stop" (an end-of-sequence token, which is part of the response) or "length".
    """

    sample: int
    text: str
    token_ids: tuple[int, ...]
    loss_mask: tuple[int, ...]
    sampler_logprobs: tuple[float, ...]
    stop_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutGroup:
    """All responses to one prompt; `prompt_ids` is shared by every rollout."""

    task: Task
    prompt_ids: tuple[int, ...]
    rollouts: tuple[Rollout, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a reward says of one response.

    `total` is None when the response could not be scored: it is counted, shown, and never trains. `parts` are
    the unweighted components, `reason` one sentence for people.
    """

    total: float | None
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def value(self) -> float:
        """The total as a float, NaN when unscorable."""
        return math.nan if self.total is None else self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredGroup:
    """A rollout group with one score a rollout."""

    group: RolloutGroup
    scores: tuple[Score, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """Totals as floats, NaN where unscorable."""
        return tuple(score.value for score in self.scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """What one training step measured.

    `reward_std` is the mean standard deviation (n-1) within a group; `kl_div` the k3 estimate to the
    reference, NaN without one; `quality_score` the mean reward mapped to [0, 1] by the reward's bounds, else
    by the lowest and highest reward so far in the run. `values` holds every metric of the step under its
    logged name.
    """

    step: int
    avg_reward: float
    reward_std: float
    kl_div: float
    quality_score: float
    values: Mapping[str, float] = field(default_factory=dict)
