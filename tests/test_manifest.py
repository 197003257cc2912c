"""Hashes against their published values, JSON that is valid and whole."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stateset.rl import manifest

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # FIPS 180-2, no bytes


def test_fingerprint_keeps_parts_apart() -> None:
    assert manifest.fingerprint([]) == EMPTY
    different = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["c", "ab"], ["\ud800"]]
    assert len({manifest.fingerprint(parts) for parts in different}) == len(different)
    assert manifest.fingerprint(iter(["ab", "c"])) == manifest.fingerprint(("ab", "c"))


def test_versions_of_what_is_and_is_not_installed() -> None:
    found = manifest.versions(["pytest", "no-such-distribution"])
    assert found == {"pytest": pytest.__version__, "no-such-distribution": None}


def test_git_commit_with_and_without_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert manifest.git_commit(tmp_path) is None

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "file").write_text("one")
    git("init", "-q")
    git("add", "file")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD")
    assert manifest.git_commit(tmp_path) == commit
    (tmp_path / "untracked").touch()
    assert manifest.git_commit(tmp_path) == commit
    (tmp_path / "file").write_text("two")
    assert manifest.git_commit(tmp_path) == commit + "+changes"


def test_a_machine_without_git_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert manifest.environment(["pytest"])["git_commit"] is None
    assert manifest.environment(["pytest"])["packages"] == {"pytest": pytest.__version__}


def test_json_has_no_nan_at_any_depth() -> None:
    value = {"a": math.nan, "b": [1.5, -math.inf], "c": {"d": (math.inf, True, 3)}, "text": "é 漢"}
    text = manifest.to_json(value)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, None],
        "c": {"d": [None, True, 3]},
        "text": "é 漢",
    }
    with pytest.raises(TypeError):
        manifest.to_json({"a": object()})


def test_a_lone_surrogate_survives_the_file(tmp_path: Path) -> None:
    manifest.write_json_atomic(tmp_path / "file.json", {"text": "a\udc80b"})
    assert json.loads((tmp_path / "file.json").read_text(encoding="utf-8")) == {"text": "a\udc80b"}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    manifest.write_json_atomic(path, {"version": 1})

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        manifest.write_json_atomic(path, {"version": 2})
    assert json.loads(path.read_text()) == {"version": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_only_the_standard_library_is_imported() -> None:
    code = (
        "import sys; before = set(sys.modules); import stateset.rl.manifest;"
        "new = {m.split('.')[0] for m in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names) - {'stateset'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
