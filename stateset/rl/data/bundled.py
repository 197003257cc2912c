"""The bundled support tickets: rows to try everything on. `tickets/README.md` is their data card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stateset.rl.config.schema import BUNDLED_TICKETS
from stateset.rl.errors import DataError

SPLITS = ("train", "validation", "test")
_FOLDER = Path(__file__).parent / "tickets"


def load_customer_service_data(split: str = "train") -> list[dict[str, Any]]:
    """Rows of the bundled support tickets, ready for `train()`.

    A row has `prompt` (system message with policy and order, customer's message), `answer` (a clean reply,
    never trained on unless asked for), `reply` (what an agent of the log answered, with the log's `resolved`,
    `satisfaction` and `reopened`), `situation`, `difficulty`, `template`, and what `verify_ticket` checks:
    `resolution`, `allowed`, `must_not_promise`, `question_kind`, `facts`.

    Args:
        split: train, validation or test. No template, product, name or policy is in two of them.

    Raises:
        DataError: another split.
    """
    if split not in SPLITS:
        raise DataError(f"the bundled tickets have no split '{split}'; there are {', '.join(SPLITS)}.")
    with (_FOLDER / f"{split}.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def bundled_rows(name: str) -> list[dict[str, Any]] | None:
    """Rows of `support_tickets` or `support_tickets/test`; None for the name of something else."""
    first, slash, split = name.partition("/")
    if first != BUNDLED_TICKETS:
        return None
    return load_customer_service_data(split if slash else "train")
