"""The training forward: log-probabilities of response tokens, with the prompt computed once per group.

`plain_logprobs` computes every row whole through transformers' own attention; it is the fallback for
architectures that the shared prefix does not serve, and the reference that the tests hold it to.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stateset.rl.policy.attention import NO_MASK, SharedPrefix
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.logprobs import Head, token_logprobs


def shared_logprobs(
    module: PreTrainedModel, head: Head, batch: Batch, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy of every masked response token, each prompt computed once.

    Args:
        module: a causal language model that uses `attention.ATTENTION`.
        head: its output projection.
        batch: whole groups on the module's device.
        temperature: as in sampling.
    Returns:
        [B, T] twice, float32, 0 outside `batch.mask`.
    """
    return scored(shared_hidden(module, head.weight.dtype, batch), head, batch, temperature)


def plain_logprobs(
    module: PreTrainedModel, head: Head, batch: Batch, temperature: float
) -> tuple[Tensor, Tensor]:
    """The same as `shared_logprobs`, one padded row a response."""
    return scored(plain_hidden(module, batch), head, batch, temperature)


def shared_hidden(module: PreTrainedModel, dtype: torch.dtype, batch: Batch) -> Tensor:
    """[N, D]: the last layer's state that predicts each masked response token, row after row."""
    device = batch.token_ids.device
    prompt_lengths = torch.tensor([len(p) for p in batch.prompts], device=device)
    layout = SharedPrefix(prompt_lengths, batch.lengths, batch.groups, dtype)
    steps = torch.arange(batch.token_ids.shape[1], device=device)
    prompt_ids = torch.tensor([token for prompt in batch.prompts for token in prompt], device=device)
    inputs = batch.token_ids[steps < (batch.lengths - 1)[:, None]]
    hidden: Tensor = module.base_model(
        input_ids=torch.cat([prompt_ids, inputs])[None],
        attention_mask=NO_MASK,
        position_ids=layout.positions,
        use_cache=False,
        layout=layout,
    ).last_hidden_state[0]
    return hidden[layout.predictors[torch.nonzero(batch.mask, as_tuple=True)]]


def plain_hidden(module: PreTrainedModel, batch: Batch) -> Tensor:
    """The same as `shared_hidden`, one padded row a response."""
    device = batch.token_ids.device
    lengths = batch.lengths.tolist()
    rows = [
        torch.cat([torch.tensor(batch.prompts[group], device=device), ids[:length]])
        for group, ids, length in zip(batch.groups.tolist(), batch.token_ids, lengths, strict=True)
    ]
    input_ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    row_lengths = torch.tensor([len(row) for row in rows], device=device)
    attention_mask = (torch.arange(input_ids.shape[1], device=device) < row_lengths[:, None]).long()
    output = module.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
    hidden: Tensor = output.last_hidden_state.flatten(0, 1)
    starts = torch.arange(len(rows), device=device) * input_ids.shape[1] + row_lengths - batch.lengths - 1
    steps = torch.arange(int(batch.lengths.max()), device=device)
    return hidden[(starts[:, None] + steps)[torch.nonzero(batch.mask, as_tuple=True)]]


def scored(hidden: Tensor, head: Head, batch: Batch, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies [B, T] from the states [N, D] that predict the masked tokens."""
    targets = batch.token_ids[batch.mask.bool()]
    logprobs, entropy = token_logprobs(hidden, targets, head, temperature)
    return spread(logprobs, batch.mask), spread(entropy, batch.mask)


def spread(values: Tensor, mask: Tensor) -> Tensor:
    """[N] values of the masked tokens -> [B, T], 0 elsewhere."""
    empty = values.new_zeros(mask.shape)
    return empty.masked_scatter(mask.bool(), values)
