"""Whole runs on several ranks: the files of one process, resumed with another number, ended by one rank."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rank_engines import Mortal
from ranks import on_ranks
from test_trainer import HELD_OUT, ROWS, SETTINGS, lines, weights_hash
from trainer_rewards import count_e, parts

from stateset.rl.checkpoint_files import list_checkpoints
from stateset.rl.errors import ConfigError, LostRankError, StoppedError
from stateset.rl.policy.load import load_policy
from stateset.rl.rollout.model import Model
from stateset.rl.tracking.recorder import Recorder
from stateset.rl.tracking.silent import SilentRecorder
from stateset.rl.trainer import GRPOTrainer

STEPS = range(1, 5)


def fails_on_two(prompt: str, response: str, context: dict[str, Any]) -> float:
    return "wrong" if context.get("place") == 2 else 1.0  # type: ignore[return-value]


def trainer(folder: Path, out: Path, size: int, reward: Any = parts, **settings: Any) -> GRPOTrainer:
    keywords = {key: settings.pop(key) for key in ("engine", "on_step") if key in settings}
    ranks = {"distributed": True, "num_gpus": size, "strategy": "ddp"} if size > 1 else {}
    config = {**SETTINGS, "output_dir": str(out), "save_every": 2, **ranks, **settings}
    return GRPOTrainer(model=str(folder), reward_function=reward, config=config, **keywords)


def train(folder: Path, out: Path, size: int, reward: Any = parts, resume=False, **settings: Any) -> str:
    one = trainer(folder, out, size, reward, **settings)
    one.train(ROWS, eval_dataset=HELD_OUT, resume=out if resume else None)
    return weights_hash(out / "model")


def train_on(size: int, *arguments: Any) -> list[Any]:
    return on_ranks(size, _train, size, *arguments)


def _train(size: int, folder: Path, out: Path, settings: dict[str, Any]) -> str:
    return train(folder, out, size, **settings)


def asked(run: Path) -> list[list[str]]:
    return [[group["task"] for group in lines(run / f"rollouts/step_{step:05d}.jsonl")] for step in STEPS]


def manifest(run: Path) -> dict[str, Any]:
    return json.loads((run / "manifest.json").read_text())


@pytest.fixture(scope="module")
def alone(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    train(tiny_llama, out, 1, use_kl_loss=True, eval_every=2)
    return out


def numbers(line: dict[str, Any]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in line.items()}


def same(run: Path, alone: Path) -> None:
    """Every file of a run is that of one process, up to rounding."""
    names = sorted(str(file.relative_to(alone)) for file in alone.rglob("*") if file.is_file())
    assert sorted(str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()) == names
    for mine, other in zip(lines(run / "metrics.jsonl"), lines(alone / "metrics.jsonl"), strict=True):
        assert numbers(mine) == pytest.approx(numbers(other), rel=1e-3, abs=1e-5, nan_ok=True)
    for name in ("rollouts/step_00001.jsonl", "eval/step_00000.jsonl"):
        for mine, other in zip(lines(run / name), lines(alone / name), strict=True):
            assert [mine["task"], mine["prompt_ids"]] == [other["task"], other["prompt_ids"]]
            for left, right in zip(mine["responses"], other["responses"], strict=True):
                assert (left["text"], left["parts"], left["reward"]) == (
                    right["text"], right["parts"], right["reward"],
                )  # fmt: skip
                assert left["sampler_logprobs"] == pytest.approx(right["sampler_logprobs"], abs=1e-4)
    assert asked(run) == asked(alone)


@pytest.mark.parametrize("size", [2, 3])
def test_a_run_leaves_the_files_of_one_process(
    tiny_llama: Path, alone: Path, tmp_path: Path, size: int
) -> None:
    out = tmp_path / "run"
    found = train_on(size, tiny_llama, out, {"use_kl_loss": True, "eval_every": 2})
    assert found[0] == weights_hash(out / "model")
    same(out, alone)


def test_resume_on_other_ranks_keeps_the_order(tiny_llama: Path, alone: Path, tmp_path: Path) -> None:
    out, settings = tmp_path / "run", {"use_kl_loss": True, "eval_every": 2}
    train_on(2, tiny_llama, out, settings | {"max_steps": 2})
    assert [path.name for path in list_checkpoints(out / "checkpoints")][-1] == "step_00002"
    train_on(3, tiny_llama, out, settings | {"max_steps": 3, "resume": True})
    train(tiny_llama, out, 1, resume=True, **settings)
    assert asked(out) == asked(alone)
    for mine, other in zip(lines(out / "metrics.jsonl"), lines(alone / "metrics.jsonl"), strict=True):
        assert mine["reward"] == pytest.approx(other["reward"], rel=1e-3, abs=1e-5)


def imitate(folder: Path, out: Path, size: int) -> None:
    """Three supervised steps, the last of two replies, then one of GRPO."""
    rows = [row | {"reply": f"see {row['place']}"} for row in ROWS]
    warm = {"batch_size": 3, "learning_rate": 1e-2}
    trainer(folder, out, size, warm_start=warm, max_steps=1).train(rows)


def test_a_warm_start_is_the_same_on_several_ranks(tiny_llama: Path, tmp_path: Path) -> None:
    imitate(tiny_llama, tmp_path / "alone", 1)
    assert on_ranks(3, imitate, tiny_llama, tmp_path / "run", 3) == [None] * 3
    for name in ("warm_start.jsonl", "metrics.jsonl"):
        for mine, other in zip(lines(tmp_path / "run" / name), lines(tmp_path / "alone" / name), strict=True):
            assert numbers(mine) == pytest.approx(numbers(other), rel=1e-3, abs=1e-5, nan_ok=True)


def test_an_error_of_one_rank_ends_all_with_it(tiny_llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = train_on(2, tiny_llama, out, {"reward": fails_on_two, "reward_check": False})
    assert len(set(found)) == 1
    assert found[0].startswith("RewardError: ")
    assert "fails_on_two` returned 'wrong'" in found[0]
    assert manifest(out)["status"] == "failed"
    assert manifest(out)["error"] == found[0]


def test_a_rank_that_dies_ends_the_run_and_leaves_its_checkpoint(tiny_llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = train_on(2, tiny_llama, out, {"engine": Mortal(4), "eval_every": 9})
    assert found[1] is None
    assert found[0].startswith("LostRankError: another process of this run ended")
    assert manifest(out)["status"] == "failed"
    assert [path.name for path in list_checkpoints(out / "checkpoints")] == ["step_00002"]
    train(tiny_llama, out, 1, resume=True, eval_every=9)
    assert [line["step"] for line in lines(out / "metrics.jsonl")] == [*STEPS]


def test_a_signal_to_one_rank_stops_all_at_the_same_step(tiny_llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = on_ranks(2, _stopped_at_two, tiny_llama, out)
    assert found[0] == found[1]
    assert found[0].startswith("StoppedError: stopped after step 2; go on with")
    assert [path.name for path in list_checkpoints(out / "checkpoints")] == ["step_00002"]


def _stopped_at_two(folder: Path, out: Path) -> None:
    def interrupt(metrics: Any) -> None:
        if metrics.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    trainer(folder, out, 2, on_step=interrupt, save_every=50).train(ROWS)


def test_ranks_that_do_not_lead_record_nothing() -> None:
    said = {name for name, value in vars(Recorder).items() if callable(value) and not name.startswith("__")}
    private = {name for name in said if name.startswith("_")}
    assert said - private - {"log_bytes"} <= set(vars(SilentRecorder))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"reward_function": lambda response: 1.0}, "lambda"),
        ({"on_step": lambda metrics: None}, "lambda"),
    ],
)
def test_what_cannot_travel_names_torchrun(tiny_llama: Path, made: dict[str, Any], message: str) -> None:
    given = {"model": str(tiny_llama), "reward_function": count_e, "distributed": True, "num_gpus": 2} | made
    with pytest.raises(ConfigError, match=rf"cannot travel.*{message}.*torchrun --nproc-per-node 2"):
        GRPOTrainer(device="cpu", **given).train(ROWS)


def test_a_loaded_model_does_not_travel(tiny_llama: Path, tmp_path: Path) -> None:
    model = Model(load_policy(str(tiny_llama), device="cpu", dtype="fp32"))
    with pytest.raises(ConfigError, match=r"loaded model.*torchrun"):
        trainer(tiny_llama, tmp_path, 2).train(ROWS, model=model)


@pytest.mark.slow
def test_python_starts_ranks_and_gets_the_model(tiny_llama: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    one = trainer(tiny_llama, out, 2, use_kl_loss=True, eval_every=2)
    model = one.train(ROWS, eval_dataset=HELD_OUT)
    assert model.run_dir == one.run_path == out
    assert model.generate("hello", max_new_tokens=3)
    same(out, alone)
    with pytest.raises(ConfigError, match="processes that trained are gone"):
        one.train(ROWS)


@pytest.mark.slow
def test_the_launcher_tells_which_rank_died(tiny_llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(LostRankError, match=r"rank 1 of 2 ended without a word \(Signal 9"):
        trainer(tiny_llama, out, 2, engine=Mortal(4)).train(ROWS)
    assert [path.name for path in list_checkpoints(out / "checkpoints")] == ["step_00002"]
    with pytest.raises(StoppedError, match="go on with"):
        trainer(tiny_llama, tmp_path / "other", 2, engine=Mortal(2, signal.SIGTERM)).train(ROWS)
    assert list_checkpoints(tmp_path / "other" / "checkpoints")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.slow
def test_ranks_stop_without_their_launcher(tiny_llama: Path, tmp_path: Path) -> None:
    """A killed launcher leaves nobody who would end them, and the call, which may hold keys, in no file."""
    out, here, temporary = tmp_path / "run", Path(__file__), tmp_path / "temporary"
    temporary.mkdir()
    code = (
        "import sys; from pathlib import Path; from test_distributed_runs import ROWS, trainer; "
        "trainer(Path(sys.argv[1]), Path(sys.argv[2]), 2, epochs=1000).train(ROWS)"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", code, tiny_llama, out],
        cwd=here.parent,
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    _until(lambda: (out / "metrics.jsonl").exists())
    launcher.kill()
    launcher.wait()
    _until(lambda: manifest(out)["status"] != "running")
    assert manifest(out)["status"] == "stopped"
    assert list_checkpoints(out / "checkpoints")
    left = [file for file in temporary.rglob("*") if file.is_file()]
    assert [file for file in left if b"trainer_rewards" in file.read_bytes()] == []


def _until(happened: Callable[[], bool]) -> None:
    for _ in range(3000):
        if happened():
            return
        time.sleep(0.1)
    raise TimeoutError


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], ["torch.distributed.run", "--nproc-per-node", "2", "-m"]])
def test_the_command_line_on_two_ranks(tiny_llama: Path, tmp_path: Path, launcher: list[str]) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "run"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    settings = SETTINGS | {"model": tiny_llama, "dataset": rows, "reward": "trainer_rewards:parts_marked"}
    settings |= {"output_dir": out, "distributed": "true", "num_gpus": 2, "max_steps": 2}
    words = [f"{key}={value}" for key, value in settings.items()]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "stateset.rl", "train", *words],
        cwd=Path(__file__).parent, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"run    {out}\nmodel  {out / 'model'}\n"
    assert done.stderr.count("reward  trainer_rewards:parts_marked") == 1
    assert [line["step"] for line in lines(out / "metrics.jsonl")] == [1, 2]
