"""Our settings in other projects' words: what they can say comes back, what they cannot is listed."""

from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stateset.rl.config.dialects import write_config
from stateset.rl.config.load import load_config, make_config
from stateset.rl.config.rules import acting_values
from stateset.rl.errors import ConfigError

EXAMPLES = Path(__file__).parent / "dialects"
KINDS = {"k1": "kl", "k2": "mse", "k3": "low_var_kl", "k1+": "kl+", "k2+": "mse+", "k3+": "low_var_kl+"}


def meaning(config):
    """What a config does, whichever keys say it."""
    values = acting_values(config)
    for key in ("clip_ratio", "clip_ratio_low", "clip_ratio_high"):
        values.pop(key, None)
    values["clip"] = config.loss != "reinforce" and config.clip_bounds
    responses = config.batch_size * config.rollout_n
    update = config.mini_batch_size * config.gradient_accumulation_steps
    values["mini_batch_size"], values["gradient_accumulation_steps"] = min(update, responses), 1
    if "kl_loss_type" in values:
        values["kl_loss_type"] = KINDS.get(config.kl_loss_type, config.kl_loss_type)
    values["dtype"], values["mixed_precision"] = config.compute_dtype, None
    return values


def again(config, dialect):
    """The config that comes back, and what was lost on the way."""
    written = write_config(config, dialect)
    read = make_config(yaml.safe_load(yaml.safe_dump(dict(written.values))) | {"dialect": dialect})
    return read, dict(written.lost)


@pytest.mark.parametrize(
    ("name", "dialect"),
    [("platform.yaml", "platform"), ("verl_gsm8k.yaml", "verl"), ("trl_grpo.yaml", "trl")],
)
def test_an_example_comes_back_from_its_own_dialect(name, dialect):
    config = load_config(EXAMPLES / name)
    read, lost = again(config, dialect)
    assert lost == {}
    assert meaning(read) == meaning(config)


@pytest.mark.parametrize("name", ["platform.yaml", "verl_gsm8k.yaml", "trl_grpo.yaml", "openrlhf.sh"])
def test_every_example_comes_back_from_the_platform(name):
    config = load_config(EXAMPLES / name)
    read, lost = again(config, "platform")
    assert lost == {}
    assert read == config


