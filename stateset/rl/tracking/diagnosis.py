"""`stateset-rl runs doctor`: which files of a run are damaged, and what it would go on from.

Reads every byte and changes nothing. Checkpoints and model folders carry hashes, so any change in them is
seen. Of the logs it is known where each checkpoint left them and that steps follow each other: a line that is
lost, repeated or no JSON is seen, and a change of length; a digit altered in its place is not. A torn last
line, an unfinished checkpoint and steps after the last checkpoint are what a killed process leaves: a resume
trains those steps again, bit for bit. They are told, and are no damage.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stateset.rl.checkpoint_files import PINNED, REPLACED, UNFINISHED, damage, list_checkpoints
from stateset.rl.errors import DataError, StatesetRLError
from stateset.rl.tracking.read_runs import read_jsonl, read_run
from stateset.rl.tracking.run_dir import LOGS, STEP_FOLDERS, leftovers, step_file


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
    """Look at every file that a resume needs, at the models, and at the logs.

    Raises:
        ConfigError: there is no run in that folder.
    """
    found = list_checkpoints(run / "checkpoints")
    state = {path.name: damage(path) for path in found}
    whole = [path for path in found if state[path.name] is None]
    resume_from = whole[-1].name if whole else None
    problems: list[str] = []
    try:
        read = read_run(run)
        status, steps = read.status, [line["step"] for line in read.metrics]
    except DataError as error:
        status, steps = "damaged", []
        problems.append(str(error))
    problems += _unreadable(run)
    problems += (f"checkpoints/{name}/{what}" for name, what in state.items() if what)
    problems += _changed_logs(run, whole)
    problems += _lost_files(run, sorted({*steps, *range(1, _step_of(resume_from) + 1)}))
    problems += _models(run, status, whole)
    last_step = steps[-1] if steps else 0
    begins_again = not found and status != "finished" and last_step <= _save_every(run)
    if not whole and not begins_again:
        problems.append(f"no checkpoint is {'whole' if found else 'there'}: the run cannot go on")
    return Diagnosis(
        run=str(run),
        status=status,
        last_step=last_step,
        checkpoints=state,
        pinned=tuple(path.name for path in found if (path / PINNED).exists()),
        resume_from=resume_from,
        problems=tuple(dict.fromkeys(problems)),
        remarks=tuple(_remarks(run, resume_from, last_step, begins_again=begins_again)),
    )


def _unreadable(run: Path) -> Iterator[str]:
    try:
        yaml.safe_load((run / "config.resolved.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        yield f"config.resolved.yaml cannot be read ({str(error).splitlines()[0]})"
    for name in LOGS:
        try:
            lines = list(read_jsonl(run / name))
        except StatesetRLError as error:
            yield str(error)
        else:
            yield from _out_of_order(name, lines) if name in _FIRST_STEPS else ()
    for file in sorted(file for folder in STEP_FOLDERS for file in (run / folder).glob("*_*.jsonl")):
        try:
            list(read_jsonl(file))
        except StatesetRLError as error:
            yield str(error)
        if not file.stat().st_size or not _ends_whole(file):  # it is written as a whole
            yield f"{file.parent.name}/{file.name} is cut off"


_FIRST_STEPS = {"metrics.jsonl": (1,), "timings.jsonl": (1, 0), "warm_start.jsonl": (1,)}


def _save_every(run: Path) -> float:
    """Steps after which a run has a checkpoint, so that it is not begun again where none is left."""
    try:
        return int(yaml.safe_load((run / "config.resolved.yaml").read_text(encoding="utf-8"))["save_every"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError):
        return math.inf


def _out_of_order(name: str, lines: Sequence[Any]) -> Iterator[str]:
    """The first line of a log that does not follow the one before it."""
    expected = _FIRST_STEPS[name]
    for number, line in enumerate(lines, 1):
        step = _step(line)
        if step is None or step not in expected:
            yield (
                f"{name}:{number} is of step {step} where step {expected[0]} follows: a line was lost, "
                "repeated or changed"
            )
            return
        expected = (step + 1,)


def _step(line: Any) -> int | None:
    found = line.get("step") if isinstance(line, dict) else None
    return found if isinstance(found, int) else None


def _changed_logs(run: Path, checkpoints: Sequence[Path]) -> Iterator[str]:
    """Logs that are shorter than at a checkpoint, or have no line's end where it left them."""
    told = {path.name: json.loads((path / "logs.json").read_text(encoding="utf-8")) for path in checkpoints}
    for name in LOGS:
        content = (run / name).read_bytes() if (run / name).is_file() else b""
        for checkpoint, lengths in told.items():
            length = lengths.get(name, 0)
            if len(content) < length:
                yield f"{name} has {len(content):,} bytes; {length:,} were written before {checkpoint}"
                break
            if length and content[length - 1 : length] != b"\n":
                yield f"{name} was changed: no line ends at byte {length:,}, where it ended at {checkpoint}"
                break


