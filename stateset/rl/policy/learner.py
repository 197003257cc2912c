"""The update: from a batch and its advantages to changed weights.

One optimizer step takes `gradient_accumulation_steps` mini-batches of whole groups. Its token weights are
computed once over all of them, so that micro-batches, which only bound memory, add up to the same gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple
from functools import partial

import torch
from torch import Tensor

from stateset.rl.algorithm.aggregation import masked, token_weights
from stateset.rl.algorithm.kl import kl_penalty
from stateset.rl.algorithm.loss import POLICY_LOSSES, Clip
from stateset.rl.config.schema import Config
from stateset.rl.errors import CheckpointError, TrainingError
from stateset.rl.policy.bad_batch import MOST_IN_A_ROW, BadBatch, explain
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.critic import Critic
from stateset.rl.policy.distributed import ALONE, World
from stateset.rl.policy.memory import recompute_activations, recomputes_activations
from stateset.rl.policy.micro_batches import MicroBatches
from stateset.rl.policy.optimizer import NonFiniteError, PolicyOptimizer
from stateset.rl.policy.parity import explain_gap
from stateset.rl.policy.policy import Policy, Weights
from stateset.rl.policy.tally import Tally
from stateset.rl.policy.trace import Fixed, UpdateTrace

GPU_MICRO_BATCH_TOKENS = 16_384
REPLIES_MICRO_BATCH_TOKENS = 1024  # of single replies: fewer in a forward cost a third more CPU time
MAX_CORRECTION = 2.0  # bound on the importance weight between sampler and trainer


class Learner:
    """Reinforces responses by their advantages.

    Args:
        policy: the model to change.
        config: the run's settings.
        exact_sampler: the sampler computes as the trainer does, so that no rollout correction is needed.
        world: the processes that share the groups of each optimizer step; all are given the same batches.
    """

    def __init__(self, policy: Policy, config: Config, *, exact_sampler: bool, world: World = ALONE) -> None:
        self.policy = policy
        self.world = world
        self.config = config
        self.exact_sampler = exact_sampler
        self.reference: Weights | None = policy.snapshot() if config.use_kl_loss else None
        self.optimizer = PolicyOptimizer(
            policy,
            betas=config.betas,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            world=world,
        )
        self._sampler_checked = False
        self.trace: list[UpdateTrace] = []  # of the latest update
        self.bad_batches: list[BadBatch] = []  # of the latest update, the critic's included
        self.micro_batches = MicroBatches(micro_batch_tokens(config, policy), recompute=self._recompute)
        self.critic: Critic | None = None
        if config.adv_estimator == "gae":
            self.critic = Critic(policy, config, self.micro_batches, world)

    @property
    def num_parameters(self) -> dict[str, int]:
        """Of the policy, those of it that train, and of the critic if there is one."""
        trained = sum(p.numel() for p in self.policy.trainable().values())
        found = {"policy": self.policy.num_parameters, "trained": trained}
        return found if self.critic is None else found | {"critic": self.critic.num_parameters}

    def before(self, batch: Batch, num_steps: int) -> Fixed:
        """What `num_steps` optimizer steps on this batch need and do not change."""
        in_reward = self.config.use_kl_loss and not self._kl_in_loss
        sampled_kl = self.reference is not None and self.config.kl_loss_type != "full"
        return Fixed(
            old=self._logprobs(batch) if num_steps > 1 or in_reward else None,
            reference=self._logprobs(batch, self.reference) if sampled_kl else None,
            values=self.critic.values(batch) if self.critic is not None else None,
        )

    def update(
        self,
        batch: Batch,
        advantages: Tensor,
        plan: Sequence[Sequence[int]],
        learning_rates: Sequence[float],
        fixed: Fixed | None = None,
    ) -> dict[str, float]:
        """Take every optimizer step that one rollout batch gives.

        Args:
            batch: B responses of whole groups, on the policy's device.
            advantages: [B] or [B, T].
            plan: the groups of each optimizer step, from `mini_batches`.
            learning_rates: one an optimizer step.
            fixed: from `before`, where it was asked for already.
        Returns:
            What the update measured, by logged name.
        Raises:
            TrainingError: sampler and trainer disagree in the run's first step.
        """
        try:
            fixed = fixed or self.before(batch, len(plan))
            if advantages.dim() == 1:
                advantages = advantages[:, None].expand_as(batch.mask)
            return self._update(batch, advantages, plan, learning_rates, fixed)
        except BaseException:  # Ctrl-C too: a later call must not find half a gradient
            self.optimizer.clear()
            raise

    def _update(
        self,
        batch: Batch,
        advantages: Tensor,
        plan: Sequence[Sequence[int]],
        learning_rates: Sequence[float],
        fixed: Fixed,
    ) -> dict[str, float]:
        tally = Tally()
        self.trace, self.bad_batches = [], []
        if fixed.old is not None and fixed.reference is not None and not self._kl_in_loss:
            kl = kl_penalty(fixed.old, fixed.reference, "low_var_kl")
            tally.tokens("kl", kl, batch.mask)
        taken = 0
        for groups, rate in zip(plan, learning_rates, strict=True):
            found = self._measure_gradient(batch, advantages, groups, fixed)
            try:
                norm = self.optimizer.step(rate, found.sums.get("loss", 0.0))
            except NonFiniteError as error:
                self.bad_batches.append(self._explain(error, batch, advantages, groups, fixed))
                if self.skipped_in_a_row >= MOST_IN_A_ROW:
                    break
                continue
            taken += 1
            tally.merge(found)
            tally.add("grad_norm", norm)
            tally.add("learning_rate", rate)
        loss = tally.sums.get("loss", 0.0) / taken if taken else math.nan
        return tally.means() | {"loss": loss, "bad_batches": float(len(self.bad_batches))}

    def _measure_gradient(
        self, batch: Batch, advantages: Tensor, groups: Sequence[int], fixed: Fixed
    ) -> Tally:
        """Make the gradient of one optimizer step; returns what all ranks measured."""
        self.trace.append(self._empty_trace(batch, groups))
        work = partial(self._gradient, batch, advantages, groups, fixed)
        found = Tally()
        for one in self.world.gather(astuple(self.micro_batches.retry(work, self.optimizer.clear))):
            found.merge(Tally(*one))
        for seen in (self.trace[-1].logprobs, self.trace[-1].entropy):
            if seen is not None:
                self.world.fill(seen)
        if math.isfinite(found.sums.get("loss", 0.0)):
            self._check_sampler(found, batch, groups)
        return found

    def _gradient(self, batch: Batch, advantages: Tensor, groups: Sequence[int], fixed: Fixed) -> Tally:
        """The gradient of one optimizer step, micro-batch by micro-batch, and what they measured."""
        tally = Tally()
        rows = batch.rows_of(groups)
        weights = torch.zeros_like(batch.mask)
        norm = self.config.max_response_length if self._mode.endswith("norm") else None
        weights[rows] = token_weights(batch.mask[rows], self._mode, norm=norm)
        mine = self.world.share(self._with_signal(batch, advantages, groups))
        for part in self.micro_batches.split(batch, mine):
            self._accumulate(batch, part, weights, advantages, fixed, tally)
        return tally

    def _empty_trace(self, batch: Batch, groups: Sequence[int]) -> UpdateTrace:
        none = torch.full_like(batch.mask, math.nan)
        return UpdateTrace(tuple(groups), none, none.clone() if self.config.entropy_coef else None)

    def _keep(self, rows: Tensor, logprobs: Tensor, entropy: Tensor) -> None:
        self.trace[-1].logprobs[rows] = logprobs.detach().to(self.trace[-1].logprobs)
        if self.trace[-1].entropy is not None:
            self.trace[-1].entropy[rows] = entropy.detach().to(self.trace[-1].entropy)

    def _explain(
        self,
        error: NonFiniteError,
        batch: Batch,
        advantages: Tensor,
        groups: Sequence[int],
        fixed: Fixed,
    ) -> BadBatch:
        numbers = {
            "sampler's log-probability": None if self.exact_sampler else batch.sampler_logprobs,
            "reference log-probability": fixed.reference,
            "old log-probability": fixed.old,
            "advantage": advantages,
            "log-probability": self.trace[-1].logprobs,
            "entropy": self.trace[-1].entropy,
        }
        return explain("policy", error, batch, self._with_signal(batch, advantages, groups), numbers)

    def update_critic(
        self,
        batch: Batch,
        returns: Tensor,
        fixed: Fixed,
        plan: Sequence[Sequence[int]],
        learning_rates: Sequence[float],
    ) -> dict[str, float]:
        """The critic's steps on the same batch: `returns` [B, T] are what its values should have been."""
        assert self.critic is not None, "gae has one"
        assert fixed.values is not None, "and asked it before"
        found = self.critic.update(batch, returns.to(batch.mask), fixed.values, plan, learning_rates)
        self.bad_batches += self.critic.bad_batches
        return found

    @property
    def skipped_in_a_row(self) -> int:
        """Optimizer steps since the last one that was taken, the policy's or the critic's."""
        critic = 0 if self.critic is None else self.critic.optimizer.skipped_in_a_row
        return max(self.optimizer.skipped_in_a_row, critic)

    def _recompute(self) -> bool:
        """Keep no activations from here on; whether that is new."""
        if self.critic is not None:
            recompute_activations(self.critic.module)
        return recompute_activations(self.policy.module)

    def begin(self) -> None:
        """Begin from the weights as they are now: moments, KL reference, critic and row limit are new."""
        self.optimizer.forget()
        self.micro_batches.max_rows = None
        if self.critic is not None:
            self.critic = Critic(self.policy, self.config, self.micro_batches, self.world)
        if self.reference is not None:
            self.reference = self.policy.snapshot()

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything here that the next update depends on, under flat names."""
        reference = {f"reference/{name}": tensor for name, tensor in (self.reference or {}).items()}
        critic = {} if self.critic is None else self.critic.state_tensors()
        found = self.optimizer.state_tensors() | reference | critic
        if self.micro_batches.max_rows is not None:
            found["micro_batch_rows"] = torch.tensor(self.micro_batches.max_rows)
        if recomputes_activations(self.policy.module):
            found["recompute"] = torch.tensor(True)
        return found

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_tensors`.

        Raises:
            CheckpointError: they belong to another model, adapter or KL setting; nothing was changed.
        """
        fixed = ("master/", "reference/", "critic/master/")
        own = {name: t.shape for name, t in self.state_tensors().items() if name.startswith(fixed)}
        given = {name: t.shape for name, t in tensors.items() if name.startswith(fixed)}
        if own != given:
            example = min(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
            raise CheckpointError(
                f"the checkpoint does not fit these settings (first difference: {example}): resume with the "
                "model, `lora`, `lora_rank`, `use_kl_loss` and `adv_estimator` that the run began with"
            )
        self.optimizer.load_state_tensors(tensors)
        if "micro_batch_rows" in tensors:
            self.micro_batches.max_rows = int(tensors["micro_batch_rows"])
        if "recompute" in tensors:
            self._recompute()
        if self.critic is not None:
            self.critic.load_state_tensors(tensors)
        if self.reference is not None:
            device = self.policy.device
            self.reference = {name: tensors[f"reference/{name}"].to(device) for name in self.reference}

    @property
    def _kl_in_loss(self) -> bool:
        return self.config.use_kl_loss and self.config.kl_placement == "loss"

    @property
    def _mode(self) -> str:
        return self.config.loss_agg_mode

    def _with_signal(self, batch: Batch, advantages: Tensor, groups: Sequence[int]) -> list[int]:
        """Groups whose forward can change anything; the others count in the weights alone."""
        if self._kl_in_loss or self.config.entropy_coef:
            return list(groups)
        return [g for g in groups if bool(advantages[batch.groups == g].any())]

    def _accumulate(
        self,
        batch: Batch,
        rows: Tensor,
        weights: Tensor,
        advantages: Tensor,
        fixed: Fixed,
        tally: Tally,
    ) -> None:
        """Forward and backward of one micro-batch."""
        part, config = batch.take(rows), self.config
        weights = weights[rows]
        exact_kl: Tensor | None = None
        if self._kl_in_loss and config.kl_loss_type == "full":
            logprobs, entropy, exact_kl = self.policy.logprobs_and_kl(
                part, config.temperature, self.reference or {}
            )
        else:
            logprobs, entropy = self.policy.logprobs(part, config.temperature)
        self._keep(rows, logprobs, entropy)
        before = logprobs.detach() if fixed.old is None else fixed.old[rows]
        low, high = config.clip_bounds
        losses, stats = POLICY_LOSSES[config.loss](
            logprobs,
            before,
            advantages[rows],
            part.mask,
            Clip(low, high, config.clip_ratio_dual),
        )
        gap = masked(before - part.sampler_logprobs, part.mask)
        if not self.exact_sampler:
            losses = losses * gap.clamp(max=math.log(MAX_CORRECTION)).exp()
        loss = (losses * weights).sum()
        if self._kl_in_loss:
            kl, shown = self._kl(logprobs, exact_kl, fixed, rows, part.mask)
            if config.kl_importance:
                moved = masked(logprobs.detach() - before, part.mask)
                kl = kl * moved.clamp(max=math.log(MAX_CORRECTION)).exp()
            loss = loss + config.kl_loss_coef * (kl * weights).sum()
            tally.tokens("kl", shown, part.mask)
        if config.entropy_coef:
            loss = loss - config.entropy_coef * (entropy * weights).sum()
        self.optimizer.backward(loss)
        tally.add("loss", float(loss.detach()))
        tally.stats(stats, int(part.mask.sum()))
        tally.tokens("entropy", entropy.detach(), part.mask)
        tally.tokens("sampler/mean_gap", gap.abs(), part.mask)
        if gap.numel():
            tally.largest("sampler/max_gap", float(gap.abs().max()))

    def _kl(
        self, logprobs: Tensor, exact: Tensor | None, fixed: Fixed, rows: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The penalty of each token, and what is logged: the exact KL if it is known, else its estimate."""
        if exact is not None:
            return exact, exact.detach()
        assert fixed.reference is not None
        reference = masked(fixed.reference[rows], mask)
        shown = kl_penalty(logprobs.detach(), reference, "low_var_kl")
        return kl_penalty(logprobs, reference, self.config.kl_loss_type), shown

    @torch.no_grad()
    def _logprobs(self, batch: Batch, weights: Weights | None = None) -> Tensor:
        """[B, T] of the whole batch, under the current weights or others."""

        def compute() -> Tensor:
            result = torch.full_like(batch.mask, math.nan)
            for rows in self.micro_batches.split(batch, self.world.share(range(len(batch.prompts)))):
                found = self.policy.logprobs(batch.take(rows), self.config.temperature)[0]
                result[rows] = found.to(result)
            return result

        with self.policy.using(weights or {}):
            return self.world.fill(self.micro_batches.retry(compute, self.optimizer.clear))

    def _check_sampler(self, tally: Tally, batch: Batch, groups: Sequence[int]) -> None:
        """Stop a run whose sampler and trainer compute different models; asked once, before any change."""
        if self._sampler_checked or "sampler/mean_gap" not in tally.counts:
            return
        self._sampler_checked = True
        mean, largest = tally.means()["sampler/mean_gap"], tally.maxima["sampler/max_gap"]
        exact = self.exact_sampler
        agrees = mean <= 1e-4 and largest <= 1e-3 if exact else mean <= 0.1
        if not agrees:  # NaN does not agree either
            scored = next(g for g in groups if bool(batch.mask[batch.groups == g].any()))
            cause = explain_gap(self.policy, batch.select([scored]), self.config.temperature)
            raise TrainingError(
                f"the sampler's log-probabilities differ from the trainer's by {mean:.2g} per token (at most "
                f"{largest:.2g}), so the update would reinforce something else than was sampled: {cause}. "
                "Nothing was changed"
            )


def micro_batch_tokens(config: Config, policy: Policy) -> int:
    """`config.micro_batch_tokens`; "auto": one group on a CPU, where several in one forward gain nothing."""
    if config.micro_batch_tokens == "auto":
        return GPU_MICRO_BATCH_TOKENS if policy.device.type == "cuda" else 1
    return config.micro_batch_tokens


def supervised_micro_batch_tokens(config: Config, policy: Policy) -> int:
    """The same for a warm start, whose groups are single replies."""
    return max(micro_batch_tokens(config, policy), REPLIES_MICRO_BATCH_TOKENS)
