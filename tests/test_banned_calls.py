"""The lint says no to everything that turns data into code; where it is let through is listed here."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
BANNED = (
    "import pickle",
    "import marshal",
    "import shelve",
    "import dill",
    "import cloudpickle",
    "import joblib",
    "from torch import load",
    "from yaml import unsafe_load",
    "torch.load(x)",
    "torch.load(x, weights_only=True)",
    "torch.save(x, y)",
    "torch.hub.load(x, y)",
    "numpy.load(x, allow_pickle=True)",
    "pandas.read_pickle(x)",
    "eval(x)",
    "exec(x)",
    "yaml.load(x)",
    "yaml.load(x, Loader=yaml.SafeLoader)",
    "yaml.full_load(x)",
    "yaml.load_all(x)",
    "subprocess.run(x, shell=True)",
    "subprocess.Popen(x, shell=True)",
    "subprocess.check_output(x, shell=True)",
    "subprocess.getoutput(x)",
    "os.system(x)",
    "os.popen(x)",
)
EXCEPTIONS = {
    "stateset/rl/cli/templates/**": ["RUF012"],  # bans no call: a reward as a user writes it
    "stateset/rl/verifiers/sandbox/fork_server.py": ["S102"],
    "stateset/rl/rewards/process.py": ["S301", "TID251"],
    "stateset/rl/rewards/worker.py": ["S301", "TID251"],
    "stateset/rl/launch.py": ["S301", "TID251"],
}
HEAD = "import os\nimport subprocess\n\nimport numpy\nimport pandas\nimport torch\nimport yaml\n\n"


def found(code: str, place: str) -> set[int]:
    """Lines of `code` that the repository's rules refuse in a file of this name."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "-", "--stdin-filename", place, "--output-format", "json"],
        cwd=ROOT, input=code, capture_output=True, text=True,
    )  # fmt: skip
    problems = json.loads(done.stdout)
    codes = ("S1", "S3", "S5", "S6", "TID")
    return {one["location"]["row"] for one in problems if str(one["code"]).startswith(codes)}


def test_every_banned_call_is_refused() -> None:
    first = HEAD.count("\n") + 1
    lines = found(HEAD + "\n".join(BANNED) + "\n", "stateset/rl/anywhere.py")
    assert [line for number, line in enumerate(BANNED, first) if number not in lines] == []
    assert not {number for number in lines if number < first}


def test_what_is_not_banned_passes() -> None:
    fine = (
        "yaml.safe_load(x)\ntorch.no_grad()\nsubprocess.run([x], check=True)\njson.loads(x)\nmodel.eval()\n"
    )
    assert found(HEAD + fine, "stateset/rl/anywhere.py") == set()


def test_the_exceptions_are_these() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    ignored = settings["per-file-ignores"]
    assert {place: rules for place, rules in ignored.items() if place.startswith("stateset")} == EXCEPTIONS
    hushed = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in (ROOT / "stateset").rglob("*.py")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if "noqa" in line and any(code in line for code in ("S1", "S3", "S5", "S6", "TID"))
    ]
    assert hushed == []
