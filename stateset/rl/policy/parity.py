"""Why a sampler's log-probabilities are not the trainer's, found out by trying the usual causes.

Asked once, in a run's first step, and only where they disagree: then nothing was changed yet.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stateset.rl.policy.batch import Batch
from stateset.rl.policy.policy import Policy

_TEMPERATURES = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0)
_ROUNDING = 0.3  # mean gap that another precision may make
_CUT_OFF = 1.5  # mean gap that a cut-off may make: at most 78 % of the probability is cut off
_ONE_SIDED = 0.9  # a cut-off makes what is left likelier, each token of it
_CLEAR = 5.0  # a cause is named where it makes the gap so many times smaller


@torch.no_grad()
def explain_gap(policy: Policy, batch: Batch, temperature: float) -> str:
    """One sentence on the likeliest cause.

    Args:
        policy: the trainer's model, as it was when the responses were sampled.
        batch: those responses, with the sampler's log-probabilities; one group is enough.
        temperature: that the sampler was asked for.
    """
    inside = batch.mask != 0
    sampled = batch.sampler_logprobs[inside]

    def gap(at: float) -> Tensor:
        return sampled - policy.logprobs(batch, at)[0][inside]

    asked = gap(temperature)
    size = float(asked.abs().mean())
    best = min((t for t in _TEMPERATURES if t != temperature), key=lambda t: float(gap(t).abs().mean()))
    if float(gap(best).abs().mean()) * _CLEAR < size:
        return (
            f"they fit temperature {best:g}, and {temperature:g} was asked for: let the engine report them "
            "of the distribution that it draws from"
        )
    if policy.adapter is not None:
        with policy.adapter.disable_adapter():
            without = float(gap(temperature).abs().mean())
        if without * _CLEAR < size:
            return "they are those of the model without its adapter: hand the adapter to the engine"
    if size < _CUT_OFF and float(asked.mean()) > _ONE_SIDED * size:
        return (
            "the tokens are likelier to the sampler than to the trainer, as with top-p, top-k or min-p, "
            "which the trainer does not know: switch them off"
        )
    if size <= _ROUNDING and float(asked.mean().abs()) * _CLEAR < size:
        return "they differ to both sides alike, as from a coarser precision: compute both in one dtype"
    return (
        "no temperature, adapter or cut-off explains it: the engine has other weights (one that was not "
        "updated?), cached prompts of older weights, or an architecture whose attention it does not know"
    )
