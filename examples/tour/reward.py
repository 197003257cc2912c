"""The tour's reward and the verifier that reports on it: two readings of the policy, written apart."""

import re
from collections.abc import Mapping
from typing import Any

from stateset.rl import RewardFunction, Score, verifier
from stateset.rl.data.pii.patterns import PLACEHOLDER
from stateset.rl.verifiers.ticket_audit import audit_ticket
from stateset.rl.verifiers.tickets import check_ticket

_PLACEHOLDER = re.compile(PLACEHOLDER.pattern, re.IGNORECASE)
SOMEBODY = "Alex"  # the verifiers read greetings; prepared rows have placeholders where a name was


class PolicyReward(RewardFunction):
    """Whether the reply gives the one resolution that the policy asks for and promises nothing else."""

    bounds = (0.0, 1.0)
    weights = {"policy": 1.0}  # the part `order` pays nothing

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Score:
        """Score one reply: 1 or 0."""
        check = check_ticket(_named(response), _with_name(context))
        policy = float(check.passed)
        return Score(total=policy, parts={"policy": policy, "order": float(check.names_order)})


@verifier
def audited(question: str, answer: str, context: Mapping[str, Any]) -> bool:
    """Whether the second verifier passes the reply; no reward uses it."""
    return audit_ticket(question, _named(answer), _with_name(context))


def _named(text: str) -> str:
    return _PLACEHOLDER.sub(SOMEBODY, text)


def _with_name(context: Mapping[str, Any]) -> dict[str, Any]:
    return {**context, "facts": {**context["facts"], "name": SOMEBODY}}
