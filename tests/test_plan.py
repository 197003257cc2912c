"""The arithmetic of a run, against a plain loop over its steps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stateset.rl.config.load import make_config
from stateset.rl.config.plan import plan
from stateset.rl.errors import ConfigError


def test_the_documents_300_rows():
    result = plan(make_config({"batch_size": 1, "epochs": 1}), 300)
    assert (result.total_steps, result.total_responses, result.total_updates) == (300, 2400, 300)
    assert result.max_generated_tokens == 2400 * 256
    assert result.advice == ()


def test_by_hand():
    values = {"batch_size": 4, "rollout_n": 4, "mini_batch_size": 8, "ppo_epochs": 2, "epochs": 3}
    config = make_config(
        values | {"gradient_accumulation_steps": 2, "max_response_length": 10, "max_steps": 5}
    )
    result = plan(config, 10)
    # An epoch: 4, 4, 2 prompts = 16, 16, 8 responses = 2, 2, 1 mini-batches = 1, 1, 1 updates, each twice.
    assert (result.prompts_per_step, result.responses_per_step, result.mini_batches_per_step) == (4, 16, 2)
    assert (result.updates_per_step, result.steps_per_epoch, result.total_steps) == (2, 3, 5)
    # Five steps: one epoch of 10 prompts and 4 + 4.
    assert (result.total_prompts, result.total_responses, result.total_updates) == (18, 72, 10)
    assert result.max_generated_tokens == 720


def test_a_batch_larger_than_the_data_is_one_step_of_all_rows():
    result = plan(make_config({"mini_batch_size": 8}), 5)
    assert (result.prompts_per_step, result.total_steps, result.total_responses) == (5, 1, 40)
    assert result.updates_per_step == 5


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(2, 5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.none() | st.integers(1, 30),
)
def test_agrees_with_a_loop(rows, batch, n, groups, accumulation, epochs, max_steps):
    values = {"batch_size": batch, "rollout_n": n, "mini_batch_size": groups * n, "ppo_epochs": 2}
    values |= {"gradient_accumulation_steps": accumulation, "epochs": epochs, "max_steps": max_steps}
    steps = prompts = updates = 0
    for _ in range(epochs):
        for start in range(0, rows, batch):
            if max_steps is not None and steps == max_steps:
                break
            chunk = list(range(start, min(start + batch, rows)))
            mini_batches = [chunk[i : i + groups] for i in range(0, len(chunk), groups)]
            updates += 2 * len(
                [mini_batches[i : i + accumulation] for i in range(0, len(mini_batches), accumulation)]
            )
            steps, prompts = steps + 1, prompts + len(chunk)
    result = plan(make_config(values), rows)
    assert (result.total_steps, result.total_prompts, result.total_updates) == (steps, prompts, updates)


def advice(rows=300, **values):
    return " ".join(plan(make_config(values), rows).advice)


def test_advice():
    assert "299 rows: 300 or more" in advice(rows=299)
    assert "begin with 4" in advice(rollout_n=2)
    assert "8-16 for complex tasks" in advice(rollout_n=4)
    assert "more than 16" in advice(rollout_n=17)
    assert "epochs 2: start with 1" in advice(epochs=2)
    assert advice(rollout_n=16) == advice(rollout_n=8) == ""


def test_no_rows():
    with pytest.raises(ConfigError, match="0 rows"):
        plan(make_config(), 0)
