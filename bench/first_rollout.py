"""Seconds from the command to the first rollout, and to its end: the real command line, stopped there.

OMP_NUM_THREADS=1 python bench/first_rollout.py
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")


def _age() -> float:
    """Seconds since this process was started, by the kernel's clock."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / TICKS
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def main() -> None:
    from stateset.rl import sampling

    real = sampling.collect_groups

    def watched(*args, **kwargs):
        begun = {"wall_seconds": _age(), "cpu_seconds": time.process_time()}
        real(*args, **kwargs)
        ended = {"wall_seconds": _age(), "cpu_seconds": time.process_time()}
        print(json.dumps({"begun": begun, "ended": ended}), flush=True)
        os._exit(0)

    sampling.collect_groups = watched
    from stateset.rl.cli import main as command

    with tempfile.TemporaryDirectory() as folder:
        for name in ("project.yaml", "tickets.jsonl", "reward.py"):
            shutil.copy(ROOT / "examples" / name, folder)
        project = Path(folder) / "project.yaml"
        lines = project.read_text().splitlines(keepends=True)
        # an evaluation would come before
        project.write_text("".join(line for line in lines if not line.startswith("eval_")))
        command(["train", str(project), f"output_dir={folder}/run", *sys.argv[1:]])


if __name__ == "__main__":
    main()
