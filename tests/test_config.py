"""The settings themselves: defaults, types, contradictions, and keys without effect."""

import copy
import json
import math
import pickle

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stateset.rl.config.load import list_profiles, make_config
from stateset.rl.config.rules import NEEDS, acting_values
from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError

DEFAULTS = {
    **dict.fromkeys(
        [
            "model",
            "reward",
            "dataset",
            "eval_dataset",
            "eval_reward",
            "verifier",
            "objective",
            "output_dir",
            "mixed_precision",
        ]
    ),
    **dict.fromkeys(["max_steps", "max_minutes", "warm_start", "clip_ratio_low", "clip_ratio_high"]),
    **dict.fromkeys(["lora", "use_kl_loss", "gradient_checkpointing", "distributed"], False),
    **{
        "seed": 0,
        "device": "auto",
        "dtype": "auto",
        "micro_batch_tokens": "auto",
        "rollout_engine": "native",
        "rollout_server": None,
        "num_gpus": 1,
        "strategy": "ddp",
    },
    **{"lora_rank": 16, "lora_alpha": 32, "learning_rate": 1e-6, "betas": (0.9, 0.99), "weight_decay": 0},
    **{
        "max_grad_norm": 1,
        "warmup_steps": 5,
        "schedule": "constant",
        "rollout_n": 8,
        "batch_size": 32,
        "epochs": 1,
    },
    **{"mini_batch_size": 256, "ppo_epochs": 1, "gradient_accumulation_steps": 1, "temperature": 1},
    **{
        "max_prompt_length": 2048,
        "max_response_length": 256,
        "adv_estimator": "grpo",
        "norm_adv_by_std": True,
    },
    **{"loss": "ppo_clip", "clip_ratio": 0.2, "clip_ratio_dual": 3, "kl_loss_coef": 0.001, "entropy_coef": 0},
    **{"kl_loss_type": "low_var_kl+", "kl_placement": "loss", "loss_agg_mode": "token-mean"},
    **{
        "dynamic_sampling": False,
        "max_gen_batches": 3,
        "retire_pass_rate": None,
        "target_pass_rate": None,
        "mask_truncated": False,
    },
    **{"overlong_buffer": 0, "overlong_penalty": 1, "max_cost": None, "price_per_hour": None},
    **{"kl_importance": False, "gamma": 1, "lam": 0.95, "critic_learning_rate": 1e-5, "value_clip": 0.5},
    **{"reward_timeout_seconds": 30, "eval_every": 20, "save_every": 50, "keep_checkpoints": 3},
    "reward_check": True,
}


def test_defaults_are_those_of_the_contract():
    assert Config().model_dump() == DEFAULTS


def test_computed_defaults():
    assert make_config({"lora": True}).learning_rate == 1e-5
    assert make_config({"lora": True, "learning_rate": 3e-4}).learning_rate == 3e-4
    assert make_config({"learning_rate": None}).learning_rate == 1e-6
    assert make_config({"batch_size": 3, "rollout_n": 4}).mini_batch_size == 12
    assert make_config({"batch_size": 3, "rollout_n": 4, "mini_batch_size": None}).mini_batch_size == 12


def test_every_key_has_one_sentence():
    for key, field in Config.model_fields.items():
        assert field.description.endswith("."), key
        assert field.description.count(". ") == 0, key


