"""verl's functions on the vectors. What verl imports but its arithmetic does not use is stubbed."""

from __future__ import annotations

import sys
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from agreement_cases import (
    CASES,
    DIFFERS,
    EVEN,
    ONLY_FLOAT64,
    PLAIN,
    SAME,
    Caller,
    Check,
    Pairs,
    chosen,
    loss_cases,
    of,
    reference,
    weighed,
)

for unused in ("ray", "codetiming"):
    sys.modules[unused] = MagicMock(name=unused)
from verl.trainer.config import AlgoConfig  # noqa: E402
from verl.trainer.ppo import core_algos as verl  # noqa: E402
from verl.workers.config import ActorConfig  # noqa: E402


def groups(name: str, label: str, names: str, **options: Any) -> Caller:
    """One token a response, so that an advantage a response is what comes back."""

    def pairs(dtype: torch.dtype) -> Pairs:
        for case in chosen("advantages", label, names, dtype):
            rewards = of(case["inputs"]["rewards"], dtype)[:, None]
            result = verl.get_adv_estimator_fn(name)(
                token_level_rewards=rewards,
                response_mask=torch.ones_like(rewards),
                index=np.array(case["inputs"]["groups"]),
                **options,
            )
            yield result[0][:, 0], case["expected"]["advantages"]

    return pairs


def gdpo(lengths: list[int]) -> Caller:
    """With responses of these lengths, in turn."""

    def pairs(dtype: torch.dtype) -> Pairs:
        case = CASES["advantages", "gdpo: two parts"]
        parts = np.array(case["inputs"]["components"])
        count = torch.tensor((lengths * len(parts))[: len(parts)])[:, None]
        mask = (torch.arange(max(lengths))[None] < count).to(dtype)
        keys = [f"part {k}" for k in range(parts.shape[1])]
        attention = torch.cat([mask[:, :1], mask], 1).long()
        result, _ = verl.get_adv_estimator_fn("gdpo")(
            token_level_rewards=torch.zeros_like(mask),
            response_mask=mask,
            index=np.array(case["inputs"]["groups"]),
            config={"gdpo_reward_keys": keys, "gdpo_reward_weights": case["inputs"]["weights"]},
            non_tensor_batch=dict(zip(keys, parts.T, strict=True)),
            batch={"prompts": torch.zeros(len(parts), 1), "attention_mask": attention},
        )
        yield result[:, 0], case["expected"]["advantages"]

    return pairs


def tokens(name: str, labels: list[str], inside: bool = True) -> Caller:
    """Estimators with an advantage a token, compared on one side of the mask."""

    def pairs(dtype: torch.dtype) -> Pairs:
        for label in labels:
            inputs, expected = CASES["advantages", label]["inputs"], CASES["advantages", label]["expected"]
            mask = of(inputs["mask"], dtype)
            options: dict[str, Any] = {"response_mask": mask}
            if "rewards" in inputs:
                first = torch.zeros_like(mask)
                first[:, 0] = of(inputs["rewards"], dtype)
                options |= {"token_level_rewards": first, "index": np.array(inputs["groups"])}
            else:
                options["token_level_rewards"] = of(inputs["token_rewards"], dtype)
            if name == "gae":
                options |= {"values": of(inputs["values"], dtype)} | {k: inputs[k] for k in ("gamma", "lam")}
            else:
                options["config"] = AlgoConfig(gamma=inputs.get("gamma", 1.0))
            results = verl.get_adv_estimator_fn(name)(**options)
            side = (mask > 0) == inside
            for key, result in zip(("advantages", "returns"), results, strict=True):
                if key in expected:
                    yield result[side], of(expected[key], torch.float64)[side]

    return pairs


def kl(kinds: list[str]) -> Caller:
    def pairs(dtype: torch.dtype) -> Pairs:
        for kind in kinds:
            case = CASES["kl", f"kl_penalty: {kind}"]
            leaf = of(case["inputs"]["logprobs"], dtype).requires_grad_()
            values = verl.kl_penalty(leaf, of(case["inputs"]["ref_logprobs"], dtype), kind)
            yield values, case["expected"]["values"]
            yield torch.autograd.grad(values.sum(), leaf)[0], case["expected"]["gradients"]

    return pairs


