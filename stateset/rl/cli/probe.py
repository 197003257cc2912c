"""What `stateset-rl plan --measure` and `--probe` find out with the model, in words and as values."""

from __future__ import annotations

import math
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a run is thought to do.

    Attributes:
        lengths: tokens of responses such as it will sample.
        reason: why these.
        signal: share of its groups that train.
        held_out: rows of each evaluation.
        evaluations: number of them.
        supervised_steps: of its warm start.
    """

    lengths: Sequence[int]
    reason: str
    signal: float
    held_out: int
    evaluations: int
    supervised_steps: int


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
    import torch

    from stateset.rl.evaluation.probe import memory_of, probe_step
    from stateset.rl.policy.load import load_configured
    from stateset.rl.policy.memory import held_bytes
    from stateset.rl.rollout.model import Model

    program = held_bytes(torch.device("cpu"))
    model = Model(load_configured(str(config.model), config))
    show.note(f"probing {config.model} on {model.policy.device.type} ...")
    found, signal = Found([], {}), 1.0
    sampled: list[ScoredGroup] = []
    if samples:  # before the timing, which changes the weights
        sampled, signal = _sample(config, model, tasks, samples, prompts, found)
    expected = _expect(config, model, tasks, plan, sampled, signal)
    timed = probe_step(model.policy, model.engine, config, tasks)
    mean_prompt = timed.prompt_tokens / timed.prompts
    memory = memory_of(
        model.policy, model.engine, config, prompt_tokens=mean_prompt, held_out=expected.held_out
    )
    memory["activations"] = timed.activation_bytes
    if model.policy.device.type == "cpu":
        memory = {"program": program, **memory}
    _memory(memory, timed, found)
    _time(config, plan, timed, expected, price, found)
    return found


def _expect(
    config: Config,
    model: Any,
    tasks: Sequence[Task],
    plan: Plan,
    sampled: Sequence[ScoredGroup],
    signal: float,
) -> Expected:
    """Responses as long as the replies of the warm start, else as those sampled, else as they may be."""
    from stateset.rl.config.plan import supervised_steps
    from stateset.rl.data.load import load_tasks
    from stateset.rl.warm_start import load_examples

    lengths, reason = [config.max_response_length], "every response as long as it may be"
    if sampled:
        lengths = [len(rollout.token_ids) for group in sampled for rollout in group.group.rollouts]
        reason = "responses as long as those sampled"
    supervised = 0
    if config.warm_start is not None:  # what it teaches, the probed model does not know yet
        examples = load_examples(model.policy, config, tasks)
        lengths = [len(example.rollouts[0].token_ids) for example in examples]
        reason, signal = "responses as long as the replies of the warm start", 1.0
        supervised = supervised_steps(config.warm_start, len(examples))
    steps = plan.total_steps
    return Expected(
        lengths=lengths,
        reason=reason,
        signal=signal,
        held_out=len(load_tasks(config.eval_dataset)) if config.eval_dataset is not None else 0,
        evaluations=1 + sum(step % config.eval_every == 0 or step == steps for step in range(1, steps + 1)),
        supervised_steps=supervised,
    )


def _sample(
    config: Config, model: Any, tasks: Sequence[Task], samples: int, prompts: int, found: Found
) -> tuple[list[ScoredGroup], float]:
    """Sampled groups, and the share of the run's groups that have a signal; what is said goes to `found`."""
    from stateset.rl.evaluation.pass_rates import forecast, forecast_equal, rows_for_effect
    from stateset.rl.evaluation.probe import count_passes, sample_groups
    from stateset.rl.rewards.resolve import resolve_reward, resolve_verifier
    from stateset.rl.rewards.score import RewardScorer

    chosen = tasks[:: max(1, len(tasks) // prompts)][:prompts]
    reward, _ = resolve_reward(str(config.reward), config.folder)
    verifier = resolve_verifier(config.verifier, config.folder)
    limit = config.reward_timeout_seconds
    with RewardScorer(reward, verifier=verifier, timeout_seconds=limit) as scorer:
        groups = scorer.score(sample_groups(model.policy, model.engine, config, chosen, samples))
        passes, middle = count_passes(groups, scorer.bounds)
    if len(passes) < 2:
        found.lines.extend(["", _no_counts(groups)])
        return groups, sum(len(set(group.values)) > 1 for group in groups) / len(groups)
    rate = sum(passes) / (len(passes) * samples)
    rewards = [group.values for group in groups if not any(map(math.isnan, group.values))]
    graded = len({value for row in rewards for value in row}) > 2
    sizes = sorted({*SIZES, config.rollout_n})
    shares = forecast_equal(rewards, sizes) if graded else forecast(passes, samples, sizes)
    signal = 1 - next(one.share for one in reversed(shares) if one.n <= config.rollout_n)
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
    if graded and shares[-1].n < sizes[-1]:
        found.lines.append(
            f"groups of more than {samples} have less: sample as many, such as --probe {sizes[-1]}, to see"
        )
    found.lines.extend([f"advice: {text}" for text in _advice(config, shares, rate)])
    found.lines.extend(
        [
            f"a change of {effect:.0%} points shows on about {rows_for_effect(effect):,} test rows"
            for effect in EFFECTS
        ]
    )
    return groups, signal


def _no_counts(groups: Sequence[ScoredGroup]) -> str:
    """Why nothing can be forecast."""
    scored = {score.total for group in groups for score in group.scores} - {None}
    if len(scored) == 1:
        return (
            f"every answer got the reward {scored.pop():g}: nothing tells right from wrong. Let the "
            "reward name its `bounds = (lowest, highest)`, or look at what it returns"
        )
    return "fewer than two prompts were scored whole, so nothing can be forecast: see what the reward returns"


def _advice(config: Config, shares: Sequence[Forecast], rate: float) -> list[str]:
    """Which n is worth its price, which temperature, and what to do where none is."""
    best = max(shares, key=lambda one: (1 - one.share) / one.n**0.5)  # groups with signal against their price
    told = []
    if best.share < 0.95:
        told.append(f"rollout_n {best.n}: the most groups with signal for their price")
    alike = next(one for one in reversed(shares) if one.n <= max(config.rollout_n, shares[0].n))
    if alike.share > 0.5 and 0.02 <= rate <= 0.9:
        told.append(
            f"temperature above {config.temperature:g}: {alike.share:.0%} of groups of {alike.n} are all "
            "alike although right answers are neither rare nor the rule: those to a prompt differ too little"
        )
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
    total = max(sum(memory.values()), timed.peak_bytes)
    found.values.update({"memory_bytes": memory, "peak_bytes": total})
    found.lines.append("")
    for name, size in {**memory, "in all, about": total}.items():
        found.lines.append(f"memory: {name:<22} {size / MIB:>8,.0f} MiB")


def _time(
    config: Config,
    plan: Plan,
    timed: StepProbe,
    expected: Expected,
    price: float | None,
    found: Found,
) -> None:
    """The time of each part of the run, and of all of it."""
    from stateset.rl.tracking.forecast import duration

    lengths = expected.lengths
    step = timed.step_seconds(config, lengths, expected.signal, plan.rows)
    evaluation = timed.evaluation_seconds(expected.held_out, lengths) if expected.held_out else 0.0
    seconds = {
        "warm start": expected.supervised_steps
        * (timed.supervised_seconds(config.warm_start.batch_size, lengths) if config.warm_start else 0.0),
        "steps": plan.total_steps * step,
        "evaluations": expected.evaluations * evaluation,
    }
    total = sum(seconds.values())
    found.values.update({"step_seconds": step, "seconds": seconds, "total_seconds": total})
    found.lines.append(
        f"time: {duration(step)} a step ({expected.reason}; signal in {expected.signal:.0%} of the groups)"
    )
    parts = ", ".join(f"{name} {duration(value)}" for name, value in seconds.items() if value)
    price = config.price_per_hour if price is None else price
    cost = "" if price is None else f"; {price * total / 3600:,.2f} at {price:g} an hour"
    found.values.update({} if price is None else {"cost": price * total / 3600})
    found.lines.append(f"time: {duration(total)} in all ({parts}){cost}")
