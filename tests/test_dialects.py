"""Configs of verl, TRL and OpenRLHF, read as ours: units, defaults, what has no equal, what does not act."""

from pathlib import Path

import pytest

from stateset.rl.config.dialects import PEERS, detect, flatten
from stateset.rl.config.dialects.docs import render
from stateset.rl.config.load import load_config, make_config, resolve_file
from stateset.rl.config.rules import acting_values
from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError

EXAMPLES = Path(__file__).parent / "dialects"
VERL = {"actor_rollout_ref.rollout.n": 8, "algorithm.adv_estimator": "grpo", "trainer.total_epochs": 1}
TRL = {"num_generations": 8}
ACTOR = "actor_rollout_ref.actor"


def verl(**values):
    """A small verl config; `__` in a name stands for a dot."""
    return make_config(VERL | {name.replace("__", "."): value for name, value in values.items()})


def actor(**values):
    return make_config(VERL | {f"{ACTOR}.{name.replace('__', '.')}": value for name, value in values.items()})


def trl(**values):
    return make_config(TRL | values)


def given(config):
    return {key: value for key, value in acting_values(config).items() if key in config.origins}


def test_the_document_is_the_platforms():
    document = {
        "actor_rollout": {"ref": {"rollout": {"n": 8}}},
        "data": {"train_batch_size": 32},
        "actor_rollout_ref": {"actor": {"ppo_mini_batch_size": 256, "ppo_epochs": 4}},
        "algorithm": {"adv_estimator": "grpo"},
    }
    assert detect(flatten(document, "x"))[0] == "platform"
    assert make_config(document).mini_batch_size == 256


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("platform.yaml", "platform"),
        ("verl_gsm8k.yaml", "verl"),
        ("trl_grpo.yaml", "trl"),
        ("openrlhf.sh", "openrlhf"),
    ],
)
def test_files_are_recognised_by_their_keys(name, dialect):
    resolved = resolve_file(EXAMPLES / name)
    assert resolved.reading.dialect == dialect
    assert not resolved.reading.refused


def test_the_verl_example():
    config = load_config(EXAMPLES / "verl_gsm8k.yaml")
    first, defaults, clip = config.notices
    assert first == (
        "verl_gsm8k.yaml is read as a verl config: ppo_mini_batch_size 64 prompts x 8 = 512 responses; "
        "11 key(s) are about the machine."
    )
    assert defaults == (
        "From verl's defaults, where verl_gsm8k.yaml says nothing: betas (0.9, 0.999), weight_decay 0.01."
    )
    assert clip.startswith("verl_gsm8k.yaml:19: clip_ratio 0.1 acts here; verl clips at clip_ratio_low")
    assert {key: value for key, value in given(config).items() if key not in ("dataset", "eval_dataset")} == {
        "model": "Qwen/Qwen2.5-0.5B-Instruct",
        "output_dir": str(EXAMPLES / "checkpoints/gsm8k/small"),
        "gradient_checkpointing": True,
        "learning_rate": 1e-6,
        "betas": [0.9, 0.999],
        "weight_decay": 0.01,
        "warmup_steps": 40,  # 10 batches of 256 / 64 = 4 updates
        "rollout_n": 8,
        "batch_size": 256,
        "mini_batch_size": 512,
        "epochs": 15,
        "temperature": 1.0,
        "max_prompt_length": 512,
        "max_response_length": 1024,
        "adv_estimator": "grpo",
        "norm_adv_by_std": True,
        "clip_ratio": 0.1,
        "use_kl_loss": True,
        "kl_loss_coef": 0.001,
        "kl_loss_type": "low_var_kl",
        "entropy_coef": 0.0,
        "eval_every": 5,
        "save_every": 20,
    }
    assert config.dataset == str(EXAMPLES / "data/gsm8k/train.parquet")
    assert config.eval_dataset == str(EXAMPLES / "data/gsm8k/test.parquet")
    assert config.origins["mini_batch_size"] == "verl_gsm8k.yaml:17"
    assert config.origins["betas"] == "verl's default"


