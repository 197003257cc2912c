"""Warnings about a run that goes wrong: a table of rules over windows of metrics, each with what to try.

A rule looks at the mean of one metric over its last steps, never at a single step, and has one bound that
raises it and a milder one that clears it, so that a value near the bound does not raise it again and again.
Nothing here stops a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of `RULES`.

    Attributes:
        name: of the finding.
        metric: logged name of what is looked at.
        steps: fewest steps in the window.
        groups: fewest groups in the window; small batches make it longer.
        raised: the finding is raised when the window's mean goes beyond this bound...
        cleared: ...and may be raised again after it came back to this one; below `raised` where high is bad.
        relative: compare with the mean of the run's first window instead of with 1.
        unless: findings that already say it.
        message: what is the matter; `{value}` is the window's mean.
        advice: what to try.
    """

    name: str
    metric: str
    steps: int
    groups: int
    raised: float
    cleared: float
    relative: bool = False
    unless: tuple[str, ...] = ()
    message: str
    advice: str

    def window(self, groups_per_step: int) -> int:
        """Steps that the rule looks back."""
        return max(self.steps, -(-self.groups // groups_per_step))

    def beyond(self, value: float, bound: float) -> bool:
        """Whether a value is on the bad side of a bound."""
        return value >= bound if self.raised > self.cleared else value <= bound


RULES: tuple[Rule, ...] = (
    Rule(
        name="all_wrong",
        metric="signal/all_wrong",
        steps=3,
        groups=20,
        raised=0.95,
        cleared=0.8,
        message="all responses to a prompt get the same low reward in {value:.0%} of the groups",
        advice="give part marks in the reward, begin with easier rows, or take a better model",
    ),
    Rule(
        name="all_right",
        metric="signal/all_right",
        steps=3,
        groups=20,
        raised=0.95,
        cleared=0.8,
        message="all responses to a prompt get the same high reward in {value:.0%} of the groups",
        advice="use harder rows or a stricter reward, or stop here: the task is learned",
    ),
    Rule(
        name="no_signal",
        metric="frac_reward_zero_std",
        steps=3,
        groups=40,
        raised=0.9,
        cleared=0.75,
        unless=("all_wrong", "all_right"),
        message="rewards are equal within {value:.0%} of the groups, which therefore teach nothing",
        advice="make the reward finer, raise temperature or rollout_n, or drop rows that never differ",
    ),
    Rule(
        name="reward_saturated",
        metric="quality_score",
        steps=10,
        groups=20,
        raised=0.98,
        cleared=0.95,
        unless=("all_right",),
        message="the mean reward is at {value:.0%} of its range: there is little left to gain",
        advice="read some rollouts for a trick that the reward lets pass; else stop, or make the task harder",
    ),
    Rule(
        name="entropy_collapse",
        metric="entropy",
        steps=10,
        groups=20,
        raised=0.1,
        cleared=0.2,
        relative=True,
        message="the policy's entropy fell to {value:.0%} of its start: responses grow alike",
        advice="lower learning_rate, set entropy_coef to 0.001, or use_kl_loss: true",
    ),
    Rule(
        name="length_at_cap",
        metric="completions/clipped_ratio",
        steps=5,
        groups=20,
        raised=0.5,
        cleared=0.4,
        message="{value:.0%} of the responses are cut off at max_response_length",
        advice="raise max_response_length, or let the reward prefer shorter answers",
    ),
    Rule(
        name="kl_runaway",
        metric="kl",
        steps=5,
        groups=20,
        raised=0.5,
        cleared=0.3,
        message="the policy is {value:.2f} nats a token away from where it started",
        advice="raise kl_loss_coef, lower learning_rate, and read some rollouts: the language may break down",
    ),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that was raised: its name, and a sentence that says what is the matter and what to try."""

    name: str
    message: str


class Health:
    """Follows a run's metrics and raises each finding once, until it has cleared.

    Args:
        groups_per_step: prompts in one step.
        rules: the table.
    """

    def __init__(self, groups_per_step: int, rules: Sequence[Rule] = RULES) -> None:
        self._groups_per_step = groups_per_step
        self._rules = rules
        self._history: dict[str, list[float]] = {rule.name: [] for rule in rules}
        self._active: set[str] = set()

    def update(self, values: Mapping[str, float | None]) -> list[Finding]:
        """Take one step's metrics, return what is newly wrong; an absent or NaN metric is passed over."""
        found = []
        for rule in self._rules:
            level = self._level(rule, values.get(rule.metric))
            if level is None:
                continue
            if rule.name in self._active:
                if not rule.beyond(level, rule.cleared):
                    self._active.discard(rule.name)
            elif rule.beyond(level, rule.raised) and self._active.isdisjoint(rule.unless):
                self._active.add(rule.name)
                found.append(Finding(rule.name, f"{rule.message.format(value=level)}. Try: {rule.advice}"))
        return found

    def _level(self, rule: Rule, value: float | None) -> float | None:
        """The window's mean (or its ratio to the first window's), None before a window is full."""
        if value is None or not math.isfinite(value):
            return None
        window, history = rule.window(self._groups_per_step), self._history[rule.name]
        history.append(value)
        if len(history) < window:
            return None
        mean = _mean(history[-window:])
        if not rule.relative:
            return mean
        start = _mean(history[:window])
        return mean / start if start > 0 else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
