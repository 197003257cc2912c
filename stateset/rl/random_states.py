"""Python's, numpy's and torch's global random states, which only user code draws from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class RandomStates(NamedTuple):
    """What the three will draw next.

    Attributes:
        tensors: torch's, of the CPU and of each GPU.
        others: Python's and numpy's, fit for JSON.
    """

    tensors: dict[str, Tensor]
    others: dict[str, Any]

    @classmethod
    def now(cls) -> RandomStates:
        """As they are in this process."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        tensors = {"random/cpu": torch.get_rng_state()} | {f"random/cuda/{i}": s for i, s in enumerate(cuda)}
        found: Any = np.random.get_state(legacy=True)
        name, keys, *rest = found
        return cls(tensors, {"python": random.getstate(), "numpy": [name, keys.tolist(), *rest]})


def restore_random(tensors: Mapping[str, Tensor], others: Mapping[str, Any]) -> None:
    """Put back what `RandomStates.now` found, also after a way through JSON; tensors may hold more."""
    version, words, gauss = others["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = others["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(tensors["random/cpu"])
    for index in range(torch.cuda.device_count()):
        if f"random/cuda/{index}" in tensors:
            torch.cuda.set_rng_state(tensors[f"random/cuda/{index}"], index)