COMMON = {
    "seed": st.integers(0, 9),
    "learning_rate": st.sampled_from([1e-6, 3e-5]),
    "betas": st.sampled_from([[0.9, 0.99], [0.9, 0.999], [0.8, 0.95]]),
    "weight_decay": st.sampled_from([0.0, 0.01, 0.1]),
    "max_grad_norm": st.sampled_from([0.5, 1.0]),
    "warmup_steps": st.sampled_from([0, 12, 24]),
    "epochs": st.integers(1, 4),
    "ppo_epochs": st.integers(1, 3),
    "gradient_accumulation_steps": st.integers(1, 2),
    "temperature": st.sampled_from([0.7, 1.0]),
    "max_response_length": st.sampled_from([64, 512]),
    "loss_agg_mode": st.sampled_from(
        ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"]
    ),
    "entropy_coef": st.sampled_from([0.0, 0.01]),
    "save_every": st.integers(1, 60),
    "gradient_checkpointing": st.booleans(),
    "output_dir": st.sampled_from([None, "/runs/x"]),
    "model": st.sampled_from([None, "org/model"]),
}
CLIPS = st.sampled_from(
    [
        {},
        {"clip_ratio": 0.1},
        {"clip_ratio_high": 0.28},
        {"clip_ratio_low": 0.1},
        {"clip_ratio_low": 0.1, "clip_ratio_high": 0.3},
        {"clip_ratio": 0.3, "clip_ratio_high": 0.4},
        {"clip_ratio_low": 0.2, "clip_ratio_high": 0.28},
        {"clip_ratio_low": 0.1, "clip_ratio_high": 0.2},
        {"clip_ratio": 0.2},
    ]
)
SIZES = st.tuples(st.integers(2, 5), st.sampled_from([(1, 1), (4, 1), (4, 2), (6, 3), (6, 6), (3, 9)])).map(
    lambda drawn: {
        "rollout_n": drawn[0],
        "batch_size": drawn[1][0],
        "mini_batch_size": drawn[0] * drawn[1][1],
    }
)
LORA = st.sampled_from([{}, {"lora": True}, {"lora": True, "lora_rank": 4, "lora_alpha": 64}])
VERL_OPTIONS = {
    **COMMON,
    "max_prompt_length": st.sampled_from([128, 512, 2048]),
    "max_steps": st.sampled_from([None, 7]),
    "schedule": st.sampled_from(["constant", "cosine"]),
    "dataset": st.sampled_from([None, "/rows.jsonl"]),
    "eval_dataset": st.sampled_from([None, "/held.jsonl"]),
    "keep_checkpoints": st.integers(1, 5),
}
VERL_GROUPS = [
    st.sampled_from([{}, {"overlong_buffer": 20}, {"overlong_buffer": 20, "overlong_penalty": 0.5}]),
    st.sampled_from([{}, {"dynamic_sampling": True}, {"dynamic_sampling": True, "max_gen_batches": 9}]),
    st.sampled_from(
        [
            {},
            {"norm_adv_by_std": False},
            {"adv_estimator": "rloo"},
            {"adv_estimator": "gdpo"},
            {"adv_estimator": "reinforce_plus_plus", "gamma": 0.9},
            {"adv_estimator": "gae", "lam": 0.9, "critic_learning_rate": 1e-4, "value_clip": 0.2},
        ]
    ),
    st.sampled_from(
        [
            {},
            {"use_kl_loss": True},
            {"use_kl_loss": True, "kl_loss_coef": 0.1, "kl_loss_type": "mse"},
            {"use_kl_loss": True, "kl_placement": "reward", "kl_loss_coef": 0.05},
        ]
    ),
    st.sampled_from(
        [
            {},
            {"clip_ratio_dual": None},
            {"clip_ratio_dual": 2.0},
            {"loss": "gspo"},
            {"loss": "cispo"},
            {"loss": "reinforce"},
        ]
    ),
]
TRL_OPTIONS = {
    **COMMON,
    "schedule": st.sampled_from(["constant", "cosine", "linear"]),
    "dtype": st.sampled_from(["auto", "bf16", "fp32"]),
    "mask_truncated": st.booleans(),
    "dataset": st.sampled_from([None, "/rows.jsonl"]),
    "keep_checkpoints": st.integers(1, 5),
}
TRL_GROUPS = [
    st.sampled_from(
        [{}, {"norm_adv_by_std": False}, {"adv_estimator": "grpo_batch_std"}, {"adv_estimator": "gdpo"}]
    ),
    st.sampled_from(
        [
            {},
            {"use_kl_loss": True, "kl_loss_type": "low_var_kl"},
            {"use_kl_loss": True, "kl_loss_coef": 0.1, "kl_loss_type": "k3"},
            {"use_kl_loss": True, "kl_importance": True},
            {"use_kl_loss": True},
        ]
    ),
    st.sampled_from(
        [
            {},
            {"clip_ratio_dual": None},
            {"clip_ratio_dual": 2.0},
            {"loss": "gspo"},
            {"loss": "cispo", "clip_ratio_low": 1.0, "clip_ratio_high": 3.0},
        ]
    ),
    st.sampled_from([{}, {"epochs": 7, "max_steps": 7}]),
]


@st.composite
def configs(draw, options, groups):
    values = draw(st.fixed_dictionaries({}, optional=options)) | draw(SIZES) | draw(LORA)
    for group in groups:
        values |= draw(group)
    if values.get("adv_estimator") in ("reinforce_plus_plus", "gae"):  # not together with it
        values = {
            key: value for key, value in values.items() if key not in ("dynamic_sampling", "max_gen_batches")
        }
    if values.get("loss") != "reinforce" and "clip_ratio_low" not in values:
        values |= draw(CLIPS)
    return make_config(values)


@settings(max_examples=150, deadline=None)
@given(configs(VERL_OPTIONS, VERL_GROUPS))
def test_what_verl_can_say_comes_back(config):
    read, lost = again(config, "verl")
    assume(not lost)
    assert meaning(read) == meaning(config)


@settings(max_examples=150, deadline=None)
@given(configs(TRL_OPTIONS, TRL_GROUPS))
def test_what_trl_can_say_comes_back(config):
    read, lost = again(config, "trl")
    assume(not lost)
    assert meaning(read) == meaning(config)


@settings(max_examples=60, deadline=None)
@given(
    configs(VERL_OPTIONS | {"max_minutes": st.floats(1, 9)}, VERL_GROUPS), st.sampled_from(["verl", "trl"])
)
def test_whatever_differs_afterwards_was_listed(config, dialect):
    read, lost = again(config, dialect)
    before, after = meaning(config), meaning(read)
    changed = {key for key in before if before[key] != after.get(key)}
    follows = {"clip": ("clip_ratio_low", "clip_ratio_high", "loss"), "clip_ratio_dual": ("loss",),
               "norm_adv_by_std": ("adv_estimator",), "gamma": ("adv_estimator",), "lam": ("adv_estimator",),
               "critic_learning_rate": ("adv_estimator",), "value_clip": ("adv_estimator",),
               "kl_importance": ("kl_placement", "kl_loss_type"),
               "max_gen_batches": ("dynamic_sampling",), "overlong_penalty": ("overlong_buffer",),
               "save_every": ("mini_batch_size",),
               "eval_every": ("mini_batch_size", "eval_dataset")}  # fmt: skip
    for key in changed:
        assert key in lost or any(reason in lost for reason in follows.get(key, ())), (key, lost)


