"""`stateset-rl runs doctor`: which files of a run are damaged, and what it would go on from.

Reads every byte and changes nothing. A torn last line, an unfinished checkpoint and steps after the last
checkpoint are what a killed process leaves: a resume trains those steps again, bit for bit. They are told,
and are no damage.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from stateset.rl.checkpoint_files import PINNED, UNFINISHED, damage, list_checkpoints
from stateset.rl.errors import DataError, StatesetRLError
from stateset.rl.tracking.read_runs import read_jsonl, read_run
from stateset.rl.tracking.run_dir import LOGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What became of a run.

    Attributes:
        run: its folder.
        status: as in `read_runs.Run`, or "damaged".
        last_step: the last training step that is recorded.
        checkpoints: name -> what is wrong with it, None if nothing is; oldest first.
        pinned: names of those that a rotation keeps.
        resume_from: the checkpoint that a resume takes; None: it begins again, or cannot.
        problems: damaged files, a sentence each.
        remarks: what a killed process left, and what a resume will do.
    """

    run: str
    status: str
    last_step: int
    checkpoints: Mapping[str, str | None]
    pinned: tuple[str, ...]
    resume_from: str | None
    problems: tuple[str, ...]
    remarks: tuple[str, ...]


def diagnose(run: Path) -> Diagnosis:
    """Look at every file that a resume needs, and at the logs.

    Raises:
        ConfigError: there is no run in that folder.
    """
    found = list_checkpoints(run / "checkpoints")
    state = {path.name: damage(path) for path in found}
    whole = [path for path in found if state[path.name] is None]
    problems = [*_unreadable(run), *(f"checkpoints/{name}/{what}" for name, what in state.items() if what)]
    problems += _short_logs(run, whole[-1]) if whole else []
    if found and not whole:
        problems.append("no checkpoint is whole: the run cannot go on")
    try:
        read = read_run(run)
        status, last_step = read.status, read.last_step
    except DataError:
        status, last_step = "damaged", 0
    resume_from = whole[-1].name if whole else None
    return Diagnosis(
        run=str(run),
        status=status,
        last_step=last_step,
        checkpoints=state,
        pinned=tuple(path.name for path in found if (path / PINNED).exists()),
        resume_from=resume_from,
        problems=tuple(problems),
        remarks=tuple(_remarks(run, resume_from, last_step, begins_again=not found)),
    )


def _unreadable(run: Path) -> Iterator[str]:
    try:
        read_run(run)
    except DataError as error:
        yield str(error)
    try:
        yaml.safe_load((run / "config.resolved.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        yield f"config.resolved.yaml cannot be read ({str(error).splitlines()[0]})"
    steps = [f"{folder}/{path.name}" for folder in _STEP_FOLDERS for path in (run / folder).glob("*.jsonl")]
    for name in dict.fromkeys((*LOGS[1:], *sorted(steps))):  # metrics.jsonl, the first, was read above
        try:
            list(read_jsonl(run / name))
        except StatesetRLError as error:
            yield str(error)


_STEP_FOLDERS = ("rollouts", "updates", "eval")


def _short_logs(run: Path, checkpoint: Path) -> Iterator[str]:
    told: dict[str, int] = json.loads((checkpoint / "logs.json").read_text(encoding="utf-8"))
    for name, length in told.items():
        size = (run / name).stat().st_size if (run / name).is_file() else 0
        if size < length:
            yield f"{name} has {size:,} bytes; {length:,} were written before {checkpoint.name}"


def _remarks(run: Path, resume_from: str | None, last_step: int, *, begins_again: bool) -> Iterator[str]:
    torn = [name for name in LOGS if (run / name).is_file() and not _ends_whole(run / name)]
    if torn:
        yield f"the last line of {', '.join(torn)} is torn; a resume drops it"
    unfinished = [path.name for path in (run / "checkpoints").glob(f"{UNFINISHED}*")]
    if unfinished:
        yield f"{', '.join(unfinished)} was never finished; a resume removes it"
    if begins_again:
        yield "there is no checkpoint yet; a resume begins the run again in its place"
    if resume_from is not None:
        step = int(resume_from.rpartition("_")[2]) if resume_from.startswith("step_") else 0
        yield f"a resume goes on from {resume_from}" + (
            f" and takes steps {step + 1} to {last_step} again" if last_step > step else ""
        )


def _ends_whole(file: Path) -> bool:
    content = file.read_bytes()
    return not content or content.endswith(b"\n")