def test_a_verl_script(write):
    script = (
        "N=4\npython3 -m verl.trainer.main_ppo \\\n    algorithm.adv_estimator=rloo \\\n"
        "    actor_rollout_ref.rollout.n=$N data.train_batch_size=64 \\\n"
        f"    {ACTOR}.ppo_mini_batch_size=32 +{ACTOR}.optim.betas=[0.9,0.95] \\\n"
        "    data.train_files=$HOME/train.parquet trainer.total_epochs=2 $@\n"
    )
    config = load_config(write(script, "run.sh"))
    assert (config.rollout_n, config.mini_batch_size, config.adv_estimator) == (4, 128, "rloo")
    assert (config.dataset, config.betas) == (str(Path.home() / "train.parquet"), (0.9, 0.95))
    with pytest.raises(ConfigError, match=r"run.sh:2: `actor_rollout_ref.rollout.n: \$M` holds a "):
        load_config(write("python3\nactor_rollout_ref.rollout.n=$M trainer.total_epochs=2\n", "run.sh"))


def test_two_dialects_in_one_file_are_refused_with_both_keys(write):
    file = write("rollout_n: 8\ntrainer:\n  total_epochs: 2\n")
    message = (
        r"run.yaml:1: `rollout_n` is ours, and run.yaml:3: `trainer.total_epochs` is verl's \(ours: `epochs`"
    )
    with pytest.raises(ConfigError, match=message):
        load_config(file)
    with pytest.raises(ConfigError, match=r"`num_generations` is TRL's \(ours: `rollout_n`\), and"):
        make_config({"num_generations": 4, "trainer.total_epochs": 1})


def test_who_speaks_can_be_said(write):
    shared = "data:\n  train_batch_size: 64\nactor_rollout_ref:\n  rollout: {n: 4}\n"
    mini = "  actor: {ppo_mini_batch_size: 32}\nalgorithm: {adv_estimator: grpo}\n"
    assert load_config(write(shared + mini)).mini_batch_size == 32
    assert load_config(write(shared + mini), dialect="verl").mini_batch_size == 128
    assert load_config(write("dialect: verl\n" + shared + mini)).mini_batch_size == 128
    assert load_config(write("dialect: verl\n" + shared + mini), dialect="platform").mini_batch_size == 32
    with pytest.raises(ConfigError, match="unknown dialect `hydra`"):
        load_config(write("dialect: hydra\n"))


def test_our_own_keys_may_stand_in_their_files():
    config = make_config(VERL | {"reward": "my:Reward", "max_minutes": 5, "warm_start.epochs": 2})
    assert (config.reward, config.max_minutes, config.warm_start.epochs) == ("my:Reward", 5, 2)
    with pytest.raises(ConfigError, match="both set model"):
        make_config(VERL | {"model": "a", "actor_rollout_ref.model.path": "b"})


def test_overrides_in_our_names_and_in_theirs():
    file = EXAMPLES / "verl_gsm8k.yaml"
    assert load_config(file, overrides=[f"{ACTOR}.ppo_mini_batch_size=32"]).mini_batch_size == 256
    assert load_config(file, overrides=["mini_batch_size=32"]).mini_batch_size == 32
    config = load_config(file, overrides=["rollout_n=4", "ppo_epochs=2"])
    assert (config.rollout_n, config.mini_batch_size, config.warmup_steps) == (4, 256, 80)
    assert config.origins["rollout_n"] == "override"


def test_a_profile_stays_below_their_file():
    config = load_config(EXAMPLES / "verl_gsm8k.yaml", profile="conservative")
    assert (config.rollout_n, config.kl_loss_coef, config.ppo_epochs) == (8, 0.001, 2)


def test_their_defaults_belong_to_the_file():
    config = make_config({"actor_rollout_ref.rollout.n": 2, "trainer.nnodes": 1})
    assert config.adv_estimator == "gae"
    assert (config.lam, config.batch_size, config.mini_batch_size, config.epochs) == (1.0, 1024, 512, 30)
    assert (config.warmup_steps, config.max_response_length) == (0, 512)
    config = make_config(TRL)
    assert (config.batch_size, config.mini_batch_size, config.epochs, config.schedule) == (1, 8, 3, "linear")
    assert (config.clip_ratio_dual, config.warmup_steps, config.max_response_length) == (None, 0, 512)


