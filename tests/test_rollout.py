"""The native engine: samples what transformers would, one prefill a prompt, each response by its own seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import ARCHITECTURES, write_tokenizer

from stateset.rl.errors import ConfigError
from stateset.rl.policy import attention
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.load import load_policy
from stateset.rl.rollout import decoders, packed
from stateset.rl.rollout.engine import Completion, Request, Sampling
from stateset.rl.rollout.model import Model
from stateset.rl.rollout.native import NativeEngine
from stateset.rl.rollout.sample import draw, permutation, sample_seed, uniforms
from stateset.rl.types import Rollout, RolloutGroup, Task

STOP = frozenset({97})


def requests(counts=(4, 1, 3), lengths=(9, 21, 2)) -> list[Request]:
    return [
        Request(
            prompt_ids=tuple((7 * i + 3 * t) % 95 for t in range(length)),
            seeds=tuple(sample_seed(5, "test", 0, str(i), s) for s in range(count)),
        )
        for i, (count, length) in enumerate(zip(counts, lengths, strict=True))
    ]


def sample(engine: NativeEngine, rows: list[Request], **settings) -> dict[tuple[int, int], Completion]:
    sampling = Sampling(**{"temperature": 1.0, "max_tokens": 20, "stop_ids": STOP} | settings)
    return {(c.request, c.sample): c for c in engine.generate(rows, sampling)}


def engine_for(folder: Path, dtype: str = "fp32", **settings) -> NativeEngine:
    policy = load_policy(str(folder), device="cpu", dtype=dtype, **settings)
    engine = NativeEngine(policy)
    engine.load_weights(policy)
    return engine


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_is_transformers_greedy(tiny_models, architecture) -> None:
    engine = engine_for(tiny_models[architecture])
    module = engine.policy.module.eval()
    rows = requests(counts=(1, 1, 1))
    found = sample(engine, rows, temperature=0.0)
    for (index, _), completion in found.items():
        ids = torch.tensor([rows[index].prompt_ids])
        expected = module.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=20,
            do_sample=False,
            eos_token_id=97,
            pad_token_id=97,
        )[0, ids.shape[1] :].tolist()
        assert list(completion.token_ids) == expected
        assert completion.stopped == (expected[-1] == 97)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sampler_agrees_with_trainer(tiny_models, architecture) -> None:
    engine = engine_for(tiny_models[architecture])
    rows = requests()
    found = sample(engine, rows, temperature=0.8)
    assert len({len(c.token_ids) for c in found.values()}) > 1  # rows left at different times
    groups = [
        RolloutGroup(
            task=Task(id=str(i), prompt=""), prompt_ids=row.prompt_ids,
            rollouts=tuple(
                Rollout(sample=s, text="", token_ids=found[i, s].token_ids,
                        loss_mask=(1,) * len(found[i, s].token_ids),
                        sampler_logprobs=found[i, s].logprobs, stop_reason="")
                for s in range(len(row.seeds))
            ),
        )
        for i, row in enumerate(rows)
    ]  # fmt: skip
    batch = Batch.from_groups(groups)
    with torch.no_grad():
        logprobs, _ = engine.policy.logprobs(batch, 0.8)
    assert (logprobs - batch.sampler_logprobs).abs().max() <= 1e-3
    assert (logprobs - batch.sampler_logprobs).abs().sum() / batch.mask.sum() <= 1e-4


def test_a_response_is_the_same_in_any_batch(tiny_llama) -> None:
    engine = engine_for(tiny_llama)
    rows = requests()
    together = sample(engine, rows)
    for index, row in enumerate(rows):
        for number, seed in enumerate(row.seeds):
            alone = sample(engine, [Request(prompt_ids=row.prompt_ids, seeds=(seed,))])
            assert alone[0, 0].token_ids == together[index, number].token_ids
    backwards = sample(engine, rows[::-1])
    assert all(backwards[2 - i, s].token_ids == c.token_ids for (i, s), c in together.items())


def test_one_row_at_a_time_changes_nothing(tiny_llama, monkeypatch) -> None:
    engine = engine_for(tiny_llama)
    together = sample(engine, requests())
    monkeypatch.setattr(decoders, "CACHE_BYTES", 1)
    monkeypatch.setattr(decoders, "PREFILL_TOKENS", 1)
    for engine.policy.shares_prefix in (True, False):
        apart = sample(engine, requests())
        assert {k: c.token_ids for k, c in apart.items()} == {k: c.token_ids for k, c in together.items()}


def test_waiting_responses_take_the_places_of_those_that_ended(tiny_llama, monkeypatch) -> None:
    engine = engine_for(tiny_llama)
    rows = requests(counts=(9, 0, 8, 7), lengths=(9, 4, 21, 2))
    often = frozenset(range(8))
    together = sample(engine, rows, stop_ids=often)
    places, prompts = 4, 21 + 9  # rows at once, and the two longest prompts beside them
    size = decoders.bytes_per_token(engine.policy) * (places * 20 + prompts)
    monkeypatch.setattr(decoders, "CACHE_BYTES", size)
    seen: list[tuple[int, ...]] = []
    handle = engine.module.base_model.embed_tokens.register_forward_hook(
        lambda _module, args, _out: seen.append(tuple(args[0].shape))
    )
    found = sample(engine, rows, stop_ids=often)
    handle.remove()
    assert {k: c.token_ids for k, c in found.items()} == {k: c.token_ids for k, c in together.items()}
    for key, completion in found.items():
        torch.testing.assert_close(completion.logprobs, together[key].logprobs, atol=1e-4, rtol=1e-4)
    prefills = sum(rows * length for rows, length in seen if length > 1)
    assert prefills in (9 + 21 + 2, 9 + 21 + 21 + 2), "each prompt once, padded where two begin together"
    steps = [rows for rows, length in seen if length == 1]
    assert max(steps) <= places + 1, "the short prompt leaves room for one more"
    lengths = [len(completion.token_ids) for _, completion in sorted(found.items())]
    in_waves = sum(max(lengths[i : i + places]) - 1 for i in range(0, len(lengths), places))
    assert len(set(lengths)) > 3
    assert len(steps) < in_waves, "nobody waits for the slowest of a wave"


@pytest.mark.parametrize("fused", [True, False])
def test_attention_to_two_parts_is_attention_to_all(fused: bool, monkeypatch) -> None:
    if not fused:
        monkeypatch.setattr(attention, "_FUSED", "not_in_this_torch")
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 5, length, 16, generator=generator) for length in (3, 11, 11))
    bias = torch.zeros(1, 5, 1, 11)
    bias[0, 2, 0, 9:] = float("-inf")
    parts = (
        attention.attention_part(query, key[:, :, at], value[:, :, at], 0.3, bias[..., at])
        for at in (slice(0, 4), slice(4, 11))
    )
    expected = (query @ key.mT * 0.3 + bias).softmax(-1) @ value
    torch.testing.assert_close(attention.merged(*parts), expected)


def test_a_prompt_is_prefilled_once_a_group(tiny_llama) -> None:
    engine = engine_for(tiny_llama)
    seen: list[int] = []
    handle = engine.module.base_model.embed_tokens.register_forward_hook(
        lambda _module, args, _out: seen.append(args[0].numel())
    )
    sample(engine, requests(counts=(8,), lengths=(30,)), max_tokens=4, stop_ids=frozenset())
    handle.remove()
    assert seen == [30, 8, 8, 8]


def test_plain_decoder_samples_the_same(tiny_llama) -> None:
    engine = engine_for(tiny_llama)
    shared = sample(engine, requests())
    engine.policy.shares_prefix = False
    plain = sample(engine, requests())
    assert {k: c.token_ids for k, c in plain.items()} == {k: c.token_ids for k, c in shared.items()}


def test_stop_token_is_part_of_the_response_and_length_is_kept(tiny_llama) -> None:
    found = sample(engine_for(tiny_llama), requests(counts=(8, 8, 8)), max_tokens=40)
    for completion in found.values():
        assert completion.stopped == (completion.token_ids[-1] == 97)
        assert 97 not in completion.token_ids[:-1]
        assert len(completion.token_ids) == len(completion.logprobs)
        assert completion.stopped or len(completion.token_ids) == 40
    assert {c.stopped for c in found.values()} == {True, False}


@pytest.mark.parametrize("lora", [None, 4], ids=["full", "lora"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_engine_follows_the_weights(tiny_llama, dtype, lora) -> None:
    engine = engine_for(tiny_llama, dtype, lora_rank=lora)
    before = sample(engine, requests(), temperature=0.0)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in engine.policy.trainable().values():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    engine.load_weights(engine.policy)
    after = sample(engine, requests(), temperature=0.0)
    fresh = NativeEngine(engine.policy)
    fresh.load_weights(engine.policy)
    assert {k: c.token_ids for k, c in after.items()} != {k: c.token_ids for k, c in before.items()}
    assert {k: c.token_ids for k, c in after.items()} == {
        k: c.token_ids for k, c in sample(fresh, requests(), temperature=0.0).items()
    }


def test_draw_follows_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0]]).repeat(40_000, 1)
    uniform = torch.from_numpy(__import__("numpy").random.default_rng(0).random(40_000, dtype="float32"))
    ids, logprobs = draw(logits, uniform, 2.0)
    expected = (logits[0] / 2.0).softmax(-1)
    shares = torch.bincount(ids, minlength=4) / len(ids)
    assert (shares - expected).abs().max() < 0.01  # four standard errors
    assert torch.allclose(logprobs.exp(), expected[ids])


def test_draw_inverts_the_cumulative_distribution_across_blocks() -> None:
    probabilities = torch.zeros(1500)
    probabilities[[3, 700, 1400]] = torch.tensor([0.25, 0.5, 0.25])
    logits = probabilities.log().repeat(5, 1)
    ids, _ = draw(logits, torch.tensor([0.0, 0.2499, 0.2501, 0.7499, 0.99999]), 1.0)
    assert ids.tolist() == [3, 3, 700, 700, 1400]


def test_seeds_are_a_function_of_their_key() -> None:
    assert sample_seed(0, "rollout", 1, "a", 0) == 12978705064321967400
    keys = [
        (0, "r", 1, "a", 0),
        (1, "r", 1, "a", 0),
        (0, "e", 1, "a", 0),
        (0, "r", 2, "a", 0),
        (0, "r", 1, "b", 0),
        (0, "r", 1, "a", 1),
    ]
    assert len({sample_seed(*key) for key in keys}) == len(keys)
    assert torch.equal(uniforms([1, 2], 9)[1, :4], uniforms([2], 4)[0])
    assert sorted(permutation(9, 4)) == list(range(9))


def test_generate_returns_texts(tiny_llama) -> None:
    model = Model(load_policy(str(tiny_llama), device="cpu", dtype="fp32"))
    answers = model.generate(
        prompt="How should I handle an angry customer?", num_returns=8, max_new_tokens=12
    )
    assert len(answers) == 8
    assert len(set(answers)) > 1
    assert answers == model.generate(
        prompt="How should I handle an angry customer?", num_returns=8, max_new_tokens=12
    )
    assert not any("<|im_end|>" in answer for answer in answers)


def test_several_stop_tokens_and_saved_folder(tiny_llama, tmp_path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    policy = load_policy(str(tiny_llama), device="cpu", dtype="bf16")
    folder = policy.save(tmp_path / "saved")
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.config._attn_implementation == "sdpa"
    assert all(
        torch.equal(a.float(), b.float())
        for a, b in zip(loaded.state_dict().values(), policy.module.state_dict().values(), strict=True)
    )
    assert AutoTokenizer.from_pretrained(folder).chat_template == policy.tokenizer.chat_template
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [5, 97]}))
    assert load_policy(str(folder), device="cpu", dtype="fp32").stop_ids == {5, 97}


def test_adapter_folder_loads_with_its_base(tiny_llama, tmp_path) -> None:
    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32", lora_rank=4)
    with torch.no_grad():
        for name, parameter in policy.trainable().items():
            if "lora_B" in name:
                parameter.normal_()
    again = load_policy(str(policy.save(tmp_path / "adapter")), device="cpu", dtype="fp32")
    rows = requests()
    assert sample(NativeEngine(again), rows) == sample(NativeEngine(policy), rows)


def test_strings_only_without_a_chat_template(tiny_llama, tmp_path) -> None:
    from stateset.rl.errors import ModelError

    policy = load_policy(str(tiny_llama), device="cpu", dtype="fp32")
    policy.save(tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").unlink()
    write_tokenizer(tmp_path / "m", template=None)
    plain = load_policy(str(tmp_path / "m"), device="cpu", dtype="fp32")
    assert plain.decode(plain.encode("hello")) == "hello"
    with pytest.raises(ModelError, match="no chat template"):
        plain.encode([{"role": "user", "content": "hello"}])


def test_bf16_engine_sees_a_small_adapter(tiny_llama) -> None:
    """A change far below a bf16 weight's rounding must reach the sampler as it reaches the trainer."""
    policy = load_policy(str(tiny_llama), device="cpu", dtype="bf16", lora_rank=4)
    engine = NativeEngine(policy)
    engine.load_weights(policy)
    ids = torch.tensor([requests()[1].prompt_ids])

    def outputs() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            return (
                engine.module(ids, use_cache=False).logits.float(),
                policy.module(ids, use_cache=False).logits.float(),
            )

    before = outputs()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in policy.trainable().items():
            if "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter) * 2e-3)
    engine.load_weights(policy)
    ours, theirs = (after - earlier for after, earlier in zip(outputs(), before, strict=True))
    assert theirs.norm() > 0
    assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.9


