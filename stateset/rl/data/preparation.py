"""Rows through the steps of preparation, in order: check, pseudonymise, near-duplicates, quality, split.

Nothing is dropped silently: whatever does not reach the training set has a reason and is counted. The quality
score chooses training rows only; validation and test rows are what customers really wrote, good logs or bad.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stateset.rl.data.frozen import find_frozen
from stateset.rl.data.importers.export_file import utc_time
from stateset.rl.data.near_duplicates import THRESHOLD, Pair, conversation_text, duplicate_pairs, near_pairs
from stateset.rl.data.pii import Pseudonyms, pseudonymise_rows
from stateset.rl.data.pii.columns import check_people
from stateset.rl.data.quality import quality_parts, quality_score, text_quality
from stateset.rl.data.rejected import Rejected, rejected_at
from stateset.rl.data.rows import Row, described, is_missing, task_from_row
from stateset.rl.data.split import SPLITS, Split, components, find_leaks, make_split, refuse_leaks
from stateset.rl.errors import DataError
from stateset.rl.types import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How rows are prepared.

    `min_quality_score` is for training rows, from 0 to 1; `near_duplicate` the Jaccard similarity from which
    prompts of two threads count as the same; shares are of all rows; `by` is what a split keeps together;
    `frozen` is the manifest of an earlier folder, of whose test set no row may come in again.
    """

    min_quality_score: float = 0.0
    near_duplicate: float = THRESHOLD
    by: str = "customer"
    validation_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0
    presidio: bool = False
    frozen: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_quality_score <= 1:
            raise DataError(f"min_quality_score is {self.min_quality_score!r}: give a number from 0 to 1.")


class Duplicate(NamedTuple):
    """A row that was left out because its prompt nearly says what an earlier one's does."""

    id: str
    of: str
    similarity: float


