"""The native engine, for a CPU and one GPU: a prompt is prefilled once, all responses decode together.

The n responses of a group read the one key-value cache of their prompt; each has a preallocated cache of its
own for the tokens that it adds. Finished rows leave, several at once. On a bf16 CPU the engine owns a copy of
the model with packed linear layers; elsewhere it computes with the policy's own module. Models without the
attention hook are decoded through transformers' cache, prompts repeated. Not done here: responses joining a
batch that is under way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stateset.rl.policy.attention import NO_MASK
from stateset.rl.policy.logprobs import Head
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.engine import Completion, Request, Sampling
from stateset.rl.rollout.packed import can_pack, load_packed, packed_copy
from stateset.rl.rollout.sample import draw, uniforms

PREFILL_TOKENS = 4096
CACHE_BYTES = 4 * 2**30
_KEEP_SHARE = 0.8  # finished rows leave once no more than this share of the batch goes on


class NativeEngine:
    """Samples with the policy's weights; `load_weights` after each update."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.packs = can_pack(policy.dtype, policy.device)
        self.module = packed_copy(policy.module) if self.packs else policy.module

    @property
    def exact(self) -> bool:
        """Whether sampler and trainer compute alike, so that no rollout correction is needed."""
        return self.policy.dtype == torch.float32

    def load_weights(self, policy: Policy) -> None:
        """Take over the policy's current weights; nothing to do where the module is shared."""
        if self.packs:
            named = policy.module.named_parameters(remove_duplicate=False)
            load_packed(self.module, ((name, p) for name, p in named if p.requires_grad))

    @torch.no_grad()
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield every response; requests that do not fit into the cache together are decoded in turns."""
        was_training = self.module.training
        self.module.eval()
        try:
            for indices in self._waves(requests, sampling):
                chosen = [requests[i] for i in indices]
                longest = max(len(r.prompt_ids) for r in chosen) + sampling.max_tokens
                shares = self.policy.shares_prefix and longest <= self.policy.window
                decoder = _SharedDecoder if shares else _PlainDecoder
                for completion in _decode(decoder(self, chosen, sampling), chosen, sampling):
                    yield Completion(
                        request=indices[completion.request], sample=completion.sample,
                        token_ids=completion.token_ids, logprobs=completion.logprobs,
                        stopped=completion.stopped,
                    )  # fmt: skip
        finally:
            self.module.train(was_training)

    def _waves(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[int]]:
        """Neighbouring requests whose caches fit into `CACHE_BYTES` together."""
        per_token = bytes_per_token(self.policy)
        wave: list[int] = []
        used = 0
        for index, request in enumerate(requests):
            size = per_token * (len(request.prompt_ids) + len(request.seeds) * sampling.max_tokens)
            if wave and used + size > CACHE_BYTES:
                yield wave
                wave, used = [], 0
            wave.append(index)
            used += size
        if wave:
            yield wave

    def head_logits(self, hidden: Tensor) -> Tensor:
        """[B, D] -> [B, V] float32."""
        head: Head = self.policy.head
        return head.capped(self.module.get_output_embeddings()(hidden))


def bytes_per_token(policy: Policy) -> int:
    """What one token takes in the key-value caches of all layers."""
    config = policy.module.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * dim * policy.dtype.itemsize)


def _decode(decoder: Any, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
    """The token loop: draw, record, let finished rows leave, compute the next logits."""
    owners = [(r, s) for r, request in enumerate(requests) for s in range(len(request.seeds))]
    device = decoder.engine.policy.device
    random = uniforms([seed for request in requests for seed in request.seeds], sampling.max_tokens).to(
        device
    )
    stops = torch.tensor(sorted(sampling.stop_ids), device=device)
    token_ids = torch.zeros(len(owners), sampling.max_tokens, dtype=torch.long, device=device)
    logprobs = torch.zeros(len(owners), sampling.max_tokens, device=device)
    rows = torch.arange(len(owners), device=device)  # the response that each row of the batch belongs to
    alive = torch.ones(len(owners), dtype=torch.bool, device=device)
    logits = decoder.first_logits()
    for step in range(sampling.max_tokens):
        ids, chosen = draw(logits, random[rows, step], sampling.temperature)
        token_ids[rows, step], logprobs[rows, step] = ids, chosen
        ends = alive & (torch.isin(ids, stops) | (step + 1 == sampling.max_tokens))
        for row in torch.nonzero(ends).flatten().tolist():
            response = int(rows[row])
            request, sample = owners[response]
            yield Completion(
                request=request, sample=sample, stopped=int(ids[row]) in sampling.stop_ids,
                token_ids=tuple(token_ids[response, : step + 1].tolist()),
                logprobs=tuple(logprobs[response, : step + 1].tolist()),
            )  # fmt: skip
        alive = alive & ~ends
        if not alive.any():
            return
        if alive.sum() <= _KEEP_SHARE * len(rows):
            keep = torch.nonzero(alive).flatten()
            decoder.keep(keep)
            rows, ids, alive = rows[keep], ids[keep], alive[keep]
        logits = decoder.next_logits(ids)


class _SharedDecoder:
    """Prefill and token steps with the prompt's cache shared by its group."""

    def __init__(self, engine: NativeEngine, requests: Sequence[Request], sampling: Sampling) -> None:
        self.engine = engine
        self.requests = requests
        self.layout = _CachedStep(len(requests), sampling.max_tokens)
        self.counts = [len(request.seeds) for request in requests]
        device = engine.policy.device
        self.lengths = torch.tensor([len(r.prompt_ids) for r in requests], device=device)
        self.groups = torch.repeat_interleave(
            torch.arange(len(requests), device=device), torch.tensor(self.counts, device=device)
        )

    def first_logits(self) -> Tensor:
        """Prefill every prompt once, several together up to a token budget; [B, V] for the first tokens."""
        hidden: list[Tensor] = []
        for part in _prefill_parts([len(r.prompt_ids) for r in self.requests]):
            prompts = [torch.tensor(self.requests[i].prompt_ids) for i in part]
            ids = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True).to(self.engine.policy.device)
            positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
            lengths = self.lengths[part]
            states = self._forward(ids, positions, _Prefill(self.layout, lengths.tolist()))
            hidden.append(states[torch.arange(len(part)), lengths - 1])
        self.layout.begin(self.counts)
        return self.engine.head_logits(torch.cat(hidden))[self.groups]

    def next_logits(self, ids: Tensor) -> Tensor:
        """One token step: [B] chosen ids -> [B, V]."""
        positions = self.lengths[self.groups] + self.layout.used
        hidden = self._forward(ids[:, None], positions[:, None], self.layout)
        self.layout.used += 1
        return self.engine.head_logits(hidden[:, 0])

    def keep(self, rows: Tensor) -> None:
        """Drop every row but these."""
        self.groups = self.groups[rows]
        counts = torch.bincount(self.groups, minlength=len(self.requests)).tolist()
        self.layout.keep(rows, counts)

    def _forward(self, ids: Tensor, positions: Tensor, layout: Any) -> Tensor:
        output = self.engine.module.base_model(
            input_ids=ids, attention_mask=NO_MASK, position_ids=positions, use_cache=False, layout=layout
        )
        states: Tensor = output.last_hidden_state
        return states