WRONG = [
    *[("learning_rate", value) for value in ("abc", "1e-6", 0, -1e-6, math.nan, math.inf, True)],
    *[("rollout_n", value) for value in (1, 0, -4, 2.0, "8", True, None)],
    *[("batch_size", value) for value in (0, 1.5, [4])],
    *[("betas", value) for value in ([0.9], [0.9, 1.0], [-0.1, 0.9], 0.9, ["0.9", 0.9], [0.9, 0.9, 0.9])],
    *[("clip_ratio", value) for value in (0, 1, -0.2)],
    ("clip_ratio_low", 1.5),
    ("clip_ratio_high", 0.0),
    ("clip_ratio_dual", 1.0),
    ("temperature", 0),
    ("entropy_coef", -0.1),
    ("weight_decay", -1),
    ("warmup_steps", -1),
    ("seed", -1),
    ("max_steps", 0),
    ("max_minutes", 0),
    ("micro_batch_tokens", 0),
    ("micro_batch_tokens", "most"),
    ("lora", 1),
    ("lora", "yes"),
    ("model", ""),
    ("reward", 3),
    ("device", "gpu"),
    ("dtype", "fp16"),
    ("mixed_precision", "fp32"),
    ("schedule", "step"),
    ("adv_estimator", "ppo"),
    ("gamma", 0),
    ("gamma", 1.1),
    ("loss", "ppo"),
    ("kl_loss_type", "full+"),
    ("kl_placement", "rewards"),
    ("loss_agg_mode", "mean"),
    ("strategy", "fsdp"),
    ("rollout_engine", "sglang"),
    ("rollout_server", "localhost:8000"),
    ("warm_start", "sft.jsonl"),
]
MOST = {
    **{"rollout_n": 4096, "batch_size": 1_000_000, "epochs": 1_000_000, "ppo_epochs": 1000},
    **{"max_prompt_length": 1_000_000, "max_response_length": 1_000_000},
    **{"learning_rate": 1, "temperature": 100, "weight_decay": 1000, "entropy_coef": 1000},
    **{"lora_rank": 4096, "lora_alpha": 1_000_000, "kl_loss_coef": 1000, "reward_timeout_seconds": 1_000_000},
}


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_wrong_values_are_refused_by_name(key, value):
    with pytest.raises(ConfigError, match=f"`{key}` is ") as caught:
        make_config({key: value})
    assert repr(value) in str(caught.value)
    with pytest.raises(ValidationError):
        Config(**{key: value, **({"mini_batch_size": 8} if key in ("rollout_n", "batch_size") else {})})


@pytest.mark.parametrize("key", MOST)
def test_values_that_would_eat_the_machine_or_ruin_the_weights_are_refused(key):
    needed = {NEEDS[key].key: True} if key in NEEDS else {}
    assert getattr(make_config({key: MOST[key]} | needed), key) == MOST[key]
    for too_much in (MOST[key] + 1, 10**11):
        with pytest.raises(ConfigError, match=f"`{key}` is {too_much}: it must be less than or equal to"):
            make_config({key: too_much} | needed)


def test_a_temperature_near_zero_is_refused():
    assert make_config({"temperature": 0.01}).temperature == 0.01
    with pytest.raises(ConfigError, match=r"it must be greater than or equal to 0\.01"):
        make_config({"temperature": 1e-320})


def test_unknown_choice_lists_the_known_ones():
    with pytest.raises(ConfigError, match="'ppo_clip', 'gspo', 'cispo' or 'reinforce'"):
        make_config({"loss": "ppo"})
    with pytest.raises(ConfigError, match="'constant', 'linear' or 'cosine'"):
        make_config({"schedule": "exp"})


def test_all_wrong_values_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        make_config({"seed": -1, "epochs": 0})
    assert len(str(caught.value).splitlines()) == 2


def test_config_is_frozen():
    with pytest.raises(ValidationError):
        Config().seed = 1


def test_mini_batch_must_hold_whole_groups():
    with pytest.raises(ConfigError, match=r"mini_batch_size 30.*rollout_n 8.*to 24"):
        make_config({"mini_batch_size": 30})
    with pytest.raises(ConfigError, match="to 8"):
        make_config({"mini_batch_size": 5})
    assert make_config({"mini_batch_size": 24}).mini_batch_size == 24


def test_precision_given_twice():
    assert make_config({"dtype": "bf16", "mixed_precision": "bf16"}).compute_dtype == "bf16"
    assert make_config({"mixed_precision": "fp16"}).compute_dtype == "fp16"
    assert make_config({"dtype": "fp32"}).compute_dtype == "fp32"
    assert make_config().compute_dtype == "auto"
    for dtype, mixed in (("fp32", "bf16"), ("bf16", "fp16")):
        with pytest.raises(ConfigError, match=f"dtype {dtype} and mixed_precision {mixed}"):
            make_config({"dtype": dtype, "mixed_precision": mixed})


def test_clip_bounds():
    assert make_config({"clip_ratio": 0.1}).clip_bounds == (0.1, 0.1)
    assert make_config({"clip_ratio_low": 0.15}).clip_bounds == (0.15, 0.2)
    assert make_config({"clip_ratio_high": 0.28}).clip_bounds == (0.2, 0.28)


def test_updates_of_a_step():
    config = make_config(
        {"rollout_n": 4, "mini_batch_size": 8, "gradient_accumulation_steps": 3, "ppo_epochs": 2}
    )
    # 36 responses: 5 mini-batches (the last of 4), 2 updates (of 3 and 2 of them), twice.
    assert config.mini_batches(36) == 5
    assert config.updates(36) == 4
    assert config.updates(4) == 2


