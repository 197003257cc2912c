"""A judge in a run: faults leave no guess, and neither a kill nor a second run passes the budget."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from judge_server import Drip, completion, serving
from test_trainer import ROWS, lines, trainer

from stateset.rl.errors import RewardError
from stateset.rl.rewards.judge import Judge
from stateset.rl.rewards.rubric import RubricReward

FAULTS = [(429, {}), (500, {}), (503, b"\x00"), (200, b"<html>"), "garbage", 3.0, Drip(0.2)]


def graded(order: dict[str, Any]) -> float:
    """A grade for what is in the answer's frame, which the test can work out, too."""
    answer = order["messages"][1]["content"].split("<answer ")[-1].split("\n</answer ")[0].partition("\n")[2]
    return len(answer) % 7 / 10


def faulty(number: int, order: dict[str, Any]) -> Any:
    """Three of ten calls fail, each time in another way."""
    if number % 10 in (1, 4, 7):
        return FAULTS[number // 3 % len(FAULTS)]
    return json.dumps({"steps": [], "result": graded(order)})


@pytest.mark.slow
def test_a_run_behind_thirty_percent_faults_ends_without_a_guess(tiny_llama: Path, tmp_path: Path) -> None:
    with serving(faulty) as server:
        judge = Judge(
            model="m", base_url=server.url, api_key="k", ledger=tmp_path / "judge.sqlite",
            max_calls=200, max_tokens=200 * 2_000, max_output_tokens=100, timeout_seconds=2.0,
            breaks_after=100, concurrency=4,
        )  # fmt: skip
        reward = RubricReward("Kind.", judge, force=True)
        settings: dict[str, Any] = {"reward_check": False, "reward_timeout_seconds": 60.0, "epochs": 2}
        trainer(tiny_llama, tmp_path / "run", reward, **settings).train(ROWS)
        asked, spent = len(server.orders), judge.spent()
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "finished"
    files = sorted((tmp_path / "run" / "rollouts").glob("*.jsonl"))
    given = [one for file in files for group in lines(file) for one in group["responses"]]
    assert len(given) == 2 * len(ROWS) * 4
    unscored = [one for one in given if one["reward"] is None]
    assert 0 < len(unscored) < len(given) / 2
    for one in given:
        if one["reward"] is not None:
            assert one["reward"] == pytest.approx(len(one["text"]) % 7 / 10), "a grade, and of this answer"
        else:
            assert one["advantage"] in (None, 0.0)
    assert spent.calls <= min(asked, 200)
    assert spent.tokens <= 200 * 2_000


def test_a_run_ends_where_the_budget_does(tiny_llama: Path, tmp_path: Path) -> None:
    with serving(lambda number, order: json.dumps({"steps": [], "result": graded(order)})) as server:
        judge = Judge(
            model="m", base_url=server.url, api_key="k", ledger=tmp_path / "judge.sqlite", max_calls=9
        )
        reward = RubricReward("Kind.", judge, force=True)
        for run in ("first", "second"):
            with pytest.raises(RewardError, match="the judge's budget is spent: 9 of 9 calls are used"):
                trainer(tiny_llama, tmp_path / run, reward, reward_check=False).train(ROWS)
        assert len(server.orders) == 9, "the second run found the ledger"


ASKS = """
import asyncio, sys
from stateset.rl.rewards.judge import Judge, number_of
judge = Judge(model="m", api_key="k", base_url=sys.argv[1], ledger=sys.argv[2], max_calls=1)
asyncio.run(judge.ask([{"role": "user", "content": "q"}], {}, {}, read=number_of))
"""


def test_a_call_that_was_under_way_when_its_process_was_killed_is_paid(tmp_path: Path) -> None:
    ledger = tmp_path / "judge.sqlite"
    with serving(lambda number, order: (200, completion('{"result": 1}')) if number > 1 else 2.0) as server:
        process = subprocess.Popen([sys.executable, "-c", ASKS, server.url, str(ledger)])
        while not server.orders and process.poll() is None:
            time.sleep(0.05)
        process.kill()
        process.wait()
        judge = Judge(model="m", api_key="k", base_url=server.url, ledger=ledger, max_calls=1)
        assert judge.spent().calls == 1
        assert judge.spent().tokens > judge.max_output_tokens, "at its worst"
        again = subprocess.run(
            [sys.executable, "-c", ASKS, server.url, str(ledger)], capture_output=True, text=True, check=False
        )
        assert "1 of 1 calls are used" in again.stderr
        assert len(server.orders) == 1
