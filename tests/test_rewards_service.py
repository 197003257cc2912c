"""The ready-made rewards and `evaluate_response`."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest
from fixtures_rewards.build import group

from stateset.rl.errors import ConfigError
from stateset.rl.rewards.criteria import CRITERIA
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rewards.service import CustomerSatisfactionReward, CustomerServiceReward, evaluate_response

PROMPT = "I was charged twice for order 1045 and I want a refund."
GOOD = (
    "I'm sorry that you were charged twice for order 1045. I've issued a full refund of the second charge, "
    "and it will reach your card within 3-5 business days. Please let me know if anything else comes up."
)
MESSAGES = [{"role": "user", "content": PROMPT}]


def test_customer_service_reward_is_the_documents():
    total, scores = CustomerServiceReward().calculate(GOOD, {"messages": MESSAGES})
    assert list(scores) == ["resolution", "empathy", "clarity", "efficiency", "policy_compliance"]
    assert scores == {name: CRITERIA[name](PROMPT, GOOD, {}) for name in scores}
    weights = (0.35, 0.25, 0.20, 0.10, 0.10)
    assert total == pytest.approx(sum(w * s for w, s in zip(weights, scores.values(), strict=True)))
    assert total > 0.8
    assert CustomerServiceReward.bounds == (0.0, 1.0)


@pytest.mark.parametrize("context", [{}, {"messages": None}, {"messages": []}, {"messages": ["odd", {}]}])
def test_calculate_needs_no_prompt(context):
    total, _ = CustomerServiceReward().calculate("", context)
    assert total == 0.0


@pytest.mark.parametrize("response", ["", PROMPT, "sorry please thank help I will you can try first then"])
def test_customer_service_reward_is_hard_to_fool(response):
    total, scores = CustomerServiceReward().calculate(response, {"messages": MESSAGES})
    assert {name for name, value in scores.items() if value > 0} <= {"efficiency"}
    assert total <= 0.1


def test_an_echo_earns_nothing_for_warmth_or_clarity():
    prompt = "I'm sorry to hear you are busy. I understand that you get many requests."
    _, scores = CustomerServiceReward().calculate(prompt, {"messages": [{"role": "user", "content": prompt}]})
    assert scores["empathy"] == scores["clarity"] == 0.0
    assert CustomerServiceReward().measure_empathy(prompt) > 0.5


def test_compute_knows_the_prompt():
    reply = "I've reset the password of your account."
    score = CustomerServiceReward().compute("The parcel never arrived.", reply, {})
    assert score.parts["resolution"] == pytest.approx(0.8 * 0.3)


def test_methods_and_weights_are_overridable():
    class Mine(CustomerServiceReward):
        def check_resolution(self, response, context):
            return 1.0

        def measure_empathy(self, response):
            return 0.5

        def evaluate_clarity(self, response):
            return 0.25

        def check_policies(self, response, context):
            return 0.125

    reward = Mine()
    expected = {
        "resolution": 1.0,
        "empathy": 0.5,
        "clarity": 0.25,
        "efficiency": 1.0,
        "policy_compliance": 0.125,
    }
    assert reward.calculate("Fine, we did it.", {}) == (0.35 + 0.125 + 0.05 + 0.1 + 0.0125, expected)
    reward.criteria = {"empathy": 2.0}
    assert reward.compute(PROMPT, "Fine, we did it.", {}).total == 1.0
    reward.criteria = {"warmth": 1.0}
    with pytest.raises(ConfigError, match=r"'warmth'.*resolution"):
        reward.calculate("Fine.", {})


def test_it_scores_through_the_trainers_path():
    with RewardScorer(CustomerServiceReward()) as scorer:
        assert scorer.notice is None
        [scored] = scorer.score([group(GOOD, "", prompt=PROMPT)])
    assert scored.scores[0].total == pytest.approx(
        CustomerServiceReward().calculate(GOOD, {"messages": MESSAGES})[0]
    )
    assert scored.scores[0].parts["resolution"] == CRITERIA["resolution"](PROMPT, GOOD, {})
    assert scored.scores[1].total == 0.0


def test_customer_satisfaction_reward():
    reward = CustomerSatisfactionReward(weights={"resolution": 0.5, "tone": 0.3, "efficiency": 0.2})
    score = reward.compute(PROMPT, GOOD, {})
    assert score.parts == {
        name: CRITERIA[name](PROMPT, GOOD, {}) for name in ("resolution", "tone", "efficiency")
    }
    assert score.total == pytest.approx(
        sum(reward.weights[name] * part for name, part in score.parts.items())
    )
    assert reward.bounds == (0.0, 1.0)
    assert CustomerSatisfactionReward({"tone": 2, "efficiency": -1}).bounds == (-1.0, 2.0)


def test_evaluate_response_is_the_documents():
    weights = {"helpfulness": 0.4, "accuracy": 0.3, "tone": 0.2, "efficiency": 0.1}
    replies = ["I'd be happy to help with your refund...", "Let me process that refund for you..."]
    weak, strong = (evaluate_response(reply, criteria=weights) for reply in replies)
    assert 0.0 < weak < strong < evaluate_response(GOOD, criteria=weights, prompt=PROMPT) <= 1.0
    assert evaluate_response("", criteria=weights) == 0.0
    # helpfulness = 0.7 * 0.12 (an offer, vague) + 0.3 * 1 (clear) on a reply without prompt or gold
    expected = 0.4 * (0.7 * 0.12 + 0.3) + 0.3 * 0.5 + 0.2 * 1.0 + 0.1 * 1.0
    assert strong == pytest.approx(expected)
    assert evaluate_response("It is 4.", {"accuracy": 2.0}, context={"answer": "4"}) == 2.0


@pytest.mark.parametrize(
    ("criteria", "says"),
    [
        (
            {"warmth": 1.0},
            "unknown criterion 'warmth': known are accuracy, clarity, efficiency, empathy, helpfulness",
        ),
        ({"tone": float("nan")}, "'tone'"),
        ({"tone": "high"}, "'tone'"),
        ({}, "no criteria"),
    ],
)
def test_wrong_criteria_are_refused(criteria, says):
    with pytest.raises(ConfigError) as refusal:
        evaluate_response("Hello.", criteria)
    assert says in str(refusal.value)


def test_criteria_of_ones_own():
    def names_order(prompt, response, context):
        return float(context["order"] in response)

    criteria = {"clarity": 0.5, "names order": (0.5, names_order)}
    said = "Order 1045 is refunded, Ida."
    assert evaluate_response(said, criteria, context={"order": "1045"}) == pytest.approx(1.0)
    assert evaluate_response(said, criteria, context={"order": "9"}) == pytest.approx(0.5)
    reward = CustomerSatisfactionReward(criteria)
    assert reward.bounds == (0.0, 1.0)
    assert reward.compute("", said, {"order": "1045"}).parts == {"clarity": 1.0, "names order": 1.0}
    with pytest.raises(ConfigError, match="the weight of 'names order' is 'much'"):
        CustomerSatisfactionReward({"names order": ("much", names_order)})


def test_every_reward_that_a_project_file_may_name_can_be_made() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    named = project["project"]["entry-points"]["stateset_rl.rewards"]
    for target in named.values():
        module, _, name = target.partition(":")
        reward = getattr(importlib.import_module(module), name)()
        result = reward.compute("Where is it?", "It is on its way.", {})
        assert 0.0 <= getattr(result, "total", result) <= 1.0
    assert "random" in named, "the control"


def test_the_prompt_may_stand_in_the_context_by_its_name() -> None:
    reward = CustomerServiceReward()
    messages, named = {"messages": MESSAGES}, {"prompt": PROMPT}
    other = "You can change the colour of the dashboard: open the settings and choose the theme."
    for answer in (GOOD, PROMPT, other):
        assert reward.calculate(answer, named) == reward.calculate(answer, messages)
    assert reward.calculate(PROMPT, named)[0] == 0.0, "it is only said again"
    assert reward.calculate(other, named)[0] < reward.calculate(other, {})[0], "off the topic"
