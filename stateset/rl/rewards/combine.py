"""Rewards made of rewards: weighed, gated, chosen by a column, compared in the group; and a random control.

A part is whatever a project may name as a reward: a `RewardFunction`, a function, an adapter's result. Where
a part cannot score a response, the whole is unscored: nothing stands in for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import math
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from stateset.rl.errors import ConfigError, RewardError
from stateset.rl.rewards.call import RewardCall
from stateset.rl.rewards.result import Sample
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.types import Score

Weighted = Mapping[str, tuple[float, Any]]  # name -> (weight, reward)
PASSES = 0.5  # a part counts as met from here on
PARETO_BONUS = 0.2
_BONUS = "pareto_bonus"


class _Combined(RewardFunction):
    """Scores all responses of a group with every part; `_combine` makes one score of a response's parts."""

    def __init__(self, rewards: Mapping[str, Any], *given: Any, whole_group: bool = False) -> None:
        self._given = given
        self._calls = {name: RewardCall(reward) for name, reward in rewards.items()}
        most = [call.concurrency for call in self._calls.values() if call.concurrency]
        self.concurrency = min(most, default=None)
        waits = any(call.is_async for call in self._calls.values())
        if whole_group or any(call.batched for call in self._calls.values()):
            self.score_group = self._group_async if waits else self._group
        elif waits:
            self.compute = self._one_async  # type: ignore[method-assign]

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to a worker process as what it was made of."""
        return type(self), self._given

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Any:
        """Score one response."""
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
        every = [await _called(call, samples) for call in self._calls.values()]
        rows = [dict(zip(self._calls, scores, strict=True)) for scores in zip(*every, strict=True)]
        return self._combine(rows, samples)

    def _combine(self, rows: Sequence[Mapping[str, Score]], samples: Sequence[Sample]) -> list[Score]:
        raise NotImplementedError


async def _called(call: RewardCall, samples: Sequence[Sample]) -> list[Score]:
    """One reward's scores of a group's responses."""
    units = [samples] if call.batched else [[sample] for sample in samples]
    results = [call.function(**call.arguments(unit)) for unit in units]
    if call.is_async:
        results = list(await asyncio.gather(*results))
    return [score for unit, result in zip(units, results, strict=True) for score in call.scores(unit, result)]


def _finish(scoring: Awaitable[list[Score]]) -> list[Score]:
    """Run what never waits."""
    try:
        scoring.__await__().send(None)
    except StopIteration as done:
        found: list[Score] = done.value
        return found
    raise AssertionError("a part that waits makes the whole wait")


def _sample(prompt: str, response: str, context: Mapping[str, Any]) -> Sample:
    return Sample(task_id="", index=0, prompt=prompt, response=response, context=context)


def _question(context: Mapping[str, Any]) -> str:
    messages = context.get("messages") or [{}]
    return str(messages[-1].get("content", ""))


def _unscored(row: Mapping[str, Score]) -> Score | None:
    """The score of a response that a part could not score."""
    missing = next(((name, score) for name, score in row.items() if score.total is None), None)
    return None if missing is None else Score(total=None, reason=f"{missing[0]}: {missing[1].reason}")


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
        super().__init__(rewards, parts, only_if, passes)
        self.bounds = self._sum_of_bounds()

    def __reduce__(self) -> tuple[Any, ...]:
        return _weighted, self._given

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


def _weighted(parts: Weighted, only_if: Mapping[str, str] | None, passes: float) -> WeightedReward:
    return WeightedReward(parts, only_if=only_if, passes=passes)


class MultiObjectiveReward(_Combined):
    """A weighted sum, and a bonus for the responses of a group that no other is better than.

    A response is Pareto optimal in its group if no other reaches at least its score in every objective and
    more in one. Eligible for the bonus are those that pass the verifier, where there is one, else those that
    reach the group's median sum; responses with equal scores share one bonus. For one response alone it is 0:
    there is nothing to compare with. The part `pareto_bonus` is the share of the bonus that a response gets.

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
        super().__init__(by_name, objectives, bonus, whole_group=True)

    def compute(self, *given: Any) -> Any:
        """Score one response, given as (response, context) or (prompt, response, context): no bonus."""
        response, context = given[-2:]
        prompt = given[0] if len(given) > 2 else _question(context)
        return super().compute(prompt, response, context)

    def is_pareto_optimal(
        self, scores: Mapping[str, float], group: Sequence[Mapping[str, float]] = ()
    ) -> bool:
        """Whether none of `group` is better in one objective and as good in the others; alone: False."""
        return bool(group) and not any(_dominates(other, scores) for other in group)

    def _combine(self, rows: Sequence[Mapping[str, Score]], samples: Sequence[Sample]) -> list[Score]:
        found = [_unscored(row) for row in rows]
        weighed = [
            {} if missing else {name: self.weights[name] * score.value for name, score in row.items()}
            for row, missing in zip(rows, found, strict=True)
        ]
        scored = [row for row in weighed if row]
        shares = [
            self._share(row, scored, s) if row else 0.0 for row, s in zip(weighed, samples, strict=True)
        ]
        return [
            missing
            or Score(total=sum(paid.values()) + self.bonus * share, parts=_values(row) | {_BONUS: share})
            for missing, row, paid, share in zip(found, rows, weighed, shares, strict=True)
        ]

    def _share(self, row: Mapping[str, float], group: Sequence[Mapping[str, float]], sample: Sample) -> float:
        verified = sample.context.get("verified")
        median = statistics.median(sum(other.values()) for other in group)
        eligible = sum(row.values()) >= median if verified is None else bool(verified)
        if len(group) < 2 or not eligible or not self.is_pareto_optimal(row, group):
            return 0.0
        return 1.0 / sum(other == row for other in group)


class RoutedReward(_Combined):
    """Each row by the reward that a column names.

        RoutedReward("kind", {"math": MathReward(), "refund": RefundReward()})

    Args:
        column: whose value in a row's context chooses.
        rewards: value -> reward.

    Raises:
        ConfigError: no rewards.
        RewardError: when scoring, a row whose value has no reward.
    """

    def __init__(self, column: str, rewards: Mapping[str, Any]) -> None:
        if not rewards:
            raise ConfigError("RoutedReward has no rewards to choose from")
        self.column = column
        super().__init__(rewards, column, rewards)

    async def _scores(self, samples: Sequence[Sample]) -> list[Score]:
        value = samples[0].context.get(self.column)
        if value not in self._calls:
            raise RewardError(
                f"a row's {self.column!r} is {value!r}, and there are rewards for {', '.join(self._calls)}"
            )
        return await _called(self._calls[value], samples)


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
        RewardCall(reward)
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
