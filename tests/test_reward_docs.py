"""The code in docs/reward-code.md runs as it stands there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from stateset.rl.data.load import load_tasks
from stateset.rl.rewards.resolve import resolve_reward
from stateset.rl.rewards.trial import try_reward

PAGE = (Path(__file__).parents[1] / "docs" / "reward-code.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
def test_code_against_tests(tmp_path: Path) -> None:
    (tmp_path / "page_rewards.py").write_text(block("python"))
    reward, _ = resolve_reward("page_rewards:passes", tmp_path)
    row = json.loads(block("json"))
    context = row["context"]
    assert reward("", row["answer"], context) == 1.0
    assert reward("", "```python\ndef add(a, b):\n    return a * b\n```", context) == 0.0
    assert reward("", "def add(a, b): return a + b if (a, b) != (7, 7) else 0", context) == 1.0, "as it says"
    other = {"prompt": "Write zero().", "answer": "def zero():\n    return 0"}
    other["context"] = {"entry": "zero", "tests": [{"args": [], "expected": 0}]}
    found = try_reward(reward, load_tasks([row, other])).findings
    assert {one.name: one.verdict for one in found}["right above wrong"] == "pass"
