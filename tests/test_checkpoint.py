"""Checkpoints: every damage is noticed, a full disk loses nothing, and another run is no resume."""

from __future__ import annotations

import json
import operator
import os
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_model
from trainer_rewards import count_e

from stateset.rl import checkpoint_files
from stateset.rl.checkpoint import TrainerState, load_checkpoint, save_checkpoint
from stateset.rl.checkpoint_files import (
    bring_back,
    commit,
    damage,
    list_checkpoints,
    replace_folder,
    rotate,
    tidy,
)
from stateset.rl.errors import CheckpointError, ConfigError
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.tracking.run_dir import RunDirectory
from stateset.rl.trainer import GRPOTrainer

ROOT = Path(__file__).parents[1]
ROWS = [{"id": str(i), "prompt": f"hello {i}"} for i in range(4)]
SETTINGS: dict[str, Any] = {
    **{"rollout_n": 2, "batch_size": 2, "max_response_length": 6, "learning_rate": 1e-3, "epochs": 2},
    **{"device": "cpu", "dtype": "fp32", "save_every": 1, "keep_checkpoints": 5},
}


def trainer(model: Path, out: Path, reward: Any = count_e, **settings: Any) -> GRPOTrainer:
    return GRPOTrainer(str(model), reward, {**SETTINGS, "output_dir": str(out), **settings})


def fill(folder: Path) -> None:
    (folder / "big.bin").write_bytes(bytes(range(256)) * 3)
    (folder / "small.json").write_text('{"step": 1}')


