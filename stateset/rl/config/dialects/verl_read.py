"""verl's settings as ours: what several keys say together."""

from __future__ import annotations

from stateset.rl.config.dialects.exchange import Reader, put_clip
from stateset.rl.config.dialects.verl_names import (
    ACTOR,
    FILTER,
    HIGH,
    LOSSES,
    LOW,
    MINI,
    MODEL,
    NO_BOUND,
    NO_LIMIT,
    OLD_OVERLONG,
    OPTIM,
    OVERLONG,
    N,
)


def read_joint(reader: Reader) -> None:
    """Read every key of verl's that is no plain row."""
    n = reader.group_size(N)
    reader.put("rollout_n", n, N)
    _read_sizes(reader, n)
    _read_schedule(reader, n)
    _read_loss(reader)
    _read_kl(reader)
    _read_length(reader)
    for path, key in (("trainer.test_freq", "eval_every"), ("trainer.save_freq", "save_every")):
        reader.put_every(path, key)


def _read_sizes(reader: Reader, n: int) -> None:
    prompts = reader.count(MINI)
    reader.put("mini_batch_size", prompts * n, MINI)
    if "mini_batch_size" not in reader.fixed:
        reader.headline.append(f"ppo_mini_batch_size {prompts} prompts x {n} = {prompts * n} responses")
    rank = reader.number(f"{MODEL}.lora_rank")
    reader.put("lora", rank > 0, f"{MODEL}.lora_rank")
    if rank > 0:
        reader.put("lora_rank", rank, f"{MODEL}.lora_rank")
    rounds = reader.number(f"{FILTER}.max_num_gen_batches")
    reader.put("max_gen_batches", rounds if rounds > 0 else NO_LIMIT, f"{FILTER}.max_num_gen_batches")
    newer, older = f"{OPTIM}.clip_grad", f"{ACTOR}.grad_clip"
    if reader.has(newer) or reader.has(older):
        path = newer if reader.has(newer) else older
        reader.put("max_grad_norm", float(reader.number(path)), path)
        if path == newer:
            reader.put_aside(older, "`optim.clip_grad` acts in its place, as in verl")


def _read_schedule(reader: Reader, n: int) -> None:
    older = f"{OPTIM}.warmup_style"
    path = older if reader.has(older) else f"{OPTIM}.lr_scheduler_type"
    if reader.get(path) not in ("constant", "cosine"):
        reader.refuse(path, "has no equal here: write constant or cosine.")
        return
    reader.put("schedule", reader.get(path), path)
    lowest = f"{OPTIM}.min_lr_ratio"
    if reader.get(path) == "cosine" and reader.has(lowest) and reader.number(lowest) > 0:
        reader.refuse(lowest, "has no equal here: cosine falls to zero. Write 0.")
    _read_warm_up(reader, n)


