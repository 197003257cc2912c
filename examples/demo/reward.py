"""The demo's reward: 1 for a reply that follows the policy, else 0; kind words count for nothing."""

from collections.abc import Mapping
from typing import Any

from stateset.rl import RewardFunction, Score
from stateset.rl.verifiers.tickets import check_ticket


class TicketReward(RewardFunction):
    """Whether the reply gives the one right resolution and promises nothing else."""

    bounds = (0.0, 1.0)
    weights = {"policy": 1.0}  # the part `order` pays nothing

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Score:
        """Score one reply; the part `order` is shown beside it."""
        check = check_ticket(response, context)
        policy = float(check.passed)
        return Score(total=policy, parts={"policy": policy, "order": float(check.names_order)})