def test_a_verl_file_without_groups_says_why():
    with pytest.raises(ConfigError) as caught:
        make_config({"trainer.total_epochs": 3})
    why, problem = str(caught.value).splitlines()
    assert why == "config: `trainer.total_epochs` is a verl key, so this is read as a verl config."
    assert "of 1, verl's default, makes no groups" in problem


VERL_VALUES = [
    ({"data.train_files": ["a.parquet", "b.parquet"]}, "`data.train_files: .*names 2 files"),
    ({"actor_rollout_ref.rollout.top_p": 0.9}, "top_p: 0.9` has no equal here: it cuts off unlikely tokens"),
    ({"actor_rollout_ref.rollout.top_k": 50}, "top_k: 50` has no equal"),
    ({"algorithm.adv_estimator": "remax"}, "adv_estimator: remax` has no equal here. Known: grpo"),
    ({f"{ACTOR}.policy_loss.loss_mode": "clip_cov"}, "loss_mode: clip_cov` has no equal"),
    ({f"{ACTOR}.loss_agg_mode": "token-sum"}, "loss_agg_mode: token-sum` has no equal"),
    (
        {f"{ACTOR}.loss_agg_mode": "seq-mean-token-sum-norm", f"{ACTOR}.loss_scale_factor": 100},
        "scale_factor",
    ),
    ({f"{ACTOR}.use_kl_loss": True, "algorithm.use_kl_in_reward": True}, "the KL term has one place"),
    ({"algorithm.use_kl_in_reward": True, "algorithm.kl_penalty": "low_var_kl"}, "is of the kind kl"),
    ({"algorithm.use_kl_in_reward": True, "algorithm.kl_ctrl.type": "adaptive"}, "the weight is fixed"),
    ({f"{ACTOR}.optim.lr_scheduler_type": "cosine", f"{ACTOR}.optim.min_lr_ratio": 0.1}, "falls to zero"),
    ({f"{ACTOR}.optim.lr_scheduler_type": "wsd"}, "write constant or cosine"),
    ({f"{ACTOR}.optim.optimizer": "Muon"}, "is another optimizer"),
    ({f"{ACTOR}.ppo_mini_batch_size": "many"}, "is not a whole number above zero"),
    ({f"{ACTOR}.clip_ratio_c": "high"}, "is not a number"),
    (
        {f"{ACTOR}.ppo_mini_batch": 3},
        "is an unknown verl key; did you mean `actor_rollout_ref.actor.ppo_mini",
    ),
    ({"trainer.total_epoch": 3}, "unknown verl key; did you mean `trainer.total_epochs`"),
    ({"actor_rollout_ref.model.path": "${oc.env:MODEL}"}, "asks for `oc.env`"),
    ({"actor_rollout_ref.model.path": "${a.b}"}, "refers to `a.b`, which is not in the file"),
    ({"actor_rollout_ref.model.path": "???"}, "is left open"),
    ({"actor_rollout_ref.model.path": "${actor_rollout_ref.model.path}"}, "leads to itself"),
    ({"critic.cliprange_value": "wide"}, "no value of value_clip"),
]


@pytest.mark.parametrize(("values", "message"), VERL_VALUES)
def test_what_has_no_equal_in_verl_is_an_error(values, message):
    with pytest.raises(ConfigError, match=message):
        make_config(VERL | values)


def test_references_between_verl_keys():
    config = make_config(
        VERL
        | {
            "data.max_response_length": "${oc.select:data.max_prompt_length,512}",
            "data.max_prompt_length": 300,
            "data.train_batch_size": "${oc.select:data.elsewhere, 64}",
            f"{ACTOR}.ppo_mini_batch_size": "${data.train_batch_size}",
            f"{ACTOR}.grad_clip": "${.clip_ratio_c}",
            f"{ACTOR}.clip_ratio_c": 4.0,
            "trainer.logger": "${oc.env:LOGGER}",  # does not matter
        }
    )
    assert (config.max_response_length, config.batch_size, config.mini_batch_size) == (300, 64, 512)
    assert config.max_grad_norm == 4.0


