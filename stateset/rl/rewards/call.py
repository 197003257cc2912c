"""How a reward is called: one rule for objects, functions and batched functions.

An object's `compute(prompt, response, context)` wins over its `calculate(response, context)`;
`compute(response, context)` works too. A function is called by its parameter names: prompt (or question),
response (or answer: the model's, the gold is `context["answer"]`), context, verified, completions. With
`completions` it is batched: it gets all responses of a group and returns one value each. So does an object's
`score_group(responses, contexts)`, which wins over the others. A verifier's verdict stands in each response's
own context, as `verified`; a part of another reward takes it from there. A row's own columns `verified` and
`messages` are hidden: the one is a verifier's word, the other the prompt. Whatever does not fit is refused
here, before anything is sampled.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stateset.rl.errors import ConfigError
from stateset.rl.rewards.result import Sample, to_score, to_values
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.types import RolloutGroup, Score
from stateset.rl.verifiers.verifier import make_verifier

_MEANING = {
    "prompt": "prompt",
    "question": "prompt",
    "response": "response",
    "answer": "response",
    "context": "context",
    "verified": "verified",
    "completions": "completions",
}
_GROUP = {"responses": "completions", "contexts": "contexts"}
NAME_A_VERIFIER = (
    "name one with `verifier: module:name` in the project file, `--verifier MODULE:NAME` of `reward check`, "
    "or `verifier=` in Python"
)
_METHOD_ORDER = {2: ("response", "context"), 3: ("prompt", "response", "context")}


class RewardCall:
    """A reward with the one way to call it.

    Attributes:
        name: module and name of the function or class, for messages.
        function: what is called.
        batched: takes all responses of a group at once.
        is_async: `function` is a coroutine function.
        concurrency: how many of its coroutines run at a time; None: any number.
        bounds: the lowest and highest reward, or None.
        weights: of the reward's parts by name (its `weights` or `criteria`), or None.
        asks_verified: the name of what asks for `verified`, the reward or a part of it; else empty.

    Args:
        reward: what is called.
        verifier: gives the verdicts.
        is_part: of another reward, whose contexts hold the verdicts.

    Raises:
        ConfigError: not callable by the rule above, or it asks for `verified` and there is no verifier.
    """

    def __init__(
        self, reward: Any, verifier: Callable[..., Any] | None = None, *, is_part: bool = False
    ) -> None:
        self.function, is_method = _entry(reward)
        self.name = _name(reward)
        self.bounds = _bounds(reward, self.name)
        self.weights = _weights(reward)
        whole_group = not isinstance(reward, type) and hasattr(reward, "score_group")
        self._meanings = _GROUP if whole_group else _meanings(self.function, self.name, is_method)
        self._verify = make_verifier(verifier) if verifier is not None else None
        self.batched = "completions" in self._meanings.values()
        self.is_async = is_async(self.function)
        self.concurrency = getattr(reward, "concurrency", None)
        own = self.name if "verified" in self._meanings.values() else ""
        self.asks_verified: str = own or getattr(reward, "asks_verified", "")
        if self.asks_verified and verifier is None and not is_part:
            raise ConfigError(
                f"the reward `{self.asks_verified}` asks for `verified`, but there is no verifier: "
                f"{NAME_A_VERIFIER}"
            )

    def units(self, group: RolloutGroup) -> list[list[Sample]]:
        """Split a group into what one call scores: single samples, or the whole group where batched."""
        samples = _samples(group)
        return [samples] if self.batched and samples else [[sample] for sample in samples]

    def arguments(self, unit: Sequence[Sample]) -> dict[str, Any]:
        """Return the keyword arguments of one call; the contexts are the call's own copies.

        Raises:
            ConfigError: the reward asks for `verified`, and no context has it.
        """
        contexts = [copy.deepcopy(dict(sample.context)) for sample in unit]
        for sample, context in zip(unit, contexts, strict=True):
            if self._verify:
                context["verified"] = self._verify(sample.prompt, sample.response, context)
        verdicts = [context.get("verified") for context in contexts]
        values = {
            "prompt": unit[0].prompt,
            "response": unit[0].response,
            "context": contexts[0],
            "verified": verdicts if self.batched else verdicts[0],
            "completions": [sample.response for sample in unit],
            "contexts": contexts,
        }
        if "verified" in self._meanings.values() and None in verdicts:
            raise ConfigError(f"the reward `{self.name}` asks for `verified`: give contexts that have it")
        if self.batched and "verified" in contexts[0]:
            values["context"] = {**contexts[0], "verified": verdicts}
        return {parameter: values[meaning] for parameter, meaning in self._meanings.items()}

    def scores(self, unit: Sequence[Sample], result: object) -> tuple[Score, ...]:
        """Check what a call returned.

        Raises:
            RewardError: the result breaks the contract; names function, sample and value.
        """
        values = to_values(result, self.name, unit) if self.batched else [result]
        return tuple(to_score(value, self.name, sample) for value, sample in zip(values, unit, strict=True))


def _weights(reward: Any) -> dict[str, float] | None:
    for name in ("weights", "criteria"):
        found = getattr(reward, name, None)
        if isinstance(found, Mapping) and all(isinstance(value, int | float) for value in found.values()):
            return {str(part): float(weight) for part, weight in found.items()}
    return None


def _samples(group: RolloutGroup) -> list[Sample]:
    task = group.task
    messages = [{"role": "user", "content": task.prompt}] if isinstance(task.prompt, str) else [*task.prompt]
    context: dict[str, Any] = {**task.context, "messages": messages}
    context.pop("verified", None)  # a column of this name is no verifier's verdict
    if task.answer is not None:
        context.setdefault("answer", task.answer)
    return [
        Sample(
            task_id=task.id,
            index=rollout.sample,
            prompt=task.question,
            response=rollout.text,
            context=context,
        )
        for rollout in group.rollouts
    ]


def _entry(reward: Any) -> tuple[Callable[..., Any], bool]:
    """Return the function to call, and whether it is a method with an order of its own."""
    if isinstance(reward, type):
        raise ConfigError(f"the reward is the class {reward.__name__}: give an instance, {reward.__name__}()")
    if callable(getattr(reward, "score_group", None)):
        return reward.score_group, True
    compute = getattr(reward, "compute", None)
    if callable(compute) and getattr(compute, "__func__", None) is not RewardFunction.compute:
        return compute, True
    if callable(getattr(reward, "calculate", None)):
        return reward.calculate, True
    if callable(reward) and not isinstance(reward, RewardFunction):
        return reward, False
    raise ConfigError(
        f"{_name(reward)} is no reward: give a function, or an object with "
        "`compute(prompt, response, context)` or `calculate(response, context)`"
    )


def _meanings(function: Callable[..., Any], name: str, is_method: bool) -> dict[str, str]:
    """Which value each parameter receives."""
    parameters = _parameters(function, name)
    known = {p: _MEANING[p.lstrip("_")] for p in parameters if p.lstrip("_") in _MEANING}
    required = [p for p, has_default in parameters.items() if p in known or not has_default]
    unknown = [p for p in required if p not in known]
    order = _METHOD_ORDER.get(len(required), ()) if is_method and unknown else ()
    by_place = dict(zip(required, order, strict=False))
    if unknown and (not by_place or any(by_place[p] != meaning for p, meaning in known.items())):
        raise ConfigError(
            f"the reward `{name}` has a parameter {unknown[0]!r} that nothing can fill: name its parameters "
            f"among {', '.join(_MEANING)}, or give the others a default"
        )
    meanings = by_place or known
    _check_use(list(meanings.values()), name)
    return meanings


def _parameters(function: Callable[..., Any], name: str) -> dict[str, bool]:
    """Parameter name -> whether it has a default; *args and **kwargs are left empty."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some builtins have no signature
        signature = inspect.Signature()
    parameters = [p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if any(p.kind is p.POSITIONAL_ONLY for p in parameters):
        raise ConfigError(f"the reward `{name}` has positional-only parameters: drop the `/`")
    return {p.name: p.default is not p.empty for p in parameters}


def _check_use(meanings: list[str], name: str) -> None:
    if not {"response", "verified", "completions"} & set(meanings):
        raise ConfigError(
            f"the reward `{name}` never sees the model's answer: give it a parameter `response` (or "
            "`answer`), or `completions` for all responses of a group"
        )
    if "completions" in meanings and "response" in meanings:
        raise ConfigError(
            f"the reward `{name}` takes `completions` (a whole group) and a single response: keep one of them"
        )


def _bounds(reward: Any, name: str) -> tuple[float, float] | None:
    bounds = getattr(reward, "bounds", None)
    if bounds is None:
        return None
    try:
        low, high = map(float, bounds)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ConfigError(
            f"the reward `{name}` has bounds {bounds!r}: give (lowest, highest), two finite numbers"
        )
    return low, high


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call gives a coroutine: of a coroutine function, or an object that is called as one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _name(reward: Any) -> str:
    if isinstance(reward, RewardFunction) and isinstance(getattr(reward, "name", None), str):
        return str(reward.name)  # type: ignore[attr-defined]
    named = reward if inspect.isroutine(reward) else type(reward)
    return f"{named.__module__}.{named.__qualname__}"
