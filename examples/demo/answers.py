"""One row of the demo's table: a model's greedy answers to the test tickets, judged and kept in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from stateset.rl.config.schema import Config
from stateset.rl.evaluation.arms import Answer, Arm
from stateset.rl.evaluation.evaluate import answer_greedily
from stateset.rl.policy.load import load_configured
from stateset.rl.rollout.model import Model
from stateset.rl.types import Task
from stateset.rl.verifiers.ticket_audit import audit_ticket
from stateset.rl.verifiers.tickets import check_ticket

BY_SHOP = ("damaged", "wrong_item", "lost")  # what is right there stands in the shop's policy alone
REWARD_SAYS = "policy, as the reward sees it"
CRITERIA = {  # the reward's verifier, field by field
    REWARD_SAYS: "passed",
    "right resolution": "resolution",
    "no other beside it": "single",
    "no forbidden promise": "keeps_promises",
    "no other order or amount": "right_figures",
    "names the order": "names_order",
    "complete": "complete",
}


def answer_tickets(
    file: Path, name: str, config: Config, tasks: Sequence[Task], make: Callable[[], tuple[str, float, str]]
) -> Arm:
    """The arm `name` from its file; where there is none yet, the answers are made and kept there.

    Args:
        file: JSON lines; the first says what the arm is, then one answer a line.
        name: shown in the table.
        config: how the model is loaded, and how long an answer may be.
        tasks: the test tickets.
        make: trains what is missing; returns model folder or name, CPU seconds of training, a note.
    """
    if not file.is_file():
        model, seconds, note = make()
        head = {"cpu_seconds": seconds, "note": note, "model": model}
        answers = greedy_answers(Model(load_configured(model, config)), config, tasks)
        rows = [{"id": task.id, "answer": text} for task, text in zip(tasks, answers, strict=True)]
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".half")
        half.write_text("".join(json.dumps(line) + "\n" for line in (head, *rows)))
        half.replace(file)
    try:
        head, *rows = map(json.loads, file.read_text().splitlines())
        texts = {row["id"]: row["answer"] for row in rows}
        answers = tuple(_judge(task, texts[task.id]) for task in tasks)
    except (ValueError, KeyError) as error:
        raise SystemExit(f"{file} is damaged ({error!r}): remove it, and this row is made again") from error
    return Arm(name=name, answers=answers, cpu_seconds=head["cpu_seconds"], note=head["note"])


def greedy_answers(model: Model, config: Config, tasks: Sequence[Task]) -> list[str]:
    """One answer a ticket, as the model gives it without sampling."""
    groups = answer_greedily(
        model.policy, model.engine, tasks,
        max_tokens=config.max_response_length, max_prompt_length=config.max_prompt_length,
    )  # fmt: skip
    return [group.rollouts[0].text for group in groups]


def _judge(task: Task, text: str) -> Answer:
    check, situation = check_ticket(text, task.context), task.context["situation"]
    decides = f"shop: {task.context['resolution']}" if situation in BY_SHOP else "situation"
    return Answer(
        task_id=task.id,
        cluster=task.context["template"],
        slices={"situation": situation, "difficulty": str(task.difficulty), "who decides": decides},
        text=text,
        passed=audit_ticket(task.question, text, task.context),
        parts={name: float(getattr(check, field)) for name, field in CRITERIA.items()},
    )
