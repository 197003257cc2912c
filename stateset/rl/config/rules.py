"""What a setting needs beside it to have an effect: each key acts, is refused, or is reported.

A key that the user gave and that nothing reads is a mistake, refused with the remedy. If a later layer
switched it off (a file sets `kl_loss_coef`, an override says `use_kl_loss=false`), it is only reported.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Switch:
    """A key that other keys need, and what must be written to turn it on."""

    key: str
    remedy: str
    is_on: Callable[[Config], bool]


_KL = Switch("use_kl_loss", "`use_kl_loss: true`", lambda config: config.use_kl_loss)
_LORA = Switch("lora", "`lora: true`", lambda config: config.lora)
_VLLM = Switch("rollout_engine", "`rollout_engine: vllm`", lambda config: config.rollout_engine == "vllm")
_DISTRIBUTED = Switch("distributed", "`distributed: true`", lambda config: config.distributed)
_GRPO = Switch("adv_estimator", "`adv_estimator: grpo`", lambda config: config.adv_estimator == "grpo")
_DISCOUNTED = Switch(
    "adv_estimator",
    "`adv_estimator: reinforce_plus_plus` or gae",
    lambda config: config.adv_estimator in ("reinforce_plus_plus", "gae"),
)
_CRITIC = Switch("adv_estimator", "`adv_estimator: gae`", lambda config: config.adv_estimator == "gae")
_CLIPPED = Switch(
    "loss", "a loss that clips, such as `loss: ppo_clip`", lambda config: config.loss != "reinforce"
)
_DUAL = Switch("loss", "`loss: ppo_clip`", lambda config: config.loss == "ppo_clip")
WIDE_GSPO_CLIP = 0.01  # thirty times the paper's
_KL_LOSS = Switch(
    "use_kl_loss",
    "`use_kl_loss: true` and `kl_placement: loss`",
    lambda config: config.use_kl_loss and config.kl_placement == "loss",
)
_DYNAMIC = Switch("dynamic_sampling", "`dynamic_sampling: true`", lambda config: config.dynamic_sampling)
_COST = Switch("max_cost", "a `max_cost`", lambda config: config.max_cost is not None)
_OVERLONG = Switch("overlong_buffer", "an `overlong_buffer`", lambda config: config.overlong_buffer > 0)

NEEDS: Mapping[str, Switch] = {
    "kl_loss_coef": _KL,
    "kl_loss_type": _KL,
    "kl_placement": _KL,
    "kl_importance": _KL_LOSS,
    "max_gen_batches": _DYNAMIC,
    "price_per_hour": _COST,
    "overlong_penalty": _OVERLONG,
    "lora_rank": _LORA,
    "lora_alpha": _LORA,
    "rollout_server": _VLLM,
    "num_gpus": _DISTRIBUTED,
    "strategy": _DISTRIBUTED,
    "norm_adv_by_std": _GRPO,
    "gamma": _DISCOUNTED,
    "lam": _CRITIC,
    "critic_learning_rate": _CRITIC,
    "value_clip": _CRITIC,
    "clip_ratio": _CLIPPED,
    "clip_ratio_low": _CLIPPED,
    "clip_ratio_high": _CLIPPED,
    "clip_ratio_dual": _DUAL,
}


def acting_values(config: Config) -> dict[str, Any]:
    """Plain values, ready for YAML, of every key that has an effect; read again they make an equal config."""
    values = config.model_dump(mode="json")
    if config.eval_dataset is None and "eval_every" not in config.origins:
        del values["eval_every"]
    return {key: value for key, value in values.items() if key not in NEEDS or NEEDS[key].is_on(config)}


def check(config: Config, rank: Mapping[str, int], origins: Mapping[str, str]) -> tuple[str, ...]:
    """Refuse given keys that nothing reads; return notices about the others.

    Args:
        config: the settings, all layers merged.
        rank: for each given key the layer that set it, later layers higher.
        origins: for each given key where it was written.

    Raises:
        ConfigError: a given key has no effect and no later layer meant it so.
    """
    dead = [key for key in NEEDS if key in rank and not NEEDS[key].is_on(config)]
    complaints = {
        key: f"{origins[key]}: `{key}` has no effect without {NEEDS[key].remedy}"
        for key in dead
        if getattr(config, key) is not None
    }
    refused = [key for key in complaints if rank[key] >= rank.get(NEEDS[key].key, -1)]
    if refused:
        raise ConfigError("\n".join(f"{complaints[key]}: add that, or remove `{key}`." for key in refused))
    silenced = [f"{complaint}." for complaint in complaints.values()]
    return (*silenced, *_value_notices(config), *_clip_notices(config, rank))


def _value_notices(config: Config) -> Iterator[str]:
    responses = config.batch_size * config.rollout_n
    if config.use_kl_loss and config.kl_placement == "loss" and config.kl_loss_type in ("kl", "k1"):
        yield (
            f'kl_loss_type "{config.kl_loss_type}" regularises nothing as a loss: its expected gradient is '
            "zero. Use `kl_loss_type: low_var_kl+`."
        )
    if config.kl_importance and config.updates(responses) == 1:
        yield (
            "kl_importance never acts: with one optimizer update a step the probability ratio is 1; raise "
            "ppo_epochs or lower mini_batch_size for more updates."
        )
    if config.loss == "gspo" and config.loss_agg_mode != "seq-mean-token-mean":
        yield (
            f"loss gspo with loss_agg_mode {config.loss_agg_mode} is not the paper's, where every response "
            "weighs the same. Use `loss_agg_mode: seq-mean-token-mean`."
        )
    if config.loss == "gspo" and max(config.clip_bounds) > WIDE_GSPO_CLIP:
        yield (
            f"loss gspo with clip bounds {config.clip_bounds} hardly ever clips: its ratio is a mean over "
            "the response, and the paper's bounds are 3e-4 and 4e-4. Leave out clip_ratio to have those."
        )
    if config.distributed and config.num_gpus == 1:
        yield "distributed: true with num_gpus 1 is one process, as without it. Set num_gpus for more."
    if config.mini_batch_size > responses:
        yield (
            f"mini_batch_size {config.mini_batch_size} is more than the {responses} responses of a step "
            f"(batch_size {config.batch_size} x rollout_n {config.rollout_n}): a step is one mini-batch."
        )
    if config.gradient_accumulation_steps > config.mini_batches(responses):
        yield (
            f"gradient_accumulation_steps {config.gradient_accumulation_steps} takes all "
            f"{config.mini_batches(responses)} mini-batch(es) of a step in one update: lower "
            "mini_batch_size for more. Memory is governed by micro_batch_tokens."
        )


def _clip_notices(config: Config, given: Container[str]) -> Iterator[str]:
    low, high = config.clip_bounds
    if "clip_ratio" in given and (low, high) != (config.clip_ratio, config.clip_ratio):
        yield f"clip_ratio {config.clip_ratio} is overridden: ratios are clipped to [1 - {low}, 1 + {high}]."
    clip_keys = [key for key in ("clip_ratio", "clip_ratio_low", "clip_ratio_high") if key in given]
    if clip_keys and config.updates(config.batch_size * config.rollout_n) == 1:
        yield (
            f"{clip_keys[0]} never acts: with one optimizer update a step the probability ratio is 1; "
            "raise ppo_epochs or lower mini_batch_size for more updates."
        )
