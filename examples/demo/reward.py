"""The demo's reward: follow the policy, name the order, come to an end."""

from collections.abc import Mapping
from typing import Any

from stateset.rl import RewardFunction, Score
from stateset.rl.verifiers.tickets import check_ticket


class TicketReward(RewardFunction):
    """Nearly all of it for the one right resolution; what a customer likes to hear counts for nothing."""

    bounds = (0.0, 1.0)

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Score:
        """Score one reply; `parts` shows what it earned."""
        check = check_ticket(response, context)
        parts = {
            "policy": float(check.passed),
            "order": float(check.names_order and check.right_order),
            "complete": float(check.complete),
        }
        return Score(total=0.8 * parts["policy"] + 0.1 * parts["order"] + 0.1 * parts["complete"], parts=parts)
