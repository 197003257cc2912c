"""Configs of TRL and OpenRLHF, read as ours: units, losses, what has no equal."""

from pathlib import Path

import pytest

from stateset.rl.config.load import load_config, make_config
from stateset.rl.errors import ConfigError

EXAMPLES = Path(__file__).parent / "dialects"


def trl(**values):
    return make_config({"num_generations": 8} | values)


def test_the_trl_example():
    config = load_config(EXAMPLES / "trl_grpo.yaml")
    assert "128 completions are sampled at once on one process: 16 prompts x 8" in config.notices[0]
    assert (config.batch_size, config.rollout_n, config.mini_batch_size) == (16, 8, 64)
    # 2 mini-batches, 2 passes: 4 updates a step, so 400 updates are 100 steps and 100 updates 25
    assert config.updates(128) == 4
    assert (config.max_steps, config.epochs, config.save_every, config.warmup_steps) == (100, 100, 25, 20)
    assert (config.loss, config.loss_agg_mode) == ("ppo_clip", "seq-mean-token-sum-norm")
    assert (config.adv_estimator, config.norm_adv_by_std) == ("grpo", False)
    assert (config.clip_bounds, config.clip_ratio_dual) == ((0.2, 0.28), None)
    assert (config.kl_loss_type, config.kl_importance, config.kl_loss_coef) == ("low_var_kl+", True, 0.001)
    assert (config.lora, config.lora_rank, config.lora_alpha, config.dtype) == (True, 32, 64, "bf16")
    assert (config.schedule, config.betas, config.mask_truncated) == ("cosine", (0.9, 0.999), True)


@pytest.mark.parametrize(
    ("sizes", "expected"),  # prompts, responses of a mini-batch, updates of a step
    [
        ({}, (1, 8, 1)),
        ({"gradient_accumulation_steps": 4}, (4, 32, 1)),
        ({"per_device_train_batch_size": 4, "gradient_accumulation_steps": 8}, (4, 32, 1)),
        ({"steps_per_generation": 4}, (4, 8, 4)),
        ({"generation_batch_size": 64, "gradient_accumulation_steps": 2}, (8, 16, 4)),
        ({"steps_per_generation": 2, "gradient_accumulation_steps": 6}, (6, 48, 1)),
        ({"num_generations": 2, "num_iterations": 3}, (4, 8, 3)),
    ],
)
def test_trls_batches_count_completions(sizes, expected):
    config = trl(**sizes)
    found = (config.batch_size, config.mini_batch_size, config.updates(config.batch_size * config.rollout_n))
    assert found == expected


@pytest.mark.parametrize(
    ("loss_type", "level", "expected"),
    [
        ("grpo", "token", ("ppo_clip", "seq-mean-token-mean")),
        ("bnpo", "token", ("ppo_clip", "token-mean")),
        ("dapo", "token", ("ppo_clip", "token-mean")),
        ("dr_grpo", "token", ("ppo_clip", "seq-mean-token-sum-norm")),
        ("luspo", "token", ("ppo_clip", "seq-mean-token-sum")),
        ("grpo", "sequence", ("gspo", "seq-mean-token-mean")),
        ("luspo", "sequence", ("gspo", "seq-mean-token-sum")),
    ],
)
def test_trls_losses(loss_type, level, expected):
    config = trl(loss_type=loss_type, importance_sampling_level=level)
    assert (config.loss, config.loss_agg_mode) == expected
    assert config.clip_bounds == (0.2, 0.2)


def test_a_bound_of_theirs_is_no_default_of_gspo():
    one_sided = trl(importance_sampling_level="sequence", epsilon_high=0.28)
    assert one_sided.clip_bounds == (0.2, 0.28)


def test_trls_other_losses():
    config = trl(loss_type="cispo", epsilon_high=5.0)
    assert (config.loss, config.clip_bounds) == ("cispo", (1.0, 4.0))
    assert trl(
        loss_type="bnpo", per_device_train_batch_size=1, gradient_accumulation_steps=8
    ).loss_agg_mode == ("seq-mean-token-mean")
    several = trl(loss_type="bnpo", gradient_accumulation_steps=2)
    assert any("every micro-batch the same" in notice for notice in several.notices)
    assert trl(delta=1.5).clip_ratio_dual == 1.5
    assert (trl(scale_rewards="batch").adv_estimator, trl(scale_rewards=False).norm_adv_by_std) == (
        "grpo_batch_std", False,
    )  # fmt: skip
    assert trl(multi_objective_aggregation="normalize_then_sum").adv_estimator == "gdpo"


def test_trls_kl_term():
    assert not trl(beta=0.0).use_kl_loss
    once = trl(beta=0.04)
    assert (once.use_kl_loss, once.kl_loss_coef) == (True, 0.04)
    assert (once.kl_loss_type, once.kl_importance) == ("low_var_kl+", False)  # one update: the ratio is 1
    assert trl(beta=0.04, num_iterations=2).kl_importance
    plain = trl(beta=0.04, num_iterations=2, use_bias_correction_kl=False)
    assert (plain.kl_loss_type, plain.kl_importance) == ("low_var_kl", False)


