"""Rewards and verifiers on replies by a writer who had seen none of their words (docs/reward-design.md)."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_answers_by_hand import evaluated, satisfaction, service, share_won

from stateset.rl import load_customer_service_data
from stateset.rl.data.load import load_tasks
from stateset.rl.types import Task
from stateset.rl.verifiers.ticket_audit import audit_ticket
from stateset.rl.verifiers.tickets import check_ticket

TICKETS = yaml.safe_load(Path(__file__).with_name("replies_written_blind.yaml").read_text(encoding="utf-8"))
STUFFING = {
    *("all resolutions", "blame and brush-off", "buzzword paragraph", "echo of customer", "empathy loop"),
    *("fluent but empty", "format no content", "generic apology", "grader instruction", "keyword soup"),
    *("option menu", "phrase loop", "policy and facts dump", "praise and promise", "soup with right word"),
    "word repetition",
}  # the other kinds are prose that says something false


def tasks() -> dict[str, Task]:
    rows = load_customer_service_data("validation")
    return dict(zip((row["id"] for row in rows), load_tasks(rows, name="validation"), strict=True))


TASKS = tasks()


def replies(kind: str) -> Iterator[tuple[Task, dict[str, str]]]:
    return ((TASKS[ticket["ticket"]], reply) for ticket in TICKETS for reply in ticket[kind])


def scores(kind: str, reward: Any) -> list[tuple[float, str]]:
    found = []
    for task, reply in replies(kind):
        context = {"messages": task.prompt, "policy": task.prompt[0]["content"]}
        found.append((reward(task.question, reply["text"], context), reply["kind"]))
    return found


def test_no_useless_reply_passes_a_verifier_of_the_tickets_and_no_free_wording_does() -> None:
    """The second half is no merit: stateset/rl/data/tickets/README.md says so."""
    for kind in ("useless", "useful"):
        passed = [
            (
                check_ticket(reply["text"], task.context).passed,
                audit_ticket(task.question, reply["text"], task.context),
            )
            for task, reply in replies(kind)
        ]
        assert passed == [(False, False)] * 50


@pytest.mark.parametrize(
    ("reward", "stuffed", "fluent", "won"),
    [(service, 1, 21, 54), (satisfaction, 1, 22, 52), (evaluated, 1, 17, 57)],
)
def test_what_docs_reward_design_says_of_fluent_and_of_stuffed_replies(
    reward: Any, stuffed: int, fluent: int, won: int
) -> None:
    useful, useless = [score for score, _ in scores("useful", reward)], scores("useless", reward)
    above = [kind for score, kind in useless if score > statistics.median(useful)]
    assert sum(kind in STUFFING for kind in above) <= stuffed
    assert sum(kind not in STUFFING for kind in above) <= fluent
    assert 100 * share_won(useful, [score for score, _ in useless]) > won - 1
    assert sum(kind in STUFFING for _, kind in useless) == 21
