"""What `plan --measure` forecasts for a finished run's settings, beside what the run took.

    OMP_NUM_THREADS=1 python bench/plan_accuracy.py runs/demo-0/run [--probe 8] [key=value ...]

Seconds of the warm start, the steps and the evaluations, and the peak of the memory; the plan is made now, on
a machine that should be as busy as it was then. The run counts in process CPU time, too. Without a warm start
`--probe` tells the plan how many groups will train.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PARTS = {"warm start": ("warm start",), "evaluations": ("evaluation",)}
NOT_STEPS = ("warm start", "evaluation", "checkpoint", "total", "cpu")
MIB = 2**20


def main() -> None:
    """Plan, read, print."""
    run, further = Path(sys.argv[1]), sys.argv[2:]
    folder = json.loads((run / "manifest.json").read_text())["project"]  # where its reward lies
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=folder) as project:
        project.write((run / "config.resolved.yaml").read_text())
        project.flush()
        command = [sys.executable, "-m", "stateset.rl", "plan", project.name, "output_dir=null", "--measure"]
        done = subprocess.run([*command, *further, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    plan = json.loads(done.stdout)
    lines = [json.loads(line) for line in (run / "timings.jsonl").read_text().splitlines()]
    took = {part: _sum(lines, names) for part, names in PARTS.items()}
    took["steps"] = sum(
        seconds for line in lines for name, seconds in line["seconds"].items() if name not in NOT_STEPS
    )
    print(f"{'':<12} {'plan':>10} {'run':>10} {'ratio':>7}")
    for part, seconds in {**plan["seconds"], "all": plan["total_seconds"]}.items():
        was = sum(took.values()) if part == "all" else took[part]
        if was:
            print(f"{part:<12} {seconds:>8,.0f} s {was:>8,.0f} s {seconds / was:>7.2f}")
    print(f"CPU time of the run: {_sum(lines, ('cpu',)):,.0f} s")
    peak = max((line.get("peak_bytes", 0) for line in lines), default=0)
    if peak:
        ratio = plan["peak_bytes"] / peak
        print(f"{'memory':<12} {plan['peak_bytes'] / MIB:>6,.0f} MiB {peak / MIB:>6,.0f} MiB {ratio:>7.2f}")


def _sum(lines: list[dict[str, dict[str, float]]], names: tuple[str, ...]) -> float:
    return sum(line["seconds"].get(name, 0.0) for line in lines for name in names)


if __name__ == "__main__":
    main()
