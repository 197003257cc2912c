"""The short trial of a reward before it trains: what no reward may do, whatever it is meant to teach."""

from __future__ import annotations

from collections.abc import Sequence

from stateset.rl.errors import RewardError
from stateset.rl.rewards import probes
from stateset.rl.rewards.check import check_repeat, check_unscored
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rewards.trial import probe_group
from stateset.rl.types import StepMetrics, Task

_ROWS = 8  # a judge is paid for each response


def refuse_useless(scorer: RewardScorer, tasks: Sequence[Task]) -> str:
    """The short trial before training, for what no reward may do, whatever it is meant to teach.

    Args:
        scorer: of the reward; what it counts is about the trial afterwards.
        tasks: the training rows; the first few with an answer are tried, or the first few.

    Returns:
        A doubt: right answers and worthless ones score alike. An answer of the data need not have the form
        that the reward asks for, so the first step has to confirm it. Else empty.

    Raises:
        RewardError: it breaks its contract, scores too few responses, or the same response differently.
    """
    known = [task for task in tasks if task.answer is not None][:_ROWS] or list(tasks[:_ROWS])
    tried = [
        [*([] if task.answer is None else [str(task.answer)]), probes.RESOLVED, probes.APOLOGY, task.question]
        for task in known
    ]
    groups = [probe_group(task, texts) for task, texts in zip(known, tried, strict=True)]
    first, again = scorer.score(groups), scorer.score(groups[::-1])[::-1]
    scores = [[score for group in scored for score in group.scores] for scored in (first, again)]
    texts = [text for row in tried for text in row]
    found = [check_unscored(first), check_repeat("the same again, backwards", scores[0], scores[1], texts)]
    failed = [one for one in found if one.verdict == "fail"]
    if failed:
        said = "; ".join(f"{one.name}: {one.said}, {one.example}" for one in failed)
        raise RewardError(_refusal(scorer.name, said))
    given = {score.total for score in scores[0]}
    if len(given) > 1 or known[0].answer is None:
        return ""
    said = f"right answers such as {texts[0]!r}, an apology and the prompt said again all score {given.pop()}"
    return _refusal(scorer.name, f"{said}, and the first step's responses do not differ either")


def confirm(doubt: str, metrics: StepMetrics) -> None:
    """End a run at its first step if that shows what the short trial feared: one score for everything.

    Raises:
        RewardError: with the doubt.
    """
    if doubt and metrics.step == 1 and metrics.reward_std == 0:
        raise RewardError(doubt)


def _refusal(name: str, said: str) -> str:
    return (
        f"the reward `{name}` can teach nothing ({said}). Repair it (`stateset-rl reward check` tells more), "
        "or set `reward_check: false` to train with it all the same"
    )
