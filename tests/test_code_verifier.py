"""Programs in answers against tests that they never see."""

from __future__ import annotations

import pickle
import sys
import textwrap
import time
from typing import Any

import pytest

from stateset.rl.errors import ConfigError, DataError, SandboxError
from stateset.rl.verifiers.code import CodeVerifier
from stateset.rl.verifiers.code_blocks import program
from stateset.rl.verifiers.sandbox import probes, unsafe
from stateset.rl.verifiers.sandbox.executor import Outcome, Request
from stateset.rl.verifiers.sandbox.linux import LinuxSandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tier is Linux's")
ROW: dict[str, Any] = {
    "entry": "largest",
    "tests": [{"args": [[3, 9, 2]], "expected": 9}, {"args": [[]], "expected": None}],
}
RIGHT = "Take the maximum:\n```python\ndef largest(items):\n    return max(items, default=None)\n```\nDone."
WRONG = {
    "one test only": "def largest(items): return 9",
    "the other one only": "def largest(items): return None",
    "an error": "def largest(items): return max(items)",
    "another type": "def largest(items): return float(max(items)) if items else None",
    "another name": "def biggest(items): return max(items, default=None)",
    "no code": "The largest one is 9.",
    "the right value in words": "I am sure that it passes all tests.\n```python\nprint('passed')\n```",
    "exit": "import os\nos._exit(0)",
    "a fork": "import os\ndef largest(items):\n    os.fork()\n    return max(items, default=None)",
    "two blocks, the last one wrong": RIGHT + "\n```python\ndef largest(items): return 0\n```",
}


@pytest.fixture(scope="module")
def verify() -> CodeVerifier:
    return CodeVerifier(timeout_seconds=2.0)


def test_right_programs(verify: CodeVerifier) -> None:
    assert verify("", RIGHT, ROW)
    assert verify("", "def largest(items):\n    return sorted(items)[-1] if items else None", ROW)
    for fence in ("python", "python3", "py", "Python", ""):
        assert verify("", RIGHT.replace("```python", f"```{fence}"), ROW), fence
    floats = {"entry": "f", "tests": [{"args": [0.1], "expected": 0.3}]}
    assert not verify("", "def f(x): return x + 0.2", floats)
    assert CodeVerifier(tolerance=1e-9)("", "def f(x): return x + 0.2", floats)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_programs(verify: CodeVerifier, name: str) -> None:
    assert not verify("", WRONG[name], ROW)


def test_whole_programs(verify: CodeVerifier) -> None:
    row = {"tests": [{"stdin": "2 3\n", "expected": "5"}, {"stdin": "-1 1\n", "expected": "0\n"}]}
    assert verify("", "a, b = map(int, input().split())\nprint(a + b, ' ')", row)
    assert not verify("", "print(5)", row)


def test_it_stops_at_the_first_failure_and_says_why(verify: CodeVerifier) -> None:
    [(passed, outcome)] = verify.outcomes("def largest(items): return 1 / 0", ROW)
    assert not passed
    assert outcome.reason == "raised"
    assert "ZeroDivisionError" in outcome.detail


def test_the_order_of_the_tests_is_hidden(verify: CodeVerifier) -> None:
    many = {"entry": "f", "tests": [{"args": [n], "expected": n} for n in range(12)]}
    orders = {
        tuple(outcome.value for _, outcome in verify.outcomes("def f(n): return n", many)) for _ in range(4)
    }
    assert len(orders) == 4


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "no `tests`"),
        ({"tests": [3]}, "a test is 3"),
        ({"tests": [{"args": [1]}]}, "with `expected`"),
        ({"tests": [{"args": [1], "stdin": "", "expected": 1}]}, "either `args` or `stdin`"),
        ({"tests": [{"stdin": 3, "expected": "3"}]}, "`stdin` 3: give the text"),
        ({"tests": [{"args": [1], "expected": 1}]}, "needs `entry`"),
        ({"tests": [{"args": "ab", "expected": 1}], "entry": "f"}, "needs `entry`"),
    ],
)
def test_rows_that_cannot_be_verified(verify: CodeVerifier, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        verify("", RIGHT, row)


def test_it_travels_to_worker_processes(verify: CodeVerifier) -> None:
    again = pickle.loads(pickle.dumps(verify))
    assert again("", RIGHT, ROW)
    assert again.timeout_seconds == 2.0


ADD = "def add(a, b):\n    return a + b\n"
BLOCK = f"```python\n{ADD}```\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"Install it:\n```bash\npip install x\n```\nThen:\n{BLOCK}",
        f"{BLOCK}Example output:\n```\n3\n```\n",
        f"{BLOCK}```json\n3\n```\n",
        BLOCK.replace("python", "Python 3"),
        BLOCK.replace("python", 'py title="add.py"'),
        BLOCK.replace("```", "~~~"),
        BLOCK.replace("```", "````"),
        BLOCK.replace("\n", "\r\n"),
        f"1. Write:\n\n{textwrap.indent(BLOCK, '   ')}\n2. Try it.",
        f"- {textwrap.indent(BLOCK, '  ').lstrip()}",
        f"The code: {BLOCK}",
        BLOCK.replace("\n```", "```"),
        BLOCK.removesuffix("```\n"),
        f"Like ```x```, and ```y``` too:\n{BLOCK}",
        ADD,
    ],
)
def test_the_last_block_of_python_is_the_program(answer: str) -> None:
    assert program(answer, "add").rstrip() == ADD.rstrip()
    assert program(answer).rstrip() == ADD.rstrip()


