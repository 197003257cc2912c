"""The remaining time by hand-worked clocks, and the lines that people see."""

from __future__ import annotations

import io
import math
import subprocess
import sys

import pytest
from rich.console import Console

from stateset.rl.tracking.forecast import Forecast, duration, guess_step_seconds
from stateset.rl.tracking.terminal import Terminal
from stateset.rl.types import StepMetrics


class Clock:
    """A clock that stands still until it is told otherwise."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def metrics(step: int, kl: float = 0.0123) -> StepMetrics:
    return StepMetrics(
        step=step,
        avg_reward=0.5,
        reward_std=0.25,
        kl_div=kl,
        quality_score=0.625,
        values={"completions/mean_length": 41.4, "frac_reward_zero_std": 0.25},
    )


def terminal(clock: Clock, out: io.StringIO, *, tty: bool = False, **settings: float) -> Terminal:
    console = Console(file=out, force_terminal=tty, width=60, color_system=None)
    values = {"total_steps": 4, "step_seconds": 30.0} | settings
    return Terminal(**values, console=console, clock=clock)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_guess_counts_eight_operations_a_parameter_and_token() -> None:
    assert guess_step_seconds(num_parameters=10**8, num_tokens=1000, device="cpu") == pytest.approx(8.0)
    assert guess_step_seconds(num_parameters=10**8, num_tokens=1000, device="cuda") == pytest.approx(0.04)


def test_the_forecast_goes_from_guess_to_measurement() -> None:
    forecast = Forecast(steps_left=4, step_seconds=10.0)
    assert forecast.remaining(0.0) == 40.0
    assert forecast.remaining(3.0) == 37.0
    assert forecast.remaining(25.0) == 75.0  # slower than thought: 25 s or more each
    forecast.finished(60.0)
    assert forecast.remaining(0.0) == 180.0
    forecast.finished(20.0)  # the first step warmed everything up
    assert forecast.remaining(5.0) == 35.0
    forecast.finished(10.0)
    assert forecast.step_seconds == 15.0
    assert forecast.remaining(0.0) == 15.0
    forecast.finished(10.0)
    assert forecast.remaining(7.0) == 0.0


def test_the_last_ten_steps_count() -> None:
    forecast = Forecast(steps_left=100, step_seconds=1.0)
    for seconds in [50.0, 9.0, *[2.0] * 10]:
        forecast.finished(seconds)
    assert forecast.step_seconds == 2.0


def test_a_time_limit_ends_the_run_sooner() -> None:
    forecast = Forecast(steps_left=100, step_seconds=10.0, limit_seconds=60.0)
    assert forecast.remaining(5.0) == 55.0
    forecast.finished(40.0)
    assert forecast.remaining(5.0) == 15.0
    assert forecast.remaining(30.0) == 0.0


def test_plain_lines_where_there_is_no_terminal() -> None:
    clock, out = Clock(), io.StringIO()
    with terminal(clock, out) as shown:
        assert out.getvalue() == "step 0/4  about 2 min 00 s left (a guess until the first step is done)\n"
        shown.phase("rollout")
        clock.now += 12.0
        shown.step(metrics(1))
        shown.evaluation(1, 0.75, best=True)
        shown.notice("[bold]as it is[/bold]")
        shown.warning("all the same")
        clock.now += 8.0
        shown.step(metrics(2, kl=math.nan))
    assert out.getvalue().splitlines()[1:] == [
        "step 1/4  reward 0.500 ± 0.250  kl 0.0123  quality 62%  length 41  no signal 25%  "
        "12.0 s/step  about 36 s left",
        "step 1/4  held-out reward 0.750 (the best so far)",
        "note: [bold]as it is[/bold]",
        "warning: all the same",
        "step 2/4  reward 0.500 ± 0.250  kl -  quality 62%  length 41  no signal 25%  "
        "8.0 s/step  about 16 s left",
    ]


def test_a_resumed_run_counts_only_what_is_left() -> None:
    out = io.StringIO()
    with terminal(Clock(), out, done_steps=3):
        pass
    assert out.getvalue().startswith("step 3/4  about 30 s left")


def test_a_terminal_shows_the_remaining_time_at_once() -> None:
    clock, out = Clock(), io.StringIO()
    with terminal(clock, out, tty=True) as shown:
        assert "about 2 min 00 s left" in out.getvalue()
        assert "0/4" in out.getvalue()
        clock.now += 12.0
        shown.phase("reward")
        shown.step(metrics(1))
    text = out.getvalue()
    assert "reward 0.500 ± 0.250" in text
    assert "1/4" in text


def test_nothing_goes_to_stdout() -> None:
    code = (
        "from stateset.rl.tracking.terminal import Terminal\n"
        "with Terminal(total_steps=2, step_seconds=1.0) as t: t.notice('hello')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "note: hello" in done.stderr
