"""Several processes train one model: each takes whole groups of a step, and what they compute adds up.

Every rank holds all weights. It samples, scores and differentiates its share; the parts are put together in
the order that one process has, so that advantages, mini-batches and files do not depend on the number of
ranks. Whatever is decided (stop, skip, refuse) is decided from the same numbers on every rank. Not here:
FSDP2 would enter in `add_up`, where gradients would go to the owners of shards, and where `load.py` places
the module; Ray beside `launch.py`, as another way to start ranks.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

import stateset.rl.errors as errors
from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError, LostRankError, TrainingError
from stateset.rl.policy.load import resolve_device

Item = TypeVar("Item")
_WAIT = timedelta(days=1)  # for another rank's slow reward; that one has died is noticed at once
_BUCKET = 2**26  # elements summed at once, so that the copy they are summed in stays small


@dataclass(frozen=True, slots=True)
class World:
    """The processes that train together; alone, every method does nothing and costs nothing.

    Attributes:
        rank: which of them this one is, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, config: Config) -> World:
        """Meet the other processes, where a launcher such as torchrun started several.

        Raises:
            ConfigError: they are not as many as `num_gpus` says, or the settings know of none.
        """
        if not launched():
            return cls()
        size = int(os.environ["WORLD_SIZE"])
        if size != (config.num_gpus if config.distributed else 1):
            raise ConfigError(
                f"{size} processes were started to train together: set distributed: true and num_gpus: {size}"
            )
        if size > 1 and not dist.is_initialized():
            backend = "gloo"
            if resolve_device(config.device).type == "cuda":
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
                backend = "cpu:gloo,cuda:nccl"  # records travel as bytes on the CPU, gradients on the GPU
            with _together():
                dist.init_process_group(backend, timeout=_WAIT)
            atexit.register(dist.destroy_process_group)
            threading.Thread(target=_stop_without, args=(os.getppid(),), daemon=True).start()
        return cls(int(os.environ["RANK"]), size)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes the run directory and talks to the user."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """The part of `items` that this rank takes; every rank has all of them, in the same order."""
        return items if self.size == 1 else items[self.rank :: self.size]

    def map(self, items: Sequence[Item], work: Callable[[Sequence[Item]], list[Any]]) -> list[Any]:
        """`work(items)`, shared out: each rank does its part, and all get the whole.

        Args:
            items: the same on every rank.
            work: one result an item, of plain JSON values where there are several ranks.
        Returns:
            The results in the order of `items`.
        Raises:
            StatesetRLError: what one rank's work raised is raised on every rank.
        """
        if self.size == 1:
            return work(items)
        results: list[Any] = [None] * len(items)
        for rank, part in enumerate(self._attempt(lambda: work(self.share(items)))):
            results[rank :: self.size] = part
        return results

    def lead(self, work: Callable[[], Any]) -> Any:
        """What `work` returns on rank 0, which alone does it; plain JSON where there are several ranks.

        Raises:
            StatesetRLError: what it raised is raised on every rank.
        """
        return work() if self.size == 1 else self._attempt(lambda: work() if self.leads else None)[0]

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of ranks: plain JSON, as text, so that nothing of it is run."""
        if self.size == 1:
            return [value]
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = list(torch.zeros(self.size, 1, dtype=torch.long))
        with _together():
            dist.all_gather(lengths, torch.tensor([len(text)]))
            padded = torch.zeros(max(map(int, lengths)), dtype=torch.uint8)
            padded[: len(text)] = text
            texts = [torch.empty_like(padded) for _ in lengths]
            dist.all_gather(texts, padded)
        return [
            json.loads(found[: int(length)].numpy().tobytes())
            for found, length in zip(texts, lengths, strict=True)
        ]

    def total(self, value: float) -> float:
        """The sum of every rank's value, the same number on each."""
        return value if self.size == 1 else float(sum(self.gather(value)))

    def largest(self, *values: float) -> tuple[float, ...]:
        """The largest of every rank's values, place by place."""
        return values if self.size == 1 else tuple(map(max, zip(*self.gather(values), strict=True)))

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, which is the same on each to the last bit."""
        if self.size == 1:
            return
        bucket: list[Tensor] = []
        for tensor in tensors:
            if bucket and sum(map(Tensor.numel, bucket)) + tensor.numel() > _BUCKET:
                _add_up_flat(bucket)
                bucket = []
            bucket.append(tensor)
        if bucket:
            _add_up_flat(bucket)

    def fill(self, values: Tensor) -> Tensor:
        """Put in what other ranks know of `values`, where this one has NaN; what no rank knows stays NaN."""
        if self.size > 1:
            known = ~values.isnan()
            found, count = values.where(known, 0.0), known.to(values)
            self.add_up([found, count])
            values.copy_(found.where(count > 0, torch.nan))
        return values

    def refuse_drift(self, weights: Sequence[Tensor]) -> None:
        """Compare the ranks' float32 or float64 weights by a sum of their bits.

        Raises:
            TrainingError: they differ, so that the ranks train different models.
        """
        if self.size == 1:
            return
        sums = [int(w.detach().view(torch.int32).sum(dtype=torch.int64)) for w in weights]
        if any(other != sums for other in self.gather(sums)):
            raise TrainingError(
                "the ranks hold different weights, though all of them took the same steps: their machines or "
                "torch builds differ, or memory is faulty. Resume the run on equal machines"
            )

    def _attempt(self, work: Callable[[], Any]) -> list[Any]:
        """Every rank's result, or on every rank the first rank's error."""
        failure: Exception | None = None
        result: Any = None
        try:
            result = work()
        except Exception as error:
            failure = error
        said = None if failure is None else (type(failure).__name__, str(failure))
        outcomes = self.gather({"result": result if failure is None else None, "said": said})
        for rank, outcome in enumerate(outcomes):
            if outcome["said"] is not None:
                if failure is not None and rank == self.rank:
                    raise failure
                kind, message = outcome["said"]
                raise error_of(kind, message, where=f"rank {rank}")
        return [outcome["result"] for outcome in outcomes]


ALONE = World()


def launched() -> bool:
    """Whether torch's launcher started this process, alone or with others."""
    return dist.is_torchelastic_launched()


def _stop_without(launcher: int) -> None:
    """Nobody would end the ranks of a launcher that was killed: they stop as at a signal."""
    while os.getppid() == launcher:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def error_of(kind: str, message: str, where: str) -> errors.StatesetRLError:
    """Another process's error, of the same kind where it is one of ours."""
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, errors.StatesetRLError):
        with contextlib.suppress(TypeError):  # StoppedError wants a number
            return found(message)
    return TrainingError(f"{where}: {kind}: {message}")


def _add_up_flat(tensors: Sequence[Tensor]) -> None:
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    with _together():
        dist.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


@contextlib.contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostRankError(
            f"another process of this run ended, or cannot be reached ({str(error).splitlines()[0]}): "
            "its own error says why. The last checkpoint is whole: resume the run from it"
        ) from error
