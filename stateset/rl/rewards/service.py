"""Ready-made rewards for support replies: the criteria of `criteria.py` under weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeGuard

from stateset.rl.errors import ConfigError
from stateset.rl.rewards import criteria
from stateset.rl.rewards.criteria import CRITERIA, Criterion
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.rewards.text import own_words, texts
from stateset.rl.types import Score


def helpfulness(prompt: str, response: str, context: Mapping[str, Any]) -> float:
    """0.7 resolution + 0.3 clarity: an answer that solves the issue and can be followed."""
    return 0.7 * criteria.resolution(prompt, response, context) + 0.3 * criteria.clarity(
        prompt, response, context
    )


Weights = Mapping[str, float | tuple[float, Criterion]]
KNOWN_CRITERIA: Mapping[str, Criterion] = MappingProxyType({**CRITERIA, "helpfulness": helpfulness})


FIVE = MappingProxyType(
    {"resolution": 0.35, "empathy": 0.25, "clarity": 0.20, "efficiency": 0.10, "policy_compliance": 0.10}
)
_RESOLVED = 0.5  # from here on a reply's manners count in full


class CustomerServiceReward(RewardFunction):
    """Resolution 0.35, empathy 0.25, clarity 0.20, efficiency 0.10, policy compliance 0.10; in [0, 1].

    Empathy, clarity and efficiency count only as far as something is resolved: in full from a resolution of
    0.5 on. A reply that repeats its messages, the policy among them, has nothing of its own and scores 0.

    Override a method to measure one criterion your own way; change `criteria` to weigh them otherwise.
    """

    bounds: tuple[float, float] | None = (0.0, 1.0)

    def __init__(self) -> None:
        self.criteria = dict(FIVE)

    def calculate(self, response: str, context: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
        """Return the weighted sum and every criterion's score.

        The prompt is the last user message of `context["messages"]`, or `context["prompt"]`; without either
        nothing can be off the topic.
        """
        own = own_words(_conversation(context), response)
        resolution = own * self.check_resolution(response, context)
        earned = own * min(1.0, resolution / _RESOLVED)
        scores = {
            "resolution": resolution,
            "empathy": earned * self.measure_empathy(response),
            "clarity": earned * self.evaluate_clarity(response),
            "efficiency": earned * criteria.efficiency("", response, context),
            "policy_compliance": own * self.check_policies(response, context),
        }
        _refuse_unknown(self.criteria, scores)
        return sum(weight * scores[name] for name, weight in self.criteria.items()), scores

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Score:
        """Score through `calculate`, with the prompt as the context's last message."""
        messages = context.get("messages") or [{"role": "user", "content": prompt}]
        total, scores = self.calculate(response, {**context, "messages": messages})
        return Score(total=total, parts=scores)

    def check_resolution(self, response: str, context: Mapping[str, Any]) -> float:
        """Say how far the response solves the problem."""
        return criteria.resolution(_question(context), response, context)

    def measure_empathy(self, response: str) -> float:
        """Say how understanding the response is."""
        return self.empathy_detector(response)

    def evaluate_clarity(self, response: str) -> float:
        """Say how clear the response is."""
        return criteria.clarity("", response, {})

    def check_policies(self, response: str, context: Mapping[str, Any]) -> float:
        """Say how far the response follows the rules."""
        return criteria.policy_compliance(_question(context), response, context)


class CustomerSatisfactionReward(RewardFunction):
    """A weighted sum of criteria; its bounds follow from the weights.

        CustomerSatisfactionReward({"resolution": 0.7, "names order": (0.3, names_order)})

    Args:
        weights: name of a known criterion -> weight, or a name of your own -> weight and a function
            `(prompt, response, context) -> float` in [0, 1]. Default: the five of `CustomerServiceReward`.

    Raises:
        ConfigError: an unknown criterion (the message lists the known ones) or a weight that is no number.
    """

    def __init__(self, weights: Weights = FIVE) -> None:
        self.functions, self.weights = _checked(weights)
        values = self.weights.values()
        self.bounds = (sum(min(0.0, v) for v in values), sum(max(0.0, v) for v in values))

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Score:
        """Return the weighted sum, with each criterion as a part."""
        own = own_words(_conversation(context), response) if _conversation(context) else 1.0
        parts = {name: own * self.functions[name](prompt, response, context) for name in self.weights}
        return Score(total=sum(weight * parts[name] for name, weight in self.weights.items()), parts=parts)


def evaluate_response(
    response: str,
    criteria: Weights,
    *,
    prompt: str = "",
    context: Mapping[str, Any] | None = None,
) -> float:
    """Return the weighted sum of criteria for one response; without `prompt` relevance cannot count.

    Args:
        response: what is scored.
        criteria: as `CustomerSatisfactionReward` takes them.
        prompt: the customer's message.
        context: facts of the row.

    Raises:
        ConfigError: an unknown criterion (the message lists the known ones) or a weight that is no number.
    """
    return CustomerSatisfactionReward(criteria).compute(prompt, response, context or {}).value


def _conversation(context: Mapping[str, Any]) -> str:
    """All that the messages, or the prompt, and the column `policy` say."""
    messages = context.get("messages") or [{"content": context.get("prompt", "")}]
    said = [str(m.get("content", "")) for m in messages if isinstance(m, Mapping)]
    return "\n".join([*said, *texts(context.get("policy"))])


def _question(context: Mapping[str, Any]) -> str:
    """The last user message of the context's conversation, or its `prompt`."""
    messages = context.get("messages") or []
    return next(
        (
            str(m.get("content", ""))
            for m in reversed(messages)
            if isinstance(m, Mapping) and m.get("role") == "user"
        ),
        str(context.get("prompt", "")),
    )


def _checked(weights: Weights) -> tuple[dict[str, Criterion], dict[str, float]]:
    """The function and the weight of every name."""
    if not weights:
        raise ConfigError("no criteria were given: pass weights such as {'resolution': 0.7, 'tone': 0.3}")
    own = {name: given[1] for name, given in weights.items() if _is_pair(given)}
    known = {**KNOWN_CRITERIA, **own}
    _refuse_unknown(weights, known)
    checked: dict[str, Any] = {name: w[0] if _is_pair(w) else w for name, w in weights.items()}
    for name, weight in checked.items():
        if not isinstance(weight, int | float) or not math.isfinite(weight):
            raise ConfigError(f"the weight of {name!r} is {weight!r}: give a finite number")
    return {name: known[name] for name in weights}, {name: float(weight) for name, weight in checked.items()}


def _is_pair(given: Any) -> TypeGuard[tuple[float, Criterion]]:
    """A weight and a function of one's own."""
    return isinstance(given, tuple) and len(given) == 2 and callable(given[1])


def _refuse_unknown(names: Mapping[str, object], known: Mapping[str, object]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown criterion {name!r}: known are {', '.join(sorted(known))}")
