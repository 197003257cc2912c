"""Checkpoint folders on the disk: whole or not there, and known to be whole.

A checkpoint is written beside its place. Each file is synced, `MANIFEST.json` with sizes and SHA-256 comes
last, then the folder is synced and renamed. The latest checkpoint is the newest one that verifies; nothing
points to it. A folder that is removed is renamed first, so that a killed process leaves no half of one; one
that is written again stays as `step_00010.old` until the new one is there.
Standard library only; what a checkpoint holds is `checkpoint.py`'s. `replace_folder` is for the folders of
models, which are no checkpoints.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MANIFEST = "MANIFEST.json"
PINNED = "PINNED"  # a file of this name in a checkpoint keeps it for good
LEAST = 2  # whole checkpoints that always stay
_OLD = ".old"  # a checkpoint that is being replaced
_NAME = re.compile(rf"(warm|step)_(\d+)({re.escape(_OLD)})?")  # those of the warm start come before step 1
UNFINISHED = ".tmp-"
REPLACED = ".replaced-"  # a folder that makes room for its next version


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, whole or damaged, oldest first."""
    found = {path: match for path in folder.glob("*_*") if (match := _NAME.fullmatch(path.name))}
    return sorted(found, key=lambda path: (found[path][1] == "step", int(found[path][2]), not found[path][3]))


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, beginning with the file's name; None if every byte is as written."""
    try:
        text = (checkpoint / MANIFEST).read_text(encoding="utf-8")
        files = json.loads(text)["files"]
        if text != _manifest(files):
            return f"{MANIFEST} was changed"
        return next(filter(None, (_difference(checkpoint / name, files[name]) for name in files)), None)
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{MANIFEST} cannot be read ({error})"


def commit(target: Path, write: Callable[[Path], None], num_bytes: int = 0) -> None:
    """Make the checkpoint `target` of what `write` puts into an empty folder.

    Args:
        target: where it shall be, in the folder of a run's checkpoints.
        write: writes its files into the folder that it is given.
        num_bytes: what they will take; where the disk has less room, nothing is begun.
    Raises:
        OSError: it could not be written; other checkpoints are as they were, and nothing else is left.
    """
    folder = target.parent
    temporary = folder / f"{UNFINISHED}{target.name}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder)
        free = shutil.disk_usage(folder).free
        if free < num_bytes:
            raise OSError(f"{num_bytes:,} bytes are needed and {free:,} are free")
        temporary.mkdir()
        write(temporary)
        seal(temporary)
        replaced = target.with_name(target.name + _OLD)
        if any((path / PINNED).exists() for path in (target, replaced)):
            (temporary / PINNED).touch()
        if target.exists():  # the run has come by it again: stopped in the step after it, or it was damaged
            _remove(replaced)
            target.rename(replaced)
        temporary.rename(target)
        _sync(folder)
        _remove(replaced)
    finally:
        remove_unfinished(folder)


def seal(folder: Path) -> None:
    """Put the files of a folder on the disk, and write into it what `damage` compares them with."""
    files = {file.name: _seal(file) for file in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(_manifest(files), encoding="utf-8")
    _sync(folder / MANIFEST)
    _sync(folder)


def rotate(folder: Path, keep: int, best: str = "") -> None:
    """Remove old checkpoints but for the newest `keep`, `best`, pinned ones, and two that verify.

    Args:
        folder: the checkpoints of a run, of which the newest was just written.
        keep: how many of the newest stay, whole or not.
        best: name of one that stays.
    """
    whole = 1  # the newest
    for place, checkpoint in enumerate(list_checkpoints(folder)[-2::-1], 2):
        needed = whole < LEAST and damage(checkpoint) is None
        whole += needed
        if place > keep and not needed and checkpoint.name != best and not (checkpoint / PINNED).exists():
            _remove(checkpoint)


def tidy(folder: Path, latest: Path | None) -> None:
    """At the start of a resume: drop what was never finished, and set newer, damaged checkpoints aside."""
    remove_unfinished(folder)
    found = list_checkpoints(folder)
    for damaged in found[found.index(latest) + 1 :] if latest in found else found:
        aside = folder / f"damaged-{damaged.name}"
        shutil.rmtree(aside, ignore_errors=True)
        damaged.rename(aside)


def remove_unfinished(folder: Path) -> None:
    """Drop what a killed process, or a failed attempt, has left."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def replace_folder(target: Path, write: Callable[[Path], None]) -> Path:
    """Write a folder beside `target`, sync it, and put it in the place of what was there.

    A process killed between the last two renames leaves no `target`, but the old one aside: `bring_back`.
    """
    temporary = target.with_name(f"{UNFINISHED}{target.name}")
    aside = target.with_name(f"{REPLACED}{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(temporary)
        for path in (*temporary.rglob("*"), temporary):
            _sync(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    if target.exists():
        target.rename(aside)
    temporary.rename(target)
    _sync(target.parent)
    shutil.rmtree(aside, ignore_errors=True)
    return target


def bring_back(folder: Path) -> None:
    """Undo a replacement in `folder` that was cut off before the new one was in its place."""
    for aside in folder.glob(f"{REPLACED}*"):
        target = folder / aside.name.removeprefix(REPLACED)
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(target)


def _manifest(files: Mapping[str, Any]) -> str:
    own = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return json.dumps({"files": files, "sha256": own}, indent=1) + "\n"


def _difference(file: Path, told: Mapping[str, Any]) -> str | None:
    if not file.is_file():
        return f"{file.name} is missing"
    size = file.stat().st_size
    if size != told["bytes"]:
        return f"{file.name} has {size:,} bytes instead of {told['bytes']:,}"
    return None if _sha256(file) == told["sha256"] else f"{file.name} was changed (its SHA-256 differs)"


def _seal(file: Path) -> dict[str, Any]:
    _sync(file)
    return {"bytes": file.stat().st_size, "sha256": _sha256(file)}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _remove(checkpoint: Path) -> None:
    if not checkpoint.exists():
        return
    aside = checkpoint.with_name(f"{UNFINISHED}removed-{checkpoint.name}-{os.getpid()}")
    checkpoint.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
