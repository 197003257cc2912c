"""The tables of docs/benchmarks/demo.md from the folders of `make demo-full`, judged as the code judges now.

    python bench/demo_tables.py runs/demo-0 runs/demo-1 runs/demo-2

Rows that a folder does not have yet are left empty.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples" / "demo"))

from answers import REWARD_SAYS, answer_tickets  # noqa: E402

from stateset.rl import load_config, load_customer_service_data  # noqa: E402
from stateset.rl.data.load import load_tasks  # noqa: E402
from stateset.rl.evaluation.compare import ArmResult, Comparison, compare  # noqa: E402
from stateset.rl.evaluation.statistics import cohen_kappa  # noqa: E402

ROWS = (
    "base",
    "supervised",
    "grpo",
    "supervised on",
    "supervised filtered",
    "supervised accepted",
    "supervised gold",
)
FROM_LOGS = ("supervised", "supervised on", "supervised filtered", "supervised accepted")  # for the marks
HABITS = ("cancel_after", "lost", "return_out", "warranty", "injury")


def main() -> None:
    """Judge every answer, print the tables."""
    folders = [Path(word) for word in sys.argv[1:]]
    settings = [_settings(folder) for folder in folders]
    found = [_read(folder) for folder in folders]
    names = [f"seed {given.pop('seed')}" for given in settings]
    shared = set.intersection(*(set(given) for given in settings))  # a later version has more keys
    if any(given[key] != settings[0][key] for given in settings for key in shared):
        raise SystemExit("these folders differ in more than the seed: each table is of one setting")
    _print(["row", *(part for name in names for part in (name, "GRPO minus row"))], _table(found))
    marks = [_mark(comparison, row) for comparison in found for row in FROM_LOGS]
    measured = [mark for mark in marks if mark is not None]
    print(f"\nGRPO ahead by 10 with an interval above 0: {sum(measured)} of {len(measured)} pairs\n")
    for name, comparison in zip(names, found, strict=True):
        heads = [r.arm.name for r in comparison.arms]
        _print([f"{name}, percent right", *heads], _situations(comparison))
        for kind in ("difficulty", "who decides"):
            _print([f"{name}, {kind}", *heads], _slice(comparison, kind))
        _print([f"{name}, by the reward's verifier", *heads], _criteria(comparison))
        print()
        for result in comparison.arms:
            seconds, answers = result.arm.cpu_seconds or 0.0, result.arm.answers
            kappa = cohen_kappa([a.passed for a in answers], [bool(a.parts[REWARD_SAYS]) for a in answers])
            agree = f"kappa of reward and metric {kappa:.3f}"
            print(f"- {result.arm.name}: {seconds / 60:.0f} CPU minutes; {agree}; {result.arm.note}")
        print()


def _settings(folder: Path) -> dict[str, Any]:
    """What a folder was made with, without the code of its day."""
    found: dict[str, Any] = json.loads((folder / "settings.json").read_text())
    if found.pop("quick"):
        raise SystemExit(f"{folder} is a quick demo, whose numbers mean nothing")
    return {key: value for key, value in found.items() if key not in ("output_dir", "reward code", "rows")}


def _read(folder: Path) -> Comparison:
    config = load_config(ROOT / "examples" / "demo" / "project.yaml")
    tasks = load_tasks(load_customer_service_data("test"), name="test")
    files = {row: folder / "test" / f"{row.replace(' ', '-')}.jsonl" for row in ROWS}
    arms = [
        answer_tickets(file, row, config, tasks, _missing) for row, file in files.items() if file.is_file()
    ]
    return compare(arms, target="grpo")


def _missing() -> tuple[str, float, str]:
    raise AssertionError("only rows that are there are read")


def _table(found: list[Comparison]) -> list[list[str]]:
    return [[row, *(part for comparison in found for part in _cells(comparison, row))] for row in ROWS]


def _cells(comparison: Comparison, row: str) -> tuple[str, str]:
    result = _arm(comparison, row)
    if result is None:
        return "not measured", ""
    gap = result.difference
    points = "" if gap is None else f"{100 * gap.mean:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
    return f"{result.passed.mean:.1%}", points


def _mark(comparison: Comparison, row: str) -> bool | None:
    result = _arm(comparison, row)
    if result is None or result.difference is None:
        return None
    return result.difference.mean >= 0.10 and result.difference.low > 0


def _arm(comparison: Comparison, row: str) -> ArmResult | None:
    return next((result for result in comparison.arms if result.arm.name == row), None)


def _situations(comparison: Comparison) -> list[list[str]]:
    first = comparison.arms[0].slices["situation"]
    order = [*HABITS, *(name for name in first if name not in HABITS)]
    return [
        [name.replace("_", " "), *(f"{r.slices['situation'][name].mean:.0%}" for r in comparison.arms)]
        for name in order
    ]


def _slice(comparison: Comparison, kind: str) -> list[list[str]]:
    return [
        [name, *(f"{result.slices[kind][name].mean:.0%}" for result in comparison.arms)]
        for name in comparison.arms[0].slices[kind]
    ]


def _criteria(comparison: Comparison) -> list[list[str]]:
    answers = [result.arm.answers for result in comparison.arms]
    return [
        [part, *(f"{mean(answer.parts[part] for answer in arm):.0%}" for arm in answers)]
        for part in answers[0][0].parts
    ]


def _print(head: list[str], rows: list[list[str]]) -> None:
    for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows):
        print(f"| {' | '.join(row)} |")
    print()


if __name__ == "__main__":
    main()
