"""The calling rule of rewards and verifiers, and what they may return."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from fixtures_rewards.build import group

from stateset.rl.errors import ConfigError, RewardError
from stateset.rl.rewards.call import RewardCall
from stateset.rl.rewards.combine import WeightedReward
from stateset.rl.rewards.result import Sample, to_score
from stateset.rl.rewards.reward import RewardFunction, is_reward, reward
from stateset.rl.types import Score
from stateset.rl.verifiers.verifier import Verifier, make_verifier, verifier

SAMPLE = Sample(task_id="t1", index=2, prompt="Where?", response="Here {it} is.", context={"answer": "gold"})


def called(what, *, check=None, sample=SAMPLE):
    call = RewardCall(what, check)
    result = call.function(**call.arguments([sample]))
    return call.scores([sample], result)[0]


class Protocol(RewardFunction):
    def compute(self, prompt, response, context):
        return Score(total=1.0, reason=f"{prompt}|{response}|{context['answer']}")


def verified_alone(response, verified):
    return float(verified)


class OtherNames:
    def compute(self, p, r, c):
        return Score(total=1.0, reason=f"{p}|{r}|{c['answer']}")


class TwoParameters:
    def compute(self, response, context):
        return Score(total=1.0, reason=f"{response}|{context['answer']}")


class TwoOtherNames:
    def compute(self, reply, ctx):
        return Score(total=1.0, reason=f"{reply}|{ctx['answer']}")


class Swapped:
    def compute(self, response, prompt, context):
        return Score(total=1.0, reason=f"{prompt}|{response}|{context['answer']}")


class Underscored:
    def compute(self, _prompt, response, _context):
        return Score(total=1.0, reason=response)


class Calculates:
    def calculate(self, response, context):
        return 3, {"a": 1, "b": True}


class Both(RewardFunction):
    def compute(self, prompt, response, context):
        return 5.0

    def calculate(self, response, context):
        return 6.0, {}


class OnlyCalculates(RewardFunction):
    def calculate(self, response, context):
        return 6.0, {}


class Callable_:
    def __call__(self, answer, context):
        return Score(total=1.0, reason=answer)


FULL = "Where?|Here {it} is.|gold"


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (Protocol(), FULL),
        (OtherNames(), FULL),
        (Swapped(), FULL),
        (TwoParameters(), "Here {it} is.|gold"),
        (TwoOtherNames(), "Here {it} is.|gold"),
        (Underscored(), "Here {it} is."),
        (Callable_(), "Here {it} is."),
        (Protocol().compute, FULL),
        (lambda question, answer: Score(total=1.0, reason=f"{question}|{answer}"), "Where?|Here {it} is."),
        (lambda response, *, limit=3, **rest: Score(total=1.0, reason=f"{limit}{rest}"), "3{}"),
        (functools.partial(lambda response, tag: Score(total=1.0, reason=tag), tag="x"), "x"),
    ],
)
def test_each_shape_receives_its_arguments(what, reason):
    assert called(what).reason == reason


def test_compute_wins_over_calculate():
    assert called(Both()).total == 5.0
    assert called(OnlyCalculates()).total == 6.0
    assert called(Calculates()) == Score(total=3.0, parts={"a": 1.0, "b": 1.0})


def test_a_rows_columns_are_no_verdict_and_no_prompt():
    """A shop's rows say whether a purchase was verified, a data set's hold the talk with the gold answer."""
    talk = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "gold"}]
    row = group("a", context={"verified": False, "messages": talk, "sku": 7})
    for verifier_given, expected in [(None, {}), (lambda question, answer: True, {"verified": True})]:
        call = RewardCall(lambda response, context: 1.0, verifier_given)
        [[sample]] = call.units(row)
        context = call.arguments([sample])["context"]
        messages = [{"role": "user", "content": "Where is my order?"}]
        assert context == {"messages": messages, "sku": 7, **expected}


class NothingToCall(RewardFunction):
    pass


class HalfNamed:
    def compute(self, prompt, reply):
        return 1.0


class FourParameters:
    def compute(self, a, b, c, d):
        return 1.0


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (Protocol, "give an instance, Protocol()"),
        (NothingToCall(), "compute(prompt, response, context)"),
        (HalfNamed(), "'reply'"),
        (FourParameters(), "'a'"),
        (7, "is no reward"),
        (lambda r: 1.0, "'r'"),
        (lambda prompt, context: 1.0, "never sees the model's answer"),
        (lambda *args, **kwargs: 1.0, "never sees the model's answer"),
        (lambda completions, response: [1.0], "keep one of them"),
        (lambda response, verified: 1.0, "`verifier: module:name` in the project file"),
        (WeightedReward({"a": (1.0, verified_alone)}), "verified_alone` asks for `verified`"),
        (lambda response, /: 1.0, "positional-only"),
        (len, "positional-only"),
    ],
)
def test_what_cannot_be_called_is_refused_at_construction(what, says):
    with pytest.raises(ConfigError) as refusal:
        RewardCall(what)
    assert says in str(refusal.value)


@pytest.mark.parametrize("bounds", [(1, 0), (0,), "ab", (0, math.inf), 3])
def test_bounds_are_two_ordered_numbers(bounds):
    what = Both()
    what.bounds = bounds
    with pytest.raises(ConfigError, match="bounds"):
        RewardCall(what)
    what.bounds = (0, 2)
    assert RewardCall(what).bounds == (0.0, 2.0)


@pytest.mark.parametrize(
    ("value", "total"),
    [
        (2, 2.0),
        (True, 1.0),
        (0.25, 0.25),
        (np.float32(0.5), 0.5),
        (np.bool_(True), 1.0),
        (np.array([4.0]), 4.0),
        (torch.tensor(1.5), 1.5),
        ((2.0, {"a": 1.0}), 2.0),
        ((None, {"a": 1.0}), None),
        (None, None),
        (Score(total=7), 7.0),
    ],
)
def test_results_become_scores(value, total):
    assert to_score(value, "f", SAMPLE).total == total


@pytest.mark.parametrize(
    "value",
    [
        math.nan, math.inf, "good", [1.0], {"a": 1.0}, np.array([1.0, 2.0]), torch.tensor([1.0, 2.0]),
        10**400, 1j, (math.nan, {}), (1.0, {"a": "x"}), (1.0, {"a": math.nan}), (1.0, None),
        Score(total=math.inf), object(),
    ],
)  # fmt: skip
def test_other_results_name_function_sample_and_value(value):
    with pytest.raises(RewardError) as refusal:
        to_score(value, "my.reward", SAMPLE)
    assert "`my.reward`" in str(refusal.value)
    assert "task 't1', sample 2 (response 'Here {it} is.')" in str(refusal.value)
    if isinstance(value, float):
        assert f"returned {value!r} for" in str(refusal.value)


def test_none_is_unscorable_with_a_reason():
    assert to_score(None, "f", SAMPLE) == Score(total=None, reason="the reward returned None")


def test_a_group_becomes_samples_with_context():
    messages = ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is it?"})
    chat = group("a", "b", prompt=messages, answer="gold", context={"order": 7})
    first, second = [unit[0] for unit in RewardCall(lambda response: 1.0).units(chat)]
    assert (first.prompt, first.response, second.response, second.index) == ("Where is it?", "a", "b", 1)
    assert first.context == {"messages": [*messages], "order": 7, "answer": "gold"}
    plain = RewardCall(lambda response: 1.0).units(group("a", prompt="Hi"))[0][0]
    assert plain.context == {"messages": [{"role": "user", "content": "Hi"}]}


def test_a_batched_reward_receives_the_whole_group():
    def scored(completions, prompt, verified):
        return [len(text) + right for text, right in zip(completions, verified, strict=True)]

    call = RewardCall(scored, lambda question, answer: answer == "bb")
    [unit] = call.units(group("a", "bb", "ccc"))
    scores = call.scores(unit, call.function(**call.arguments(unit)))
    assert [score.total for score in scores] == [1.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ([1.0, 2.0], "returned 2 values for the 3 responses"),
        (np.ones(4), "returned 4 values"),
        (1.0, "a list with"),
    ],
)
def test_a_batched_reward_returns_one_value_each(result, says):
    call = RewardCall(lambda completions: result)
    [unit] = call.units(group("a", "bb", "ccc"))
    with pytest.raises(RewardError) as refusal:
        call.scores(unit, result)
    assert says in str(refusal.value)
    assert "<lambda>" in str(refusal.value)


def test_a_batched_reward_may_return_an_array():
    call = RewardCall(lambda completions: None)
    [unit] = call.units(group("a", "bb"))
    assert [s.total for s in call.scores(unit, torch.tensor([1.0, 2.0]))] == [1.0, 2.0]


def test_the_context_is_the_calls_own_copy():
    call = RewardCall(lambda response, context: 1.0)
    [unit] = call.units(group("a", context={"order": {"items": []}}))
    arguments = call.arguments(unit)
    arguments["context"]["order"]["items"].append("changed")
    arguments["context"]["answer"] = "changed"
    assert call.arguments(unit)["context"]["order"] == {"items": []}
    assert "answer" not in unit[0].context


def test_verified_comes_from_the_verifier():
    def scored(question, answer, verified):
        return 2.0 if verified else 0.5

    assert called(scored, check=lambda q, a: a.startswith("Here")).total == 2.0
    assert called(scored, check=lambda q, a, context: context["answer"] == a).total == 0.5
    assert called(lambda response, context: float(context["verified"]), check=lambda q, a: True).total == 1.0


def test_each_response_of_a_group_has_its_own_verdict_in_its_own_context():
    class Whole:
        def score_group(self, responses, contexts):
            contexts[0]["order"]["touched"] = True
            assert all("touched" not in context["order"] for context in contexts[1:])
            return [float(context["verified"]) for context in contexts]

    for what in (Whole(), lambda completions, context: [float(is_right) for is_right in context["verified"]]):
        call = RewardCall(what, lambda question, answer: answer == "b")
        [unit] = call.units(group("a", "b", "c", context={"order": {}}))
        assert call.function(**call.arguments(unit)) == [0.0, 1.0, 0.0]


def test_a_part_that_asks_for_a_verdict_takes_that_of_the_whole():
    reward = WeightedReward({"a": (2.0, verified_alone)})
    assert called(reward, check=lambda question, answer: True).total == 2.0
    with pytest.raises(ConfigError, match="verified_alone` asks for `verified`: give contexts"):
        reward.compute("q", "a", {})


class Exact(Verifier):
    def __call__(self, question, answer, context):
        return answer == context["answer"]


@pytest.mark.parametrize(
    ("what", "right"),
    [
        (lambda question, answer: answer == "4", True),
        (lambda question, answer, row: row["answer"] == answer, True),
        (lambda question, answer, context=None: context["answer"] == answer, True),
        (lambda question, answer, tolerance=0.5: tolerance == 0.5, True),
        (lambda question, answer: np.bool_(False), False),
        (Exact(), True),
    ],
)
def test_verifiers_of_two_and_three_arguments(what, right):
    assert make_verifier(what)("2+2", "4", {"answer": "4"}) is right


async def asynchronous(question, answer):
    return True


@pytest.mark.parametrize(
    "what",
    [
        lambda answer: True,
        lambda a, b, c, d: True,
        lambda q, a, *, strict: True,
        asynchronous,
        Exact,
        3,
        print,
    ],
)
def test_other_verifiers_are_refused(what):
    with pytest.raises(ConfigError, match="question, answer"):
        make_verifier(what)


@pytest.mark.parametrize("value", [1, None, "yes", 0.0])
def test_a_verifier_answers_true_or_false(value):
    with pytest.raises(RewardError, match="True or False"):
        make_verifier(lambda question, answer: value)("q", "a", {})


def test_decorators_mark_and_return_the_function():
    def plain(response):
        return 1.0

    assert not is_reward(plain)
    assert reward(plain) is plain
    assert is_reward(plain)
    assert is_reward(Protocol)
    assert is_reward(Protocol())
    assert not is_reward(OtherNames())

    @verifier
    def check(question, answer):
        return True

    assert check("q", "a") is True
    with pytest.raises(ConfigError):
        verifier(lambda answer: True)


def test_base_class_helpers():
    base = RewardFunction()
    prompt = "I was charged twice for order 1045 and want a refund."
    good = "I'm sorry that happened. I've refunded the second charge on order 1045; it arrives within 3 days."
    assert base.resolves_issue(prompt, good)
    assert not base.resolves_issue(prompt, "I can't refund your order.")
    assert base.empathy_detector(good) == 0.5
    assert base.empathy_detector("sorry please thank help") == 0.0
    assert base.follows_policies(good, {})
    assert not base.follows_policies(good, {"forbidden": ["second charge"]})
    assert not base.follows_policies(good, {"required": ["support ticket"]})
    assert not base.follows_policies("", {})
    with pytest.raises(NotImplementedError, match="RewardFunction needs `compute"):
        base.compute(prompt, good, {})