DEAD = {
    "kl_loss_coef": 0.01,
    "kl_loss_type": "mse",
    "kl_placement": "loss",
    "kl_importance": False,
    "lora_rank": 8,
    "lora_alpha": 16,
    "rollout_server": "http://127.0.0.1:8000",
    "num_gpus": 2,
    "strategy": "ddp",
    "norm_adv_by_std": False,
    "gamma": 0.9,
    "price_per_hour": 2.0,
    "max_gen_batches": 5,
    "overlong_penalty": 0.5,
    "lam": 0.9,
    "critic_learning_rate": 1e-4,
    "value_clip": 0.2,
    "clip_ratio": 0.2,
    "clip_ratio_low": 0.2,
    "clip_ratio_high": 0.2,
    "clip_ratio_dual": 4.0,
}
ON = {
    "use_kl_loss": True,
    "lora": True,
    "rollout_engine": "vllm",
    "distributed": True,
    "adv_estimator": "grpo",
    "loss": "ppo_clip",
    "dynamic_sampling": True,
    "overlong_buffer": 20,
    "max_cost": 5.0,
}
OFF = {
    "use_kl_loss": False,
    "lora": False,
    "rollout_engine": "native",
    "distributed": False,
    "adv_estimator": "rloo",
    "loss": "reinforce",
    "dynamic_sampling": False,
    "overlong_buffer": 0,
    "max_cost": None,
}
SWITCHES = {  # what turns a key on and off, where it is not its switch's ON and OFF
    "gamma": ("reinforce_plus_plus", "grpo"),
    **dict.fromkeys(["lam", "critic_learning_rate", "value_clip"], ("gae", "grpo")),
    "clip_ratio_dual": ("ppo_clip", "gspo"),
}


def switch_of(key):
    """The key that this one needs, and its values with and without an effect of this one."""
    switch = NEEDS[key].key
    return (switch, *SWITCHES.get(key, (ON[switch], OFF[switch])))


def test_every_dependent_key_is_tried_below():
    assert DEAD.keys() == NEEDS.keys()


@pytest.mark.parametrize("key", NEEDS)
def test_a_key_without_effect_is_refused(key):
    switch, with_it, without = switch_of(key)
    off = {key: DEAD[key], switch: without}
    with pytest.raises(ConfigError, match=f"`{key}` has no effect without .*{switch}.*remove"):
        make_config(off)
    with pytest.raises(ConfigError, match=f"override: `{key}`"):
        make_config({switch: without}, overrides=[f"{key}={DEAD[key]}"])
    on = make_config(off | {switch: with_it, "ppo_epochs": 2})
    assert getattr(on, key) == DEAD[key]
    assert not any(key in notice for notice in on.notices)


@pytest.mark.parametrize("key", NEEDS)
def test_a_key_that_a_later_layer_switched_off_is_reported(key):
    switch, with_it, without = switch_of(key)
    config = make_config(
        {key: DEAD[key], switch: with_it}, overrides=[f"{switch}={json.dumps(without).strip(chr(34))}"]
    )
    assert any(f"`{key}` has no effect" in notice for notice in config.notices)


def test_null_is_no_use_of_a_key():
    assert make_config({"eval_reward": None}).notices == ()


@pytest.mark.parametrize("kind", ["kl", "k1"])
def test_kl_in_the_loss_is_warned_about(kind):
    (notice,) = make_config({"use_kl_loss": True, "kl_loss_type": kind}).notices
    assert "low_var_kl+" in notice
    assert make_config({"use_kl_loss": True, "kl_loss_type": "k3"}).notices == ()
    (off,) = make_config({"use_kl_loss": True, "kl_loss_type": kind}, overrides=["use_kl_loss=false"]).notices
    assert "no effect" in off


def test_gspo_takes_the_papers_clip_unless_one_is_given():
    paper = {"loss": "gspo", "loss_agg_mode": "seq-mean-token-mean", "ppo_epochs": 2}
    assert make_config(paper).clip_bounds == (3e-4, 4e-4)
    assert make_config(paper | {"clip_ratio": 0.1}).clip_bounds == (0.1, 0.1)
    assert make_config(paper | {"clip_ratio_low": 1e-3, "clip_ratio_high": 2e-3}).clip_bounds == (1e-3, 2e-3)
    again = make_config(acting_values(make_config(paper)))
    assert again.clip_bounds == (3e-4, 4e-4)
    assert make_config(paper).notices == ()
    (notice,) = make_config({"loss": "gspo"}).notices
    assert "seq-mean-token-mean" in notice