def full(dtype: torch.dtype) -> Pairs:
    inputs, expected = CASES["kl", "full_kl"]["inputs"], CASES["kl", "full_kl"]["expected"]
    yield (
        verl.kl_penalty(of(inputs["logits"], dtype), of(inputs["ref_logits"], dtype), "full"),
        expected["values"],
    )


def aggregation(mode: str, names: str) -> Caller:
    def pairs(dtype: torch.dtype) -> Pairs:
        for case in chosen("aggregation", mode, names, dtype):
            losses, mask = of(case["inputs"]["losses"], dtype), of(case["inputs"]["mask"], dtype)
            scale = case["inputs"]["norm"]
            yield verl.agg_loss(losses, mask, mode, loss_scale_factor=scale), case["expected"]["loss"]

    return pairs


def actor(**bounds: Any) -> ActorConfig:
    return ActorConfig(strategy="fsdp", rollout_n=1, ppo_micro_batch_size_per_gpu=1, **bounds)


def loss(name: str, labels: list[str], mode: str = "token-mean", compare: str = "loss") -> Caller:
    """Loss and gradients, or with `compare` a statistic: ours by name, or both clip fractions together."""

    def pairs(dtype: torch.dtype) -> Pairs:
        for label in labels:
            inputs, expected = (
                CASES["policy_losses", label]["inputs"],
                CASES["policy_losses", label]["expected"],
            )
            clip, stats = inputs["clip"], expected["statistics"]
            leaf = of(inputs["logprobs"], dtype).requires_grad_()
            old, advantages, mask = (of(inputs[key], dtype) for key in ("old_logprobs", "advantages", "mask"))
            compute = (
                verl.compute_policy_loss_reinforce if name == "reinforce" else verl.get_policy_loss_fn(name)
            )
            config = actor(
                clip_ratio_low=clip["low"], clip_ratio_high=clip["high"], clip_ratio_c=clip["dual"] or 1e30
            )
            result, metrics = compute(old, leaf, advantages, mask, mode, config)
            if compare == "loss":
                wanted, gradients = weighed(inputs, expected, mode)
                yield result, wanted
                yield torch.autograd.grad(result, leaf)[0], gradients
            elif compare == "approx_kl_old":
                yield torch.tensor(metrics["actor/ppo_kl"]), stats[compare]
            else:
                both = stats["clip_fraction_low"] + stats["clip_fraction_high"]
                yield torch.tensor(metrics["actor/pg_clipfrac"]), both

    return pairs


def clip_ratio_alone(dtype: torch.dtype) -> Pairs:
    """`clip_ratio: 0.05` and nothing else, against a clip of 0.05 on both sides."""
    inputs = CASES["policy_losses", "ppo_clip: mixed, default"]["inputs"]
    rows = [inputs[key] for key in ("logprobs", "old_logprobs", "advantages", "mask")]
    losses, gradients, _ = reference.ppo_clip(*rows, low=0.05, high=0.05, dual=3.0)
    wanted, _ = weighed(inputs, {"losses": losses, "gradients": gradients}, "token-mean")
    logprobs, old, advantages, mask = (of(row, dtype) for row in rows)
    vanilla = verl.get_policy_loss_fn("vanilla")
    yield vanilla(old, logprobs, advantages, mask, "token-mean", actor(clip_ratio=0.05))[0], wanted


