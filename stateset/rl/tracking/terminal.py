"""Progress on stderr: a live bar on a terminal, plain lines elsewhere.

The remaining time is there from the first second on. Nothing goes to stdout, which belongs to data.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from stateset.rl.tracking.forecast import Forecast, duration
from stateset.rl.types import StepMetrics


class Terminal:
    """Shows a run while it is entered.

    Args:
        total_steps: number of the last step.
        done_steps: steps that earlier sessions of the run have done.
        step_seconds: what one step is thought to take (`guess_step_seconds`).
        limit_seconds: the run's time limit; None: no limit.
        console: where to write; default: stderr.
        clock: seconds that only go up.
    """

    def __init__(
        self,
        *,
        total_steps: int,
        done_steps: int = 0,
        step_seconds: float,
        limit_seconds: float | None = None,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._done = total_steps, done_steps
        self._forecast = Forecast(
            steps_left=total_steps - done_steps, step_seconds=step_seconds, limit_seconds=limit_seconds
        )
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._step_started = self._warm_started = clock()
        self._bar: Progress | None = None

    def __enter__(self) -> Terminal:
        self._step_started = self._clock()
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bar = self._make_bar()
            self._bar.start()
        else:
            self._line(
                f"step {self._done}/{self._total}  {self._remaining()} (a guess until the first step is done)"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def phase(self, name: str) -> None:
        """Say what the current step is doing."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=name)

    def step(self, metrics: StepMetrics) -> None:
        """One line for a finished step."""
        now = self._clock()
        self._forecast.finished(now - self._step_started)
        self._step_started = now
        self._line(f"step {metrics.step}/{self._total}  {_summary(metrics)}  {self._pace()}")
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=metrics.step)

    def warm_start_step(self, step: int, total: int, loss: float) -> None:
        """One line for every tenth supervised step, with what is left of that stage."""
        now = self._clock()
        if step == 1:
            self._warm_started = now
        if step % 10 == 0 or step == total:
            seconds = (now - self._warm_started) / max(1, step - 1)
            left = duration(seconds * (total - step))
            self._line(f"warm start {step}/{total}  loss {_number(loss)}  about {left} left, then GRPO")
        self._step_started = now

    def evaluation(self, step: int, reward: float, *, best: bool) -> None:
        """One line for an evaluation on held-out tasks."""
        remark = " (the best so far)" if best else ""
        self._line(f"step {step}/{self._total}  held-out reward {_number(reward)}{remark}")

    def notice(self, message: str) -> None:
        """Something worth knowing."""
        self._line(f"note: {message}")

    def warning(self, message: str) -> None:
        """Something that probably needs a change."""
        self._line(f"warning: {message}", style="yellow")

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _pace(self) -> str:
        return f"{self._forecast.step_seconds:.1f} s/step  {self._remaining()}"

    def _remaining(self) -> str:
        return f"about {duration(self._forecast.remaining(self._clock() - self._step_started))} left"

    def _make_bar(self) -> Progress:
        bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Remaining(self._remaining),
            console=self._console,
            refresh_per_second=2,
            transient=True,
        )
        bar.add_task("starting", total=self._total, completed=self._done)
        return bar


class _Remaining(ProgressColumn):
    """The remaining time, worked out anew at each refresh."""

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:
        return Text(self._text())


def _summary(metrics: StepMetrics) -> str:
    values = metrics.values
    return "  ".join(
        (
            f"reward {_number(metrics.avg_reward)} ± {_number(metrics.reward_std)}",
            f"kl {_number(metrics.kl_div, 4)}",
            f"quality {_number(100 * metrics.quality_score, 0)}%",
            f"length {_number(values.get('completions/mean_length', math.nan), 0)}",
            f"no signal {_number(100 * values.get('frac_reward_zero_std', math.nan), 0)}%",
        )
    )


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"
