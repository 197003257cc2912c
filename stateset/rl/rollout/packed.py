"""Linear layers packed once per update for oneDNN: bf16 products on a CPU, about twice as fast.

The packing is a private operation of torch; where it is missing or refuses, layers stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from peft.tuners.lora import Linear as LoraLinear


class PackedLinear(nn.Module):
    """Computes like the `nn.Linear` it was made from, from a packed copy of its weight; inference only."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias
        self.pack(linear.weight)

    def pack(self, weight: Tensor) -> None:
        """Take over a weight [out, in]."""
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
        return result


class PackedLora(nn.Module):
    """Computes like the `peft` layer it was made from: one product with base and A together, one with B.

    B stays beside the base: added into a bf16 weight, most of a small update would be rounded away.
    """

    def __init__(self, layer: LoraLinear) -> None:
        super().__init__()
        [name] = layer.active_adapters
        parts = layer.get_base_layer(), layer.lora_A[name], layer.lora_B[name]
        base, down, up = (part.get_parameter("weight").detach() for part in parts)
        # [out, in], [r, in] and [out, r]: the policy's own tensors, which updates change in place
        self.base, self.down, self.up = base, down, up
        self.scaling: float = layer.scaling[name]
        bias = dict(parts[0].named_parameters()).get("bias")
        self.bias = None if bias is None else torch.cat([bias.detach(), bias.new_zeros(len(down))])
        self.pack()

    def pack(self) -> None:
        """Take over base and adapter as they are now."""
        self.packed = torch.ops.mkldnn._reorder_linear_weight(torch.cat([self.base, self.down]))
        self.across = self.up.t().contiguous()  # [r, out]

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        both = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
        rows, out = both.view(-1, both.shape[-1]), len(self.base)
        result = torch.addmm(rows[:, :out], rows[:, out:], self.across, alpha=self.scaling)
        return result.view(*inputs.shape[:-1], out)


def can_pack(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether packing works here, tried on a small layer."""
    if dtype != torch.bfloat16 or device.type != "cpu":
        return False
    try:
        layer = nn.Linear(32, 16, bias=False, dtype=dtype)
        return bool(PackedLinear(layer)(torch.zeros(1, 32, dtype=dtype)).shape == (1, 16))
    except (AttributeError, RuntimeError):
        return False


def packed_copy(module: PreTrainedModel) -> PreTrainedModel:
    """A copy of `module` for inference, linear layers packed; `load_packed` fills it."""
    # packed tensors cannot be copied: copy first, pack last
    twin = copy.deepcopy(module).requires_grad_(False)
    adapted = _lora_layers(module)
    for path, parent in list(twin.named_modules()):
        if path in adapted or path.rpartition(".lora_")[0] in adapted:
            continue
        for name, child in list(parent.named_children()):
            layer = adapted.get(f"{path}.{name}")
            if layer is not None:
                setattr(parent, name, PackedLora(layer))
            elif type(child) is nn.Linear and "lora_" not in path:
                setattr(parent, name, PackedLinear(child))
    twin.eval()
    return twin


def _lora_layers(module: PreTrainedModel) -> dict[str, LoraLinear]:
    """The layers with an adapter of the plain kind, by path."""
    if not getattr(module, "peft_config", None):
        return {}
    from peft.tuners.lora import Linear as LoraLinear

    return {
        path: layer
        for path, layer in module.named_modules()
        if type(layer) is LoraLinear
        and type(layer.base_layer) is nn.Linear
        and len(layer.active_adapters) == 1
        and not any((*layer.use_dora.values(), *layer.lora_bias.values(), layer.merged))
    }


@torch.no_grad()
def load_packed(twin: PreTrainedModel, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Copy weights into a `packed_copy`, packing those of linear layers anew.

    Args:
        twin: from `packed_copy`.
        weights: weights of the copied module by name, tied ones under each of their names.
    """
    adapted: dict[PackedLora, None] = {}
    for name, tensor in weights:
        path, _, adapter = name.partition(".lora_")
        owner = twin.get_submodule(path if adapter else path.rpartition(".")[0])
        if isinstance(owner, PackedLora):
            adapted[owner] = None  # it reads the policy's own tensors
        elif isinstance(owner, PackedLinear) and name.endswith(".weight"):
            owner.pack(tensor)
        else:
            twin.get_parameter(name).copy_(tensor)
    for layer in adapted:
        layer.pack()
