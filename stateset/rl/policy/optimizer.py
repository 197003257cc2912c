"""AdamW over float32 master weights, whatever precision the model computes in.

A bf16 model trained in place loses small updates to rounding. So each trainable parameter that is not float32
has a float32 master: gradients are added into it as they appear (micro-batches add up in float32), the step
changes it, and the compute weights are rounded from it afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn, Protocol

import torch
from torch import Tensor, nn

from stateset.rl.errors import TrainingError
from stateset.rl.policy.distributed import ALONE, World

_SCALE = ("scale", "_growth_tracker")  # what of GradScaler's state changes in a run


class Trainable(Protocol):
    """What an optimizer needs of a model."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    def dtype(self) -> torch.dtype:
        """What forward and backward compute in."""

    def trainable(self) -> Mapping[str, nn.Parameter]:
        """The parameters that training changes, by name."""


class NonFiniteError(TrainingError):
    """An optimizer step was left out, because its loss or gradient norm is not finite.

    `where` names the first parameter whose gradient is not.
    """

    def __init__(self, loss: float, norm: float, where: str) -> None:
        super().__init__(
            f"the loss is {loss:g} and the gradient norm {norm:g}: nothing was changed by this step. Lower "
            "learning_rate, or set dtype: fp32 to see whether precision is the cause"
        )
        self.loss, self.norm, self.where = loss, norm, where


