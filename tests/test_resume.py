"""Resume at every step: whatever the settings, a run that stopped and went on equals one that never did.

Drawn cases: 300 under STATESET_LONG=1. The runs stop by an exception here, which tries what a checkpoint
holds; `test_kills.py` kills processes, which tries how it gets to the disk.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_model
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from stateset.rl.checkpoint import load_checkpoint
from stateset.rl.resume_proof.differences import differences
from stateset.rl.trainer import GRPOTrainer

QUICK, THOROUGH = 10, 300
EXAMPLES = THOROUGH if os.environ.get("STATESET_LONG") else QUICK
ROWS: list[dict[str, Any]] = [
    {"id": str(i), "prompt": f"say {i}", "reply": "ABBA"[: 1 + i % 4], "pass_rate": i / 5} for i in range(5)
]
HELD_OUT = [{"prompt": "say e"}]
FIXED: dict[str, Any] = {
    "max_response_length": 5,
    "learning_rate": 1e-2,
    "device": "cpu",
    "reward_check": False,
}


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 4}
    return write_model(tmp_path_factory.mktemp("model") / "smallest", **shape)


class Stopped(Exception):
    """Stands for the end of a process."""


@dataclass(frozen=True)
class Stage:
    """One `train()` call."""

    rows: int
    epochs: int
    scale: float


@dataclass(frozen=True)
class Case:
    settings: dict[str, Any]
    stages: tuple[Stage, ...]
    held_out: bool
    stops: frozenset[int]
    save_every: int


def _reward() -> Any:
    def letters(response: str) -> tuple[float, dict[str, float]]:  # local: no worker process to start
        early = sum(character < "P" for character in response) / 5
        found = {"early": min(1.0, early), "luck": random.random() / 10}  # global states are kept for such
        return sum(found.values()) / 2, found

    letters.bounds, letters.weights = (0.0, 1.0), {"early": 0.5, "luck": 0.5}  # type: ignore[attr-defined]
    return letters


KL = st.sampled_from(
    [
        {},
        {"use_kl_loss": True, "kl_loss_coef": 0.1},
        {"use_kl_loss": True, "kl_loss_type": "full", "kl_loss_coef": 0.1},
        {"use_kl_loss": True, "kl_placement": "reward", "kl_loss_coef": 0.1},
    ]
)
SELECTION = st.sampled_from(
    [
        {},
        {"dynamic_sampling": True, "max_gen_batches": 2},
        {"retire_pass_rate": 0.4},
        {"target_pass_rate": 0.5},
        {"dynamic_sampling": True, "retire_pass_rate": 0.5, "max_gen_batches": 2},
        {"mask_truncated": True, "overlong_buffer": 2},
    ]
)
ESTIMATORS = st.sampled_from(["grpo", "grpo", "grpo", "rloo", "gdpo", "gae", "reinforce_plus_plus_baseline"])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n, batch_size = draw(st.integers(2, 3)), draw(st.integers(1, 3))
    selection, estimator = draw(SELECTION), draw(ESTIMATORS)
    if estimator == "gae" and "dynamic_sampling" in selection:
        selection = {}
    given_settings: dict[str, Any] = {
        "rollout_n": n,
        "batch_size": batch_size,
        "mini_batch_size": n * draw(st.integers(1, batch_size)),
        "ppo_epochs": draw(st.integers(1, 2)),
        "gradient_accumulation_steps": draw(st.integers(1, 2)),
        **draw(st.sampled_from([{}, {"lora": True, "lora_rank": 2}])),
        "dtype": draw(st.sampled_from(["fp32", "bf16"])),
        "weight_decay": draw(st.sampled_from([0.0, 0.1])),
        "warmup_steps": draw(st.integers(0, 3)),
        "schedule": draw(st.sampled_from(["constant", "linear", "cosine"])),
        "seed": draw(st.integers(0, 3)),
        "keep_checkpoints": draw(st.integers(1, 3)),
        "adv_estimator": estimator,
        **draw(KL),
        **selection,
    }
    held_out = draw(st.booleans())
    if held_out:
        given_settings["eval_every"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        given_settings["warm_start"] = {"epochs": 1, "batch_size": 2, "learning_rate": 1e-3}
    number = draw(st.sampled_from([1, 1, 2, 3]))
    stage = st.builds(Stage, st.integers(2, 5), st.integers(1, 4 // number), st.sampled_from([1.0, 0.5]))
    stages = tuple(draw(stage) for _ in range(number))
    steps = sum(stage.epochs * -(-stage.rows // batch_size) for stage in stages)
    stops = draw(st.frozensets(st.integers(1, steps), min_size=1, max_size=3))
    return Case(given_settings, stages, held_out, stops, draw(st.integers(1, 4)))


def _trainer(model: Path, out: Path, case: Case, stops: set[int]) -> GRPOTrainer:
    def stop(metrics: Any) -> None:
        if metrics.step in stops:
            stops.remove(metrics.step)
            raise Stopped

    chosen = FIXED | case.settings | {"output_dir": str(out), "save_every": case.save_every}
    return GRPOTrainer(str(model), _reward(), chosen, on_step=stop)


def _run(model: Path, out: Path, case: Case, stops: set[int]) -> None:
    """Every stage; after a stop another trainer goes on, in the stage of the checkpoint."""
    done = False
    while not done:
        random.seed(0)  # as a script does at its start
        np.random.seed(0)
        torch.manual_seed(0)
        resumes = (out / "manifest.json").is_file()
        found = load_checkpoint(out) if resumes else None
        first = found.state.call if found else 0
        trainer = _trainer(model, out, case, stops)
        held_out = HELD_OUT if case.held_out else None
        try:
            for number, stage in enumerate(case.stages[first:], first):
                trainer.train(
                    ROWS[: stage.rows], eval_dataset=held_out, epochs=stage.epochs, reward_scale=stage.scale,
                    resume=out if resumes and number == first else None,
                )  # fmt: skip
            done = True
        except Stopped:
            continue


def _differences(model: Path, case: Case) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder, "whole"), Path(folder, "cut")
        _run(model, whole, case, set())
        _run(model, cut, case, set(case.stops))
        return list(differences(whole, cut))


SELECTING = Case(  # everything that chooses prompts, across a call's end
    {"rollout_n": 2, "batch_size": 2, "dynamic_sampling": True, "max_gen_batches": 2, "retire_pass_rate": 0.4,
     "dtype": "bf16", "lora": True, "lora_rank": 2, "use_kl_loss": True, "warm_start": {"epochs": 1}},
    (Stage(5, 2, 1.0), Stage(4, 2, 0.5)), held_out=False, stops=frozenset({3, 8}), save_every=2,
)  # fmt: skip
UPDATING = Case(  # several optimizer steps a batch, two models, a target
    {"rollout_n": 2, "batch_size": 2, "mini_batch_size": 2, "ppo_epochs": 2, "adv_estimator": "gae",
     "target_pass_rate": 0.5, "schedule": "cosine", "warmup_steps": 2, "weight_decay": 0.1, "eval_every": 1},
    (Stage(5, 3, 1.0),), held_out=True, stops=frozenset({2, 5, 8}), save_every=3,
)  # fmt: skip


@given(case=cases())
@example(case=SELECTING)
@example(case=UPDATING)
@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip  # as drawn: making a failure smaller would take minutes
def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not(smallest: Path, case: Case) -> None:
    assert _differences(smallest, case) == []


def test_a_row_that_no_response_is_scored_on_ends_neither_run(smallest: Path, tmp_path: Path) -> None:
    """A reward that never worked ends a run; one that worked before the resume did work."""
    bad = {"reward_check": False, "batch_size": 1, "rollout_n": 2, "max_response_length": 3}

    def train(out: Path, resume: Path | None, stop: int = 0) -> None:
        torch.manual_seed(0)

        def raises(prompt: str, response: str) -> float:
            if prompt == "say 0":
                raise KeyError("no such order")
            return float(len(response))

        def on_step(metrics: Any) -> None:
            if metrics.step == stop:
                raise Stopped

        settings = bad | {"save_every": 1, "device": "cpu", "output_dir": str(out), "seed": 1}
        one = GRPOTrainer(str(smallest), raises, settings, on_step=on_step)
        one.train(ROWS, resume=resume)

    train(tmp_path / "whole", None)
    metrics = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    [lost] = [step for step, line in enumerate(metrics, 1) if json.loads(line)["rewards/unscored"] > 0]
    assert lost > 1, "else nothing was scored before"
    with pytest.raises(Stopped):
        train(tmp_path / "cut", None, stop=lost)
    train(tmp_path / "cut", tmp_path / "cut")
    assert list(differences(tmp_path / "whole", tmp_path / "cut")) == []
