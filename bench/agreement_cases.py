"""What every check of `agreement.py` is made of: the vectors, and a caller that feeds them to a peer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from reference import algorithm as reference  # noqa: E402

CASES = {
    (path.stem, case["name"]): case
    for path in sorted((ROOT / "tests/vectors").glob("*.json"))
    for case in json.loads(path.read_text())["cases"]
}
Pairs = Iterator[tuple[Tensor, Any]]
Caller = Callable[[torch.dtype], Pairs]  # what a peer returned, and what should have come out
SAME, ONLY_FLOAT64, DIFFERS = "same", "same in float64", "differs"

PLAIN = "interleaved, binary, negative, tie"
EVEN = "binary, negative, tie"  # groups of one size
NO_DUAL = {"low": 0.2, "high": 0.2, "dual": None}


@dataclass(frozen=True)
class Check:
    """One function of a peer on some vectors: what must come of it, and the reason where they differ."""

    function: str
    peer: str
    called: str
    on: str
    caller: Caller
    expect: str = SAME
    why: str = ""


def of(values: Any, dtype: torch.dtype) -> Tensor:
    """Nested lists with null for NaN."""
    return torch.tensor(np.array(values, dtype=np.float64), dtype=dtype)


def chosen(file: str, label: str, names: str, dtype: torch.dtype) -> Iterator[dict[str, Any]]:
    """The vectors `label: name`; float32 does not hold the rewards of "narrow"."""
    for name in names.split(", "):
        if name != "narrow" or dtype == torch.float64:
            yield CASES[file, f"{label}: {name}"]


def loss_cases(function: str, *names: str) -> list[str]:
    """Names of policy-loss vectors, with both clips."""
    return [f"{function}: {name}, {clip}" for name in names for clip in ("default", "asymmetric, no dual")]


def weighed(inputs: dict[str, Any], expected: dict[str, Any], mode: str) -> tuple[Any, Any]:
    """Loss and gradients of a policy-loss vector, added up as `mode` says by the reference's weights."""
    weights = np.array(reference.token_weights(inputs["mask"], mode))
    return (np.array(expected["losses"]) * weights).sum(), np.array(expected["gradients"]) * weights