def _read_warm_up(reader: Reader, n: int) -> None:
    steps, ratio = f"{OPTIM}.lr_warmup_steps", f"{OPTIM}.lr_warmup_steps_ratio"
    prompts = reader.count("data.train_batch_size", "batch_size")
    size = reader.forced("mini_batch_size") or reader.count(MINI) * n
    together = size * (reader.forced("gradient_accumulation_steps") or 1)
    updates = reader.count(f"{ACTOR}.ppo_epochs", "ppo_epochs") * -(-prompts * n // together)
    if reader.has(steps) and reader.number(steps) > 0:
        reader.put("warmup_steps", reader.count(steps) * updates, steps)
        reader.put_aside(ratio, "`lr_warmup_steps` acts in its place")
        return
    share, total = reader.number(ratio), reader.number("trainer.total_training_steps")
    if share and not total:
        reader.note(
            f"{reader.where(ratio)}: warm-up is {share:.0%} of a number of steps that only the rows "
            "tell. Here it is 0 steps: set `warmup_steps`, or trainer.total_training_steps."
        )
    reader.put("warmup_steps", int(share * total) * updates, ratio, steps)


def _read_loss(reader: Reader) -> None:
    path = f"{ACTOR}.policy_loss.loss_mode"
    loss = LOSSES.get(reader.get(path))
    if loss is None:
        reader.refuse(path, f"has no equal here. Known: {', '.join(LOSSES)}.")
        return
    reader.put("loss", loss, path)
    both = f"{ACTOR}.clip_ratio"
    clip = reader.number(both)
    low, high = (reader.number(side) if reader.has(side) else clip for side in (LOW, HIGH))
    if reader.has(both) and clip != 0.2 and not (reader.has(LOW) and reader.has(HIGH)):
        reader.note(
            f"{reader.where(both)}: clip_ratio {clip} acts here; verl clips at clip_ratio_low and "
            "clip_ratio_high, whose default is 0.2, and ignores it."
        )
    if loss != "reinforce":
        lower, upper = (side if reader.has(side) else both for side in (LOW, HIGH))
        put_clip(reader, low, high, lower, upper, is_gspo=loss == "gspo")
    if (reader.has(LOW) or reader.has(HIGH)) and clip not in (low, high):
        reader.put_aside(both, "clip_ratio_low and clip_ratio_high act in its place")
    if loss == "ppo_clip":
        dual = float(reader.number(f"{ACTOR}.clip_ratio_c"))
        reader.put("clip_ratio_dual", None if dual >= NO_BOUND else dual, f"{ACTOR}.clip_ratio_c")
    factor = f"{ACTOR}.loss_scale_factor"
    summed = reader.get(f"{ACTOR}.loss_agg_mode") == "seq-mean-token-sum-norm"
    if summed and reader.has(factor) and reader.get(factor) != reader.get("data.max_response_length"):
        reader.refuse(factor, "has no equal here: the sum is divided by max_response_length. Remove it.")
    passk = reader.get("algorithm.adv_estimator") == "grpo_passk"
    if passk and reader.get("algorithm.norm_adv_by_std_in_grpo"):
        reader.note(
            "grpo_passk: verl divides by the group's standard deviation unless told not to; here never."
        )


def _read_kl(reader: Reader) -> None:
    in_loss, in_reward = f"{ACTOR}.use_kl_loss", "algorithm.use_kl_in_reward"
    if reader.get(in_loss) and reader.get(in_reward):
        reader.refuse(in_reward, "beside use_kl_loss has no equal here: the KL term has one place. Keep one.")
    elif reader.get(in_reward):
        reader.put("use_kl_loss", True, in_reward)
        reader.put("kl_placement", "reward", in_reward)
        reader.put(
            "kl_loss_coef", float(reader.number("algorithm.kl_ctrl.kl_coef")), "algorithm.kl_ctrl.kl_coef"
        )
        if reader.get("algorithm.kl_penalty") not in ("kl", "k1"):
            reader.refuse(
                "algorithm.kl_penalty", "has no equal here: a penalty on the reward is of the kind kl."
            )
        if reader.get("algorithm.kl_ctrl.type") != "fixed":
            reader.refuse("algorithm.kl_ctrl.type", "has no equal here: the weight is fixed. Write fixed.")
        reader.note(
            "KL in the reward: verl lets it enter the group's standard deviation; here the task's rewards "
            "alone decide that."
        )
    else:
        reader.put("use_kl_loss", bool(reader.get(in_loss)), in_loss)
        reader.put("kl_loss_coef", float(reader.number(f"{ACTOR}.kl_loss_coef")), f"{ACTOR}.kl_loss_coef")
        reader.put("kl_loss_type", reader.get(f"{ACTOR}.kl_loss_type"), f"{ACTOR}.kl_loss_type")


def _read_length(reader: Reader) -> None:
    for name in (OVERLONG, OLD_OVERLONG):
        if reader.get(f"{name}.enable"):
            reader.put("overlong_buffer", reader.count(f"{name}.len"), f"{name}.len")
            factor = f"{name}.penalty_factor"
            reader.put("overlong_penalty", float(reader.number(factor)), factor)
