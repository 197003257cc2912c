"""Two run directories compared bit for bit: logs, model folders and the newest checkpoint's tensors.

What tells of the clock or the place is left out: `timings.jsonl`, `events.jsonl`, the manifest, and the
lineage in a model folder. Reads files only, and knows nothing of how the runs came about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from stateset.rl.checkpoint_files import list_checkpoints
from stateset.rl.tracking.read_runs import read_jsonl, step_of

_LOGS = ("metrics.jsonl", "warm_start.jsonl", "eval/summary.jsonl")
_STEPS = ("rollouts", "updates", "eval")
_MODELS = ("warm_start", "best", "model")
_TIMED_OUT = re.compile(r"timed out after|TimeoutError")


def differences(one: Path, other: Path, before: int | None = None) -> Iterator[str]:
    """What differs between two runs, the earliest step first; nothing for equal ones.

    Args:
        one: a run directory.
        other: the one that it is held against.
        before: compare only what steps before this one wrote, and no weights; None: everything.
    """
    for log in _LOGS:
        yield from _lines(one / log, other / log, before)
    for path in sorted(_step_files(one) | _step_files(other), key=lambda path: (step_of(path), path)):
        if before is None or step_of(path) < before:
            yield from _lines(one / path, other / path, None)
    if before is None:
        yield from _checkpoints(one, other)
        for name in _MODELS:
            yield from _folders(one / name, other / name)


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


def _checkpoints(one: Path, other: Path) -> Iterator[str]:
    ours, theirs = (list_checkpoints(run / "checkpoints")[-1:] for run in (one, other))
    if [p.name for p in ours] != [p.name for p in theirs]:
        yield f"{one} and {other} end with other checkpoints"
        return
    for mine, other_one in zip(ours, theirs, strict=True):
        yield from _folders(mine, other_one)


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
