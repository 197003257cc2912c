"""Linear layers packed once per update for oneDNN: bf16 products on a CPU, about twice as fast.

The packing is a private operation of torch; where it is missing or refuses, layers stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


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
    """A copy of `module` for inference, linear layers packed; `load_packed` fills it.

    Adapters stay beside their layers: added into a bf16 weight, most of a small update would be rounded away.
    """
    # packed tensors cannot be copied: copy first, pack last
    twin = copy.deepcopy(module).requires_grad_(False)
    for path, parent in list(twin.named_modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and "lora_" not in path:
                setattr(parent, name, PackedLinear(child))
    twin.eval()
    return twin


@torch.no_grad()
def load_packed(twin: PreTrainedModel, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Copy weights into a `packed_copy`, packing those of linear layers anew.

    Args:
        twin: from `packed_copy`.
        weights: weights of the copied module by name, tied ones under each of their names.
    """
    for name, tensor in weights:
        owner = twin.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, PackedLinear) and name.endswith(".weight"):
            owner.pack(tensor)
        else:
            twin.get_parameter(name).copy_(tensor)
