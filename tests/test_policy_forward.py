"""Identity 4: the shared-prefix forward equals plain rows; and nothing but chosen tokens reaches the loss."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from conftest import ARCHITECTURES, write_model

from stateset.rl.policy.batch import Batch
from stateset.rl.policy.forward import plain_logprobs, shared_logprobs
from stateset.rl.policy.load import load_policy
from stateset.rl.policy.logprobs import Head, token_logprobs
from stateset.rl.policy.micro_batches import MicroBatches
from stateset.rl.policy.policy import Policy
from stateset.rl.types import Rollout, RolloutGroup, Task


def make_batch(
    prompts=(17, 5, 30), responses=((7, 1, 12), (3,), (9, 9, 4, 0)), seed=0, vocabulary=98
) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(0, vocabulary, (count,), generator=generator).tolist())

    groups = []
    for number, (length, counts) in enumerate(zip(prompts, responses, strict=True)):
        rollouts = tuple(
            Rollout(
                sample=i,
                text="",
                token_ids=ids(n),
                loss_mask=(1,) * n,
                sampler_logprobs=(0.0,) * n,
                stop_reason="stop",
            )
            for i, n in enumerate(counts)
        )
        groups.append(
            RolloutGroup(task=Task(id=str(number), prompt=""), prompt_ids=ids(length), rollouts=rollouts)
        )
    return Batch.from_groups(groups)


def gradients(
    policy: Policy, forward, batch: Batch, split: int | None = None, max_rows: int | None = None
) -> dict[str, torch.Tensor]:
    """Gradient of a fixed random linear functional of log-probabilities and entropies."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(batch.mask.shape, generator=generator)
    for rows in MicroBatches(split or 10**9, max_rows).split(batch, range(len(batch.prompts))):
        logprobs, entropy = forward(policy.module, policy.head, batch.take(rows), 0.7)
        ((logprobs + 0.3 * entropy) * weights[rows]).sum().backward()
    found = {name: p.grad.clone() for name, p in policy.trainable().items()}
    policy.module.zero_grad()
    return found


def assert_close(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    total = torch.stack([(left[n] - right[n]).square().sum() for n in left]).sum()
    scale = torch.stack([right[n].square().sum() for n in left]).sum()
    assert (total / scale).sqrt() <= 1e-4
    for name in left:
        assert (left[name] - right[name]).norm() <= 1e-3 * right[name].norm() + 1e-7, name


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("lora", [None, 4], ids=["full", "lora"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shared_prefix_equals_plain_rows(tiny_models, architecture, lora, checkpointing) -> None:
    policy = load_policy(
        str(tiny_models[architecture]),
        device="cpu",
        dtype="fp32",
        lora_rank=lora,
        gradient_checkpointing=checkpointing,
    )
    assert policy.shares_prefix
    assert not policy.notices
    if lora:  # B = 0 would hide A's gradient
        for name, parameter in policy.trainable().items():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    batch = make_batch()
    with torch.no_grad():
        shared, entropy = shared_logprobs(policy.module, policy.head, batch, 0.7)
        plain, plain_entropy = plain_logprobs(policy.module, policy.head, batch, 0.7)
    assert torch.allclose(shared, plain, atol=2e-5)
    assert torch.allclose(entropy, plain_entropy, atol=2e-5)
    reference = gradients(policy, plain_logprobs, batch)
    assert_close(gradients(policy, shared_logprobs, batch), reference)
    assert_close(gradients(policy, shared_logprobs, batch, split=1), reference)
    assert_close(gradients(policy, shared_logprobs, batch, max_rows=2), reference)


@torch.no_grad()
def test_plain_rows_are_what_transformers_computes(tiny_llama) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    batch = make_batch()
    logprobs, entropy = policy.logprobs(batch, 1.0)
    for row, (group, length) in enumerate(zip(batch.groups.tolist(), batch.lengths.tolist(), strict=True)):
        ids = torch.cat([torch.tensor(batch.prompts[group]), batch.token_ids[row, :length]])
        table = policy.module(ids[None], use_cache=False).logits[0].log_softmax(-1)
        start = len(batch.prompts[group])
        for step in range(length):
            line = table[start + step - 1]
            assert logprobs[row, step] == pytest.approx(float(line[ids[start + step]]), abs=1e-5)
            assert entropy[row, step] == pytest.approx(float(-(line.exp() * line).sum()), abs=1e-4)
        assert not logprobs[row, length:].any()


def test_result_ignores_width_and_content_behind_the_end(tiny_llama) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    batch = make_batch()
    wide = dataclasses.replace(
        batch,
        token_ids=torch.nn.functional.pad(batch.token_ids, (0, 6), value=97),
        mask=torch.nn.functional.pad(batch.mask, (0, 6)),
        sampler_logprobs=torch.nn.functional.pad(batch.sampler_logprobs, (0, 6), value=float("nan")),
    )
    behind = torch.arange(wide.token_ids.shape[1]) >= wide.lengths[:, None]
    wide = dataclasses.replace(wide, token_ids=wide.token_ids.masked_fill(behind, 41))
    width = batch.token_ids.shape[1]
    assert torch.allclose(policy.logprobs(wide, 1.0)[0][:, :width], policy.logprobs(batch, 1.0)[0], atol=1e-6)


def test_tool_tokens_are_read_and_never_trained(tiny_llama) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    batch = make_batch()
    mask = batch.mask.clone()
    mask[0, 2:4] = 0  # as if a tool had written these two
    masked, _ = policy.logprobs(dataclasses.replace(batch, mask=mask), 1.0)
    full, _ = policy.logprobs(batch, 1.0)
    assert torch.allclose(masked[mask.bool()], full[mask.bool()], atol=1e-6)
    assert not masked[0, 2:4].any()


def test_temperature_is_inside_the_logprob(tiny_llama) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    hidden = torch.randn(5, 48)
    targets = torch.tensor([1, 2, 3, 4, 5])
    logits = hidden @ policy.head.weight.T
    for temperature in (0.5, 1.0, 2.0):
        ours, _ = token_logprobs(hidden, targets, policy.head, temperature)
        expected = (logits / temperature).log_softmax(-1)[torch.arange(5), targets]
        assert torch.allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("kept", [0, 10**6], ids=["recomputed", "kept"])
@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.4, None), (1.0, 5.0), (1.7, 3.0)])
def test_chunked_head_has_the_gradient_of_the_whole_one(monkeypatch, scale, softcap, kept) -> None:
    monkeypatch.setattr("stateset.rl.policy.logprobs.CHUNK_TOKENS", 3)
    monkeypatch.setattr("stateset.rl.policy.logprobs.CACHE_BYTES", 2 * 4 * 11)  # two rows at once
    monkeypatch.setattr("stateset.rl.policy.logprobs.KEPT_BYTES", kept)
    torch.manual_seed(0)
    hidden = torch.randn(7, 6, requires_grad=True)
    weight = torch.randn(11, 6, requires_grad=True)
    bias = torch.randn(11, requires_grad=True)
    targets = torch.randint(0, 11, (7,))
    outer = torch.randn(2, 7)

    logits = (hidden @ weight.T + bias) * scale
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    table = (logits / 0.8).log_softmax(-1)
    whole = outer[0] * table[torch.arange(7), targets] - outer[1] * (table.exp() * table).sum(-1)
    sampled = (outer[0] * table[torch.arange(7), targets]).sum()
    logprobs, entropy = token_logprobs(hidden, targets, Head(weight, bias, scale, softcap), 0.8)
    ours = torch.autograd.grad((outer[0] * logprobs + outer[1] * entropy).sum(), (hidden, weight, bias))
    theirs = torch.autograd.grad(whole.sum(), (hidden, weight, bias), retain_graph=True)
    for left, right in zip(ours, theirs, strict=True):
        assert torch.allclose(left, right, atol=1e-5)
    frozen, _ = token_logprobs(
        hidden, targets, Head(weight.detach(), bias.detach(), scale, softcap), temperature=0.8
    )
    [alone] = torch.autograd.grad((outer[0] * frozen).sum(), (hidden,))
    assert torch.allclose(alone, torch.autograd.grad(sampled, (hidden,))[0], atol=1e-5)


