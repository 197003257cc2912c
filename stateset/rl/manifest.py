"""What a run, a model or a data set was made of: hashes, versions, the commit; JSON that is never half there.

Standard library only. Nothing here fails for a fact that is merely unknown (no git, a package not installed):
the fact is then None.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("stateset-rl", "torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


def fingerprint(parts: Iterable[str]) -> str:
    """SHA-256 of a sequence of strings; ["ab", "c"] and ["a", "bc"] differ."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def versions(names: Iterable[str]) -> dict[str, str | None]:
    """Installed version of each distribution, None where it is not installed."""
    return {name: _version(name) for name in names}


def git_commit(folder: Path) -> str | None:
    """Commit of the folder's repository, with "+changes" if tracked files differ; None without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def environment(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Where a run takes place: Python, platform, cores, package versions, the working directory's commit."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "packages": versions(packages),
        "git_commit": git_commit(Path.cwd()),
    }


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON with null for NaN and infinities, which JSON does not have; keeps the order of keys.

    Raises:
        TypeError: a value that JSON cannot hold.
    """
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def write_json_atomic(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write a JSON file that is either the old or the new one, whatever happens meanwhile."""
    write_text_atomic(path, to_json(mapping, indent=2) + "\n")


def write_text_atomic(path: Path, text: str) -> None:
    """Write beside the place, sync, rename; on failure the old file stays and nothing else is left behind."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
