"""PPO with a critic beside GRPO: the same model, tickets and number of responses; what each takes and learns.

    python bench/ppo_versus_grpo.py runs/demo-0/run/warm_start --steps 20 --out docs/benchmarks/ppo.json

Each arm is a process of its own with the demo's project file; it prints parameters, peak memory, CPU time a
step, the phases, and the held-out reward before and after.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1] / "examples" / "demo" / "project.yaml"
BOTH = ["learning_rate=2e-5", "schedule=constant"]
ARMS = {"grpo": ["adv_estimator=grpo"], "ppo": ["adv_estimator=gae", "critic_learning_rate=1e-4"]}


def main() -> None:
    """Run both arms, one after the other, and print them side by side."""
    given = _arguments()
    if given.arm:
        print(json.dumps(_train(given)))
        return
    found = {}
    for arm in ARMS:
        command = [sys.executable, __file__, given.model, "--arm", arm, "--steps", str(given.steps)]
        command += ["--seed", str(given.seed), *(f"--set={text}" for text in given.set)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[arm] = json.loads(done.stdout.splitlines()[-1])
        print(arm, json.dumps(found[arm], indent=1), flush=True)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a folder or name; the demo's warm start, for instance")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _train(given: argparse.Namespace) -> dict[str, Any]:
    from stateset.rl import GRPOTrainer, load_config

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        settings = ["warm_start=null", f"model={given.model}", f"output_dir={run}", f"seed={given.seed}"]
        settings += [f"max_steps={given.steps}", "save_every=1000", *BOTH, *ARMS[given.arm], *given.set]
        trainer = GRPOTrainer(config=load_config(PROJECT, overrides=settings))
        trainer.train()
        critic = trainer.learner.critic
        seconds = [line["seconds"] for line in _lines(run / "timings.jsonl")]
        held_out = [line["reward"] for line in _lines(run / "eval" / "summary.jsonl")]
        metrics = _lines(run / "metrics.jsonl")
    evaluations = sum(step.get("evaluation", 0.0) for step in seconds)
    phases = {name: sum(step.get(name, 0.0) for step in seconds) for name in ("rollout", "update", "critic")}
    return {
        "parameters": trainer.policy.num_parameters,
        "critic_parameters": 0 if critic is None else critic.num_parameters,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "steps": given.steps,
        "cpu_seconds_a_step": (sum(step["cpu"] for step in seconds) - evaluations) / given.steps,
        "seconds_by_phase": phases,
        "held_out": held_out,
        "reward": [line["reward"] for line in metrics],
        "explained_variance": [line.get("critic/explained_variance") for line in metrics],
    }


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


if __name__ == "__main__":
    main()