Scored = tuple[float | None, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """`kept` are places in `rows`, `scores` the score and parts of those; None without an outcome."""

    rows: list[dict[str, Any]]
    kept: list[int]
    pairs: list[Pair]
    given_split: list[str] | None
    duplicates: tuple[Duplicate, ...]
    scores: list[Scored]
    pii: Counter[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """`splits` has rows by split; `scored` the score and parts of every row that has them, unfiltered."""

    splits: dict[str, list[dict[str, Any]]]
    split: Split
    given_split: bool
    rejected: tuple[Rejected, ...]
    duplicates: tuple[Duplicate, ...]
    scored: tuple[tuple[float, dict[str, float]], ...]
    pii: Counter[str]
    counts: dict[str, int]


def check_rows(rows: Iterable[Row], settings: Settings) -> tuple[list[dict[str, Any]], list[Rejected]]:
    """Rows that can be used, each with an id, and the others with the reason why not.

    Raises:
        GateError: the folder of the manifest `settings.frozen` was changed.
        DataError: there is no such manifest.
    """
    good: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    places: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        try:
            task = task_from_row(row)
            if isinstance(row.value, Task):
                raise DataError(f"{row.where}: a task, not a row; give the rows that it was made of.")
            quality_parts(row.value, row.where)
            check_people(row.value, row.where)
            _check_columns(row)
            time = _time(row)
            name = task.id or f"row-{number:05d}"
            if name in places:
                raise DataError(f"{row.where}: its `id` is also that of {places[name]}; make ids unique.")
            places[name] = row.where
            good.append({"id": name} | dict(row.value) | {"id": name} | time)
        except DataError as error:
            reason = str(error).removeprefix(f"{row.where}: ")
            rejected.append(rejected_at(row.where, Pseudonyms().text(reason)))  # it may name odd columns
    held = find_frozen(good, settings.frozen, settings.near_duplicate) if settings.frozen else {}
    rejected += [
        rejected_at(places[good[place]["id"]], f"of the frozen test set: {why}")
        for place, why in held.items()
    ]
    return [row for place, row in enumerate(good) if place not in held], rejected


def clean_rows(rows: Sequence[dict[str, Any]], settings: Settings) -> Cleaned:
    """Without personal data and near-duplicates, each with its quality.

    Raises:
        GateError: the rows have a `split` of their own, and it leaks.
        DataError: only some rows have a `split`, or a threshold makes no sense.
        MissingExtraError: an optional package is not installed.
    """
    clean, pii = pseudonymise_rows(rows, _detectors(settings))
    pairs = near_pairs([conversation_text(row) for row in clean], settings.near_duplicate)
    given = _given_split(clean)
    if given is not None:
        links = [(pair.first, pair.second) for pair in pairs]
        refuse_leaks(find_leaks(clean, given, by=settings.by, links=links), clean, given)
    kept, duplicates = _without_duplicates(clean, duplicate_pairs(clean, pairs, settings.near_duplicate))
    return Cleaned(
        rows=clean,
        kept=kept,
        pairs=pairs,
        given_split=given,
        duplicates=tuple(duplicates),
        scores=_scored([clean[place] for place in kept]),
        pii=pii,
    )


def prepare_rows(rows: Iterable[Row], settings: Settings) -> Prepared:
    """All steps.

    Raises:
        DataError: no row can be used, or what is left cannot be split.
        GateError: the rows have a `split` of their own, and it leaks; or a frozen folder was changed.
        MissingExtraError: an optional package is not installed.
    """
    checked, rejected = check_rows(rows, settings)
    if not checked:
        first = f" The first: {rejected[0]}" if rejected else ""
        raise DataError(f"none of {len(rejected)} rows can be used.{first}")
    cleaned = clean_rows(checked, settings)
    split = _split(cleaned, settings)
    splits, low = _chosen(cleaned, split, settings)
    _check_left(splits, cleaned.scores, settings)
    counts = {
        "rows read": len(checked) + len(rejected),
        "rejected": len(rejected),
        "near-duplicates left out": len(cleaned.duplicates),
        "left out to keep time order": split.names.count(None),
        f"training rows below quality {settings.min_quality_score}": low,
        **{f"rows for {name}": len(found) for name, found in splits.items()},
    }
    return Prepared(
        splits=splits,
        split=split,
        given_split=cleaned.given_split is not None,
        rejected=tuple(rejected),
        duplicates=cleaned.duplicates,
        scored=tuple((score, parts) for score, parts in cleaned.scores if score is not None),
        pii=cleaned.pii,
        counts=counts,
    )


def with_quality(row: dict[str, Any], score: float | None, parts: dict[str, float]) -> dict[str, Any]:
    """The row with its score and what it is made of, where it has one."""
    extra = {} if score is None else {"quality_score": score, "quality_parts": parts}
    return {key: value for key, value in row.items() if key != "split"} | extra


def _chosen(
    cleaned: Cleaned, split: Split, settings: Settings
) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """Rows by split, and how many training rows were not good enough."""
    splits: dict[str, list[dict[str, Any]]] = {name: [] for name in SPLITS}
    low = 0
    for place, name, (score, parts) in zip(cleaned.kept, split.names, cleaned.scores, strict=True):
        if name == "train" and score is not None and score < settings.min_quality_score:
            low += 1
        elif name is not None:
            splits[name].append(with_quality(cleaned.rows[place], score, parts))
    return splits, low


def _check_columns(row: Row) -> None:
    split, reply = row.value.get("split"), row.value.get("reply")
    if not is_missing(split) and split not in SPLITS:
        raise DataError(f"{row.where}: `split` is {described(split)}; use one of {', '.join(SPLITS)}.")
    if reply is not None and not (isinstance(reply, str) and reply.strip()):
        raise DataError(f"{row.where}: `reply` is {described(reply)}; give the text of the agent's reply.")


def _time(row: Row) -> dict[str, str]:
    """`time` in UTC, so that times can be compared as texts; nothing where the row has none."""
    value = row.value.get("time")
    if is_missing(value):
        return {}
    found = utc_time(value)
    if not found:
        raise DataError(
            f"{row.where}: `time` cannot be read ({described(value)}); write it as ISO 8601, such as "
            "2026-01-31T10:00:00Z, or as seconds since 1970, or leave it out of all rows."
        )
    return {"time": found}


def _detectors(settings: Settings) -> list[Any]:
    if not settings.presidio:
        return []
    from stateset.rl.data.pii.presidio import presidio_detector

    return [presidio_detector()]


def _given_split(rows: Sequence[dict[str, Any]]) -> list[str] | None:
    given = [row.get("split") for row in rows]
    if all(is_missing(name) for name in given):
        return None
    missing = [row["id"] for row in rows if is_missing(row.get("split"))]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(rows)} rows have no `split`, such as {missing[0]}: give it to every "
            "row, or leave the column out."
        )
    return [str(name) for name in given]


