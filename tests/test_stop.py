"""A run that is asked to stop: at once, with a checkpoint from which it goes on bit for bit."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks import _CONTEXT as FORKS
from test_trainer import HELD_OUT, ROWS, lines, trainer

import stateset.rl.rollout.native as native
from stateset.rl.checkpoint_files import damage, list_checkpoints
from stateset.rl.cli import main
from stateset.rl.errors import StoppedError
from stateset.rl.keeper import Keeper
from stateset.rl.policy.distributed import World
from stateset.rl.policy.optimizer import PolicyOptimizer
from stateset.rl.policy.policy import Policy
from stateset.rl.pulse import beat, listening
from stateset.rl.rollout.engine import Completion, Request, Sampling
from stateset.rl.rollout.vllm_server import VLLMServerEngine
from stateset.rl.signals import NOTICE, StopNow, StopRequest
from stateset.rl.trainer import GRPOTrainer

LONG = bool(os.environ.get("STATESET_LONG"))
FILES = ("metrics.jsonl", "eval/summary.jsonl", "model/model.safetensors", "rollouts/step_00004.jsonl")


def kill(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def test_a_beat_stops_only_who_was_asked_and_is_not_held() -> None:
    beat()
    with StopRequest() as stop:
        beat()
        kill()
        stop.held = True
        beat()
        stop.held = False
        with pytest.raises(StopNow):
            beat()
    beat()
    assert stop.number == signal.SIGTERM


def ask_twice(number: int) -> None:
    with StopRequest() as stop:
        stop.held = True
        kill(number)
        kill(number)
        pytest.fail("it went on")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_at_once(number: int, code: int) -> None:
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(StoppedError, match="at once") as caught:
        ask_twice(number)
    assert caught.value.exit_code == code
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_the_limit_is_heeded_once() -> None:
    now = [0.0]
    with StopRequest(60.0, clock=lambda: now[0]) as stop:
        now[0] = 59.0
        beat()
        now[0] = 60.0
        with pytest.raises(StopNow):
            beat()
        assert (stop.late, stop.number) == (True, None)
        beat()  # the evaluation after it
        kill()
        with pytest.raises(StopNow):
            beat()


def test_a_spot_notice_counts_as_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NOTICE, str(tmp_path / "notice"))
    now = [0.0]
    with StopRequest(clock=lambda: now[0]) as stop:
        beat()
        (tmp_path / "notice").touch()
        beat()  # it looks once a second
        now[0] = 1.0
        with pytest.raises(StopNow):
            beat()
    assert stop.number == signal.SIGTERM


def test_a_run_says_that_its_machine_goes_away(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice, run = tmp_path / "notice", tmp_path / "run"
    monkeypatch.setenv(NOTICE, str(notice))
    monkeypatch.setattr("stateset.rl.signals.LOOK_SECONDS", 0.0)
    one = trainer(tiny_llama, run, on_step=lambda metrics: notice.touch())
    with pytest.raises(StoppedError, match="go on with") as caught:
        one.train(ROWS)
    assert caught.value.exit_code == 143
    assert str(notice) in lines(run / "events.jsonl")[-1]["message"]
    assert list_checkpoints(run / "checkpoints")


def test_listeners_hear_whether_there_is_progress() -> None:
    heard: list[bool] = []
    with listening(heard.append):
        beat()
        beat(progress=False)
    beat()
    assert heard == [True, False]


class At:
    """Calls a function, and asks this process to stop at its `number`-th call."""

    def __init__(self, original: Callable[..., Any], number: int, counts: Callable[..., bool]) -> None:
        self.original, self.left, self.counts = original, number, counts

    def __get__(self, instance: Any, owner: Any = None) -> Callable[..., Any]:
        return lambda *given, **named: self(instance, *given, **named)

    def __call__(self, *given: Any, **named: Any) -> Any:
        if self.counts(*given, **named):
            self.left -= 1
            if self.left == 0:
                kill()
        return self.original(*given, **named)


def always(*_: Any, **__: Any) -> bool:
    return True


def training(*_: Any, **__: Any) -> bool:
    return torch.is_grad_enabled()


# what is patched where, the call at which the signal comes, the step of the checkpoint that must be there
PLACES: dict[str, tuple[Any, str, int, Callable[..., bool], str]] = {
    "first evaluation": (native, "draw", 3, always, "step_00000"),
    "first rollout": (native, "draw", 13, always, "step_00000"),
    "rollout": (native, "draw", 38, always, "step_00002"),
    "micro-batch": (Policy, "logprobs", 3, training, "step_00001"),
    "optimizer step": (PolicyOptimizer, "step", 2, always, "step_00002"),
}
COMMON = {"eval_every": 2, "schedule": "linear"}  # the rate shows which optimizer steps were counted
SEVERAL = {"ppo_epochs": 2, "mini_batch_size": 4}
MORE: dict[str, tuple[Any, str, int, Callable[..., bool], str]] = {
    "before the first of several optimizer steps": (Policy, "logprobs", 1, training, "step_00001"),
    "between several optimizer steps": (PolicyOptimizer, "step", 6, always, "step_00002"),
}


def seeded(folder: Path, out: Path, **settings: Any) -> GRPOTrainer:
    """With a reward that draws from all three global generators, in this process, as closures do."""

    def drawing(response: str) -> float:
        return response.count("e") + random.random() + float(np.random.random()) + float(torch.rand(()))

    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    return trainer(folder, out, drawing, reward_check=False, **COMMON, **settings)


@pytest.fixture(scope="module")
def whole(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that were never stopped."""
    found = {}
    for name, settings in (("one", {}), ("several", SEVERAL)):
        found[name] = tmp_path_factory.mktemp(name) / "run"
        seeded(tiny_llama, found[name], **settings).train(ROWS, eval_dataset=HELD_OUT)
    return found


