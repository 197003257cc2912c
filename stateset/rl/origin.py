"""What a run was begun with, of which a resume must find the same: the `Origin` of its checkpoints.

Settings that act, rows, rewards, the model and its texts, versions, and the machine where it decides how sums
round. What differs is refused, unless `allow_change` names its key.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace

import torch

from stateset.rl.checkpoint import Origin, TrainerState
from stateset.rl.config.rules import acting_values
from stateset.rl.config.schema import Config
from stateset.rl.manifest import PACKAGES, fingerprint, versions
from stateset.rl.policy.frozen import frozen_sha256, text_facts
from stateset.rl.policy.policy import Policy
from stateset.rl.rewards.fingerprint import code_sha256, state_sha256
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.types import Task

# Settings that change no number of any step. The rows are compared as such, wherever they lie.
FREE = (
    "dataset", "distributed", "eval_dataset", "keep_checkpoints", "max_cost", "max_minutes", "num_gpus",
    "objective", "output_dir", "price_per_hour", "save_every", "strategy",
)  # fmt: skip
LENGTH = ("epochs", "max_steps")  # they change no step but the last while the rate is constant


def tasks_fingerprint(tasks: Sequence[Task], *facts: object) -> str:
    """Hash of a data set's rows, wherever they were read from, and of facts that go with them."""
    return fingerprint([*map(str, facts), *(repr(replace(task, source="")) for task in tasks)])


def order_facts(config: Config) -> tuple[object, ...]:
    """What the order of a run's tasks depends on beside the rows."""
    return config.seed, config.batch_size, config.rollout_n, config.target_pass_rate


def origin_of(
    config: Config,
    policy: Policy,
    scorer: RewardScorer,
    eval_scorer: RewardScorer,
    *,
    held_out: Sequence[Task],
    imitated: Sequence[Task],
    ranks: int,
    **facts: object,
) -> Origin:
    """What must be the same when a run goes on.

    Args:
        config: the settings; of these the ones that act.
        policy: the model, as it was loaded.
        scorer: of the training.
        eval_scorer: of the held-out tasks; may be the same.
        held_out: those tasks.
        imitated: the tasks of a warm start.
        ranks: processes that train together.
        facts: more, by key.
    """
    free = (*FREE, *(LENGTH if config.schedule == "constant" else ()))
    settings = {key: value for key, value in acting_values(config).items() if key not in free}
    other, verifier = None if eval_scorer is scorer else eval_scorer, scorer.verifier
    rows = {
        "eval_rows": tasks_fingerprint(held_out) if held_out else None,
        "warm_start_rows": tasks_fingerprint(imitated) if imitated else None,
    }
    rewards = {
        "reward_code": scorer.code,
        "reward_state": scorer.state,
        "eval_reward_code": None if other is None else other.code,
        "eval_reward_state": None if other is None else other.state,
        "verifier_code": None if verifier is None else code_sha256(verifier),
        "verifier_state": None if verifier is None else state_sha256(verifier),
    }
    return settings | _model(policy) | rows | rewards | _machine(policy, ranks) | versions(PACKAGES) | facts


def comparable(then: Origin, now: Origin, state: TrainerState) -> tuple[Origin, Origin]:
    """Two origins, equal in what cannot matter: rows of a warm start that is over, threads of other ranks."""
    free = ["ranks"]
    if state.warm_start:
        free.append("warm_start_rows")
    if then.get("ranks") != now.get("ranks"):
        free.append("threads")
    return then | {key: now.get(key) for key in free}, now


def _model(policy: Policy) -> Origin:
    """The model without the weights that a checkpoint holds; device and precision as `auto` chose them."""
    return {
        "model": policy.name,
        "model_revision": policy.revision,
        "frozen_weights": frozen_sha256(policy),
        **text_facts(policy),
        "device": policy.device.type,
        "dtype": str(policy.dtype).removeprefix("torch."),
    }


def _machine(policy: Policy, ranks: int) -> Origin:
    """What may change the last bits of a sum."""
    threads = torch.get_num_threads() if policy.device.type == "cpu" else None
    return {"python": platform.python_version(), "threads": threads, "ranks": ranks}
