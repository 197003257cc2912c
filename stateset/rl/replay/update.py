"""The updates of a recorded step, computed again: loss, clip shares, KL, and how far each response is pushed.

The formulas are those of `Learner`, on recorded log-probabilities. Where a step has several updates, the
later ones are replayed on what they were computed with, although a change would have moved that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from stateset.rl.algorithm.advantages import trainable_rows
from stateset.rl.algorithm.aggregation import masked, token_weights
from stateset.rl.algorithm.kl import kl_penalty
from stateset.rl.algorithm.loss import POLICY_LOSSES, Clip
from stateset.rl.config.schema import Config
from stateset.rl.credit import token_advantages
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.learner import MAX_CORRECTION
from stateset.rl.policy.trace import UpdateTrace
from stateset.rl.replay.recorded import RecordedStep
from stateset.rl.replay.settings import changed_keys, refuse_unreplayable
from stateset.rl.sampling import _penalised, ended
from stateset.rl.types import OVERLONG, Score, ScoredGroup

_OF_RATIO = ("clip_fraction_low", "clip_fraction_high", "approx_kl_old")  # of a policy loss
_LOGGED = ("clip_ratio/low_mean", "clip_ratio/high_mean", "approx_kl_old")  # the same in metrics.jsonl
LATER_UPDATES = (
    "the updates after the first are replayed on the recorded log-probabilities, which the changes would "
    "have moved"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The updates of one step, computed again.

    Attributes:
        values: under the names of metrics.jsonl, NaN where there is none; `push` is the sum of all |push|.
        advantages: [B], the mean over the response's tokens that train.
        push: [B], minus the gradient of the loss with respect to the sum of the response's
            log-probabilities, added up over the updates: above 0, they make the response likelier. NaN where
            it is unrecorded.
        unrecorded: [B] bool, responses that would train, but left no log-probabilities.
        notes: what the numbers leave out.
    """

    values: Mapping[str, float]
    advantages: Tensor
    push: Tensor
    unrecorded: Tensor
    notes: tuple[str, ...]


def replay(recorded: RecordedStep, config: Config) -> Replayed:
    """Compute a step's updates again.

    Args:
        recorded: the step.
        config: `recorded.config`, or another from `changed_config`.

    Raises:
        ConfigError: these settings need what the step did not record.
    """
    refuse_unreplayable(recorded, config)
    batch, advantages = credit_of(recorded, config)
    found = _Found(len(batch.lengths))
    reference = recorded.fixed.reference
    if config.use_kl_loss and config.kl_placement == "reward" and reference is not None:
        kl = kl_penalty(recorded.old_logprobs, reference, "low_var_kl")
        found.tokens("kl", kl, torch.where(kl.isnan(), 0.0, batch.mask))
    for update in recorded.updates:
        _accumulate(recorded, config, batch, advantages, update, found)
    values = {
        "loss": found.loss / len(recorded.updates),
        **{name: found.mean(name) for name in _LOGGED},
        "ratio_max": found.ratio_max,
        "kl": found.mean("kl"),
        "push": float(found.push.abs().sum()),
    }
    return Replayed(
        values=values,
        advantages=batch.mean(advantages),
        push=torch.where(found.unrecorded, math.nan, found.push),
        unrecorded=found.unrecorded,
        notes=tuple(_notes(recorded, config, found)),
    )


def credit_of(recorded: RecordedStep, config: Config) -> tuple[Batch, Tensor]:
    """The batch with the mask that these settings train, and its advantages [B, T] in float32."""
    scored = _with_overlong(recorded, config)
    groups = [group.group for group in scored]
    whole = Batch.from_groups(groups)
    rows = trainable_rows(rewards_of(scored), whole.groups)
    if config.mask_truncated:
        rows &= torch.tensor(ended(groups))
    batch = whole.masked(rows)
    fixed, compared = replace(recorded.fixed, old=recorded.old_logprobs), batch
    if config.adv_estimator == "gae":  # a NaN would reach every response by the whitening
        compared = batch.masked(_complete(batch.mask, fixed.values))
    weights = recorded.part_weights if config.adv_estimator == "gdpo" else None
    credit = token_advantages(config, scored, compared, fixed, weights)
    return batch, credit.advantages.to(batch.mask)


def rewards_of(scored: Sequence[ScoredGroup]) -> Tensor:
    """[B] float64, NaN where unscored."""
    return torch.tensor([value for group in scored for value in group.values], dtype=torch.float64)


def _with_overlong(recorded: RecordedStep, config: Config) -> Sequence[ScoredGroup]:
    """The groups with these settings' penalty on long responses in place of the recorded one."""
    if not {"overlong_buffer", "overlong_penalty"} & set(changed_keys(recorded, config)):
        return recorded.scored
    was_on = recorded.config.overlong_buffer > 0
    bare = [_unpenalised(group) for group in recorded.scored] if was_on else recorded.scored
    return [_penalised(group, config) for group in bare] if config.overlong_buffer else bare


def _unpenalised(group: ScoredGroup) -> ScoredGroup:
    def plain(score: Score) -> Score:
        parts = dict(score.parts)
        penalty = parts.pop(OVERLONG)
        # rounded, because equal rewards must be equal again after adding and subtracting
        total = None if score.total is None else round(score.total - penalty, 12)
        return replace(score, total=total, parts=parts)

    return replace(group, scores=tuple(map(plain, group.scores)))


