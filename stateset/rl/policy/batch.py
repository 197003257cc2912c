"""Rollouts as tensors: whole groups, responses padded on the right, prompts kept once per group.

Everything is built from lengths, never from token values: `pad == eos` is common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stateset.rl.types import RolloutGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B responses of G groups, padded to T response tokens.

    Attributes:
        prompts: the token ids of each group's prompt, once.
        groups: [B] int64, the row's index into `prompts`; rows of a group are neighbours.
        token_ids: [B, T] int64, 0 behind the end.
        lengths: [B] int64, response tokens, end-of-sequence token included.
        mask: [B, T] float32, 1 where the policy chose the token.
        sampler_logprobs: [B, T] float32, 0 outside the mask.
    """

    prompts: tuple[tuple[int, ...], ...]
    groups: Tensor
    token_ids: Tensor
    lengths: Tensor
    mask: Tensor
    sampler_logprobs: Tensor

    @classmethod
    def from_groups(cls, groups: Sequence[RolloutGroup]) -> Batch:
        """Pad the responses of `groups`; a response without tokens keeps its row, with an empty mask."""
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        width = max((len(r.token_ids) for r in rollouts), default=0)

        def padded(rows: list[tuple[int, ...]] | list[tuple[float, ...]], dtype: torch.dtype) -> Tensor:
            result = torch.zeros(len(rows), width, dtype=dtype)
            for row, values in zip(result, rows, strict=True):
                row[: len(values)] = torch.tensor(values, dtype=dtype)
            return result

        return cls(
            prompts=tuple(group.prompt_ids for group in groups),
            groups=torch.tensor(
                [i for i, group in enumerate(groups) for _ in group.rollouts], dtype=torch.long
            ),
            token_ids=padded([r.token_ids for r in rollouts], torch.long),
            lengths=torch.tensor([len(r.token_ids) for r in rollouts], dtype=torch.long),
            mask=padded([r.loss_mask for r in rollouts], torch.float32),
            sampler_logprobs=padded([r.sampler_logprobs for r in rollouts], torch.float32),
        )

    def rows_of(self, groups: Sequence[int]) -> Tensor:
        """Row indices [b] of the given groups, in the given order."""
        return torch.cat([torch.nonzero(self.groups == g).flatten() for g in groups])

    def take(self, rows: Tensor) -> Batch:
        """The batch of only these rows ([b] indices, those of a group neighbours), with the same width T."""
        numbers, groups = self.groups[rows].unique_consecutive(return_inverse=True)
        return Batch(
            prompts=tuple(self.prompts[g] for g in numbers.tolist()),
            groups=groups,
            token_ids=self.token_ids[rows],
            lengths=self.lengths[rows],
            mask=self.mask[rows],
            sampler_logprobs=self.sampler_logprobs[rows],
        )

    def select(self, groups: Sequence[int]) -> Batch:
        """The batch of only these groups, with the same width T."""
        return self.take(self.rows_of(groups))

    def masked(self, rows: Tensor) -> Batch:
        """The same batch with the mask of every row outside `rows` ([B] bool) empty."""
        return replace(self, mask=self.mask * rows[:, None])

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on `device`."""
        return replace(
            self,
            groups=self.groups.to(device),
            token_ids=self.token_ids.to(device),
            lengths=self.lengths.to(device),
            mask=self.mask.to(device),
            sampler_logprobs=self.sampler_logprobs.to(device),
        )

    def mean(self, values: Tensor) -> Tensor:
        """[B, T] -> [B]: the mean over each response's masked tokens, 0 without any."""
        inside = self.mask.to(values) != 0
        return values.where(inside, 0.0).sum(-1) / inside.sum(-1).clamp(min=1)

    def num_tokens(self, group: int) -> int:
        """Tokens that one forward of this group computes: its prompt once and all of its responses."""
        return len(self.prompts[group]) + int(self.lengths[self.groups == group].sum())
