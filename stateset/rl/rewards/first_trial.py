"""The short trial of a reward before it trains: what no reward may do, whatever it is meant to teach.

A verifier that was given with it is tried first, on its own: it accepts the rows' right answers and no
planted wrong ones. A denial is not among those, since verifiers of a last number or of words cannot tell it;
`validate_verifier` plants it, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stateset.rl.errors import RewardError
from stateset.rl.rewards import probes
from stateset.rl.rewards.check import check_repeat, check_unscored
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rewards.trial import probe_group
from stateset.rl.types import StepMetrics, Task
from stateset.rl.verifiers.validate import DENIAL, planted

_ROWS = 8  # a judge is paid for each response
_VERIFIED_ROWS = 32
_RIGHT = "the right answer"
_MOST_ACCEPTED = 0.5  # of rows: the answer of another row may be right by chance


def refuse_useless(scorer: RewardScorer, tasks: Sequence[Task]) -> str:
    """The short trial before training, for what no reward may do, whatever it is meant to teach.

    Args:
        scorer: of the reward; what it counts is about the trial afterwards.
        tasks: the training rows; the first few with an answer are tried, or the first few.

    Returns:
        A doubt: right answers and worthless ones score alike. An answer of the data need not have the form
        that the reward asks for, so the first step has to confirm it. Else empty.

    Raises:
        RewardError: it breaks its contract, scores too few responses, or the same response differently; or
            its verifier rejects a right answer, or accepts wrong ones.
    """
    if scorer.verifier is not None:
        _refuse_misjudging(scorer, tasks)
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


def _refuse_misjudging(scorer: RewardScorer, tasks: Sequence[Task]) -> None:
    """A verifier that takes right for wrong, or wrong for right, tried as training would call it."""
    known = [task for task in tasks if task.answer is not None][:_VERIFIED_ROWS]
    if not known:
        return
    tried = [
        [(_RIGHT, str(task.answer)), *planted(task, known[place + 1 :] + known)]
        for place, task in enumerate(known)
    ]
    groups = [probe_group(task, [text for _, text in row]) for task, row in zip(known, tried, strict=True)]
    with RewardScorer(
        _accepted, verifier=scorer.verifier, timeout_seconds=scorer.timeout_seconds
    ) as verdicts:
        scored = verdicts.score(groups)
    accepted = Counter(
        kind
        for row, group in zip(tried, scored, strict=True)
        for (kind, _), score in zip(row, group.scores, strict=True)
        if score.total == 1.0
    )
    missed = [task for task, group in zip(known, scored, strict=True) if group.scores[0].total != 1.0]
    said = [f"it rejects the right answer {str(task.answer)!r} of row {task.id}" for task in missed[:1]]
    said += [
        f"it accepts {kind} in {rows} of {len(known)} rows"
        for kind, rows in accepted.items()
        if kind not in (_RIGHT, DENIAL) and rows > _MOST_ACCEPTED * len(known)
    ]
    if said:
        raise RewardError(
            f"the verifier misjudges the data: {'; '.join(said)}. Repair it, or give rows whose `answer` has "
            "the form that it reads (`validate_verifier` tells each), or set `reward_check: false`"
        )


def _accepted(verified: bool) -> float:
    return float(verified)


def _refusal(name: str, said: str) -> str:
    return (
        f"the reward `{name}` can teach nothing ({said}). Repair it (`stateset-rl reward check` tells more), "
        "or set `reward_check: false` to train with it all the same"
    )
