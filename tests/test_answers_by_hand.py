"""The bundled rewards on a hundred answers by someone who had not seen their word lists.

What was found at first, and what was repaired since, stands in docs/reward-design.md.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stateset.rl import CustomerSatisfactionReward, CustomerServiceReward, evaluate_response

TICKETS = yaml.safe_load(Path(__file__).with_name("answers_by_hand.yaml").read_text(encoding="utf-8"))
FIVE = CustomerServiceReward().criteria
FOUR = {"helpfulness": 0.4, "accuracy": 0.3, "tone": 0.2, "efficiency": 0.1}


def service(prompt: str, response: str, context: dict[str, Any]) -> float:
    return CustomerServiceReward().calculate(response, context)[0]


def satisfaction(prompt: str, response: str, context: dict[str, Any]) -> float:
    return CustomerSatisfactionReward(FIVE).compute(prompt, response, context).value


def evaluated(prompt: str, response: str, context: dict[str, Any]) -> float:
    return evaluate_response(response, FOUR, prompt=prompt, context=context)


def scores(kind: str, reward: Callable[[str, str, dict[str, Any]], float]) -> list[float]:
    found = []
    for ticket in TICKETS:
        messages = [{"role": "user", "content": ticket["prompt"]}]
        context = {"messages": messages, "policy": ticket["policy"]}
        found += [reward(ticket["prompt"], answer, context) for answer in ticket[kind]]
    return found


def share_won(useful: list[float], useless: list[float]) -> float:
    """Of pairs, by the useful one; a draw is half."""
    return statistics.fmean((good > bad) + 0.5 * (good == bad) for good in useful for bad in useless)


@pytest.mark.parametrize(("reward", "wins"), [(service, 0.9), (satisfaction, 0.85), (evaluated, 0.85)])
def test_no_useless_answer_scores_above_the_median_useful_one(
    reward: Callable[[str, str, dict[str, Any]], float], wins: float
) -> None:
    useful, useless = scores("useful", reward), scores("useless", reward)
    assert (len(useful), len(useless)) == (50, 50)
    assert max(useless) < statistics.median(useful)
    assert share_won(useful, useless) > wins


@pytest.mark.parametrize(
    "between", [" ", "\n", "\n- ", "; ", " / ", " and ", ", the ", ". ", ": ", ", I will "]
)
def test_nothing_between_keywords_makes_prose_of_them(between: str) -> None:
    """The words of each useless answer, joined in ways that the answers' author did not try."""
    median = statistics.median(scores("useful", service))
    for ticket in TICKETS:
        context = {"messages": [{"role": "user", "content": ticket["prompt"]}], "policy": ticket["policy"]}
        for answer in ticket["useless"]:
            words = [word.strip(",.!?") for word in answer.split()]
            assert service("", between.join(words), context) < median, words


STUFFED = (
    "I've refunded your order, we've replaced your order, I've credited your order. "
    "Sorry for your order, thanks for your order, glad to help."
)


@pytest.mark.parametrize(("reward", "tickets"), [(service, 7), (satisfaction, 10), (evaluated, 7)])
def test_what_docs_reward_design_says_of_a_text_by_someone_who_has_read_the_word_lists(
    reward: Callable[[str, str, dict[str, Any]], float], tickets: int
) -> None:
    """A limit of these rewards, not a wish: when one is repaired, the page and these numbers change."""
    median = statistics.median(scores("useful", reward))
    found = [
        reward(t["prompt"], STUFFED, {"messages": [{"role": "user", "content": t["prompt"]}], **t})
        for t in ({"prompt": t["prompt"], "policy": t["policy"]} for t in TICKETS)
    ]
    assert sum(value > median for value in found) == tickets
