"""Sampling and scoring shared out over the ranks: each does its part, all get the whole, in one order.

What travels is what came out, token ids, log-probabilities and scores, as JSON. Whoever asks an engine or a
scorer need not know of ranks, and has on each of them what one process would have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter

from stateset.rl.policy.distributed import World
from stateset.rl.policy.policy import Policy
from stateset.rl.rewards.score import AskUnits, Share
from stateset.rl.rewards.worker import Reply, Unit
from stateset.rl.rollout.engine import Completion, Request, RolloutEngine, Sampling

_COMPLETION, _REPLY = TypeAdapter(Completion), TypeAdapter(Reply)


class SharedEngine:
    """Samples each rank's requests there, with the engine that it has."""

    def __init__(self, engine: RolloutEngine, world: World) -> None:
        self.engine, self.world = engine, world
        self.exact = getattr(engine, "exact", False)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield every response of every request."""

        def answers(mine: Sequence[int]) -> list[list[Any]]:
            found: list[list[Any]] = [[] for _ in mine]
            for completion in self.engine.generate([requests[place] for place in mine], sampling):
                plain = _COMPLETION.dump_python(completion, mode="json")
                found[completion.request].append(plain | {"request": mine[completion.request]})
            return found

        for completions in self.world.map(range(len(requests)), answers):
            yield from map(_COMPLETION.validate_python, completions)

    def load_weights(self, policy: Policy) -> None:
        """Take over the policy's current weights, which are the same on every rank."""
        self.engine.load_weights(policy)


def share_engine(engine: RolloutEngine, world: World) -> RolloutEngine:
    """The engine itself, or with several ranks one that shares its requests out."""
    return engine if world.size == 1 else SharedEngine(engine, world)


def share_scoring(world: World) -> Share | None:
    """How a `RewardScorer` shares its units out; None where one process scores all."""
    if world.size == 1:
        return None

    def share(units: Sequence[Unit], ask: AskUnits) -> list[Reply]:
        def plain(mine: Sequence[Unit]) -> list[Any]:
            return [_REPLY.dump_python(reply, mode="json") for reply in ask(mine)]

        return [_REPLY.validate_python(reply) for reply in world.map(units, plain)]

    return share