def test_a_kl_in_the_reward_is_of_the_kind_kl():
    in_reward = {"use_kl_loss": True, "kl_placement": "reward"}
    assert make_config(in_reward).kl_loss_type == "kl"
    assert make_config(in_reward).notices == ()
    assert make_config(acting_values(make_config(in_reward))).kl_loss_type == "kl"
    for kind in ("low_var_kl+", "k1+", "full", "mse"):
        with pytest.raises(ConfigError, match="kl_placement reward takes the kind `kl`"):
            make_config(in_reward | {"kl_loss_type": kind})
    with pytest.raises(ConfigError, match=r"`kl_importance` has no effect without .*kl_placement: loss"):
        make_config(in_reward | {"kl_importance": True})


def test_kl_importance_needs_a_second_update():
    (notice,) = make_config({"use_kl_loss": True, "kl_importance": True}).notices
    assert "never acts" in notice
    assert make_config({"use_kl_loss": True, "kl_importance": True, "ppo_epochs": 2}).notices == ()


def test_clip_notices():
    assert (
        "overridden" in make_config({"clip_ratio": 0.2, "clip_ratio_high": 0.28, "ppo_epochs": 2}).notices[0]
    )
    assert make_config({"clip_ratio_high": 0.28, "ppo_epochs": 2}).notices == ()
    assert "never acts" in make_config({"clip_ratio": 0.1}).notices[0]
    assert make_config({"clip_ratio": 0.1, "mini_batch_size": 128}).notices == ()
    assert make_config().notices == ()


def test_notices_about_sizes_that_do_nothing():
    small = {"batch_size": 2, "rollout_n": 4}
    assert "more than the 8 responses" in make_config(small | {"mini_batch_size": 16}).notices[0]
    assert (
        "gradient_accumulation_steps 4" in make_config(small | {"gradient_accumulation_steps": 4}).notices[0]
    )
    assert make_config(small | {"mini_batch_size": 4, "gradient_accumulation_steps": 2}).notices == ()


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        **{switch: st.sampled_from([ON[switch], OFF[switch]]) for switch in ON if switch != "max_cost"},
        "profile": st.sampled_from(list_profiles()),
        "betas": st.sampled_from([[0.9, 0.95], (0.8, 0.999)]),
        "learning_rate": st.floats(1e-9, 1e-2),
        "max_minutes": st.floats(0.1, 100),
        "objective": st.text(),
    },
)


@settings(max_examples=40, deadline=None)
@given(OPTIONS)
def test_acting_values_read_back_give_the_same_config(options):
    config = make_config(options)
    kept = acting_values(config)
    again = make_config(yaml.safe_load(yaml.safe_dump(kept)))
    assert acting_values(again) == kept
    for key in kept:
        assert getattr(again, key) == getattr(config, key)
    missing = set(Config.model_fields) - set(kept) - {"eval_every"}
    assert not any(NEEDS[key].is_on(config) for key in missing)


def test_an_eval_every_that_nobody_gave_is_recorded_only_beside_held_out_rows():
    assert "eval_every" not in acting_values(make_config({}))
    assert acting_values(make_config({"eval_every": 5}))["eval_every"] == 5
    assert acting_values(make_config({"eval_dataset": "rows.jsonl"}))["eval_every"] == 20


def test_configs_travel_and_compare_by_value():
    config = make_config({"seed": 3, "clip_ratio": 0.1})
    for twin in (pickle.loads(pickle.dumps(config)), copy.deepcopy(config)):
        assert twin == config
        assert twin.notices == config.notices
        assert twin.origins == {"seed": "config", "clip_ratio": "config"}
    assert config == Config(seed=3, clip_ratio=0.1)
    assert config != Config(seed=4, clip_ratio=0.1)


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        ({}, (3e-4, 4e-4)),
        ({"clip_ratio_low": 1e-3}, (1e-3, 4e-4)),
        ({"clip_ratio_high": 1e-3}, (3e-4, 1e-3)),
        ({"clip_ratio": 2e-3}, (2e-3, 2e-3)),
    ],
)
def test_gspo_keeps_the_papers_bound_where_none_is_given(given, bounds):
    config = make_config({"loss": "gspo", "ppo_epochs": 2, **given})
    assert config.clip_bounds == bounds
    assert not any("hardly ever clips" in notice for notice in config.notices)


def test_a_wide_clip_of_gspo_is_noticed():
    config = make_config({"loss": "gspo", "ppo_epochs": 2, "clip_ratio": 0.1})
    assert any("hardly ever clips" in notice for notice in config.notices)
