"""What a probe measures, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from stateset.rl.config.load import make_config
from stateset.rl.data.load import load_tasks
from stateset.rl.errors import ConfigError
from stateset.rl.evaluation.probe import (
    Line,
    StepProbe,
    count_passes,
    largest_micro_batch,
    memory_of,
    probe_step,
    sample_groups,
)
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.learner import REPLIES_MICRO_BATCH_TOKENS, Learner
from stateset.rl.policy.load import load_configured
from stateset.rl.rollout.decoders import CACHE_BYTES
from stateset.rl.rollout.model import Model
from stateset.rl.types import Rollout, RolloutGroup, Score, ScoredGroup, Task

PROBE = StepProbe(
    prefill=1.0, decode_token=0.1, forward=Line(0.2, 0.003), update=Line(0.4, 0.01), optimizer=0.5,
    prompts=2, prompt_tokens=100, responses=8, micro_batch_tokens=1, supervised_tokens=1024,
    activation_bytes=0, peak_bytes=0,
)  # fmt: skip
LENGTHS = [10, 10, 40, 20]  # 20 at the mean, 40 at most: 30 decoded positions
TOKENS = 100 + 8 * 20
UPDATE, FORWARD = 2 * 0.4 + 0.01 * TOKENS, 2 * 0.2 + 0.003 * TOKENS  # a micro-batch for each of two groups


def step(signal: float = 1.0, **settings: object) -> float:
    given = {"batch_size": 2, "rollout_n": 4, **settings}
    return PROBE.step_seconds(make_config(given), LENGTHS, signal)


def test_a_step_by_hand() -> None:
    sampled, update = 1.0 + 0.1 * 30, UPDATE
    assert step(ppo_epochs=1) == pytest.approx(sampled + update + 0.5)
    assert step(0.5, ppo_epochs=1) == pytest.approx(sampled + update / 2 + 0.5)
    twice = sampled + 2 * update + 2 * 0.5 + FORWARD
    assert step(ppo_epochs=2) == pytest.approx(twice), "the log-probabilities before the first update"
    assert step(0.5, ppo_epochs=1, use_kl_loss=True) == pytest.approx(sampled + update + 0.5 + FORWARD), (
        "with a KL term no group is skipped, and the reference computes each, too"
    )
    rewarded = step(0.5, ppo_epochs=1, use_kl_loss=True, kl_placement="reward")
    assert rewarded == pytest.approx(sampled + update + 0.5 + 2 * FORWARD), "and the old ones"
    dynamic = step(0.25, ppo_epochs=1, dynamic_sampling=True, max_gen_batches=3)
    assert dynamic == pytest.approx(3 * sampled + 0.75 * update + 0.5), "three rounds find three quarters"
    few = PROBE.step_seconds(
        make_config({"batch_size": 2, "rollout_n": 4, "dynamic_sampling": True, "max_gen_batches": 3}),
        LENGTHS, 0.25, rows=4,
    )  # fmt: skip
    assert few == pytest.approx(2 * sampled + UPDATE / 2 + 0.5), "four rows are two rounds of two"
    assert step(ppo_epochs=1, adv_estimator="gae") == pytest.approx(sampled + 2 * (update + 0.5) + FORWARD)


def test_a_supervised_step_and_an_evaluation_by_hand() -> None:
    together = 0.4 + 0.01 * 4 * (50 + 20) + 0.5
    assert PROBE.supervised_seconds(4, LENGTHS) == pytest.approx(together), "280 tokens: one micro-batch"
    alone = replace(PROBE, supervised_tokens=1)
    assert alone.supervised_seconds(4, LENGTHS) == pytest.approx(together + 3 * 0.4)
    assert PROBE.evaluation_seconds(6, LENGTHS) == pytest.approx(1.0 * 3 + 0.1 * 30 * 6 / 8)


def test_micro_batches_share_what_each_costs() -> None:
    packed = replace(PROBE, supervised_tokens=4 * (50 + 20))
    assert packed.supervised_seconds(4, LENGTHS) == pytest.approx(0.4 + 0.01 * 280 + 0.5)
    assert packed.supervised_seconds(40, LENGTHS) == pytest.approx(10 * 0.4 + 0.01 * 2800 + 0.5)


def test_the_line_through_two_timings() -> None:
    assert Line.through((100, 1.5), (300, 3.5)) == pytest.approx((0.5, 0.01))
    assert Line.through((100, 2.0), (300, 1.8)) == (1.8, 0.0), "noise: a token never gives time back"
    assert Line.through((100, 0.1), (300, 3.0)) == pytest.approx((0.0, 0.01)), "nor does a micro-batch"
    assert Line(0.5, 0.01).seconds(3, 200) == pytest.approx(3.5)


def scored(values: tuple[float | None, ...]) -> ScoredGroup:
    rollouts = tuple(
        Rollout(
            sample=s, text="", token_ids=(5,), loss_mask=(1,), sampler_logprobs=(0.0,), stop_reason="stop"
        )
        for s in range(len(values))
    )
    group = RolloutGroup(task=Task(id="t", prompt="p"), prompt_ids=(1,), rollouts=rollouts)
    return ScoredGroup(group=group, scores=tuple(Score(total=value) for value in values))


def test_right_is_above_the_middle() -> None:
    groups = [scored((0.0, 1.0, 0.9)), scored((0.5, 0.2, 0.1)), scored((None, 1.0, 1.0))]
    assert count_passes(groups, (0.0, 1.0)) == ([2, 0], 0.5)
    assert count_passes([scored((2.0, 6.0))], None) == ([1], 4.0)
    assert count_passes([scored((1.0, 1.0)), scored((1.0, 1.0))], None)[0] == [], "nothing to compare"
    assert count_passes([scored((1.0, 1.0)), scored((1.0, 1.0))], (0.0, 1.0)) == ([2, 2], 0.5)
    passes, middle = count_passes([scored((None, None))], None)
    assert passes == []
    assert math.isnan(middle)


@pytest.mark.parametrize("settings", [{}, {"use_kl_loss": True}, {"adv_estimator": "gae"}, {"lora": True}])
def test_memory_is_that_of_the_tensors(tiny_llama: Path, settings: dict[str, object]) -> None:
    config = make_config({"device": "cpu", "dtype": "bf16", "rollout_n": 2, "batch_size": 2, **settings})
    model = Model(load_configured(str(tiny_llama), config))
    found = memory_of(model.policy, model.engine, config, prompt_tokens=7.5, held_out=3)
    many = memory_of(model.policy, model.engine, config, prompt_tokens=7.5, held_out=9)
    vast = memory_of(model.policy, model.engine, config, prompt_tokens=7.5, held_out=10**9)
    every = model.policy.num_parameters
    trained = sum(p.numel() for p in model.policy.trainable().values())
    assert found["weights"] == 2 * every
    assert found["master weights"] == 4 * trained
    assert found["gradients"] == 4 * trained
    assert found["moments"] == 8 * trained
    assert ("reference" in found) == ("use_kl_loss" in settings)
    assert ("critic" in found) == ("adv_estimator" in settings)
    shape = model.policy.module.config
    heads, dim = shape.num_key_value_heads, shape.hidden_size // shape.num_attention_heads
    token = 2 * shape.num_hidden_layers * heads * dim * 2
    assert found["key-value cache"] == token * (2 * 7.5 + 4 * 256), "two prompts, four responses"
    assert many["key-value cache"] == int(token * 9 * (7.5 + 256)), "an evaluation of nine rows is larger"
    assert vast["key-value cache"] == CACHE_BYTES, "and goes in waves"
    assert (found["sampled logits"], many["sampled logits"]) == (
        16 * 4 * shape.vocab_size,
        16 * 9 * shape.vocab_size,
    )


def test_a_real_step_is_timed(tiny_llama: Path) -> None:
    config = make_config(
        {"device": "cpu", "dtype": "fp32", "rollout_n": 2, "batch_size": 3, "max_response_length": 20}
    )
    model = Model(load_configured(str(tiny_llama), config))
    tasks = load_tasks([{"prompt": f"hello {i}"} for i in range(5)])
    before = {name: p.clone() for name, p in model.policy.trainable().items()}
    groups = sample_groups(model.policy, model.engine, config, tasks, 2)
    assert [len(group.rollouts) for group in groups] == [2] * 5
    found = probe_step(model.policy, model.engine, config, tasks)
    assert found.responses == 6
    assert found.prompt_tokens == sum(len(model.policy.encode(task.prompt)) for task in tasks[:3])
    assert found.update.seconds(1, 100) > 0
    assert found.forward.seconds(1, 100) > 0
    assert found.optimizer > 0
    assert found.decode_token >= 0
    assert found.peak_bytes > 10**7
    assert all((before[name] == p).all() for name, p in model.policy.trainable().items()), "a rate of 0"


def test_the_largest_micro_batch(tiny_llama: Path) -> None:
    def largest(**settings: object) -> int:
        config = make_config({"device": "cpu", "dtype": "fp32", "max_response_length": 20, **settings})
        model = Model(load_configured(str(tiny_llama), config))
        rollout = Rollout(
            sample=0, text="", token_ids=(5,) * 20, loss_mask=(1,) * 20, sampler_logprobs=(0.0,) * 20,
            stop_reason="length",
        )  # fmt: skip
        group = RolloutGroup(task=Task(id="t", prompt="p"), prompt_ids=(1,) * 10, rollouts=(rollout,) * 2)
        learner = Learner(model.policy, config, exact_sampler=True)
        return largest_micro_batch(learner, Batch.from_groups([group]), 3)

    tokens = 10 + 2 * 20
    assert largest() == tokens, "on a CPU a group at a time"
    assert largest(micro_batch_tokens=120) == 120
    assert largest(micro_batch_tokens=10**6) == 3 * tokens, "a step has no more"
    assert largest(warm_start={"batch_size": 4}) == 4 * (10 + 20), "four replies together"
    assert largest(warm_start={"batch_size": 400}) == REPLIES_MICRO_BATCH_TOKENS


def test_what_money_buys() -> None:
    assert make_config({"max_cost": 3, "price_per_hour": 2}).limit_seconds() == 90 * 60
    assert make_config({"max_cost": 3, "price_per_hour": 2}).limit_seconds(5000.0) == 400
    assert make_config({"max_cost": 3, "price_per_hour": 2}).limit_seconds(6000.0) == 0
    assert make_config({"max_cost": 3, "price_per_hour": 2, "max_minutes": 10}).limit_seconds(1.0) == 600
    assert make_config({}).limit_seconds(9.0) == math.inf
    with pytest.raises(ConfigError, match="no effect"):
        make_config({"price_per_hour": 2})
    with pytest.raises(ConfigError, match="needs a price"):
        make_config({"max_cost": 3})
