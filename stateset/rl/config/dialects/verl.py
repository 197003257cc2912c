"""verl: Hydra's dotted paths, in a YAML file or as `key=value` words of a script. Read from verl 0.9.1.

Its mini-batches and batches count prompts. Its learning-rate schedule counts rollout batches, ours optimizer
updates. What stands under `critic`, `ref`, `rollout` beside the rows below is about the machine.
"""

from __future__ import annotations

from typing import Any

from stateset.rl.config.dialects.interpolation import resolve
from stateset.rl.config.dialects.table import Dialect, NoEqual, Row, one_of
from stateset.rl.config.dialects.verl_names import (
    ACTOR,
    AGGREGATIONS,
    ASIDES,
    ESTIMATORS,
    FILTER,
    HIGH,
    LOSSES,
    LOW,
    MINI,
    MODEL,
    OLD_OVERLONG,
    OPTIM,
    OVERLONG,
    UNSAID,
    N,
)
from stateset.rl.config.dialects.verl_read import read_joint
from stateset.rl.config.dialects.verl_write import write_joint


def _one_file(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise NoEqual(f"names {len(value)} files, and here it is one: join them.")
    return value[0]


_ROWS = (
    Row(MODEL + ".path", "model"),
    Row("data.train_files", "dataset", "a list of one file is that file", read=_one_file),
    Row("data.val_files", "eval_dataset", "a list of one file is that file", read=_one_file),
    Row("trainer.default_local_dir", "output_dir", "relative to the file's folder here"),
    Row("data.seed", "seed"),
    Row(f"{MODEL}.enable_gradient_checkpointing", "gradient_checkpointing",
        "theirs is on by default; not taken"),
    Row(f"{MODEL}.lora_rank", "lora, lora_rank", "0 is no adapter", 0, joint=True),
    Row(f"{MODEL}.lora_alpha", "lora_alpha", default=16),
    Row(f"{OPTIM}.lr", "learning_rate", default=1e-6, read=float),
    Row(f"{OPTIM}.betas", "betas", default=(0.9, 0.999), read=tuple, write=list),
    Row(f"{OPTIM}.weight_decay", "weight_decay", default=0.01, read=float),
    Row(f"{OPTIM}.clip_grad", "max_grad_norm", "wins over `actor.grad_clip`, as in verl", joint=True),
    Row(f"{ACTOR}.grad_clip", "max_grad_norm", "older name", joint=True, alias=True),
    Row(f"{OPTIM}.lr_warmup_steps", "warmup_steps", "times the updates of a step; ours counts updates",
        joint=True),
    Row(f"{OPTIM}.lr_warmup_steps_ratio", "warmup_steps", "a share of total_training_steps", 0.0, joint=True),
    Row(f"{OPTIM}.lr_scheduler_type", "schedule", "constant, cosine", "constant", joint=True),
    Row(f"{OPTIM}.warmup_style", "schedule", "older name", joint=True, alias=True),
    Row(N, "rollout_n", "theirs is 1 by default, and a group needs two", 1, joint=True),
    Row("data.train_batch_size", "batch_size", "prompts, as here", 1024),
    Row("trainer.total_epochs", "epochs", default=30),
    Row("trainer.total_training_steps", "max_steps"),
    Row(MINI, "mini_batch_size", "prompts there, responses here: times n", 256, joint=True),
    Row(f"{ACTOR}.ppo_epochs", "ppo_epochs", default=1),
    Row("actor_rollout_ref.rollout.temperature", "temperature", default=1.0, read=float),
    Row("data.max_prompt_length", "max_prompt_length", default=512),
    Row("data.max_response_length", "max_response_length", default=512),
    Row(f"{FILTER}.enable", "dynamic_sampling", default=False),
    Row(f"{FILTER}.max_num_gen_batches", "max_gen_batches", "0, no limit, becomes 1000", 0, joint=True),
    Row(f"{OVERLONG}.enable", "overlong_buffer", default=False, joint=True),
    Row(f"{OVERLONG}.len", "overlong_buffer", joint=True),
    Row(f"{OVERLONG}.penalty_factor", "overlong_penalty", default=1.0, joint=True),
    Row(f"{OLD_OVERLONG}.enable", "overlong_buffer", "older name", False, joint=True, alias=True),
    Row(f"{OLD_OVERLONG}.len", "overlong_buffer", "older name", joint=True, alias=True),
    Row(f"{OLD_OVERLONG}.penalty_factor", "overlong_penalty", "older name", 1.0, joint=True, alias=True),
    Row("algorithm.adv_estimator", "adv_estimator", "theirs is gae by default", "gae",
        one_of(ESTIMATORS)),
    Row("algorithm.norm_adv_by_std_in_grpo", "norm_adv_by_std", default=True),
    Row("algorithm.gamma", "gamma", default=1.0, read=float),
    Row("algorithm.lam", "lam", default=1.0, read=float),
    Row("critic.optim.lr", "critic_learning_rate", default=1e-5, read=float),
    Row("critic.cliprange_value", "value_clip", default=0.5, read=float),
    Row(f"{ACTOR}.policy_loss.loss_mode", "loss", ", ".join(f"{a}: {b}" for a, b in LOSSES.items()),
        "vanilla",
        joint=True),
    Row(f"{ACTOR}.clip_ratio", "clip_ratio",
        "verl ignores it beside its defaults of low and high; here it acts",
        0.2, joint=True),
    Row(LOW, "clip_ratio_low", "of cispo: 1 or more is no lower bound", joint=True),
    Row(HIGH, "clip_ratio_high", joint=True),
    Row(f"{ACTOR}.clip_ratio_c", "clip_ratio_dual", default=3.0, joint=True),
    Row(f"{ACTOR}.use_kl_loss", "use_kl_loss", default=False, joint=True),
    Row(f"{ACTOR}.kl_loss_coef", "kl_loss_coef", default=0.001, joint=True),
    Row(f"{ACTOR}.kl_loss_type", "kl_loss_type", default="low_var_kl", joint=True),
    Row("algorithm.use_kl_in_reward", "kl_placement", "the KL term in the reward", False, joint=True),
    Row("algorithm.kl_penalty", "kl_loss_type", "of a KL term in the reward: kl only", "kl", joint=True),
    Row("algorithm.kl_ctrl.kl_coef", "kl_loss_coef", "of a KL term in the reward", 0.001, joint=True),
    Row("algorithm.kl_ctrl.type", "", "fixed only: an adaptive one has no equal", "fixed", joint=True),
    Row(f"{ACTOR}.loss_agg_mode", "loss_agg_mode", "token-sum has no equal", "token-mean",
        one_of({name: name for name in AGGREGATIONS})),
    Row(f"{ACTOR}.loss_scale_factor", "", "seq-mean-token-sum-norm divides by max_response_length",
        joint=True),
    Row(f"{ACTOR}.entropy_coeff", "entropy_coef", default=0.0, read=float),
    Row("trainer.test_freq", "eval_every", "-1, never, is left out", joint=True),
    Row("trainer.save_freq", "save_every", "-1, never, is left out", joint=True),
    Row("trainer.max_actor_ckpt_to_keep", "keep_checkpoints"),
)  # fmt: skip


VERL = Dialect(
    "verl", "verl", _ROWS, UNSAID, ASIDES, read_joint, write_joint,
    {"reward": "verl takes a file and a function, `reward.custom_reward_function`, with other arguments."},
    resolve=resolve,
)  # fmt: skip
