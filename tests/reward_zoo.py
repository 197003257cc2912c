"""Rewards that `reward check` must refuse, and rewards that it must let pass, with the rows to check them on.

Written before the check. `BAD` names what is wrong with each; nothing here was tuned to a limit.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Mapping
from typing import Any

from stateset.rl.rewards.combine import RandomReward, WeightedReward
from stateset.rl.rewards.openai_graders import openai_grader
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.rewards.service import CustomerSatisfactionReward, CustomerServiceReward
from stateset.rl.verifiers.answers import verify_math
from stateset.rl.verifiers.code import CodeVerifier
from stateset.rl.verifiers.text import Contains, Exact, Numeric
from stateset.rl.verifiers.ticket_audit import audit_ticket
from stateset.rl.verifiers.tickets import check_ticket

POLITE = (
    "sorry", "please", "thank", "help", "understand", "apologize", "happy to", "i will", "can", "try",
    "first",
)  # fmt: skip


def politeness(response: str) -> float:
    """A keyword reward of the kind that products ship: each kind word counts."""
    return sum(word in response.lower() for word in POLITE) / len(POLITE)


def random_number(response: str) -> float:
    return random.random()


def constant(response: str) -> float:
    return 0.7


def two_hundred_words(response: str) -> float:
    return min(len(response.split()) / 200, 1.0)


def brevity(response: str) -> float:
    return 1.0 / (1 + len(response.split()))


def apology(response: str) -> float:
    return float(bool(re.search(r"\b(sorry|apologi[sz]e)\b", response, re.IGNORECASE)))


def echo(prompt: str, response: str) -> float:
    asked = set(prompt.lower().split())
    return len(asked & set(response.lower().split())) / max(1, len(asked))


def gold_somewhere(response: str, context: Mapping[str, Any]) -> float:
    """Hedging wins: the right answer may stand beside all others."""
    return float(str(context["answer"]).lower() in response.lower())


def claims_to_be_done(response: str) -> float:
    return float("resolved" in response.lower() or "done" in response.lower())


def right_form(response: str) -> float:
    """Any order number and a full stop will do."""
    return float(bool(re.match(r"order \d{5}: .+\.$", response.strip(), re.IGNORECASE)))


def one_large_part(response: str, context: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """Right or wrong, beside the number of characters."""
    parts = {"right": float(check_ticket(response, context).passed), "length": float(len(response))}
    return sum(parts.values()), parts


class Counting(RewardFunction):
    """Depends on how often it was asked."""

    def __init__(self) -> None:
        self.calls = itertools.count()

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> float:
        """Fall with every call."""
        return float(check_ticket(response, context).passed) / (1 + next(self.calls))


def breaks(response: str, context: Mapping[str, Any]) -> float:
    """Raises where the response has no digit."""
    return float(re.search(r"\d+", response)[0] in str(context["answer"]))  # type: ignore[index]


BAD: dict[str, tuple[Any, str, str]] = {  # name -> reward, rows, what is wrong
    "politeness": (politeness, "tickets", "kind words beat a right answer"),
    "random": (random_number, "tickets", "no quality"),
    "constant": (constant, "tickets", "no signal"),
    "200 words": (two_hundred_words, "tickets", "length"),
    "brevity": (brevity, "tickets", "the empty answer is the best"),
    "apology": (apology, "tickets", "an apology without content"),
    "echo": (echo, "tickets", "the prompt said again"),
    "gold somewhere": (gold_somewhere, "math", "all options at once"),
    "claims to be done": (claims_to_be_done, "tickets", "'resolved!'"),
    "right form": (right_form, "tickets", "form without content"),
    "one large part": (one_large_part, "tickets", "length rules the sum"),
    "counting": (Counting(), "tickets", "depends on the order of calls"),
    "breaks": (breaks, "tickets", "raises on some answers"),
}


def _verdict(verifier: Any) -> Any:
    def scored(prompt: str, response: str, context: Mapping[str, Any]) -> float:
        return float(verifier(prompt, response, context))

    return scored


def policy(response: str, context: Mapping[str, Any]) -> float:
    return float(check_ticket(response, context).passed)


def names_order(response: str, context: Mapping[str, Any]) -> float:
    return float(check_ticket(response, context).names_order)


def near(response: str, context: Mapping[str, Any]) -> float:
    """Partial credit for a number by its distance."""
    found, right = re.findall(r"-?\d+(?:\.\d+)?", response), float(context["answer"])
    return 1 / (1 + abs(float(found[-1]) - right)) if found else 0.0


GRADER = {
    "type": "string_check", "name": "g", "operation": "eq",
    "input": "{{sample.output_text}}", "reference": "{{item.answer}}",
}  # fmt: skip
GOOD: dict[str, tuple[Any, str]] = {
    "the demo's": (policy, "tickets"),
    "the demo's metric": (_verdict(audit_ticket), "tickets"),
    "service": (CustomerServiceReward(), "tickets"),
    "satisfaction": (CustomerSatisfactionReward({"resolution": 0.7, "accuracy": 0.3}), "tickets"),
    "gated": (
        WeightedReward({"policy": (0.8, policy), "order": (0.2, names_order)}, only_if={"order": "policy"}),
        "tickets",
    ),
    "mathematics": (_verdict(verify_math), "math"),
    "exact": (_verdict(Exact()), "math"),
    "numeric": (_verdict(Numeric(relative=1e-6)), "math"),
    "near": (near, "math"),
    "a grader": (openai_grader(GRADER), "math"),
    "code": (_verdict(CodeVerifier(timeout_seconds=2.0)), "code"),
    "words": (_verdict(Contains()), "words"),
}
CONTROL = RandomReward()


def rows(kind: str, number: int = 40) -> list[dict[str, Any]]:
    """Rows with right answers for the rewards of a kind."""
    if kind == "tickets":
        from stateset.rl.data.bundled import load_customer_service_data

        found: list[dict[str, Any]] = load_customer_service_data("validation")[:number]
        return found
    if kind == "math":
        asked = "What is {} * 7 + 3? Answer with the number."
        return [{"prompt": asked.format(n), "answer": str(7 * n + 3)} for n in range(number)]
    if kind == "code":
        return [_code(n) for n in range(min(number, 12))]
    return [_words(n) for n in range(number)]


def _code(number: int) -> dict[str, Any]:
    return {
        "prompt": f"Write a function f(x) that adds {number} to x.",
        "answer": f"def f(x):\n    return x + {number}\n",
        "context": {"entry": "f", "tests": [{"args": [x], "expected": x + number} for x in (0, 5, -2)]},
    }


def _words(number: int) -> dict[str, Any]:
    code = hashlib.blake2b(str(number).encode(), digest_size=3).hexdigest()
    return {
        "prompt": f"Say that voucher {code} works until day {number + 3}, and nothing of money back.",
        "answer": f"Your voucher {code} works until day {number + 3}.",
        "context": {"required": [code, f"day {number + 3}"], "forbidden": ["refund", "money back"]},
    }
