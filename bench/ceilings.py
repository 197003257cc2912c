"""What one core of this machine can do at most, and the least time that a step could take with it.

    OMP_NUM_THREADS=1 python bench/ceilings.py

The rate of bf16 matrix products is measured at the shapes of the model's linear layers, the memory's by
copying.
`least` counts only what no implementation can avoid: each prompt computed once, each weight read once a
token, forward and backward of prompt and responses, the optimizer's reads and writes.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from cell import Cell

MODEL = "smollm2-135m"
TOKENS = 712  # rows of a product: a prompt of 200 and eight responses of 64
COPIED = 2**28  # bytes, far beyond the caches


@dataclass(frozen=True)
class Machine:
    """Products in multiply-adds x 2 a second, bytes read and written a second; of process CPU time."""

    flops: float
    bandwidth: float


@dataclass(frozen=True)
class Shape:
    """Parameters in linear layers, in the output layer, in all; bytes of a token's keys and values."""

    linear: int
    head: int
    total: int
    cached: int


def measure_machine(shapes: list[tuple[int, int]]) -> Machine:
    """Best of several repetitions, so that a busy neighbour costs nothing."""
    import torch

    layers = [torch.randn(out, width).bfloat16() for out, width in shapes]
    inputs = {width: torch.randn(TOKENS, width).bfloat16() for _, width in shapes}
    seconds = sum(_best(partial(torch.nn.functional.linear, inputs[w.shape[1]], w)) for w in layers)
    source, target = (torch.empty(COPIED, dtype=torch.uint8).fill_(1) for _ in range(2))
    return Machine(
        flops=2 * TOKENS * sum(w.numel() for w in layers) / seconds,
        bandwidth=2 * COPIED / _best(partial(target.copy_, source)),
    )


def _best(work: Any) -> float:
    seconds = []
    for _ in range(7):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def least(cell: Cell, shape: Shape, machine: Machine) -> dict[str, float]:
    """Seconds of the parts of a step that nothing can avoid."""
    responses = cell.prompts * cell.group
    new, prompts = responses * cell.new_tokens, cell.prompts * cell.prompt_tokens
    both = shape.linear + shape.head
    read = 2 * both + shape.cached * (prompts + responses * cell.new_tokens / 2)
    a_token = max(read / machine.bandwidth, 2 * both * responses / machine.flops)
    passes = 2 if cell.lora else 3  # frozen weights need no gradient of their own
    forward = 2 * (shape.linear * (prompts + new) + shape.head * new) / machine.flops
    return {
        "prefill": 2 * shape.linear * prompts / machine.flops,
        "decode": cell.new_tokens * a_token,
        "forward and backward": passes * forward,
        "reference": forward if cell.beta else 0.0,
        "optimizer": 0.0 if cell.lora else 32 * shape.total / machine.bandwidth,
    }


def of_model(name: str = MODEL) -> tuple[Shape, Machine]:
    """The shape of a model, and this machine at its linear layers."""
    from stateset.rl.policy.load import load_policy
    from stateset.rl.rollout.decoders import bytes_per_token

    policy = load_policy(name, device="cpu", dtype="bf16")
    head = policy.head.weight
    layers = [m.weight for m in policy.module.base_model.modules() if type(m).__name__ == "Linear"]
    shape = Shape(
        linear=sum(w.numel() for w in layers), head=head.numel(),
        total=policy.num_parameters, cached=bytes_per_token(policy),
    )  # fmt: skip
    block = list(dict.fromkeys(tuple(w.shape) for w in layers))
    return shape, measure_machine([*block, tuple(head.shape)])


if __name__ == "__main__":
    shape, machine = of_model(*sys.argv[1:])
    json.dump({"shape": asdict(shape), "machine": asdict(machine)}, sys.stdout)
