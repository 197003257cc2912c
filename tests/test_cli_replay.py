"""`stateset-rl replay` on a tiny run: table, JSON, another reward, and what is refused with exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_cli import call
from test_replay import TWICE, run

REWARD = """
from stateset.rl import reward


@reward
def short(response: str) -> tuple[float, dict[str, float]]:
    return 1 - len(response) / 20, {"length": float(len(response))}
"""


@pytest.fixture(scope="module")
def recorded(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny_llama, tmp_path_factory.mktemp("replayed") / "run", max_steps=2, **TWICE)


def test_the_table_shows_what_would_have_changed(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = call(capsys, "replay", str(recorded), "--step", "1", "--set", "clip_ratio=0.01")
    assert done.code == 0
    head, loss, *rows = done.out.splitlines()
    assert head.split("  ")[0] == "step 1"
    assert loss.split()[0] == "loss"
    logged = json.loads((recorded / "metrics.jsonl").read_text().splitlines()[0])["loss"]
    assert loss.split()[1] == f"{logged:.4g}"
    assert loss.split()[2] != loss.split()[1]
    assert [row.split()[0] for row in rows[:6]] == [
        "clip_ratio/low_mean", "clip_ratio/high_mean", "approx_kl_old", "ratio_max", "kl", "push",
    ]  # fmt: skip
    table = rows[
        rows.index("the responses whose push changes most (above 0: the update makes them likelier)") :
    ]
    assert 1 <= len(table) - 2 <= 10
    assert "note: the updates after the first" in done.err


def test_json_holds_every_response(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = call(
        capsys, "replay", str(recorded), "--set", "adv_estimator=rloo", "--set", "gamma=1.0", "--json"
    )
    assert done.code == 2  # gamma acts in other estimators only
    done = call(capsys, "replay", str(recorded), "--set", "adv_estimator=rloo", "--json")
    found = json.loads(done.out)
    assert (found["step"], found["changes"], len(found["responses"])) == (2, ["adv_estimator=rloo"], 8)
    was, now = found["values"]["loss"]
    assert was == pytest.approx(found["logged_loss"], rel=1e-5)
    assert now != was
    assert found["unrecorded"] == [0, 0]
    total = sum(abs(response["push"][1]) for response in found["responses"])
    assert total == pytest.approx(found["values"]["push"][1], rel=1e-5)


def test_another_reward_scores_the_same_responses(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short_reward.py").write_text(REWARD)
    arguments = ("replay", str(recorded), "--reward", "short_reward:short", "--project", str(tmp_path))
    done = call(capsys, *arguments)
    assert done.code == 0
    assert "short_reward.py)" in done.err
    assert "note: the reward saw no context for 2 of 2 prompts" in done.err
    lines = done.out.splitlines()
    assert any(line.startswith("advantage changes sign") for line in lines)
    assert any(line.strip().startswith("length") and "->" in line for line in lines)


def test_changes_that_change_nothing_are_said(
    recorded: Path, tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = run(tiny_llama, tmp_path / "one")
    done = call(capsys, "replay", str(one), "--set", "clip_ratio=0.1")
    assert "leave this update as it was: it was the only one" in done.err
    assert "whose push" not in done.out
    assert "leave this update" not in call(capsys, "replay", str(one)).err


def test_a_loss_that_was_tampered_with_is_doubted(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run(tiny_llama, tmp_path / "run", max_response_length=11)
    line = json.loads((out / "metrics.jsonl").read_text())
    (out / "metrics.jsonl").write_text(json.dumps(line | {"loss": 0.5}) + "\n")
    assert "the run logged 0.5" in call(capsys, "replay", str(out)).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "temperature=0.5"), "`temperature` cannot be replayed"),
        (("--set", "clip_ratio=7"), "less than 1"),
        (("--step", "9"), "there is no step 9"),
        (("--reward", "nonsense"), "package.module:Name"),
        (("--project", "."), "--reward"),
        (("--steps", "1"), "No such option"),
    ],
)
def test_wrong_arguments_exit_with_2(
    recorded: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    done = call(capsys, "replay", str(recorded), *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_a_reward_is_judged_by_the_groups_of_its_run(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(capsys, "reward", "check", "--run", str(recorded), "--json")
    found = json.loads(done.out)
    assert found["verdict"] in ("pass", "warn", "fail")
    names = [finding["name"] for finding in found["findings"]]
    assert names[:5] == ["unscored", "finite", "groups without signal", "saturation", "length"]
    assert "of 4 groups" in found["findings"][2]["said"]
    assert done.code == (3 if found["verdict"] == "fail" else 0)
    assert call(capsys, "reward", "check").code == 2
    assert call(capsys, "reward", "check", "a:B").code == 2
