"""The run directory: the truth about a run, readable at any moment, also after the process was killed.

    manifest.json          status, error, versions, hashes; replaced as a whole
    config.resolved.yaml   every setting that acted
    metrics.jsonl          one line a step; nothing that depends on the clock, so equal runs write equal files
    warm_start.jsonl       one line a supervised step before GRPO, where there were any
    timings.jsonl          one line a step: when it ended, its seconds, those of each phase, the memory
    events.jsonl           notices, warnings, checkpoints: step, kind, message
    rollouts/step_00010.jsonl   one line a group: prompt, responses, scores, advantages, token ids
    updates/step_00010.jsonl    what the step's optimizer steps computed with: masks, log-probabilities
    bad_batches/step_00010.jsonl   what optimizer steps were left out for, and what they computed with
    eval/step_00020.jsonl       the same for held-out tasks; eval/summary.jsonl has one line an evaluation
    checkpoints/           written by `checkpoint.py`

A step's line in metrics.jsonl is written last: where it stands, the step's other files are complete. A torn
last line is what a killed process may leave; `read_runs.py` passes over it. A lock on `.lock`, which the
system frees however the process ends, tells a running run from a dead one (Linux and macOS).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from stateset.rl.errors import ConfigError, DataError, TrainingError
from stateset.rl.manifest import to_json, write_json_atomic, write_text_atomic
from stateset.rl.tracking.read_runs import read_run, step_of
from stateset.rl.types import ScoredGroup, StepMetrics

_FOLDERS = ("rollouts", "updates", "eval", "checkpoints")
STEP_FOLDERS = ("rollouts", "updates", "eval", "bad_batches")
LOGS = ("metrics.jsonl", "timings.jsonl", "events.jsonl", "warm_start.jsonl", "eval/summary.jsonl")


class RunDirectory:
    """Writes one run's folder. Make it with `create` or `reopen`; end it with `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, path: Path, *, config: Mapping[str, Any], manifest: Mapping[str, Any]) -> RunDirectory:
        """Begin a run in a new or empty folder.

        Args:
            path: the folder; its parents are made too.
            config: every setting, as plain values.
            manifest: what the run is made of; `status`, `started`, `ended` and `error` are added.

        Raises:
            ConfigError: the folder holds a run or other files, or another process trains in it.
            TrainingError: it cannot be written.
        """
        refuse_occupied(path)
        with _writing(path):
            path.mkdir(parents=True, exist_ok=True)
            run = cls(path, _take_lock(path))
            _remove_leftovers(path)
            for folder in _FOLDERS:
                (path / folder).mkdir(exist_ok=True)
        run._write_config(config)
        run._write_manifest(  # last: a folder without it is no run yet, and free
            {**manifest, "status": "running", "started": _now(), "ended": None, "error": None}
        )
        return run

    @classmethod
    def reopen(cls, path: Path, config: Mapping[str, Any]) -> RunDirectory:
        """Go on in the folder of an earlier run; `cut_back` then drops what came after its checkpoint.

        Raises:
            ConfigError: there is no run there, or it is still running.
        """
        manifest = dict(read_run(path).manifest)
        run = cls(path, _take_lock(path))
        with _writing(path):
            _remove_leftovers(path)
            (path / "updates").mkdir(exist_ok=True)  # a run of an earlier version has none
        run._write_config(config)
        run._write_manifest(manifest | {"status": "running", "ended": None, "error": None})
        return run

    def step(
        self,
        metrics: StepMetrics,
        groups: Sequence[ScoredGroup],
        advantages: Sequence[float],
        trace: Sequence[Mapping[str, Any]],
        seconds: Mapping[str, float],
        peak_bytes: int,
    ) -> None:
        """Record one training step.

        Args:
            metrics: what it measured.
            groups: its scored groups.
            advantages: [B], one a response, in the order of `groups`.
            trace: what its optimizer steps computed with, the first line what did not change between them.
            seconds: of each phase, `total` and `cpu`.
            peak_bytes: most memory that the process has held.
        """
        remaining = iter(advantages)
        lines = [
            {**_group(g), "responses": [r | {"advantage": next(remaining)} for r in _responses(g)]}
            for g in groups
        ]
        self._write_lines(f"rollouts/{step_file(metrics.step)}", lines)
        self._write_lines(f"updates/{step_file(metrics.step)}", trace)
        self.timing(metrics.step, seconds, peak_bytes)
        self._append("metrics.jsonl", {"step": metrics.step, **metrics.values})

    def bad_batches(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Record what was left out of the training step or supervised step `name`."""
        with _writing(self.path):
            (self.path / "bad_batches").mkdir(exist_ok=True)
        self._write_lines(f"bad_batches/{name}.jsonl", lines)

    def timing(self, step: int, seconds: Mapping[str, float], peak_bytes: int) -> None:
        """Record what a step took; step 0 is the warm start."""
        took = {"seconds": dict(seconds), "peak_bytes": peak_bytes}
        self._append("timings.jsonl", {"step": step, "at": _now(), **took})

    def warm_start_step(self, values: Mapping[str, float]) -> None:
        """Record one supervised step; the first one begins the log anew."""
        if values["step"] == 1:
            self._write_lines("warm_start.jsonl", [])
        self._append("warm_start.jsonl", values)

    def evaluation(
        self,
        step: int,
        reward: float,
        parts: Mapping[str, float],
        groups: Sequence[ScoredGroup],
        *,
        best: bool,
    ) -> None:
        """Record one pass over the held-out tasks; `best`: the highest reward so far, now in `best/`."""
        self._write_lines(
            f"eval/{step_file(step)}", [{**_group(g), "responses": _responses(g)} for g in groups]
        )
        summary = {
            "step": step,
            "reward": reward,
            "parts": dict(parts),
            "num_tasks": len(groups),
            "best": best,
        }
        self._append("eval/summary.jsonl", summary)

    def event(self, step: int, kind: str, message: str) -> None:
        """Record what people should know; `kind` is a word such as "notice", "warning", "checkpoint"."""
        self._append("events.jsonl", {"step": step, "kind": kind, "message": message})

    def log_bytes(self) -> dict[str, int]:
        """The length of each log, all of it on the disk; what `cut_back` goes back to."""
        found = {}
        for name in LOGS:
            if (self.path / name).is_file():
                with _writing(self.path / name), (self.path / name).open("rb") as file:
                    os.fsync(file.fileno())
                    found[name] = os.fstat(file.fileno()).st_size
        return found

    def cut_back(self, step: int, log_bytes: Mapping[str, int]) -> None:
        """Forget what came after a checkpoint, and a torn last line, so that a resumed run writes it anew.

        Args:
            step: of the checkpoint.
            log_bytes: from `log_bytes`, when it was written; a log that is not in it did not exist.
        Raises:
            DataError: a log is shorter than it was; nothing was changed.
        """
        lengths = {self.path / name: log_bytes.get(name, 0) for name in LOGS}
        lengths = {path: length for path, length in lengths.items() if path.is_file()}
        for path, length in lengths.items():
            if path.stat().st_size < length:
                raise DataError(
                    f"{path} has lost its end: {length:,} bytes were written before the checkpoint. Restore "
                    "it from a copy of the run, or remove that checkpoint to go on from the one before"
                )
        for path, length in lengths.items():
            with _writing(path):
                os.truncate(path, length)
        for folder in STEP_FOLDERS:
            for path in (self.path / folder).glob("step_*.jsonl"):
                if step_of(path) > step:
                    path.unlink()

    def fact(self, name: str, value: Any) -> None:
        """Add to the manifest what only the run itself can tell."""
        self._write_manifest({**read_run(self.path).manifest, name: value})

    def close(self, status: str, error: str | None = None) -> None:
        """End the run as "finished", "stopped" or "failed" and let go of the folder."""
        try:
            manifest = dict(read_run(self.path).manifest)
            self._write_manifest(manifest | {"status": status, "ended": _now(), "error": error})
        finally:
            os.close(self._lock)

    def _write_config(self, config: Mapping[str, Any]) -> None:
        path = self.path / "config.resolved.yaml"
        with _writing(path):
            write_text_atomic(path, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        path = self.path / "manifest.json"
        with _writing(path):
            write_json_atomic(path, manifest)

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        path = self.path / name
        with _writing(path), path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(to_json(line) + "\n")

    def _write_lines(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        path = self.path / name
        with _writing(path):
            write_text_atomic(path, "".join(to_json(line) + "\n" for line in lines))


def new_run_path(root: Path = Path("runs")) -> Path:
    """`root/<local time>` that is not there yet."""
    name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    path, number = root / name, 2
    while path.exists():
        path, number = root / f"{name}-{number}", number + 1
    return path


def refuse_occupied(path: Path) -> None:
    """A folder is free if it is not there, or holds nothing but what a process killed at its start left."""
    if path.exists() and not path.is_dir():
        raise ConfigError(f"output_dir {path} is a file: choose a folder")
    if not path.is_dir() or all(map(_begun, path.iterdir())):
        return
    if (path / "manifest.json").is_file():
        status = read_run(path).status
        raise ConfigError(
            f"output_dir {path} already holds a run ({status}): choose another folder, "
            f"or go on with that run: stateset-rl train --resume {path}"
        )
    raise ConfigError(f"output_dir {path} holds other files: choose a new or empty folder")


def leftovers(path: Path) -> list[Path]:
    """What a killed process had begun to write, to put it in a file's or folder's place; not checkpoints."""
    files = (file for folder in ("", *STEP_FOLDERS) for file in (path / folder).glob(".*.tmp-*"))
    return sorted([*path.glob(".tmp-*"), *files])


def _remove_leftovers(path: Path) -> None:
    """At the start, by the holder of the lock: nobody writes them any more."""
    for left in leftovers(path):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def refuse_running(path: Path) -> None:
    """Refuse a run that another process trains, and a folder without a run.

    Raises:
        ConfigError: it is one of these.
    """
    read_run(path)
    os.close(_take_lock(path))


def _begun(entry: Path) -> bool:
    """Whether `create` makes this before a folder is a run."""
    if entry.name in _FOLDERS:
        return not any(entry.iterdir())
    return entry.name in (".lock", "config.resolved.yaml") or ".tmp-" in entry.name


def _take_lock(path: Path) -> int:
    lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ConfigError(
            f"another process trains in {path}: wait for it, or choose another output_dir"
        ) from error
    return lock


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{path} could not be written ({error}): free disk space or make the folder writable, "
            "then resume the run from its last checkpoint"
        ) from error


def _group(scored: ScoredGroup) -> dict[str, Any]:
    task = scored.group.task
    return {
        "task": task.id,
        "source": task.source,
        "prompt": task.prompt,
        "answer": task.answer,
        "prompt_ids": scored.group.prompt_ids,
    }


def _responses(scored: ScoredGroup) -> list[dict[str, Any]]:
    return [
        {
            "sample": rollout.sample,
            "text": rollout.text,
            "reward": score.total,
            "parts": score.parts,
            "reason": score.reason,
            "stop_reason": rollout.stop_reason,
            "num_tokens": len(rollout.token_ids),
            "token_ids": rollout.token_ids,
            "loss_mask": rollout.loss_mask,
            "sampler_logprobs": rollout.sampler_logprobs,
        }
        for rollout, score in zip(scored.group.rollouts, scored.scores, strict=True)
    ]


def step_file(step: int) -> str:
    """Name of a step's file in `rollouts`, `updates` and `eval`."""
    return f"step_{step:05d}.jsonl"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
