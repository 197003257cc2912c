"""Joins imported rows with what the shop knows of their tickets: policy for the prompt, facts for the reward.

A help desk's export has no policy. Write a script like this one for your shop: it turns the order system's
answer for each ticket into a system message and into the columns that your reward looks at.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def main() -> None:
    """Rows of first replies whose ticket the shop knows; the others are counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path, help="what `stateset-rl data import` wrote")
    parser.add_argument("orders", type=Path, help="JSON lines with `ticket` and `policy`")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    orders = {order.pop("ticket"): order for order in _lines(given.orders)}
    rows = _lines(given.rows)
    first = [row for row in rows if len(row["prompt"]) == 1]
    joined = [_with_order(row, orders[row["thread"]]) for row in first if row["thread"] in orders]
    given.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in joined))
    print(
        f"{len(rows)} rows: {len(rows) - len(first)} are follow-ups, {len(first) - len(joined)} have no order"
    )
    print(f"{len(joined)} joined: {given.out}")


def _with_order(row: dict[str, Any], order: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in order.items() if name != "policy"}
    return row | known | {"prompt": [{"role": "system", "content": order["policy"]}, *row["prompt"]]}


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
