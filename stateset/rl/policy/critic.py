"""PPO's critic: a second model that predicts the reward still to come at each token.

GRPO needs none; this is here for the comparison. It starts as a copy of the policy with a value head of
zeros in place of the vocabulary's, and is trained beside it with an optimizer of its own.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from stateset.rl.algorithm.aggregation import masked, token_weights
from stateset.rl.config.schema import Config
from stateset.rl.policy.bad_batch import BadBatch, explain
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.distributed import ALONE, World
from stateset.rl.policy.forward import plain_hidden, shared_hidden, spread
from stateset.rl.policy.micro_batches import MicroBatches
from stateset.rl.policy.optimizer import NonFiniteError, PolicyOptimizer
from stateset.rl.policy.policy import Policy


class Critic:
    """Values of tokens, and their training.

    Args:
        policy: what it is a copy of; with an adapter, the copy trains an adapter, too.
        config: `critic_learning_rate`, `value_clip` and the optimizer's settings.
        micro_batches: splits what does not go into one forward pass.
        world: the processes that share its groups, as the policy's.
    """

    def __init__(
        self, policy: Policy, config: Config, micro_batches: MicroBatches, world: World = ALONE
    ) -> None:
        self.config, self.micro_batches, self.world = config, micro_batches, world
        self._shares = policy.shares
        self.module = cast(PreTrainedModel, copy.deepcopy(policy.module.base_model))
        self.head = nn.Linear(policy.head.weight.shape[1], 1, device=policy.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.dtype, self.device = policy.dtype, policy.device
        self.optimizer = PolicyOptimizer(
            self,
            betas=config.betas,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            world=world,
        )
        self.bad_batches: list[BadBatch] = []  # of the latest update

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        trunk = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        return {**trunk, **{f"value_head.{name}": p for name, p in self.head.named_parameters()}}

    @property
    def num_parameters(self) -> int:
        """All weights, trained or not."""
        return sum(p.numel() for p in (*self.module.parameters(), *self.head.parameters()))

    @torch.no_grad()
    def values(self, batch: Batch) -> Tensor:
        """[B, T]: the estimate before each masked token, float32, 0 elsewhere."""

        def compute() -> Tensor:
            result = torch.full_like(batch.mask, torch.nan)
            for rows in self.micro_batches.split(batch, self.world.share(range(len(batch.prompts)))):
                result[rows] = self._values(batch.take(rows))
            return result

        return self.world.fill(self.micro_batches.retry(compute, self.optimizer.clear))

    def update(
        self,
        batch: Batch,
        returns: Tensor,
        old_values: Tensor,
        plan: Sequence[Sequence[int]],
        policy_rates: Sequence[float],
    ) -> dict[str, float]:
        """Take as many optimizer steps as the policy does: half the squared distance from the returns.

        A value that has moved more than `value_clip` from the old one gains nothing by moving on (PPO's
        value clipping, arXiv 1707.06347).

        Args:
            batch: B responses of whole groups, on the policy's device.
            returns: [B, T], from `gae`.
            old_values: [B, T], of this batch before the first step.
            plan: the groups of each optimizer step.
            policy_rates: the policy's learning rates, whose schedule the critic follows.
        Returns:
            Loss, gradient norm, mean value and explained variance of the returns, by logged name.
        """
        ratio = self.config.critic_learning_rate / self.config.learning_rate
        losses, norms, self.bad_batches = [], [], []
        try:
            for groups, rate in zip(plan, policy_rates, strict=True):
                step = partial(self._accumulate, batch, returns, old_values, groups)
                loss = self.world.total(self.micro_batches.retry(step, self.optimizer.clear))
                try:
                    norms.append(self.optimizer.step(rate * ratio, loss))
                    losses.append(loss)
                except NonFiniteError as error:
                    numbers = {"value": old_values, "return": returns}
                    self.bad_batches.append(explain("critic", error, batch, groups, numbers))
        except BaseException:  # Ctrl-C too: a later call must not find half a gradient
            self.optimizer.clear()
            raise
        inside = batch.mask != 0
        return {
            "critic/loss": sum(losses) / len(losses) if losses else math.nan,
            "critic/grad_norm": sum(norms) / len(norms) if norms else math.nan,
            "critic/bad_batches": float(len(self.bad_batches)),
            "critic/value": float(old_values[inside].mean()) if inside.any() else 0.0,
            "critic/explained_variance": _explained(old_values[inside], returns[inside]),
        }

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything that the next update depends on, under flat names."""
        return {f"critic/{name}": tensor for name, tensor in self.optimizer.state_tensors().items()}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_tensors`."""
        prefix = "critic/"
        own = {n.removeprefix(prefix): tensor for n, tensor in tensors.items() if n.startswith(prefix)}
        self.optimizer.load_state_tensors(own)

    def _accumulate(self, batch: Batch, returns: Tensor, old_values: Tensor, groups: Sequence[int]) -> float:
        rows, total = batch.rows_of(groups), 0.0
        weights = torch.zeros_like(batch.mask)
        weights[rows] = token_weights(batch.mask[rows], "token-mean")
        for rows in self.micro_batches.split(batch, self.world.share(groups)):
            values, old = self._values(batch.take(rows)), old_values[rows]
            clipped = old + (values - old).clamp(-self.config.value_clip, self.config.value_clip)
            target = returns[rows].to(values)
            errors = torch.maximum((values - target).square(), (clipped - target).square()) / 2
            loss = (masked(errors, batch.mask[rows]) * weights[rows]).sum()
            self.optimizer.backward(loss)
            total += float(loss.detach())
        return total

    def _values(self, batch: Batch) -> Tensor:
        if self._shares(batch):
            hidden = shared_hidden(self.module, self.dtype, batch)
        else:
            hidden = plain_hidden(self.module, batch)
        return spread(self.head(hidden.float())[:, 0], batch.mask)


def _explained(values: Tensor, returns: Tensor) -> float:
    """1 - variance of what the values miss / variance of the returns; NaN with nothing to explain."""
    if returns.numel() < 2 or not float(returns.var()):
        return float("nan")
    return 1 - float((returns - values).var() / returns.var())
