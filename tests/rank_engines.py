"""An engine that ends its process, in a module of its own so that other processes can import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence

from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.engine import Completion, Request, Sampling
from stateset.rl.rollout.native import NativeEngine


class Mortal:
    """The native engine; at its `calls`-th rollout, rank 1 gets a signal (its launcher does, for SIGTERM)."""

    exact = True

    def __init__(self, calls: int, number: int = signal.SIGKILL) -> None:
        self.calls, self.number = calls, number

    def load_weights(self, policy: Policy) -> None:
        self.native = NativeEngine(policy)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        self.calls -= 1
        if not self.calls and os.environ.get("RANK") == "1":
            os.kill(os.getpid() if self.number == signal.SIGKILL else os.getppid(), self.number)
        yield from self.native.generate(requests, sampling)