def three(folder: Path) -> list[Path]:
    for number in (1, 2, 3):
        commit(folder / f"step_{number:05d}", fill)
    return list_checkpoints(folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_order_is_that_of_training(tmp_path: Path) -> None:
    for name in ("step_100000", "step_00000", "warm_00040", "step_99999", "warm_100000"):
        commit(tmp_path / name, fill)
    (tmp_path / "step_12.bak").mkdir()
    found = [path.name for path in list_checkpoints(tmp_path)]
    assert found == ["warm_00040", "warm_100000", "step_00000", "step_99999", "step_100000"]


def test_every_flipped_bit_is_noticed_and_the_file_named(tmp_path: Path) -> None:
    (checkpoint,) = three(tmp_path)[2:]
    assert damage(checkpoint) is None
    for file in checkpoint.iterdir():
        content = file.read_bytes()
        for bit in range(8 * len(content)):
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            found = damage(checkpoint)
            assert found is not None, (file.name, bit)
            assert found.startswith(file.name), (file.name, bit, found)
        file.write_bytes(content)
    assert damage(checkpoint) is None


def test_every_truncated_or_deleted_file_is_noticed_and_named(tmp_path: Path) -> None:
    (checkpoint,) = three(tmp_path)[2:]
    for file in list(checkpoint.iterdir()):
        content = file.read_bytes()
        for length in {0, 1, len(content) // 2, len(content) - 1}:
            file.write_bytes(content[:length])
            assert str(damage(checkpoint)).startswith(file.name)
        file.write_bytes(content + b"\n")
        assert str(damage(checkpoint)).startswith(file.name)
        file.unlink()
        assert damage(checkpoint) == f"{file.name} is missing"
        file.write_bytes(content)
    assert damage(checkpoint) is None


def test_the_newest_whole_checkpoint_is_used_and_what_was_passed_over_is_told(
    tiny_llama: Path, tmp_path: Path
) -> None:
    """A byte changed in the newest, a file deleted in the one before: the third one counts, bit for bit."""
    trainer(tiny_llama, tmp_path / "whole").train(ROWS)
    run = tmp_path / "run"
    trainer(tiny_llama, run, max_steps=3).train(ROWS)
    newest, before = run / "checkpoints/step_00003", run / "checkpoints/step_00002"
    content = bytearray((newest / "tensors.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "tensors.safetensors").write_bytes(content)
    (before / "state.json").unlink()
    trainer(tiny_llama, run).train(ROWS, resume=run)
    told = "".join(json.loads(line)["message"] for line in (run / "events.jsonl").read_text().splitlines())
    assert "going on from" in told
    assert "step_00001" in told
    assert f"{newest}: tensors.safetensors was changed" in told
    assert f"{before}: state.json is missing" in told
    for file in ("metrics.jsonl", "model/model.safetensors"):
        assert (run / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert {"damaged-step_00002", "damaged-step_00003", "step_00004"} <= set(names(run / "checkpoints"))


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run").train(ROWS)
    for checkpoint in list_checkpoints(tmp_path / "run/checkpoints"):
        (checkpoint / "MANIFEST.json").unlink()
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=r"no whole checkpoint.*step_00004: MANIFEST.json is missing"):
        trainer(tiny_llama, tmp_path / "run").train(ROWS, resume=tmp_path / "run")
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before


def test_a_run_that_never_came_to_a_checkpoint_begins_again_in_its_place(
    tiny_llama: Path, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill(metrics: Any) -> None:
        if metrics.step == 2:
            raise Killed

    trainer(tiny_llama, tmp_path / "whole").train(ROWS)
    cut = trainer(tiny_llama, tmp_path / "run", save_every=3)
    cut.on_step = kill
    with pytest.raises(Killed):
        cut.train(ROWS)
    with pytest.raises(ConfigError, match="resume with another GRPOTrainer"):
        cut.train(ROWS, resume=tmp_path / "run")
    trainer(tiny_llama, tmp_path / "run", save_every=3).train(ROWS, resume=tmp_path / "run")
    for file in ("metrics.jsonl", "model/model.safetensors"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def test_a_run_whose_checkpoints_are_gone_keeps_its_records(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run").train(ROWS)
    shutil.rmtree(tmp_path / "run/checkpoints")
    (tmp_path / "run/checkpoints").mkdir()
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=r"records of 4 steps and no checkpoint.*Restore"):
        trainer(tiny_llama, tmp_path / "run").train(ROWS, resume=tmp_path / "run")
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before


def test_a_run_whose_checkpoints_all_found_no_room_begins_anew(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Found by bench/soak.py: nothing was lost, as nothing was ever written, and the run could not go on."""

    def full(*_: Any) -> None:
        raise CheckpointError("no space is left")

    def kill(metrics: Any) -> None:
        if metrics.step == 3:
            raise KeyboardInterrupt

    trainer(tiny_llama, tmp_path / "whole").train(ROWS)
    cut = trainer(tiny_llama, tmp_path / "run", save_every=1)
    cut.on_step = kill
    with monkeypatch.context() as patch:
        patch.setattr("stateset.rl.keeper.save_checkpoint", full)
        with pytest.raises(KeyboardInterrupt):
            cut.train(ROWS)
    trainer(tiny_llama, tmp_path / "run", save_every=1).train(ROWS, resume=tmp_path / "run")
    assert "no checkpoint of 3 steps found room" in capfd.readouterr().err.replace("\n", " ")
    for file in ("metrics.jsonl", "model/model.safetensors"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def test_one_that_is_written_again_is_there_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each rename in turn: the newest whole checkpoint has the same number, and stays pinned."""
    original, left = Path.rename, [0]

    def rename(self: Path, target: Path) -> Path:
        if not left[0]:
            os._exit(9)
        left[0] -= 1
        return original(self, target)

    for cut in range(4):
        folder, left[0] = tmp_path / str(cut), cut
        (three(folder)[-1] / "PINNED").touch()
        child = os.fork()
        if child == 0:
            monkeypatch.setattr(Path, "rename", rename)
            commit(folder / "step_00003", fill)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (9 if cut < 3 else 0)
        *_, newest = list_checkpoints(folder)
        assert newest.name in ("step_00003", "step_00003.old")
        assert damage(newest) is None
        assert (newest / "PINNED").exists()
        commit(folder / "step_00003", fill)
        assert [path.name for path in list_checkpoints(folder)] == ["step_00001", "step_00002", "step_00003"]
        assert (folder / "step_00003/PINNED").exists()


def test_a_folder_that_is_replaced_is_never_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, original = tmp_path / "best", Path.rename

    def write(text: str) -> None:
        replace_folder(target, lambda place: (place.mkdir(), (place / "a").write_text(text))[0])

    def rename(self: Path, to: Path) -> Path:
        if to == target:
            raise KeyboardInterrupt
        return original(self, to)

    write("old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            write("new")
    bring_back(tmp_path)
    assert (target / "a").read_text() == "old"
    write("newer")
    bring_back(tmp_path)
    assert ((target / "a").read_text(), names(tmp_path)) == ("newer", ["best"])


def test_rotation_keeps_the_newest_the_best_and_the_pinned(tmp_path: Path) -> None:
    for number in range(1, 7):
        commit(tmp_path / f"step_{number:05d}", fill)
    (tmp_path / "step_00002" / "PINNED").touch()
    rotate(tmp_path, keep=3, best="step_00001")
    assert names(tmp_path) == [f"step_{n:05d}" for n in (1, 2, 4, 5, 6)]


@pytest.mark.parametrize(
    ("damaged", "kept"), [((), (4, 5)), ((4,), (3, 5)), ((4, 3), (2, 5)), ((1, 2, 3, 4), (5,))]
)
def test_two_whole_checkpoints_stay_whatever_is_damaged(
    tmp_path: Path, damaged: tuple[int, ...], kept: tuple[int, ...]
) -> None:
    for number in range(1, 6):
        commit(tmp_path / f"step_{number:05d}", fill)
    for number in damaged:
        (tmp_path / f"step_{number:05d}" / "big.bin").write_bytes(b"")
    rotate(tmp_path, keep=1)
    assert names(tmp_path) == [f"step_{number:05d}" for number in kept]


def test_a_killed_process_leaves_nothing_that_counts(tmp_path: Path) -> None:
    three(tmp_path)
    for name in (".tmp-step_00004-7", ".tmp-removed-step_00000-7"):
        shutil.copytree(tmp_path / "step_00003", tmp_path / name)
    assert [path.name for path in list_checkpoints(tmp_path)][-1] == "step_00003"
    tidy(tmp_path, tmp_path / "step_00003")
    assert names(tmp_path) == ["step_00001", "step_00002", "step_00003"]


def test_nothing_is_begun_where_the_disk_has_no_room(tmp_path: Path) -> None:
    three(tmp_path)
    with pytest.raises(OSError, match=r"1,000,000,000,000,000 bytes are needed and [\d,]+ are free"):
        commit(tmp_path / "step_00004", lambda place: pytest.fail("began"), num_bytes=10**15)
    assert names(tmp_path) == ["step_00001", "step_00002", "step_00003"]


FILLING = """
import resource, sys
from pathlib import Path
import torch
from stateset.rl.checkpoint import TrainerState, save_checkpoint
from stateset.rl.errors import CheckpointError
folder, tensors = Path(sys.argv[1]), {"a": torch.arange(400.0), "b": torch.ones(3)}
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit in map(int, sys.argv[2].split(",")):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        save_checkpoint(folder, TrainerState(step=9), tensors, 3, {"key": "x" * 60_000})
        print(limit, "written")
    except CheckpointError:
        print(limit, "refused", sorted(path.name for path in folder.iterdir()))
"""


def test_a_disk_that_is_full_at_any_byte_leaves_the_older_ones_alone(tmp_path: Path) -> None:
    """The system refuses the write that crosses the limit, in whichever of the files that is."""
    folder = tmp_path / "checkpoints"
    for step in (1, 2):
        save_checkpoint(folder, TrainerState(step=step), {"a": torch.arange(400.0)}, 3)
    limits = [0, 1, 40, 300, *range(400, 8000, 300), 20_000, 59_999, 10_000_000]
    done = subprocess.run(
        [sys.executable, "-c", FILLING, str(folder), ",".join(map(str, limits))],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = done.stdout.splitlines()
    assert told[:-1] == [f"{limit} refused ['step_00001', 'step_00002']" for limit in limits[:-1]]
    assert told[-1] == "10000000 written"
    assert [damage(path) for path in list_checkpoints(folder)] == [None, None, None]


@pytest.mark.parametrize("call", ["_seal", "_sync", "_manifest"])
def test_a_failure_at_any_other_call_leaves_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    three(tmp_path)
    own, left = getattr(checkpoint_files, call), 0

    def fails(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(5, "Input/output error")
        return own(*arguments)

    monkeypatch.setattr(checkpoint_files, call, fails)
    for left in range(1, 6):  # noqa: B007 - `fails` counts it down
        try:
            commit(tmp_path / "step_00004", fill)
        except OSError:
            whole = [path for path in list_checkpoints(tmp_path) if damage(path) is None]
            assert len(whole) >= 3, "the folder's own sync comes after the rename"
            assert not list(tmp_path.glob(".tmp-*"))
        shutil.rmtree(tmp_path / "step_00004", ignore_errors=True)


def test_user_codes_random_numbers_go_on_where_they_were(tiny_llama: Path, tmp_path: Path) -> None:
    drawn: list[tuple[float, float, float]] = []

    def draw(metrics: Any) -> None:
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))

    def seeded() -> None:
        random.seed(1)
        np.random.seed(2)
        torch.manual_seed(3)

    seeded()
    one = trainer(tiny_llama, tmp_path / "whole")
    one.on_step = draw
    one.train(ROWS)
    whole, drawn[:] = list(drawn), []
    seeded()
    one = trainer(tiny_llama, tmp_path / "run", max_steps=2)
    one.on_step = draw
    one.train(ROWS)
    random.seed(77)
    np.random.seed(77)
    torch.manual_seed(77)
    one = trainer(tiny_llama, tmp_path / "run")
    one.on_step = draw
    one.train(ROWS, resume=tmp_path / "run")
    assert drawn == whole


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"learning_rate": 2e-3}, "learning_rate"),
        ({"temperature": 0.9}, "temperature"),
        ({"max_response_length": 7}, "max_response_length"),
        ({"use_kl_loss": True}, "use_kl_loss"),
        ({"schedule": "linear"}, "schedule"),
        ({"reward": "other"}, "reward_code"),
    ],
)
def test_a_resume_with_other_settings_is_refused_by_name_and_allowed_by_name(
    tiny_llama: Path, tmp_path: Path, settings: dict[str, Any], key: str
) -> None:
    run = tmp_path / "run"
    trainer(tiny_llama, run, max_steps=2).train(ROWS)
    before = {path: path.read_bytes() for path in run.rglob("*.jsonl")}
    reward = _other_reward(tmp_path) if settings.pop("reward", None) else count_e
    with pytest.raises(CheckpointError, match=f"--allow-change {key}"):
        trainer(tiny_llama, run, reward, **settings).train(ROWS, resume=run)
    assert {path: path.read_bytes() for path in run.rglob("*.jsonl")} == before
    with pytest.raises(CheckpointError, match="allow_change names nonsense"):
        trainer(tiny_llama, run).train(ROWS, resume=run, allow_change=["nonsense"])
    if key in ("learning_rate", "temperature"):
        trainer(tiny_llama, run, **settings).train(ROWS, resume=run, allow_change=[key])
        assert f"allowed to differ: {key} was" in (run / "events.jsonl").read_text()
        assert len((run / "metrics.jsonl").read_text().splitlines()) == 4


def _other_reward(folder: Path) -> Any:
    (folder / "another_reward.py").write_text("def count_e(response):\n    return float('e' in response)\n")
    sys.path.insert(0, str(folder))
    try:
        import another_reward

        return another_reward.count_e
    finally:
        sys.path.remove(str(folder))


class Scaled(RewardFunction):
    """Travels to a worker, as it stands in a module."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def compute(self, prompt: str, response: str, context: Any) -> float:
        return self.factor * response.count("e")


def short(question: str, answer: str) -> bool:
    return len(answer) < 3


def right(question: str, answer: str) -> bool:
    return True


def verified(response: str, verified: bool) -> float:
    return float(verified) + response.count("e") / 5


def begun(model: Path, run: Path, reward: Any = count_e, verifier: Any = None, eval_rows: Any = None) -> None:
    """Two of four steps."""
    one = GRPOTrainer(
        str(model), reward, {**SETTINGS, "output_dir": str(run)}, verifier=verifier, max_steps=2
    )
    one.train(ROWS, eval_dataset=eval_rows)


def test_a_reward_made_with_other_arguments_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    begun(tiny_llama, tmp_path, Scaled(1.0))
    with pytest.raises(CheckpointError, match=r"reward_state was .*--allow-change reward_state \("):
        trainer(tiny_llama, tmp_path, Scaled(-1.0)).train(ROWS, resume=tmp_path)
    trainer(tiny_llama, tmp_path, Scaled(1.0)).train(ROWS, resume=tmp_path)


def test_another_verifier_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    begun(tiny_llama, tmp_path, verified, right)
    for other, key in ((short, "verifier_state"), (operator.eq, "verifier_code")):
        one = GRPOTrainer(str(tiny_llama), verified, SETTINGS, verifier=other)
        with pytest.raises(CheckpointError, match=f"--allow-change {key}"):
            one.train(ROWS, resume=tmp_path)


def test_held_out_rows_that_are_gone_or_others_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    held_out = [{"id": "x", "prompt": "say e"}]
    begun(tiny_llama, tmp_path, eval_rows=held_out)
    for rows in (None, [{"id": "x", "prompt": "say a"}]):
        with pytest.raises(CheckpointError, match="--allow-change eval_rows"):
            trainer(tiny_llama, tmp_path).train(ROWS, eval_dataset=rows, resume=tmp_path)
    trainer(tiny_llama, tmp_path).train(ROWS, resume=tmp_path, allow_change=["eval_rows"])
    assert "allowed to differ: eval_rows was" in (tmp_path / "events.jsonl").read_text()


@pytest.mark.parametrize(
    ("file", "old", "new", "key"),
    [
        ("chat_template.jinja", "assistant ", "bot ", "chat_template"),
        ("tokenizer.json", '"lstrip": false', '"lstrip": true', "tokenizer"),
        ("generation_config.json", '"eos_token_id": 97', '"eos_token_id": [97, 7]', "stop_ids"),
    ],
)
def test_other_texts_of_the_model_are_refused(
    tiny_llama: Path, tmp_path: Path, file: str, old: str, new: str, key: str
) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    shutil.copytree(tiny_llama, model)
    begun(model, run)
    text = (model / file).read_text()
    assert old in text
    (model / file).write_text(text.replace(old, new))
    with pytest.raises(CheckpointError, match=f"--allow-change {key}"):
        trainer(model, run).train(ROWS, resume=run)


@pytest.mark.parametrize(
    ("patched", "value", "key"),
    [("torch.get_num_threads", 77, "threads"), ("platform.python_version", "3.99.0", "python")],
)
def test_another_python_or_number_of_threads_is_refused(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patched: str, value: Any, key: str
) -> None:
    begun(tiny_llama, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(patched, lambda: value)
        with pytest.raises(CheckpointError, match=rf"{key} was .* and is .*{value}.*--allow-change {key} \("):
            trainer(tiny_llama, tmp_path).train(ROWS, resume=tmp_path)
    trainer(tiny_llama, tmp_path, device="auto").train(ROWS, resume=tmp_path)  # which means the CPU here


def test_what_auto_means_is_remembered(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(tiny_llama, tmp_path, dtype="auto", max_steps=2).train(ROWS)
    found = load_checkpoint(tmp_path)
    assert found is not None
    was = found.origin["dtype"]
    native = was == "float32"  # pretend that the machine is another one now
    monkeypatch.setattr("torch.ops.mkldnn._is_mkldnn_bf16_supported", lambda: native)
    with pytest.raises(CheckpointError, match=rf'dtype was "{was}" .*--allow-change dtype \('):
        trainer(tiny_llama, tmp_path, dtype="auto").train(ROWS, resume=tmp_path)


def test_settings_that_change_no_number_may_differ(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run", max_steps=2).train(ROWS)
    free = {"max_steps": 3, "save_every": 7, "keep_checkpoints": 2, "max_minutes": 60.0, "objective": "more"}
    trainer(tiny_llama, tmp_path / "run", **free).train(ROWS, resume=tmp_path / "run")
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 3


def test_a_falling_rate_belongs_to_the_length_it_was_made_for(tiny_llama: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer(tiny_llama, run, max_steps=2, schedule="linear").train(ROWS)
    with pytest.raises(CheckpointError, match="--allow-change max_steps --allow-change schedule_total"):
        trainer(tiny_llama, run, max_steps=4, schedule="linear").train(ROWS, resume=run)
    with pytest.raises(CheckpointError, match=r"reward_scale was 1\.0 and is 0\.5"):
        trainer(tiny_llama, run, max_steps=2, schedule="linear").train(ROWS, resume=run, reward_scale=0.5)


def test_other_versions_and_another_base_model_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    """An adapter's checkpoint does not hold its base: one of the same shape and name must not pass for it."""
    run, base = tmp_path / "run", tmp_path / "base"
    shutil.copytree(tiny_llama, base)
    trainer(base, run, lora=True, lora_rank=2, max_steps=2).train(ROWS)
    shutil.rmtree(base)
    write_model(base, seed=1)
    with pytest.raises(CheckpointError, match="--allow-change frozen_weights"):
        trainer(base, run, lora=True, lora_rank=2).train(ROWS, resume=run)
    found = load_checkpoint(run)
    assert found is not None
    assert found.origin["torch"] == torch.__version__
    older = {**found.origin, "torch": "2.0.0"}
    save_checkpoint(run / "checkpoints", found.state, found.tensors, 5, older)
    with pytest.raises(CheckpointError, match=r'torch was "2.0.0"'):
        trainer(base, run, lora=True, lora_rank=2).train(ROWS, resume=run, allow_change=["frozen_weights"])


def test_a_run_that_is_going_on_is_not_resumed(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run", max_steps=2).train(ROWS)
    other = RunDirectory.reopen(tmp_path / "run", {})
    with pytest.raises(ConfigError, match="another process trains in"):
        trainer(tiny_llama, tmp_path / "run").train(ROWS, resume=tmp_path / "run")
    other.close("stopped")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def doctor(run: Path) -> tuple[int, str]:
    """Exit code, and what it said on one line."""
    done = subprocess.run(
        [sys.executable, "-m", "stateset.rl", "runs", "doctor", str(run)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(done.stdout.split())


def test_the_doctor_says_what_is_damaged_and_what_goes_on(tiny_llama: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer(tiny_llama, run, save_every=2).train(ROWS)  # 4 steps
    code, said = doctor(run)
    assert (code, "a resume goes on from step_00004" in said) == (0, True)
    assert "takes steps" not in said

    shutil.rmtree(run / "checkpoints/step_00004")  # as if killed in step 4
    (run / "checkpoints/.tmp-step_00004-7").mkdir()
    (run / "checkpoints/step_00002/PINNED").touch()
    with (run / "events.jsonl").open("a") as file:
        file.write('{"torn')
    code, said = doctor(run)
    assert code == 0, "a killed process leaves no damage"
    assert "step_00002 whole, pinned" in said
    assert "a resume goes on from step_00002 and takes steps 3 to 4 again" in said
    assert "the last line of events.jsonl is torn" in said
    assert ".tmp-step_00004-7 was never finished" in said

    (run / "checkpoints/step_00002/state.json").write_text("{}")
    (run / "rollouts/step_00001.jsonl").write_text("{nonsense}\n")
    code, said = doctor(run)
    assert code == 1
    assert "damaged checkpoints/step_00002/state.json has 2 bytes instead of" in said
    assert "step_00001.jsonl:1 is damaged" in said
    assert "no checkpoint is whole: the run cannot go on" in said


def test_the_doctor_sees_a_log_that_lost_its_end_and_a_run_without_checkpoints(
    tiny_llama: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    trainer(tiny_llama, run).train(ROWS)
    (run / "metrics.jsonl").write_bytes(b"")
    code, said = doctor(run)
    assert (code, "metrics.jsonl has 0 bytes" in said) == (1, True)
    shutil.rmtree(run / "checkpoints")
    code, said = doctor(run)
    assert (code, "no checkpoint is there: the run cannot go on" in said) == (1, True)
    assert doctor(tmp_path)[0] == 2, "no run there"
