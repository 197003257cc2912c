"""Rewards written for other trainers, as they are: TRL's reward functions, verl's `compute_score`.

    from stateset.rl.rewards.adapters import trl_reward
    Accuracy = trl_reward(accuracy_reward)      # in reward.py; a project file names it reward:Accuracy

Give the result another name than the function's: a worker process finds the function by its own. OpenAI's
grader JSON: `openai_graders.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stateset.rl.errors import ConfigError, RewardError
from stateset.rl.rewards.call import is_async
from stateset.rl.rewards.result import plain_number
from stateset.rl.rewards.reward import RewardFunction

_TRAINER_ONLY = ("completion_ids", "trainer_state", "log_extra", "log_metric", "environments")


def trl_reward(function: Callable[..., Any], *, conversational: bool = False) -> RewardFunction:
    """A TRL reward function: all responses of a group at once, the row's columns beside them.

    It is called with `prompts`, `completions` and each column of the row as lists of one entry a response,
    and returns one number a response; None leaves it unscored. Coroutine functions work.

    Args:
        function: as given to TRL's `reward_funcs`.
        conversational: prompts and completions are lists of messages, as where TRL's data set has them.

    Raises:
        ConfigError: it is no function, or needs what only TRL's trainer has.
    """
    _refuse_uncallable(function, "TRL's")
    named = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name in _TRAINER_ONLY and parameter.default is parameter.empty
    ]
    if named:
        raise ConfigError(
            f"the reward `{_called(function)}` needs {named[0]!r}, which only TRL's trainer has"
        )
    kind = _AsyncTRLReward if is_async(function) else _TRLReward
    return kind(function, conversational)


class _TRLReward(RewardFunction):
    def __init__(self, function: Callable[..., Any], conversational: bool) -> None:
        self.function, self.conversational = function, conversational
        self.name = _called(function)

    def score_group(self, responses: Sequence[str], contexts: Sequence[Mapping[str, Any]]) -> Any:
        return self.function(**self._arguments(responses, contexts))

    def _arguments(
        self, responses: Sequence[str], contexts: Sequence[Mapping[str, Any]]
    ) -> dict[str, list[Any]]:
        talks = [context["messages"] for context in contexts]
        answers: list[Any] = list(responses)
        if self.conversational:
            answers = [[{"role": "assistant", "content": text}] for text in responses]
        names = [name for name in contexts[0] if name != "messages"]
        columns = {name: [context[name] for context in contexts] for name in names}
        prompts = talks if self.conversational else [messages[-1]["content"] for messages in talks]
        return {**columns, "prompts": prompts, "completions": answers}


class _AsyncTRLReward(_TRLReward):
    async def score_group(self, responses: Sequence[str], contexts: Sequence[Mapping[str, Any]]) -> Any:
        return await self.function(**self._arguments(responses, contexts))


def verl_reward(compute_score: Callable[..., Any]) -> RewardFunction:
    """A `compute_score(data_source, solution_str, ground_truth, extra_info)` of verl's.

    The row has verl's columns: `data_source`, `reward_model` with `ground_truth` (else `answer`),
    `extra_info`. It returns a number, or a mapping with `score`, whose other numbers become parts. Coroutine
    functions work.

    Raises:
        ConfigError: it is no function.
    """
    _refuse_uncallable(compute_score, "verl's")
    return (_AsyncVerlReward if is_async(compute_score) else _VerlReward)(compute_score)


class _VerlReward(RewardFunction):
    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = _called(function)

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Any:
        return self._read(self.function(**_verl_arguments(response, context)))

    def _read(self, result: Any) -> Any:
        if not isinstance(result, Mapping):
            return result
        if "score" not in result:
            raise RewardError(f"the reward `{self.name}` returned {result!r}: a mapping has a `score`")
        numbers = {name: plain_number(value) for name, value in result.items() if name != "score"}
        return result["score"], {name: number for name, number in numbers.items() if number is not None}


class _AsyncVerlReward(_VerlReward):
    async def compute(  # type: ignore[override]
        self, prompt: str, response: str, context: Mapping[str, Any]
    ) -> Any:
        return self._read(await self.function(**_verl_arguments(response, context)))


def _verl_arguments(response: str, context: Mapping[str, Any]) -> dict[str, Any]:
    model = context.get("reward_model")
    truth = model.get("ground_truth") if isinstance(model, Mapping) else None
    return {
        "data_source": context.get("data_source"),
        "solution_str": response,
        "ground_truth": context.get("answer") if truth is None else truth,
        "extra_info": context.get("extra_info"),
    }


def _refuse_uncallable(function: Any, whose: str) -> None:
    if not callable(function) or isinstance(function, type):
        raise ConfigError(f"{function!r} is no reward function of {whose} kind: give the function itself")


def _called(function: Callable[..., Any]) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
