"""The published vectors: the package agrees with each, and the plain loops still write the same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.agree import assert_agrees
from torch import Tensor
from vectors import make

from stateset.rl.algorithm import advantages, kl
from stateset.rl.algorithm.aggregation import AGGREGATIONS, masked, token_weights
from stateset.rl.algorithm.loss import POLICY_LOSSES, Clip

FOLDER = Path(__file__).parent / "vectors"
WRITTEN = {name: (FOLDER / name).read_text() for name in make.files()}
CASES = [case for text in WRITTEN.values() for case in json.loads(text)["cases"]]


def tensor(values: Any) -> Tensor:
    """Float64, or int64 for group numbers; null is NaN."""
    if isinstance(values[0], int):
        return torch.tensor(values)
    with_nan = [
        [math.nan if v is None else v for v in row] if isinstance(row, list) else row for row in values
    ]
    return torch.tensor([math.nan if row is None else row for row in with_nan], dtype=torch.float64)


def arguments(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor(value) if isinstance(value, list) else value for name, value in inputs.items()}


def gradient(value: Tensor, leaf: Tensor) -> Tensor:
    return torch.autograd.grad(value.sum(), leaf)[0]


def advantage(case: dict[str, Any]) -> dict[str, Tensor]:
    result = advantages.ADVANTAGES[case["function"]](**arguments(case["inputs"]))
    return dict(
        zip(("advantages", "returns"), result if case["function"] == "gae" else [result], strict=False)
    )


def kl_penalty(case: dict[str, Any]) -> dict[str, Tensor]:
    inputs = arguments(case["inputs"])
    leaf = inputs["logprobs"].requires_grad_()
    values = kl.kl_penalty(leaf, inputs["ref_logprobs"], inputs["kind"])
    return {"values": values, "gradients": gradient(values, leaf)}


def full_kl(case: dict[str, Any]) -> dict[str, Tensor]:
    inputs = arguments(case["inputs"])
    leaf = inputs["logits"].requires_grad_()
    values = kl.full_kl(leaf, inputs["ref_logits"])
    return {"values": values, "gradients": gradient(values, leaf)}


def aggregation(case: dict[str, Any]) -> dict[str, Tensor]:
    inputs = arguments(case["inputs"])
    weights = token_weights(inputs["mask"], inputs["mode"], norm=inputs["norm"])
    return {"weights": weights, "loss": (inputs["losses"] * weights).sum()}


def policy_loss(case: dict[str, Any]) -> dict[str, Any]:
    inputs = arguments(case["inputs"])
    leaf = inputs["logprobs"].requires_grad_()
    losses, statistics = POLICY_LOSSES[case["function"]](
        leaf, inputs["old_logprobs"], inputs["advantages"], inputs["mask"], Clip(**inputs["clip"])
    )
    return {"losses": losses, "gradients": gradient(losses, leaf), "statistics": statistics}


def whole_loss(case: dict[str, Any]) -> dict[str, Tensor]:
    """The composition that `policy.learner` makes of the package's functions."""
    inputs = arguments(case["inputs"])
    rewards, groups = inputs["rewards"], inputs["groups"]
    by_response = advantages.ADVANTAGES[inputs["estimator"]](rewards, groups)
    mask = inputs["mask"] * advantages.trainable_rows(rewards, groups)[:, None]
    leaf = inputs["logprobs"].requires_grad_()
    losses, _ = POLICY_LOSSES[inputs["policy_loss"]](
        leaf, inputs["old_logprobs"], by_response[:, None].expand(mask.shape), mask, Clip(**inputs["clip"])
    )
    weights = token_weights(mask, inputs["mode"], norm=inputs["norm"])
    penalty = masked(kl.kl_penalty(leaf, inputs["ref_logprobs"], inputs["kl_kind"]), mask)
    policy, mean_kl = (losses * weights).sum(), (penalty * weights).sum()
    loss = policy + inputs["kl_coefficient"] * mean_kl
    return {
        "advantages": by_response,
        "training_mask": mask,
        "policy_loss": policy,
        "kl": mean_kl,
        "loss": loss,
        "gradients": gradient(loss, leaf),
    }


COMPUTE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    **dict.fromkeys(advantages.ADVANTAGES, advantage),
    **dict.fromkeys(POLICY_LOSSES, policy_loss),
    "kl_penalty": kl_penalty,
    "full_kl": full_kl,
    "token_weights": aggregation,
    "whole_loss": whole_loss,
}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_the_package_agrees(case: dict[str, Any]) -> None:
    compare(COMPUTE[case["function"]](case), case["expected"])


def compare(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(actual) == set(expected)
    for name, value in expected.items():
        if isinstance(value, dict):
            compare(actual[name], value)
        else:
            # a share of tokens is counted in integers and divided in float32
            assert_agrees(actual[name], value, 1e-7 if name.startswith("clip_fraction") else 1e-10)


def test_every_function_has_a_vector() -> None:
    assert {case["function"] for case in CASES} == set(COMPUTE)
    kinds = {case["inputs"]["kind"] for case in CASES if case["function"] == "kl_penalty"}
    assert kinds == set(kl.KL_KINDS) - {f"k{n}{plus}" for n in (1, 2, 3) for plus in ("", "+")}
    for function in ("token_weights", "whole_loss"):
        assert {case["inputs"]["mode"] for case in CASES if case["function"] == function} == set(AGGREGATIONS)


def test_make_writes_the_same_bytes() -> None:
    assert make.files() == WRITTEN
    assert sorted(path.name for path in FOLDER.glob("*.json")) == sorted(WRITTEN)


def test_the_readme_names_every_field() -> None:
    readme = (FOLDER / "README.md").read_text()
    fields = {name for case in CASES for part in ("inputs", "expected") for name in case[part]}
    fields |= {name for case in CASES for name in case["expected"].get("statistics", ())}
    assert {name for name in fields if f"`{name}`" not in readme} == set()
