"""What keeping freed memory saves: CPU seconds, page faults and peak memory of training steps, in turns.

    OMP_NUM_THREADS=1 python bench/memory.py --steps 3 --rounds 2

Each arm is a process of its own: the demo's project from the base model, first step left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "examples" / "demo" / "project.yaml"


def main() -> None:
    """Run both arms in turns, and print a line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--arm", choices=("plain", "keep"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        print(json.dumps(_train(given.arm, given.steps + 1)))
        return
    for _ in range(given.rounds):
        for arm in ("plain", "keep"):
            command = [sys.executable, __file__, "--arm", arm, "--steps", str(given.steps)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(done.stdout.splitlines()[-1], flush=True)


def _train(arm: str, steps: int) -> dict:
    from stateset.rl import GRPOTrainer, load_config
    from stateset.rl.policy import learner

    if arm == "plain":
        learner.keep_freed_memory = lambda: False
    marks = []

    def mark(_: object = None) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        marks.append((time.process_time(), used.ru_minflt))

    with tempfile.TemporaryDirectory() as folder:
        settings = ["warm_start=null", "eval_every=1000", f"max_steps={steps}", f"output_dir={folder}/run"]
        trainer = GRPOTrainer(config=load_config(PROJECT, overrides=settings))
        trainer.on_step = mark
        trainer.train(eval_dataset=[{"prompt": "hello"}])
    pairs = list(pairwise(marks))
    return {
        "arm": arm,
        "cpu_seconds": [round(b[0] - a[0], 1) for a, b in pairs],
        "page_faults": [b[1] - a[1] for a, b in pairs],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    main()
