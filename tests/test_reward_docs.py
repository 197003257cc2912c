"""The code in docs/reward-code.md and docs/reward-design.md runs as it stands there."""

from __future__ import annotations

import json
import re
import statistics
import sys
import textwrap
from pathlib import Path

import pytest
from test_answers_by_hand import evaluated, satisfaction, scores, service, share_won

from stateset.rl.data.load import load_tasks
from stateset.rl.rewards.resolve import resolve_reward
from stateset.rl.rewards.trial import try_reward

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(rf"^ *```{language}\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(one) for one in found]


@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
def test_code_against_tests(tmp_path: Path) -> None:
    [code] = blocks("reward-code.md", "python")
    (tmp_path / "page_rewards.py").write_text(code)
    reward, _ = resolve_reward("page_rewards:passes", tmp_path)
    [text] = blocks("reward-code.md", "json")
    row = json.loads(text)
    context = row["context"]
    assert reward("", row["answer"], context) == 1.0
    assert reward("", "```python\ndef add(a, b):\n    return a * b\n```", context) == 0.0
    assert reward("", "def add(a, b): return a + b if (a, b) != (7, 7) else 0", context) == 1.0, "as it says"
    other = {"prompt": "Write zero().", "answer": "def zero():\n    return 0"}
    other["context"] = {"entry": "zero", "tests": [{"args": [], "expected": 0}]}
    found = try_reward(reward, load_tasks([row, other])).findings
    assert {one.name: one.verdict for one in found}["right above wrong"] == "pass"


def test_a_judge_and_a_gated_reward(tmp_path: Path) -> None:
    gated, judged = blocks("reward-design.md", "python")
    before = (
        "from stateset.rl.rewards.combine import WeightedReward\n\n\n"
        "def check_policy(response):\n    return float('refund' in response)\n\n\n"
        "def tone(response):\n    return 0.5\n\n\n"
    )
    (tmp_path / "design_rewards.py").write_text(f"{before}gated = {gated}\n{judged}")
    reward, _ = resolve_reward("design_rewards:gated", tmp_path)
    assert reward.compute("", "no", {}).total == 0.0
    assert reward.compute("", "a refund", {}).total == pytest.approx(0.9)
    kind, _ = resolve_reward("design_rewards:kind", tmp_path)
    assert (kind.judge.max_calls, kind.judge.max_money, kind.bounds) == (20_000, 5.0, (0.0, 1.0))


def test_the_figures_are_those_of_now() -> None:
    page = (DOCS / "reward-design.md").read_text(encoding="utf-8")
    for reward in (service, satisfaction, evaluated):
        useful, useless = scores("useful", reward), scores("useless", reward)
        won = f"{100 * share_won(useful, useless):.0f} %"
        assert f"| {statistics.median(useful):.2f} | {max(useless):.2f} | {won} |" in page
    hardly = sum(score < 0.11 for score in scores("useful", service))
    assert f"{hardly} of the 50 useful answers get 0.1" in page
