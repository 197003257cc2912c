"""The forward passes of sampling: with a group's prompt computed and cached once, and the ordinary way.

The n responses of a group read the one key-value cache of their prompt; each has a preallocated cache of its
own for the tokens that it adds. Models without the attention hook go through transformers' cache, prompts
repeated; there waiting responses begin once all rows have ended.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stateset.rl.policy.attention import NO_MASK, attention_part, merged
from stateset.rl.policy.logprobs import Head
from stateset.rl.policy.policy import Policy
from stateset.rl.pulse import beat
from stateset.rl.rollout.engine import Request

PREFILL_TOKENS = 4096
CACHE_BYTES = 4 * 2**30


def bytes_per_token(policy: Policy) -> int:
    """What one token takes in the key-value caches of all layers."""
    config = policy.module.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * dim * policy.dtype.itemsize)


class _Decoder:
    """What both share. A row is a response that is being decoded; rows are in the order of `owners`.

    Args:
        policy: whose head and precision are used.
        module: the model that computes, the policy's or a copy of it.
        requests: what is asked for.
        max_tokens: most tokens a response.
    """

    def __init__(
        self, policy: Policy, module: nn.Module, requests: Sequence[Request], max_tokens: int
    ) -> None:
        self.module, self.requests, self.max_tokens = module, requests, max_tokens
        self.device = policy.device
        self.head: Head = policy.head
        self.room = CACHE_BYTES // bytes_per_token(policy)  # tokens that may be cached
        self.owners = [(r, s) for r, request in enumerate(requests) for s in range(len(request.seeds))]
        self.joined = 0  # responses that have become rows, in the order of `owners`

    def logits(self, hidden: Tensor) -> Tensor:
        """[B, D] -> [B, V] float32."""
        return self.head.capped(self.module.get_output_embeddings()(hidden))  # type: ignore[operator]


class SharedDecoder(_Decoder):
    """Prefill and token steps with the prompt's cache shared by its group."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.groups = torch.zeros(0, dtype=torch.long, device=self.device)  # [B] the request of each row
        self.lengths = torch.tensor([len(r.prompt_ids) for r in self.requests], device=self.device)
        self.of_response = torch.tensor([r for r, _ in self.owners], device=self.device)
        self.layout = _CachedStep(self.max_tokens)
        self.hidden: dict[int, Tensor] = {}  # request -> [D] behind its prompt, while some responses wait

    def regroup(self, keep: Tensor, responses: Tensor) -> range:
        """Drop every row but `keep`, which are `responses`; return the waiting ones that fit in."""
        self.groups = self.of_response[responses]
        self.layout.keep(keep)
        held = self._split()
        used = len(responses) * self.max_tokens + sum(len(self.requests[r].prompt_ids) for r in held)
        behind = self.joined
        for request, _ in self.owners[self.joined :]:
            used += self.max_tokens + (0 if request in held else len(self.requests[request].prompt_ids))
            if used > self.room and len(responses) + behind - self.joined:
                break
            held.add(request)
            behind += 1
        return range(self.joined, behind)

    def first_logits(self, responses: range) -> Tensor:
        """These responses join as rows: [n, V] for their first tokens."""
        self.joined = responses.stop
        groups = self.of_response[list(responses)]
        prompts, of_row = torch.unique_consecutive(groups, return_inverse=True)
        self._prefill([p for p in prompts.tolist() if p not in self.hidden])
        hidden = torch.stack([self.hidden[p] for p in prompts.tolist()])
        waiting = {p for p, _ in self.owners[self.joined : self.joined + 1]}
        self.hidden = {p: state for p, state in self.hidden.items() if p in waiting}
        self.groups = torch.cat([self.groups, groups])
        self.layout.join(len(responses))
        self._split()
        return self.logits(hidden)[of_row]

    def next_logits(self, ids: Tensor, last: Tensor) -> Tensor:
        """One token step.

        Args:
            ids: [B] each row's latest token.
            last: [B] its place in the response.
        Returns:
            [B, V] for the next tokens.
        """
        self.layout.at(last)
        positions = self.lengths[self.groups] + last
        return self.logits(self._forward(ids[:, None], positions[:, None], self.layout)[:, 0])

    def _split(self) -> set[int]:
        """Forget the prompts that are done with; return the others."""
        needed = {*self.groups.tolist(), *self.hidden}
        self.layout.split(self.groups.tolist(), needed)
        return needed

    def _prefill(self, prompts: list[int]) -> None:
        """Each prompt once, several together up to a token budget."""
        for part in _prefill_parts(prompts, self.requests):
            beat()
            lengths = [len(self.requests[r].prompt_ids) for r in part]
            ids = torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(self.requests[r].prompt_ids) for r in part], batch_first=True
            ).to(self.device)
            positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
            states = self._forward(ids, positions, _Prefill(self.layout, part, lengths))
            for row, (request, length) in enumerate(zip(part, lengths, strict=True)):
                self.hidden[request] = states[row, length - 1].clone()

    def _forward(self, ids: Tensor, positions: Tensor, layout: Any) -> Tensor:
        output = self.module.base_model(  # type: ignore[operator]
            input_ids=ids, attention_mask=NO_MASK, position_ids=positions, use_cache=False, layout=layout
        )
        states: Tensor = output.last_hidden_state
        return states