@pytest.mark.parametrize("place", [*PLACES, *MORE])
def test_wherever_it_is_stopped_it_goes_on_bit_for_bit(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Path], place: str
) -> None:
    owner, name, number, counts, expected = (PLACES | MORE)[place]
    settings = SEVERAL if place in MORE else {}
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, At(getattr(owner, name), number, counts))
        with pytest.raises(StoppedError, match="go on with") as caught:
            seeded(tiny_llama, run, **settings).train(ROWS, eval_dataset=HELD_OUT)
    assert caught.value.exit_code == 143
    [newest] = list_checkpoints(run / "checkpoints")
    assert (newest.name, damage(newest)) == (expected, None)
    assert json.loads((run / "manifest.json").read_text())["status"] == "stopped"
    seeded(tiny_llama, run, **settings).train(ROWS, eval_dataset=HELD_OUT, resume=run)
    twin = whole["several" if place in MORE else "one"]
    for file in FILES:
        assert (run / file).read_bytes() == (twin / file).read_bytes(), file


def test_a_signal_in_the_last_step_of_a_call_stops_the_next_one(tiny_llama: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def stop(metrics: Any) -> None:
        seen.append(metrics.step)
        if metrics.step == 4:
            kill()

    one = trainer(tiny_llama, tmp_path / "run", on_step=stop)
    one.train(ROWS)  # 8 rows, 2 a step
    with pytest.raises(StoppedError, match="after step 4") as caught:
        one.train(ROWS)
    assert (caught.value.exit_code, seen) == (143, [1, 2, 3, 4])
    one.train(ROWS)
    assert seen == [*range(1, 9)], "it was heeded"


def test_a_stop_in_other_passes_over_the_rows_says_how_to_go_on(tiny_llama: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    one = trainer(tiny_llama, run, on_step=lambda metrics: kill() if metrics.step == 5 else None)
    with pytest.raises(StoppedError, match=r"train\(the same rows, epochs=2, resume="):
        one.train(ROWS, epochs=2)
    trainer(tiny_llama, run).train(ROWS, resume=run)
    told = [line["message"] for line in lines(run / "events.jsonl")]
    assert "this call was to take 8 steps and now takes 4 (epochs, max_steps)" in told


def test_a_reward_that_is_waited_for_holds_nobody_up(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker would sleep for ten minutes; the signal comes when it has begun to."""
    (tmp_path / "slow_reward.py").write_text(SLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SLOW_REWARD_BEGAN", str(tmp_path / "began"))
    import slow_reward

    waiting = threading.Thread(target=lambda: (until((tmp_path / "began").exists), kill()))
    waiting.start()
    one = trainer(
        tiny_llama, tmp_path / "run", slow_reward.asleep, reward_check=False, reward_timeout_seconds=600
    )
    with pytest.raises(StoppedError, match="after step 0"):
        one.train(ROWS)
    waiting.join()
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")] == ["step_00000"]


def test_a_server_that_is_waited_for_holds_nobody_up() -> None:
    engine, release = object.__new__(VLLMServerEngine), threading.Event()

    def sample(request: int, sample: int, *_: Any) -> Completion:
        if sample == 1 and not release.is_set():
            kill()
            release.wait(600)
        return Completion(request=request, sample=sample, token_ids=(1,), logprobs=(0.0,), stopped=True)

    engine._sample = sample
    requests = [Request(prompt_ids=(1,), seeds=(1, 2))]
    sampling = Sampling(temperature=1.0, max_tokens=1, stop_ids=frozenset({1}))
    found: list[int] = []
    with StopRequest(), pytest.raises(StopNow):
        found.extend(one.sample for one in engine.generate(requests, sampling))
    release.set()
    assert found in ([], [0])
    assert sorted(one.sample for one in engine.generate(requests, sampling)) == [0, 1]


SLOW = """import os, pathlib, time


def asleep(response):
    pathlib.Path(os.environ["SLOW_REWARD_BEGAN"]).touch()
    time.sleep(600)
    return 1.0
"""


def until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.05)


def test_time_that_is_up_ends_the_run_as_planned(tiny_llama: Path, tmp_path: Path) -> None:
    """The third step is dropped; the weights after the second are evaluated, saved and finished."""
    run, seen = tmp_path / "run", []

    def late(metrics: Any) -> None:
        seen.append(metrics.step)
        if metrics.step == 2:
            one.stop._deadline = -math.inf

    one = trainer(tiny_llama, run, on_step=late, eval_every=3)
    one.train(ROWS, eval_dataset=HELD_OUT)
    assert seen == [1, 2]
    assert [line["step"] for line in lines(run / "eval" / "summary.jsonl")] == [0, 2]
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["step_00002"]
    assert json.loads((run / "manifest.json").read_text())["status"] == "finished"
    assert json.loads((run / "model" / "stateset_rl.json").read_text())["step"] == 2


def test_time_that_is_up_in_a_step_drops_it(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, counted = tmp_path / "run", [0]
    one = trainer(tiny_llama, run)
    original = native.draw

    def draw(*given: Any) -> Any:
        counted[0] += 1
        if counted[0] == 13:  # in the second rollout
            one.stop._deadline = -math.inf
        return original(*given)

    monkeypatch.setattr(native, "draw", draw)
    one.train(ROWS)
    assert [line["step"] for line in lines(run / "metrics.jsonl")] == [1]
    assert (one.state.step, one.state.optimizer_steps) == (1, 1)
    assert counted[0] == 13
    assert "the time is up" in lines(run / "events.jsonl")[-1]["message"]
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["step_00001"]


PROJECT = """model: {model}
dataset: {rows}
eval_dataset: {rows}
reward: own_reward:vowels
output_dir: run
rollout_n: 4
batch_size: 2
max_response_length: 10
learning_rate: 1.0e-3
device: cpu
dtype: fp32
epochs: 10
eval_every: 7
save_every: 5
reward_check: false
"""
REWARD = """from stateset.rl import reward


@reward
def vowels(response):
    return sum(response.count(v) for v in "aeiou") / 10
"""


@pytest.fixture
def project(tiny_llama: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": r["id"], "prompt": r["prompt"]}) + "\n" for r in ROWS))
    (folder / "own_reward.py").write_text(REWARD)
    (folder / "run.yaml").write_text(PROJECT.format(model=tiny_llama, rows=rows))
    return folder


class Training:
    """`stateset-rl train` in its own process: the long test starts it as users do, the quick one forks."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.said = folder / "said"
        given = (folder, self.said, arguments)
        self.process = FORKS.Process(target=train, args=given) if not LONG else None
        if self.process is not None:
            self.process.start()
            self.pid = self.process.pid
            return
        command = [sys.executable, "-m", "stateset.rl", "train", *arguments]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        with self.said.open("w") as said:
            self.started = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        self.pid = self.started.pid

    def begun(self) -> bool:
        """Whether it handles SIGTERM, by the mask that the kernel has, or is over already."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
        return "Z (zombie)" in status or bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    def ended(self) -> int:
        """Its exit code, negative for a signal."""
        if self.process is None:
            return self.started.wait()
        self.process.join()
        return self.process.exitcode


def train(folder: Path, said: Path, arguments: tuple[str, ...]) -> None:
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        main(["train", *arguments])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells when a signal is handled")
def test_sigterm_at_any_instant_leaves_a_whole_checkpoint(project: Path, tmp_path: Path) -> None:
    """5 SIGTERMs, 50 under STATESET_LONG=1, each at a random instant; in the end a twin's files."""
    dice, wanted, stopped = random.Random(0), 50 if LONG else 5, 0
    run, names = project / "run", []
    while stopped < wanted:
        one = Training(project, *(["--resume", "run"] if run.exists() else ["run.yaml"]))
        until(one.begun)
        time.sleep(dice.uniform(0, 1.5))
        with contextlib.suppress(ProcessLookupError):  # over, and its exit code taken
            os.kill(one.pid, signal.SIGTERM)
        code, said = one.ended(), one.said.read_text()
        if code == 0 or json.loads((run / "manifest.json").read_text())["status"] == "finished":
            assert code in (0, -signal.SIGTERM), said  # all was saved by then; another run takes the rest
            run.rename(tmp_path / f"done-{stopped}")
            continue
        assert code == 143, said
        assert "go on with: stateset-rl train --resume" in said
        newest = list_checkpoints(run / "checkpoints")[-1]
        assert damage(newest) is None
        names.append(newest.name)
        stopped += 1
    last = Training(project, *(["--resume", "run"] if run.exists() else ["run.yaml"]))
    assert last.ended() == 0, last.said.read_text()
    run.rename(tmp_path / "done-last")
    twin = Training(project, "run.yaml")
    assert twin.ended() == 0, twin.said.read_text()
    assert [line["step"] for line in lines(run / "metrics.jsonl")] == list(range(1, 41))
    for other in tmp_path.glob("done-*"):
        for file in ("metrics.jsonl", "eval/summary.jsonl", "model/model.safetensors"):
            assert (other / file).read_bytes() == (run / file).read_bytes(), (other, file, names)


def test_a_signal_while_ranks_agree_is_heeded_at_the_next_look(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange has this rank's answer already when the signal comes."""
    looks = 0

    def exchange(self: World, *values: float) -> tuple[float, ...]:
        nonlocal looks
        looks += 1
        if looks == 2:
            kill()
        return values

    monkeypatch.setattr(World, "largest", exchange)
    with pytest.raises(StoppedError) as caught:
        trainer(tiny_llama, tmp_path / "run").train(ROWS)
    assert caught.value.exit_code == 143
    assert looks == 3
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")] == ["step_00001"]


def test_what_another_rank_heard_is_no_first_signal_of_this_one(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launcher's signal reaches the ranks one after another; a later one must not break off the saving."""
    monkeypatch.setattr(World, "largest", lambda self, *values: (float(signal.SIGTERM), values[1]))
    save = Keeper.save_checkpoint

    def hear_and_save(self: Keeper) -> None:
        kill()
        save(self)

    monkeypatch.setattr(Keeper, "save_checkpoint", hear_and_save)
    with pytest.raises(StoppedError, match="go on with"):
        trainer(tiny_llama, tmp_path / "run").train(ROWS)
    assert list_checkpoints(tmp_path / "run" / "checkpoints")
