"""Who says which answers are right, and what a gate has to know of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fixtures_rewards.build import group
from judge_server import serving

from stateset.rl import RewardFunction, reward, verifier
from stateset.rl.errors import DataError
from stateset.rl.evaluation.metrics import choose_success
from stateset.rl.rewards.combine import MultiObjectiveReward, WeightedReward
from stateset.rl.rewards.judge import Judge, asked
from stateset.rl.rewards.openai_graders import openai_grader
from stateset.rl.rewards.rubric import RubricReward
from stateset.rl.verifiers.code import CodeVerifier
from stateset.rl.verifiers.sandbox.executor import UNSAFE, used

SCORE_MODEL = {
    "type": "score_model", "name": "g", "model": "m", "range": [0, 1],
    "input": [{"role": "user", "content": "{{sample.output_text}}"}],
}  # fmt: skip


def judge() -> Judge:
    return Judge(model="m", api_key="-")  # its address stands in the environment


def rubric() -> RubricReward:
    return RubricReward("It helps.", judge(), force=True)


GLOBAL = rubric()


class Own(RewardFunction):
    bounds = (0.0, 1.0)

    async def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Any:
        return await self.inner().compute(prompt, response, context)

    def inner(self) -> RubricReward:
        return GLOBAL


class OfClass(Own):
    held = rubric()

    def inner(self) -> RubricReward:
        return self.held


class OfInstance(Own):
    def __init__(self) -> None:
        self.held = {"first": [rubric()]}

    def inner(self) -> RubricReward:
        return self.held["first"][0]


@reward
async def by_global(prompt: str, response: str) -> Any:
    return await GLOBAL.compute(prompt, response, {})


@verifier
def verified(question: str, answer: str) -> bool:
    return asyncio.run(GLOBAL.compute(question, answer, {})).value > 0.5


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A judge whose ledger and calibration would lie in the working directory."""
    monkeypatch.chdir(tmp_path)
    with serving(lambda number, order: json.dumps({"steps": [], "result": 0.75})) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("here", [False, True], ids=["in a worker", "in this process"])
@pytest.mark.parametrize(
    "make",
    [
        rubric,
        lambda: WeightedReward({"kind": (1.0, rubric())}),
        lambda: WeightedReward({"inner": (1.0, MultiObjectiveReward({"kind": (1.0, rubric())}))}),
        lambda: openai_grader(SCORE_MODEL, judge=judge()),
        Own, OfClass, OfInstance, lambda: by_global, lambda: verified,
    ],
    ids=["alone", "weighted", "nested", "grader", "global", "class", "instance", "function", "verifier"],
)  # fmt: skip
def test_a_judge_that_nobody_measured_is_named_wherever_it_lies(
    make: Callable[[], Any], here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = make()
    asks.bounds = (0.0, 1.0)
    if here:
        monkeypatch.setattr("stateset.rl.rewards.score.pack", _fails)
    success = choose_success([], asks)
    assert [one.right for one in success.judge([group("Hello", "Bye")])[0]] == [1.0, 1.0]
    assert list(success.judges) == ["m"]
    assert "calibrated for this rubric" in success.judges["m"] or "no rubric" in success.judges["m"]
    assert success.errors is None


def _fails(_: Any) -> bytes:
    raise TypeError("it cannot travel")


@pytest.mark.usefixtures("endpoint")
def test_a_judge_that_somebody_else_asked_is_not_named() -> None:
    assert choose_success([], verified).judge([group("Hello")])
    other = choose_success([], picky)
    assert other.judge([group("2")])
    assert other.judges == {}
    assert asked["m"]


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
