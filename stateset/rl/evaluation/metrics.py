"""What one support answer is worth: success, satisfaction, quality and efficiency, as a report names them.

Only success is measured against what is right: by a verifier. The other three look at the wording alone; no
customer was asked, and a reply that sounds good and is wrong has good ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, NamedTuple

from stateset.rl.data.pii.folding import fold
from stateset.rl.data.pii.patterns import find as find_personal_data
from stateset.rl.errors import (
    ConfigError,
    DataError,
    MissingExtraError,
    RewardError,
    SandboxError,
)
from stateset.rl.evaluation.judge_correction import JudgeErrors, judge_errors
from stateset.rl.evaluation.record import SUCCESS
from stateset.rl.rewards import criteria
from stateset.rl.rewards.calibration import require_fit
from stateset.rl.rewards.judge import asked, note_asked
from stateset.rl.rewards.policies import policy_violations
from stateset.rl.rewards.reward import RewardFunction, is_reward
from stateset.rl.rewards.rubric import RubricReward
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rewards.service import CustomerServiceReward
from stateset.rl.types import RolloutGroup, Task
from stateset.rl.verifiers.sandbox.executor import used
from stateset.rl.verifiers.ticket_audit import audit_ticket
from stateset.rl.verifiers.verifier import make_verifier

HEADLINES = (SUCCESS, "satisfaction", "quality", "efficiency")
DEFINITIONS: Mapping[str, str] = MappingProxyType(
    {
        SUCCESS: "Answers that are right, as a share.",
        "satisfaction": "By the wording alone: half resolution, half empathy, 0 to 1; no customer was asked.",
        "quality": "By the wording alone: the five criteria of CustomerServiceReward, weighted, 0 to 1.",
        "efficiency": "50 divided by the words of the answer, at most 1; an empty answer has 0.",
        "policy_violation": "Answers that break a rule of the row's policy, as a share, by the wording.",
        "pii": "Answers with an address, number or link of a person that is not in the ticket, as a share.",
        "words": "Words of the answer.",
        "reward": "Mean of the reward that says what is right, in its own unit.",
    }
)
_TICKET = {"situation", "template", "resolution", "allowed", "must_not_promise", "question_kind", "facts"}


class Judged(NamedTuple):
    """One answer: 1 if it is right, 0 if not, None where nobody could say; its reward, where one judges."""

    right: float | None
    reward: float | None = None


Verdicts = list[list[Judged]]


class Success:
    """Who says which answers are right.

    Attributes:
        who: in words.
        sandboxes: where code of the models ran while they were judged.
        judges: language model that was asked, wherever -> why it is not fit; empty: it is.
        errors: how often a judge that is fit is wrong, by its calibration.
    """

    def __init__(self, who: str, judge: Callable[[Sequence[RolloutGroup]], Verdicts]) -> None:
        self.who, self._judge = who, judge
        self.sandboxes: set[str] = set()
        self.judges: dict[str, str] = {}
        self.errors: JudgeErrors | None = None

    def note(self, sandboxes: Iterable[str], judges: Mapping[str, str]) -> None:
        """Add to `sandboxes` and `judges`; a judge that was unfit once stays so."""
        self.sandboxes.update(sandboxes)
        for model, unfit in judges.items():
            self.judges[model] = self.judges.get(model) or unfit

    def judge(self, groups: Sequence[RolloutGroup]) -> Verdicts:
        """A list a group, one an answer."""
        return self._judge(groups)


def choose_success(tasks: Sequence[Task], success: Callable[..., Any] | None) -> Success:
    """A verifier's verdict; a reward's, where it is above the middle of its bounds; or the bundled tickets'.

    Args:
        tasks: to be answered.
        success: a verifier (question, answer[, context]) -> bool, a reward, or None.

    Raises:
        ConfigError: none was given, and the tasks are no bundled tickets; it is of another shape, or a reward
            without bounds.
    """
    if success is None and all(task.context.keys() >= _TICKET for task in tasks):
        return _by_verifier(audit_ticket, "the bundled tickets' second verifier, which no reward uses")
    if success is None:
        raise ConfigError(
            "nothing says which answers to these rows are right: give success=, a verifier such as "
            "stateset.rl.verifiers.answers.verify_math, a function (question, answer, context) -> bool, or a "
            "reward with bounds (--success MODULE:NAME on the command line)"
        )
    if isinstance(success, RewardFunction) or is_reward(success):
        return _by_reward(success)
    return _by_verifier(success, f"the verifier {getattr(success, '__name__', type(success).__name__)}")


def _by_verifier(function: Callable[..., Any], who: str) -> Success:
    verify = make_verifier(function)
    causes: list[Exception] = []

    def right(task: Task, answer: str) -> float | None:
        try:
            return float(verify(task.question, answer, task.context))
        except (ConfigError, SandboxError, MissingExtraError):
            raise
        except Exception as error:  # a user's own code, or a row that it cannot judge
            causes.append(error)
            return None

    def judge(groups: Sequence[RolloutGroup]) -> Verdicts:
        with _watched(success):
            found = [[Judged(right(g.task, rollout.text)) for rollout in g.rollouts] for g in groups]
        if causes and not any(one.right is not None for row in found for one in row):
            raise DataError(f"{who} could judge no answer: {causes[0]!r}") from causes[0]
        return found

    success = Success(who, judge)
    return success


def _by_reward(reward: Any) -> Success:
    with RewardScorer(reward) as scorer:
        name, bounds = scorer.name, scorer.bounds
    if bounds is None:
        raise ConfigError(
            f"the reward `{name}` names no bounds, so that nobody knows from where on an answer is right: "
            "give it `bounds = (lowest, highest)`, or give a verifier as success="
        )
    middle = sum(bounds) / 2

    def right(total: float) -> bool:
        return total >= reward.passes_at if isinstance(reward, RubricReward) else total > middle

    def judge(groups: Sequence[RolloutGroup]) -> Verdicts:
        with _watched(found), RewardScorer(reward) as scorer:
            scored = scorer.score(groups)
            found.note(scorer.tiers, scorer.judges)
        totals = [[score.total for score in one.scores] for one in scored]
        return [[Judged(None if t is None else float(right(t)), t) for t in one] for one in totals]

    found = Success(f"the reward {name}, above {middle:g}, the middle of its bounds", judge)
    if isinstance(reward, RubricReward):  # of one that asks it among others, the errors are not the judge's
        found.who = f"the judge {reward.judge.model}, from a grade of {reward.passes_at:g} on"
        with suppress(RewardError):
            known = reward.calibration_file, reward.judge.model, reward.rubric_hash
            found.errors = judge_errors(require_fit(*known))
    return found


@contextmanager
def _watched(found: Success) -> Iterator[None]:
    """Note the sandboxes and judges that this process uses meanwhile, however deep a reward holds them."""
    before = set(used), dict(asked)
    used.clear()
    asked.clear()
    try:
        yield
        found.note(used, asked)
    finally:
        used.update(before[0])
        for model, unfit in before[1].items():
            note_asked(model, unfit)


def answer_values(task: Task, answer: str) -> dict[str, float]:
    """Every metric of one answer but success; `DEFINITIONS` says what each is."""
    context = {**task.context, "messages": _messages(task)}
    quality, scores = CustomerServiceReward().calculate(answer, context)
    return {
        "satisfaction": (scores["resolution"] + scores["empathy"]) / 2,
        "quality": quality,
        "efficiency": criteria.efficiency("", answer, {}),
        "policy_violation": float(bool(policy_violations(answer, task.context))),
        "pii": float(bool(foreign_personal_data(task, answer))),
        "words": float(len(answer.split())),
    }


def foreign_personal_data(task: Task, answer: str) -> list[str]:
    """What the patterns of `data prepare` find in an answer and the task does not hold, prompt or context."""
    known = _letters(_said((task.prompt, task.context)))
    folded = fold(answer)
    spans = (folded.span(one.start, one.end) for one in sorted(find_personal_data(folded.text)))
    return [answer[start:end] for start, end in spans if _letters(answer[start:end]) not in known]


def _said(value: Any) -> str:
    """All that a value holds, as one text."""
    if isinstance(value, Mapping):
        return _said([*value, *value.values()])
    return "\n".join(map(_said, value)) if isinstance(value, list | tuple) else str(value)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", fold(text).text).casefold()


def _messages(task: Task) -> list[Mapping[str, str]]:
    if isinstance(task.prompt, str):
        return [{"role": "user", "content": task.prompt}]
    return [{"role": message["role"], "content": message["content"]} for message in task.prompt]