class PolicyOptimizer:
    """One optimizer step at a time; `learning_rate` is given to each.

    Args:
        model: whose trainable weights are stepped: a policy or a critic.
        betas: AdamW's.
        weight_decay: applied to matrices only, not to norms and biases.
        max_grad_norm: gradients are scaled down to this global norm; 0 switches it off.
        world: the processes whose gradients add up to that of a step.
    """

    def __init__(
        self,
        model: Trainable,
        *,
        betas: tuple[float, float],
        weight_decay: float,
        max_grad_norm: float,
        world: World = ALONE,
    ) -> None:
        self.world = world
        self.parameters = model.trainable()
        self.masters = {name: _master(p) for name, p in self.parameters.items()}
        self.max_grad_norm = max_grad_norm
        self.skipped_in_a_row = 0  # steps left out since the last one that was taken
        matrices = [m for m in self.masters.values() if m.ndim >= 2]
        others = [m for m in self.masters.values() if m.ndim < 2]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        fused = model.device.type in ("cpu", "cuda")
        self.adamw = torch.optim.AdamW([g for g in groups if g["params"]], betas=betas, fused=fused)
        scaled = model.dtype == torch.float16
        self.scaler = torch.amp.GradScaler(model.device.type, enabled=scaled)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of one micro-batch's loss to the masters (scaled up where the dtype is fp16)."""
        self.scaler.scale(loss).backward()
        for name, parameter in self.parameters.items():
            master = self.masters[name]
            if parameter.grad is None or master is parameter:
                continue
            if master.grad is None:
                master.grad = parameter.grad.float()
            else:
                master.grad.add_(parameter.grad)
            parameter.grad = None

    def step(self, learning_rate: float, loss: float = 0.0) -> float:
        """Add up the ranks' gradients, clip, step, round the masters into the compute weights.

        Args:
            learning_rate: of this step.
            loss: of the whole step, all micro-batches and ranks.
        Returns:
            The global gradient norm before clipping.
        Raises:
            NonFiniteError: that or the loss is not finite; no weight or moment has changed. An overflow that
                fp16's scaler provoked is no error: it leaves the step out and lowers the scale.
        """
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        for master in self.masters.values():
            if master.grad is None:  # no signal is a gradient of zero: AdamW's moments decay all the same
                master.grad = torch.zeros_like(master)
        if not math.isfinite(loss):  # before the scaler, which would take it for its own doing
            self._leave_out(loss, math.nan)
        grads = [m.grad for m in self.masters.values() if m.grad is not None]
        self.world.add_up(grads)
        self.scaler.unscale_(self.adamw)
        norm = float(torch.nn.utils.get_total_norm(grads))
        if not math.isfinite(norm) and not self._too_large_a_scale():
            self._leave_out(loss, norm)
        if self.max_grad_norm and norm > self.max_grad_norm and math.isfinite(norm):
            torch._foreach_mul_(grads, self.max_grad_norm / norm)
        self.scaler.step(self.adamw)
        self.scaler.update()
        self.round_masters()
        self.clear()
        self.skipped_in_a_row = 0
        return norm

    def _too_large_a_scale(self) -> bool:
        """Whether a lower loss scale may help; at 1 and below it is not what made the gradient overflow."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > 1

    def _leave_out(self, loss: float, norm: float) -> NoReturn:
        named = ((name, master.grad) for name, master in self.masters.items())
        where = next((n for n, grad in named if grad is not None and not grad.isfinite().all()), "")
        self.clear()
        if self.scaler.is_enabled():
            self.scaler.update(self.scaler.get_scale())  # unscales the next step anew
        self.skipped_in_a_row += 1
        raise NonFiniteError(loss, norm, where)

    def round_masters(self) -> None:
        """Copy the masters into the compute weights."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                if self.masters[name] is not parameter:
                    parameter.copy_(self.masters[name])

    def clear(self) -> None:
        """Drop all gradients."""
        for tensor in (*self.masters.values(), *self.parameters.values()):
            tensor.grad = None

    def forget(self) -> None:
        """Drop AdamW's moments, so that another stage of training begins anew from the same masters."""
        self.adamw.state.clear()
        self.skipped_in_a_row = 0

    def state_tensors(self) -> dict[str, Tensor]:
        """Masters, moments, the loss scale of fp16 and steps left out, under flat names, for a checkpoint."""
        tensors = {f"master/{name}": master.detach() for name, master in self.masters.items()}
        for name, master in self.masters.items():
            tensors |= {f"{key}/{name}": value for key, value in self.adamw.state.get(master, {}).items()}
        if self.skipped_in_a_row:
            tensors["skipped_in_a_row"] = torch.tensor(self.skipped_in_a_row)
        scale = self.scaler.state_dict()  # empty but for fp16
        values = [scale[key] for key in _SCALE if key in scale]
        return tensors | ({"loss_scale": torch.tensor(values, dtype=torch.float64)} if values else {})

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_tensors`; the compute weights follow from the masters."""
        self.adamw.state.clear()
        for name, master in self.masters.items():
            with torch.no_grad():
                master.copy_(tensors[f"master/{name}"])
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in tensors]
            if keys:
                self.adamw.state[master] = {key: tensors[f"{key}/{name}"].to(master.device) for key in keys}
        self.skipped_in_a_row = int(tensors.get("skipped_in_a_row", 0))
        if self.scaler.is_enabled() and "loss_scale" in tensors:
            scale, steps = tensors["loss_scale"].tolist()
            found = dict(zip(_SCALE, (scale, int(steps)), strict=True))
            self.scaler.load_state_dict(self.scaler.state_dict() | found)
        self.round_masters()


def learning_rate_at(step: int, *, peak: float, warmup: int, total: int, schedule: str) -> float:
    """The learning rate of optimizer step `step` (from 0) of `total`.

    Linear from peak / warmup over the first `warmup` steps; then `constant`, or `linear` or `cosine` down to
    zero at `total`.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    left = (total - step) / max(1, total - warmup)
    factor = {"constant": 1.0, "linear": left, "cosine": 0.5 * (1 + math.cos(math.pi * (1 - left)))}[schedule]
    return peak * factor


def _master(parameter: torch.nn.Parameter) -> Tensor:
    return (
        parameter
        if parameter.dtype in (torch.float32, torch.float64)
        else parameter.detach().float().requires_grad_()
    )