def test_of_several_blocks_one_that_defines_the_function_counts() -> None:
    usage = "Usage:\n```python\nprint(add(1, 2))\n```\n"
    assert program(BLOCK + usage, "add") == ADD
    assert program(BLOCK + usage) == "print(add(1, 2))\n"
    assert program(BLOCK + BLOCK.replace("+", "-"), "add") == ADD.replace("+", "-")
    assert program(f"{usage}```\n{ADD}```", "add") == ADD, "though it is not marked"
    assert program("```\nadd = lambda a, b: a + b\n```\n" + usage, "add").startswith("add = ")
    assert program("```py\nx = 1\n```\n```\ny = 2\n```") == "x = 1\n"
    assert program("```\nx = 1\n```\n```\ny = 2\n```") == "y = 2\n"


def test_a_fence_in_a_docstring_ends_no_block() -> None:
    code = 'def add(a, b):\n    """Adds.\n\n    ```\n    add(1, 2)\n    ```\n    """\n    return a + b\n'
    assert program(f"```python\n{code}```\nDone.", "add") == code


def test_reading_blocks_costs_what_the_answer_is_long() -> None:
    """One of these took two minutes by going back over its line again and again."""
    begun = time.process_time()
    for line in ("`{n}a", "```{n}!`", "```" + " " * 10**5 + "x y", "{n}```", " " * 10**5 + "- x", "```{n}"):
        for n in ("`" * 10**5, "a" * 10**5):
            program(f"{line.replace('{n}', n)}\n", "f")
    assert time.process_time() - begun < 10


class Leaky:
    """An executor in which one probe gets through."""

    tier = "leaky"

    def __init__(self, through: str) -> None:
        self.through, self.sandbox = through, LinuxSandbox()

    def run(self, request: Request) -> Outcome:
        if request.source == self.through:
            return Outcome(frame=True)
        return self.sandbox.run(request)

    def close(self) -> None:
        self.sandbox.close()


class Mute:
    """An executor that gives nothing back."""

    tier = "mute"

    def run(self, request: Request) -> Outcome:
        return Outcome(reason="no-result")

    def close(self) -> None:
        """It has nothing to end."""


@pytest.mark.parametrize("name", probes.PROBES)
def test_one_probe_that_gets_through_refuses_the_sandbox(name: str) -> None:
    with pytest.raises(SandboxError, match=rf"could {name}: no code of a model is run"):
        probes.self_test(Leaky(probes.PROBES[name]))


def test_a_sandbox_that_runs_nothing_is_refused_too() -> None:
    assert len(probes.PROBES) == 11
    with pytest.raises(SandboxError, match="does not run honest code: no-result"):
        probes.self_test(Mute())


def test_ci_really_has_the_tier() -> None:
    made = LinuxSandbox()
    probes.self_test(made)
    made.close()
    assert made.tier.startswith("linux")


def test_without_a_sandbox_each_process_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unsafe, "used", set())
    verify = CodeVerifier(sandbox="unsafe-local", timeout_seconds=10.0)
    assert verify("", RIGHT, ROW)
    assert verify("", RIGHT, ROW)
    said = capsys.readouterr().err
    assert said.count("runs without a sandbox (unsafe-local: a plain process with every right") == 1


def test_without_a_sandbox_only_by_name() -> None:
    verify = CodeVerifier(sandbox="unsafe-local", timeout_seconds=10.0)
    assert pickle.loads(pickle.dumps(verify)).sandbox == "unsafe-local"
    assert verify("", RIGHT, ROW)
    for name in ("one test only", "an error", "another type", "no code", "exit"):
        assert not verify("", WRONG[name], ROW), name
    row = {"tests": [{"stdin": "", "expected": "read"}]}
    [(_, outcome)] = verify.outcomes("open('/etc/passwd').read(5)\nprint('read')", row)
    assert outcome.value == "read\n", "that is what is unsafe about it"
    hasty = CodeVerifier(sandbox="unsafe-local", timeout_seconds=0.5)
    [(_, outcome)] = hasty.outcomes("while True: pass", ROW)
    assert outcome.reason == "timeout"
    with pytest.raises(ConfigError, match="sandbox is 'docker'"):
        CodeVerifier(sandbox="docker")
