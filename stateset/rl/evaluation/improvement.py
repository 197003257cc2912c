"""What training changed: two models' answers to the same tasks, as deltas with intervals, and the texts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.criteria import Criteria, make_criteria
from stateset.rl.evaluation.judge_correction import correct_rate, corrected_change
from stateset.rl.evaluation.metrics import HEADLINES
from stateset.rl.evaluation.paired import (
    McNemar,
    Tally,
    exact_mcnemar,
    exchange_test,
    holm,
    smallest_effect,
    tally,
)
from stateset.rl.evaluation.record import SUCCESS, Record, changed_files, read_record, record_json
from stateset.rl.evaluation.statistics import (
    Difference,
    Interval,
    mean_interval,
    paired_difference,
    standard_error,
)
from stateset.rl.evaluation.verdict import Verdict, judge
from stateset.rl.manifest import to_json, write_text_atomic

RECORD, ANSWERS = "evaluation.json", "answers.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One task with the first answer of either model to it."""

    task_id: str
    prompt: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceChange:
    """How success changed where a slice has one value; `p_value` is Holm's over the values of its kind.

    It is NaN where all rows come from one cluster, which show nothing.
    """

    kind: str
    value: str
    num_rows: int
    num_clusters: int
    before: float
    after: float
    p_value: float


