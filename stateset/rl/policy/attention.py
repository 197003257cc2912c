"""Attention with a layout: the one hook through which every architecture shares a prompt within its group.

`ATTENTION` is registered with transformers; a model that uses it calls the `layout` object of the call's
keyword arguments, or ordinary scaled-dot-product attention where there is none. A layout decides which tokens
see which, so the same Hugging Face module runs packed groups in training and a cached token step in the
rollout. Not done here: layers whose sliding window is shorter than the row, logit soft-capping inside
attention, attention sinks and linear attention; such models take plain rows (see `forward.py`).
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "stateset_rl_layout"


class Layout(Protocol):
    """Decides how the tokens of one forward attend to each other."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """[B, heads, T, dim] and [B, kv_heads, T, dim] twice -> [B, T, heads, dim]."""
        ...


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    layout: Layout | None = kwargs.pop("layout", None)
    if layout is None:
        result: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **kwargs
        )
        return result
    scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
    return layout.attend(module.layer_idx, query, key, value, scaling), None  # type: ignore[arg-type]


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)

# A four-dimensional mask is handed through as it is, so transformers builds none of its own; layouts never
# read it.
NO_MASK = torch.zeros(1, 1, 1, 1)
_FUSED = "_scaled_dot_product_flash_attention_for_cpu"  # torch's own, but private


def fold_heads(query: Tensor, kv_heads: int) -> Tensor:
    """[B, heads, T, dim] -> [B, kv_heads, heads / kv_heads * T, dim]: a group's query heads become rows."""
    return query.reshape(query.shape[0], kv_heads, -1, query.shape[-1])


def attention_part(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attention to some of the keys, and what it takes to add that to others (see `merged`).

    Args:
        query: [B, heads, T, dim].
        key: [B, heads, K, dim].
        value: [B, heads, K, dim].
        scaling: of the scores.
        bias: added to the scores; broadcasts to [B, heads, T, K].
    Returns:
        The weighted values [B, heads, T, dim], and the logarithm of the sum of exponentials of the scores
        [B, heads, T] in float32.
    """
    if query.device.type == "cpu" and hasattr(torch.ops.aten, _FUSED):
        fused = getattr(torch.ops.aten, _FUSED)
        out, total = fused(query, key, value, 0.0, False, attn_mask=bias, scale=scaling)
        return out, total
    scores = (query * scaling @ key.mT).float()
    scores = scores if bias is None else scores + bias
    return scores.softmax(-1).to(value.dtype) @ value, scores.logsumexp(-1)


def merged(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """Attention to the keys of two parts [B, heads, T, dim], from `attention_part` of each."""
    (out, total), (other, other_total) = first, second
    share = torch.sigmoid(other_total - total)[..., None]
    return torch.lerp(out, other, share.to(out.dtype))


class SharedPrefix:
    """One packed row: the prompts of G groups, then B responses that see their group's prompt and themselves.

    The row holds every prompt once, then each response without its last token (nothing is predicted from it).
    `positions` [1, N] continue from the prompt's length; `predictors` [B, T] index the packed token that
    predicts each response token.
    """

    def __init__(
        self, prompt_lengths: Tensor, response_lengths: Tensor, groups: Tensor, dtype: torch.dtype
    ) -> None:
        device = groups.device
        inputs = (response_lengths - 1).clamp(min=0)
        prompt_starts = prompt_lengths.cumsum(0) - prompt_lengths
        response_starts = inputs.cumsum(0) - inputs + prompt_lengths.sum()
        prompt_steps = torch.arange(int(prompt_lengths.max()), device=device)
        steps = torch.arange(int(inputs.max()) if len(inputs) else 0, device=device)
        prompt_valid = prompt_steps < prompt_lengths[:, None]
        valid = steps < inputs[:, None]
        self.groups = groups
        self.prompt_index = torch.where(prompt_valid, prompt_starts[:, None] + prompt_steps, 0)
        self.response_index = torch.where(valid, response_starts[:, None] + steps, 0)
        self.order = torch.cat(
            [
                (torch.nonzero(prompt_valid.flatten()).flatten()),
                (torch.nonzero(valid.flatten()).flatten() + prompt_valid.numel()),
            ]
        )
        prompt_positions = prompt_steps.expand_as(prompt_valid)[prompt_valid]
        positions = (prompt_lengths[groups][:, None] + steps)[valid]
        self.positions = torch.cat([prompt_positions, positions])[None]
        ends = prompt_starts + prompt_lengths - 1
        self.predictors = torch.cat([ends[groups][:, None], response_starts[:, None] + steps], dim=1)
        sees_prompt = (prompt_steps < prompt_lengths[groups][:, None])[:, None].expand(-1, len(steps), -1)
        sees_own = (steps[:, None] >= steps).expand(len(groups), -1, -1)
        allowed = torch.cat([sees_prompt, sees_own], dim=-1)[:, None]
        self.bias = torch.zeros(allowed.shape, dtype=dtype, device=device).masked_fill_(
            ~allowed, float("-inf")
        )
        self._folded: Tensor | None = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """[1, heads, N, dim] -> [1, N, heads, dim]; `layer` is not needed, nothing is cached."""
        heads, kv_heads = query.shape[1], key.shape[1]

        def rows(tensor: Tensor, index: Tensor) -> Tensor:  # [1, h, N, d] -> [rows, h, steps, d]
            return tensor[0, :, index].transpose(0, 1)

        prompt_key, prompt_value = rows(key, self.prompt_index), rows(value, self.prompt_index)
        prompt_out = F.scaled_dot_product_attention(
            rows(query, self.prompt_index), prompt_key, prompt_value,
            is_causal=True, scale=scaling, enable_gqa=heads != kv_heads,
        )  # fmt: skip
        flat = [prompt_out.transpose(1, 2).flatten(0, 1)]
        if self.response_index.numel():
            flat.append(self._responses(query, key, value, prompt_key, prompt_value, scaling))
        return torch.cat(flat)[self.order][None]

    def _responses(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        prompt_key: Tensor,
        prompt_value: Tensor,
        scaling: float,
    ) -> Tensor:
        heads, kv_heads, dim = query.shape[1], key.shape[1], query.shape[-1]
        index = self.response_index
        folded = fold_heads(query[0, :, index].transpose(0, 1), kv_heads)
        keys = torch.cat([prompt_key[self.groups], key[0, :, index].transpose(0, 1)], dim=2)
        values = torch.cat([prompt_value[self.groups], value[0, :, index].transpose(0, 1)], dim=2)
        if self._folded is None:
            self._folded = self.bias.repeat(1, 1, heads // kv_heads, 1)
        out = F.scaled_dot_product_attention(folded, keys, values, attn_mask=self._folded, scale=scaling)
        return out.reshape(len(index), heads, -1, dim).transpose(1, 2).flatten(0, 1)
