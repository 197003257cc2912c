"""What was given twice or not at all: to the trainer's constructor, to `train()`, in the settings."""

from __future__ import annotations

from typing import Any

from stateset.rl.config.schema import Config
from stateset.rl.data.load import load_tasks
from stateset.rl.errors import ConfigError
from stateset.rl.types import Task

NOTHING = """there is no {} to train with. Give both, here or to train():
    GRPOTrainer(
        model="smollm2-135m",
        reward_function=lambda response: float("refund" in response),
    )"""
NO_DATA = "there are no rows to train on: pass them or a path to train(), or set `dataset`"


def given(*candidates: Any, missing: str = "") -> Any:
    """The first that is not None.

    Raises:
        ConfigError: all are, and there is a message for it.
    """
    found = next((candidate for candidate in candidates if candidate is not None), None)
    if found is None and missing:
        raise ConfigError(missing)
    return found


def held_out_tasks(config: Config, rows: Any, earlier: list[Task], *, own_reward: bool) -> list[Task]:
    """The held-out tasks of a `train()` call.

    Args:
        config: may name them.
        rows: those given to the call.
        earlier: those of the calls before.
        own_reward: whether a reward for them was given.
    Raises:
        ConfigError: there are none, and a setting asks for them.
    """
    rows = given(rows, config.eval_dataset)
    if rows is not None:
        return load_tasks(rows)
    idle = [key for key in ("eval_every", "eval_reward") if key in config.origins]
    if not earlier and (idle or own_reward):
        name = (*idle, "eval_reward_function")[0]
        raise ConfigError(f"{name} is set, but there are no held-out rows: set `eval_dataset`, or remove it")
    return earlier
