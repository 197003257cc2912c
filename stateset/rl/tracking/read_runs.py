"""Reads run directories, also of runs that are going on or were killed. Writes nothing."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stateset.rl.errors import ConfigError, DataError, StatesetRLError


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run directory says.

    Attributes:
        path: the folder.
        status: "running"; "finished"; "stopped" (a signal, or the process was killed); "failed"; in a list
            also "damaged".
        error: why it failed, stopped or cannot be read, None where nothing is known.
        last_step: last complete training step, 0 before the first.
        metrics: one mapping a step, by logged name; None stands for not-a-number.
        manifest: manifest.json as it stands; empty if the run is damaged.
    """

    path: Path
    status: str
    error: str | None
    last_step: int
    metrics: tuple[Mapping[str, Any], ...]
    manifest: Mapping[str, Any]


def read_run(path: Path) -> Run:
    """Read one run directory.

    Raises:
        ConfigError: there is no run in that folder.
        DataError: one of its files is damaged.
    """
    manifest = _read_manifest(path)
    metrics = tuple(_read_metrics(path))
    return Run(
        path=path,
        status=_status(path, manifest["status"]),
        error=manifest.get("error"),
        last_step=metrics[-1]["step"] if metrics else 0,
        metrics=metrics,
        manifest=manifest,
    )


def list_runs(root: Path) -> list[Run]:
    """Every run directly below a folder, the newest first; none if the folder is not there.

    A run that cannot be read is listed last, as "damaged".
    """
    runs = [_read_or_damaged(path.parent) for path in root.glob("*/manifest.json")]
    return sorted(runs, key=lambda run: str(run.manifest.get("started", "")), reverse=True)


def damaged_run(path: Path, error: Exception) -> Run:
    """What a list shows of a run whose files cannot be read."""
    return Run(path=path, status="damaged", error=str(error), last_step=0, metrics=(), manifest={})


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSONL file; a torn last line, which a killed process may leave, is passed over.

    A file that is not there has no lines.

    Raises:
        DataError: another line is damaged; the message names it.
    """
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}:{number} is damaged ({error}): remove that line, or restore the file"
            ) from error


def spent_seconds(run: Path) -> float:
    """Wall-clock seconds of a run's recorded steps, its warm start and evaluations included."""
    file = run / "timings.jsonl"
    return sum(line["seconds"]["total"] for line in read_jsonl(file)) if file.is_file() else 0.0


def step_of(path: Path) -> int:
    """The step in a file name such as `step_00010.jsonl`."""
    return int(path.stem.removeprefix("step_"))


def _read_or_damaged(path: Path) -> Run:
    try:
        return read_run(path)
    except (StatesetRLError, OSError) as error:
        return damaged_run(path, error)


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"{path} holds no run (no manifest.json): `stateset-rl runs` lists those there are"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged ({error}): restore it from a copy of the run") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("status"), str):
        raise DataError(f"{file} is damaged (it has no status): restore it from a copy of the run")
    return manifest


def _read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    file = path / "metrics.jsonl"
    for number, line in enumerate(read_jsonl(file), 1):
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            raise DataError(
                f"{file}:{number} is damaged (it has no step): remove that line, or restore the file"
            )
        yield line


def _status(path: Path, recorded: str) -> str:
    """A run that says "running" but whose process no longer holds the lock was killed."""
    return "stopped" if recorded == "running" and not _is_locked(path / ".lock") else recorded


def _is_locked(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