class _CachedStep:
    """The layout of a token step: each row's one query sees its prompt's cache and the row's own.

    Heads come first everywhere, so that the rows of a prompt, and the query heads that share a key-value
    head, are neighbouring rows of one product.
    """

    def __init__(self, num_prompts: int, max_tokens: int) -> None:
        # layer -> per prompt [kv_heads, P, dim] twice
        self.prompts: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self.own: dict[int, tuple[Tensor, Tensor]] = {}  # layer -> [kv_heads, B, max_tokens, dim] twice
        self.max_tokens = max_tokens
        self.used = 0

    def begin(self, counts: list[int]) -> None:
        """Prefill is over: `counts` rows a prompt follow."""
        self._split(counts)

    def _split(self, counts: list[int]) -> None:
        self.spans: list[tuple[int, int, int]] = []  # prompt, first row, row behind the last
        start = 0
        for prompt, count in enumerate(counts):
            if count:
                self.spans.append((prompt, start, start + count))
            start += count

    def keep(self, rows: Tensor, counts: list[int]) -> None:
        """Only these rows go on."""
        self.own = {layer: (keys[:, rows], values[:, rows]) for layer, (keys, values) in self.own.items()}
        self._split(counts)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Append the new keys and values, then attend: [B, heads, 1, dim] -> [B, 1, heads, dim]."""
        rows, heads, _, dim = query.shape
        kv_heads = key.shape[1]
        r = heads // kv_heads
        if layer not in self.own:
            shape = (kv_heads, rows, self.max_tokens, dim)
            self.own[layer] = (key.new_empty(shape), value.new_empty(shape))
        keys, values = self.own[layer]
        keys[:, :, self.used] = key[:, :, 0].transpose(0, 1)
        values[:, :, self.used] = value[:, :, 0].transpose(0, 1)
        own_keys, own_values = (cache[:, :, : self.used + 1].flatten(0, 1) for cache in (keys, values))
        # [kv_heads, B * r, dim]: a row for each query head that shares the key-value head
        folded = (query * scaling).view(rows, kv_heads, r, dim).transpose(0, 1).reshape(kv_heads, -1, dim)
        own_scores = (folded.view(-1, r, dim) @ own_keys.mT).view(kv_heads, rows * r, -1)
        shared, own_weights = [], []
        for prompt, first, behind in self.spans:
            prompt_keys, prompt_values = self.prompts[layer][prompt]
            part = slice(first * r, behind * r)
            scores = torch.cat([folded[:, part] @ prompt_keys.mT, own_scores[:, part]], -1)
            weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
            split = prompt_keys.shape[1]
            shared.append(weights[..., :split] @ prompt_values)
            own_weights.append(weights[..., split:])
        own = torch.cat(own_weights, 1).view(-1, r, self.used + 1) @ own_values
        out = torch.cat(shared, 1) + own.view(kv_heads, rows * r, dim)
        return out.view(kv_heads, rows, r, dim).transpose(0, 1).reshape(rows, 1, heads, dim)


class _Prefill:
    """The layout of a prefill: causal rows, padded on the right; keeps each prompt's keys and values."""

    def __init__(self, cache: _CachedStep, lengths: list[int]) -> None:
        self.cache = cache
        self.lengths = lengths

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """[G, heads, P, dim] -> [G, P, heads, dim]."""
        kept = self.cache.prompts.setdefault(layer, [])
        kept.extend((key[i, :, :n].clone(), value[i, :, :n].clone()) for i, n in enumerate(self.lengths))
        out = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
        )
        return out.transpose(1, 2)


