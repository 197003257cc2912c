"""A resumed run knows its reward again: by its code and by how it was made, wherever it runs."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trainer_rewards import count_a, count_e

from stateset.rl.rewards.combine import RandomReward, WeightedReward
from stateset.rl.rewards.fingerprint import code_sha256, state_sha256
from stateset.rl.rewards.judge import Judge
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.rewards.rubric import RubricReward

ROOT = Path(__file__).parents[1]


@dataclasses.dataclass
class Limits:
    low: float = 0.0


class Made(RewardFunction):
    def __init__(self, given: Any) -> None:
        self.given = given

    def compute(self, prompt: str, response: str, context: Any) -> float:
        return 0.0


def closure(share: float) -> Any:
    def scores(response: str, factor: float = share / 2) -> float:
        return share

    return scores


def wrapped(share: float) -> Any:
    return functools.partial(count_e, share=share)


@pytest.mark.parametrize("make", [Made, closure, wrapped, RandomReward, lambda k: Made(k).compute])
def test_another_argument_is_another_state(make: Any) -> None:
    assert state_sha256(make(1.0)) == state_sha256(make(1.0))
    assert state_sha256(make(1.0)) != state_sha256(make(-1.0))
    assert code_sha256(make(1.0)) == code_sha256(make(-1.0)) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        ("1", 1),
        (0.0, -0.0),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": 2}),
        ({"a", "b"}, {"a", "c"}),
        (re.compile("a"), re.compile("a", re.IGNORECASE)),
        (Limits(0.0), Limits(0.5)),
        (Made(1), Made(2)),
        ([{"deep": (Made({"x": closure(1)}),)}], [{"deep": (Made({"x": closure(2)}),)}]),
        (count_e, count_a),
    ],
)
def test_what_a_reward_holds_counts_down_to_its_parts(one: Any, other: Any) -> None:
    assert state_sha256(Made(one)) != state_sha256(Made(other))


def test_what_has_no_plain_value_is_left_out() -> None:
    """Also a cycle, and a key that is renewed; but a token that is a setting counts."""
    assert state_sha256(Made(object())) == state_sha256(Made(object()))
    assert state_sha256(Made(object())) != state_sha256(Made(Path("a")))
    around = Made(1)
    around.given = [around]
    assert state_sha256(around)
    one, other = Made(1), Made(1)
    one.api_key, other.api_key = "sk-1111222233334444", "sk-5555666677778888"  # type: ignore[attr-defined]
    assert state_sha256(one) == state_sha256(other)
    one.stop_token, other.stop_token = "<end>", "<stop>"  # type: ignore[attr-defined]
    assert state_sha256(one) != state_sha256(other)


def test_the_code_of_parts_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum of the package is made of the user's function, which lies in a file that changes."""
    (tmp_path / "part_of_a_sum.py").write_text("def score(response):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    import part_of_a_sum

    made = WeightedReward({"a": (1.0, part_of_a_sum.score)})
    before = code_sha256(made)
    assert before is not None
    assert state_sha256(made) != state_sha256(WeightedReward({"a": (0.5, part_of_a_sum.score)}))
    (tmp_path / "part_of_a_sum.py").write_text("def score(response):\n    return 2.0\n")
    assert code_sha256(made) != before


def test_a_judge_may_get_another_budget_but_not_another_model() -> None:
    def state(**judge: Any) -> str:
        return state_sha256(RubricReward("good", Judge(**{"model": "m", **judge})))

    paid = {"max_calls": 9, "max_money": 1.0, "price": (1.0, 2.0), "api_key": "sk-1111222233334444"}
    assert state(**paid, ledger="other.sqlite", tries=9) == state()
    assert len({state(), state(model="n"), state(base_url="http://a"), state(max_output_tokens=9)}) == 4


def test_another_process_finds_the_same() -> None:
    """With another order of sets and other places in memory."""
    code = (
        "from test_fingerprint import *; made = Made([{'a', 'b', 'c'}, object(), closure(2), Limits()]); "
        "print(code_sha256(made), state_sha256(made))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(found) == 1
