"""The optimizer steps of one training step: which groups each takes, and how fast it learns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stateset.rl.config.schema import Config
from stateset.rl.policy.optimizer import learning_rate_at
from stateset.rl.rollout.sample import permutation, sample_seed


def mini_batches(config: Config, num_groups: int, step: int) -> list[list[int]]:
    """The groups of each optimizer step: `ppo_epochs` passes over mini-batches of whole groups.

    Args:
        config: the run's settings.
        num_groups: of the training step.
        step: its number, from 0, which seeds the order where a pass takes several optimizer steps.
    """
    groups_each = config.mini_batch_size // config.rollout_n
    steps: list[list[int]] = []
    for epoch in range(config.ppo_epochs):
        seed = sample_seed(config.seed, "mini-batches", step, str(epoch), 0)
        order = permutation(num_groups, seed) if groups_each < num_groups else range(num_groups)
        steps += optimizer_steps(order, groups_each, config.gradient_accumulation_steps)
    return steps


def optimizer_steps(
    order: Sequence[int], groups_per_mini_batch: int, mini_batches_per_step: int
) -> list[list[int]]:
    """The groups of each optimizer step of one pass: neighbours in `order`, the last may be fewer."""
    size = groups_per_mini_batch * mini_batches_per_step
    return [list(order[start : start + size]) for start in range(0, len(order), size)]


def scale_notice(config: Config, scale: float) -> str | None:
    """What a `reward_scale` other than 1 does."""
    if scale == 1:
        return None
    return (
        f"reward_scale {scale:g} multiplies the learning rate of this call, {config.learning_rate:g}: "
        "rewards times a number have the same advantages"
    )


def learning_rates(
    config: Config, numbers: Iterable[int], *, total: int, scale: float, warm_up: bool
) -> list[float]:
    """The learning rate of each optimizer step.

    Args:
        config: the run's settings.
        numbers: of the optimizer steps, from 0, within one call of `train()`.
        total: optimizer steps of that call.
        scale: multiplies the rate.
        warm_up: whether the rate rises at first, as in a trainer's first call.
    """
    peak, warmup = config.learning_rate * scale, config.warmup_steps if warm_up else 0
    return [
        learning_rate_at(number, peak=peak, warmup=warmup, total=total, schedule=config.schedule)
        for number in numbers
    ]
