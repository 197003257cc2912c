"""What a good reply is. Change it: the model learns whatever earns points here."""

from typing import Any

from stateset.rl import RewardFunction, Score


class SupportReward(RewardFunction):
    """Mentions what must be said, is kind, and keeps to the rules of the row's context."""

    bounds = (0.0, 2.0)  # the lowest and the highest that `compute` returns
    weights = {"mentioned": 1.0, "kind": 0.5, "allowed": 0.5}  # what each part counts in it

    def compute(self, prompt: str, response: str, context: Any) -> Score:
        """Score one reply; `parts` shows what it earned."""
        said, wanted = response.lower(), context["must_mention"]
        mentioned = sum(phrase in said for phrase in wanted) / len(wanted)
        kind, allowed = self.empathy_detector(response), float(self.follows_policies(response, context))
        parts = {"mentioned": mentioned, "kind": kind, "allowed": allowed}
        return Score(total=sum(self.weights[name] * value for name, value in parts.items()), parts=parts)
