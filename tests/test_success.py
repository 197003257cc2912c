"""Who says which answers are right, and what a gate has to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from fixtures_rewards.build import group

from stateset.rl import RewardFunction
from stateset.rl.errors import DataError
from stateset.rl.evaluation.metrics import choose_success
from stateset.rl.rewards.combine import MultiObjectiveReward, WeightedReward
from stateset.rl.rewards.judge import Judge
from stateset.rl.rewards.openai_graders import openai_grader
from stateset.rl.rewards.rubric import RubricReward
from stateset.rl.verifiers.code import CodeVerifier
from stateset.rl.verifiers.sandbox.executor import UNSAFE, used

SCORE_MODEL = {
    "type": "score_model", "name": "g", "model": "m", "range": [0, 1],
    "input": [{"role": "user", "content": "{{sample.output_text}}"}],
}  # fmt: skip


def judge() -> Judge:
    return Judge(model="m", base_url="http://localhost:9/v1", api_key="-")


def rubric() -> RubricReward:
    return RubricReward("It helps.", judge(), force=True)


class Own(RewardFunction):
    bounds = (0.0, 1.0)

    def __init__(self) -> None:
        self.asked = {"first": [judge()]}

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> float:
        return 1.0


@pytest.mark.parametrize(
    "reward",
    [
        rubric(),
        WeightedReward({"kind": (1.0, rubric())}),
        WeightedReward({"inner": (1.0, MultiObjectiveReward({"kind": (1.0, rubric())}))}),
        openai_grader(SCORE_MODEL, judge=judge()),
        Own(),
    ],
    ids=["alone", "weighted", "nested", "grader", "own"],
)
def test_a_judge_that_nobody_measured_is_named_however_deep_it_lies(reward: Any) -> None:
    reward.bounds = (0.0, 1.0)
    success = choose_success([], reward)
    assert list(success.judges) == ["m"]
    assert success.judges["m"], "why it is not fit"
    assert success.errors is None


def test_a_verifier_that_runs_code_without_a_sandbox_says_so() -> None:
    before = set(used)
    context = {"entry": "f", "tests": [{"args": [], "expected": 1}]}
    success = choose_success([], CodeVerifier(sandbox="unsafe-local"))
    found = success.judge([group("def f(): return 1", "def f(): return 2", context=context)])
    assert [one.right for one in found[0]] == [1.0, 0.0]
    assert success.sandboxes == {UNSAFE}
    assert used >= before


def picky(question: str, answer: str) -> bool:
    return int(answer) > 1


def test_what_a_verifier_cannot_judge_is_unjudged_and_all_of_it_is_an_error() -> None:
    success = choose_success([], picky)
    assert [one.right for one in success.judge([group("1", "2", "two")])[0]] == [0.0, 1.0, None]
    with pytest.raises(DataError, match="the verifier picky could judge no answer: ValueError"):
        success.judge([group("one", "two")])
