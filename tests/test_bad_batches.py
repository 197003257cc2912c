"""Numbers that are not finite: no weight changes, each is counted, its cause told; three end the run."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_critic import critic_of
from test_policy_forward import make_batch
from test_policy_learner import ADVANTAGES, RATE, half_optimizer, learner_of, on_policy, weights
from test_trainer import ROWS, lines, trainer
from torch import Tensor

from stateset.rl.errors import TrainingError
from stateset.rl.policy.bad_batch import RATIO
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.logprobs import Head
from stateset.rl.policy.optimizer import NonFiniteError, PolicyOptimizer
from stateset.rl.policy.policy import Policy
from stateset.rl.policy.trace import Fixed

INJECTIONS = 500 if os.environ.get("STATESET_LONG") else 60
JUNK = (math.nan, math.inf, -math.inf)
EVERYTHING = [[0, 1, 2]]


@pytest.fixture(scope="module")
def learner(tiny_llama: Path) -> Learner:
    """With every number that an update can know, but for those of a critic."""
    return learner_of(tiny_llama, use_kl_loss=True, kl_importance=True, entropy_coef=0.01)


def fixed_of(learner: Learner, batch: Batch) -> Fixed:
    return learner.before(batch, 2)


def spoiled(values: Tensor, place: tuple[int, int], junk: float) -> Tensor:
    changed = values.clone()
    changed[place] = junk
    return changed


def everything(learner: Learner) -> dict[str, Tensor]:
    """Weights and moments, as they would be in a checkpoint, but for the count of what was left out."""
    found = {name: tensor.clone() for name, tensor in learner.state_tensors().items()}
    found.pop("skipped_in_a_row", None)
    return found


def inject(
    learner: Learner, kind: str, place: tuple[int, int], junk: float, patch: pytest.MonkeyPatch
) -> dict[str, float]:
    """One update with one number replaced."""
    batch = on_policy(learner, make_batch())
    fixed, advantages = fixed_of(learner, batch), ADVANTAGES[:, None].expand_as(batch.mask)
    learner.exact_sampler = True
    match kind:
        case "advantage":
            advantages = spoiled(advantages, place, junk)
        case "sampler's log-probability":
            learner.exact_sampler = False
            batch = dataclasses.replace(batch, sampler_logprobs=spoiled(batch.sampler_logprobs, place, junk))
        case "old log-probability" | "reference log-probability":
            name = kind.split(" ")[0]
            fixed = dataclasses.replace(fixed, **{name: spoiled(getattr(fixed, name), place, junk)})
        case "logit":
            number = int((batch.mask.flatten() != 0)[: place[0] * batch.mask.shape[1] + place[1]].sum())
            patch.setattr(Head, "capped", with_junk(Head.capped, number, junk))
        case "gradient":
            parameter = learner.policy.trainable()["model.layers.1.mlp.up_proj.weight"]
            handle = parameter.register_hook(lambda grad: spoiled(grad, (0, 0), junk))
            try:
                return learner.update(batch, advantages, EVERYTHING, [RATE], fixed)
            finally:
                handle.remove()
    return learner.update(batch, advantages, EVERYTHING, [RATE], fixed)


def with_junk(original: Callable[..., Tensor], number: int, junk: float) -> Callable[..., Tensor]:
    """`Head.capped` with one logit replaced in the forward pass that trains (one micro-batch, one chunk)."""

    def capped(self: Head, raw: Tensor) -> Tensor:
        return spoiled(original(self, raw), (number, 97), junk)

    return capped


BOUNDED = ("sampler's log-probability", "old log-probability")  # infinity is a ratio at its bound, not NaN
KINDS = (*BOUNDED, "advantage", "reference log-probability", "logit", "gradient")


def test_no_injection_changes_a_weight_and_each_is_counted(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner.micro_batches.max_tokens = 10**9
    before, dice = everything(learner), random.Random(0)
    inside = torch.nonzero(make_batch().mask).tolist()
    counted = 0
    for number in range(INJECTIONS):
        kind, junk = KINDS[number % len(KINDS)], JUNK[dice.randrange(3)]
        row, token = dice.choice(inside)
        learner._sampler_checked = True
        if kind in BOUNDED:
            junk = math.nan
        with monkeypatch.context() as patch:
            measured = inject(learner, kind, (row, token), junk, patch)
        counted += int(measured["bad_batches"])
        [bad] = learner.bad_batches
        if kind == "gradient":
            assert (bad.what, bad.where, bad.detail) == (kind, None, "model.layers.1.mlp.up_proj.weight")
        elif kind == "logit":
            what = "entropy" if junk == -math.inf else "log-probability"  # the token was not drawn
            assert (bad.what, bad.where) == (what, (row, token))
        else:
            assert (bad.what, bad.where, bad.detail) == (kind, (row, token), str(junk))
        assert learner.optimizer.skipped_in_a_row == number + 1
    assert counted == INJECTIONS
    after = everything(learner)
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], now) for name, now in after.items())
    assert all(torch.isfinite(now).all() for now in after.values())


@pytest.mark.parametrize("junk", [*JUNK, 200.0, -200.0])
def test_padding_reaches_nothing(tiny_llama: Path, junk: float) -> None:
    """A log-ratio of 200, or no number at all, behind the end of a response: the update is the same."""
    found = []
    for value in (0.0, junk):
        one = learner_of(tiny_llama, use_kl_loss=True, kl_importance=True, entropy_coef=0.01)
        one.exact_sampler = False
        batch = on_policy(one, make_batch())
        outside, fixed = batch.mask == 0, fixed_of(one, batch)

        def junked(values: Tensor, outside: Tensor = outside, value: float = value) -> Tensor:
            return values.masked_fill(outside, value)

        fixed = Fixed(old=junked(fixed.old), reference=junked(fixed.reference))
        batch = dataclasses.replace(batch, sampler_logprobs=junked(batch.sampler_logprobs))
        advantages = junked(ADVANTAGES[:, None].expand_as(batch.mask))
        found.append((one.update(batch, advantages, EVERYTHING, [RATE], fixed), weights(one)))
    (clean, expected), (measured, ours) = found
    assert measured == clean
    assert measured["bad_batches"] == 0
    assert all(torch.equal(expected[name], now) for name, now in ours.items())


@pytest.mark.parametrize("far", [200.0, math.inf])
def test_a_large_log_ratio_inside_is_bounded(tiny_llama: Path, far: float) -> None:
    one = learner_of(tiny_llama, use_kl_loss=True, kl_importance=True)
    batch = on_policy(one, make_batch())
    fixed = fixed_of(one, batch)
    inside = batch.mask != 0
    old = torch.where(inside, fixed.old - far, 0.0)
    reference = torch.where(inside, fixed.reference - 200, 0.0)
    one.exact_sampler, one._sampler_checked = True, True
    measured = one.update(batch, ADVANTAGES, EVERYTHING, [RATE], Fixed(old=old, reference=reference))
    assert measured["bad_batches"] == 0
    assert measured["ratio_max"] == pytest.approx(math.exp(20), rel=1e-5)
    assert all(torch.isfinite(now).all() for now in weights(one).values())


def test_a_loss_that_overflows_names_the_largest_ratio(learner: Learner) -> None:
    batch = on_policy(learner, make_batch())
    fixed = fixed_of(learner, batch)
    old = spoiled(fixed.old, (6, 2), float(fixed.old[6, 2]) - 30)  # the ratio is bounded by exp(20)
    advantages = torch.full_like(batch.mask, -3e38)
    learner.config = learner.config.model_copy(update={"clip_ratio_dual": None})
    measured = learner.update(batch, advantages, EVERYTHING, [RATE], dataclasses.replace(fixed, old=old))
    assert measured["bad_batches"] == 1
    [bad] = learner.bad_batches
    assert (bad.what, bad.where, float(bad.detail)) == (RATIO, (6, 2), pytest.approx(30, rel=1e-3))


def test_only_the_bad_one_of_several_steps_is_left_out(tiny_llama: Path) -> None:
    one = learner_of(tiny_llama)
    batch = on_policy(one, make_batch())
    advantages = spoiled(ADVANTAGES[:, None].expand_as(batch.mask), (3, 1), math.inf)
    measured = one.update(batch, advantages, [[0], [1], [2]], [RATE] * 3)
    assert measured["bad_batches"] == 1
    assert math.isfinite(measured["loss"])
    assert math.isfinite(measured["grad_norm"])
    assert one.optimizer.skipped_in_a_row == 0
    steps = {float(state["step"]) for state in one.optimizer.adamw.state.values()}
    assert steps == {2.0}


def test_three_in_a_row_end_the_update(tiny_llama: Path) -> None:
    one = learner_of(tiny_llama)
    batch = on_policy(one, make_batch())
    measured = one.update(batch, torch.full((8,), math.nan), [[0], [1], [2], [0], [1]], [RATE] * 5)
    assert (measured["bad_batches"], len(one.trace)) == (3, 3)
    assert math.isnan(measured["loss"])


def test_the_critic_leaves_out_what_is_not_finite(tiny_llama: Path) -> None:
    learner, critic = critic_of(tiny_llama)
    batch = make_batch()
    before = {name: tensor.clone() for name, tensor in critic.state_tensors().items()}
    returns = torch.ones_like(batch.mask)
    values = critic.values(batch)
    for count, junk in enumerate(JUNK, 1):
        measured = critic.update(batch, spoiled(returns, (2, 11), junk), values, EVERYTHING, [RATE])
        assert measured["critic/bad_batches"] == 1
        [bad] = critic.bad_batches
        assert (bad.of, bad.what, bad.where) == ("critic", "return", (2, 11))
        assert learner.skipped_in_a_row == count
    after = critic.state_tensors()
    assert int(after.pop("critic/skipped_in_a_row")) == 3
    assert all(torch.equal(before[name], now) for name, now in after.items())
    assert (
        critic.update(batch, spoiled(returns, (1, 11), math.nan), values, EVERYTHING, [RATE])[
            "critic/bad_batches"
        ]
        == 0
    ), "behind the end of that response"
    assert learner.skipped_in_a_row == 0


def test_fp16_counts_a_loss_and_no_overflow_of_its_own() -> None:
    model, optimizer = half_optimizer()
    optimizer.backward((model.weight * 1e4).sum())
    optimizer.step(RATE)
    assert optimizer.skipped_in_a_row == 0, "the scaler leaves that step out, and finds its way down"
    scale = optimizer.scaler.get_scale()
    optimizer.backward((model.weight * math.nan).sum())
    with pytest.raises(NonFiniteError):
        optimizer.step(RATE, math.nan)
    assert (optimizer.skipped_in_a_row, optimizer.scaler.get_scale()) == (1, scale)
    optimizer.backward(model.weight.sum())
    optimizer.step(RATE, 1.0)
    assert optimizer.skipped_in_a_row == 0


def test_fp16_stops_to_blame_its_scale_where_that_is_1() -> None:
    model, optimizer = half_optimizer()
    before = model.weight.clone()
    for _ in range(100):
        optimizer.backward((model.weight * math.nan).sum())
        try:
            optimizer.step(RATE)
        except NonFiniteError:
            if optimizer.skipped_in_a_row == 3:
                break
    assert (optimizer.skipped_in_a_row, optimizer.scaler.get_scale()) == (3, 1.0)
    assert torch.equal(model.weight, before)
    optimizer.backward(model.weight.sum())
    assert math.isfinite(optimizer.step(RATE, 1.0))
    assert (optimizer.skipped_in_a_row, bool(model.weight.isfinite().all())) == (0, True)


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes the training forward of these updates, counted from 1, give a NaN."""
    original = Policy.logprobs

    def install(*numbers: int) -> None:
        count = [0]

        def logprobs(self: Policy, batch: Batch, temperature: float) -> tuple[Tensor, Tensor]:
            found, entropy = original(self, batch, temperature)
            if torch.is_grad_enabled():
                count[0] += 1
                if count[0] in numbers:
                    found = found * torch.where(torch.arange(found.shape[1]) == 3, math.nan, 1.0)
            return found, entropy

        monkeypatch.setattr(Policy, "logprobs", logprobs)

    return install


