"""The short trial before training: good rewards train, and one that can teach nothing does not."""

from __future__ import annotations

from typing import Any

import pytest
import reward_zoo

from stateset.rl.data.load import load_tasks
from stateset.rl.errors import RewardError
from stateset.rl.rewards.first_trial import Doubt, confirm, refuse_useless
from stateset.rl.rewards.probes import APOLOGY
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.types import StepMetrics, Task
from stateset.rl.verifiers.text import Exact, Numeric


def first_step(reward_std: float, step: int = 1) -> StepMetrics:
    return StepMetrics(step=step, avg_reward=0.7, reward_std=reward_std, kl_div=0.0, quality_score=0.5)


@pytest.mark.parametrize("name", reward_zoo.GOOD)
def test_the_short_trial_lets_good_rewards_train(name: str) -> None:
    reward, kind = reward_zoo.GOOD[name]
    with RewardScorer(reward) as scorer:
        assert refuse_useless(scorer, load_tasks(reward_zoo.rows(kind, 24))) == Doubt()


def test_the_short_trial_refuses_what_can_teach_nothing() -> None:
    tasks = load_tasks(reward_zoo.rows("tickets", 24))
    said = r"random_number` can teach nothing \(the same again, backwards"
    with RewardScorer(reward_zoo.random_number) as scorer, pytest.raises(RewardError, match=said):
        refuse_useless(scorer, tasks)
    with RewardScorer(reward_zoo.constant) as scorer:
        doubt = refuse_useless(scorer, tasks)
        unanswered = refuse_useless(scorer, [Task(id="1", prompt="hello")])
    assert "an apology and the prompt said again all score 0.7" in doubt.said
    assert "(an apology and the prompt said again all score 0.7" in unanswered.said
    confirm(doubt, first_step(0.1))  # other responses differ: the answers of the data have another form
    confirm(doubt, first_step(0.0, step=2))
    confirm(Doubt(), first_step(0.0))
    with pytest.raises(RewardError, match="`reward_check: false` to train with it all the same"):
        confirm(doubt, first_step(0.0))


def runs(response: str, context: dict[str, Any]) -> float:
    return float(context["wanted"] in response)


def test_a_reward_that_gives_nothing_for_worthless_answers_is_not_doubted_for_want_of_right_ones() -> None:
    """Rows without `answer`, such as code with tests: a first step without a right one proves nothing."""
    tasks = [Task(id=str(n), prompt=f"write f{n}", context={"wanted": f"def f{n}"}) for n in range(4)]
    with RewardScorer(runs) as scorer:
        assert refuse_useless(scorer, tasks) == Doubt()


def prompt_alone(prompt: str, response: str) -> float:
    return float(len(prompt) % 17)


def test_a_reward_of_the_prompt_alone_is_doubted() -> None:
    tasks = [Task(id=str(n), prompt="x" * n, answer=str(n)) for n in range(1, 9)]
    with RewardScorer(prompt_alone) as scorer:
        doubt = refuse_useless(scorer, tasks)
    assert "score alike in each row: 1, 2, 3" in doubt.said
    with pytest.raises(RewardError, match="the first step's responses to a prompt do not differ either"):
        confirm(doubt, first_step(0.0))


def only_wrong(response: str, context: dict[str, Any]) -> float:
    return float(context["answer"] not in response)


def test_a_reward_that_prefers_an_apology_to_right_answers_is_doubted_before_the_first_step() -> None:
    with RewardScorer(only_wrong) as scorer:
        doubt = refuse_useless(scorer, numbered("two", "three", "five"))
    assert doubt.notice.endswith(
        "may teach the opposite: in 3 of 3 rows a right answer scores less than an apology: 0 for 'two', "
        f"1 for {APOLOGY!r}"
    )
    with pytest.raises(RewardError, match="can teach nothing"):
        confirm(doubt, first_step(0.0))


def paid_if_right(response: str, verified: bool) -> float:
    return float(verified)


def anything(question: str, answer: str) -> bool:
    return True


def wants_a_sentence(question: str, answer: str) -> bool:
    return answer.startswith("The answer is ")


def raises_on_three(question: str, answer: str, context: dict[str, Any]) -> bool:
    assert context["answer"] != "3", "three"
    return answer == context["answer"]


def numbered(*answers: str) -> list[Task]:
    return [Task(id=f"row-{at}", prompt=f"Say {at}", answer=answer) for at, answer in enumerate(answers)]


@pytest.mark.parametrize(
    ("verifier", "said"),
    [
        (Exact(), ""),
        (Numeric(), ""),  # a denial has the number, which it cannot tell
        (anything, "it accepts an empty answer in 4 of 4 rows; it accepts blanks in 4 of 4 rows"),
        (wants_a_sentence, "it rejects the right answer '2' of row row-0. Repair it"),
        (raises_on_three, "it rejects the right answer '3' of row row-1"),
    ],
)
def test_a_verifier_is_tried_on_right_and_planted_answers(verifier: Any, said: str) -> None:
    tasks = numbered("2", "3", "5", "7")
    with RewardScorer(paid_if_right, verifier=verifier) as scorer:
        if not said:
            assert refuse_useless(scorer, tasks) == Doubt()
            return
        with pytest.raises(RewardError, match=f"the verifier misjudges the data: {said}"):
            refuse_useless(scorer, tasks)


def test_without_right_answers_no_verifier_is_tried() -> None:
    with RewardScorer(paid_if_right, verifier=anything) as scorer:
        assert refuse_useless(scorer, [Task(id="1", prompt="hello")]).notice == ""
