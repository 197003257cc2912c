"""Twenty faulty rewards: each is a typed error or a counted exclusion, and what it returned never trains."""

from __future__ import annotations

import faulty_rewards
import pytest
from fixtures_rewards.build import group

from stateset.rl.errors import RewardError
from stateset.rl.rewards.score import RewardScorer

# What breaks the contract ends the run; what fails while it runs loses its sample.
ENDS_THE_RUN = (
    "nan",
    "infinite",
    "text",
    "truth",
    "tensor",
    "complex_number",
    "huge",
    "pair",
    "generator",
    "unpicklable",
)


@pytest.mark.parametrize("fault", [fault.__name__ for fault in faulty_rewards.FAULTS])
def test_a_faulty_reward_trains_nothing(fault: str) -> None:
    with RewardScorer(faulty_rewards.Faulty(fault), timeout_seconds=1.0) as scorer:
        if fault in ENDS_THE_RUN:
            with pytest.raises(RewardError, match="Faulty"):
                scorer.score([group("good", "bad", "fine")])
            return
        [scored] = scorer.score([group("good", "bad", "fine")])
    assert [score.total for score in scored.scores] == [4.0, None, 4.0]
    assert scored.scores[1].reason
    assert scorer.failures.total() == (fault != "none"), "None is the reward's own word for unscorable"


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (faulty_rewards.mutates, [1.0, 1.0]),
        pytest.param(faulty_rewards.prints_a_gigabyte, [4.0, 3.0], marks=pytest.mark.slow),
        (faulty_rewards.forks, [4.0, 3.0]),
    ],
)
def test_what_a_reward_does_besides_changes_no_score(
    reward: object, expected: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    with RewardScorer(reward) as scorer:
        [scored] = scorer.score([group("good", "bad")])
    assert [score.total for score in scored.scores] == expected
    assert capfd.readouterr().out == ""
