"""Blind readings of the demo's answers: a sheet without verdicts, then a reader against both verifiers.

    python bench/readings.py draw runs/demo-0 sheet.jsonl    # 60 answers: instruction, message, answer
    python bench/readings.py compare runs/demo-0 read.jsonl  # the sheet, with "right": true or false

Base's rambling would give it away, so the answers come from `supervised`, `supervised on` and `grpo`, as many
of each that is there, drawn by a seed over situations, and shuffled.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from stateset.rl import load_customer_service_data
from stateset.rl.data.load import load_tasks
from stateset.rl.evaluation.statistics import cohen_kappa
from stateset.rl.verifiers.ticket_audit import audit_ticket
from stateset.rl.verifiers.tickets import check_ticket

ARMS, NUMBER, SEED = ("supervised", "supervised-on", "grpo"), 60, 0


def main() -> None:
    """Draw or compare."""
    command, demo, file = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    tasks = {task.id: task for task in load_tasks(load_customer_service_data("test"), name="test")}
    files = {arm: demo / "test" / f"{arm}.jsonl" for arm in ARMS}
    files = {arm: path for arm, path in files.items() if path.is_file()}
    each = NUMBER // len(files)
    drawn = [(arm, row) for arm, path in files.items() for row in _draw(path, tasks, arm, each)]
    random.Random(SEED).shuffle(drawn)
    if command == "draw":
        lines = []
        for number, (_, row) in enumerate(drawn):
            system, user = (message["content"] for message in tasks[row["id"]].prompt)  # type: ignore[index]
            lines.append({"number": number, "instruction": system, "message": user, "answer": row["answer"]})
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return
    read = {line["number"]: line for line in map(json.loads, file.read_text().splitlines())}
    reader = [bool(read[number]["right"]) for number in range(len(drawn))]
    for name, verdicts in (
        ("metric (audit_ticket)", [_audit(tasks[row["id"]], row["answer"]) for _, row in drawn]),
        ("reward (check_ticket)", [_check(tasks[row["id"]], row["answer"]) for _, row in drawn]),
    ):
        same = [a == b for a, b in zip(reader, verdicts, strict=True)]
        print(f"{name}: {sum(same)} of {len(same)} agree, kappa {cohen_kappa(reader, verdicts):.3f}")
        for number, (arm, row) in enumerate(drawn):
            if not same[number]:
                note = read[number].get("note", "")
                print(f"  {number} {row['id']} {arm}: reader {reader[number]}, {note!r}: {row['answer']}")


def _draw(file: Path, tasks: dict, arm: str, each: int) -> list[dict]:
    _, *rows = map(json.loads, file.read_text().splitlines())
    by_situation: dict[str, list[dict]] = {}
    for row in rows:
        by_situation.setdefault(tasks[row["id"]].context["situation"], []).append(row)
    chance = random.Random(f"{SEED} {arm}")
    situations = sorted(by_situation) * -(-each // len(by_situation))
    chance.shuffle(situations)
    return [by_situation[name].pop(chance.randrange(len(by_situation[name]))) for name in situations[:each]]


def _audit(task, answer: str) -> bool:
    return audit_ticket(task.question, answer, task.context)


def _check(task, answer: str) -> bool:
    return check_ticket(answer, task.context).passed


if __name__ == "__main__":
    main()
