"""OpenRLHF's settings as ours: what several flags say together."""

from __future__ import annotations

from stateset.rl.config.dialects.exchange import Reader, put_clip
from stateset.rl.config.dialects.openrlhf_names import (
    ESTIMATORS,
    KINDS,
    SCHEDULES,
    TO_A_FLOOR,
    WHITENED,
    N,
)


def read_joint(reader: Reader) -> None:
    """Read every key of OpenRLHF's that is no plain row."""
    n = reader.group_size(N)
    reader.put("rollout_n", n, N)
    prompts, update = (
        reader.count("rollout.batch_size", "batch_size"),
        reader.count("train.batch_size", "mini_batch_size"),
    )
    reader.headline.append(
        f"{prompts} prompts x {n} = {prompts * n} responses, mini-batches of {update} responses"
    )
    rank = reader.number("ds.lora.rank")
    reader.put("lora", rank > 0, "ds.lora.rank")
    if rank > 0:
        reader.put("lora_rank", rank, "ds.lora.rank")
    if reader.has("ds.param_dtype"):
        name = reader.get("ds.param_dtype")
        reader.put("mixed_precision" if name == "fp16" else "dtype", name, "ds.param_dtype")
    for path, key in (("eval.steps", "eval_every"), ("ckpt.save_steps", "save_every")):
        reader.put_every(path, key)
    _read_length(reader)
    _read_schedule(reader)
    _read_estimator(reader)
    _read_loss(reader)
    _read_kl(reader, updates=reader.count("train.max_epochs", "ppo_epochs") * -(-prompts * n // update))


def _read_length(reader: Reader) -> None:
    if reader.has("rollout.max_new_tokens"):
        reader.put("max_response_length", reader.get("rollout.max_new_tokens"), "rollout.max_new_tokens")
        reader.put_aside("data.max_len", "max_new_tokens acts in its place")
        return
    reader.put("max_response_length", reader.get("data.max_len"), "data.max_len")
    reader.note(
        f"{reader.where('data.max_len')}: a response may be as long as data.max_len "
        f"{reader.get('data.max_len')} "
        "less its prompt; here max_response_length is that number."
    )


def _read_schedule(reader: Reader) -> None:
    name, ratio = reader.get("actor.lr_scheduler"), reader.number("actor.lr_warmup_ratio")
    if name not in SCHEDULES:
        reader.refuse("actor.lr_scheduler", f"has no equal here. Known: {', '.join(SCHEDULES)}.")
        return
    reader.put("schedule", SCHEDULES[name], "actor.lr_scheduler")
    reader.put("warmup_steps", 0, "actor.lr_warmup_ratio", "actor.lr_scheduler")
    if name in TO_A_FLOOR and reader.number("actor.min_lr_ratio"):
        reader.note(
            f"{reader.where('actor.lr_scheduler')}: {name} falls to {reader.get('actor.min_lr_ratio'):.0%} "
            "of the peak; cosine here falls to zero."
        )
    if ratio and name != "constant":
        reader.note(
            f"{reader.where('actor.lr_warmup_ratio')}: warm-up is {ratio:.0%} of a number of updates that "
            "only the rows tell. Here it is 0: set `warmup_steps`."
        )


def _read_estimator(reader: Reader) -> None:
    path, plain = "algo.advantage.estimator", "algo.advantage.no_std_norm"
    name = reader.get(path)
    if name not in ESTIMATORS:
        reader.refuse(path, f"has no equal here. Known: {', '.join(ESTIMATORS)}.")
        return
    reader.put("adv_estimator", ESTIMATORS[name], path)
    if ESTIMATORS[name] == "grpo":
        reader.put("norm_adv_by_std", name != "dr_grpo", path)
    if reader.get(plain) and name in WHITENED:
        reader.refuse(plain, f"has no equal here: {name} divides by the standard deviation. Remove it.")
    else:
        reader.put_aside(plain, f"{name} does not read it")


def _read_loss(reader: Reader) -> None:
    is_gspo = reader.get("actor.policy_loss_type") == "gspo"
    path = "actor.loss_agg_mode"
    if reader.get(path) not in ("token-mean", "seq-mean-token-mean"):
        reader.refuse(path, "is unknown to OpenRLHF: write token-mean or seq-mean-token-mean.")
    elif is_gspo:
        reader.put("loss_agg_mode", "seq-mean-token-mean", "actor.policy_loss_type")
    else:
        reader.put("loss_agg_mode", reader.get(path), path)
    low = high = float(reader.number("actor.eps_clip"))
    if reader.has("actor.eps_clip_low_high"):
        pair = reader.get("actor.eps_clip_low_high")
        if not isinstance(pair, list) or [type(each) in (int, float) for each in pair] != [True, True]:
            reader.refuse("actor.eps_clip_low_high", "is not two numbers.")
            return
        low, high = map(float, pair)
        reader.put_aside("actor.eps_clip", "eps_clip_low_high acts in its place")
    put_clip(reader, low, high, "actor.eps_clip_low_high", "actor.eps_clip", is_gspo=is_gspo)
    dual = reader.number("actor.dual_clip") if reader.has("actor.dual_clip") else None
    if not is_gspo:
        reader.put("clip_ratio_dual", dual, "actor.dual_clip")
    elif dual is not None:
        reader.refuse("actor.dual_clip", "beside gspo has no equal here. Remove it.")


def _read_kl(reader: Reader, updates: int) -> None:
    weight, kind = float(reader.number("algo.kl.init_coef")), reader.get("algo.kl.estimator")
    unbiased = bool(reader.get("algo.kl.unbiased_gradient"))
    reader.put("use_kl_loss", weight > 0, "algo.kl.init_coef")
    if weight <= 0:
        return
    reader.put("kl_loss_coef", weight, "algo.kl.init_coef")
    if kind not in KINDS:
        reader.refuse("algo.kl.estimator", "is unknown to OpenRLHF: write k1, k2 or k3.")
    elif reader.get("algo.kl.use_loss"):
        reader.put("kl_loss_type", KINDS[kind] + "+" * unbiased, "algo.kl.estimator")
        reader.put("kl_importance", unbiased and updates > 1, "algo.kl.unbiased_gradient")
    elif kind != "k1":
        reader.refuse("algo.kl.estimator", "has no equal here: a penalty on the reward is of the kind k1.")
    else:
        reader.put("kl_placement", "reward", "algo.kl.use_loss")
        reader.put_aside("algo.kl.unbiased_gradient", "of a KL term in the loss")
