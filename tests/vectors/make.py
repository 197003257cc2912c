"""The test vectors, from the plain loops of `tests/reference` in float64: small inputs, and what comes out.

    python tests/vectors/make.py

needs no package and writes the same bytes every time. README.md says what the fields mean.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from reference import algorithm as reference  # noqa: E402

Case = dict[str, Any]
DIGITS = 13  # significant ones written, so that another machine's last bit does not change a file
NAN = math.nan

REWARDS: dict[str, tuple[str, list[float], list[int]]] = {
    "interleaved": (
        "three groups of unequal size, in no order",
        [1.0, 0.5, 0.0, 2.0, 0.25, 1.0, -1.0, 0.75, 0.5],
        [7, 3, 7, 3, 7, 5, 3, 5, 7],
    ),
    "binary": (
        "right or wrong, four a group; nothing right in the last",
        [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2],
    ),
    "constant": (
        "a group of equal rewards, whose sum rounds in float32: exactly 0 there",
        [0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 1.0, 0.2],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
    ),
    "alone": ("a group of one: nothing to compare with, 0", [1.0, 0.0, 0.5, 0.9], [0, 0, 0, 1]),
    "unscorable": (
        "null could not be scored: out of every mean, advantage 0; it leaves one group with one",
        [1.0, NAN, 0.0, 0.5, 0.75, NAN, NAN, NAN],
        [0, 0, 0, 0, 1, 1, 1, 1],
    ),
    "negative": ("means below and at 0", [-1.0, -2.0, -0.5, -1.0, 0.0, 1.0], [0, 0, 0, 1, 1, 1]),
    "tie": ("two share the best reward", [1.0, 1.0, 0.0, 0.5, 0.25, 0.0], [0, 0, 0, 1, 1, 1]),
    "narrow": ("a spread near the epsilons", [0.500001, 0.5, 0.5, 0.500003], [0, 0, 0, 0]),
}

GROUP_ESTIMATORS: dict[str, tuple[str, dict[str, Any], Callable[..., list[float]]]] = {
    "grpo": ("grpo", {"norm_by_std": True, "eps": 1e-6}, reference.grpo),
    "grpo eps 1e-4": ("grpo", {"norm_by_std": True, "eps": 1e-4}, reference.grpo),
    "grpo without std": ("grpo", {"norm_by_std": False}, reference.grpo),
    "grpo_batch_std": ("grpo_batch_std", {}, reference.grpo_batch_std),
    "rloo": ("rloo", {}, reference.rloo),
    "maxrl": ("maxrl", {}, reference.maxrl),
    "grpo_passk": ("grpo_passk", {}, reference.grpo_passk),
}

COMPONENTS: dict[str, tuple[str, list[list[float]], list[float], list[int]]] = {
    "two parts": (
        "one part is constant in the second group",
        [[1.0, 0.2], [0.0, 0.4], [1.0, 0.9], [0.0, 0.1], [1.0, 0.3], [1.0, 0.8], [1.0, 0.5], [1.0, 0.0]],
        [1.0, 0.5],
        [0, 0, 0, 0, 1, 1, 1, 1],
    ),
    "unscorable": (
        "a null in one part makes the response unscorable",
        [[1.0, 0.2], [0.0, NAN], [0.0, 0.9], [1.0, 0.1], [0.0, 0.3], [1.0, 0.8]],
        [1.0, 2.0],
        [0, 0, 0, 1, 1, 1],
    ),
}

MASKS = {
    "ragged": [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]],
    "gap": [[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]],
    "empty row": [[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]],
    "nothing": [[0.0, 0.0, 0.0, 0.0]] * 4,
}
TOKEN_REWARDS = {
    "ragged": [[0.0, 0.0, 1.0, 0.0], [0.0, -0.5, 0.0, 0.0], [0.1, 0.0, 0.2, 0.5], [0.75, 0.0, 0.0, 0.0]],
    "gap": [[0.0, 0.0, 0.0, 1.0], [0.0, -0.5, 0.0, 0.0], [0.1, 0.0, 0.0, 0.5], [0.75, 0.0, 0.0, 0.0]],
}
VALUES = [[0.2, 0.4, 0.6, 0.1], [-0.1, 0.0, 0.3, 0.5], [0.3, 0.5, 0.2, 0.4], [0.5, 0.9, -0.3, 0.2]]

LOG_PAIRS = [  # (policy, reference); the last four reach a clamp of low_var_kl
    (-1.0, -1.0),
    (-0.5, -0.7),
    (-2.0, -1.25),
    (-0.1, -3.0),
    (-4.0, -2.0),
    (-0.001, -0.0011),
    (-6.0, -3.0),
    (-1.0, -12.5),
    (-27.0, -1.0),
    (-1.0, -27.0),
]
FULL_LOGITS = (
    [[2.0, 1.0, 0.0, -1.0], [0.5, 0.5, 0.5, 0.5], [3.0, -2.0, 1.0, 0.25]],
    [[1.0, 1.0, 0.5, -2.0], [1.5, 0.0, -0.5, 0.25], [3.0, -2.0, 1.0, 0.25]],
)

LOGPROBS = [
    [-0.7, -1.5, -2.1, -9.0],
    [-1.6, -1.3, -9.0, -9.0],
    [-2.0, -0.4, -3.0, -1.1],
    [-1.2, -0.8, -9.0, -9.0],
]
OLD_LOGPROBS = [
    [-1.0, -1.4, -2.1, -1.0],
    [-0.9, -1.35, -1.0, -1.0],
    [-1.0, -2.4, -2.95, -1.6],
    [-1.5, -0.6, -1.0, -1.0],
]
REF_LOGPROBS = [
    [-1.2, -1.4, -2.0, -1.0],
    [-1.0, -1.2, -1.0, -1.0],
    [-1.3, -1.4, -2.5, -1.6],
    [-1.7, -0.9, -1.0, -1.0],
]
ADVANTAGES = [[1.5, 1.5, 1.5, 9.0], [-0.5, -0.5, 9.0, 9.0], [-2.0, -2.0, -2.0, -2.0], [1.0, -1.0, 9.0, 9.0]]
LOSS_MASK = [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
CLIPS: dict[str, Case] = {
    "default": {"low": 0.2, "high": 0.2, "dual": 3.0},
    "asymmetric, no dual": {"low": 0.2, "high": 0.28, "dual": None},
}
POLICY_LOSSES = {
    "ppo_clip": reference.ppo_clip,
    "gspo": reference.gspo,
    "cispo": reference.cispo,
    "reinforce": reference.reinforce,
}
GSPO_CLIP = {"low": 3e-4, "high": 4e-4, "dual": None}
AGGREGATIONS = {
    "token-mean": None,
    "seq-mean-token-sum": None,
    "seq-mean-token-mean": None,
    "seq-mean-token-sum-norm": 8.0,
}


def case(function: str, name: str, note: str, inputs: Case, expected: Case) -> Case:
    return {"function": function, "name": name, "note": note, "inputs": inputs, "expected": expected}


def advantages() -> Iterator[Case]:
    for label, (function, options, compute) in GROUP_ESTIMATORS.items():
        for name, (note, rewards, groups) in REWARDS.items():
            inputs = {"rewards": rewards, "groups": groups, **options}
            yield case(
                function,
                f"{label}: {name}",
                note,
                inputs,
                {"advantages": compute(rewards, groups, **options)},
            )
    for name, (note, components, weights, groups) in COMPONENTS.items():
        inputs = {"components": components, "weights": weights, "groups": groups}
        expected = {"advantages": reference.gdpo(components, weights, groups)}
        yield case("gdpo", f"gdpo: {name}", note, inputs, expected)
    yield from token_advantages()


def token_advantages() -> Iterator[Case]:
    for mask_name, gamma in (("ragged", 1.0), ("ragged", 0.9), ("gap", 0.9)):
        mask, rewards = MASKS[mask_name], TOKEN_REWARDS[mask_name]
        expected = {"advantages": reference.reinforce_plus_plus(rewards, mask, gamma)}
        inputs = {"token_rewards": rewards, "mask": mask, "gamma": gamma}
        name = f"reinforce_plus_plus: {mask_name}, gamma {gamma}"
        yield case(
            "reinforce_plus_plus", name, "a token outside the mask costs no discount", inputs, expected
        )
    for name, rewards in {"ragged": [1.0, 0.0, 0.5, 0.25], "unscorable": [1.0, 0.0, 0.5, NAN]}.items():
        groups, mask = [0, 0, 0, 0], MASKS["ragged"]
        expected = {"advantages": reference.reinforce_plus_plus_baseline(rewards, groups, mask)}
        yield case(
            "reinforce_plus_plus_baseline",
            f"reinforce_plus_plus_baseline: {name}",
            "whitened over all tokens of the scored responses, so a long response weighs more",
            {"rewards": rewards, "groups": groups, "mask": mask},
            expected,
        )
    for mask_name, gamma, lam in (("ragged", 1.0, 1.0), ("ragged", 0.99, 0.95), ("gap", 0.9, 0.8)):
        mask, rewards = MASKS[mask_name], TOKEN_REWARDS[mask_name]
        whitened, returns = reference.gae(rewards, VALUES, mask, gamma, lam)
        inputs = {"token_rewards": rewards, "values": VALUES, "mask": mask, "gamma": gamma, "lam": lam}
        name = f"gae: {mask_name}, gamma {gamma}, lambda {lam}"
        note = "advantages whitened over the batch; returns, the critic's targets, from before that"
        yield case("gae", name, note, inputs, {"advantages": whitened, "returns": returns})


def kl() -> Iterator[Case]:
    logprobs, ref = [p for p, _ in LOG_PAIRS], [q for _, q in LOG_PAIRS]
    for base in ("kl", "abs", "mse", "low_var_kl"):
        for kind in (base, f"{base}+"):
            expected = {
                "values": [reference.kl_value(p, q, kind) for p, q in LOG_PAIRS],
                "gradients": [reference.kl_gradient(p, q, kind) for p, q in LOG_PAIRS],
            }
            inputs = {"logprobs": logprobs, "ref_logprobs": ref, "kind": kind}
            yield case("kl_penalty", f"kl_penalty: {kind}", "elementwise", inputs, expected)
    pairs = [reference.full_kl(p, q) for p, q in zip(*FULL_LOGITS, strict=True)]
    yield case(
        "full_kl",
        "full_kl",
        "KL(policy || reference) over the vocabulary; the last row's distributions are the same",
        {"logits": FULL_LOGITS[0], "ref_logits": FULL_LOGITS[1]},
        {"values": [value for value, _ in pairs], "gradients": [gradient for _, gradient in pairs]},
    )


def aggregation() -> Iterator[Case]:
    losses = [[1.0, -2.0, 3.0, 9.0], [0.5, 0.25, 9.0, 9.0], [-1.0, 2.0, 0.5, 1.5], [4.0, -3.0, 9.0, 9.0]]
    for name, mask in MASKS.items():
        for mode, norm in AGGREGATIONS.items():
            weights = reference.token_weights(mask, mode, norm)
            yield case(
                "token_weights",
                f"{mode}: {name}",
                "a response without tokens is no row",
                {"mask": mask, "mode": mode, "norm": norm, "losses": losses},
                {"weights": weights, "loss": weighed(losses, weights)},
            )


def policy_losses() -> Iterator[Case]:
    far = [
        [-0.5, -22.0, -1.0, -30.0],
        [-11.0, -14.5, -0.2, -0.3],
        [-25.0, -0.1, -0.9, -0.2],
        [-2.0, -9.0, -9.0, -9.0],
    ]
    near = [
        [-25.0, -0.5, -1.1, -1.0],
        [-0.1, -0.4, -12.0, -11.5],
        [-1.0, -25.0, -1.0, -0.3],
        [-2.0, -1.0, -1.0, -1.0],
    ]
    batches: dict[str, tuple[str, list[Any]]] = {
        "mixed": ("ratios on both sides of the bounds", [LOGPROBS, OLD_LOGPROBS]),
        "on policy": ("every ratio is 1: no clip binds", [OLD_LOGPROBS, OLD_LOGPROBS]),
        "far": ("log-ratios beyond the clamp at 20 (gspo: a mean beyond 10)", [far, near]),
    }
    for function, compute in POLICY_LOSSES.items():
        for name, (note, (logprobs, old)) in batches.items():
            for clip_name, clip in CLIPS.items():
                label = f"{function}: {name}, {clip_name}"
                yield policy_case(function, compute, label, note, logprobs, old, clip)
    unbounded = {"low": 1.0, "high": 0.2, "dual": None}
    note, label = "low 1 bounds the ratio by 0", "cispo: mixed, no lower bound"
    yield policy_case("cispo", reference.cispo, label, note, LOGPROBS, OLD_LOGPROBS, unbounded)
    moves = (2e-4, 5e-4, -1e-4, 0.0)
    small = [[x + d for x, d in zip(row, moves, strict=True)] for row in OLD_LOGPROBS]
    note, label = "the paper's bounds, on a ratio of the whole response", "gspo: paper's bounds"
    yield policy_case("gspo", reference.gspo, label, note, small, OLD_LOGPROBS, GSPO_CLIP)


def policy_case(
    function: str, compute: Callable[..., Any], name: str, note: str, logprobs: Any, old: Any, clip: Case
) -> Case:
    losses, gradients, statistics = compute(logprobs, old, ADVANTAGES, LOSS_MASK, **clip)
    inputs = {
        "logprobs": logprobs,
        "old_logprobs": old,
        "advantages": ADVANTAGES,
        "mask": LOSS_MASK,
        "clip": clip,
    }
    expected = {"losses": losses, "gradients": gradients, "statistics": statistics}
    return case(function, name, note, inputs, expected)


def whole_loss() -> Iterator[Case]:
    recipes = [("ppo_clip", mode, CLIPS["default"]) for mode in AGGREGATIONS]
    recipes += [("gspo", "seq-mean-token-mean", GSPO_CLIP), ("cispo", "token-mean", CLIPS["default"])]
    for function, mode, clip in recipes:
        yield whole_case("scored", [1.0, 0.25, 0.0, 0.5], function, mode, clip)
    for mode in AGGREGATIONS:
        yield whole_case("one unscorable", [1.0, 0.25, NAN, 0.5], "ppo_clip", mode, CLIPS["default"])


def whole_case(name: str, rewards: list[float], function: str, mode: str, clip: Case) -> Case:
    """Rewards to loss; the tokens of a response that could not be scored count nowhere."""
    groups, coefficient, kind = [0, 0, 0, 0], 0.05, "low_var_kl"
    by_response = reference.grpo(rewards, groups)
    by_token = [[a] * len(row) for row, a in zip(LOSS_MASK, by_response, strict=True)]
    mask = [[0.0 if math.isnan(r) else m for m in row] for row, r in zip(LOSS_MASK, rewards, strict=True)]
    losses, gradients, _ = POLICY_LOSSES[function](LOGPROBS, OLD_LOGPROBS, by_token, mask, **clip)
    weights = reference.token_weights(mask, mode, AGGREGATIONS[mode])
    policy, penalty = weighed(losses, weights), weighed(each(reference.kl_value, kind), weights)
    slopes = each(reference.kl_gradient, kind)
    rows = zip(gradients, slopes, weights, strict=True)
    inputs = {
        "rewards": rewards,
        "groups": groups,
        "mask": LOSS_MASK,
        "logprobs": LOGPROBS,
        "old_logprobs": OLD_LOGPROBS,
        "ref_logprobs": REF_LOGPROBS,
        "estimator": "grpo",
        "policy_loss": function,
        "clip": clip,
        "mode": mode,
        "norm": AGGREGATIONS[mode],
        "kl_kind": kind,
        "kl_coefficient": coefficient,
    }
    expected = {
        "advantages": by_response,
        "training_mask": mask,
        "policy_loss": policy,
        "kl": penalty,
        "loss": policy + coefficient * penalty,
        "gradients": [[(g + coefficient * s) * w for g, s, w in zip(*row, strict=True)] for row in rows],
    }
    note = "loss = policy_loss + kl_coefficient x kl"
    return case("whole_loss", f"{function}, {mode}: {name}", note, inputs, expected)


def each(function: Callable[[float, float, str], float], kind: str) -> list[list[float]]:
    return [
        [function(p, q, kind) for p, q in zip(row, ref, strict=True)]
        for row, ref in zip(LOGPROBS, REF_LOGPROBS, strict=True)
    ]


def weighed(values: list[list[float]], weights: list[list[float]]) -> float:
    """Nothing of what stands where the weight is 0."""
    pairs = (pair for rows in zip(values, weights, strict=True) for pair in zip(*rows, strict=True))
    return math.fsum(value * weight for value, weight in pairs if weight)


FILES: dict[str, Callable[[], Iterator[Case]]] = {
    "advantages": advantages,
    "kl": kl,
    "aggregation": aggregation,
    "policy_losses": policy_losses,
    "whole_loss": whole_loss,
}


def plain(value: Any, rounded: bool) -> Any:
    """What JSON can say: NaN as null, numbers that were computed with DIGITS digits."""
    if isinstance(value, dict):
        return {key: plain(item, rounded or key == "expected") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, rounded) for item in value]
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return float(f"{value:.{DIGITS}g}") + 0.0 if rounded else value  # + 0.0: no -0.0
    return value


def layout(value: Any, depth: int = 0) -> str:
    """Objects over several lines, everything else on one."""
    if not isinstance(value, dict) or depth > 3:
        return json.dumps(value)
    inner = "  " * (depth + 1)
    entries = (f"{inner}{json.dumps(key)}: {layout(item, depth + 1)}" for key, item in value.items())
    return "{\n" + ",\n".join(entries) + "\n" + "  " * depth + "}"


def files() -> dict[str, str]:
    """The text of each file by its name."""
    return {f"{name}.json": text(name, list(make())) for name, make in FILES.items()}


def text(name: str, cases: list[Case]) -> str:
    rows = ",\n".join(layout(plain(row, False)) for row in cases)
    return f'{{"vectors": "{name}", "format": 1, "license": "Apache-2.0", "cases": [\n{rows}\n]}}\n'


if __name__ == "__main__":
    for file, content in files().items():
        (HERE / file).write_text(content)
