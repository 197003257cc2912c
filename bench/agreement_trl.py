"""TRL's trainers on the vectors, made without their constructor and given log-probabilities, not a model."""

from __future__ import annotations

import os
from collections import defaultdict
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from agreement_cases import (
    CASES,
    DIFFERS,
    EVEN,
    NO_DUAL,
    ONLY_FLOAT64,
    PLAIN,
    SAME,
    Caller,
    Check,
    Pairs,
    chosen,
    loss_cases,
    of,
    weighed,
)
from torch import Tensor

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from trl import GRPOTrainer, RLOOTrainer

ARGUMENTS = {
    "report_to": [],
    "per_device_train_batch_size": 64,
    "gradient_checkpointing_kwargs": None,
    "steps_per_generation": 1,
    "gradient_accumulation_steps": 1,
    "use_bias_correction_kl": False,
    "delta": None,
}
OFF = (
    "environment_factories environments tools pad_to_multiple_of reward_clip_range off_policy_mask_threshold "
    "mask_truncated_completions use_vllm normalize_advantages log_multimodal aux_loss_enabled "
    "_entropy_bonus_enabled"
)
SETTINGS = dict.fromkeys(OFF.split()) | {
    "beta": 0.0,
    "multi_objective_aggregation": "sum_then_normalize",
    "scale_rewards": "group",
    "num_iterations": 1,
    "top_entropy_quantile": 1.0,
    "importance_sampling_level": "token",
    "current_gradient_accumulation_steps": 1,
    "max_completion_length": 8,
}


def made(kind: type, **settings: Any) -> Any:
    """A trainer with what the called methods read."""
    trainer = object.__new__(kind)
    alone: dict[str, Any] = dict.fromkeys(("gather", "gather_for_metrics"), lambda x: x)
    trainer.accelerator = SimpleNamespace(
        device=torch.device("cpu"),
        num_processes=1,
        process_index=0,
        is_main_process=True,
        sync_gradients=True,
        reduce=lambda x, reduction="sum": x,
        **alone,
    )
    trainer.model = SimpleNamespace(training=True, is_gradient_checkpointing=False)
    trainer.args = SimpleNamespace(**{key: settings.pop(key, value) for key, value in ARGUMENTS.items()})
    trainer._metrics = {"train": defaultdict(list)}
    trainer._logs, trainer._pending_extra_logs, trainer._pending_metrics = MagicMock(), {}, {}
    trainer.__dict__.update(SETTINGS | settings)
    return trainer


def advantages(kind: type, rewards: Tensor, group: int, **settings: Any) -> Tensor:
    """[B, K] rewards of contiguous groups of one size, as TRL wants them."""
    count, names = len(rewards), [f"part {k}" for k in range(rewards.shape[1])]
    trainer = made(kind, num_generations=group, **settings)
    trainer.reward_funcs = trainer.reward_func_names = names
    trainer.reward_weights = settings.get("reward_weights", torch.ones(len(names))).to(rewards.dtype)
    trainer.processing_class = trainer._tokenizer = SimpleNamespace(pad_token_id=0)
    ids, texts = [[1]] * count, [""] * count
    generated = (ids, ids, None, texts, None, {}, None, None) if kind is GRPOTrainer else (ids, ids, texts)
    trainer._generate = lambda prompts: generated
    trainer._calculate_rewards = lambda *_: rewards
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (torch.zeros(count, 1), None, None)
    return trainer._generate_and_score_completions([{"prompt": ""}] * count)["advantages"]


def groups(kind: type, label: str, names: str, **settings: Any) -> Caller:
    """One call a group, since TRL's groups have one size; one a batch where the batch has a say."""
    whole = label in ("gdpo", "grpo_batch_std")

    def pairs(dtype: torch.dtype) -> Pairs:
        for case in chosen("advantages", label, names, dtype):
            inputs, expected = case["inputs"], np.array(case["expected"]["advantages"])
            numbers = np.array(inputs["groups"])
            values = of(inputs["components" if label == "gdpo" else "rewards"], dtype).reshape(
                len(numbers), -1
            )
            weights = {"reward_weights": of(inputs["weights"], dtype)} if label == "gdpo" else {}
            for rows in [numbers >= 0] if whole else [numbers == number for number in np.unique(numbers)]:
                size = int((numbers == numbers[rows][0]).sum())
                result = advantages(kind, values[torch.tensor(rows)], size, **settings, **weights)
                yield result, expected[rows]

    return pairs


