"""Which test rows were trained on: the same conversation, or nearly so, under whatever system message."""

from __future__ import annotations

import random

import pytest

from stateset.rl.data.load import load_tasks
from stateset.rl.evaluation.overlap import near_prompts, same_prompts
from stateset.rl.types import Message, Task


def under(policy: str, *said: str) -> tuple[Message, ...]:
    roles = ("user", "assistant", "user")
    turns = [Message(role=role, content=text) for role, text in zip(roles, said, strict=False)]
    return (Message(role="system", content=policy), *turns)


def tasks(*prompts: str | tuple[Message, ...]) -> list[Task]:
    return [Task(id=f"t{place}", prompt=prompt) for place, prompt in enumerate(prompts)]


OTHERS = (
    "My jacket has a hole, may I send it back?", "The lamp that I bought is broken.",
    "Please cancel my subscription today.", "How do I change the address of my account?",
)  # fmt: skip
ASKED = "Hello, where is my order 5512? I have waited for two weeks and nobody answers."


def test_a_conversation_is_the_same_under_any_system_message() -> None:
    test = tasks(under("Returns within 30 days.", ASKED), *OTHERS)
    assert same_prompts(test, tasks(under("Returns within 60 days.", ASKED))) == ["t0"]
    assert same_prompts(test, tasks(ASKED.upper().replace("?", " ??"))) == ["t0"]
    assert same_prompts(test, tasks(under(ASKED, "Good morning"))) == []
    longer = under("Returns.", ASKED, "It comes today.", "Thanks")
    assert same_prompts(test, tasks(longer)) == []
    assert same_prompts(tasks("???", "!"), tasks("...")) == []


@pytest.mark.parametrize(
    ("seen", "near"),
    [
        (ASKED.replace("5512", "5513"), True),
        (ASKED.replace("Hello", "Hi"), True),
        ("Where is my order 5512?", False),
        (ASKED, False),  # that one is the same
    ],
)
def test_nearly_the_same_are_those_that_data_prepare_finds(seen: str, near: bool) -> None:
    test = tasks(under("Policy.", ASKED), *OTHERS)
    assert near_prompts(test, tasks(under("Another policy.", seen))) == (["t0"] if near else [])


def test_what_most_test_rows_say_makes_no_duplicates() -> None:
    """Sums of one form, and questions behind a long instruction, are tasks of their own."""
    made = random.Random(0)

    def sums() -> list[Task]:
        return tasks(*(f"What is {made.randint(1, 999)} plus {made.randint(1, 999)}?" for _ in range(50)))

    assert near_prompts(sums(), sums()) == []
    rule = "You are the support of a shop. Be brief and kind, keep to the policy, and promise nothing. " * 3
    assert near_prompts(tasks(*(rule + one for one in OTHERS)), tasks(rule + "May I pay by card?")) == []
    assert near_prompts(tasks(*(rule + one for one in OTHERS)), tasks(rule + OTHERS[1] + "!!")) == []
    close = tasks(rule + ASKED.replace("Hello", "Hi"))
    assert near_prompts(tasks(*(rule + one for one in (*OTHERS, ASKED))), close) == ["t4"]


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_bundled_splits_have_nothing_of_each_other(split: str) -> None:
    train, other = load_tasks("support_tickets"), load_tasks(f"support_tickets/{split}")
    assert same_prompts(other, train) == near_prompts(other, train) == []
