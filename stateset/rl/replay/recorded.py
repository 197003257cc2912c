"""One training step as its run directory tells it: `rollouts/`, `updates/`, settings and metrics.

A forward pass that the run could skip left no log-probabilities; they are NaN here, never a guess.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stateset.rl.config.load import load_config
from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.trace import Fixed, UpdateTrace
from stateset.rl.tracking.read_runs import Run, read_jsonl, read_run
from stateset.rl.types import Rollout, RolloutGroup, Score, ScoredGroup, Task

_NOT_GIVEN = (
    "the run did not record whether its sampler was exact (judged by the gap of the log-probabilities), nor "
    "the weights of its reward's parts (gdpo refuses those that do not add up to the reward)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStep:
    """What a run directory says of one training step.

    Attributes:
        run: the run.
        number: the step.
        config: the settings that it ran with.
        metrics: its line in metrics.jsonl.
        scored: its G groups, with the rewards that trained.
        batch: their B responses; the mask is the one that trained.
        fixed: what was known before the updates, [B, T] each, NaN where it was never computed.
        updates: its optimizer steps, in order; NaN where no forward was needed.
        exact_sampler: there was no rollout correction.
        part_weights: of the reward's parts, for `gdpo`; None: it has none, or they were not recorded.
        notes: what the files do not tell.
    """

    run: Run
    number: int
    config: Config
    metrics: Mapping[str, Any]
    scored: tuple[ScoredGroup, ...]
    batch: Batch
    fixed: Fixed
    updates: tuple[UpdateTrace, ...]
    exact_sampler: bool
    part_weights: Mapping[str, float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def old_logprobs(self) -> Tensor:
        """[B, T], the policy's before the first update: where there was only one, its own forward's."""
        return self.updates[0].logprobs if self.fixed.old is None else self.fixed.old


def load_step(path: Path, number: int | None = None) -> RecordedStep:
    """Read one step of a run, the last complete one by default.

    Raises:
        ConfigError: there is no run, no such step, or an older run that kept no `updates/`.
        DataError: one of its files is damaged.
    """
    run = read_run(path)
    number = run.last_step if number is None else number
    metrics = next((line for line in run.metrics if line["step"] == number), None)
    if metrics is None:
        has = f"has {run.metrics[0]['step']} to {run.last_step}" if run.metrics else "none yet"
        raise ConfigError(f"there is no step {number} to replay: {path} {has}")
    rollouts, updates = (path / folder / f"step_{number:05d}.jsonl" for folder in ("rollouts", "updates"))
    for file in (rollouts, updates):
        if not file.is_file():
            raise ConfigError(
                f"step {number} cannot be replayed, because there is no {file}: it was removed, or an "
                "earlier version made the run; replay a step that has one, or train again"
            )
    config = load_config(path / "config.resolved.yaml")
    with _refusing_damage(rollouts):
        scored = tuple(_scored_group(line) for line in _whole_lines(rollouts))
        whole = Batch.from_groups([group.group for group in scored])
    with _refusing_damage(updates):
        first, *later = _whole_lines(updates)
        batch, fixed, traces = _trace(first, later, whole)
        given = first.get("given", {})
        step = RecordedStep(
            run=run, number=number, config=config, metrics=metrics, scored=scored, batch=batch, fixed=fixed,
            updates=traces, exact_sampler=given.get("exact_sampler"), part_weights=given.get("part_weights"),
        )  # fmt: skip
    return step if given else replace(step, exact_sampler=_looks_exact(step), notes=(_NOT_GIVEN,))


def load_groups(path: Path) -> list[ScoredGroup]:
    """Every group that a run's files still hold, with the rewards that trained, in the order of its steps.

    Raises:
        ConfigError: there is no run, or it kept no rollouts.
        DataError: a file is damaged.
    """
    read_run(path)
    found: list[ScoredGroup] = []
    for file in sorted((path / "rollouts").glob("step_*.jsonl")):
        with _refusing_damage(file):
            found += [_scored_group(line) for line in _whole_lines(file)]
    if not found:
        raise ConfigError(f"{path} holds no rollouts: train a step, or name another run")
    return found


@contextlib.contextmanager
def _refusing_damage(file: Path) -> Iterator[None]:
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(
            f"{file} is damaged ({type(error).__name__}: {error}): restore it from a copy of the run, or "
            "replay another step"
        ) from error


def _whole_lines(file: Path) -> list[dict[str, Any]]:
    """Every line; the file was written at once, so that a torn last line is no sign of a killed process."""
    if not file.read_bytes().endswith(b"\n"):
        raise ValueError("its last line is torn")
    return list(read_jsonl(file))


def _scored_group(line: Mapping[str, Any]) -> ScoredGroup:
    prompt, responses = line["prompt"], line["responses"]
    task = Task(
        id=line["task"],
        prompt=prompt if isinstance(prompt, str) else tuple(prompt),
        answer=line["answer"],
        source=line["source"],
    )
    rollouts = tuple(
        Rollout(
            sample=r["sample"],
            text=r["text"],
            token_ids=tuple(r["token_ids"]),
            loss_mask=tuple(r["loss_mask"]),
            sampler_logprobs=tuple(r["sampler_logprobs"]),
            stop_reason=r["stop_reason"],
        )
        for r in responses
    )
    scores = tuple(Score(total=r["reward"], parts=r["parts"], reason=r["reason"]) for r in responses)
    group = RolloutGroup(task=task, prompt_ids=tuple(line["prompt_ids"]), rollouts=rollouts)
    return ScoredGroup(group=group, scores=scores)


def _trace(
    first: Mapping[str, Any], later: Sequence[Mapping[str, Any]], whole: Batch
) -> tuple[Batch, Fixed, tuple[UpdateTrace, ...]]:
    """The batch with the mask that trained, what was fixed, and the updates."""
    batch = replace(whole, mask=_tensor(first["mask"], whole))
    computed = batch.mask == whole.mask  # where nothing trains, the policy writes zeros

    def values(line: Mapping[str, Any], name: str) -> Tensor:
        return _tensor(line[name], whole).where(computed, math.nan)

    fixed = Fixed(**{name: values(first, name) for name in ("old", "reference", "values") if name in first})
    updates = tuple(UpdateTrace(tuple(line["groups"]), values(line, "logprobs")) for line in later)
    if not updates or any(g not in range(len(whole.prompts)) for update in updates for g in update.groups):
        raise ValueError("no update, or one of groups that are not there")
    return batch, fixed, updates


def _tensor(rows: Sequence[Sequence[float] | None], batch: Batch) -> Tensor:
    """[B, T] float32 from one list a response; NaN where there is no list, 0 behind the end."""
    result = torch.zeros_like(batch.mask)
    for target, row, length in zip(result, rows, batch.lengths.tolist(), strict=True):
        if row is not None and len(row) != length:
            raise ValueError(f"{len(row)} values for a response of {length} tokens")
        target[:length] = math.nan if row is None else torch.tensor(row)
    return result


def _looks_exact(step: RecordedStep) -> bool:
    """Whether sampler and trainer were as close as the trainer asks of an exact sampler."""
    before = step.old_logprobs
    gap = (before - step.batch.sampler_logprobs)[(step.batch.mask != 0) & ~before.isnan()].abs()
    return not len(gap) or (float(gap.mean()) <= 1e-4 and float(gap.max()) <= 1e-3)