def test_a_nearly_certain_token_has_an_exact_gradient_in_bf16() -> None:
    hidden = torch.full((1, 1), 9.0, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.tensor([[1.0], [0.0]], dtype=torch.bfloat16, requires_grad=True)
    logprobs, _ = token_logprobs(hidden, torch.tensor([0]), Head(weight), 1.0)
    _, ours = torch.autograd.grad(logprobs.sum(), (hidden, weight))
    rest = 1 / (1 + math.exp(9.0))  # 1 - p is 1.2e-4; p itself would be rounded to 1
    assert ours.flatten().tolist() == pytest.approx([9 * rest, -9 * rest], rel=0.01)


def test_short_window_takes_plain_rows(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", "mistral", sliding_window=24)
    policy = load_policy(str(folder), device="cpu", dtype="fp32")
    [notice] = policy.notices
    assert "plain path" in notice
    assert "more than 24 tokens" in notice
    batch = make_batch()  # 30 + 9 tokens do not fit the window of 24
    plain, _ = plain_logprobs(policy.module, policy.head, batch, 1.0)
    assert torch.equal(policy.logprobs(batch, 1.0)[0], plain)
    shared, _ = shared_logprobs(policy.module, policy.head, batch, 1.0)
    assert not torch.allclose(shared, plain, atol=1e-3)


def test_model_without_the_hook_takes_plain_rows(tmp_path: Path) -> None:
    import transformers

    config = transformers.MambaConfig(
        hidden_size=32, num_hidden_layers=2, vocab_size=98, state_size=4, eos_token_id=97, pad_token_id=97
    )
    from conftest import write_tokenizer

    transformers.MambaForCausalLM(config).save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    policy = load_policy(str(tmp_path), device="cpu", dtype="fp32")
    assert not policy.shares_prefix
    assert "plain path" in policy.notices[0]
    assert policy.logprobs(make_batch(), 1.0)[0].shape == make_batch().mask.shape


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, 8], ids=["full", "lora"])
def test_smollm2_shared_prefix_equals_plain_rows(lora) -> None:
    policy = load_policy("smollm2-135m", device="cpu", dtype="fp32", lora_rank=lora)
    batch = make_batch(prompts=(40, 25), responses=((12, 5, 1), (9, 9)), vocabulary=49_000)
    with torch.no_grad():
        shared, _ = shared_logprobs(policy.module, policy.head, batch, 1.0)
        plain, _ = plain_logprobs(policy.module, policy.head, batch, 1.0)
    assert torch.allclose(shared, plain, atol=1e-3)
    assert_close(gradients(policy, shared_logprobs, batch), gradients(policy, plain_logprobs, batch))
