"""Reward functions of the shapes that TRL and verl document, unchanged."""

from __future__ import annotations

import asyncio
import pickle
import re
from typing import Any

import numpy as np
import pytest
from test_openai_graders import answered

from stateset.rl.errors import ConfigError, RewardError
from stateset.rl.rewards.adapters import trl_reward, verl_reward
from stateset.rl.rewards.call import RewardCall
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.types import RolloutGroup, Task


def near_twenty(completions, **kwargs):
    return [-abs(20 - len(completion)) for completion in completions]


def has_the_format(completions, **kwargs):
    contents = [completion[0]["content"] for completion in completions]
    return [1.0 if re.match(r"^<think>.*?</think><answer>.*?</answer>$", text) else 0.0 for text in contents]


def boxed_answer(prompts, completions, ground_truth, **kwargs):
    assert len(prompts) == len(completions) == len(ground_truth)
    found = [re.search(r"\\boxed\{(.*?)\}", completion) for completion in completions]
    return [1.0 if f and f[1] == truth else 0.0 for f, truth in zip(found, ground_truth, strict=True)]


def only_math(prompts, completions, task, **kwargs):
    return [
        float("4" in text) if kind == "math" else None for text, kind in zip(completions, task, strict=True)
    ]


async def slow_length(completions, **kwargs):
    await asyncio.sleep(0.01)
    return [float(len(completion)) for completion in completions]


def one_for_all(completions, **kwargs):
    return 1.0


def needs_ids(completions, completion_ids):
    return [0.0]


def group(responses: list[str], prompt: Any = "Hello?", **context: Any) -> list[RolloutGroup]:
    return answered(Task(id="t", prompt=prompt, context=context), responses)


def scores(reward: Any, given: list[RolloutGroup]) -> list[float | None]:
    with RewardScorer(reward) as scorer:
        assert scorer.notice is None, "it travels to a worker process"
        [scored] = scorer.score(given)
    return [score.total for score in scored.scores]


@pytest.mark.parametrize(
    ("reward", "given", "expected"),
    [
        (trl_reward(near_twenty), group(["a" * 20, "b" * 15]), [0, -5]),
        (
            trl_reward(has_the_format, conversational=True),
            group(["<think>a</think><answer>b</answer>", "b"]), [1, 0],
        ),
        (trl_reward(boxed_answer), group([r"\boxed{4}", r"\boxed{5}"], ground_truth="4"), [1, 0]),
        (trl_reward(only_math), group(["4", "5"], task="math"), [1, 0]),
        (trl_reward(slow_length), group(["abc", ""]), [3, 0]),
    ],
)  # fmt: skip
def test_trl_functions_run_as_they_are(reward: Any, given: list[RolloutGroup], expected: list[float]) -> None:
    assert scores(reward, given) == expected


def test_none_stays_unscored() -> None:
    assert scores(trl_reward(only_math), group(["4", "5"], task="code")) == [None, None]


def test_prompts_have_the_form_of_the_rows() -> None:
    seen: list[Any] = []

    def look(prompts, completions, **kwargs):
        seen.append((prompts, completions, kwargs))
        return [0.0] * len(completions)

    chat = ({"role": "system", "content": "s"}, {"role": "user", "content": "u"})
    for conversational in (False, True):
        call = RewardCall(trl_reward(look, conversational=conversational))
        [unit] = call.units(group(["x", "y"], prompt=chat, answer="gold", level=[1, 2])[0])
        call.function(**call.arguments(unit))
    text, talk = seen
    assert text[:2] == (["u", "u"], ["x", "y"])
    assert talk[0] == [list(chat)] * 2
    assert talk[1] == [[{"role": "assistant", "content": text}] for text in ("x", "y")]
    assert text[2] == talk[2] == {"answer": ["gold"] * 2, "level": [[1, 2]] * 2}


def test_a_single_value_for_a_group_is_an_error_that_names_the_function() -> None:
    with pytest.raises(RewardError, match=r"test_adapters.one_for_all` takes `completions` but returned 1.0"):
        scores(trl_reward(one_for_all), group(["a", "b"]))


def test_what_only_trl_has_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"test_adapters.needs_ids` needs 'completion_ids'"):
        trl_reward(needs_ids)


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    assert data_source == "openai/gsm8k"
    assert extra_info == {"index": 3}
    return 1.0 if solution_str.strip() == ground_truth else 0.0


def compute_parts(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    return {"score": 0.5, "acc": solution_str == ground_truth, "pred": solution_str}


def no_score(data_source, solution_str, ground_truth, extra_info=None):
    return {"reward": 1.0}


ROW = {
    "data_source": "openai/gsm8k", "ability": "math", "extra_info": {"index": 3},
    "reward_model": {"style": "rule", "ground_truth": "72"},
}  # fmt: skip


def test_verl_functions_run_as_they_are() -> None:
    assert scores(verl_reward(compute_score), group(["72", "71"], **ROW)) == [1.0, 0.0]
    with RewardScorer(verl_reward(compute_parts)) as scorer:
        [scored] = scorer.score(group(["72"], answer="72"))
    assert (scored.scores[0].total, scored.scores[0].parts) == (0.5, {"acc": 1.0})
    with pytest.raises(RewardError, match="a mapping has a `score`"):
        scores(verl_reward(no_score), group(["72"], **ROW))


async def compute_late(data_source, solution_str, ground_truth, extra_info=None):
    return {
        "score": np.float32(0.5),
        "acc": np.bool_(solution_str == ground_truth),
        "share": np.float32(0.25),
    }


def test_verl_functions_may_wait_and_count_with_numpy() -> None:
    with RewardScorer(verl_reward(compute_late)) as scorer:
        [scored] = scorer.score(answered(Task(id="t", prompt="q", answer="72", context=SILENT), ["72"]))
    assert scored.scores[0].total == 0.5
    assert scored.scores[0].parts == {"acc": 1.0, "share": 0.25}, "the row's answer is the truth"


SILENT = {"reward_model": {"style": "rule"}}


class Waits:
    async def __call__(self, completions, **kwargs):
        return [float(len(completion)) for completion in completions]


def test_an_object_that_is_called_may_wait() -> None:
    assert scores(trl_reward(Waits()), group(["abc", ""])) == [3.0, 0.0]


@pytest.mark.parametrize("wrap", [trl_reward, verl_reward])
@pytest.mark.parametrize("given", [None, "f", Waits])
def test_what_is_no_function_is_refused(wrap: Any, given: Any) -> None:
    with pytest.raises(ConfigError, match="give the function itself"):
        wrap(given)


def test_they_are_named_by_their_function() -> None:
    for reward in (trl_reward(near_twenty), verl_reward(compute_score)):
        assert RewardCall(pickle.loads(pickle.dumps(reward))).name.startswith("test_adapters.")