def test_a_run_tells_what_was_left_out_and_goes_on(
    tiny_llama: Path, tmp_path: Path, spoil: Callable[..., None]
) -> None:
    spoil(2)
    run = tmp_path / "run"
    seen: list[Tensor] = []
    one = trainer(tiny_llama, run, micro_batch_tokens=10**6)
    one.on_step = lambda m: seen.append(next(iter(one.policy.trainable().values())).detach().clone())
    one.train(ROWS)
    metrics = lines(run / "metrics.jsonl")
    assert [m["bad_batches"] for m in metrics] == [0, 1, 0, 0]
    assert [m["loss"] is None for m in metrics] == [False, True, False, False]
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    [file] = (run / "bad_batches").iterdir()
    assert file.name == "step_00002.jsonl"
    head, *responses = lines(file)
    recorded = [(g["task"], r) for g in lines(run / "rollouts/step_00002.jsonl") for r in g["responses"]]
    task, first = next((t, r) for t, r in recorded if len(r["token_ids"]) > 3)
    assert head["of"] == "policy"
    assert head["cause"] == (
        f"its loss is nan: the log-probability of token 3 (id {first['token_ids'][3]}) in sample "
        f"{first['sample']} of task {task!r} is nan"
    )
    assert [(line["task"], line["sample"], line["reward"], line["token_ids"]) for line in responses] == [
        (t, r["sample"], r["reward"], r["token_ids"]) for t, r in recorded
    ]
    assert {line["log-probability"][3] for line in responses if len(line["token_ids"]) > 3} == {"nan"}
    [told] = [e["message"] for e in lines(run / "events.jsonl") if e["kind"] == "notice"]
    assert told.startswith(
        "an optimizer step of the policy was left out (step_00002), because its loss is nan"
    )