def test_the_rest_of_trl():
    assert trl(lr_scheduler_type="constant", warmup_steps=9).warmup_steps == 0
    warm = trl(lr_scheduler_type="constant_with_warmup", warmup_steps=9)
    assert (warm.schedule, warm.warmup_steps) == ("constant", 9)
    assert trl(bf16=False).dtype == "fp32"
    assert trl(fp16=True).compute_dtype == "fp16"
    assert trl(dataset_name="trl-lib/DeepMath").dataset is None
    assert trl(num_train_epochs=2.0).epochs == 2
    uneven = trl(num_iterations=2, max_steps=5)
    assert uneven.max_steps == 3
    assert any("rounded up" in notice for notice in uneven.notices)
    adapter = trl(use_peft=True)
    assert sum("adapt" in notice for notice in adapter.notices) == 2  # dropout, and which layers


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss_type": "sapo"}, "`loss_type: sapo` has no equal here. Known: dapo"),
        ({"loss_type": "cispo"}, "`epsilon` of 0.2 bounds cispo's ratio itself"),
        ({"loss_type": "cispo", "epsilon_high": 5.0, "importance_sampling_level": "sequence"}, "Write token"),
        ({"delta": 1.1}, r"below 1 \+ epsilon_high = 1.2 has no equal"),
        ({"importance_sampling_level": "sequence", "delta": 2.0}, "delta: 2.0` beside"),
        ({"importance_sampling_level": "sequence", "beta": 0.1}, "Write use_bias_correction_kl: false"),
        ({"scale_rewards": "some"}, "is unknown to TRL"),
        ({"num_train_epochs": 0.5}, "is no whole number"),
        ({"lr_scheduler_type": "polynomial"}, "has no equal here. Known: linear"),
        ({"gradient_accumulation_steps": 2, "steps_per_generation": 3}, "would mix old and new completions"),
        ({"per_device_train_batch_size": 4, "steps_per_generation": 4}, "splits groups"),
        ({"generation_batch_size": 12}, "as a multiple of 8"),
        ({"top_p": 0.9}, "cuts off unlikely tokens"),
        ({"use_peft": True, "lora_target_modules": ["q_proj"]}, "all linear layers are adapted"),
        ({"num_generation": 4}, "did you mean `num_generations`"),
    ],
)
def test_what_has_no_equal_in_trl_is_an_error(values, message):
    with pytest.raises(ConfigError, match=message):
        trl(**values)


def test_the_openrlhf_example():
    config = load_config(EXAMPLES / "openrlhf.sh")
    assert config.notices[0].startswith("openrlhf.sh is read as an OpenRLHF config: 128 prompts x 8 = 1024")
    assert config.model == "Qwen/Qwen2.5-0.5B-Instruct"  # a variable of the script
    assert (config.batch_size, config.mini_batch_size, config.epochs) == (128, 512, 2)
    assert (config.betas, config.learning_rate, config.schedule) == ((0.9, 0.95), 5e-7, "constant")
    assert (config.kl_loss_type, config.kl_placement, config.clip_bounds) == (
        "low_var_kl",
        "loss",
        (0.2, 0.28),
    )
    assert config.origins["rollout_n"] == "openrlhf.sh:11"
    assert config.clip_ratio_dual is None


def test_openrlhfs_older_names(write):
    old = "--n_samples_per_prompt 4 --rollout_batch_size 8 --train_batch_size 16 --l2 0.1\n"
    more = "--adam_betas 0.9 0.98 --advantage_estimator dr_grpo "
    more += "--init_kl_coef 0 --generate_max_len 64 --lr_scheduler linear\n"
    config = load_config(write(old + more, "flags.txt"))
    assert (config.rollout_n, config.batch_size, config.mini_batch_size) == (4, 8, 16)
    assert (config.betas, config.weight_decay, config.norm_adv_by_std) == ((0.9, 0.98), 0.1, False)
    assert (config.use_kl_loss, config.max_response_length) == (False, 64)
    assert any("`warmup_steps`" in notice for notice in config.notices)  # 3 % of what only the rows tell


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--algo.advantage.estimator flash_reinforce", "flash_reinforce` has no equal"),
        ("--algo.advantage.estimator reinforce --algo.advantage.no_std_norm", "divides by the standard dev"),
        ("--algo.kl.estimator k3", "is of the kind k1"),
        ("--algo.kl.target 6", "changes the KL weight while training"),
        ("--actor.lr_scheduler wsd", "Known: constant"),
        ("--actor.policy_loss_type gspo --actor.dual_clip 3", "beside gspo"),
        ("--actor.eps_clip_low_high 0.2", "is not two numbers"),
        ("--rollout.top_p 0.9", "cuts off"),
        ("--no_such_flag 3", "unknown OpenRLHF key"),
    ],
)
def test_what_has_no_equal_in_openrlhf_is_an_error(write, flags, message):
    with pytest.raises(ConfigError, match=message):
        load_config(write(f"--rollout.n_samples_per_prompt 8\n{flags}\n", "flags.txt"))


def test_openrlhfs_kl_and_schedule(write):
    base = "--rollout.n_samples_per_prompt 8 --algo.advantage.estimator group_norm\n"
    config = load_config(write(base, "flags.txt"))
    assert (config.kl_placement, config.kl_loss_type, config.kl_loss_coef) == ("reward", "kl", 0.01)
    assert config.schedule == "cosine"
    assert any("falls to 10% of the peak" in notice for notice in config.notices)
    in_loss = "--algo.kl.use_loss --algo.kl.estimator k2 --algo.kl.unbiased_gradient --train.max_epochs 2\n"
    config = load_config(write(base + in_loss, "flags.txt"))
    assert (config.kl_placement, config.kl_loss_type, config.kl_importance) == ("loss", "mse+", True)


def test_a_flag_given_twice_is_refused(write):
    with pytest.raises(ConfigError, match=r"run\.txt:2: `train.seed` stands here again"):
        load_config(write("--train.seed 1\n--train.seed 2\n", "run.txt"))


def test_a_script_for_several_processes_is_refused(write):
    script = "accelerate launch --num_processes 4 --config_file x.yaml train.py --num_generations 8\n"
    with pytest.raises(ConfigError, match="multiplies the batch, and one process is assumed"):
        load_config(write(script, "run.sh"))