def _lost_files(run: Path, steps: Sequence[int]) -> Iterator[str]:
    """Files that were complete before the log that tells of them."""
    with contextlib.suppress(StatesetRLError):  # told as unreadable
        evaluated = [_step(line) for line in read_jsonl(run / "eval/summary.jsonl")]
        yield from _lacks(run / "eval", sorted({step for step in evaluated if step is not None}))
    for folder in ("rollouts", "updates"):
        yield from _lacks(run / folder, steps)


def _lacks(folder: Path, steps: Sequence[int]) -> Iterator[str]:
    lost = [step_file(step) for step in steps if not (folder / step_file(step)).is_file()]
    if lost:
        more = f", and {len(lost) - 1} more there" if lost[1:] else ""
        yield f"{folder.name}/{lost[0]} is missing{more}"


def _models(run: Path, status: str, checkpoints: Sequence[Path]) -> Iterator[str]:
    for name in ("best", "model"):
        what = damage(run / name) if (run / name).is_dir() else None
        if what:
            yield f"{name}/{what}"
    if status == "finished" and not (run / "model").is_dir():
        yield "model/ is missing, though the run has finished"
    if checkpoints and not any((run / name).is_dir() for name in ("best", f"{REPLACED}best")):
        step = json.loads((checkpoints[-1] / "state.json").read_text(encoding="utf-8")).get("best_step")
        if step is not None:
            yield f"best/ is missing: it held the weights of step {step}"


def _remarks(run: Path, resume_from: str | None, last_step: int, *, begins_again: bool) -> Iterator[str]:
    torn = [name for name in LOGS if (run / name).is_file() and not _ends_whole(run / name)]
    if torn:
        yield f"the last line of {', '.join(torn)} is torn; a resume drops it"
    unfinished = [path.name for path in (*(run / "checkpoints").glob(f"{UNFINISHED}*"), *leftovers(run))]
    if unfinished:
        yield f"{', '.join(unfinished)} was never finished; a resume removes it"
    for aside in run.glob(f"{REPLACED}*"):
        yield f"{aside.name} was about to be replaced; a resume sees that it is there, or the new one"
    if begins_again:
        yield "there is no checkpoint yet; a resume begins the run again in its place"
    if resume_from is not None:
        step = _step_of(resume_from)
        yield f"a resume goes on from {resume_from}" + (
            f" and takes steps {step + 1} to {last_step} again" if last_step > step else ""
        )


def _step_of(checkpoint: str | None) -> int:
    """The training step of a checkpoint's name; 0 without one, and in the warm start."""
    kind, _, number = (checkpoint or "").partition("_")
    return int(number.partition(".")[0]) if kind == "step" else 0


def _ends_whole(file: Path) -> bool:
    content = file.read_bytes()
    return not content or content.endswith(b"\n")
