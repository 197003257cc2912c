"""The order in which training sees its tasks: counted, not stateful.

Each epoch is a permutation that depends on the seed, the epoch and the number of tasks alone, so a resumed
run needs no sampler state. It comes from a hash and not from a library's generator, whose stream may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from stateset.rl.errors import DataError


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """Which tasks each step of each epoch takes; the last step of an epoch may be smaller.

    Raises:
        DataError: fewer than one task or a batch size below one.
    """

    num_tasks: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.num_tasks < 1 or self.batch_size < 1:
            raise DataError(
                f"{self.num_tasks} tasks in batches of {self.batch_size}: give at least one of each."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Steps that one pass over the tasks takes."""
        return -(-self.num_tasks // self.batch_size)

    def batch(self, epoch: int, index: int) -> tuple[int, ...]:
        """Return the task indices of one step.

        Args:
            epoch: counted from 0.
            index: step within the epoch, 0 to `steps_per_epoch` - 1.

        Raises:
            IndexError: the epoch has no such step.
        """
        if not 0 <= index < self.steps_per_epoch:
            raise IndexError(f"step {index} of an epoch of {self.steps_per_epoch} steps")
        start = index * self.batch_size
        return _permutation(self.num_tasks, self.seed, epoch)[start : start + self.batch_size]


@lru_cache(maxsize=4)
def _permutation(num_tasks: int, seed: int, epoch: int) -> tuple[int, ...]:
    def rank(index: int) -> bytes:
        return blake2b(f"data order {seed} {epoch} {index}".encode(), digest_size=16).digest()

    return tuple(sorted(range(num_tasks), key=rank))