def _without_duplicates(
    rows: Sequence[dict[str, Any]], pairs: Sequence[Pair]
) -> tuple[list[int], list[Duplicate]]:
    """Places of rows that are kept: the first of those whose prompts are nearly the same in other threads.

    A later row of the same thread repeats the conversation so far and is no duplicate.
    """
    instead: dict[int, tuple[int, float]] = {}
    for first, second, similarity in sorted(pairs, key=lambda pair: (pair.second, pair.first)):
        if first in instead and similarity == 1.0:  # the text of a row that was left out
            first, similarity = instead[first]
        if second not in instead and first not in instead and not _same_thread(rows[first], rows[second]):
            instead[second] = (first, similarity)
    duplicates = [
        Duplicate(rows[place]["id"], rows[other]["id"], similarity)
        for place, (other, similarity) in sorted(instead.items())
    ]
    return [place for place in range(len(rows)) if place not in instead], duplicates


def _same_thread(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return not is_missing(one.get("thread")) and one.get("thread") == other.get("thread")


def _split(cleaned: Cleaned, settings: Settings) -> Split:
    """Of the kept rows; a row that was left out still links the threads that it belongs to."""
    rows, kept, given = cleaned.rows, cleaned.kept, cleaned.given_split
    groups = components(rows, settings.by, [(pair.first, pair.second) for pair in cleaned.pairs])
    if given is not None:
        names = tuple(given[place] for place in kept)
        return Split(names=names, by_time=False, groups=len(groups), largest_group=max(map(len, groups)))
    place_of = {place: number for number, place in enumerate(kept)}
    linked = []
    for group in groups:
        there = [place_of[place] for place in group if place in place_of]
        linked += [(there[0], other) for other in there[1:]]
    chosen = [rows[place] for place in kept]
    split = make_split(
        chosen,
        by=settings.by,
        links=linked,
        validation_share=settings.validation_share,
        test_share=settings.test_share,
        seed=settings.seed,
    )
    refuse_leaks(find_leaks(chosen, split.names, by=settings.by, links=linked), chosen, split.names)
    return split


def _scored(rows: Sequence[dict[str, Any]]) -> list[Scored]:
    scored: list[Scored] = []
    for row, text_parts in zip(rows, text_quality(rows), strict=True):
        score = quality_score(row, str(row["id"]), text_parts)
        scored.append((None, {}) if score is None else (round(score, 4), quality_parts(row) | text_parts))
    return scored


def _check_left(
    splits: dict[str, list[dict[str, Any]]], scores: Sequence[Scored], settings: Settings
) -> None:
    known = [score for score, _ in scores if score is not None]
    if settings.min_quality_score > 0 and len(known) < len(scores):
        raise DataError(
            f"{len(scores) - len(known)} of {len(scores)} rows have no quality: give `resolved`, "
            "`satisfaction` (1 to 5) or `reopened`, or leave out min_quality_score."
        )
    if not splits["train"]:
        best = f"; the best score is {max(known):.2f}" if known else ""
        raise DataError(
            f"no training row reaches min_quality_score {settings.min_quality_score}{best}. Lower it."
        )
