"""`reward check` on groups: by hand, on what a reward does in other company, and on a model's samples."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from test_reward_check import found, scored
from typer.testing import CliRunner

from stateset.rl.cli.app import app
from stateset.rl.errors import ConfigError, GateError
from stateset.rl.rewards.check import Trial
from stateset.rl.rewards.group_checks import (
    BETWEEN,
    FEW,
    HIGHEST,
    LOWEST,
    TEACHING,
    check_groups,
    signal_kinds,
)
from stateset.rl.rewards.group_trial import try_groups
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.types import RolloutGroup

Rows = list[list[float | None]]


def test_groups_without_signal_are_told_apart() -> None:
    rows: Rows = [[1.0, 1.0], [0.0, 0.0], [0.5, 0.5], [0.0, 1.0], [None, 1.0], [None, None]]
    assert signal_kinds(scored(rows)) == [HIGHEST, LOWEST, BETWEEN, TEACHING, FEW, FEW]
    finding = found(check_groups(scored(rows)), "groups without signal")
    assert finding.said == (
        "83% of 6 groups: 17% all at the highest score, 17% all at the lowest, 17% alike in between, "
        "33% fewer than two scored"
    )
    assert finding.example == "1 for every response to 'q'"


def test_where_all_scores_are_the_same_the_bounds_tell_right_from_wrong() -> None:
    right, half = scored([[1.0, 1.0]] * 2), scored([[0.5, 0.5]] * 2)
    assert signal_kinds(right) == [BETWEEN] * 2
    assert signal_kinds(right, (0.0, 1.0)) == [HIGHEST] * 2
    assert signal_kinds(half, (0.5, 1.0)) == [LOWEST] * 2
    said = found(check_groups(right, bounds=(0.0, 1.0)), "saturation")
    assert (said.verdict, said.said) == (
        "fail",
        "100% of groups all at the highest score, 0% all at the lowest",
    )
    assert found(check_groups(half, bounds=(0.0, 1.0)), "saturation").said == "all scores are the same"


def test_rounding_is_no_signal() -> None:
    assert signal_kinds(scored([[0.3, 0.1 + 0.2], [0.0, 1.0]])) == [BETWEEN, TEACHING]


def test_saturation_shows_a_prompt_of_its_end() -> None:
    findings = check_groups(scored([[0.0, 0.0]] * 1 + [[1.0, 1.0]] * 2 + [[0.0, 1.0]]))
    assert found(findings, "saturation").verdict == "pass", "50 %, not more"
    findings = check_groups(scored([[0.0, 0.0]] * 1 + [[1.0, 1.0]] * 3 + [[0.0, 1.0]]))
    assert found(findings, "saturation").verdict == "warn"
    assert found(findings, "saturation").example == "1 for every response to 'q'"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_end_the_check(value: float) -> None:
    findings = check_groups(scored([[0.0, value], [1.0, 0.0]]))
    assert [one.name for one in findings] == ["unscored", "finite"]
    assert (findings[1].verdict, findings[1].example) == ("fail", f"{value} for 'xx'")
    part = check_groups(scored([[0.0, 1.0]], lambda index, n: {"a": value}))
    assert found(part, "finite").said == "2 of 4 scores and parts are no finite numbers"


def test_cost_is_that_of_a_response_with_its_errors() -> None:
    seconds = [0.001] * 18 + [0.1] * 2  # p95 lies on the 20th of 20, at place 18.05
    groups = scored([[0.0, 1.0, None, 0.0]] * 5)
    cheap = found(check_groups(groups, sampling_seconds=0.2, seconds=seconds), "cost")
    assert cheap.verdict == "pass"
    assert cheap.said == "1.0 ms a response, p95 100.0 ms, 25.0% failed; sampling one takes 200.0 ms"
    assert found(check_groups(groups, sampling_seconds=0.05, seconds=seconds), "cost").verdict == "warn"
    assert [one for one in check_groups(groups) if one.name == "cost"] == [], "nothing was timed"


class Ranked(RewardFunction):
    """Judges a response by its neighbours: first come, first paid."""

    def score_group(self, responses: list[str], contexts: list[Mapping[str, Any]]) -> list[float]:
        """Fall from the first on."""
        return [1 / (1 + place) for place in range(len(responses))]


class Counting(RewardFunction):
    """Depends on how often it was asked."""

    def __init__(self) -> None:
        self.calls = itertools.count()

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> float:
        """Rise with every call."""
        return float(next(self.calls))


def length(response: str) -> float:
    return float(len(response))


def not_a_number(response: str) -> float:
    return math.nan


def sampled() -> list[RolloutGroup]:
    return [group.group for group in scored([[0.0, 0.0, 0.0]] * 2)]


def verdicts(trial: Trial) -> list[str]:
    names = ("the same again", "backwards", "one by one")
    return [found(list(trial.findings), name).verdict for name in names]


def test_a_reward_scores_the_same_in_any_company() -> None:
    good = try_groups(length, sampled(), sampling_seconds=1.0)
    assert verdicts(good) == ["pass"] * 3
    assert [score.total for score in good.groups[0].scores] == [1.0, 2.0, 3.0]
    assert "0.0% failed; sampling one takes 1000.0 ms" in found(list(good.findings), "cost").said
    neighbours = try_groups(Ranked(), sampled(), sampling_seconds=1.0)
    assert verdicts(neighbours) == ["pass", "fail", "fail"]
    assert found(list(neighbours.findings), "one by one").example == "0.5 and 1.0 for 'xx'"
    assert verdicts(try_groups(Counting(), sampled(), sampling_seconds=1.0)) == ["fail"] * 3


def test_a_broken_contract_is_a_finding() -> None:
    [finding] = try_groups(not_a_number, sampled(), sampling_seconds=1.0).findings
    assert (finding.name, finding.verdict) == ("contract", "fail")
    assert "returned nan" in finding.said


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sampled_rewards.py").write_text(
        "from stateset.rl import reward\n\n@reward\ndef right(response, context):\n"
        "    return float(response.strip() == context.get('answer'))\n"
    )
    lines = [json.dumps({"prompt": f"{n} + 1?", "answer": str(n + 1)}) for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_a_models_samples_are_checked_too(rows: Path, tiny_llama: Path) -> None:
    command = ["reward", "check", "sampled_rewards:right", "--data", "rows.jsonl", "--model", str(tiny_llama)]
    sizes = ["--samples", "3", "--prompts", "4", "--max-new-tokens", "5"]
    done = CliRunner().invoke(app, [*command, *sizes, "--html", "report.html", "--json"])
    assert isinstance(done.exception, GateError), done.output
    findings = json.loads(done.stdout)["findings"]
    named = {(one["on"], one["name"]): one for one in findings}
    assert named["probes", "right above wrong"]["verdict"] == "pass"
    assert named["sampled groups", "one by one"]["said"] == "12 scores are the same"
    signal = named["sampled groups", "groups without signal"]
    assert (signal["verdict"], signal["said"]) == ("fail", "100% of 4 groups: 100% alike in between")
    assert "4 sampled groups" in (rows / "report.html").read_text()


def test_without_answers_only_the_samples_are_checked(rows: Path, tiny_llama: Path) -> None:
    (rows / "open.jsonl").write_text("\n".join(json.dumps({"prompt": f"hello {n}"}) for n in range(2)))
    command = ["reward", "check", "sampled_rewards:right", "--data", "open.jsonl", "--model", str(tiny_llama)]
    done = CliRunner().invoke(app, [*command, "--samples", "2", "--max-new-tokens", "3"])
    assert "no row has an `answer`" in done.stderr
    assert "sampled groups" in done.stdout
    assert "probes" not in done.stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--samples", "4"], "add --model"),
        (["--html", "nowhere/report.html"], "a folder that is there"),
    ],
)
def test_options_that_cannot_act_are_refused(rows: Path, given: list[str], said: str) -> None:
    command = ["reward", "check", "sampled_rewards:right", "--data", "rows.jsonl"]
    refused = CliRunner().invoke(app, [*command, *given])
    assert isinstance(refused.exception, ConfigError)
    assert said in str(refused.exception)
    alone = CliRunner().invoke(app, ["reward", "check", "--run", "runs/x", "--model", "base"])
    assert "answers the rows of --data" in str(alone.exception)