def test_three_in_a_row_end_the_run_also_across_a_resume(
    tiny_llama: Path, tmp_path: Path, spoil: Callable[..., None]
) -> None:
    spoil(2, 3, 4)
    run = tmp_path / "run"
    settings: dict[str, Any] = {"micro_batch_tokens": 10**6, "save_every": 1}
    trainer(tiny_llama, run, max_steps=3, **settings).train(ROWS)
    resumed = trainer(tiny_llama, run, max_steps=4, **settings)
    with pytest.raises(
        TrainingError, match=r"3 optimizer steps in a row.*Try: lower learning_rate"
    ) as caught:
        resumed.train(ROWS, resume=run)
    assert caught.value.exit_code == 1
    assert [m["bad_batches"] for m in lines(run / "metrics.jsonl")] == [0, 1, 1, 1]
    assert sorted(file.name for file in (run / "bad_batches").iterdir()) == [
        f"step_0000{n}.jsonl" for n in (2, 3, 4)
    ]
    assert json.loads((run / "manifest.json").read_text())["status"] == "failed"
    assert all(torch.isfinite(p).all() for p in resumed.policy.trainable().values())


def test_the_warm_start_leaves_out_what_is_not_finite(
    tiny_llama: Path, tmp_path: Path, spoil: Callable[..., None]
) -> None:
    rows = [{**row, "reply": "bee bee"} for row in ROWS]
    settings = {"warm_start": {"epochs": 1, "batch_size": 2}, "max_steps": 1, "micro_batch_tokens": 10**6}
    spoil(2)
    trainer(tiny_llama, tmp_path / "one", **settings).train(rows)
    logged = lines(tmp_path / "one" / "warm_start.jsonl")
    assert [line["loss"] is None for line in logged] == [False, True, False, False]
    [file] = (tmp_path / "one" / "bad_batches").iterdir()
    assert file.name == "warm_start_00002.jsonl"
    head, *replies = lines(file)
    assert (head["of"], len(replies)) == ("warm start", 2)
    spoil(1, 2, 3)
    with pytest.raises(TrainingError, match="3 optimizer steps in a row"):
        trainer(tiny_llama, tmp_path / "two", **settings).train(rows)


def test_a_step_that_was_left_out_changes_no_moment(tiny_llama: Path) -> None:
    one = learner_of(tiny_llama)
    optimizer: PolicyOptimizer = one.optimizer
    batch = on_policy(one, make_batch())
    one.update(batch, ADVANTAGES, EVERYTHING, [RATE])
    before = everything(one)
    one.update(batch, ADVANTAGES * math.inf, EVERYTHING, [RATE])
    assert all(torch.equal(before[name], now) for name, now in everything(one).items())
    assert int(one.state_tensors()["skipped_in_a_row"]) == optimizer.skipped_in_a_row == 1