def test_verls_losses_and_clips():
    assert actor(policy_loss__loss_mode="gspo").clip_bounds == (0.2, 0.2)
    for low, high in ((0.2, 0.28), (0.1, 0.2), (None, 4e-4), (3e-4, None)):
        given = {f"clip_ratio_{side}": value for side, value in (("low", low), ("high", high)) if value}
        expected = (low or 0.2, high or 0.2)
        assert actor(policy_loss__loss_mode="gspo", **given).clip_bounds == expected
    assert actor(policy_loss__loss_mode="gpg").loss == "reinforce"
    wide = actor(policy_loss__loss_mode="cispo", clip_ratio_low=10, clip_ratio_high=0.28)
    assert (wide.loss, wide.clip_bounds) == ("cispo", (1.0, 0.28))
    assert actor(clip_ratio_low=0.2, clip_ratio_high=0.28).clip_bounds == (0.2, 0.28)
    assert actor(clip_ratio=0.3, clip_ratio_low=0.1, clip_ratio_high=0.1).clip_bounds == (0.1, 0.1)
    assert actor(clip_ratio_c=5.0).clip_ratio_dual == 5.0
    assert not any("acts here" in notice for notice in actor(clip_ratio_low=0.1).notices)


def test_verls_kl_in_the_reward():
    config = verl(algorithm__use_kl_in_reward=True, algorithm__kl_ctrl__kl_coef=0.05)
    assert (config.kl_placement, config.kl_loss_type, config.kl_loss_coef) == ("reward", "kl", 0.05)
    assert any("decide that" in notice for notice in config.notices)


def test_verls_overlong_filter_and_adapter_keys():
    old, new = "reward_model.overlong_buffer", "reward.reward_kwargs.overlong_buffer_cfg"
    for name in (old, new):
        config = make_config(
            VERL | {f"{name}.enable": True, f"{name}.len": 64, f"{name}.penalty_factor": 0.5}
        )
        assert (config.overlong_buffer, config.overlong_penalty) == (64, 0.5)
    assert verl(reward_model__overlong_buffer__len=64).overlong_buffer == 0
    assert verl(algorithm__filter_groups__enable=True).max_gen_batches == 1000
    config = verl(algorithm__filter_groups__enable=True, algorithm__filter_groups__max_num_gen_batches=7)
    assert (config.dynamic_sampling, config.max_gen_batches) == (True, 7)
    config = verl(actor_rollout_ref__model__lora_rank=8)
    assert (config.lora, config.lora_rank, config.lora_alpha) == (True, 8, 16)
    assert config.learning_rate == 1e-6  # theirs, not ours with an adapter


def test_a_dumped_verl_file_sets_keys_that_do_nothing_and_they_are_listed(write):
    text = (
        "actor_rollout_ref:\n  rollout: {n: 4}\n  model: {lora_rank: 0, lora_alpha: 16}\n"
        "  actor: {use_kl_loss: false, kl_loss_coef: 0.5}\n"
        "algorithm: {adv_estimator: rloo, gamma: 1.0, norm_adv_by_std_in_grpo: true}\ntrainer: {nnodes: 1}\n"
    )
    resolved = resolve_file(write(text))
    reasons = {aside.entry.path: aside.reason for aside in resolved.asides}
    assert reasons[f"{ACTOR}.kl_loss_coef"] == "kl_loss_coef has no effect without `use_kl_loss: true`"
    assert reasons["actor_rollout_ref.model.lora_alpha"].startswith("lora_alpha has no effect")
    assert reasons["trainer.nnodes"] == "about the machine"
    assert load_config(write(text), overrides=["use_kl_loss=true"]).kl_loss_coef == 0.5


def test_a_warm_up_share_needs_a_number_of_steps():
    share = actor(optim__lr_warmup_steps_ratio=0.1)
    assert share.warmup_steps == 0
    assert any("only the rows tell" in notice for notice in share.notices)
    path = f"{ACTOR}.optim.lr_warmup_steps_ratio"
    config = make_config(VERL | {path: 0.1, "trainer.total_training_steps": 50})
    assert (config.warmup_steps, config.max_steps) == (5 * 4, 50)
    assert trl(warmup_ratio=0.1, max_steps=50).warmup_steps == 5
    assert trl(warmup_steps=0.1, max_steps=50).warmup_steps == 5
    assert trl(warmup_ratio=0.1).warmup_steps == 0


