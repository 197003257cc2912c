"""Several models' answers to the same tasks, compared task by task: the numbers that a report prints.

An arm is one model, prompt or setting. Each passes or fails every task once, so that arms are compared in
pairs, which is sharper than comparing two averages. `report.py` renders what is found here. Each interval is
for one comparison; with many arms some leave out zero by chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stateset.rl.errors import ConfigError
from stateset.rl.evaluation.arms import Answer, Arm, align
from stateset.rl.evaluation.statistics import Difference, Interval, mean_interval, paired_difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A mean over `num_rows` answers: a share of passes, or a part's value."""

    mean: float
    num_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """What one arm did.

    Attributes:
        arm: its answers, in the order of the first arm's.
        passed: share of passed tasks, 0 to 1, with a 95 % interval.
        difference: the target's pass rate minus this arm's, paired, with a 95 % interval; None for the
            target.
        slices: kind of slice -> value -> share of passed tasks.
        parts: part -> mean over the answers that have it.
    """

    arm: Arm
    passed: Interval
    difference: Difference | None
    slices: Mapping[str, Mapping[str, Rate]]
    parts: Mapping[str, Rate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Every arm measured on the same tasks; `target` names the arm that the others are compared with."""

    target: str
    arms: tuple[ArmResult, ...]

    def arm(self, name: str) -> ArmResult:
        """The result of one arm.

        Raises:
            ConfigError: there is no arm of that name.
        """
        for result in self.arms:
            if result.arm.name == name:
                return result
        names = ", ".join(result.arm.name for result in self.arms)
        raise ConfigError(f"there is no arm {name!r}; there are: {names}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One task to read: `answers` holds every arm's by name; `difference` is -1, 0 or 1, target minus arm."""

    task_id: str
    difference: int
    answers: Mapping[str, Answer]


def compare(arms: Sequence[Arm], *, target: str, seed: int = 0) -> Comparison:
    """Measure two or more arms on the same tasks.

    Args:
        arms: in the order of the tables.
        target: name of the arm that the others are compared with.
        seed: of the bootstrap.

    Raises:
        ConfigError: fewer than two arms, two of one name, or none called `target`.
        DataError: the arms did not answer the same tasks, or the tasks make fewer than 2 clusters.
    """
    names = [arm.name for arm in arms]
    if len(arms) < 2:
        raise ConfigError(f"{len(arms)} arms: give two or more")
    if len(set(names)) < len(names) or target not in names:
        raise ConfigError(f"the arms are {', '.join(names)}: give each its own name, one of them {target!r}")
    aligned = align(arms)
    against = next(arm for arm in aligned if arm.name == target)
    return Comparison(target=target, arms=tuple(_measure(arm, against, seed) for arm in aligned))


def worst_first(comparison: Comparison, against: str) -> tuple[Case, Case, Case]:
    """The tasks with the worst, the median and the best difference, target minus the arm `against`.

    Equal differences are ordered by the difference of the answers' mean parts, then by task id.

    Raises:
        ConfigError: there is no arm `against`, or it is the target itself.
    """
    if against == comparison.target:
        raise ConfigError(f"{against!r} is the target: name the arm to compare it with")
    ours, theirs = (comparison.arm(name).arm.answers for name in (comparison.target, against))
    order = sorted(range(len(ours)), key=lambda i: _sort_key(ours[i], theirs[i]))
    worst, median, best = (
        _case(comparison, i, against) for i in (order[0], order[len(order) // 2], order[-1])
    )
    return worst, median, best


def _sort_key(ours: Answer, theirs: Answer) -> tuple[int, float, str]:
    parts = _mean(ours.parts.values()).mean - _mean(theirs.parts.values()).mean
    return int(ours.passed) - int(theirs.passed), 0.0 if math.isnan(parts) else parts, ours.task_id


def _case(comparison: Comparison, index: int, against: str) -> Case:
    answers = {result.arm.name: result.arm.answers[index] for result in comparison.arms}
    ours = answers[comparison.target]
    return Case(
        task_id=ours.task_id, difference=int(ours.passed) - int(answers[against].passed), answers=answers
    )


def _measure(arm: Arm, target: Arm, seed: int) -> ArmResult:
    passes, clusters = [a.passed for a in arm.answers], [a.cluster for a in arm.answers]
    goal = [a.passed for a in target.answers]
    return ArmResult(
        arm=arm,
        passed=mean_interval(passes, clusters, seed=seed),
        difference=None if arm is target else paired_difference(passes, goal, clusters, seed=seed),
        slices={kind: _by_value(arm, kind) for kind in _names(a.slices for a in arm.answers)},
        parts={
            part: _mean(a.parts.get(part, math.nan) for a in arm.answers)
            for part in _names(a.parts for a in arm.answers)
        },
    )


def _by_value(arm: Arm, kind: str) -> dict[str, Rate]:
    values = sorted({answer.slices[kind] for answer in arm.answers if kind in answer.slices})
    return {value: _mean(a.passed for a in arm.answers if a.slices.get(kind) == value) for value in values}


def _names(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _mean(values: Iterable[float]) -> Rate:
    known = [value for value in values if not math.isnan(value)]
    return Rate(mean=math.fsum(known) / len(known) if known else math.nan, num_rows=len(known))