@dataclass(frozen=True)
class Improvement:
    """A trained model against its baseline on the same tasks.

    `record` holds the numbers, `answers` the texts, one a row of the record. Every delta is the mean of
    trained minus baseline over the tasks, from -1 to 1; `difference(metric)` is the same with its 95 %
    interval. Where a calibrated judge says what is right, success and its change are corrected for the
    judge's errors.
    """

    record: Record
    answers: tuple[Pair, ...]

    @property
    def success_delta(self) -> float:
        """Change of the share of right answers."""
        return self.difference(SUCCESS).mean

    @property
    def satisfaction_delta(self) -> float:
        """Change of mean satisfaction, by the wording."""
        return self.difference("satisfaction").mean

    @property
    def quality_delta(self) -> float:
        """Change of mean quality, by the wording."""
        return self.difference("quality").mean

    @property
    def efficiency_delta(self) -> float:
        """Change of mean efficiency, which is brevity."""
        return self.difference("efficiency").mean

    @cached_property
    def _differences(self) -> dict[str, Difference]:
        return {}

    def difference(self, metric: str) -> Difference:
        """A metric's paired difference with its 95 % interval, bootstrap over clusters.

        Raises:
            ConfigError: there is no such metric.
            DataError: the rows make fewer than 2 clusters.
        """
        if metric not in self._differences:
            record, values = self.record, self.record.pairs(metric)
            found = paired_difference(*values, seed=record.seed)
            if metric == SUCCESS and record.judge_errors is not None:
                found = corrected_change(found, values, record.judge_errors, confidence=0.95)
            self._differences[metric] = found
        return self._differences[metric]

    def level(self, metric: str, *, after: bool) -> Interval:
        """A metric's mean before or after, with its 95 % interval; over the rows where both have a value."""
        record, (*sides, clusters) = self.record, self.record.pairs(metric)
        values = sides[after]
        found = mean_interval(values, clusters, seed=record.seed)
        if metric != SUCCESS or record.judge_errors is None:
            return found
        error = standard_error(values, clusters)
        true = correct_rate(found.mean, error, record.judge_errors)
        return replace(found, mean=true.mean, low=true.low, high=true.high)

    @property
    def tally(self) -> Tally:
        """Tasks that the trained model does better, as well, and worse, by success; not the unjudged ones."""
        before, after, _ = self.record.pairs(SUCCESS)
        return tally(before, after)

    @property
    def num_unjudged(self) -> int:
        """Tasks where nobody could say whether an answer, before or after, is right; they count nowhere."""
        return len(self.record.rows) - len(self.record.pairs(SUCCESS)[0])

    @property
    def mcnemar(self) -> McNemar:
        """The exact test on the tasks of `tally`, each for itself."""
        before, after, _ = self.record.pairs(SUCCESS)
        return exact_mcnemar(before, after)

    @property
    def smallest_effect(self) -> float:
        """The true change of success that such a test set would show in four cases of five.

        0 where all tasks changed alike: then nothing tells.
        """
        return smallest_effect(*self.record.pairs(SUCCESS))

    def slices(self, kind: str) -> list[SliceChange]:
        """Success by one kind of slice, such as situation; p-values of the exchange test, two-sided.

        Tasks that nobody could judge are left out, and so are values that have no others.

        Raises:
            ConfigError: there is no such kind.
        """
        places = {value: self.record.pairs(SUCCESS, rows) for value, rows in self.record.where(kind).items()}
        several = {value: pairs for value, pairs in places.items() if len(set(pairs[2])) > 1}
        p_values = [exchange_test(*pairs, seed=self.record.seed) for pairs in several.values()]
        known = dict(zip(several, holm(p_values), strict=True))
        return [
            SliceChange(
                kind=kind, value=value, num_rows=len(before), num_clusters=len(set(clusters)),
                before=sum(before) / len(before), after=sum(after) / len(after),
                p_value=known.get(value, float("nan")),
            )
            for value, (before, after, clusters) in places.items() if before
        ]  # fmt: skip

    def regressions(self, most: int = 20) -> list[Pair]:
        """The tasks whose success fell; the worst first, equal ones by quality."""
        changes = [(row.change(SUCCESS), row.change("quality")) for row in self.record.rows]
        worse = [index for index, change in enumerate(changes) if change[0] < 0]
        return [self.answers[index] for index in sorted(worse, key=lambda index: changes[index])[:most]]

    def meets_criteria(
        self, criteria: Criteria | Mapping[str, Any] | str | os.PathLike[str] | None = None
    ) -> Verdict:
        """Hold the evaluation against criteria: a verdict that is true or false, with its reasons.

        Args:
            criteria: `Criteria`, their values, or a `criteria.yaml`; None: a gain of success that is sure, on
                100 rows of 50 clusters at least.

        Raises:
            ConfigError: criteria that are wrong, or name what this evaluation does not have.
        """
        limits = make_criteria(dict(criteria) if isinstance(criteria, Mapping) else criteria)
        return judge(self.record, limits, changed_files(self.record.files))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the record (`evaluation.json`) and every answer (`answers.jsonl`) into a folder.

        Raises:
            ConfigError: the folder cannot be written.
        """
        place = Path(folder)
        try:
            place.mkdir(parents=True, exist_ok=True)
            lines = (
                {"id": p.task_id, "prompt": p.prompt, "before": p.before, "after": p.after}
                for p in self.answers
            )
            write_text_atomic(place / ANSWERS, "".join(f"{to_json(line)}\n" for line in lines))
            write_text_atomic(place / RECORD, record_json(self.record))
        except OSError as error:
            raise ConfigError(f"{place} cannot be written ({error.strerror}): name another folder") from error
        return place

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """What `save` wrote.

        Raises:
            DataError: a file is missing or damaged, or the answers are not those of the record.
        """
        place = Path(folder)
        try:
            text = (place / RECORD).read_text(encoding="utf-8")
            lines = [json.loads(line) for line in (place / ANSWERS).read_text(encoding="utf-8").splitlines()]
            answers = tuple(
                Pair(task_id=line["id"], prompt=line["prompt"], before=line["before"], after=line["after"])
                for line in lines
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{place} holds no whole evaluation ({error}): write one with `compare`"
            ) from error
        record = read_record(text, str(place / RECORD))
        if [pair.task_id for pair in answers] != [row.task_id for row in record.rows]:
            raise DataError(f"{place / ANSWERS} has other rows than {RECORD}: evaluate again")
        return cls(record=record, answers=answers)

    def __str__(self) -> str:
        """The four headlines, a line each."""
        return "\n".join(f"{name}: {self.difference(name).mean:+.3f}" for name in HEADLINES)
