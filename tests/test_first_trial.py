"""The short trial before training: good rewards train, and one that can teach nothing does not."""

from __future__ import annotations

import pytest
import reward_zoo

from stateset.rl.data.load import load_tasks
from stateset.rl.errors import RewardError
from stateset.rl.rewards.first_trial import confirm, refuse_useless
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.types import StepMetrics, Task


def first_step(reward_std: float, step: int = 1) -> StepMetrics:
    return StepMetrics(step=step, avg_reward=0.7, reward_std=reward_std, kl_div=0.0, quality_score=0.5)


@pytest.mark.parametrize("name", reward_zoo.GOOD)
def test_the_short_trial_lets_good_rewards_train(name: str) -> None:
    reward, kind = reward_zoo.GOOD[name]
    with RewardScorer(reward) as scorer:
        assert refuse_useless(scorer, load_tasks(reward_zoo.rows(kind, 24))) == ""


def test_the_short_trial_refuses_what_can_teach_nothing() -> None:
    tasks = load_tasks(reward_zoo.rows("tickets", 24))
    said = r"random_number` can teach nothing \(the same again, backwards"
    with RewardScorer(reward_zoo.random_number) as scorer, pytest.raises(RewardError, match=said):
        refuse_useless(scorer, tasks)
    with RewardScorer(reward_zoo.constant) as scorer:
        doubt = refuse_useless(scorer, tasks)
        assert refuse_useless(scorer, [Task(id="1", prompt="hello")]) == "", "no answer, no doubt"
    assert "an apology and the prompt said again all score 0.7" in doubt
    confirm(doubt, first_step(0.1))  # other responses differ: the answers of the data have another form
    confirm(doubt, first_step(0.0, step=2))
    confirm("", first_step(0.0))
    with pytest.raises(RewardError, match="`reward_check: false` to train with it all the same"):
        confirm(doubt, first_step(0.0))