def test_packed_adapters_compute_what_their_layers_do() -> None:
    """With biases, and a scale that is no power of two; before and after an update."""
    from peft import LoraConfig, inject_adapter_in_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    small = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    module = Qwen2ForCausalLM(Qwen2Config(**small, num_attention_heads=4, num_key_value_heads=2))
    adapter = LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj", "down_proj"])
    module = inject_adapter_in_model(adapter, module).to(torch.bfloat16).eval()
    if not packed.can_pack(torch.bfloat16, torch.device("cpu")):
        pytest.skip("this torch packs no linear layers")
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(0.3 * torch.randn_like(parameter))
    twin = packed.packed_copy(module)
    kinds = [type(layer) for layer in twin.modules()]
    assert kinds.count(packed.PackedLora) == 2 * 3
    assert kinds.count(packed.PackedLinear) == 2 * 4 + 1
    ids = torch.arange(12).view(2, 6)
    for _ in range(2):
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(0.3 * torch.randn_like(parameter))
            wanted = module(ids).logits.float()
        packed.load_packed(twin, ((n, p) for n, p in module.named_parameters() if "lora_" in n))
        with torch.inference_mode():
            found = twin(ids).logits.float()
        assert (found - wanted).norm() < 0.02 * wanted.norm()


@pytest.mark.parametrize("wrong", [{"num_returns": 0}, {"max_new_tokens": 0}, {"temperature": -1.0}])
def test_generate_refuses_numbers_outside_their_range(tiny_llama, wrong) -> None:
    model = Model(load_policy(str(tiny_llama), device="cpu", dtype="fp32"))
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        model.generate("hello", **wrong)
