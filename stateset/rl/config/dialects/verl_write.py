"""Our settings as verl's: what several keys say together."""

from __future__ import annotations

from stateset.rl.config.dialects.exchange import Writer
from stateset.rl.config.dialects.table import NoEqual
from stateset.rl.config.dialects.verl_names import (
    ACTOR,
    ESTIMATORS,
    FILTER,
    HIGH,
    LOSSES,
    LOW,
    MINI,
    MODEL,
    NO_BOUND,
    NO_LIMIT,
    OPTIM,
    OVERLONG,
    N,
)
from stateset.rl.config.schema import Config


def write_joint(config: Config, writer: Writer) -> None:
    """Write every key of verl's that is no plain row."""
    n = config.rollout_n
    writer.put(N, n, "rollout_n")
    together = min(config.mini_batch_size * config.gradient_accumulation_steps, config.batch_size * n) // n
    writer.said |= {"mini_batch_size", "gradient_accumulation_steps"}
    if config.batch_size % together:
        writer.lose("mini_batch_size", f"{together} prompts do not divide batch_size {config.batch_size}.")
    writer.put(MINI, together)
    if config.lora:
        writer.put(f"{MODEL}.lora_rank", config.lora_rank, "lora", "lora_rank")
    _write_steps(config, writer)
    loss = next(theirs for theirs, ours in LOSSES.items() if ours == config.loss)
    writer.put(f"{ACTOR}.policy_loss.loss_mode", loss, "loss")
    if config.loss != "reinforce":
        low, high = config.clip_bounds
        both = {f"{ACTOR}.clip_ratio": low} if low == high else {}
        for path, value in (both | {LOW: low, HIGH: high}).items():
            writer.put(path, value, "clip_ratio", "clip_ratio_low", "clip_ratio_high")
    if config.loss == "ppo_clip":
        dual = NO_BOUND if config.clip_ratio_dual is None else config.clip_ratio_dual
        writer.put(f"{ACTOR}.clip_ratio_c", dual, "clip_ratio_dual")
    _write_kl_keys(config, writer)
    if config.adv_estimator not in ESTIMATORS:
        writer.lose("adv_estimator", f"verl has no estimator {config.adv_estimator}; grpo is written.")
        writer.put("algorithm.adv_estimator", "grpo")
    if config.overlong_buffer:
        writer.put("reward.reward_manager.name", "dapo")
        writer.put(f"{OVERLONG}.enable", True)
        writer.put(f"{OVERLONG}.len", config.overlong_buffer, "overlong_buffer")
        writer.put(f"{OVERLONG}.penalty_factor", config.overlong_penalty, "overlong_penalty")
        writer.put(f"{OVERLONG}.log", False)
        writer.put("reward.reward_kwargs.max_resp_len", config.max_response_length)


def _write_steps(config: Config, writer: Writer) -> None:
    updates = config.updates(config.batch_size * config.rollout_n)
    if config.schedule == "linear":
        writer.lose("schedule", "verl has constant and cosine only.")
    else:
        writer.put(f"{OPTIM}.lr_scheduler_type", config.schedule, "schedule")
    if config.warmup_steps % updates:
        steps = -(-config.warmup_steps // updates)
        writer.lose(
            "warmup_steps", f"verl counts rollout batches of {updates} updates; written as {steps} of them."
        )
    writer.put(f"{OPTIM}.lr_warmup_steps", -(-config.warmup_steps // updates), "warmup_steps")
    writer.put(f"{OPTIM}.clip_grad", config.max_grad_norm, "max_grad_norm")
    writer.put("trainer.save_freq", config.save_every, "save_every")
    if "eval_every" in writer.ours:
        writer.put("trainer.test_freq", config.eval_every, "eval_every")
    if config.dynamic_sampling:
        limit = 0 if config.max_gen_batches == NO_LIMIT else config.max_gen_batches
        writer.put(f"{FILTER}.max_num_gen_batches", limit, "max_gen_batches")


def _write_kl_keys(config: Config, writer: Writer) -> None:
    in_reward = config.use_kl_loss and config.kl_placement == "reward"
    writer.put(f"{ACTOR}.use_kl_loss", config.use_kl_loss and not in_reward, "use_kl_loss", "kl_placement")
    if in_reward:
        writer.put("algorithm.use_kl_in_reward", True)
        writer.put("algorithm.kl_penalty", "kl", "kl_loss_type")
        writer.put("algorithm.kl_ctrl.kl_coef", config.kl_loss_coef, "kl_loss_coef")
    elif config.use_kl_loss:
        writer.put(f"{ACTOR}.kl_loss_coef", config.kl_loss_coef, "kl_loss_coef")
        try:
            writer.put(f"{ACTOR}.kl_loss_type", _write_kl(config.kl_loss_type), "kl_loss_type")
        except NoEqual as problem:
            writer.lose("kl_loss_type", str(problem))
            writer.put(f"{ACTOR}.kl_loss_type", "low_var_kl+")


def _write_kl(value: str) -> str:
    if value == "full":
        raise NoEqual("verl names `full` and raises NotImplementedError.")
    return value