@settings(max_examples=80, deadline=None)
@given(configs(VERL_OPTIONS, VERL_GROUPS))
def test_the_platform_says_everything(config):
    read, lost = again(config, "platform")
    assert lost == {}
    assert read == config


def test_an_estimator_that_verl_lacks_is_written_as_grpo():
    read, lost = again(make_config({"adv_estimator": "maxrl", "dynamic_sampling": True}), "verl")
    assert read.adv_estimator == "grpo", "and not verl's default, PPO with a critic"
    assert "grpo is written" in lost["adv_estimator"]


def test_verls_words():
    values = {"rollout_n": 8, "batch_size": 32, "mini_batch_size": 64, "clip_ratio": 0.1, "lora": True}
    written = write_config(make_config(values), "verl").values
    actor = written["actor_rollout_ref"]["actor"]
    assert actor["ppo_mini_batch_size"] == 8  # prompts
    assert (actor["clip_ratio_low"], actor["clip_ratio_high"], actor["clip_ratio_c"]) == (0.1, 0.1, 3.0)
    assert written["actor_rollout_ref"]["model"] == {
        "lora_rank": 16, "lora_alpha": 32, "enable_gradient_checkpointing": False,
    }  # fmt: skip
    assert written["data"]["train_batch_size"] == 32
    assert written["algorithm"]["adv_estimator"] == "grpo"


def test_trls_words():
    values = {"rollout_n": 8, "batch_size": 32, "mini_batch_size": 64, "max_steps": 10, "epochs": 10}
    written = write_config(make_config(values), "trl").values
    sizes = ("num_generations", "per_device_train_batch_size", "gradient_accumulation_steps")
    assert [written[key] for key in sizes] == [8, 8, 8]
    assert (written["steps_per_generation"], written["max_steps"], written["save_steps"]) == (32, 40, 200)
    assert (written["loss_type"], written["epsilon"], written["delta"]) == ("dapo", 0.2, 3.0)
    assert (written["lr_scheduler_type"], written["warmup_steps"]) == ("constant_with_warmup", 5)


SPLIT = {"mini_batch_size"}


@pytest.mark.parametrize(
    ("values", "dialect", "lost"),
    [
        ({"reward": "my:Reward"}, "verl", {"reward"}),
        ({"schedule": "linear"}, "verl", {"schedule"}),
        ({"adv_estimator": "maxrl"}, "verl", {"adv_estimator"}),
        ({"use_kl_loss": True, "kl_loss_type": "full"}, "verl", {"kl_loss_type"}),
        (
            {"batch_size": 3, "rollout_n": 2, "mini_batch_size": 4, "warmup_steps": 0},
            "verl",
            {"mini_batch_size"},
        ),
        ({"ppo_epochs": 2, "warmup_steps": 5}, "verl", {"warmup_steps"}),
        ({"mask_truncated": True, "retire_pass_rate": 0.9}, "verl", {"mask_truncated", "retire_pass_rate"}),
        ({"warm_start": {"epochs": 2}}, "verl", {"warm_start"}),
        ({"adv_estimator": "rloo"}, "trl", {"adv_estimator"}),
        ({"loss": "reinforce"}, "trl", {"loss"}),
        ({"loss": "cispo"}, "trl", {"clip_ratio_low"}),
        ({"clip_ratio_dual": 1.1}, "trl", {"clip_ratio_dual"}),
        ({"use_kl_loss": True, "kl_placement": "reward"}, "trl", {"kl_placement", "kl_loss_type"}),
        ({"use_kl_loss": True, "kl_loss_type": "mse"}, "trl", {"kl_loss_type"}),
        ({"use_kl_loss": True, "ppo_epochs": 2}, "trl", {"kl_importance"}),
        ({"max_steps": 5}, "trl", {"epochs"}),
        ({"overlong_buffer": 9, "overlong_penalty": 0.5}, "trl", {"overlong_buffer", "overlong_penalty"}),
        ({"dataset": "support_tickets"}, "trl", {"dataset"}),
    ],
)
def test_what_they_cannot_say_is_listed(values, dialect, lost):
    written = write_config(make_config(values), dialect)
    assert {key for key, _ in written.lost} == lost
    assert all(reason.endswith(".") for _, reason in written.lost)


@pytest.mark.parametrize("dialect", ["openrlhf", "hydra"])
def test_a_dialect_that_cannot_be_written(dialect):
    with pytest.raises(ConfigError, match="choose platform, verl or trl"):
        write_config(make_config(), dialect)
