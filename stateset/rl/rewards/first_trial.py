"""The short trial of a reward before it trains: what no reward may do, whatever it is meant to teach.

A verifier that was given with it is tried first, on its own: it accepts the rows' right answers and no
planted wrong ones. A denial is not among those, since verifiers of a last number or of words cannot tell it;
`validate_verifier` plants it, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from stateset.rl.errors import RewardError
from stateset.rl.rewards import probes
from stateset.rl.rewards.check import CLOSE, check_repeat, check_unscored
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rewards.trial import probe_group
from stateset.rl.types import ScoredGroup, StepMetrics, Task
from stateset.rl.verifiers.validate import DENIAL, planted

_ROWS = 8  # a judge is paid for each response
_VERIFIED_ROWS = 32
_RIGHT = "the right answer"
_MOST_BELOW = 0.5  # of rows; a reward of style may well prefer a kind apology to a short answer
_MOST_ACCEPTED = 0.5  # of rows: the answer of another row may be right by chance


class Doubt(NamedTuple):
    """What the short trial fears of a reward; empty where it fears nothing.

    Attributes:
        said: nothing can be learnt, as the first step has to confirm: an answer of the data need not have the
            form that the reward asks for, and worthless answers may rightly score alike.
        notice: for the user, before the first step.
    """

    said: str = ""
    notice: str = ""


def refuse_useless(scorer: RewardScorer, tasks: Sequence[Task]) -> Doubt:
    """The short trial before training, for what no reward may do, whatever it is meant to teach.

    Args:
        scorer: of the reward; what it counts is about the trial afterwards.
        tasks: the training rows; the first few with an answer are tried, or the first few.

    Raises:
        RewardError: it breaks its contract, scores too few responses, or the same response differently; or
            its verifier rejects a right answer, or accepts wrong ones.
    """
    if scorer.verifier is not None:
        _refuse_misjudging(scorer, tasks)
    known = [task for task in tasks if task.answer is not None][:_ROWS] or list(tasks[:_ROWS])
    tried = [
        [*([] if task.answer is None else [str(task.answer)]), probes.APOLOGY, probes.RESOLVED, task.question]
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
    lowest = scorer.bounds[0] if scorer.bounds is not None else 0.0
    return _doubt(scorer.name, first, tried, lowest, answered=known[0].answer is not None)


def confirm(doubt: Doubt, metrics: StepMetrics) -> None:
    """End a run at its first step if that shows what the short trial feared: one score for everything.

    Raises:
        RewardError: with the doubt.
    """
    if doubt.said and metrics.step == 1 and metrics.reward_std == 0:
        raise RewardError(doubt.said)


def _doubt(
    name: str,
    scored: Sequence[ScoredGroup],
    tried: Sequence[Sequence[str]],
    lowest: float,
    *,
    answered: bool,
) -> Doubt:
    """Nothing differs within a group, or right answers are worth less than an apology.

    Without right answers among them, worthless ones that all score the lowest are as they should be.
    """
    rows = [[score.total for score in group.scores if score.total is not None] for group in scored]
    step = "and the first step's responses to a prompt do not differ either"
    paid = answered or any(score > lowest + CLOSE for row in rows for score in row)
    if paid and all(max(row, default=0.0) - min(row, default=0.0) <= CLOSE for row in rows):
        right = f"right answers such as {tried[0][0]!r}, " if answered else ""
        given = ", ".join(dict.fromkeys(f"{row[0]:g}" for row in rows if row))
        said = f"{right}an apology and the prompt said again all score {given}"
        if len({row[0] for row in rows if row}) > 1:
            said = f"{right}an apology and the prompt said again score alike in each row: {given}"
        return Doubt(_refusal(name, f"{said}, {step}"))
    pairs = [[score.total for score in group.scores[:2]] for group in scored] if answered else []
    below = [row for row, (right, sorry) in enumerate(pairs) if _is_below(right, sorry)]
    if len(below) <= _MOST_BELOW * len(rows):
        return Doubt()
    worth, sorry = pairs[below[0]]
    said = (
        f"in {len(below)} of {len(rows)} rows a right answer scores less than an apology: {worth:g} for "
        f"{tried[below[0]][0]!r}, {sorry:g} for {probes.APOLOGY!r}"
    )
    return Doubt(_refusal(name, f"{said}; {step}"), f"the reward `{name}` may teach the opposite: {said}")


def _is_below(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one < other - CLOSE


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
