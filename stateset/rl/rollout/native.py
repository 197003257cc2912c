"""The native engine, for a CPU and one GPU: a prompt is prefilled once, all responses decode together.

Rows whose response has ended leave, several at once, and the next waiting responses take their places, as
many as the key-value cache has room for. On a bf16 CPU the engine owns a copy of the model with packed linear
layers; elsewhere it computes with the policy's own module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from stateset.rl.policy.policy import Policy
from stateset.rl.pulse import beat
from stateset.rl.rollout.decoders import PlainDecoder, SharedDecoder
from stateset.rl.rollout.engine import Completion, Request, Sampling
from stateset.rl.rollout.packed import can_pack, load_packed, packed_copy
from stateset.rl.rollout.sample import draw, uniforms

_KEEP_SHARE = 0.8  # ended rows leave once no more than this share of the batch goes on


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
        """Yield every response as it ends; those of earlier requests begin earlier."""
        if not any(request.seeds for request in requests):
            return
        longest = max(len(request.prompt_ids) for request in requests) + sampling.max_tokens
        shares = self.policy.shares_prefix and longest <= self.policy.window
        was_training = self.module.training
        self.module.eval()
        try:
            kind = SharedDecoder if shares else PlainDecoder
            decoder = kind(self.policy, self.module, requests, sampling.max_tokens)
            # autograd's bookkeeping, which the engine's own copy never needs, is a fifth of a small operation
            yield from torch.inference_mode(self.packs)(_decode)(decoder, sampling)
        finally:
            self.module.train(was_training)


def _decode(decoder: SharedDecoder | PlainDecoder, sampling: Sampling) -> Iterator[Completion]:
    """The token loop: let rows leave and join, compute the next logits, draw, record."""
    requests, owners, device = decoder.requests, decoder.owners, decoder.device
    seeds = [seed for request in requests for seed in request.seeds]
    random = uniforms(seeds, sampling.max_tokens).to(device)
    stops = torch.tensor(sorted(sampling.stop_ids), device=device)
    token_ids = torch.zeros(len(owners), sampling.max_tokens, dtype=torch.long, device=device)
    logprobs = torch.zeros(len(owners), sampling.max_tokens, device=device)
    rows = torch.zeros(0, dtype=torch.long, device=device)  # [B] which of `owners`
    ids = last = rows  # [B] the latest token, and its place in the response
    alive = torch.zeros(0, dtype=torch.bool, device=device)  # [B] whether it goes on
    while decoder.joined < len(owners) or alive.any():
        beat()
        entering = range(0)
        if alive.sum() <= _KEEP_SHARE * len(rows):
            keep = torch.nonzero(alive).flatten()
            rows, ids, last, alive = rows[keep], ids[keep], last[keep], alive[keep]
            entering = decoder.regroup(keep, rows)
        logits = [decoder.next_logits(ids, last)] if len(rows) else []
        if entering:
            logits.append(decoder.first_logits(entering))
            new = torch.tensor(entering, device=device)
            rows, last = torch.cat([rows, new]), torch.cat([last, torch.full_like(new, -1)])
            alive = torch.cat([alive, torch.ones_like(new, dtype=torch.bool)])
        last = (last + 1).clamp(max=sampling.max_tokens - 1)  # rows that have ended go on until they leave
        ids, chosen = draw(torch.cat(logits), random[rows, last], sampling.temperature)
        token_ids[rows, last], logprobs[rows, last] = ids, chosen
        ends = alive & (torch.isin(ids, stops) | (last + 1 == sampling.max_tokens))
        for row in torch.nonzero(ends).flatten().tolist():
            response, behind = int(rows[row]), int(last[row]) + 1
            request, sample = owners[response]
            yield Completion(
                request=request, sample=sample, stopped=int(ids[row]) in sampling.stop_ids,
                token_ids=tuple(token_ids[response, :behind].tolist()),
                logprobs=tuple(logprobs[response, :behind].tolist()),
            )  # fmt: skip
        alive = alive & ~ends
