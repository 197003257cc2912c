"""The example that trains on a task with a verifier: short, honest about held-out rows, and it runs."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import stateset.rl
from stateset.rl.config.load import make_config
from stateset.rl.config.plan import plan
from stateset.rl.data.load import load_tasks
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.types import Rollout, RolloutGroup, Task

pytestmark = pytest.mark.slow  # reasoning-gym is not part of `make setup`
FOLDER = Path(__file__).parents[1] / "examples" / "reasoning"


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("task")
    del sys.modules["task"]


@pytest.fixture
def run(task: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the script hands to the trainer."""
    seen: dict[str, Any] = {}

    class Trainer:
        def __init__(self, **given: Any) -> None:
            seen.update(given)

        def train(self, rows: Any, *, eval_dataset: Any) -> None:
            seen.update(rows=load_tasks(rows), held_out=load_tasks(eval_dataset))

    monkeypatch.setattr(stateset.rl, "GRPOTrainer", Trainer)
    runpy.run_path(str(FOLDER / "train.py"))
    return seen


def scores(task: ModuleType, row: Task, *texts: str) -> list[float | None]:
    """Scored as in a run: in a worker process, with a time limit."""
    fixed = {"token_ids": (1,), "loss_mask": (1,), "sampler_logprobs": (-1.0,), "stop_reason": "stop"}
    rollouts = tuple(Rollout(sample=i, text=text, **fixed) for i, text in enumerate(texts))
    with RewardScorer(task.score) as scorer:
        assert scorer.notice is None
        [scored] = scorer.score([RolloutGroup(task=row, prompt_ids=(1,), rollouts=rollouts)])
    return [score.total for score in scored.scores]


def test_the_script_is_short() -> None:
    assert len((FOLDER / "train.py").read_text().splitlines()) <= 25


def test_the_verifier_tells_right_from_wrong(task: ModuleType) -> None:
    [row] = load_tasks(task.rows(seed=30_000, size=1))
    assert row.question.endswith("Reverse this list of words: on, give\n")
    right, wrong = "give, on", "on, give"
    # the task's own verifier pays the right answer's share of the text
    assert scores(task, row, right, wrong, "", f"it: {right}") == [1.0, 0.0, 0.0, 8 / 12]
    assert [task.passes(text, row.context) for text in (right, wrong, "", f"it: {right}")] == [
        True, False, False, False,
    ]  # fmt: skip


def test_the_run_is_80_steps_and_no_held_out_question_is_trained_on(run: dict[str, Any]) -> None:
    counted = plan(make_config(run["config"]), len(run["rows"]))
    assert (counted.total_steps, counted.prompts_per_step) == (80, 8)
    solved = {message["content"] for row in run["rows"] for message in row.prompt[:-1]}
    trained_on = {row.question for row in run["rows"]} | solved
    held_out = {row.question for row in run["held_out"]}
    assert len(held_out) == len(run["held_out"]) == 200
    assert not held_out & trained_on
    assert len(solved) == 4  # two questions, two answers