def call(
    inputs: dict[str, Any], dtype: torch.dtype, **settings: Any
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """TRL's loss, its gradients and its metrics on given log-probabilities; advantages are [B] or [B, T]."""
    leaf, mask = of(inputs["logprobs"], dtype).requires_grad_(), of(inputs["mask"], dtype)
    trainer = made(GRPOTrainer, **settings)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (leaf, torch.zeros_like(leaf), None)
    batch = {
        "prompt_ids": torch.ones(len(mask), 1),
        "prompt_mask": torch.ones(len(mask), 1),
        "completion_ids": torch.ones_like(mask),
        "completion_mask": mask,
        "advantages": of(inputs["advantages"], dtype),
        "old_per_token_logps": of(inputs["old_logprobs"], dtype),
        "ref_per_token_logps": of(inputs.get("ref_logprobs", inputs["old_logprobs"]), dtype),
        "num_items_in_batch": mask.sum(),
    }
    loss = trainer._compute_loss(trainer.model, batch)
    return loss, torch.autograd.grad(loss, leaf)[0], trainer._metrics["train"]


def bounds(clip: dict[str, Any], loss_type: str) -> dict[str, Any]:
    """Our clip in TRL's words: cispo's epsilon_high is the bound itself, delta is the dual clip."""
    high = 1 + clip["high"] if loss_type == "cispo" else clip["high"]
    return {"epsilon_low": clip["low"], "epsilon_high": high, "delta": clip["dual"], "loss_type": loss_type}


def loss(labels: list[str], loss_type: str, compare: str = "loss") -> Caller:
    def pairs(dtype: torch.dtype) -> Pairs:
        for label in labels:
            inputs, expected = (
                CASES["policy_losses", label]["inputs"],
                CASES["policy_losses", label]["expected"],
            )
            result, gradients, metrics = call(inputs, dtype, **bounds(inputs["clip"], loss_type))
            if compare == "loss":
                wanted, wanted_gradients = weighed(inputs, expected, "token-mean")
                yield result, wanted
                yield gradients, wanted_gradients
            else:
                for side in ("low", "high"):
                    yield (
                        torch.tensor(metrics[f"clip_ratio/{side}_mean"]),
                        [expected["statistics"][f"clip_fraction_{side}"]],
                    )

    return pairs


def whole(label: str, loss_type: str, masked: bool = False, **more: Any) -> Caller:
    """From advantages to gradients, with the KL; `masked` first hides the unscorable response."""

    def pairs(dtype: torch.dtype) -> Pairs:
        inputs, expected = CASES["whole_loss", label]["inputs"], CASES["whole_loss", label]["expected"]
        given = inputs | {"advantages": expected["advantages"]}
        given |= {"mask": expected["training_mask"]} if masked else {}
        settings = bounds(inputs["clip"], loss_type) | {"beta": inputs["kl_coefficient"]} | more
        result, gradients, _ = call(given, dtype, **settings)
        yield result, expected["loss"]
        yield gradients, expected["gradients"]

    return pairs


def aggregation(loss_type: str, mode: str, names: str) -> Caller:
    """Through a ratio of 1, whose losses are minus the advantages."""

    def pairs(dtype: torch.dtype) -> Pairs:
        for case in chosen("aggregation", mode, names, dtype):
            losses = np.array(case["inputs"]["losses"])
            inputs = {"logprobs": 0 * losses, "old_logprobs": 0 * losses, "advantages": -losses}
            given = inputs | {"mask": case["inputs"]["mask"]}
            yield call(given, dtype, **bounds(NO_DUAL, loss_type))[0], case["expected"]["loss"]

    return pairs


def kl(rows: slice) -> Caller:
    """The loss with beta 1 and no advantage is the mean KL; one token a row gives each its own gradient."""

    def pairs(dtype: torch.dtype) -> Pairs:
        case = CASES["kl", "kl_penalty: low_var_kl"]
        logprobs = np.array(case["inputs"]["logprobs"][rows])[:, None]
        inputs = {
            "logprobs": logprobs,
            "old_logprobs": logprobs,
            "ref_logprobs": np.array(case["inputs"]["ref_logprobs"][rows])[:, None],
            "mask": np.ones_like(logprobs),
            "advantages": [0.0] * len(logprobs),
        }
        result, gradients, _ = call(inputs, dtype, beta=1.0, **bounds(NO_DUAL, "bnpo"))
        yield result, np.mean(case["expected"]["values"][rows])
        yield gradients[:, 0] * len(logprobs), case["expected"]["gradients"][rows]

    return pairs


EPSILON = (
    "TRL's 1e-4 beside the deviation cannot be set. The paper's quotient has no epsilon; ours stays "
    "nearer to it with 1e-6, and `eps` sets another."
)
BATCH = "TRL has 1e-4 beside the deviation where ours has 1e-6, which stays nearer to the quotient."
PARTS = (
    "TRL has 1e-4 beside both deviations, ours 0 within the group and 1e-6 over the batch: nearer to a "
    "z-score."
)
ROUNDING = (
    "Equal rewards miss their float32 mean by rounding, and 1e-4 beside a deviation near 0 magnifies it. "
    "The paper's numerator is 0; ours, measured from the group's lowest in float64, is exactly that."
)
MISSING = (
    "A reward is the sum of its parts in ours, so that without one of them it is unknown; TRL adds up the"
    " parts that are there."
)
UNBOUNDED = (
    "The paper's term has no bound, nor has TRL's; ours ends at 10 (as verl's does), since one token at "
    "exp(26) would be the whole step."
)
ROWS = (
    "Ours divides by the responses that have tokens, TRL by all rows, so that masking a response "
    "(unscorable, truncated) makes the step of the others smaller. The paper has no such response."
)
FAR = (
    "TRL takes the exponential of any log-ratio; ours clamps it at 20 first (as verl does), far outside "
    "any clip."
)
COUNTED = (
    "TRL keeps the tokens of an unscorable response in the number it divides by and in the KL, with "
    "advantage 0; in ours they count nowhere."
)
LOWER = (
    "The paper's formula has a lower bound too, and its experiments leave it open. TRL has none; ours has"
    " the one that is asked for, as verl's does."
)

MOST = f"{PLAIN}, narrow, alone, unscorable"
ON_MOST = "groups of any size, one among them, and unscorable responses"
ROW_LESS, NOTHING = "a response without tokens", "no token at all"
WHOLE = "loss and gradient, from the advantages on"
OURS = {
    "bnpo": "token-mean",
    "dapo": "token-mean",
    "grpo": "seq-mean-token-mean",
    "dr_grpo": "seq-mean-token-sum-norm",
    "luspo": "seq-mean-token-sum",
}
GDPO = {"multi_objective_aggregation": "normalize_then_sum"}
GRPO, RLOO = GRPOTrainer, RLOOTrainer


def check(function: str, called: str, on: str, caller: Caller, expect: str = SAME, why: str = "") -> Check:
    return Check(function, "TRL", called, on, caller, expect, why)


def row_less(kind: str, mode: str) -> Check:
    caller = aggregation(kind, mode, "empty row")
    verdict = (SAME, "") if mode == "token-mean" else (DIFFERS, ROWS)
    return check(f"token_weights, {mode}", f"loss_type {kind}", ROW_LESS, caller, *verdict)


CHECKS = [
    check("grpo, eps=1e-4", "scale_rewards group", ON_MOST, groups(GRPO, "grpo eps 1e-4", MOST)),
    check(
        "grpo, eps=1e-4",
        "scale_rewards group",
        "a group of equal rewards",
        groups(GRPO, "grpo eps 1e-4", "constant"),
        ONLY_FLOAT64,
        ROUNDING,
    ),
    check(
        "grpo",
        "scale_rewards group",
        "ours with its own eps, 1e-6",
        groups(GRPO, "grpo", "binary, narrow"),
        DIFFERS,
        EPSILON,
    ),
    check(
        "grpo, norm_by_std=False",
        "scale_rewards none",
        ON_MOST,
        groups(GRPO, "grpo without std", MOST, scale_rewards="none"),
    ),
    check(
        "grpo_batch_std",
        "scale_rewards batch",
        "groups of one size",
        groups(GRPO, "grpo_batch_std", f"{EVEN}, unscorable", scale_rewards="batch"),
        DIFFERS,
        BATCH,
    ),
    check("rloo", "RLOOTrainer", ON_MOST, groups(RLOO, "rloo", MOST)),
    check(
        "gdpo", "normalize_then_sum", "two parts", groups(GRPO, "gdpo", "two parts", **GDPO), DIFFERS, PARTS
    ),
    check(
        "gdpo",
        "normalize_then_sum",
        "a response without one of its parts",
        groups(GRPO, "gdpo", "unscorable", **GDPO),
        DIFFERS,
        MISSING,
    ),
    check("kl_penalty, low_var_kl", "beta", "value and gradient, log-ratios up to 3", kl(slice(0, 6))),
    check("kl_penalty, low_var_kl", "beta", "values above 10", kl(slice(6, None)), DIFFERS, UNBOUNDED),
    *(
        check(
            f"token_weights, {mode}",
            f"loss_type {kind}",
            "ragged, gap",
            aggregation(kind, mode, "ragged, gap"),
        )
        for kind, mode in OURS.items()
    ),
    *(
        check(f"token_weights, {mode}", f"loss_type {kind}", NOTHING, aggregation(kind, mode, "nothing"))
        for kind, mode in OURS.items()
    ),
    *(row_less(kind, mode) for kind, mode in OURS.items()),
    *(
        check(
            f"ppo_clip + low_var_kl, {mode}",
            f"loss_type {kind}, delta",
            WHOLE,
            whole(f"ppo_clip, {mode}: scored", kind),
        )
        for kind, mode in OURS.items()
    ),
    check(
        "ppo_clip",
        "loss_type dapo, with and without delta",
        "loss and gradient: mixed, on policy",
        loss(loss_cases("ppo_clip", "mixed", "on policy"), "dapo"),
    ),
    check(
        "ppo_clip",
        "loss_type dapo",
        "log-ratios beyond 20",
        loss(["ppo_clip: far, asymmetric, no dual"], "dapo"),
        DIFFERS,
        FAR,
    ),
    check(
        "ppo_clip, clip_fraction_low and _high",
        "loss_type dapo",
        "mixed",
        loss(["ppo_clip: mixed, asymmetric, no dual"], "dapo", "statistics"),
    ),
    check(
        "whole loss",
        "loss_type dapo",
        "an unscorable response",
        whole("ppo_clip, token-mean: one unscorable", "dapo"),
        DIFFERS,
        COUNTED,
    ),
    check(
        "whole loss",
        "loss_type dapo",
        "the same, its tokens masked by hand",
        whole("ppo_clip, token-mean: one unscorable", "dapo", masked=True),
    ),
    check(
        "gspo + low_var_kl",
        "loss_type grpo, sequence level",
        WHOLE,
        whole("gspo, seq-mean-token-mean: scored", "grpo", importance_sampling_level="sequence"),
    ),
    check(
        "cispo", "loss_type cispo", "low 1: no lower bound", loss(["cispo: mixed, no lower bound"], "cispo")
    ),
    check(
        "cispo",
        "loss_type cispo",
        "low 0.2",
        loss(["cispo: mixed, asymmetric, no dual"], "cispo"),
        DIFFERS,
        LOWER,
    ),
]
