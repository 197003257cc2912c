"""The demo's reward: follow the policy; naming the order counts only on top of that."""

from collections.abc import Mapping
from typing import Any

from stateset.rl import RewardFunction, Score
from stateset.rl.verifiers.tickets import check_ticket


class TicketReward(RewardFunction):
    """0.9 for the one right resolution, 0.1 more for naming the order; kind words count for nothing."""

    bounds = (0.0, 1.0)

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Score:
        """Score one reply; `parts` shows what it earned."""
        check = check_ticket(response, context)
        parts = {"policy": float(check.passed), "order": float(check.names_order)}
        return Score(total=parts["policy"] * (0.9 + 0.1 * parts["order"]), parts=parts)
