"""The wheel that users install: complete, and at home beside an SDK that owns `stateset/__init__.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
SDK = '"""A stand-in for an SDK: a plain package, no namespace."""\n\nclass Client:\n    pass\n'


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_every_file_of_the_package_and_no_namespace_init(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = (path for path in (ROOT / "stateset").rglob("*") if path.is_file())
    assert held == {p.relative_to(ROOT).as_posix() for p in sources if "__pycache__" not in p.parts}
    assert "stateset/__init__.py" not in held
    assert {"stateset/rl/py.typed", "stateset/rl/config/profiles/balanced.yaml"} <= held
    assert any(name.startswith("stateset/rl/data/") for name in held)


def test_the_wheel_carries_licence_and_command(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel)
    texts = {
        name.split(".dist-info/")[1]: files.read(name).decode()
        for name in files.namelist()
        if "-info/" in name
    }
    assert "Apache License" in texts["licenses/LICENSE"]
    assert "stateset-rl = stateset.rl.cli:main" in texts["entry_points.txt"]
    assert "Requires-Dist: torch>=2.9; extra == 'train'" in texts["METADATA"]


def test_the_wheel_lives_beside_an_sdk_that_owns_the_top_package(wheel: Path, tmp_path: Path) -> None:
    places = {"base": str(tmp_path), "platbase": str(tmp_path)}
    site = Path(sysconfig.get_path("purelib", "posix_prefix", places))
    (site / "stateset").mkdir(parents=True)
    (site / "stateset" / "__init__.py").write_text(SDK)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed"]
    subprocess.run([*pip, "--prefix", str(tmp_path), str(wheel)], check=True, capture_output=True)
    code = (
        "import stateset, stateset.rl, stateset.rl.types, stateset.rl.config.load\n"
        "print(stateset.Client.__name__, stateset.rl.__file__, stateset.rl.types.__file__, sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == [
        "Client",
        str(site / "stateset" / "rl" / "__init__.py"),
        str(site / "stateset" / "rl" / "types.py"),
    ]
    assert (site / "stateset" / "__init__.py").read_text() == SDK
