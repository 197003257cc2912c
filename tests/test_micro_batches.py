"""Micro-batches: how they are split, and what happens where memory runs out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_policy_forward import make_batch
from test_policy_learner import ADVANTAGES, gradient, learner_of, run
from test_policy_learner import make_batch as eight_rows

from stateset.rl.errors import ModelError
from stateset.rl.policy.memory import recomputes_activations
from stateset.rl.policy.micro_batches import MicroBatches, is_out_of_memory
from stateset.rl.policy.policy import Policy


def rows(max_tokens: int, max_rows: int | None = None) -> list[list[int]]:
    batch = make_batch()  # groups of 3, 1 and 4 rows; 37, 8 and 52 tokens
    return [part.tolist() for part in MicroBatches(max_tokens, max_rows).split(batch, range(3))]


def test_groups_stay_together_up_to_a_number_of_tokens() -> None:
    assert rows(1) == [[0, 1, 2], [3], [4, 5, 6, 7]], "one group is never too large"
    assert rows(45) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert rows(10**6) == [list(range(8))]


def test_rows_bound_a_micro_batch_too() -> None:
    assert rows(10**6, 4) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert rows(10**6, 2) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert rows(1, 3) == [[0, 1, 2], [3], [4, 5, 6], [7]]
    assert rows(1, 1) == [[row] for row in range(8)]


def small_memory(monkeypatch, most: int) -> list[int]:
    """A device that holds no more than `most` responses; returns the sizes that were tried."""
    tried: list[int] = []
    original = Policy.logprobs

    def limited(self, part, temperature):
        if torch.is_grad_enabled():
            tried.append(len(part.groups))
            if len(part.groups) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return original(self, part, temperature)

    monkeypatch.setattr(Policy, "logprobs", limited)
    return tried


# 1 and 3: the first group fits, so that its gradient is there when the second does not
@pytest.mark.parametrize(("tokens", "most"), [(1, 3), (1, 2), (10**6, 2)])
def test_the_gradient_is_the_same_after_memory_ran_out(tiny_llama, monkeypatch, tokens, most) -> None:
    settings = {"micro_batch_tokens": tokens, "use_kl_loss": True, "entropy_coef": 0.01}
    expected = gradient(learner_of(tiny_llama, **settings), eight_rows(), ADVANTAGES, monkeypatch)
    learner = learner_of(tiny_llama, **settings)
    with monkeypatch.context() as patch:
        tried = small_memory(patch, most)
        found = gradient(learner, eight_rows(), ADVANTAGES, patch)
    assert max(tried) > most
    assert tried[-1] <= most
    assert (found - expected).norm() <= 1e-5 * expected.norm()


def test_the_limit_is_remembered_told_once_and_kept_in_a_checkpoint(tiny_llama: Path, monkeypatch) -> None:
    learner = learner_of(tiny_llama, micro_batch_tokens=10**6)
    tried = small_memory(monkeypatch, most=3)
    measured = run(learner, eight_rows(), ADVANTAGES)
    assert learner.micro_batches.max_rows == 3, "half of the seven that have a signal"
    [told] = learner.micro_batches.tell()
    assert "memory ran out with 7 responses" in told
    assert "at most 3" in told
    assert learner.micro_batches.tell() == []
    failed = len(tried)
    again = run(learner, eight_rows(), ADVANTAGES)
    assert all(size <= 3 for size in tried[failed:])
    assert measured["entropy"] == pytest.approx(again["entropy"], rel=0.1), "counted once, not per try"
    resumed = learner_of(tiny_llama, micro_batch_tokens=10**6)
    resumed.load_state_tensors(learner.state_tensors())
    assert resumed.micro_batches.max_rows == 3


def test_single_responses_that_do_not_fit_are_computed_without_kept_activations(
    tiny_llama: Path, monkeypatch
) -> None:
    expected = gradient(learner_of(tiny_llama), eight_rows(), ADVANTAGES, monkeypatch)
    learner = learner_of(tiny_llama)
    original = Policy.logprobs

    def limited(self, part, temperature):
        if torch.is_grad_enabled() and not recomputes_activations(self.module):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return original(self, part, temperature)

    with monkeypatch.context() as patch:
        patch.setattr(Policy, "logprobs", limited)
        found = gradient(learner, eight_rows(), ADVANTAGES, patch)
    assert (found - expected).norm() <= 1e-5 * expected.norm()
    told = learner.micro_batches.tell()
    assert "memory ran out with a single response" in told[-1]
    resumed = learner_of(tiny_llama)
    assert not recomputes_activations(resumed.policy.module)
    resumed.load_state_tensors(learner.state_tensors())
    assert recomputes_activations(resumed.policy.module)


def test_single_responses_that_never_fit_are_an_error(tiny_llama: Path, monkeypatch) -> None:
    learner = learner_of(tiny_llama)
    small_memory(monkeypatch, most=0)
    with pytest.raises(torch.OutOfMemoryError):
        run(learner, eight_rows(), ADVANTAGES)
    assert all(p.grad is None for p in learner.policy.trainable().values()), "no half gradient stays"


def test_other_errors_are_no_lack_of_memory() -> None:
    cpu = RuntimeError("[enforce fail at alloc_cpu.cpp:127] data. DefaultCPUAllocator: can't allocate memory")
    assert is_out_of_memory(cpu)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ModelError("memory"))
