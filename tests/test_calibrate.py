"""`judge calibrate` against endpoints that misbehave on purpose: each is unfit for the right reason."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judge_server import JudgeServer, Script, serving
from test_cli import call
from test_openai_graders import answered
from test_rubric import grade

from stateset.rl.errors import DataError, RewardError
from stateset.rl.evaluation.calibrate import calibrate, load_labels, record
from stateset.rl.evaluation.judge_correction import JudgeErrors
from stateset.rl.evaluation.metrics import choose_success
from stateset.rl.rewards.judge import Judge
from stateset.rl.rewards.resolve import resolve_reward
from stateset.rl.rewards.rubric import RubricReward
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.types import Task

ROWS = 100  # half of them right
NOISE = "noise, of the spread over all prompts"
Grader = Callable[[str, bool, bool, random.Random], str]


def judging(grader: Grader) -> Script:
    """A script whose grader gets the answer, whether it is right, whether it comes first, and dice."""
    asked: Counter[tuple[str, bool]] = Counter()

    def script(number: int, order: dict[str, Any]) -> str:
        text = order["messages"][1]["content"]
        answer = text.split("<answer ", 1)[1].split(">\n", 1)[1].split("\n</answer")[0]
        first = text.startswith("<answer ")
        asked[answer, first] += 1
        return grader(
            answer, "refunded" in answer, first, random.Random(f"{answer} {first} {asked[answer, first]}")
        )

    return script


def honest(answer: str, right: bool, first: bool, dice: random.Random) -> str:
    return grade((0.8 if right else 0.2) + dice.uniform(-0.05, 0.05))


def likes_length(answer: str, right: bool, first: bool, dice: random.Random) -> str:
    return grade((0.55 if right else 0.05) + len(answer) / 1000)


def rolls_dice(answer: str, right: bool, first: bool, dice: random.Random) -> str:
    return grade(float(right != (dice.random() < 0.12)))


def always_yes(answer: str, right: bool, first: bool, dice: random.Random) -> str:
    return grade(1.0)


def garbage(answer: str, right: bool, first: bool, dice: random.Random) -> str:
    return "I would say 9 out of 10." if dice.random() < 0.3 else grade(float(right))


def likes_the_first_place(answer: str, right: bool, first: bool, dice: random.Random) -> str:
    return grade(float(right or first))


def write_labels(folder: Path, num_rows: int = ROWS) -> Path:
    dice = random.Random(0)
    file = folder / "labels.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["prompt", "response", "label", "shop"])
        for row in range(num_rows):
            padding = "so " * dice.randrange(100)
            done = "refunded" if row % 2 else "forgot"
            writer.writerow([f"Order {row}?", f"I {done} order {row} {padding}", row % 2, "north"])
    return file


def rubric(server: JudgeServer, folder: Path, **settings: Any) -> RubricReward:
    given = {"ledger": folder / "judge.sqlite", "concurrency": 1} | settings
    judge = Judge(model="m", base_url=server.url, api_key="k", **given)
    return RubricReward("Was it done?", judge)


@pytest.mark.parametrize(
    ("grader", "unfit"),
    [
        (honest, set()),
        (likes_length, {"length bias"}),
        (rolls_dice, {NOISE}),
        (always_yes, {"TNR", "Cohen's kappa", "Youden's J", NOISE}),
        (garbage, {"unscored"}),
        (likes_the_first_place, {"position bias"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_judge_is_unfit_for_the_right_reason(tmp_path: Path, grader: Grader, unfit: set[str]) -> None:
    labels = write_labels(tmp_path)
    with serving(judging(grader)) as server:
        reward = rubric(server, tmp_path, ledger=":memory:")
        found = calibrate(reward, load_labels(labels), repeat=2)
        assert len(server.orders) == 3 * ROWS
    assert set(record(reward, labels, 2, found)["unfit"]) == unfit
    assert ("no JSON object" in found.first_failure) == (grader is garbage)


def test_every_question_is_asked_anew_and_the_budget_holds(tmp_path: Path) -> None:
    rows = load_labels(write_labels(tmp_path))
    with serving(judging(honest)) as server:
        reward = rubric(server, tmp_path)
        for _ in range(2):
            calibrate(reward, rows[:2], repeat=3)
        assert len(server.orders) == 2 * 2 * 4
        assert reward.judge.spent().calls == 16
        firsts = [order["messages"][1]["content"].startswith("<answer ") for order in server.orders]
        assert firsts == [False, False, False, True] * 4
        with pytest.raises(RewardError, match="Raise max_calls"):
            calibrate(rubric(server, tmp_path, max_calls=20), rows, repeat=2)
        assert len(server.orders) == 20


def test_a_row_that_is_no_labelled_answer_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("prompt,response,label\nq,a,maybe\nq2,a,\nq3,a,Yes\n")
    with pytest.raises(DataError, match=r"labels.csv:2: `label` is 'maybe'; write one of 1, yes.*\n.*csv:3"):
        load_labels(file)
    file.write_text("prompt,reply,label\nq,a,1\n")
    with pytest.raises(DataError, match="no `response`"):
        load_labels(file)
    lines = tmp_path / "labels.jsonl"
    given = ({"label": True}, {"label": 0}, {"label": 1.0}, {"label": "FAIL"})
    lines.write_text("".join(json.dumps({"prompt": "q", "response": "", **row}) + "\n" for row in given))
    assert [row.right for row in load_labels(lines)] == [True, False, True, False]


MODULE = """
from stateset.rl.rewards.judge import Judge
from stateset.rl.rewards.reward import reward
from stateset.rl.rewards.rubric import RubricReward

