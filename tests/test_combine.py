"""Rewards made of rewards, through the scorer that training uses."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest
from test_openai_graders import answered

from stateset.rl.errors import ConfigError, RewardError
from stateset.rl.rewards.adapters import trl_reward
from stateset.rl.rewards.call import RewardCall
from stateset.rl.rewards.combine import MultiObjectiveReward, RandomReward, RoutedReward, WeightedReward
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rewards.service import CustomerServiceReward
from stateset.rl.types import Score, Task


def right(response, context):
    return float("refund" in response)


def short(response):
    return 1.0 if len(response) < 20 else 0.0


def unsure(response):
    return None if "?" in response else 1.0


def counted(r, c):
    return float(r.count("a"))


def others(r, c):
    return float(r.count("b"))


def batched(completions):
    return [float(len(completion)) for completion in completions]


async def waits(response):
    return float(len(response))


def never_wrong(question, answer):
    return "wrong" not in answer


def scores(reward: Any, responses: list[str], verifier: Any = None, **context: Any) -> list[Score]:
    with RewardScorer(reward, verifier=verifier) as scorer:
        assert scorer.notice is None, "it travels to a worker process"
        [scored] = scorer.score(answered(Task(id="t", prompt="Money back?", context=context), responses))
    return list(scored.scores)


def totals(reward: Any, responses: list[str], **given: Any) -> list[float | None]:
    return [score.total for score in scores(reward, responses, **given)]


TEXTS = ["refund", "no", "a refund of everything that you paid", "sorry that this took so long for you"]


def test_weights() -> None:
    reward = WeightedReward({"right": (0.8, right), "short": (0.2, short)})
    assert totals(reward, TEXTS) == [1.0, 0.2, 0.8, 0.0]
    assert scores(reward, TEXTS)[2].parts == {"right": 1.0, "short": 0.0}
    assert RewardCall(reward).weights == {"right": 0.8, "short": 0.2}, "gdpo finds them"


def test_the_easy_part_counts_only_if_the_hard_one_is_met() -> None:
    reward = WeightedReward({"right": (0.8, right), "short": (0.2, short)}, only_if={"short": "right"})
    assert totals(reward, TEXTS) == [1.0, 0.0, 0.8, 0.0]
    assert scores(reward, TEXTS)[1].parts == {"right": 0.0, "short": 0.0}, "as it counted"


def test_a_part_does_not_count_where_the_one_it_needs_does_not() -> None:
    parts = {"sure": (0.1, unsure), "short": (0.2, short), "right": (0.8, right)}
    reward = WeightedReward(parts, only_if={"sure": "short", "short": "right"})
    assert [score.parts["sure"] for score in scores(reward, TEXTS)] == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(("reward", "expected"), [(batched, [6.5, 2.0]), (waits, [6.5, 2.0])])
def test_parts_may_be_batched_or_wait(reward: Any, expected: list[float]) -> None:
    combined = WeightedReward({"right": (0.5, right), "length": (1.0, reward)})
    assert totals(combined, TEXTS[:2]) == expected
    assert totals(WeightedReward({"inner": (2.0, combined)}), TEXTS[:2]) == [2 * value for value in expected]


def test_what_a_part_cannot_score_is_unscored() -> None:
    first, second = scores(WeightedReward({"a": (1.0, unsure), "b": (1.0, short)}), ["what?", "yes"])
    assert (first.total, first.reason) == (None, "a: the reward returned None")
    assert second.total == 2.0


def test_bounds_follow_from_the_parts() -> None:
    service, random = CustomerServiceReward(), RandomReward()
    assert WeightedReward({"a": (2.0, service), "b": (-1.0, random)}).bounds == (-1.0, 2.0)
    assert WeightedReward({"a": (2.0, service), "b": (1.0, short)}).bounds is None


def test_the_pareto_bonus_of_a_group() -> None:
    reward = MultiObjectiveReward({"as": (1.0, counted), "bs": (0.5, others)}, bonus=0.2)
    texts = ["aaa", "bbbb", "ab", "aab", "", "aaa"]
    found = scores(reward, texts)
    # weighed (as, bs): (3,0) (0,2) (1,.5) (2,.5) (0,0) (3,0); the sums' median is 2.25: (0,2) is not eligible
    assert [score.parts["pareto_bonus"] for score in found] == pytest.approx([0.5, 0, 0, 1, 0, 0.5])
    assert [score.total for score in found] == pytest.approx([3.1, 2.0, 1.5, 2.7, 0.0, 3.1])
    assert found[3].parts == {"as": 2.0, "bs": 1.0, "pareto_bonus": 1.0}
    assert RewardCall(reward).weights == {"as": 1.0, "bs": 0.5, "pareto_bonus": 0.2}, "for gdpo, too"


def test_a_verifier_says_who_may_have_the_bonus() -> None:
    reward = MultiObjectiveReward({"as": (1.0, counted), "bs": (1.0, others)})
    found = scores(reward, ["aaa wrong", "bb"], verifier=never_wrong)
    assert [score.parts["pareto_bonus"] for score in found] == [0.0, 1.0], "the wrong one is optimal, too"


def test_the_bonus_is_shared_among_those_that_may_have_it() -> None:
    reward = MultiObjectiveReward({"as": (1.0, counted)})
    found = scores(reward, ["aa", "aa wrong"], verifier=never_wrong)
    assert [score.parts["pareto_bonus"] for score in found] == [1.0, 0.0]


def test_objectives_are_compared_before_their_weights_in_the_direction_that_these_give() -> None:
    unpaid = MultiObjectiveReward({"as": (1.0, counted), "bs": (0.0, others)})
    assert [score.parts["pareto_bonus"] for score in scores(unpaid, ["a", "ab"])] == [0.0, 1.0]
    fewer = MultiObjectiveReward({"as": (1.0, counted), "bs": (-1.0, others)})
    assert [score.parts["pareto_bonus"] for score in scores(fewer, ["a", "ab"])] == [1.0, 0.0]
    assert fewer.is_pareto_optimal({"bs": 1.0}, [{"bs": 1.0}, {"bs": 2.0}])


class Gate(RewardFunction):
    """Heeds the verifier as `RubricReward` does."""

    def compute(self, prompt, response, context):
        return 0.0 if context["verified"] is False else 1.0


@pytest.mark.parametrize("texts", [["fine", "wrong", "wrong"], ["wrong", "fine", "fine"]])
def test_nested_parts_see_the_verdict_on_their_own_response(texts: list[str]) -> None:
    inner = MultiObjectiveReward({"gate": (1.0, Gate())}, bonus=0.0)
    expected = [float(text == "fine") for text in texts]
    assert totals(WeightedReward({"inner": (1.0, inner)}), texts, verifier=never_wrong) == expected
    trl = WeightedReward({"trl": (1.0, trl_reward(verdicts))})
    assert totals(trl, texts, verifier=never_wrong) == expected
    assert totals(trl_reward(verdicts), texts, verifier=never_wrong) == expected


def verdicts(completions, verified, **columns):
    return [float(verdict) for verdict in verified]


def breaks(response):
    if "break" in response:
        raise ValueError("no grade")
    return 1.0


async def breaks_late(response):
    return breaks(response)


@pytest.mark.parametrize("part", [breaks, breaks_late])
def test_a_part_that_raises_for_one_response_loses_no_other_one(part: Any) -> None:
    for reward in (
        MultiObjectiveReward({"a": (1.0, part)}, bonus=0.0),
        WeightedReward({"a": (1.0, part), "b": (0.0, batched)}),
    ):
        with RewardScorer(reward) as scorer:
            [scored] = scorer.score(answered(Task(id="t", prompt="q"), ["x", "break", "y"]))
        assert [score.total for score in scored.scores] == [1.0, None, 1.0]
        assert scored.scores[1].reason.startswith("a: ValueError: no grade (")
        assert scorer.failures.total() == 1
        assert str(scorer.first_failure).startswith("task 't', sample 1: a: ValueError: no grade")


def not_a_number(response):
    return float("nan") if "nan" in response else 1.0


def too_few(completions):
    return [1.0]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"a": (1, not_a_number)}, r"returned nan for the response 'nan': .*\(task 't', sample 1\)$"),
        (
            {"a": (1, not_a_number), "b": (1, batched)},
            r"returned nan for the response 'nan': .*\(task 't'\)$",
        ),
        ({"a": (1, too_few)}, r"returned 1 values for the 2 responses: .*\(task 't'\)$"),
        ({"a": (1, RoutedReward("kind", {1: right}))}, r"there are rewards for 1 \(task 't', sample 0\)$"),
    ],
)
def test_an_error_of_a_part_names_the_sample(parts: Any, said: str) -> None:
    with pytest.raises(RewardError, match=said):
        scores(WeightedReward(parts), ["fine", "nan"])


def echoes(prompts, completions, **columns):
    return [float(completion in prompt) for prompt, completion in zip(prompts, completions, strict=True)]


def test_a_context_given_by_hand_has_the_prompt_as_its_messages() -> None:
    part = {"echo": (1.0, trl_reward(echoes))}
    assert WeightedReward(part).compute("Money back?", "back", {}).total == 1.0
    assert MultiObjectiveReward(part).compute("back", {}).total == 0.0
    messages = [{"role": "user", "content": "back"}]
    assert MultiObjectiveReward(part).compute("back", {"messages": messages}).total == 1.0


def test_a_combination_that_scores_nothing_ends_the_run_as_its_part_would() -> None:
    with pytest.raises(RewardError, match=r"failed for every response of this step.*ValueError: no grade"):
        scores(MultiObjectiveReward({"a": (1.0, breaks)}), ["break", "break it"])


def test_one_response_alone_cannot_wait() -> None:
    with pytest.raises(ConfigError, match=r"a part of this MultiObjectiveReward waits.*score_group"):
        MultiObjectiveReward({"a": (1.0, waits)}).compute("a", {})


def test_one_response_alone_has_nothing_to_compare_with() -> None:
    reward = MultiObjectiveReward(objectives={"as": (1.0, counted), "short": (0.5, lambda r, c: short(r))})
    score = reward.compute("aa", {})
    assert (score.total, score.parts) == (2.5, {"as": 2.0, "short": 1.0, "pareto_bonus": 0.0})
    assert reward.compute("a question", "aa", {}) == score
    assert not reward.is_pareto_optimal({"as": 2.0, "short": 0.5})
    assert reward.is_pareto_optimal({"as": 2.0}, [{"as": 2.0}, {"as": 1.0}])
    assert not reward.is_pareto_optimal({"as": 1.0}, [{"as": 2.0}, {"as": 1.0}])


def test_objectives_may_be_rewards_of_any_kind() -> None:
    reward = MultiObjectiveReward({"service": (1.0, CustomerServiceReward()), "length": (0.0, waits)})
    assert len(totals(reward, TEXTS)) == 4
    unscored = totals(
        MultiObjectiveReward({"a": (1.0, unsure_by_place), "b": (1.0, counted)}), ["?", "a", "aa"]
    )
    assert unscored == [None, 2.0, pytest.approx(3.2)], "the group of the scored ones"


def unsure_by_place(r, c):
    return unsure(r)


def test_rows_go_to_the_reward_of_their_column() -> None:
    reward = RoutedReward("kind", {"refund": right, "chat": short})
    assert totals(reward, TEXTS, kind="refund") == [1.0, 0.0, 1.0, 0.0]
    assert totals(reward, TEXTS, kind="chat") == [1.0, 1.0, 0.0, 0.0]
    with pytest.raises(RewardError, match="'kind' is 'math', and there are rewards for 'refund', 'chat'"):
        totals(reward, TEXTS, kind="math")


def test_a_row_that_no_key_fits_ends_the_run_whatever_it_holds() -> None:
    for rewards, value, said in [
        ({1: right, 2: short}, 3, "'level' is 3, and there are rewards for 1, 2"),
        ({"1": right}, 1, "'level' is 1, and there are rewards for '1'"),
        ({"1": right}, ["1"], "'level' is ['1'], and there are rewards for '1'"),
    ]:
        with pytest.raises(RewardError, match=re.escape(said)):
            totals(RoutedReward("level", rewards), TEXTS, level=value)
    assert totals(RoutedReward("level", {1: right, 2: short}), TEXTS, level=2) == [1.0, 1.0, 0.0, 0.0]


def shown(response):
    return 2.0 * right(response, {}), {"right": right(response, {})}


def test_the_parts_of_routes_have_the_weights_of_their_own_reward() -> None:
    """Two routes have a part `right` that pays differently; a third shows one; a fourth has none."""
    reward = RoutedReward(
        "kind",
        {
            "refund": WeightedReward({"right": (0.8, right), "length": (-0.1, waits)}),
            "chat": WeightedReward({"right": (0.5, right)}),
            "shown": shown,
            "plain": short,
        },
    )
    weights = RewardCall(reward).weights
    assert weights == {
        "refund/right": 0.8, "refund/length": -0.1, "chat/right": 0.5, "shown": 1.0, "plain": 1.0,
    }  # fmt: skip
    [refund], [seen], [plain] = (
        scores(reward, ["refund"], kind=kind) for kind in ("refund", "shown", "plain")
    )
    assert refund.parts == {"refund/right": 1.0, "refund/length": 6.0}
    assert seen.parts == {"shown": 2.0, "shown/right": 1.0}
    assert plain.parts == {"plain": 1.0}
    for score in (refund, seen, plain):
        paid = [weights[name] * value for name, value in score.parts.items() if name in weights]
        assert score.total == pytest.approx(sum(paid)), "gdpo adds up what the reward adds up"
    assert scores(RoutedReward("kind", {"a": unsure}), ["?"], kind="a")[0].parts == {}


def test_a_random_reward_is_a_control() -> None:
    found = totals(RandomReward(), [str(i) for i in range(200)])
    assert found == totals(RandomReward(), [str(i) for i in range(200)])
    assert found != totals(RandomReward(seed=1), [str(i) for i in range(200)])
    assert 0.4 < sum(value or 0 for value in found) / 200 < 0.6
    assert len(set(found)) == 200


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: WeightedReward({}), "there are no parts"),
        (lambda: WeightedReward({"a": right}), "the part 'a' is"),
        (lambda: WeightedReward({"a": (float("nan"), right)}), "give .weight, reward"),
        (lambda: WeightedReward({"a": (1.0, 3)}), "is no reward"),
        (lambda: WeightedReward({"a": (1.0, right)}, only_if={"a": "b"}), "only_if names 'b'"),
        (lambda: WeightedReward({"a": (1.0, right)}, only_if={"a": "a"}), "a circle: a -> a"),
        (
            lambda: WeightedReward({"a": (1, right), "b": (1, right)}, only_if={"a": "b", "b": "a"}),
            "a circle: a -> b -> a",
        ),
        (lambda: MultiObjectiveReward({}), "there are no parts"),
        (lambda: RoutedReward("kind", {}), "no rewards to choose from"),
    ],
)
def test_what_cannot_be_combined_is_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


class Strict(WeightedReward):
    """A subclass with arguments, an attribute and a `compute` of its own."""

    def __init__(self, penalty):
        super().__init__({"right": (1.0, right)})
        self.penalty = penalty

    def compute(self, prompt, response, context):
        return super().compute(prompt, response, context).total - self.penalty


def test_a_subclass_keeps_what_it_changes_in_the_worker() -> None:
    assert totals(Strict(5.0), TEXTS[:2]) == [-4.0, -5.0]


@pytest.mark.parametrize("part", [batched, waits])
def test_a_compute_that_would_not_be_called_is_refused(part: Any) -> None:
    class Lost(WeightedReward):
        def compute(self, prompt, response, context):
            return 0.0

    class Own(Lost):
        def score_group(self, responses, contexts):
            return [7.0] * len(responses)

    with pytest.raises(ConfigError, match="Lost overrides `compute`, which is not called"):
        Lost({"a": (1.0, part)})
    assert RewardCall(Own({"a": (1.0, part)})).batched


def test_they_pickle_as_they_were_made() -> None:
    reward = WeightedReward({"right": (0.8, right), "n": (0.2, batched)}, only_if={"n": "right"}, passes=0.7)
    again = pickle.loads(pickle.dumps(reward))
    assert (again.weights, again.only_if, again.passes) == (reward.weights, reward.only_if, 0.7)
