"""What training changed, as tables: on a terminal, and as Markdown with the worst regressions as text."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.text import Text

from stateset.rl.evaluation.improvement import Improvement, SliceChange
from stateset.rl.evaluation.metrics import HEADLINES
from stateset.rl.evaluation.record import SIDES, SUCCESS, Record
from stateset.rl.evaluation.statistics import FEW_CLUSTERS, effective_clusters
from stateset.rl.evaluation.tables import Grid, markdown_grid, rich_grid


def print_improvement(found: Improvement, console: Console) -> None:
    """The tables on a terminal."""
    console.print(Text(f"{found.record.trained} against {found.record.baseline}"))
    for line in summary(found):
        console.print(Text(line))
    for grid in grids(found):
        console.print()
        console.print(Text(grid.title, style="bold"))
        console.print(rich_grid(grid))


def improvement_markdown(found: Improvement, regressions: int = 20) -> str:
    """The same as Markdown, with what each metric is, and the tasks that got worse."""
    record = found.record
    blocks = [
        f"# {record.trained} against {record.baseline}",
        "\n".join(f"- {one}" for one in summary(found)),
    ]
    blocks += [markdown_grid(grid) for grid in grids(found)]
    blocks.append("\n".join(f"- **{name}**: {said}" for name, said in record.definitions.items()))
    worse = found.regressions(regressions)
    blocks.append(
        f"**What got worse** ({len(worse)} tasks, the worst first)" if worse else "No task got worse."
    )
    for pair in worse:
        blocks.append(
            f"*{pair.task_id}*\n\n{_quoted(pair.prompt)}\n\nbefore:\n\n{_quoted(pair.before)}\n\nafter:\n\n"
            + _quoted(pair.after)
        )
    return "\n\n".join(blocks) + "\n"


def summary(found: Improvement) -> list[str]:
    """Size, wins and losses, what could be seen, and what speaks against the numbers; a sentence each."""
    record, tally = found.record, found.tally
    clusters = record.clusters
    sizes = [clusters.count(one) for one in set(clusters)]
    lines = [
        f"{len(record.rows)} tasks in {len(sizes)} clusters; 95 % intervals, bootstrap over clusters",
        f"{tally.wins} tasks better, {tally.ties} the same, {tally.losses} worse, by success; "
        f"McNemar's p, each task for itself: {found.mcnemar.p_value:.3g}",
        f"4 of 5 such tests would show a true change of success by {100 * found.smallest_effect:.1f} points",
    ]
    lines += [*_judged(record), *_latency(record)]
    if record.probes:
        kept, lost = record.probes_kept, record.probes_lost
        lines.append(
            f"{len(record.probes)} general questions: {len(kept)} still right, {len(lost)} no longer "
            f"({', '.join(lost) or 'none'})"
        )
    if record.secrets:
        lines.append(f"planted secrets said: {', '.join(record.said) or 'none'} of {record.secrets}")
    if effective_clusters(sizes) < FEW_CLUSTERS:
        lines.append(
            f"the clusters are worth {effective_clusters(sizes):.0f} of equal size; below {FEW_CLUSTERS} the "
            "intervals are not vouched for"
        )
    if record.overlap:
        lines.append(f"{len(record.overlap)} of the tasks were trained on: the numbers prove nothing")
    if record.training_rows is None:
        lines.append("nobody looked whether the tasks were trained on")
    return lines


def _judged(record: Record) -> Iterator[str]:
    judge = record.judge_errors
    if judge is not None:
        before, after = (float(np.nanmean(record.column(SUCCESS, side))) for side in SIDES)
        yield (
            f"success is corrected for its judge, who passes {judge.tpr:.0%} of {judge.num_right} right "
            f"answers and refuses {judge.tnr:.0%} of {judge.num_wrong} wrong ones; the judge itself passed "
            f"{before:.1%} before and {after:.1%} after; wins, tests and slices are the judge's own"
        )


def _latency(record: Record) -> Iterator[str]:
    sides = (record.seconds.before, record.seconds.after)
    if all(sides):
        before, after = (
            f"{np.quantile(one, 0.5):.2f} in the middle, {np.quantile(one, 0.95):.2f} at the 95th percentile"
            for one in sides
        )
        yield (
            f"seconds of an answer on this machine, one at a time, {len(sides[0])} of each: before {before}; "
            f"after {after}"
        )


def grids(found: Improvement) -> list[Grid]:
    """All metrics, then success by each kind of slice."""
    return [_metrics(found), *(_slices(found, kind) for kind in found.record.kinds)]


def _metrics(found: Improvement) -> Grid:
    metrics = sorted(found.record.metrics, key=lambda name: (name not in HEADLINES, name.startswith("pass")))
    return Grid(
        title="What changed",
        head=("metric", "before", "after", "change", "95 % interval"),
        rows=tuple(_metric(found, metric) for metric in metrics),
    )


def _metric(found: Improvement, metric: str) -> tuple[str, ...]:
    change = found.difference(metric)
    before, after = (found.level(metric, after=side).mean for side in (False, True))
    interval = f"[{change.low:+.3f}, {change.high:+.3f}]"
    return metric, f"{before:.3f}", f"{after:.3f}", f"{change.mean:+.3f}", interval


def _slices(found: Improvement, kind: str) -> Grid:
    return Grid(
        title=f"{SUCCESS} by {kind}; p of no change, Holm's over the rows of this table",
        head=(kind, "tasks", "before", "after", "change", "p"),
        rows=tuple(map(_slice, found.slices(kind))),
    )


def _slice(one: SliceChange) -> tuple[str, ...]:
    p_value = "one cluster" if math.isnan(one.p_value) else f"{one.p_value:.3f}"
    change = f"{100 * (one.after - one.before):+.1f}"
    return one.value, str(one.num_rows), f"{one.before:.1%}", f"{one.after:.1%}", change, p_value


def _quoted(text: str) -> str:
    """A Markdown quotation; what is in it makes no headings, tags or lists."""
    lines = text.replace("\\", "\\\\").replace("<", "&lt;").splitlines() or [""]
    return "\n".join(f"> {line}  " for line in lines)
