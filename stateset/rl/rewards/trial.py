"""A reward on trial: every probe of every row scored as training would score it, and what that says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stateset.rl.errors import DataError, RewardError
from stateset.rl.rewards import probes
from stateset.rl.rewards.check import (
    Probe,
    Trial,
    broken,
    check_order,
    check_probes,
    check_repeat,
    check_running,
    check_unscored,
)
from stateset.rl.rewards.literals import running_calls
from stateset.rl.rewards.probes import ProbeTexts
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.types import Rollout, RolloutGroup, Task

MOST_ROWS = 200
PROBES = "probes"


def try_reward(
    reward: Any,
    tasks: Sequence[Task],
    *,
    verifier: Callable[..., Any] | None = None,
    timeout_seconds: float = 30.0,
) -> Trial:
    """Try a reward on rows with right answers, without a model.

    Args:
        reward: whatever a project may name as one.
        tasks: the first `MOST_ROWS` with an `answer` are used.
        verifier: as training would have it.
        timeout_seconds: of one call.

    Raises:
        DataError: fewer than two rows have an answer, or all have the same.
    """
    known = [task for task in tasks if task.answer is not None][:MOST_ROWS]
    right = ProbeTexts("right", probes.right_answers(known))
    if len(set(right.texts)) < 2:
        raise DataError("a reward is tried on rows with an `answer`, of which at least two differ")
    wrong = ProbeTexts("wrong", probes.wrong_answers(known))
    ugly = ProbeTexts("ugly", [probes.ugly(text) for text in right.texts])
    pretty = ProbeTexts("pretty", [probes.pretty(text) for text in wrong.texts])
    tried = [right, wrong, ugly, pretty, *probes.worthless(known, reward)]
    groups = [probe_group(task, [probe.texts[row] for probe in tried]) for row, task in enumerate(known)]
    with RewardScorer(reward, verifier=verifier, timeout_seconds=timeout_seconds) as scorer:
        try:
            first = scorer.score(groups)
            again = scorer.score(groups[::-1])[::-1]
        except RewardError as error:
            return broken(PROBES, error)
    found = [
        Probe(probe.name, probe.texts, [group.scores[column].total for group in first])
        for column, probe in enumerate(tried)
    ]
    scores = [[score for group in scored for score in group.scores] for scored in (first, again)]
    texts = [rollout.text for group in groups for rollout in group.rollouts]
    findings = [
        check_unscored(first),
        check_repeat("the same again, backwards", scores[0], scores[1], texts),
        *check_probes(found[0], found[1], found[4:]),
        check_order(found[2], found[3]),
        check_running(running_calls(reward)),
    ]
    return Trial(on=PROBES, findings=findings, probes=found)


def probe_group(task: Task, texts: Sequence[str]) -> RolloutGroup:
    """Texts as the responses to a task, without tokens."""
    rollouts = (
        Rollout(sample=index, text=text, token_ids=(), loss_mask=(), sampler_logprobs=(), stop_reason="stop")
        for index, text in enumerate(texts)
    )
    return RolloutGroup(task=task, prompt_ids=(), rollouts=tuple(rollouts))
