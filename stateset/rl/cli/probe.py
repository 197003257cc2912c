"""What `stateset-rl plan --measure` and `--probe` find out with the model, in words and as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stateset.rl.cli import project, show
from stateset.rl.errors import ConfigError

if TYPE_CHECKING:
    from stateset.rl.config.plan import Plan
    from stateset.rl.config.schema import Config
    from stateset.rl.evaluation.pass_rates import Forecast
    from stateset.rl.evaluation.probe import StepProbe
    from stateset.rl.types import ScoredGroup, Task

SIZES = (2, 4, 8, 16, 32)
EFFECTS = (0.05, 0.1, 0.2)
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Found:
    """What a probe found, as lines for people and as values for programs."""

    lines: list[str]
    values: dict[str, Any]


def run_probe(
    config: Config, tasks: Sequence[Task], plan: Plan, *, samples: int, prompts: int, price: float | None
) -> Found:
    """Load the model, time a step, and with `samples` see how often it is right.

    Raises:
        ConfigError: the settings name no model (or, for samples, no reward), or too few samples.
    """
    if samples == 1:
        raise ConfigError("--probe 1 says nothing about a prompt: sample two or more, such as --probe 8")
    project.required(config, "model")
    if samples:
        project.required(config, "reward")
    from stateset.rl.evaluation.probe import memory_of, probe_step
    from stateset.rl.policy.load import load_configured
    from stateset.rl.rollout.model import Model

    model = Model(load_configured(str(config.model), config))
    show.note(f"probing {config.model} on {model.policy.device.type} ...")
    sampled: list[ScoredGroup] = []
    found = Found([], {})
    if samples:  # before the timing, which changes the weights
        sampled = _sample(config, model, tasks, samples, prompts, found)
    memory = memory_of(model.policy, model.engine, config)
    timed = probe_step(model.policy, model.engine, config, tasks)
    _memory(memory, timed, found)
    _time(config, plan, timed, sampled, price, found)
    return found


def _sample(
    config: Config, model: Any, tasks: Sequence[Task], samples: int, prompts: int, found: Found
) -> list[ScoredGroup]:
    from stateset.rl.evaluation.pass_rates import forecast, rows_for_effect
    from stateset.rl.evaluation.probe import count_passes, sample_rewards
    from stateset.rl.rewards.resolve import resolve_reward
    from stateset.rl.rewards.score import RewardScorer

    chosen = tasks[:: max(1, len(tasks) // prompts)][:prompts]
    reward, _ = resolve_reward(str(config.reward), config.folder)
    with RewardScorer(reward, timeout_seconds=config.reward_timeout_seconds) as scorer:
        groups = sample_rewards(model.policy, model.engine, config, chosen, scorer.score, samples)
        passes, middle = count_passes(groups, scorer.bounds)
    rate = sum(passes) / max(1, len(passes) * samples)
    shares = forecast(passes, samples, SIZES)
    found.values.update(
        {"pass_rate": rate, "right_above": middle, "no_signal": [asdict(one) for one in shares]}
    )
    found.lines.append("")
    found.lines.append(
        f"{len(passes)} prompts x {samples} samples: right in {rate:.0%} (a reward above {middle:.3g})"
    )
    found.lines.extend(
        [
            f"groups of {one.n:>2}: {one.share:.0%} without signal (95 %: {one.low:.0%} to {one.high:.0%})"
            for one in shares
        ]
    )
    found.lines.extend([f"advice: {text}" for text in _advice(config, shares, rate)])
    found.lines.extend(
        [
            f"a change of {effect:.0%} points shows on about {rows_for_effect(effect):,} test rows"
            for effect in EFFECTS
        ]
    )
    return groups


def _advice(config: Config, shares: Sequence[Forecast], rate: float) -> list[str]:
    """Which n is worth its price, and what to do where none is."""
    best = max(shares, key=lambda one: (1 - one.share) / one.n**0.5)  # groups with signal against their price
    told = [f"rollout_n {best.n}: the most groups with signal for their price"]
    if rate < 0.02:
        told.append(
            "the model is hardly ever right: warm_start it on good replies, or begin with easier rows"
        )
    elif shares[-1].share > 0.5:
        told.append("most groups teach nothing at any size: part marks in the reward, or other rows")
    if rate > 0.9:
        told.append("the model is nearly always right: harder rows, or a temperature above 1, teach more")
    return told


def _memory(memory: dict[str, int], timed: StepProbe, found: Found) -> None:
    found.values.update({"memory_bytes": memory, "peak_bytes": timed.peak_bytes})
    found.lines.append("")
    found.lines.extend([f"memory: {name:<22} {size / MIB:>8,.0f} MiB" for name, size in memory.items()])
    found.lines.append(f"memory: {'peak of the probe':<22} {timed.peak_bytes / MIB:>8,.0f} MiB")


def _time(
    config: Config,
    plan: Plan,
    timed: StepProbe,
    sampled: Sequence[ScoredGroup],
    price: float | None,
    found: Found,
) -> None:
    """The time of the run, with responses as long as those sampled, or else as they may be."""
    from stateset.rl.tracking.forecast import duration

    lengths = [len(rollout.token_ids) for group in sampled for rollout in group.group.rollouts]
    cases = {"every response as long as it may be": [config.max_response_length]}
    if lengths:
        cases = {"responses as long as those sampled": lengths}
    price = config.price_per_hour if price is None else price
    for name, known in cases.items():
        step = timed.step_seconds(
            sum(known) / len(known),
            longest=max(known),
            passes=config.ppo_epochs,
            updates=plan.updates_per_step,
        )
        total = step * plan.total_steps
        cost = "" if price is None else f", {price * total / 3600:,.2f} at {price:g} an hour"
        found.values.update({"step_seconds": step, "total_seconds": total})
        found.values.update({} if price is None else {"cost": price * total / 3600})
        found.lines.append(f"time: {duration(step)} a step, {duration(total)} in all{cost} ({name})")