ALONE = (
    "A group of one has nothing to be compared with: the numerator of the paper, the difference from the "
    "mean, is 0. verl keeps the raw reward, which pushes whatever was sampled."
)
NO_OTHERS = (
    "The paper's baseline is the mean of the others, and there is none. verl's `rloo` keeps the raw reward; "
    "ours is 0, as its `rloo_vectorized` is."
)
ROUNDING = (
    "Equal rewards miss their float32 mean by rounding, which 1e-6 beside a deviation near 0 magnifies. "
    "The paper's numerator is 0; ours, measured from the group's lowest in float64, is exactly that."
)
UNSCORABLE = (
    "verl has no mark for a response without a reward, and NaN spreads over its group; ours leaves it out"
    " of the group's mean and gives it 0."
)
LEAD = (
    "verl divides the lead by the group's deviation unless told not to; ours is the lead itself, which is"
    " also what verl's docstring says."
)
REFUSES = "verl refuses a group of one; ours gives it 0 and goes on with the other groups."
LONG = (
    "The paper's last step normalises over responses, as ours does; verl's goes over their tokens, so "
    "that a long response counts more."
)
OUTSIDE = "verl leaves numbers outside the mask, for the loss's mask to hide; ours are 0 there."
FULL = "verl names the kind and does not implement it; ours is the divergence itself."
EMPTY = "0 / 0, and a gradient of NaN would spoil every weight of the model; without a token ours is 0."
CLAMPED = (
    "verl's log-ratio is clamped at 20 in this statistic too; ours is the mean as it is, so a runaway shows."
)
UNREAD = (
    "verl's `clip_ratio_low` and `clip_ratio_high` are 0.2 unless set, and `clip_ratio` is read only where "
    "they are null, so that the loss is that of 0.2; in ours null is their default."
)
SIDES = (
    "verl counts every clipped weight; ours, for each loss alike, where the advantage's sign makes it bind."
)

TWO, EQUAL, ONE = "groups of two or more", "a group of equal rewards", "a group of one"
NO_STD = {"norm_adv_by_std_in_grpo": False}
MODES = ("token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm")
RETURNS = [f"reinforce_plus_plus: {n}" for n in ("ragged, gamma 1.0", "ragged, gamma 0.9", "gap, gamma 0.9")]
BASELINE = ["reinforce_plus_plus_baseline: ragged"]
GAP = ["gae: gap, gamma 0.9, lambda 0.8"]
GAE = ["gae: ragged, gamma 1.0, lambda 1.0", "gae: ragged, gamma 0.99, lambda 0.95", *GAP]
FRACTIONS = "clip_fraction_low + clip_fraction_high"
KINDS = ["kl", "abs", "mse", "low_var_kl"]
ALL = ("mixed", "on policy", "far")
GRADIENT = "loss and gradient: mixed, on policy, far"


def check(function: str, called: str, on: str, caller: Caller, expect: str = SAME, why: str = "") -> Check:
    return Check(function, "verl", called, on, caller, expect, why)


