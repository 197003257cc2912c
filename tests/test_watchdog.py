"""A phase that stands still is told, once, with its name and all stacks; the clock is the test's."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from test_trainer import ROWS, lines, trainer
from trainer_rewards import count_e

from stateset.rl.pulse import beat
from stateset.rl.watchdog import Watchdog


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watched() -> Any:
    """A watchdog that looks only when it is told to, its clock, and what it said."""
    clock, said = Clock(), []
    with Watchdog(said.append, patience_seconds=100.0, clock=clock, look_seconds=1e6) as dog:
        yield dog, clock, said


def test_a_stall_is_told_once(watched: Any) -> None:
    dog, clock, said = watched
    with dog.phase("rollout"):
        clock.now = 100.0
        dog.look()
        assert said == []
        clock.now = 101.0
        dog.look()
        clock.now = 5000.0
        dog.look()
    [text] = said
    assert text.startswith("no progress for 101 s in the phase `rollout`, where 100 s would be much")
    assert "test_a_stall_is_told_once" in text, "the stack of this thread"


def test_a_beat_ends_a_stall_and_waiting_does_not(watched: Any) -> None:
    dog, clock, said = watched
    with dog.phase("reward"):
        clock.now = 90.0
        beat()
        clock.now = 180.0
        beat(progress=False)
        dog.look()
        assert said == [], "90 s since the last progress"
        clock.now = 2000.0
        dog.look()
        beat()
        clock.now = 2000.0 + 10 * 1910.0
        dog.look()
        assert len(said) == 1
        clock.now += 1
        dog.look()
    assert len(said) == 2, "after a beat another stall is told, by what the phase has shown to take"


def test_the_limit_of_a_phase_is_its_own(watched: Any) -> None:
    dog, clock, said = watched
    with dog.phase("checkpoint"):
        clock.now = 60.0
    with dog.phase("checkpoint"):
        clock.now = 60.0 + 590.0
        dog.look()
    assert said == [], "ten times what it took"
    with dog.phase("weights"):
        clock.now += 101.0
        dog.look()
    assert len(said) == 1


def test_a_phase_within_another_gives_its_name_back(watched: Any) -> None:
    dog, clock, said = watched
    with dog.phase("warm start"):
        with dog.phase("checkpoint"):
            clock.now = 50.0
        clock.now = 151.0
        dog.look()
    clock.now = 300.0
    dog.look()
    assert [text.split("`")[1] for text in said] == ["warm start", "between the phases"]


def test_it_looks_by_itself() -> None:
    clock, heard, said = Clock(), threading.Event(), []

    def report(text: str) -> None:
        said.append((threading.current_thread().name, text))
        heard.set()

    with (
        Watchdog(report, patience_seconds=100.0, clock=clock, look_seconds=0.001) as dog,
        dog.phase("update"),
    ):
        clock.now = 200.0
        assert heard.wait(60)
    assert said[0][0] == "watchdog"
    assert said[0][1].count("File ") > 2
    assert all(thread.name != "watchdog" for thread in threading.enumerate())


def test_a_run_records_the_stall_and_goes_on(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, run = Clock(), tmp_path / "run"

    def stuck(response: str) -> float:
        if clock.now == 0:
            dog = one.recorder._watchdog
            dog._clock, dog._last, clock.now = clock, 0.0, 1e6
            dog.look()
        return count_e("", response)

    one = trainer(tiny_llama, run, stuck, reward_check=False, max_steps=2)
    one.train(ROWS)
    [event] = [line for line in lines(run / "events.jsonl") if line["kind"] == "stall"]
    assert "in the phase `reward`" in event["message"]
    assert "in stuck" in event["message"]
    assert "in the phase `reward`" in capsys.readouterr().err
    assert len(lines(run / "metrics.jsonl")) == 2


@pytest.mark.parametrize(("timeout", "patience"), [(30, 600), (3600, 7200)])
def test_a_slow_reward_may_take_its_time(
    tiny_llama: Path, tmp_path: Path, timeout: float, patience: float
) -> None:
    one = trainer(tiny_llama, tmp_path / "run", max_steps=1, reward_timeout_seconds=timeout)
    one.train(ROWS[:2])
    assert one.recorder._watchdog._patience == patience
