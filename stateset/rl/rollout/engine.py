"""The rollout engine's protocol: prompts in, sampled responses out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from stateset.rl.policy.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt and the seeds of its responses, one each."""

    prompt_ids: tuple[int, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to sample: `temperature` (0 is greedy), `max_tokens` a response, `stop_ids` that end one."""

    temperature: float
    max_tokens: int
    stop_ids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One response: `request` and `sample` say whose; ids and log-probabilities include the stop token."""

    request: int
    sample: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    stopped: bool


class RolloutEngine(Protocol):
    """Samples responses. Implementers need not know of rewards, groups or training.

    An engine whose log-probabilities are exactly the trainer's says so with an attribute `exact = True`; any
    other gets the rollout correction.
    """

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield every response of every request, in any order."""
        ...

    def load_weights(self, policy: Policy) -> None:
        """Take over the policy's current weights."""
        ...