def _complete(mask: Tensor, *tensors: Tensor | None) -> Tensor:
    """[B] bool: none of these [B, T] holds a NaN inside the mask."""
    missing = torch.zeros_like(mask, dtype=torch.bool)
    for tensor in tensors:
        if tensor is not None:
            missing |= tensor.isnan()
    return ~(missing & (mask != 0)).any(-1)


@dataclass(slots=True)
class _Found:
    """What the updates add up to; means are weighted by tokens, as in the metrics."""

    num_responses: int
    loss: float = 0.0
    ratio_max: float = math.nan
    push: Tensor = field(init=False)
    needed: Tensor = field(init=False)
    unrecorded: Tensor = field(init=False)
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.push = torch.zeros(self.num_responses)
        self.needed = torch.zeros(self.num_responses, dtype=torch.bool)
        self.unrecorded = torch.zeros(self.num_responses, dtype=torch.bool)

    def ratios(self, stats: Mapping[str, Tensor], tokens: int) -> None:
        if tokens:
            for name, logged in zip(_OF_RATIO, _LOGGED, strict=True):
                self._add(logged, float(stats[name]) * tokens, tokens)
            self.ratio_max = max(float(stats["ratio_max"]), self.ratio_max)  # NaN, the start, is no larger

    def tokens(self, name: str, values: Tensor, mask: Tensor) -> None:
        self._add(name, float(masked(values, mask).sum()), int((mask != 0).sum()))

    def mean(self, name: str) -> float:
        total, count = self.sums.get(name, (math.nan, 1))
        return total / count if count else math.nan

    def _add(self, name: str, total: float, count: int) -> None:
        before = self.sums.get(name, (0.0, 0))
        self.sums[name] = (before[0] + total, before[1] + count)


def _accumulate(
    recorded: RecordedStep,
    config: Config,
    batch: Batch,
    advantages: Tensor,
    update: UpdateTrace,
    found: _Found,
) -> None:
    """One optimizer step as `Learner` takes it; an unrecorded response counts in the weights alone."""
    rows, fixed = batch.rows_of(update.groups), recorded.fixed
    norm = config.max_response_length if config.loss_agg_mode.endswith("norm") else None
    weights = token_weights(batch.mask[rows], config.loss_agg_mode, norm=norm)
    kl_in_loss = config.use_kl_loss and config.kl_placement == "loss"
    reference = fixed.reference if kl_in_loss else None
    everywhere = kl_in_loss or config.entropy_coef > 0
    signal = {g for g in update.groups if everywhere or bool(advantages[batch.groups == g].any())}
    values = fixed.values if config.adv_estimator == "gae" else None
    unvalued = ~_complete(batch.mask, values)[rows]  # the advantage of such a response is unknown, not 0
    needed = torch.tensor([g in signal for g in batch.groups[rows].tolist()]) | unvalued
    complete = _complete(batch.mask, update.logprobs, fixed.old, reference, values)[rows]
    found.needed[rows] |= needed & batch.mask[rows].any(-1)
    found.unrecorded[rows] |= needed & ~complete
    used = needed & complete
    rows, weights, mask = rows[used], weights[used], batch.mask[rows[used]]

    logprobs = masked(update.logprobs[rows], mask).requires_grad_()
    before = logprobs.detach() if fixed.old is None else masked(fixed.old[rows], mask)
    clip = Clip(*config.clip_bounds, config.clip_ratio_dual)
    losses, stats = POLICY_LOSSES[config.loss](logprobs, before, advantages[rows], mask, clip)
    if not recorded.exact_sampler:
        gap = masked(before - batch.sampler_logprobs[rows], mask)
        losses = losses * gap.clamp(max=math.log(MAX_CORRECTION)).exp()
    loss = (losses * weights).sum()
    if reference is not None:
        held = masked(reference[rows], mask)
        kl = kl_penalty(logprobs, held, config.kl_loss_type)
        if config.kl_importance:
            kl = kl * (logprobs.detach() - before).clamp(max=math.log(MAX_CORRECTION)).exp()
        loss = loss + config.kl_loss_coef * (kl * weights).sum()
        found.tokens("kl", kl_penalty(logprobs.detach(), held, "low_var_kl"), mask)
    [gradient] = torch.autograd.grad(loss, logprobs)
    found.loss += float(loss.detach())
    found.push[rows] -= gradient.sum(-1)
    found.ratios(stats, int(mask.sum()))


def _notes(recorded: RecordedStep, config: Config, found: _Found) -> Iterator[str]:
    yield from recorded.notes
    if config.entropy_coef:
        yield f"the entropy bonus (entropy_coef {config.entropy_coef:g}) needs the logits and is left out"
    if config.use_kl_loss and config.kl_loss_type == "full":
        yield "the KL term (kl_loss_type full) needs the logits and is left out"
    missing, needed = int(found.unrecorded.sum()), int(found.needed.sum())
    if missing:
        yield (
            f"{missing} of {needed} responses ({missing / needed:.0%}) that these settings train left no "
            "log-probabilities: they take no part in the numbers, though their tokens count in the mean"
        )
    changed = changed_keys(recorded, config)
    if changed and len(recorded.updates) > 1:
        yield LATER_UPDATES
    if recorded.config.dynamic_sampling and any(key.startswith("overlong_") for key in changed):
        yield "dynamic_sampling kept these groups by their recorded rewards; others might have stayed"
