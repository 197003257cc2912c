"""Rewards made of rewards: weighed, gated, chosen by a column, compared in the group; and a random control.

A part is whatever a project may name as a reward: a `RewardFunction`, a function, an adapter's result; it
sees a verifier's verdict as the whole does. Where a part cannot score a response, or raises, the whole is
unscored for this response alone: nothing stands in for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import math
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stateset.rl.errors import ConfigError, RewardError
from stateset.rl.rewards.call import RewardCall
from stateset.rl.rewards.failure import ENDS_THE_RUN, describe_failure
from stateset.rl.rewards.result import FailedScore, Sample
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.types import Score

Weighted = Mapping[str, tuple[float, Any]]  # name -> (weight, reward)
PASSES = 0.5  # a part counts as met from here on
PARETO_BONUS = 0.2
_BONUS = "pareto_bonus"
_PREPARED = ("_calls", "score_group", "compute")  # by `_prepare`, in every process anew


class _Combined(RewardFunction):
    """Scores all responses of a group with every part; `_combine` makes one score of a response's parts.

    A subclass travels to a worker process as what it holds, without its `__init__` being called there.
    """

    def __init__(self, rewards: Mapping[str, Any], *, whole_group: bool = False) -> None:
        self._rewards, self._whole_group = dict(rewards), whole_group
        self._prepare()

    def _prepare(self) -> None:
        """Find out how the parts are called, and so the whole."""
        self._calls: dict[Any, RewardCall] = {
            name: RewardCall(reward, is_part=True) for name, reward in self._rewards.items()
        }
        self.asks_verified = next(filter(None, (call.asks_verified for call in self._calls.values())), "")
        most = [call.concurrency for call in self._calls.values() if call.concurrency]
        self.concurrency = min(most, default=None)
        self._waits = any(call.is_async for call in self._calls.values())
        together = self._whole_group or any(call.batched for call in self._calls.values())
        if together or self._waits:
            self._refuse_hiding("whole groups" if together else "answers that they wait for")
        if together and not hasattr(type(self), "score_group"):
            self.score_group = self._group_async if self._waits else self._group
        elif self._waits and not together:
            self.compute = self._one_async  # type: ignore[method-assign]

    def _refuse_hiding(self, what: str) -> None:
        """A subclass's `compute` would not be called; another way to score must be its own."""
        kind = type(self)
        defines = next(one for one in kind.__mro__ if "compute" in vars(one))
        if defines.__module__ != __name__ and not hasattr(kind, "score_group"):
            raise ConfigError(
                f"{kind.__module__}.{kind.__qualname__} overrides `compute`, which is not called where parts "
                f"score {what}: give it `score_group(responses, contexts)` instead, or make it a "
                "RewardFunction that holds the combination"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _PREPARED}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Any:
        """Score one response.

        Raises:
            ConfigError: a part waits for an answer, and whole groups are scored.
        """
        if self._waits:
            raise ConfigError(
                f"a part of this {type(self).__name__} waits for an answer, so `compute` cannot score: use "
                "`await reward.score_group([response], [context])`"
            )
        return _finish(self._scores([_sample(prompt, response, context)]))[0]

    async def _one_async(self, prompt: str, response: str, context: Mapping[str, Any]) -> Score:
        return (await self._scores([_sample(prompt, response, context)]))[0]

    def _group(self, responses: Sequence[str], contexts: Sequence[Mapping[str, Any]]) -> list[Score]:
        return _finish(self._group_async(responses, contexts))

    async def _group_async(
        self, responses: Sequence[str], contexts: Sequence[Mapping[str, Any]]
    ) -> list[Score]:
        pairs = zip(responses, contexts, strict=True)
        return await self._scores([_sample(_question(context), text, context) for text, context in pairs])

    async def _scores(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a response; where parts raised and none is left, their first error."""
        calls = self._chosen(samples)
        every = [await _called(call, samples) for call in calls.values()]
        rows = [
            {name: _score(found) for name, found in zip(calls, row, strict=True)}
            for row in zip(*every, strict=True)
        ]
        scores = self._combine(rows, samples)
        failures = [found for part in every for found in part if isinstance(found, BaseException)]
        if failures and all(score.total is None for score in scores):
            raise failures[0]
        return scores

    def _chosen(self, samples: Sequence[Sample]) -> Mapping[Any, RewardCall]:
        """The parts that score these responses of one row."""
        return self._calls

    def _combine(self, rows: Sequence[Mapping[str, Score]], samples: Sequence[Sample]) -> list[Score]:
        raise NotImplementedError


async def _called(call: RewardCall, samples: Sequence[Sample]) -> list[Score | BaseException]:
    """One reward's scores of a group's responses; what it raised stands for those it was called on."""
    units = [samples] if call.batched else [[sample] for sample in samples]
    tries = [_tried(call, unit) for unit in units]
    every = await asyncio.gather(*tries) if call.is_async else [await one for one in tries]
    return [found for unit in every for found in unit]


async def _tried(call: RewardCall, unit: Sequence[Sample]) -> Sequence[Score | BaseException]:
    try:
        result = call.function(**call.arguments(unit))
        return call.scores(unit, await result if call.is_async else result)
    except ENDS_THE_RUN:
        raise
    except (Exception, SystemExit) as error:
        return [error] * len(unit)


def _score(found: Score | BaseException) -> Score:
    return found if isinstance(found, Score) else FailedScore(total=None, reason=describe_failure(found))


def _finish(scoring: Awaitable[list[Score]]) -> list[Score]:
    """Run what never waits."""
    try:
        scoring.__await__().send(None)
    except StopIteration as done:
        found: list[Score] = done.value
        return found
    raise AssertionError("only parts that wait do")


def _sample(prompt: str, response: str, context: Mapping[str, Any]) -> Sample:
    """As a scorer makes it; a context given by hand may lack the messages."""
    context = {"messages": [{"role": "user", "content": prompt}], **context}
    return Sample(task_id="", index=0, prompt=prompt, response=response, context=context)


def _question(context: Mapping[str, Any]) -> str:
    messages = context.get("messages") or [{}]
    return str(messages[-1].get("content", ""))


def _unscored(row: Mapping[str, Score]) -> Score | None:
    """The score of a response that a part could not score."""
    missing = next(((name, score) for name, score in row.items() if score.total is None), None)
    if missing is None:
        return None
    name, score = missing
    kind = FailedScore if isinstance(score, FailedScore) else Score
    return kind(total=None, reason=f"{name}: {score.reason}")


def _values(row: Mapping[str, Score]) -> dict[str, float]:
    """Of the parts, before their weights, which gdpo and the attribution apply themselves."""
    return {name: score.value for name, score in row.items()}


class WeightedReward(_Combined):
    """A weighted sum; a part may count only where another is met.

        WeightedReward({"right": (0.8, check_policy), "tone": (0.2, tone)}, only_if={"tone": "right"})

    Without `only_if` a model may learn the easy part alone and be paid for it. The parts are in the score, so
    that `adv_estimator: gdpo` can standardise each by itself: worth trying where their spreads differ much.

    Args:
        parts: name -> (weight, reward).
        only_if: name of a part -> name of the part that has to count and reach `passes` for it to count.
        passes: see `only_if`.

    Raises:
        ConfigError: no parts, a weight that is no number, a name in `only_if` that is no part's, or a circle
            of parts.
    """

    def __init__(
        self, parts: Weighted, *, only_if: Mapping[str, str] | None = None, passes: float = PASSES
    ) -> None:
        self.weights, rewards = _split(parts)
        self.only_if, self.passes = dict(only_if or {}), passes
        for name in (*self.only_if, *self.only_if.values()):
            if name not in rewards:
                raise ConfigError(f"only_if names {name!r}, which is no part: there are {', '.join(rewards)}")
            if name in (before := self._conditions(name)):
                raise ConfigError(f"only_if goes in a circle: {name} -> {' -> '.join(before)}")
        super().__init__(rewards)
        self.bounds = self._sum_of_bounds()

    def _conditions(self, name: str) -> list[str]:
        """The part that a part depends on, the one that this depends on, and so on, each once."""
        found: list[str] = []
        while (needed := self.only_if.get(found[-1] if found else name)) is not None and needed not in found:
            found.append(needed)
        return found

    def _sum_of_bounds(self) -> tuple[float, float] | None:
        low = high = 0.0
        for name, call in self._calls.items():
            if call.bounds is None:
                return None
            ends = [self.weights[name] * end for end in call.bounds] + [0.0] * (name in self.only_if)
            low, high = low + min(ends), high + max(ends)
        return low, high

    def _combine(self, rows: Sequence[Mapping[str, Score]], samples: Sequence[Sample]) -> list[Score]:
        return [_unscored(row) or self._summed(row) for row in rows]

    def _summed(self, row: Mapping[str, Score]) -> Score:
        values = _values(row)
        counted = {
            name: value
            for name, value in values.items()
            if all(values[needed] >= self.passes for needed in self._conditions(name))
        }
        parts = {name: counted.get(name, 0.0) for name in values}
        return Score(total=sum(self.weights[name] * value for name, value in counted.items()), parts=parts)


class MultiObjectiveReward(_Combined):
    """A weighted sum, and a bonus for the responses of a group that no other is better than.

    A response is Pareto optimal in its group if no other reaches at least its score in every objective and
    more in one. Eligible for the bonus are those that pass the verifier, where there is one, else those that
    reach the group's median sum; of those, responses with equal scores share one bonus. For one response
    alone it is 0: there is nothing to compare with. The part `pareto_bonus` is a response's share of it.

    Args:
        objectives: name -> (weight, reward); a function may take (response, context) under any names.
        bonus: what a Pareto optimal response gets in addition.

    Raises:
        ConfigError: no objectives, or a weight that is no number.
    """

    def __init__(self, objectives: Weighted, bonus: float = PARETO_BONUS) -> None:
        weights, rewards = _split(objectives)
        self.weights, self.objectives, self.bonus = {**weights, _BONUS: bonus}, objectives, bonus
        by_name = {name: _by_name(reward) for name, reward in rewards.items()}
        super().__init__(by_name, whole_group=True)

    def compute(self, *given: Any) -> Any:
        """Score one response, given as (response, context) or (prompt, response, context): no bonus."""
        response, context = given[-2:]
        prompt = given[0] if len(given) > 2 else _question(context)
        return super().compute(prompt, response, context)

    def is_pareto_optimal(
        self, scores: Mapping[str, float], group: Sequence[Mapping[str, float]] = ()
    ) -> bool:
        """Whether none of `group` is better in one objective and as good in the others; alone: False."""
        own = self._directed(scores)
        return bool(group) and not any(_dominates(self._directed(other), own) for other in group)

    def _directed(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Scores of which more is better: a negative weight turns its objective round."""
        return {name: -value if self.weights.get(name, 1) < 0 else value for name, value in scores.items()}

    def _combine(self, rows: Sequence[Mapping[str, Score]], samples: Sequence[Sample]) -> list[Score]:
        found = {place: missing for place, row in enumerate(rows) if (missing := _unscored(row))}
        kept = [place for place in range(len(rows)) if place not in found]
        values = [_values(rows[place]) for place in kept]
        sums = [sum(self.weights[name] * value for name, value in row.items()) for row in values]
        shares = self._shares(values, sums, [samples[place].context.get("verified") for place in kept])
        for place, row, total, share in zip(kept, values, sums, shares, strict=True):
            found[place] = Score(total=total + self.bonus * share, parts=row | {_BONUS: share})
        return [found[place] for place in range(len(rows))]

    def _shares(
        self, values: Sequence[Mapping[str, float]], sums: Sequence[float], verdicts: Sequence[Any]
    ) -> list[float]:
        """How much of the bonus each response of a group gets."""
        if len(values) < 2:
            return [0.0] * len(values)
        median = statistics.median(sums)
        winners = [
            row if eligible and self.is_pareto_optimal(row, values) else None
            for row, eligible in (
                (row, total >= median if verdict is None else verdict)
                for row, total, verdict in zip(values, sums, verdicts, strict=True)
            )
        ]
        return [0.0 if row is None else 1.0 / winners.count(row) for row in winners]


class RoutedReward(_Combined):
    """Each row by the reward that a column names.

        RoutedReward("kind", {"math": MathReward(), "refund": RefundReward()})

    The parts of a reward that has weights are those of the whole, as `math/right`, with these weights; of any
    other its total is one part, `refund`, and its own parts are shown beside it.

    Args:
        column: whose value in a row's context chooses.
        rewards: value -> reward.

    Raises:
        ConfigError: no rewards.
        RewardError: when scoring, a row whose value has no reward.
    """

    def __init__(self, column: str, rewards: Mapping[Any, Any]) -> None:
        if not rewards:
            raise ConfigError("RoutedReward has no rewards to choose from")
        self.column = column
        super().__init__(rewards)

    @property
    def weights(self) -> dict[str, float]:
        """Of the parts of every route."""
        return {
            name: weight
            for value, call in self._calls.items()
            for name, weight in _of_route(value, call.weights or {"": 1.0}).items()
        }

    def _chosen(self, samples: Sequence[Sample]) -> Mapping[Any, RewardCall]:
        value = samples[0].context.get(self.column)
        try:
            return {value: self._calls[value]}
        except (KeyError, TypeError):  # a list cannot even be looked for
            known = ", ".join(map(repr, self._calls))
            raise RewardError(
                f"a row's {self.column!r} is {value!r}, and there are rewards for {known}"
            ) from None

    def _combine(self, rows: Sequence[Mapping[str, Score]], samples: Sequence[Sample]) -> list[Score]:
        return [self._routed(value, score) for row in rows for value, score in row.items()]

    def _routed(self, value: Any, score: Score) -> Score:
        parts = dict(score.parts)
        if score.total is not None and not self._calls[value].weights:
            parts[""] = score.total
        return replace(score, parts=_of_route(value, parts))


def _of_route(value: Any, parts: Mapping[str, float]) -> dict[str, float]:
    """By names of the whole; the one without a name is the route's total."""
    return {f"{value}/{name}" if name else str(value): number for name, number in parts.items()}


class RandomReward(RewardFunction):
    """A control: a number in [0, 1) that depends on seed, prompt and response, and on no quality of them.

    Training on it shows how much a curve moves without a reason.
    """

    bounds = (0.0, 1.0)

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> float:
        """Draw for this prompt and response."""
        key = "\x1f".join((str(self.seed), prompt, response))
        return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest()) / 2**48


class _ByPlace:
    """A function of two parameters of any names: response first, then context."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def compute(self, response: str, context: Mapping[str, Any]) -> Any:
        return self.function(response, context)


def _by_name(reward: Any) -> Any:
    """The reward, or a plain function of two parameters that have other names than a reward's."""
    try:
        RewardCall(reward, is_part=True)
    except ConfigError:
        if not inspect.isfunction(reward) or len(inspect.signature(reward).parameters) != 2:
            raise
        return _ByPlace(reward)
    return reward


def _split(parts: Weighted) -> tuple[dict[str, float], dict[str, Any]]:
    if not parts:
        raise ConfigError("there are no parts: give {'name': (weight, reward)}")
    for name, part in parts.items():
        pair = isinstance(part, tuple | list) and len(part) == 2
        if not pair or not isinstance(part[0], int | float) or not math.isfinite(part[0]):
            raise ConfigError(f"the part {name!r} is {part!r}: give (weight, reward)")
    return {name: float(part[0]) for name, part in parts.items()}, {
        name: part[1] for name, part in parts.items()
    }


def _dominates(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one != other and all(one[name] >= other[name] for name in other)