class _CachedStep:
    """The layout of a token step: each row's one query sees its prompt's cache and the row's own.

    Heads come first everywhere, so that the rows of a prompt, and the query heads that share a key-value
    head, are neighbouring rows of one product.
    """

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        # layer -> prompt -> [kv_heads, P, dim] twice
        self.prompts: dict[int, dict[int, tuple[Tensor, Tensor]]] = {}
        self.own: dict[int, tuple[Tensor, Tensor]] = {}  # layer -> [kv_heads, B, max_tokens, dim] twice
        self.spans: list[tuple[int, int, int]] = []  # prompt, first row, row behind the last

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        for layer, (keys, values) in self.own.items():
            self.own[layer] = keys[:, rows], values[:, rows]

    def join(self, count: int) -> None:
        """`count` rows come in addition."""
        for layer, caches in self.own.items():
            keys, values = (
                torch.cat([cache, cache.new_zeros(len(cache), count, *cache.shape[2:])], 1)
                for cache in caches
            )
            self.own[layer] = keys, values

    def split(self, groups: list[int], needed: set[int]) -> None:
        """`groups` are the rows' prompts, neighbours together; only the `needed` prompts stay."""
        self.spans, start = [], 0
        for prompt, rows in groupby(groups):
            behind = start + len(list(rows))
            self.spans.append((prompt, start, behind))
            start = behind
        self.prompts = {
            layer: {prompt: cached[prompt] for prompt in needed} for layer, cached in self.prompts.items()
        }

    def at(self, last: Tensor) -> None:
        """The coming token step's places in the rows' caches: [B]."""
        self.last = last
        least, most = (int(end) for end in torch.aminmax(last))
        self.width = most + 1
        self.even = least == most
        unwritten = torch.arange(self.width, device=last.device) > last[:, None]
        bias = torch.zeros(unwritten.shape, device=last.device).masked_fill_(unwritten, float("-inf"))
        self.bias = None if self.even else bias[None, :, None]  # [1, B, 1, width]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Write the new keys and values, then attend: [B, heads, 1, dim] -> [B, 1, heads, dim]."""
        rows, heads, _, dim = query.shape
        kv_heads = key.shape[1]
        r = heads // kv_heads
        if layer not in self.own:  # zeros: what no token has written yet is weighted by nothing, not NaN
            shape = (kv_heads, rows, self.max_tokens, dim)
            self.own[layer] = (key.new_zeros(shape), value.new_zeros(shape))
        own = self.own[layer]
        for cache, new in zip(own, (key, value), strict=True):
            if self.even:
                cache[:, :, self.width - 1] = new[:, :, 0].transpose(0, 1)
            else:
                cache[:, torch.arange(rows, device=new.device), self.last] = new[:, :, 0].transpose(0, 1)
        folded = query.view(rows, kv_heads, r, dim).transpose(0, 1)  # [kv_heads, B, r, dim]
        own_keys, own_values = (cache[:, :, : self.width] for cache in own)
        own_part = attention_part(folded, own_keys, own_values, scaling, self.bias)
        shared = []
        for prompt, first, behind in self.spans:
            keys, values = self.prompts[layer][prompt]
            of_prompt = folded[:, None, first:behind].flatten(2, 3)
            shared.append(attention_part(of_prompt, keys[:, None], values[:, None], scaling))
        out, total = (torch.cat(parts, 2) for parts in zip(*shared, strict=True))
        out = merged(own_part, (out.view(folded.shape), total.view(own_part[1].shape)))
        return out.transpose(0, 1).reshape(rows, 1, heads, dim)