def test_a_verl_warm_up_counts_the_updates_of_an_override(write):
    text = (
        "actor_rollout_ref:\n  rollout: {n: 5}\n"
        "  actor: {ppo_mini_batch_size: 2, optim: {lr_warmup_steps: 2}}\n"
        "data: {train_batch_size: 16}\nalgorithm: {adv_estimator: grpo}\ntrainer: {nnodes: 1}\n"
    )
    assert load_config(write(text)).warmup_steps == 2 * 8
    assert load_config(write(text), overrides=["mini_batch_size=80"]).warmup_steps == 2
    assert load_config(write(text), overrides=["gradient_accumulation_steps=2"]).warmup_steps == 2 * 4
    whole = load_config(write(text), overrides=["mini_batch_size=80"])
    assert not any("2 prompts x 5" in notice for notice in whole.notices)


def test_an_empty_section_is_listed(write):
    text = "actor_rollout_ref: {rollout: {n: 4}}\ndata:\ntrainer: {nnodes: 1}\n"
    resolved = resolve_file(write(text))
    assert ("data", "an empty section") in [(a.entry.path, a.reason) for a in resolved.asides]


def test_every_row_names_keys_of_ours():
    for dialect in PEERS.values():
        paths = [row.theirs for row in dialect.rows] + [item.theirs for item in dialect.unsaid]
        assert len(paths) == len(set(paths))
        for row in dialect.rows:
            for key in row.ours.split(", ") if row.ours else ():
                assert key in Config.model_fields, row


def test_the_page_is_up_to_date():
    page = Path(__file__).parent.parent / "docs" / "dialects.md"
    assert page.read_text() == render(), "run: python -m stateset.rl.config.dialects.docs > docs/dialects.md"


RUBBISH = [[], [1], ["a", "b", "c"], {}, "x", "${x", "$x", -1, 0, 1, 2.5, 10**400, True, False, None, 1e308]


@pytest.mark.parametrize("name", ["verl", "trl", "openrlhf"])
def test_rubbish_is_a_config_error_or_a_config(name):
    base = {"verl": VERL, "trl": TRL, "openrlhf": {"rollout.n_samples_per_prompt": 8}}[name]
    dialect = PEERS[name]
    for path in [*(row.theirs for row in dialect.rows), *(item.theirs for item in dialect.unsaid)]:
        for value in RUBBISH:
            values = base | {"algorithm.use_kl_in_reward": True} if "kl_ctrl" in path else base
            try:
                make_config(values | {path: value, "dialect": name})
            except ConfigError as error:
                assert str(error)  # noqa: PT017


def test_a_path_in_an_override_starts_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(EXAMPLES / "verl_gsm8k.yaml", overrides=["data.train_files=a.parquet"])
    assert config.dataset == str(tmp_path / "a.parquet")


def test_a_dialect_may_be_an_override(write):
    file = write("data: {train_batch_size: 64}\nactor_rollout_ref: {rollout: {n: 4}}\n")
    assert load_config(file, overrides=["dialect=verl", "epochs=2"]).mini_batch_size == 1024


def test_a_profile_fills_in_what_their_file_leaves_open():
    values = {"num_generations": 4, "dialect": "trl"}
    assert make_config(values).max_response_length == 512
    filled = make_config(values, profile="conservative")
    assert (filled.rollout_n, filled.use_kl_loss, filled.kl_loss_coef) == (4, True, 0.01)
    assert filled.origins["schedule"] == "TRL's default"
    assert filled.origins["kl_loss_coef"] == "profile conservative"


@pytest.mark.parametrize("name", PEERS)
def test_every_key_of_the_release_that_was_read_is_in_the_table(name):
    keys = (EXAMPLES / f"{name}_keys.txt").read_text().split()
    assert len(keys) > 100
    assert [key for key in keys if not PEERS[name].knows(key)] == []
