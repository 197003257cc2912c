"""Random order, easy to hard in stages, and `target_pass_rate`: the same model, rows, steps and settings.

    python bench/curriculum.py runs/demo-0/run/warm_start --out docs/benchmarks/curriculum.jsonl

The rows get a difficulty once, by eight samples of the model, as `data difficulty --keep-all` does. Then each
arm trains from the model, seed by seed, so that what is there can be compared whenever the script is stopped.
A line that the output file holds is not made again. What is compared is the reward of greedy answers to
held-out rows after the last step, paired by row.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stateset.rl import GRPOTrainer, filter_by_difficulty, load_config, load_model
from stateset.rl.config.schema import Config
from stateset.rl.data.load import load_tasks
from stateset.rl.evaluation.difficulty import LEVELS, measure_difficulty
from stateset.rl.evaluation.evaluate import evaluate_policy
from stateset.rl.evaluation.statistics import paired_difference
from stateset.rl.rewards.resolve import resolve_reward
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rollout.model import Model
from stateset.rl.types import Task

PROJECT = Path(__file__).resolve().parents[1] / "examples" / "demo" / "project.yaml"
# the project's eval_every wants held-out rows: one, as the whole is evaluated after the last step
FIXED = (
    "warm_start=null",
    "schedule=constant",
    "learning_rate=8e-5",
    "save_every=1000",
)
SCALES = {"easy": 1.0, "medium": 0.8, "hard": 0.6}  # the document's stages
Rows = list[dict[str, Any]]


def main() -> None:
    """Make the lines that the output file lacks; print the table of what is there."""
    given = _arguments()
    lines = _lines(given.out)
    rows = _rated(given, lines)
    held_out = load_tasks(given.validation)
    for seed in range(given.seeds):
        for arm in given.arms:
            if not any(line.get("arm") == arm and line["seed"] == seed for line in lines):
                lines.append(_add(given.out, _run(given, arm, seed, rows, held_out)))
    _report(lines, held_out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a folder or name that can already do some of it: a warm start")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, continued if it is there")
    parser.add_argument("--project", type=Path, default=PROJECT, help="for its reward and settings")
    parser.add_argument("--rows", default="support_tickets")
    parser.add_argument("--validation", default="support_tickets/validation")
    parser.add_argument("--every", type=int, default=4, help="take every n-th training row (%(default)s)")
    parser.add_argument("--steps", type=int, default=12, help="of each arm, a multiple of 3")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    return parser.parse_args()


def _config(given: argparse.Namespace, *more: str) -> Config:
    return load_config(given.project, overrides=[*FIXED, f"model={given.model}", *given.set, *more])


def _rated(given: argparse.Namespace, lines: Rows) -> Rows:
    """The training rows with their `difficulty` and `pass_rate`, from the output file if it has them."""
    tasks = load_tasks(given.rows)[:: given.every]
    known = next((line["pass_rates"] for line in lines if "pass_rates" in line), None)
    if known is None:
        config, started = _config(given), time.process_time()
        reward = resolve_reward(str(config.reward), config.folder)[0]
        found = measure_difficulty(
            load_model(given.model), tasks, reward, max_new_tokens=config.max_response_length
        )
        known = {one.task.id: [one.level, one.pass_rate] for one in found}
        line = {"pass_rates": known, "cpu_seconds": round(time.process_time() - started)}
        lines.append(_add(given.out, line))
    return [
        {"id": task.id, "prompt": list(task.prompt), **task.context}
        | dict(zip(("difficulty", "pass_rate"), known[task.id], strict=True))
        for task in tasks
    ]


def _run(
    given: argparse.Namespace, arm: str, seed: int, rows: Rows, held_out: Sequence[Task]
) -> dict[str, Any]:
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        model, config = ARMS[arm](given, rows, (f"output_dir={run}", f"seed={seed}"))
        steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained = round(time.process_time() - started)
    with RewardScorer(resolve_reward(str(config.reward), config.folder)[0]) as scorer:
        found = evaluate_policy(
            model.policy, model.engine, held_out, scorer.score,
            max_tokens=config.max_response_length, max_prompt_length=config.max_prompt_length,
        )  # fmt: skip
    return {
        "arm": arm, "seed": seed, "steps": len(steps), "cpu_seconds": trained, "held_out": found.reward,
        "rewards": [group.scores[0].total for group in found.groups],
        "reward_by_step": [round(step["reward"], 4) for step in steps],
        "signal_by_step": [
            round(1 - step["signal/all_right"] - step["signal/all_wrong"], 4) for step in steps
        ],
    }  # fmt: skip


def _whole(given: argparse.Namespace, rows: Rows, own: Sequence[str]) -> tuple[Model, Config]:
    """All rows in one call, in the order that the settings say."""
    config = _config(given, *own, f"max_steps={given.steps}", f"epochs={given.steps}")
    return GRPOTrainer(config=config).train(rows, eval_dataset=rows[:1]), config


def _aimed(given: argparse.Namespace, rows: Rows, own: Sequence[str]) -> tuple[Model, Config]:
    return _whole(given, rows, (*own, "target_pass_rate=0.5"))


def _staged(given: argparse.Namespace, rows: Rows, own: Sequence[str]) -> tuple[Model, Config]:
    """A third of the steps on easy, medium and hard rows each, with the document's scales."""
    config = _config(given, *own, f"max_steps={given.steps // len(LEVELS)}", f"epochs={given.steps}")
    trainer = GRPOTrainer(config=config)
    for level in LEVELS:
        model = trainer.train(
            data=filter_by_difficulty(rows, level), eval_dataset=rows[:1], reward_scale=SCALES[level]
        )
    return model, config


ARMS: dict[str, Callable[[argparse.Namespace, Rows, Sequence[str]], tuple[Model, Config]]] = {
    "random": _whole,
    "target_pass_rate": _aimed,
    "stages": _staged,
}


def _lines(file: Path) -> Rows:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def _add(file: Path, line: dict[str, Any]) -> dict[str, Any]:
    with file.open("a") as out:
        out.write(json.dumps(line) + "\n")
    return line


def _report(lines: Rows, held_out: Sequence[Task]) -> None:
    """Held-out reward by arm and seed, and each arm against random order over the seeds that both have."""
    done = {(line["arm"], line["seed"]): line for line in lines if "arm" in line}
    for (arm, seed), line in sorted(done.items()):
        signal = sum(line["signal_by_step"]) / line["steps"]
        print(f"{arm:17} seed {seed}: held out {line['held_out']:.3f}, groups with a signal {signal:.0%}")
    clusters = [str(task.context.get("template") or task.id) for task in held_out]
    for arm in ARMS:
        seeds = [seed for name, seed in done if name == arm and ("random", seed) in done]
        if arm != "random" and seeds:
            means = [
                [
                    sum(row) / len(seeds)
                    for row in zip(*(done[name, seed]["rewards"] for seed in seeds), strict=True)
                ]
                for name in ("random", arm)
            ]
            found = paired_difference(*means, clusters)
            print(
                f"{arm} minus random, seeds {seeds}: {found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}] "
                "by rows; how runs differ is seen by the seeds"
            )


if __name__ == "__main__":
    main()
