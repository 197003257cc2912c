"""TRL's `GRPOConfig` with the script arguments of `trl grpo`: flat names. Read from TRL 1.16.

One process is assumed. Its batches count completions, and its steps (`max_steps`, `save_steps`,
`eval_steps`) optimizer updates: one takes `per_device_train_batch_size x gradient_accumulation_steps`
completions, which are sampled anew after `steps_per_generation` micro-batches.
"""

from __future__ import annotations

from stateset.rl.config.dialects.table import Dialect, Row
from stateset.rl.config.dialects.trl_names import (
    ASIDES,
    LOSSES,
    UNSAID,
)
from stateset.rl.config.dialects.trl_read import read_joint
from stateset.rl.config.dialects.trl_write import write_joint

_ROWS = (
    Row("model_name_or_path", "model"),
    Row("dataset_name", "dataset", "a file; a data set of the hub must be saved to one", joint=True),
    Row("output_dir", "output_dir", "relative to the file's folder here"),
    Row("seed", "seed"),
    Row("bf16", "dtype", "true: bf16; false without fp16: fp32", joint=True),
    Row("fp16", "mixed_precision", joint=True),
    Row("gradient_checkpointing", "gradient_checkpointing", "theirs is on by default; not taken"),
    Row("use_peft", "lora", default=False),
    Row("lora_r", "lora_rank", default=16),
    Row("lora_alpha", "lora_alpha", default=32),
    Row("lora_dropout", "", "nothing is dropped here", 0.05, joint=True),
    Row("lora_target_modules", "", "all linear layers here; PEFT's choice there", joint=True, many=True),
    Row("learning_rate", "learning_rate", default=1e-6, read=float),
    Row("adam_beta1", "betas", default=0.9, joint=True),
    Row("adam_beta2", "betas", default=0.999, joint=True),
    Row("weight_decay", "weight_decay", default=0.0, read=float),
    Row("max_grad_norm", "max_grad_norm", default=1.0, read=float),
    Row("lr_scheduler_type", "schedule", "linear, cosine, constant (without warm-up), constant_with_warmup",
        "linear",
        joint=True),
    Row("warmup_steps", "warmup_steps", "optimizer updates, as here; below 1 a share of max_steps", 0,
        joint=True),
    Row("warmup_ratio", "warmup_steps", "older name: a share of max_steps", joint=True, alias=True),
    Row("num_generations", "rollout_n", default=8, joint=True),
    Row("per_device_train_batch_size", "batch_size, mini_batch_size", "completions of a micro-batch", 8,
        joint=True),
    Row("gradient_accumulation_steps", "mini_batch_size", "micro-batches of an optimizer update", 1,
        joint=True),
    Row("steps_per_generation", "batch_size", "micro-batches that are sampled at once", joint=True),
    Row("generation_batch_size", "batch_size", "completions that are sampled at once", joint=True,
        alias=True),
    Row("num_train_epochs", "epochs", "whole numbers only", 3, joint=True),
    Row("max_steps", "max_steps", "divided by the updates of a step; replaces num_train_epochs", -1,
        joint=True),
    Row("num_iterations", "ppo_epochs", default=1),
    Row("temperature", "temperature", default=1.0, read=float),
    Row("max_prompt_length", "max_prompt_length", "older name; a longer prompt is refused here", alias=True),
    Row("max_completion_length", "max_response_length", default=512),
    Row("mask_truncated_completions", "mask_truncated", default=False),
    Row("scale_rewards", "adv_estimator, norm_adv_by_std", "group, batch (grpo_batch_std), none", "group",
        joint=True),
    Row("multi_objective_aggregation", "adv_estimator", "normalize_then_sum: gdpo", "sum_then_normalize",
        joint=True),
    Row("loss_type", "loss, loss_agg_mode", "; ".join(f"{k}: {a}, {b}" for k, (a, b) in LOSSES.items()),
        "dapo",
        joint=True),
    Row("importance_sampling_level", "loss", "sequence: gspo", "token", joint=True),
    Row("epsilon", "clip_ratio, clip_ratio_low", default=0.2, joint=True),
    Row("epsilon_high", "clip_ratio_high", "of cispo: the bound itself, so 1 is taken off", joint=True),
    Row("delta", "clip_ratio_dual", "the same bound where it is at least 1 + epsilon_high; null: none",
        joint=True),
    Row("beta", "use_kl_loss, kl_loss_coef", "0 is no KL term", 0.0, joint=True),
    Row("use_bias_correction_kl", "kl_loss_type, kl_importance",
        "true: low_var_kl+ (the gradient of the ratio makes it that); false: low_var_kl", True, joint=True),
    Row("entropy_coef", "entropy_coef", "a mean over tokens there, weighed as the loss here", 0.0,
        read=float),
    Row("eval_steps", "eval_every", "divided by the updates of a step", joint=True),
    Row("save_steps", "save_every", "divided by the updates of a step", joint=True),
    Row("save_total_limit", "keep_checkpoints"),
)  # fmt: skip

TRL = Dialect(
    "trl", "TRL", _ROWS, UNSAID, ASIDES, read_joint, write_joint,
    {
        "eval_dataset": "TRL evaluates on a split of its data set, `dataset_test_split`.",
        "reward": "TRL takes `reward_funcs`, called on whole batches.",
    },
)  # fmt: skip
