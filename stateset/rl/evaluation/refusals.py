"""Why an evaluation is no evidence, whatever its numbers: each reason says what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stateset.rl.evaluation.criteria import Criteria
from stateset.rl.evaluation.record import SUCCESS, Record

Refusal = Callable[[Record, Criteria, Sequence[str]], Iterator[str]]
_SHOWN = 3


def refusals(record: Record, criteria: Criteria, changed: Sequence[str]) -> list[str]:
    """Every reason; empty for an evaluation that counts.

    Args:
        record: the evaluation.
        criteria: its metrics are looked at, and its least sizes.
        changed: files that are no longer what they were when the evaluation was made.

    Raises:
        ConfigError: a metric or slice that the evaluation does not have.
    """
    return [reason for check in _CHECKS for reason in check(record, criteria, changed)]


def _missing(record: Record, criteria: Criteria, changed: Sequence[str]) -> Iterator[str]:
    """A number that is none: leaving the row out would hide what went wrong in it."""
    named = dict.fromkeys((*criteria.gains, *criteria.margins, *criteria.rates))
    metrics = [*named, SUCCESS] if criteria.slices and SUCCESS not in named else list(named)
    for metric in metrics:
        pairs = zip(record.column(metric, "before"), record.column(metric, "after"), strict=True)
        holes = [row.task_id for row, pair in zip(record.rows, pairs, strict=True) if not _finite(pair)]
        if holes:
            yield (
                f"{metric} is not a number for {len(holes)} of {len(record.rows)} rows ({_list(holes)}): "
                "find out why they could not be scored, and evaluate again"
            )


def _too_small(record: Record, criteria: Criteria, changed: Sequence[str]) -> Iterator[str]:
    rows, clusters = len(record.rows), len(set(record.clusters))
    if rows < criteria.min_rows:
        yield f"the test set has {rows} rows, fewer than min_rows {criteria.min_rows}: add tickets"
    if clusters < criteria.min_clusters:
        yield (
            f"the rows come from {clusters} clusters, fewer than min_clusters {criteria.min_clusters}: add "
            "tickets of other templates, customers or threads"
        )


def _unsliced(record: Record, criteria: Criteria, changed: Sequence[str]) -> Iterator[str]:
    """A row in no slice of a kind: nobody would see it fall."""
    for kind in criteria.slices:
        within = {row for rows in record.where(kind).values() for row in rows}
        outside = [row.task_id for index, row in enumerate(record.rows) if index not in within]
        if outside:
            yield (
                f"{len(outside)} of {len(record.rows)} rows have no `{kind}` ({_list(outside)}), so that no "
                f"slice would show them fall: give them one, or take {kind} out of `slices`"
            )


def _seen_before(record: Record, criteria: Criteria, changed: Sequence[str]) -> Iterator[str]:
    if not record.training_rows:
        yield (
            "nobody looked whether the test rows were trained on: compare with the training rows "
            "(--training-data FILE)"
        )
    if record.overlap:
        yield (
            f"{len(record.overlap)} of {len(record.rows)} test rows have a prompt of the training rows "
            f"({_list(record.overlap)}): take them out of one of the two, and evaluate again"
        )
    if record.alike and not criteria.near_duplicates:
        yield (
            f"{len(record.alike)} of {len(record.rows)} test rows nearly say what a training row says, "
            f"numbers aside ({_list(record.alike)}): take them out of one of the two, and evaluate again; "
            "where other numbers are another task, say `near_duplicates: true` in the criteria"
        )


def _changed(record: Record, criteria: Criteria, changed: Sequence[str]) -> Iterator[str]:
    if changed:
        yield (
            f"{len(changed)} files are not what was evaluated ({_list(changed)}): evaluate again, or put "
            "them back"
        )


def _unsafe(record: Record, criteria: Criteria, changed: Sequence[str]) -> Iterator[str]:
    unsafe = [tier for tier in record.sandboxes if tier.startswith("unsafe")]
    if unsafe:
        yield (
            f"code of the models ran without a sandbox ({unsafe[0]}), where it can forge its own verdict: "
            "evaluate with sandbox `linux`"
        )


def _uncalibrated(record: Record, criteria: Criteria, changed: Sequence[str]) -> Iterator[str]:
    for judge, problem in record.judges.items():
        if problem:
            yield f"the judge {judge} is not fit to judge: {problem}"


_CHECKS: tuple[Refusal, ...] = (
    _missing, _too_small, _unsliced, _seen_before, _changed, _unsafe, _uncalibrated,
)  # fmt: skip


def _finite(pair: tuple[float, float]) -> bool:
    return all(value == value for value in pair)


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