asked = RubricReward("Was it done?", Judge(model="m", base_url={url!r}, api_key="k", ledger="judge.sqlite"))

@reward
def other(response):
    return 1.0
"""


def test_the_command_writes_what_the_reward_asks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_labels(tmp_path, 60)
    now: list[Grader] = [honest]
    script = judging(lambda *given: now[0](*given))
    with serving(script) as server:
        Path("calibrated_judge.py").write_text(MODULE.format(url=server.url))
        reward, _ = resolve_reward("calibrated_judge:asked", tmp_path)
        command = ("judge", "calibrate", "calibrated_judge:asked", "labels.csv")

        def trained() -> list[float | None]:
            with RewardScorer(reward) as scorer:
                [scored] = scorer.score(answered(Task(id="t", prompt="q"), ["I refunded it"]))
            return [score.total for score in scored.scores]

        with pytest.raises(RewardError, match="judge calibrate MODULE:NAME"):
            trained()
        done = call(capsys, *command)
        assert done.code == 0, done.err
        assert "Cohen's kappa" in done.out
        assert "180 calls, 5400 tokens" in done.err
        assert trained()[0] == pytest.approx(0.8, abs=0.06)
        success = choose_success([], reward)
        success.judge(answered(Task(id="t", prompt="q"), ["I refunded it"]))
        assert (success.judges, success.who) == ({"m": ""}, "the judge m, from a grade of 0.5 on")
        assert success.errors == JudgeErrors(tpr=1.0, num_right=30, tnr=1.0, num_wrong=30)

        now[0] = always_yes
        write_labels(tmp_path, 10)
        unfit = call(capsys, *command, "--json")
        assert unfit.code == 3
        assert "unfit as a reward (answers of the rarer label; TPR; TNR; " in unfit.err
        written = json.loads(unfit.out)
        assert written == json.loads(reward.calibration_file.read_text())
        assert (written["fit"], written["model"], written["rubric"]) == (False, "m", reward.rubric_hash)
        assert len(written["labels"]["sha256"]) == 64
        with pytest.raises(RewardError, match="rarer label"):
            trained()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("refused_judge:other", "labels.csv"), "no RubricReward"),
        (("refused_judge:asked", "none.csv"), "no file none.csv"),
        (("refused_judge:asked", "labels.csv", "-o", "labels.csv"), "the record cannot be labels.csv"),
        (("refused_judge:asked", "labels.csv", "-o", "away/x.json"), "the record cannot be away/x.json"),
        (("refused_judge:asked", "labels.csv", "--repeat", "1"), "--repeat"),
    ],
)
def test_wrong_arguments_exit_with_2_before_anything_is_paid(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_labels(tmp_path)
    Path("refused_judge.py").write_text(MODULE.format(url="http://127.0.0.1:9/v1"))
    done = call(capsys, "judge", "calibrate", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not Path("judge.sqlite").exists()
