"""What a good reply to a ticket is: five parts, each worked out from the row's context."""

from collections.abc import Mapping
from typing import Any

from stateset.rl import RewardFunction, Score

WEIGHTS = {"order": 0.25, "actions": 0.3, "empathy": 0.2, "ending": 0.1, "policy": 0.15}


class SupportReward(RewardFunction):
    """Names the order, takes the right steps, is kind, comes to an end, and promises nothing forbidden."""

    bounds, weights = (0.0, 1.0), WEIGHTS

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Score:
        """Score one reply; `parts` shows what it earned."""
        said, actions = response.lower(), context["must_mention"]
        parts = {
            "order": float(context["order"].lower() in said),
            "actions": sum(action in said for action in actions) / len(actions),
            "empathy": self.empathy_detector(response),
            "ending": float(response.rstrip().endswith((".", "!", "?"))),
            "policy": float(self.follows_policies(response, context)),
        }
        return Score(total=sum(WEIGHTS[name] * value for name, value in parts.items()), parts=parts)
