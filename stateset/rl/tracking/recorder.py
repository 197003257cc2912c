"""`Recorder` is told what a run does, and tells the run directory, the terminal and the trackers."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

from stateset.rl.config.plan import Plan
from stateset.rl.config.schema import Config
from stateset.rl.errors import StoppedError, TrainingError
from stateset.rl.redact import redact
from stateset.rl.tracking.forecast import guess_step_seconds
from stateset.rl.tracking.health import Health
from stateset.rl.tracking.read_runs import read_run, spent_seconds
from stateset.rl.tracking.run_dir import RunDirectory
from stateset.rl.tracking.terminal import Terminal
from stateset.rl.tracking.tracker import Tracker
from stateset.rl.types import ScoredGroup, StepMetrics
from stateset.rl.watchdog import PATIENCE_SECONDS, Watchdog

PHASE_EVENT = "stateset_rl.phase"  # audited with the name of each phase that begins: see sys.addaudithook


class Recorder:
    """Open while one `train()` call runs; closing it records how the call ended.

    Args:
        run: the run's folder.
        terminal: the display.
        health: raises warnings from the metrics.
        peak_bytes: tells the most memory that the process has held.
        limit_seconds: after which the call ends.
        patience_seconds: a phase without progress for so long may have come to a stand.
        trackers: get a copy of the metrics; the caller closes them.
    """

    def __init__(
        self,
        run: RunDirectory,
        terminal: Terminal,
        health: Health,
        peak_bytes: Callable[[], int],
        limit_seconds: float,
        patience_seconds: float = PATIENCE_SECONDS,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self.path, self.limit_seconds = run.path, limit_seconds
        self._run, self._terminal, self._health = run, terminal, health
        self._peak_bytes, self._trackers = peak_bytes, trackers
        self._seconds: dict[str, float] = {}
        self._step_started, self._step_cpu = time.monotonic(), time.process_time()
        self._said_unscored, self._step = False, 0
        self._watchdog = Watchdog(self._stalled, patience_seconds=patience_seconds)
        self._tiers: frozenset[str] = frozenset()

    @classmethod
    def of_run(
        cls,
        run: RunDirectory,
        config: Config,
        plan: Plan,
        *,
        step: int,
        last_step: int,
        num_parameters: int,
        device: str,
        peak_bytes: Callable[[], int],
        trackers: Sequence[Tracker] = (),
    ) -> Recorder:
        """The recorder of a `train()` call that goes from `step` to `last_step`."""
        tokens = plan.responses_per_step * config.max_response_length
        limit = config.limit_seconds(spent_seconds(run.path))
        terminal = Terminal(
            total_steps=last_step,
            done_steps=step,
            step_seconds=guess_step_seconds(num_parameters=num_parameters, num_tokens=tokens, device=device),
            limit_seconds=limit if math.isfinite(limit) else None,
        )
        health = Health(plan.prompts_per_step)
        for earlier in read_run(run.path).metrics:
            health.update(earlier)
        patience = max(PATIENCE_SECONDS, 2 * config.reward_timeout_seconds)
        return cls(run, terminal, health, peak_bytes, limit, patience, trackers)

    def __enter__(self) -> Recorder:
        self._terminal.__enter__()
        self._watchdog.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.__exit__(kind, error, trace)
        self._terminal.__exit__(kind, error, trace)
        if error is None:
            self._run.close("finished")
            return
        stopped = isinstance(error, StoppedError | KeyboardInterrupt)
        said = redact(str(error) if stopped else f"{type(error).__name__}: {error}")
        with contextlib.suppress(TrainingError):  # a full disk; the run then reads as stopped
            self._run.close("stopped" if stopped else "failed", said)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a part of a step and show its name."""
        sys.audit(PHASE_EVENT, name)
        self._terminal.phase(name)
        started = time.monotonic()
        try:
            with self._watchdog.phase(name):
                yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - started

    def step(
        self,
        metrics: StepMetrics,
        groups: Sequence[ScoredGroup],
        advantages: Sequence[float],
        trace: Sequence[Mapping[str, object]],
    ) -> None:
        """A training step is done; arguments as in `RunDirectory.step`."""
        self._step = metrics.step
        self._run.step(metrics, groups, advantages, trace, self._since_last(), self._peak_bytes())
        self._terminal.step(metrics)
        for tracker in self._trackers:
            tracker.log(metrics)
        for finding in self._health.update(metrics.values):
            self.warning(metrics.step, finding.message)

    def warm_start_step(self, values: Mapping[str, float]) -> None:
        """A supervised step is done: `step`, `total`, `loss`, `learning_rate`, `grad_norm`."""
        self._run.warm_start_step(values)
        self._terminal.warm_start_step(int(values["step"]), int(values["total"]), values["loss"])

    def warm_start_done(self) -> None:
        """The supervised stage is over: its seconds are those of step 0."""
        self._run.timing(0, self._since_last(), self._peak_bytes())

    def _since_last(self) -> dict[str, float]:
        """Seconds of each phase since the last step, `total` and this process's `cpu` time; begins anew."""
        now, cpu = time.monotonic(), time.process_time()
        spent = self._seconds | {"total": now - self._step_started, "cpu": cpu - self._step_cpu}
        self._seconds, self._step_started, self._step_cpu = {}, now, cpu
        return spent

    def evaluation(
        self,
        step: int,
        reward: float,
        parts: Mapping[str, float],
        groups: Sequence[ScoredGroup],
        *,
        best: bool,
    ) -> None:
        """The held-out tasks were scored after `step`."""
        self._run.evaluation(step, reward, parts, groups, best=best)
        self._terminal.evaluation(step, reward, best=best)
        values = {"eval/reward": reward, **{f"eval/rewards/{name}": value for name, value in parts.items()}}
        nan = float("nan")
        for tracker in self._trackers:
            tracker.log(
                StepMetrics(
                    step=step, avg_reward=nan, reward_std=nan, kl_div=nan, quality_score=nan, values=values
                )
            )

    def bad_batches(self, step: int, name: str, lines: Sequence[Mapping[str, object]]) -> None:
        """Optimizer steps were left out of the step `name`; a line with a `cause` begins each one's batch."""
        self._run.bad_batches(name, lines)
        for line in lines:
            if "cause" in line:
                of, cause = line["of"], line["cause"]
                self.notice(step, f"an optimizer step of the {of} was left out ({name}), because {cause}")

    def unscored(self, step: int, count: int, first: str | None) -> None:
        """Responses that could not be scored so far, with the first reason; said once a call."""
        if count and not self._said_unscored:
            self._said_unscored = True
            self.notice(step, f"{count} responses could not be scored and do not train; the first: {first}")

    def sandboxes(self, step: int, tiers: frozenset[str]) -> None:
        """Keep the sandboxes that the reward ran code in; an unsafe one is told at each start."""
        if tiers - self._tiers:
            self._run.fact("sandbox", sorted(tiers))
            for tier in sorted(tiers - self._tiers):
                if tier.startswith("unsafe"):
                    self.notice(step, f"code of the model runs without a sandbox ({tier})")
            self._tiers = tiers

    def notice(self, step: int, message: str) -> None:
        """Something that the user should know."""
        message = redact(message)
        self._run.event(step, "notice", message)
        self._terminal.notice(message)

    def warning(self, step: int, message: str) -> None:
        """Something that the user must not miss."""
        message = redact(message)
        self._run.event(step, "warning", message)
        self._terminal.warning(message)

    def log_bytes(self) -> dict[str, int]:
        """The length of each log, all of it on the disk."""
        return self._run.log_bytes()

    def _stalled(self, message: str) -> None:
        """The watchdog's report, from its own thread."""
        self._run.event(self._step, "stall", message)
        self._terminal.warning(message)

    def event(self, step: int, kind: str, message: str) -> None:
        """Something for the record only."""
        self._run.event(step, kind, message)
