"""What may be imported without paying for torch, each tried in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "datasets", "tensorboard", "wandb")
LIGHT = ("config", "data", "rewards", "tracking", "verifiers")


def heavy_modules_after(code: str) -> list[str]:
    """Run code in a fresh interpreter, return which of HEAVY it loaded."""
    report = f"\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return done.stderr.split()


def test_the_probe_sees_what_is_loaded() -> None:
    assert heavy_modules_after("import sys; sys.modules['torch'] = sys") == ["torch"]


def test_the_package_itself_is_light() -> None:
    assert heavy_modules_after("import stateset.rl; dir(stateset.rl)") == []


@pytest.mark.parametrize("package", LIGHT)
def test_every_module_of_a_light_package_is_light(package: str) -> None:
    code = (
        "import importlib, pkgutil\n"
        f"root = importlib.import_module('stateset.rl.{package}')\n"
        "names = [m.name for m in pkgutil.walk_packages(root.__path__, root.__name__ + '.')]\n"
        "assert names\n"
        "for name in names: importlib.import_module(name)"
    )
    assert heavy_modules_after(code) == []


def test_help_is_light() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "stateset.rl", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert imported.isdisjoint(HEAVY)