CHECKS = [
    check("grpo", "grpo", TWO, groups("grpo", "grpo", f"{PLAIN}, narrow")),
    check("grpo", "grpo", EQUAL, groups("grpo", "grpo", "constant"), ONLY_FLOAT64, ROUNDING),
    check("grpo", "grpo", ONE, groups("grpo", "grpo", "alone"), DIFFERS, ALONE),
    check(
        "grpo", "grpo", "an unscorable response", groups("grpo", "grpo", "unscorable"), DIFFERS, UNSCORABLE
    ),
    check("grpo", "grpo_vectorized", TWO, groups("grpo_vectorized", "grpo", PLAIN)),
    check(
        "grpo, norm_by_std=False",
        "grpo",
        TWO,
        groups("grpo", "grpo without std", f"{PLAIN}, narrow", **NO_STD),
    ),
    check("rloo", "rloo", TWO, groups("rloo", "rloo", f"{PLAIN}, narrow")),
    check("rloo", "rloo", ONE, groups("rloo", "rloo", "alone"), DIFFERS, NO_OTHERS),
    check(
        "rloo", "rloo_vectorized", f"{TWO}, and of one", groups("rloo_vectorized", "rloo", f"{PLAIN}, alone")
    ),
    check(
        "grpo_passk", "grpo_passk, not by std", TWO, groups("grpo_passk", "grpo_passk", EVEN, config=NO_STD)
    ),
    check(
        "grpo_passk",
        "grpo_passk, its default",
        TWO,
        groups("grpo_passk", "grpo_passk", EVEN, config={}),
        DIFFERS,
        LEAD,
    ),
    check(
        "grpo_passk",
        "grpo_passk, not by std",
        ONE,
        groups("grpo_passk", "grpo_passk", "alone", config=NO_STD),
        DIFFERS,
        REFUSES,
    ),
    check("gdpo", "gdpo", "responses of one token", gdpo([1])),
    check("gdpo", "gdpo", "responses of 1, 2 and 4 tokens", gdpo([1, 4, 2]), DIFFERS, LONG),
    check(
        "reinforce_plus_plus",
        "reinforce_plus_plus",
        "inside the mask",
        tokens("reinforce_plus_plus", RETURNS),
    ),
    check(
        "reinforce_plus_plus_baseline",
        "reinforce_plus_plus_baseline",
        "a group of four",
        tokens("reinforce_plus_plus_baseline", BASELINE),
    ),
    check("gae", "gae", "inside the mask", tokens("gae", GAE)),
    check("gae", "gae", "outside the mask", tokens("gae", GAP, inside=False), DIFFERS, OUTSIDE),
    check("kl_penalty", "kl_penalty", "value and gradient: " + ", ".join(KINDS), kl(KINDS)),
    check("kl_penalty", "kl_penalty", "the same kinds with +", kl([f"{kind}+" for kind in KINDS])),
    check("full_kl", "kl_penalty, full", "logits", full, DIFFERS, FULL),
    *(
        check(
            f"token_weights, {m}",
            "agg_loss",
            "ragged, gap, empty row",
            aggregation(m, "ragged, gap, empty row"),
        )
        for m in MODES
    ),
    *(
        check(f"token_weights, {m}", "agg_loss", "no token at all", aggregation(m, "nothing"), DIFFERS, EMPTY)
        for m in MODES
    ),
    check("ppo_clip", "vanilla", GRADIENT, loss("vanilla", loss_cases("ppo_clip", *ALL))),
    check(
        f"ppo_clip, {FRACTIONS}",
        "vanilla",
        ", ".join(ALL),
        loss("vanilla", loss_cases("ppo_clip", *ALL), compare=FRACTIONS),
    ),
    check(
        "ppo_clip, approx_kl_old",
        "vanilla",
        "mixed, on policy",
        loss("vanilla", loss_cases("ppo_clip", *ALL[:2]), compare="approx_kl_old"),
    ),
    check(
        "ppo_clip, approx_kl_old",
        "vanilla",
        "far",
        loss("vanilla", loss_cases("ppo_clip", "far"), compare="approx_kl_old"),
        DIFFERS,
        CLAMPED,
    ),
    check("ppo_clip", "vanilla, clip_ratio 0.05 alone", "mixed", clip_ratio_alone, DIFFERS, UNREAD),
    check(
        "gspo",
        "gspo",
        f"{GRADIENT}, the paper's bounds",
        loss("gspo", [*loss_cases("gspo", *ALL), "gspo: paper's bounds"], mode="seq-mean-token-mean"),
    ),
    check(
        f"gspo, {FRACTIONS}",
        "gspo",
        ", ".join(ALL),
        loss("gspo", loss_cases("gspo", *ALL), compare=FRACTIONS),
    ),
    check(
        "cispo",
        "cispo",
        GRADIENT,
        loss("cispo", [*loss_cases("cispo", *ALL), "cispo: mixed, no lower bound"]),
    ),
    check(
        f"cispo, {FRACTIONS}",
        "cispo",
        "mixed",
        loss("cispo", loss_cases("cispo", "mixed"), compare=FRACTIONS),
        DIFFERS,
        SIDES,
    ),
    check("reinforce", "reinforce", GRADIENT, loss("reinforce", loss_cases("reinforce", *ALL))),
    check("reinforce", "gpg", GRADIENT, loss("gpg", loss_cases("reinforce", *ALL))),
]
