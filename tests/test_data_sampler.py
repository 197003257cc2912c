"""The data order: fixed by the seed on every platform, each task once an epoch."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stateset.rl.data.sampler import TaskOrder
from stateset.rl.errors import DataError


def test_literal_order():
    order = TaskOrder(10, 4, 0)
    assert [order.batch(0, index) for index in range(3)] == [(9, 3, 2, 0), (4, 8, 7, 1), (6, 5)]
    assert order.batch(1, 0) == (3, 7, 0, 1)
    assert TaskOrder(10, 4, 1).batch(0, 0) == (8, 1, 6, 3)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**64), st.integers(0, 1000))
def test_each_epoch_takes_every_task_once(num_tasks, batch_size, seed, epoch):
    order = TaskOrder(num_tasks, batch_size, seed)
    batches = [order.batch(epoch, index) for index in range(order.steps_per_epoch)]
    assert sorted(sum(batches, ())) == list(range(num_tasks))
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_batch_size_does_not_change_the_order():
    whole = TaskOrder(20, 20, 7).batch(3, 0)
    assert sum((TaskOrder(20, 3, 7).batch(3, index) for index in range(7)), ()) == whole


def test_the_order_has_no_state():
    order = TaskOrder(50, 7, 5)
    wanted = {
        (epoch, index): TaskOrder(50, 7, 5).batch(epoch, index) for epoch in range(6) for index in range(8)
    }
    state = random.getstate()
    for key in random.Random(0).sample(sorted(wanted), len(wanted)):
        assert order.batch(*key) == wanted[key]
    assert random.getstate() == state


def test_first_places_are_uniform():
    counts = [0] * 5
    for seed in range(1000):
        counts[TaskOrder(5, 1, seed).batch(0, 0)[0]] += 1
    # Chi-squared with 4 degrees of freedom: 18.5 is exceeded by chance in 1 of 1000 hashes.
    assert sum((count - 200) ** 2 / 200 for count in counts) < 18.5


@pytest.mark.parametrize("index", [-1, 3])
def test_no_such_step(index):
    with pytest.raises(IndexError):
        TaskOrder(10, 4, 0).batch(0, index)


@pytest.mark.parametrize(("num_tasks", "batch_size"), [(0, 4), (4, 0), (-1, 1)])
def test_impossible_orders(num_tasks, batch_size):
    with pytest.raises(DataError, match="at least one"):
        TaskOrder(num_tasks, batch_size, 0)
