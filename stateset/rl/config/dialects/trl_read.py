"""TRL's settings as ours: what several keys say together."""

from __future__ import annotations

import math

from stateset.rl.config.dialects.exchange import LOWEST_CLIP, Reader, put_clip
from stateset.rl.config.dialects.trl_names import (
    ESTIMATORS,
    FILES,
    LOSSES,
    SCHEDULES,
)


def read_joint(reader: Reader) -> None:
    """Read every key of TRL's that is no plain row."""
    updates = _read_sizes(reader)
    _read_steps(reader, updates)
    _read_schedule(reader)
    _read_precision(reader)
    _read_estimator(reader)
    _read_loss(reader)
    _read_kl(reader, updates)
    reader.put(
        "betas",
        (float(reader.number("adam_beta1")), float(reader.number("adam_beta2"))),
        "adam_beta2",
        "adam_beta1",
    )
    if reader.get("use_peft"):
        _read_adapter(reader)
    name = reader.get("dataset_name")
    if name is not None and str(name).endswith(FILES):
        reader.put("dataset", name, "dataset_name")
    else:
        reader.put_aside("dataset_name", "a data set of the hub: save it to a file and give `dataset`")


def _read_sizes(reader: Reader) -> int:
    """Set prompts and mini-batches; return the optimizer updates of one step of ours."""
    n = reader.group_size("num_generations")
    micro = reader.count("per_device_train_batch_size")
    accumulated = reader.count("gradient_accumulation_steps")
    passes = reader.count("num_iterations", "ppo_epochs")
    sampled = _micro_batches_sampled(reader, micro, accumulated)
    reader.put("rollout_n", n, "num_generations")
    if sampled % accumulated and (accumulated % sampled or passes > 1):
        reader.refuse(
            "gradient_accumulation_steps",
            f"of {accumulated} does not divide the {sampled} micro-batches that are sampled at once: an "
            "optimizer update would mix old and new completions. Write a divisor.",
        )
        return 1
    update, responses = micro * accumulated, micro * max(sampled, accumulated)
    if update % n:
        reader.refuse(
            "per_device_train_batch_size" if reader.has("per_device_train_batch_size") else "num_generations",
            f"splits groups: an optimizer update takes {update} completions, and here it takes whole groups "
            f"of {n}. Write a gradient_accumulation_steps that makes it a multiple of {n}.",
        )
        return 1
    updates = passes * (responses // update)
    sizes = ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation")
    reader.put("batch_size", responses // n, "generation_batch_size", *reversed(sizes), "num_generations")
    reader.put("mini_batch_size", update, *sizes, "num_generations")
    reader.headline.append(
        f"{responses} completions are sampled at once on one process: {responses // n} prompts x {n}, in "
        f"{responses // update} mini-batch(es) of {micro} x {accumulated} = {update} responses"
    )
    return updates


def _micro_batches_sampled(reader: Reader, micro: int, accumulated: int) -> int:
    steps, completions = "steps_per_generation", "generation_batch_size"
    if not reader.has(completions):
        return reader.count(steps) if reader.has(steps) else accumulated
    count = reader.count(completions)
    if reader.has(steps) or count % micro:
        reader.refuse(
            "generation_batch_size",
            f"is refused by TRL: give it alone, without steps_per_generation, as a multiple of {micro}.",
        )
        return accumulated
    return count // micro


def _read_steps(reader: Reader, updates: int) -> None:
    limit, epochs = reader.number("max_steps"), reader.number("num_train_epochs")
    if limit > 0:
        steps = _in_steps(reader, "max_steps", updates)
        reader.put("max_steps", steps, "max_steps")
        reader.put("epochs", steps, "max_steps")
        reader.put_aside("num_train_epochs", "max_steps acts in its place")
    elif epochs == int(epochs):
        reader.put("epochs", int(epochs), "num_train_epochs")
    else:
        reader.refuse("num_train_epochs", "is no whole number: write one, or max_steps.")
    for path, key in (("save_steps", "save_every"), ("eval_steps", "eval_every")):
        if reader.has(path) and reader.number(path) >= 1:
            reader.put(key, _in_steps(reader, path, updates), path)
        else:
            reader.put_aside(path, f"a share of the whole run; here {key} counts steps and stays as it is")


def _in_steps(reader: Reader, path: str, updates: int) -> int:
    count = int(reader.get(path))
    if count % updates:
        reader.note(
            f"{reader.where(path)}: {path} {count} is rounded up to whole steps of {updates} updates."
        )
    return -(-count // updates)


def _read_schedule(reader: Reader) -> None:
    schedule = SCHEDULES.get(reader.get("lr_scheduler_type"))
    if schedule is None:
        reader.refuse("lr_scheduler_type", f"has no equal here. Known: {', '.join(SCHEDULES)}.")
        return
    reader.put("schedule", schedule, "lr_scheduler_type")
    path = "warmup_ratio" if reader.has("warmup_ratio") and not reader.get("warmup_steps") else "warmup_steps"
    steps, total = reader.number(path), reader.number("max_steps")
    if reader.get("lr_scheduler_type") == "constant":
        reader.put_aside(path, "constant has no warm-up; constant_with_warmup has")
        reader.put("warmup_steps", 0, "lr_scheduler_type")
    elif 0 < steps < 1 and total <= 0:
        reader.note(
            f"{reader.where(path)}: warm-up is {steps:.0%} of a number of updates that only the rows tell. "
            "Here it is 0: set `warmup_steps` to a number, or max_steps."
        )
        reader.put("warmup_steps", 0, path)
    else:
        share = 0 < steps < 1 or path == "warmup_ratio"
        reader.put("warmup_steps", math.ceil(steps * total) if share else int(steps), path)


def _read_precision(reader: Reader) -> None:
    if reader.get("fp16"):
        reader.put("mixed_precision", "fp16", "fp16")
        reader.put_aside("bf16", "fp16 acts")
    elif reader.has("bf16"):
        reader.put("dtype", "bf16" if reader.get("bf16") else "fp32", "bf16")
        reader.put_aside("fp16", "off")


def _read_estimator(reader: Reader) -> None:
    if reader.get("multi_objective_aggregation") == "normalize_then_sum":
        reader.put("adv_estimator", "gdpo", "multi_objective_aggregation")
        reader.put_aside("scale_rewards", "normalize_then_sum scales each reward itself")
        return
    scale = reader.get("scale_rewards")
    known = ESTIMATORS.get(scale.lower() if isinstance(scale, str) else scale)
    if known is None:
        reader.refuse("scale_rewards", "is unknown to TRL: write group, batch or none.")
        return
    reader.put("adv_estimator", known[0], "scale_rewards")
    if known[0] == "grpo":
        reader.put("norm_adv_by_std", known[1], "scale_rewards")


def _read_loss(reader: Reader) -> None:
    kind, level = reader.get("loss_type"), reader.get("importance_sampling_level")
    if kind not in LOSSES:
        reader.refuse("loss_type", f"has no equal here. Known: {', '.join(LOSSES)}.")
        return
    loss, aggregation = LOSSES[kind]
    if level == "sequence" and kind == "cispo":
        reader.refuse("importance_sampling_level", "beside cispo has no equal here. Write token.")
        return
    if kind == "bnpo" and reader.count("per_device_train_batch_size") == 1:
        aggregation = "seq-mean-token-mean"
    elif kind == "bnpo" and reader.count("gradient_accumulation_steps") > 1:
        reader.note(
            f"{reader.where('loss_type')}: bnpo weighs every micro-batch the same; here every token of the "
            "mini-batch does (dapo)."
        )
    reader.put("loss", "gspo" if level == "sequence" else loss, *_loss_paths(level))
    reader.put("loss_agg_mode", aggregation, "loss_type")
    if reader.get("entropy_coef") and aggregation != "token-mean":
        reader.note(
            f"entropy_coef: a mean over tokens in TRL; here it is weighed as the loss, by {aggregation}."
        )
    if kind == "cispo":
        _read_cispo_clip(reader)
    else:
        _read_clip(reader, is_gspo=level == "sequence")


def _loss_paths(level: str) -> tuple[str, ...]:
    return ("importance_sampling_level", "loss_type") if level == "sequence" else ("loss_type",)


def _read_cispo_clip(reader: Reader) -> None:
    path = "epsilon_high" if reader.has("epsilon_high") else "epsilon"
    bound = float(reader.number(path))
    if bound <= 1:
        reader.refuse(
            path,
            f"of {bound} bounds cispo's ratio itself: at or below 1 every token is scaled down. Write 5.0.",
        )
        return
    reader.put("clip_ratio_low", LOWEST_CLIP, path, "loss_type")
    reader.put("clip_ratio_high", round(bound - 1, 12), path)
    if path != "epsilon":
        reader.put_aside("epsilon", "cispo has no lower bound")
    reader.put_aside("delta", "of the clipped losses only")


def _read_clip(reader: Reader, *, is_gspo: bool) -> None:
    low = float(reader.number("epsilon"))
    high = float(reader.number("epsilon_high")) if reader.has("epsilon_high") else low
    upper = "epsilon_high" if reader.has("epsilon_high") else "epsilon"
    put_clip(reader, low, high, "epsilon", upper, is_gspo=is_gspo)
    delta = float(reader.number("delta")) if reader.has("delta") else None
    if is_gspo:
        if delta is not None:
            reader.refuse("delta", "beside importance_sampling_level sequence has no equal here. Remove it.")
    elif delta is not None and delta < 1 + high:
        reader.refuse(
            "delta", f"below 1 + epsilon_high = {1 + high} has no equal here. Raise it, or remove it."
        )
    else:
        reader.put("clip_ratio_dual", delta, "delta")


def _read_kl(reader: Reader, updates: int) -> None:
    beta, corrected = float(reader.number("beta")), reader.get("use_bias_correction_kl")
    reader.put("use_kl_loss", beta != 0, "beta")
    if beta == 0:
        reader.put_aside("use_bias_correction_kl", "without beta there is no KL term")
        return
    reader.put("kl_loss_coef", beta, "beta")
    reader.put("kl_loss_type", "low_var_kl+" if corrected else "low_var_kl", "use_bias_correction_kl")
    reader.put("kl_importance", bool(corrected) and updates > 1, "use_bias_correction_kl")
    if corrected and reader.get("importance_sampling_level") == "sequence":
        path = (
            "use_bias_correction_kl" if reader.has("use_bias_correction_kl") else "importance_sampling_level"
        )
        reader.refuse(
            path, "with a KL term multiplies it by the sequence's ratio. Write use_bias_correction_kl: false."
        )


def _read_adapter(reader: Reader) -> None:
    dropout, layers = reader.get("lora_dropout"), reader.get("lora_target_modules")
    if dropout:
        reader.note(
            f"{reader.where('lora_dropout')}: lora_dropout {dropout}; here nothing of an adapter is dropped."
        )
    if layers is None:
        reader.note("TRL adapts the layers that PEFT chooses for the model; here all linear layers.")
    elif layers not in ("all-linear", ["all-linear"]):
        reader.refuse(
            "lora_target_modules", "has no equal here: all linear layers are adapted. Write all-linear."
        )
