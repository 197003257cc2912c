"""The supervised stage before GRPO, on a tiny model."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from trainer_rewards import count_e

from stateset.rl import warm_start
from stateset.rl.checkpoint import list_checkpoints
from stateset.rl.config.load import load_config, make_config
from stateset.rl.config.parts import WarmStart
from stateset.rl.config.plan import supervised_steps
from stateset.rl.data.load import load_tasks
from stateset.rl.errors import CheckpointError, ConfigError, DataError, StoppedError
from stateset.rl.keeper import Keeper
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.load import load_policy
from stateset.rl.policy.optimizer import PolicyOptimizer, learning_rate_at
from stateset.rl.policy.policy import Policy
from stateset.rl.trainer import GRPOTrainer
from stateset.rl.warm_start import SupervisedStep, imitate, load_examples

ROWS = [{"id": str(i), "prompt": f"hello {i}", "reply": f"bee {i}", "answer": "gold"} for i in range(6)]
SETTINGS: dict[str, Any] = {
    **{"rollout_n": 4, "batch_size": 2, "max_response_length": 10, "learning_rate": 1e-3},
    **{"device": "cpu", "dtype": "fp32", "warmup_steps": 0, "max_steps": 2},
}
WARM = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-2}  # 2 steps a pass


def trainer(model: Path, out: Path, **settings: Any) -> GRPOTrainer:
    keywords = {"on_step": settings.pop("on_step")} if "on_step" in settings else {}
    config = {**SETTINGS, "warm_start": WARM, "output_dir": str(out), **settings}
    return GRPOTrainer(model=str(model), reward_function=count_e, config=config, **keywords)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def learn(
    policy: Any, settings: WarmStart, rows: list[dict[str, Any]] = ROWS, **limits: int
) -> list[SupervisedStep]:
    sizes = {"max_prompt_length": 100, "max_response_length": 20} | limits
    config = make_config({**SETTINGS, **sizes, "warm_start": settings.model_dump()})
    steps: list[SupervisedStep] = []
    examples = load_examples(policy, config, load_tasks(rows))
    imitate(Learner(policy, config, exact_sampler=True), examples, config, steps.append)
    return steps


def test_the_loss_is_the_cross_entropy_of_the_replies_alone(tiny_llama: Path) -> None:
    """Against transformers' own loss with the prompt's labels masked."""
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    total, count = 0.0, 0
    for row in ROWS:
        text = f"<|im_start|>user {row['prompt']}<|im_end|><|im_start|>assistant {row['reply']}<|im_end|>"
        ids = policy.tokenizer(text, return_tensors="pt")["input_ids"]
        reply = len(row["reply"]) + 1  # one token a character, and the end of the turn
        labels = ids.clone()
        labels[:, :-reply] = -100
        with torch.no_grad():
            total += float(policy.module(input_ids=ids, labels=labels).loss) * reply
        count += reply
    steps = learn(policy, WarmStart(batch_size=6, learning_rate=1e-3))
    assert steps[0].loss == pytest.approx(total / count, rel=1e-5)


def test_replies_are_learnt_and_come_to_an_end(tiny_llama: Path) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    rows = [{"prompt": "hello", "reply": "bee"}] * 1 + [{"prompt": "bye", "reply": "cow"}]
    steps = learn(policy, WarmStart(epochs=80, batch_size=2, learning_rate=1e-2), rows)
    assert steps[-1].loss < 0.2 < steps[0].loss
    from stateset.rl.rollout.model import Model

    assert Model(policy).generate("hello", temperature=0) == ["bee"]
    assert Model(policy).generate("bye", temperature=0) == ["cow"]


def test_every_reply_once_a_pass_and_the_rate_falls_to_zero(tiny_llama: Path) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    steps = learn(policy, WarmStart(epochs=6, batch_size=4, learning_rate=1e-3))
    assert [(s.step, s.total) for s in steps] == [(i + 1, 12) for i in range(12)]
    rates = [
        learning_rate_at(i, peak=1e-3, warmup=5, total=12, schedule="linear") for i in range(12)
    ]  # fmt: skip
    assert [s.learning_rate for s in steps] == rates
    assert rates[4] == 1e-3 > rates[-1] > 0
    for limit, expected in ((3, 3), (99, 4)):
        settings = WarmStart(epochs=2, batch_size=4, max_steps=limit)
        assert len(learn(policy, settings)) == supervised_steps(settings, len(ROWS)) == expected


def test_grpo_goes_on_from_the_warm_model_with_new_moments(tiny_llama: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    one = trainer(tiny_llama, tmp_path / "run", use_kl_loss=True, on_step=lambda m: seen.append(m.step))
    one.train(ROWS, eval_dataset=[{"prompt": "good day"}])
    run = tmp_path / "run"
    assert [line["step"] for line in lines(run / "warm_start.jsonl")] == [1, 2, 3, 4]
    assert [line["step"] for line in lines(run / "timings.jsonl")] == [0, 1, 2]
    assert all(line["seconds"]["cpu"] > 0 for line in lines(run / "timings.jsonl"))
    assert seen == [1, 2]
    assert [line["step"] for line in lines(run / "eval" / "summary.jsonl")] == [0, 2], "after the warm start"
    base, warm = load_file(tiny_llama / "model.safetensors"), load_file(run / "warm_start/model.safetensors")
    assert any(not torch.equal(base[name], warm[name]) for name in warm)
    reference = one.learner.reference
    assert reference is not None
    assert all(torch.equal(tensor, warm[name]) for name, tensor in reference.items() if name in warm)
    steps = {float(state["step"]) for state in one.learner.optimizer.adamw.state.values()}
    assert steps == {2.0}, "moments count GRPO's two steps, not the four supervised ones"


def test_a_kill_after_the_warm_start_resumes_bit_for_bit(tiny_llama: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(metrics: Any) -> None:
        raise Killed

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    trainer(tiny_llama, whole).train(ROWS)
    with pytest.raises(Killed):
        trainer(tiny_llama, cut, on_step=kill).train(ROWS)
    assert [path.name for path in list_checkpoints(cut / "checkpoints")] == ["step_00000"]
    trainer(tiny_llama, cut).train(ROWS, resume=cut)
    assert (cut / "warm_start.jsonl").read_bytes() == (whole / "warm_start.jsonl").read_bytes()
    assert (cut / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (cut, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_second_call_does_not_warm_up_again(tiny_llama: Path, tmp_path: Path) -> None:
    one = trainer(tiny_llama, tmp_path / "run")
    one.train(ROWS)
    before = (tmp_path / "run" / "warm_start.jsonl").read_bytes()
    one.train(ROWS)
    assert (tmp_path / "run" / "warm_start.jsonl").read_bytes() == before


def test_a_resume_refuses_another_warm_start(tiny_llama: Path, tmp_path: Path) -> None:
    trainer(tiny_llama, tmp_path / "run").train(ROWS)
    before = (tmp_path / "run" / "config.resolved.yaml").read_bytes()
    for other in ({**WARM, "epochs": 50}, None):
        with pytest.raises(CheckpointError, match="--allow-change warm_start"):
            trainer(tiny_llama, tmp_path / "run", warm_start=other).train(ROWS, resume=tmp_path / "run")
    assert (tmp_path / "run" / "config.resolved.yaml").read_bytes() == before


def test_a_resume_refuses_other_rows_to_imitate_until_the_stage_is_over(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, rows, original = tmp_path / "run", tmp_path / "rows.jsonl", warm_start.token_weights
    calls = itertools.count()

    def weights(*given: Any, **named: Any) -> Any:
        if next(calls) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*given, **named)

    def write(*replies: str) -> dict[str, Any]:
        lines = [json.dumps({"id": reply, "prompt": "say it", "reply": reply}) for reply in replies]
        rows.write_text("\n".join(lines) + "\n")
        return {"warm_start": {**WARM, "rows": str(rows), "batch_size": 1}}

    with monkeypatch.context() as patch:
        patch.setattr(warm_start, "token_weights", weights)
        with pytest.raises(StoppedError):
            trainer(tiny_llama, run, **write("one", "two")).train(ROWS)
    with pytest.raises(CheckpointError, match="--allow-change warm_start_rows"):
        trainer(tiny_llama, run, **write("one", "ZZZ")).train(ROWS, resume=run)
    trainer(tiny_llama, run, **write("one", "two"), max_steps=1).train(ROWS, resume=run)
    trainer(tiny_llama, run, **write("one", "ZZZ")).train(ROWS, resume=run)


def test_a_stop_in_its_first_step_does_not_hide_the_later_ones(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, original = tmp_path / "run", warm_start.token_weights

    def weights(*given: Any, **named: Any) -> Any:  # before the first micro-batch
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*given, **named)

    for resume, expected in ((None, "warm_00000"), (run, "warm_00000")):
        with monkeypatch.context() as patch:
            patch.setattr(warm_start, "token_weights", weights)
            with pytest.raises(StoppedError, match="step 0"):
                trainer(tiny_llama, run).train(ROWS, resume=resume)
        assert [path.name for path in list_checkpoints(run / "checkpoints")] == [expected]
    trainer(tiny_llama, run, save_every=1, keep_checkpoints=9).train(ROWS, resume=run)
    saved = [path.name for path in list_checkpoints(run / "checkpoints")]
    assert saved[:5] == ["warm_00000", "warm_00001", "warm_00002", "warm_00003", "step_00000"]


def test_where_memory_runs_out_replies_are_halved_told_and_halved_after_a_resume(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tried: list[int] = []
    original, save = Policy.logprobs, Keeper.save_checkpoint

    def limited(self: Policy, part: Batch, temperature: float) -> Any:
        if torch.is_grad_enabled() and len(part.mask) > 2:
            tried.append(len(part.mask))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return original(self, part, temperature)

    def killed(self: Keeper) -> None:
        save(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Policy, "logprobs", limited)
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            trainer(tiny_llama, tmp_path / "run", save_every=1).train(ROWS)
    assert tried == [4]
    assert "memory ran out with 4 responses" in capfd.readouterr().err
    resumed = trainer(tiny_llama, tmp_path / "run", save_every=1, max_steps=1)
    resumed.train(ROWS, resume=tmp_path / "run")
    assert tried == [4, 4], "a step of GRPO, whose rows are others, begins with all of them again"


@pytest.mark.parametrize("save_every", [1, 2, 3])
def test_a_stop_in_the_warm_start_resumes_bit_for_bit(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_every: int
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    trainer(tiny_llama, whole).train(ROWS)
    stop_at = 3

    def step(self: PolicyOptimizer, rate: float, loss: float) -> float:
        nonlocal stop_at
        stop_at -= 1
        if stop_at == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, rate, loss)

    original = PolicyOptimizer.step
    with monkeypatch.context() as patch:
        patch.setattr(PolicyOptimizer, "step", step)
        with pytest.raises(StoppedError, match="step 3 of the warm start; go on"):
            trainer(tiny_llama, cut, save_every=save_every).train(ROWS)
    assert [path.name for path in list_checkpoints(cut / "checkpoints")][-1] == "warm_00003"
    trainer(tiny_llama, cut).train(ROWS, resume=cut)
    for file in ("warm_start.jsonl", "metrics.jsonl", "model/model.safetensors"):
        assert (cut / file).read_bytes() == (whole / file).read_bytes(), file


def test_an_interrupted_warm_start_leaves_no_gradient_and_is_not_repeated(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(tiny_llama, tmp_path / "run")

    def interrupt(*_: Any) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PolicyOptimizer, "step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            one.train(ROWS)
    assert all(master.grad is None for master in one.learner.optimizer.masters.values())
    with pytest.raises(ConfigError, match="cut off"):
        one.train(ROWS)


@pytest.mark.parametrize(
    ("row", "settings", "limits", "message"),
    [
        ({"prompt": "a"}, {}, {}, r"1 of 7 rows.*no text in the column `reply`"),
        ({"prompt": "a", "reply": "  "}, {}, {}, "no text"),
        ({"prompt": "a", "reply": 3}, {}, {}, "no text"),
        ({"prompt": "a", "reply": "x" * 30}, {}, {}, "31 tokens, more than 20"),
        ({"prompt": "a" * 200, "reply": "x"}, {}, {}, "max_prompt_length"),
        ({"prompt": "a", "reply": "x"}, {"column": "answer"}, {}, "no text in the column `answer`"),
    ],
)
def test_rows_that_cannot_be_imitated_are_refused(
    tiny_llama: Path, row: dict[str, Any], settings: dict[str, Any], limits: dict[str, int], message: str
) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    with pytest.raises(DataError, match=message):
        learn(policy, WarmStart(**settings), [*ROWS, row], **limits)


def test_the_key_is_read_from_files_and_overrides(tmp_path: Path) -> None:
    file = tmp_path / "project.yaml"
    file.write_text("warm_start:\n  rows: logs.jsonl\n  learning_rate: 1e-4\n")
    config = load_config(file, overrides=["warm_start.epochs=3"])
    assert config.warm_start == WarmStart(rows=str(tmp_path / "logs.jsonl"), learning_rate=1e-4, epochs=3)
    assert config.origins["warm_start.learning_rate"] == "project.yaml:3"
    assert load_config(file, overrides=["warm_start=null"]).warm_start is None
    assert make_config({"warm_start": None}, overrides=["warm_start.epochs=3"]).warm_start == WarmStart(
        epochs=3
    )
    assert make_config({"warm_start": {}}).warm_start == WarmStart()
    assert make_config({"warm_start": {"rows": "support_tickets"}}).warm_start == WarmStart(
        rows="support_tickets"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("warm_start: null\nwarm_start.epochs: 3\n", "`warm_start: None` contradicts `warm_start.epochs: 3`"),
        ("warm_start:\n  epochs: 0\n", r"project.yaml:2: `warm_start.epochs` is 0"),
        ("warm_start:\n  epoch: 1\n", r"project.yaml:2: unknown key `warm_start.epoch`; did you mean"),
        ("warm_start: logs.jsonl\n", r"project.yaml:1: `warm_start` is 'logs.jsonl'"),
    ],
)
def test_wrong_keys_are_refused_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "project.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "project.yaml")


def test_rates_are_worked_out_by_hand() -> None:
    at = [learning_rate_at(i, peak=1.0, warmup=2, total=4, schedule="linear") for i in range(4)]
    assert at == [0.5, 1.0, 1.0, 0.5]
    assert math.isclose(sum(at), 3.0)