class _Prefill:
    """The layout of a prefill: causal rows, padded on the right; keeps each prompt's keys and values."""

    def __init__(self, cache: _CachedStep, prompts: list[int], lengths: list[int]) -> None:
        self.cache, self.prompts, self.lengths = cache, prompts, lengths

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """[G, heads, P, dim] -> [G, P, heads, dim]."""
        cached = self.cache.prompts.setdefault(layer, {})
        for row, (prompt, length) in enumerate(zip(self.prompts, self.lengths, strict=True)):
            cached[prompt] = (key[row, :, :length].clone(), value[row, :, :length].clone())
        out = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
        )
        return out.transpose(1, 2)


class PlainDecoder(_Decoder):
    """Token steps through transformers' own cache, prompts repeated and padded on the left."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.width = max(len(request.prompt_ids) for request in self.requests)
        self.mask = torch.zeros(0, self.width, dtype=torch.long, device=self.device)
        self.cache: Any = None
        takes = inspect.signature(self.module.base_model.forward).parameters  # type: ignore[union-attr]
        self.cache_name = "cache" if "cache" in takes else "past_key_values"  # up to transformers 5.19+

    def regroup(self, keep: Tensor, responses: Tensor) -> range:
        """Drop every row but `keep`; return the waiting ones that may begin, none while there are rows."""
        if len(responses):
            self.mask = self.mask[keep]
            self.cache.batch_select_indices(keep)
            return range(0)
        count = max(1, self.room // (self.width + self.max_tokens))
        return range(self.joined, min(self.joined + count, len(self.owners)))

    def first_logits(self, responses: range) -> Tensor:
        """These responses become the rows: [B, V] for their first tokens."""
        self.joined = responses.stop
        prompts = [self.requests[self.owners[i][0]].prompt_ids for i in responses]
        padded = [[(0, 0)] * (self.width - len(p)) + [(token, 1) for token in p] for p in prompts]
        ids, self.mask = torch.tensor(padded, device=self.device).unbind(-1)
        self.cache = None
        return self._forward(ids)

    def next_logits(self, ids: Tensor, last: Tensor) -> Tensor:
        """One token step: the rows' latest tokens [B] -> [B, V]; `last` is known from the cache."""
        self.mask = F.pad(self.mask, (0, 1), value=1)
        return self._forward(ids[:, None])

    def _forward(self, ids: Tensor) -> Tensor:
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self.module.base_model(  # type: ignore[operator]
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            use_cache=True,
            **{self.cache_name: self.cache},
        )
        self.cache = output[self.cache_name]
        return self.logits(output.last_hidden_state[:, -1])


def _prefill_parts(prompts: list[int], requests: Sequence[Request]) -> Iterator[list[int]]:
    """Neighbouring prompts whose padded rows together stay within `PREFILL_TOKENS`."""
    part: list[int] = []
    widest = 0
    for prompt in prompts:
        widest = max(widest, len(requests[prompt].prompt_ids))
        if part and widest * (len(part) + 1) > PREFILL_TOKENS:
            yield part
            part, widest = [], len(requests[prompt].prompt_ids)
        part.append(prompt)
    if part:
        yield part
