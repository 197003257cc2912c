"""The arithmetic of a run before it starts: steps, updates and tokens from a config and a number of rows.

Nothing is measured or loaded here; every number follows from the settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stateset.rl.config.parts import WarmStart
from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will do; the `_per_step` values are those of a full step, totals count shorter last ones."""

    rows: int
    prompts_per_step: int
    responses_per_step: int
    mini_batches_per_step: int
    updates_per_step: int
    steps_per_epoch: int
    total_steps: int
    total_prompts: int
    total_responses: int
    total_updates: int
    max_generated_tokens: int
    advice: tuple[str, ...]


def plan(config: Config, num_rows: int) -> Plan:
    """Count what training on `num_rows` rows takes; `max_minutes` and `max_cost` are not counted.

    With `dynamic_sampling`, responses are those that train; the tokens count every round that it may sample.

    Raises:
        ConfigError: there are no rows.
    """
    if num_rows < 1:
        raise ConfigError(f"cannot plan a run on {num_rows} rows: give a dataset with at least one.")
    sizes = _prompts_of_steps(num_rows, config.batch_size)
    steps = len(sizes) * config.epochs
    steps = steps if config.max_steps is None else min(steps, config.max_steps)
    epochs, rest = divmod(steps, len(sizes))
    updates = [config.updates(size * config.rollout_n) for size in sizes]
    prompts = epochs * num_rows + sum(sizes[:rest])
    rounds = config.max_gen_batches if config.dynamic_sampling else 1
    return Plan(
        rows=num_rows,
        prompts_per_step=sizes[0],
        responses_per_step=sizes[0] * config.rollout_n,
        mini_batches_per_step=config.mini_batches(sizes[0] * config.rollout_n),
        updates_per_step=updates[0],
        steps_per_epoch=len(sizes),
        total_steps=steps,
        total_prompts=prompts,
        total_responses=prompts * config.rollout_n,
        total_updates=epochs * sum(updates) + sum(updates[:rest]),
        max_generated_tokens=prompts * config.rollout_n * config.max_response_length * rounds,
        advice=tuple(_advice(config, num_rows)),
    )


def supervised_steps(settings: WarmStart | None, num_replies: int) -> int:
    """Steps of the warm start on so many replies; 0 without one."""
    if settings is None:
        return 0
    steps = len(_prompts_of_steps(num_replies, settings.batch_size)) * settings.epochs
    return steps if settings.max_steps is None else min(steps, settings.max_steps)


def _prompts_of_steps(num_rows: int, batch_size: int) -> list[int]:
    full, rest = divmod(num_rows, batch_size)
    return [batch_size] * full + [rest] * (rest > 0)


def _advice(config: Config, num_rows: int) -> Iterator[str]:
    if num_rows < 300:
        yield f"{num_rows} rows: 300 or more good ones are recommended."
    if config.rollout_n < 4:
        yield f"rollout_n {config.rollout_n}: begin with 4 responses a prompt; fewer make a noisy baseline."
    elif config.rollout_n < 8:
        yield f"rollout_n {config.rollout_n}: a good beginning; raise it to 8-16 for complex tasks."
    elif config.rollout_n > 16:
        yield f"rollout_n {config.rollout_n}: more than 16 rarely pays; begin with 4, then 8-16."
    if config.epochs > 1:
        yield f"epochs {config.epochs}: start with 1, look at the held-out reward, then add more."
