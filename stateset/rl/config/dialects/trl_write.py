"""Our settings as TRL's: what several keys say together.

A micro-batch is one group, so that a model that fits here fits there.
"""

from __future__ import annotations

from stateset.rl.config.dialects.exchange import LOWEST_CLIP, Writer
from stateset.rl.config.schema import Config

_TYPES = {
    "token-mean": "dapo",
    "seq-mean-token-mean": "grpo",
    "seq-mean-token-sum-norm": "dr_grpo",
    "seq-mean-token-sum": "luspo",
}
_THIRD = ("low_var_kl", "k3")


def write_joint(config: Config, writer: Writer) -> None:
    """Write every key of TRL's that is no plain row."""
    updates = _write_sizes(config, writer)
    _write_steps(config, writer, updates)
    _write_machine(config, writer)
    _write_estimator(config, writer)
    _write_loss(config, writer)
    if config.use_kl_loss:
        _write_kl(config, writer, updates)


def _write_sizes(config: Config, writer: Writer) -> int:
    """Write the sizes; return the optimizer updates of one step."""
    n, prompts = config.rollout_n, config.batch_size
    groups = min(config.mini_batch_size * config.gradient_accumulation_steps // n, prompts)
    writer.said |= {"rollout_n", "batch_size", "mini_batch_size", "gradient_accumulation_steps"}
    if prompts % groups:
        writer.lose(
            "mini_batch_size", f"{groups} prompts do not divide batch_size {prompts}; written as all of them."
        )
        groups = prompts
    writer.put("num_generations", n)
    writer.put("per_device_train_batch_size", n)
    writer.put("gradient_accumulation_steps", groups)
    if groups != prompts:
        writer.put("steps_per_generation", prompts)
    return config.ppo_epochs * (prompts // groups)


def _write_steps(config: Config, writer: Writer, updates: int) -> None:
    writer.put("num_train_epochs", config.epochs, "epochs")
    if config.max_steps is not None:
        writer.put("max_steps", config.max_steps * updates, "max_steps")
        if config.epochs != config.max_steps:
            writer.lose("epochs", "TRL ignores num_train_epochs beside max_steps.")
    writer.put("save_steps", config.save_every * updates, "save_every")
    if "eval_every" in writer.ours:
        writer.put("eval_steps", config.eval_every * updates, "eval_every")
    warm_constant = config.schedule == "constant" and config.warmup_steps > 0
    writer.put("lr_scheduler_type", "constant_with_warmup" if warm_constant else config.schedule, "schedule")
    writer.put("warmup_steps", config.warmup_steps, "warmup_steps")
    writer.put("adam_beta1", config.betas[0], "betas")
    writer.put("adam_beta2", config.betas[1], "betas")


def _write_machine(config: Config, writer: Writer) -> None:
    if config.dataset is not None:
        writer.put("dataset_name", config.dataset, "dataset")
        if not config.dataset.endswith((".jsonl", ".json", ".csv", ".parquet")):
            writer.lose("dataset", "TRL has no bundled data set: write the rows to a file.")
    writer.said |= {"dtype", "mixed_precision"}
    if config.compute_dtype == "fp16":
        writer.put("fp16", True)
        writer.put("bf16", False)
    elif config.compute_dtype != "auto":
        writer.put("bf16", config.compute_dtype == "bf16")
    if config.lora:
        writer.put("lora_dropout", 0.0)
        writer.put("lora_target_modules", "all-linear")


def _write_estimator(config: Config, writer: Writer) -> None:
    writer.said |= {"adv_estimator", "norm_adv_by_std"}
    if config.adv_estimator == "grpo":
        writer.put("scale_rewards", "group" if config.norm_adv_by_std else "none")
    elif config.adv_estimator == "grpo_batch_std":
        writer.put("scale_rewards", "batch")
    elif config.adv_estimator == "gdpo":
        writer.put("multi_objective_aggregation", "normalize_then_sum")
    else:
        writer.lose(
            "adv_estimator", f"TRL's GRPO has no estimator {config.adv_estimator}; its default is written."
        )


def _write_loss(config: Config, writer: Writer) -> None:
    low, high = config.clip_bounds
    writer.said |= {
        "loss",
        "loss_agg_mode",
        "clip_ratio",
        "clip_ratio_low",
        "clip_ratio_high",
        "clip_ratio_dual",
    }
    if config.loss == "reinforce":
        writer.lose("loss", "TRL has no loss without a ratio; the clipped one is written.")
    if config.loss == "cispo":
        writer.put("loss_type", "cispo")
        writer.put("epsilon_high", round(1 + high, 12))
        if config.loss_agg_mode != "token-mean":
            writer.lose("loss_agg_mode", "TRL's cispo is a mean over tokens.")
        if low < LOWEST_CLIP:
            writer.lose("clip_ratio_low", "TRL's cispo has no lower bound.")
        return
    writer.put("loss_type", _TYPES[config.loss_agg_mode])
    writer.put("epsilon", low)
    if high != low:
        writer.put("epsilon_high", high)
    if config.loss == "gspo":
        writer.put("importance_sampling_level", "sequence")
    elif config.loss == "ppo_clip" and config.clip_ratio_dual is not None:
        if config.clip_ratio_dual < 1 + high:
            writer.lose("clip_ratio_dual", f"below 1 + {high}, TRL's delta means something else.")
        else:
            writer.put("delta", config.clip_ratio_dual)


def _write_kl(config: Config, writer: Writer, updates: int) -> None:
    writer.put("beta", config.kl_loss_coef, "use_kl_loss", "kl_loss_coef", "kl_loss_type", "kl_placement")
    writer.said.add("kl_importance")
    if config.kl_placement == "reward":
        writer.lose("kl_placement", "TRL's GRPO has the KL term in the loss only.")
        writer.lose("kl_loss_type", f"of the loss; low_var_kl is written for {config.kl_loss_type}.")
        writer.put("use_bias_correction_kl", False)
        return
    kind = config.kl_loss_type
    corrected = kind.endswith("+") and config.loss != "gspo"
    writer.put("use_bias_correction_kl", corrected)
    if kind.removesuffix("+") not in _THIRD or (kind.endswith("+") and not corrected):
        nearest = "low_var_kl+" if corrected else "low_var_kl"
        writer.lose("kl_loss_type", f"TRL cannot say {kind} with {config.loss}; {nearest} is written.")
    elif config.kl_importance != (corrected and updates > 1):
        writer.lose("kl_importance", f"in TRL it comes with the kind: {str(corrected).lower()} is written.")
