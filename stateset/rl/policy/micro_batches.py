"""What is computed together: micro-batches, made smaller where memory runs out.

They bound memory only: token weights are computed over the whole mini-batch, so that the gradients of its
micro-batches add up to the same, however it is split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from stateset.rl.policy.batch import Batch
from stateset.rl.pulse import beat

Result = TypeVar("Result")
_SAID = ("out of memory", "can't allocate memory")  # by devices and by torch's allocator for the CPU
_HALVED = (
    "memory ran out with {} responses computed together: from here on at most {}. The update is the same; a "
    "lower micro_batch_tokens, or gradient_checkpointing: true, would avoid the second try"
)
_RECOMPUTED = (
    "memory ran out with a single response: from here on activations are computed again in the backward "
    "pass. The update is the same; gradient_checkpointing: true would avoid the second try"
)


class MicroBatches:
    """Splits batches, and remembers how small they had to become.

    Args:
        max_tokens: most tokens of a micro-batch; a single group may have more.
        max_rows: most responses of a micro-batch; None is no limit.
        recompute: makes the model keep no activations, and says whether that is new: the last resort.
    """

    def __init__(
        self, max_tokens: int, max_rows: int | None = None, recompute: Callable[[], bool] = lambda: False
    ) -> None:
        self.max_tokens, self.max_rows, self.recompute = max_tokens, max_rows, recompute
        self._under_way = 0  # responses of the micro-batch that is computed now
        self._notices: list[str] = []

    def split(self, batch: Batch, groups: Sequence[int], max_tokens: int | None = None) -> Iterator[Tensor]:
        """Rows [b] of each micro-batch: neighbouring groups, or a part of a group that has too many rows.

        Args:
            batch: what to split.
            groups: of the batch.
            max_tokens: instead of the limit that was given at first.
        """
        max_tokens = max_tokens or self.max_tokens
        current: list[int] = []
        used = 0
        for group in groups:
            size, rows = batch.num_tokens(group), batch.rows_of([group]).tolist()
            limit = self.max_rows or max(len(rows), len(current) + len(rows))
            if current and (used + size > max_tokens or len(current) + len(rows) > limit):
                yield self._begin(batch, current)
                current, used = [], 0
            while len(rows) > limit:
                yield self._begin(batch, rows[:limit])
                rows = rows[limit:]
            current += rows
            used += size
        if current:
            yield self._begin(batch, current)

    def retry(self, work: Callable[[], Result], undo: Callable[[], None]) -> Result:
        """Do `work`, which splits batches; where memory runs out, undo it and begin again with half.

        Single responses that do not fit are tried once more without kept activations.

        Raises:
            RuntimeError: memory runs out with those, too.
        """
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                single = self._under_way <= 1
                if not is_out_of_memory(error) or (single and not self.recompute()):
                    raise
            undo()  # outside of `except`, which holds the tensors of the failed call
            if single:
                self._notices.append(_RECOMPUTED)
            else:
                self.max_rows = self._under_way // 2
                self._notices.append(_HALVED.format(self._under_way, self.max_rows))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def tell(self) -> list[str]:
        """What happened since the last call, in sentences."""
        told, self._notices = self._notices, []
        return told

    def _begin(self, batch: Batch, rows: list[int]) -> Tensor:
        beat()
        self._under_way = len(rows)
        return torch.tensor(rows, device=batch.groups.device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on whatever device."""
    failed = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return failed or any(text in str(error) for text in _SAID)
