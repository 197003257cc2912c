"""Our mathematics against verl's and TRL's own functions, on the published vectors of `tests/vectors`.

    make agreement                                      # JSON, in an environment of its own (.venv-peers)
    .venv-peers/bin/python bench/agreement.py --write   # and docs/agreement.md

Each check calls a function of a peer and compares what it returns with a vector (or, for settings without
one, with `tests/reference`), in float64 and in float32. It says beforehand what will come of it, and why
where the two differ: a check that turns out otherwise fails the run, so that no reason outlives its fact.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch
from agreement_cases import DIFFERS, ONLY_FLOAT64, ROOT, SAME, Check, of

warnings.filterwarnings("ignore")
import agreement_trl  # noqa: E402
import agreement_verl  # noqa: E402

PAGE = ROOT / "docs/agreement.md"
CLOSE = {
    torch.float64: 1e-6,
    torch.float32: 1e-5,
}  # |a - b| / (1 + |b|)
INTRODUCTION = """# Agreement with verl and TRL

What functions of two other trainers return on the [test vectors](../tests/vectors/README.md) of this package,
against what the vectors say. Written by `bench/agreement.py --write`; `make agreement` runs it again.

{date}, verl {verl}, TRL {trl}, torch {torch}, on a CPU. {count} checks: {same} the same, {only} the same in
float64 only, {differ} different, each with its reason.

The numbers are the largest |a - b| / (1 + |b|) over advantages, losses, gradients or statistics. "The same"
is at most {close64:.0e} in float64 and {close32:.0e} in float32; an epsilon elsewhere can be less than that.
Only the functions named here were called; `maxrl` is not compared.
"""


def difference(check: Check, dtype: torch.dtype) -> float | str:
    """The largest |a - b| / (1 + |b|), or what the peer gave instead of numbers."""
    worst = 0.0
    try:
        for actual, wanted in check.caller(dtype):
            expected = of(wanted, torch.float64)
            error = (actual.detach().double() - expected).abs() / (1 + expected.abs())
            if not error.isfinite().all():
                return "NaN"
            worst = max(worst, error.max().item())
    except (NotImplementedError, ValueError) as refusal:
        return f"raises {type(refusal).__name__}"
    return worst


def measure(check: Check) -> dict[str, Any]:
    by_dtype = {dtype: difference(check, dtype) for dtype in CLOSE}
    close = [isinstance(value, float) and value <= CLOSE[dtype] for dtype, value in by_dtype.items()]
    row = {key: value for key, value in asdict(check).items() if key not in ("caller", "expect")}
    row |= {str(dtype).removeprefix("torch."): value for dtype, value in by_dtype.items()}
    return row | {
        "verdict": SAME if all(close) else ONLY_FLOAT64 if close[0] else DIFFERS,
        "expected": check.expect,
    }


def page(rows: list[dict[str, Any]]) -> str:
    """docs/agreement.md."""
    by_verdict = {v: [row for row in rows if row["verdict"] == v] for v in (SAME, ONLY_FLOAT64, DIFFERS)}
    text = INTRODUCTION.format(
        date=datetime.now(UTC).date().isoformat(),
        verl=version("verl"),
        trl=version("trl"),
        torch=version("torch").split("+")[0],
        count=len(rows),
        same=len(by_verdict[SAME]),
        only=len(by_verdict[ONLY_FLOAT64]),
        differ=len(by_verdict[DIFFERS]),
        close64=CLOSE[torch.float64],
        close32=CLOSE[torch.float32],
    )
    different = [row for row in rows if row["verdict"] != SAME]
    text += "\n## Different\n\n" + table(different, ["why ours is as it is"])
    return text + "\n## The same\n\n" + table(by_verdict[SAME], [])


def table(rows: list[dict[str, Any]], more: list[str]) -> str:
    head = ["function", "peer", "called", "on", "float64", "float32", *more]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        cells = (
            [row[key] for key in head[:4]]
            + [number(row[key]) for key in head[4:6]]
            + [row["why"]] * len(more)
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1e}" if value else "0"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write docs/agreement.md")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(check) for check in [*agreement_verl.CHECKS, *agreement_trl.CHECKS]]
    print(json.dumps({"verl": version("verl"), "trl": version("trl"), "checks": rows}, indent=1))
    surprises = [row for row in rows if row["verdict"] != row["expected"]]
    for row in surprises:
        found = f"{row['verdict']} ({row['float64']}, {row['float32']})"
        print(
            f"{row['peer']} {row['called']} on {row['on']}: {found}, expected {row['expected']}",
            file=sys.stderr,
        )
    if chosen.write and not surprises:
        PAGE.write_text(page(rows))
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
