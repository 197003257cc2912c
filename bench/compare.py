"""A step of this package against a step of TRL 1.16, interleaved A B A B, each in its own environment.

    python bench/compare.py --rounds 2 --out docs/benchmarks/step.json

Process CPU seconds on one thread: on a shared machine wall time says more about the neighbours. Needs `.venv`
(make setup) and `.venv-trl` (made here when missing). Prints a Markdown table and writes every measured step.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / ".venv-trl"


def prepare_peer() -> None:
    if not (PEER / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", PEER], check=True)
        for wanted in (["torch==2.13.0"], ["trl==1.16.*", "datasets"]):
            subprocess.run([PEER / "bin/pip", "install", "-q", *wanted], check=True)


def measure(python: Path, script: str, arguments: list[str]) -> dict:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, ROOT / "bench" / script, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row = json.loads(done.stdout.splitlines()[-1])
    row["model"] = Path(row["model"]).name
    print(
        f"{row['tool']:12} {row.get('dtype', 'bf16'):14} {[round(s, 1) for s in row['cpu_seconds']]}",
        file=sys.stderr,
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", default="3")
    parser.add_argument("--prompt-tokens", nargs="+", default=["200"])
    parser.add_argument("--dtypes", nargs="+", default=["bf16", "bf16-autocast"])
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    prepare_peer()
    locate = "from stateset.rl.policy.load import offline_model; print(offline_model('smollm2-135m'))"
    ours = ROOT / ".venv/bin/python"
    model = subprocess.run(
        [ours, "-c", locate], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    rows = []
    for _ in range(chosen.rounds):
        for tokens in chosen.prompt_tokens:
            common = ["--model", model, "--prompt-tokens", tokens, "--steps", chosen.steps]
            rows.append(measure(ours, "step_ours.py", common))
            rows += [
                measure(PEER / "bin/python", "step_trl.py", [*common, "--dtype", d]) for d in chosen.dtypes
            ]
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "rows": rows,
    }
    if chosen.out:
        chosen.out.write_text(json.dumps(report, indent=1) + "\n")
    print(table(rows))


def table(rows: list[dict]) -> str:
    lines = [
        "| prompt | tool | CPU seconds a step, median (min-max) | peak RSS | ratio of medians |",
        "|---|---|---|---|---|",
    ]
    for tokens in dict.fromkeys(row["prompt_tokens"] for row in rows):
        here = [row for row in rows if row["prompt_tokens"] == tokens]
        base = statistics.median(s for row in here if row["tool"] != "trl" for s in row["cpu_seconds"])
        for name in dict.fromkeys((row["tool"], row.get("dtype", "bf16")) for row in here):
            same = [row for row in here if (row["tool"], row.get("dtype", "bf16")) == name]
            seconds = [s for row in same for s in row["cpu_seconds"]]
            middle = statistics.median(seconds)
            rss = max(row["peak_rss_gib"] for row in same)
            lines.append(
                f"| {tokens} | {name[0]}, {name[1]} | {middle:.1f} ({min(seconds):.1f}-{max(seconds):.1f}) "
                f"| {rss:.1f} GiB | {middle / base:.1f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
