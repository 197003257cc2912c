"""What training changed, as tables: on a terminal, and as Markdown with the worst regressions as text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.text import Text

from stateset.rl.evaluation.improvement import Improvement, SliceChange
from stateset.rl.evaluation.metrics import HEADLINES
from stateset.rl.evaluation.record import SUCCESS, Record
from stateset.rl.evaluation.statistics import FEW_CLUSTERS, effective_clusters
from stateset.rl.evaluation.tables import Grid, markdown_grid, rich_grid

_NOTHING = 1e-6  # points; what sums leave of a spread that is none


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
    shown = f"the worst {len(worse)} of {found.tally.losses} tasks"
    blocks.append(f"**What got worse** ({shown})" if worse else "No task got worse.")
    for pair in worse:
        blocks.append(
            f"*{pair.task_id}*\n\n{_quoted(pair.prompt)}\n\nbefore:\n\n{_quoted(pair.before)}\n\nafter:\n\n"
            + _quoted(pair.after)
        )
    return "\n\n".join(blocks) + "\n"


def summary(found: Improvement) -> list[str]:
    """Size, wins and losses, what could be seen, and what speaks against the numbers; a sentence each."""
    record, tally = found.record, found.tally
    sizes = list(Counter(record.clusters).values())
    lines = [
        f"{len(record.rows)} tasks in {len(sizes)} clusters{_named(record)}; 95 % intervals, bootstrap over "
        "clusters",
        f"{tally.wins} tasks better, {tally.ties} the same, {tally.losses} worse, by success; "
        f"{_test(record)}, each task for itself: {found.mcnemar.p_value:.3g}",
    ]
    lines += [*_unjudged(found), _visible(found), *_judged(record), *_latency(record)]
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
    if record.alike:
        lines.append(f"{len(record.alike)} of the tasks nearly say what a training row says, numbers aside")
    if not record.training_rows:
        lines.append("nobody looked whether the tasks were trained on")
    return lines


def _named(record: Record) -> str:
    """What the clusters are."""
    if record.cluster_by is None:
        return ""
    if record.unclustered == len(record.rows):
        return " of equal prompts (no task names a template, customer or thread)"
    without = f" ({record.unclustered} tasks have none and go by prompt)" if record.unclustered else ""
    return f" by {record.cluster_by}{without}"


def _test(record: Record) -> str:
    several = any(name.startswith("pass@") for name in record.metrics)
    return "p of the sign test" if several else "McNemar's p"


def _unjudged(found: Improvement) -> Iterator[str]:
    if found.num_unjudged:
        yield (
            f"nobody could judge an answer, before or after, to {found.num_unjudged} of {len(found.answers)} "
            "tasks: they are left out of success, wins, tests and slices"
        )


def _visible(found: Improvement) -> str:
    points = 100 * found.smallest_effect
    if points < _NOTHING:
        return "all tasks changed alike, so that it cannot be told how large a change such a test would show"
    return f"4 of 5 such tests would show a true change of success by {points:.1f} points"


def _judged(record: Record) -> Iterator[str]:
    judge = record.judge_errors
    if judge is not None:
        before, after = map(np.mean, record.pairs(SUCCESS)[:2])
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
        head=(kind, "tasks", "clusters", "before", "after", "change", "p"),
        rows=tuple(map(_slice, found.slices(kind))),
    )


def _slice(one: SliceChange) -> tuple[str, ...]:
    p_value = "one cluster" if math.isnan(one.p_value) else f"{one.p_value:.3f}"
    counts, change = (str(one.num_rows), str(one.num_clusters)), f"{100 * (one.after - one.before):+.1f}"
    return one.value, *counts, f"{one.before:.1%}", f"{one.after:.1%}", change, p_value


def _quoted(text: str) -> str:
    """A Markdown quotation; what is in it makes no headings, tags or lists."""
    lines = text.replace("\\", "\\\\").replace("<", "&lt;").splitlines() or [""]
    return "\n".join(f"> {line}  " for line in lines)
