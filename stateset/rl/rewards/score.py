"""`RewardScorer`: rollout groups in, scored groups out, with a time limit that holds.

A reward runs in worker processes, because nothing else can stop a plain function; a response that took
too long, crashed its worker or raised is scored None with the reason. A result that breaks the reward's
contract ends the run, and so does a reward that works for no response at all. An object that cannot
travel (a lambda, a class of the main script) runs in this process with no limit, which `notice` says.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import islice
from queue import SimpleQueue
from typing import Any, Self

from stateset.rl.errors import ConfigError, RewardError
from stateset.rl.pulse import beat
from stateset.rl.rewards.call import NAME_A_VERIFIER, RewardCall
from stateset.rl.rewards.fingerprint import code_sha256, state_sha256
from stateset.rl.rewards.process import WorkerLostError, WorkerProcess, pack
from stateset.rl.rewards.result import FailedScore
from stateset.rl.rewards.worker import Reply, Unit, UnitRunner, failed, timed_out
from stateset.rl.types import RolloutGroup, ScoredGroup

AskUnits = Callable[[Sequence[Unit]], list[Reply]]
Share = Callable[[Sequence[Unit], AskUnits], list[Reply]]

CONCURRENT_COROUTINES = 32
LOOK_SECONDS = 0.5  # between two looks whether the run is asked to stop
GRACE_SECONDS = 5.0  # for a loop to cancel its coroutines before the worker is killed


class RewardScorer:
    """Scores groups with one reward; use it as a context manager or `close` it.

    Args:
        reward: a `RewardFunction`, a function, or whatever `RewardCall` accepts.
        verifier: gives rewards that ask for it `verified`, and every reward `context["verified"]`.
        timeout_seconds: limit of one call, which is one response, or one group for a batched reward.
        workers: processes that score at the same time; the order of the scores does not depend on it.
        share: gives every unit's reply though this process asks for its part alone; None: it asks for all.

    Attributes:
        name: the reward's module and name.
        verifier: as given.
        timeout_seconds: as given.
        code: hash of the code that defines it, or None.
        state: hash of what it holds.
        bounds: the reward's lowest and highest value, or None.
        weights: of its parts by name, where the reward says so (`weights` or `criteria`), else None.
        notice: one line for the user, or None.
        failures: responses that could not be scored so far, by "raised", "timed out" and "crashed".
        ever_worked: whether any response was scored; a caller that knows it from before may say so.
        first_failure: the first of them, with its task and the reason, or None.
        tiers: the sandboxes in which the reward has run code so far.
        judges: the models that it has asked so far, each with why it is not fit to judge; empty: it is.

    Raises:
        ConfigError: the reward or an argument is of the wrong kind.
    """

    def __init__(
        self,
        reward: Any,
        *,
        verifier: Callable[..., Any] | None = None,
        timeout_seconds: float = 30.0,
        workers: int = 1,
        share: Share | None = None,
    ) -> None:
        if not (math.isfinite(timeout_seconds) and timeout_seconds > 0):
            raise ConfigError(f"timeout_seconds is {timeout_seconds}: give a number of seconds above 0")
        if workers < 1:
            raise ConfigError(f"workers is {workers}: give at least 1")
        self._call = RewardCall(reward, verifier)
        self.verifier, self.timeout_seconds, self._share = verifier, timeout_seconds, share
        self.ever_worked = False
        self.name = self._call.name
        self.code, self.state = code_sha256(reward), state_sha256(reward)
        self.bounds = self._call.bounds
        self.weights = self._call.weights
        self.failures: Counter[str] = Counter()
        self.first_failure: str | None = None
        self.tiers: frozenset[str] = frozenset()
        self.judges: dict[str, str] = {}
        self.notice: str | None = None
        self._dropped = False  # what the workers are asked now; nobody wants the answers
        self._local: UnitRunner | None = None
        self._workers: list[WorkerProcess] = []
        try:
            setup = pack((reward, verifier, timeout_seconds))
        except Exception as error:  # whatever a user's object raises when it is pickled
            self._local = UnitRunner(self._call, timeout_seconds)
            self.notice = (
                f"the reward `{self.name}` runs without a time limit, because a worker process cannot "
                f"import it ({error}): define it in a module of its own to have one"
            )
        else:
            self._workers = [WorkerProcess(setup, self.name) for _ in range(workers)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes; nothing can be scored afterwards."""
        if self._local:
            self._local.close()
        for worker in self._workers:
            worker.close()

    def score(self, groups: Sequence[RolloutGroup]) -> list[ScoredGroup]:
        """Score every response of every group.

        Raises:
            RewardError: a result broke the contract; or no response at all could be scored.
        """
        units = [unit for group in groups for unit in self._call.units(group)]
        replies = self._share(units, self._replies) if self._share else self._replies(units)
        self.tiers = self.tiers.union(*(reply.tiers for reply in replies))
        for model, unfit in dict.fromkeys(one for reply in replies for one in reply.judges):
            self.judges[model] = self.judges.get(model) or unfit
        self._count(units, replies, len(groups))
        scores = (score for reply in replies for score in reply.scores)
        return [
            ScoredGroup(group=group, scores=tuple(islice(scores, len(group.rollouts)))) for group in groups
        ]

    def _replies(self, units: Sequence[Unit]) -> list[Reply]:
        """One reply a unit, in order; ends with an error at the first broken contract."""
        most = min(CONCURRENT_COROUTINES, self._call.concurrency or CONCURRENT_COROUTINES)
        size = most if self._call.is_async else 1
        batches = [units[i : i + size] for i in range(0, len(units), size)]
        local = self._local
        answers = (local.run(batch) for batch in batches) if local else self._ask_workers(batches)
        replies: list[Reply] = []
        with contextlib.closing(answers):
            for reply in (reply for answer in answers for reply in answer):
                if reply.broken:
                    raise RewardError(reply.broken)
                beat()
                replies.append(reply)
        return replies

    def _ask_workers(self, batches: Sequence[Sequence[Unit]]) -> Generator[list[Reply]]:
        idle: SimpleQueue[WorkerProcess] = SimpleQueue()
        for worker in self._workers:
            idle.put(worker)

        def ask(batch: Sequence[Unit]) -> list[Reply]:
            worker = idle.get()
            try:
                return self._ask(worker, batch)
            finally:
                idle.put(worker)

        self._dropped = False
        with ThreadPoolExecutor(len(self._workers)) as threads:
            answers = [threads.submit(ask, batch) for batch in batches]
            try:
                for answer in answers:
                    while not wait([answer], LOOK_SECONDS).done:
                        beat(progress=False)
                    yield answer.result()
            except BaseException:  # a stop, an error: nobody waits for the rest
                self._drop(threads)
                raise

    def _drop(self, threads: ThreadPoolExecutor) -> None:
        """End what the workers are doing; they can be asked again."""
        self._dropped = True
        for worker in self._workers:
            worker.kill()
        threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def _ask(self, worker: WorkerProcess, batch: Sequence[Unit]) -> list[Reply]:
        seconds = self.timeout_seconds + (GRACE_SECONDS if self._call.is_async else 0.0)
        try:
            return worker.ask(self._pack(batch), seconds)
        except WorkerLostError as lost:
            if len(batch) > 1 and not self._dropped:  # one of them blocked the loop or crashed: find it
                return [reply for unit in batch for reply in self._ask(worker, [unit])]
            if lost.timed_out:
                return [timed_out(batch[0], self.timeout_seconds)]
            return [failed(batch[0], "crashed", f"the reward's process {lost}")]

    def _pack(self, batch: Sequence[Unit]) -> bytes:
        try:
            return pack(batch)
        except Exception as error:  # whatever a user's object raises when it is pickled
            raise RewardError(
                f"the context of {batch[0][0]} cannot be sent to the process of the reward `{self.name}` "
                f"({error}): keep to text, numbers, lists and mappings in the rows"
            ) from error

    def _count(self, units: Sequence[Unit], replies: Sequence[Reply], num_groups: int) -> None:
        """Count failures; a reward that never worked, or fails for several whole groups, ends the run."""
        for unit, reply in zip(units, replies, strict=True):
            for sample, score in zip(unit, reply.scores, strict=True):
                if reply.failure or isinstance(score, FailedScore):
                    self.failures[reply.failure or "raised"] += 1
                    said = f"task {sample.task_id!r}, sample {sample.index}: {score.reason}"
                    self.first_failure = self.first_failure or said
        lost = [reply for reply in replies if reply.failure]
        if lost and len(lost) == len(replies) and (num_groups > 1 or not self.ever_worked):
            reason = lost[0].scores[0].reason
            asks = self.verifier is None and "KeyError: 'verified'" in reason
            raise RewardError(
                f"the reward `{self.name}` failed for every response of this step; the first one: {reason}"
                + (f". It reads a verifier's verdict, and there is none: {NAME_A_VERIFIER}" if asks else "")
            )
        self.ever_worked = self.ever_worked or len(lost) < len(replies)
