"""The whole reference under one name."""

from reference.advantages import (
    centred_tokens,
    discounted_returns,
    gae,
    gdpo,
    grpo,
    grpo_batch_std,
    grpo_passk,
    maxrl,
    mean_and_variance,
    raw_gae,
    reinforce_plus_plus,
    reinforce_plus_plus_baseline,
    rloo,
)
from reference.kl import full_kl, kl_gradient, kl_value
from reference.losses import cispo, gspo, ppo_clip, reinforce, token_weights

__all__ = [
    "centred_tokens",
    "cispo",
    "discounted_returns",
    "full_kl",
    "gae",
    "gdpo",
    "grpo",
    "grpo_batch_std",
    "grpo_passk",
    "gspo",
    "kl_gradient",
    "kl_value",
    "maxrl",
    "mean_and_variance",
    "ppo_clip",
    "raw_gae",
    "reinforce",
    "reinforce_plus_plus",
    "reinforce_plus_plus_baseline",
    "rloo",
    "token_weights",
]
