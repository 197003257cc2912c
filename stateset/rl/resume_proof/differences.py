"""Two run directories compared bit for bit: logs, model folders, and the tensors and JSON of checkpoints.

What tells of the clock or the place is left out: `timings.jsonl`, `events.jsonl` and their lengths, the
manifests, a checkpoint's `origin.json`, and the lineage in a model folder. Reads files only, and knows
nothing of how the runs came about.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from stateset.rl.checkpoint_files import MANIFEST, damage, list_checkpoints
from stateset.rl.tracking.read_runs import read_jsonl, step_of

_LOGS = ("metrics.jsonl", "eval/summary.jsonl")
_STEPS = ("rollouts", "updates", "eval")
_MODELS = ("best", "model")
_ABOUT = (MANIFEST, "origin.json")  # of a checkpoint: hashes of its files, and what the run was given
_CLOCK = ("events.jsonl", "timings.jsonl")  # logs whose lengths in a checkpoint tell of the clock
_TIMED_OUT = re.compile(r"timed out after|TimeoutError")


def differences(one: Path, other: Path, before: int | None = None) -> Iterator[str]:
    """What differs between two runs, the earliest step first; nothing for equal ones.

    Args:
        one: a run directory.
        other: the one that it is held against.
        before: compare only what steps before this one wrote; None: everything.
    """
    yield from _lines(one / "warm_start.jsonl", other / "warm_start.jsonl", None)
    yield from _folders(one / "warm_start", other / "warm_start")
    for log in _LOGS:
        yield from _lines(one / log, other / log, before)
    for path in sorted(_step_files(one) | _step_files(other), key=lambda path: (step_of(path), path)):
        if before is None or step_of(path) < before:
            yield from _lines(one / path, other / path, None)
    yield from _checkpoints(one, other, before)
    for name in _MODELS if before is None else ():
        yield from _folders(one / name, other / name)


def compared(one: Path, other: Path, before: int | None = None) -> Counter[str]:
    """How many `steps`, `rollouts` (responses) and `checkpoints` of two runs `differences` holds together."""
    mine, theirs = (
        {step for line in _read(run / "metrics.jsonl") if (step := _parsed(line).get("step"))}
        for run in (one, other)
    )
    steps = {step for step in mine & theirs if before is None or step < before}
    files = [path for path in sorted((one / "rollouts").glob("step_*.jsonl")) if step_of(path) in steps]
    rollouts = sum(len(group["responses"]) for path in files for group in read_jsonl(path))
    checkpoints = len(_common(one, other, before))
    return Counter(steps=len(steps), rollouts=rollouts, checkpoints=checkpoints)


def timed_out(run: Path) -> dict[int, int]:
    """How many reward calls hit their time limit, by step; those depend on the clock."""
    found: dict[int, int] = {}
    for path in sorted((run / "rollouts").glob("step_*.jsonl")):
        responses = (r for group in read_jsonl(path) for r in group["responses"])
        late = sum(r["reward"] is None and bool(_TIMED_OUT.search(r["reason"] or "")) for r in responses)
        if late:
            found[step_of(path)] = late
    return found


def tensor_differences(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Iterator[str]:
    """Of two sets of named tensors; NaN equals NaN, and 0.0 is not -0.0."""
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            yield f"{name} is in one of them only"
        elif one[name].dtype != other[name].dtype or one[name].shape != other[name].shape:
            yield f"{name} is {_kind(one[name])} and {_kind(other[name])}"
        elif not torch.equal(_bits(one[name]), _bits(other[name])):
            yield f"{name} differs"


def _lines(one: Path, other: Path, before: int | None) -> Iterator[str]:
    for number, (ours, theirs) in enumerate(zip_longest(_read(one), _read(other)), 1):
        if before is not None and max(_parsed(line).get("step", 0) for line in (ours, theirs)) >= before:
            return
        if ours != theirs:
            yield f"{one}:{number} {_where(ours, theirs)}"


def _where(ours: bytes | None, theirs: bytes | None) -> str:
    """Which keys of a line differ, where it can be read."""
    if ours is None or theirs is None:
        return "is there in one of the runs only"
    mine, other = _parsed(ours), _parsed(theirs)
    keys = [key for key in mine.keys() | other.keys() if mine.get(key) != other.get(key)]
    return f"differs in {', '.join(sorted(keys)) or 'its bytes'}"


def _parsed(line: bytes | None) -> dict[str, Any]:
    """Of a line that is missing or torn: nothing."""
    try:
        return dict(json.loads(line or b"{}"))
    except ValueError:
        return {}


def _read(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.is_file() else []


def _step_files(run: Path) -> set[Path]:
    return {path.relative_to(run) for name in _STEPS for path in (run / name).glob("step_*.jsonl")}


def _checkpoints(one: Path, other: Path, before: int | None) -> Iterator[str]:
    ours, theirs = (list_checkpoints(run / "checkpoints")[-1:] for run in (one, other))
    if before is None and [path.name for path in ours] != [path.name for path in theirs]:
        yield f"{one} and {other} end with other checkpoints"
    for name in _common(one, other, before):
        mine, their = (run / "checkpoints" / name for run in (one, other))
        broken = [f"{path}: {found}" for path in (mine, their) if (found := damage(path))]
        yield from broken or [*_folders(mine, their), *_states(mine, their)]


def _common(one: Path, other: Path, before: int | None) -> list[str]:
    """Names of the checkpoints that both runs still have, the oldest first."""
    theirs = {path.name for path in list_checkpoints(other / "checkpoints")}
    names = [path.name for path in list_checkpoints(one / "checkpoints") if path.name in theirs]
    warm = [name for name in names if name.startswith("warm_")]
    return [name for name in names if before is None or name in warm or step_of(Path(name)) < before]


def _states(one: Path, other: Path) -> Iterator[str]:
    """Of two checkpoints: counters, random states, and the lengths of logs without a clock."""
    names = {path.name for folder in (one, other) for path in folder.glob("*.json")} - {*_ABOUT}
    for name in sorted(names):
        mine, their = (_parsed((folder / name).read_bytes()) for folder in (one, other))
        keys = sorted((mine.keys() | their.keys()) - {*_CLOCK})
        if found := [key for key in keys if json.dumps(mine.get(key)) != json.dumps(their.get(key))]:
            yield f"{one / name} differs in {', '.join(found)}"


def _folders(one: Path, other: Path) -> Iterator[str]:
    names = {path.name for folder in (one, other) for path in folder.glob("*.safetensors")}
    for name in sorted(names):
        if not (one / name).is_file() or not (other / name).is_file():
            yield f"{one / name} is there in one of the runs only"
            continue
        for found in tensor_differences(load_file(one / name), load_file(other / name)):
            yield f"{one / name}: {found}"


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)}"