class _PlainDecoder:
    """Token steps through transformers' own cache, prompts repeated and padded on the left."""

    def __init__(self, engine: NativeEngine, requests: Sequence[Request], sampling: Sampling) -> None:
        self.engine = engine
        prompts = [r.prompt_ids for r in requests for _ in r.seeds]
        width = max(map(len, prompts))
        device = engine.policy.device
        self.ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
        self.mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        self.cache: Any = None

    def first_logits(self) -> Tensor:
        """Prefill the repeated prompts; [B, V]."""
        return self._forward(self.ids)

    def next_logits(self, ids: Tensor) -> Tensor:
        """One token step: [B] chosen ids -> [B, V]."""
        self.mask = F.pad(self.mask, (0, 1), value=1)
        return self._forward(ids[:, None])

    def keep(self, rows: Tensor) -> None:
        """Drop every row but these."""
        self.mask = self.mask[rows]
        self.cache.batch_select_indices(rows)

    def _forward(self, ids: Tensor) -> Tensor:
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self.engine.module.base_model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cache = output.past_key_values
        return self.engine.head_logits(output.last_hidden_state[:, -1])


def _prefill_parts(lengths: list[int]) -> Iterator[list[int]]:
    """Neighbouring prompts whose padded rows together stay within `PREFILL_TOKENS`."""
    part: list[int] = []
    for index, length in enumerate(lengths):
        widest = max([length, *(lengths[i] for i in part)])
        if part and widest * (len(part) + 1) > PREFILL_TOKENS:
            yield part
            part = []
        part.append(index)
    if part:
        yield part
