"""What a cell of the benchmark is: the sizes of a step, as arguments of both tools' scripts."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Cell:
    """One step: `prompts` prompts of `prompt_tokens`, `group` responses each of exactly `new_tokens`."""

    prompt_tokens: int = 200
    group: int = 8
    new_tokens: int = 64
    prompts: int = 1
    lora: int = 0  # rank; 0: every weight trains
    beta: float = 0.0  # weight of the KL term

    @property
    def name(self) -> str:
        more = [f"{self.prompts} prompts"] * (self.prompts > 1)
        more += [f"LoRA {self.lora}"] * bool(self.lora) + [f"beta {self.beta:g}"] * bool(self.beta)
        return ", ".join([f"prompt {self.prompt_tokens}", f"n {self.group}", f"{self.new_tokens} new", *more])

    def words(self) -> list[str]:
        """As arguments of a script."""
        return [part for key, value in asdict(self).items() for part in (_option(key), str(value))]


def parse(parser: argparse.ArgumentParser) -> tuple[Cell, argparse.Namespace]:
    """Read a cell and the other arguments that both tools' scripts have."""
    for field in fields(Cell):
        parser.add_argument(_option(field.name), type=type(field.default), default=field.default)
    parser.add_argument("--model", required=True)
    parser.add_argument("--steps", type=int, default=3, help="measured ones, after one warm-up")
    given = parser.parse_args()
    return Cell(**{field.name: getattr(given, field.name) for field in fields(Cell)}), given


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
