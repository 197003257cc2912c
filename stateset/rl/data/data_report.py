"""The report of a prepared folder as one HTML file, which shows no text of a ticket.

What a careful reader asks of a data set: where did rows go and why, what counts as good, is personal data
out, and can the test set be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from statistics import fmean

from stateset.rl.data.data_plots import bars, histogram, timeline
from stateset.rl.data.preparation import Prepared, Settings
from stateset.rl.data.split import SPLITS
from stateset.rl.page import Picture, figures, page, table

_SHOWN = 20
_LARGE_GROUP = 0.2


def report_page(prepared: Prepared, settings: Settings, title: str) -> str:
    """The page; all that comes from the rows is escaped."""
    read, kept = prepared.counts["rows read"], sum(map(len, prepared.splits.values()))
    notes = "".join(f"<li>{escape(note)}</li>" for note in remarks(prepared, settings))
    body = [
        f"<p>{read} rows read, {kept} rows prepared.</p>",
        f"<ul>{notes}</ul>" if notes else "",
        "<h2>The splits</h2>",
        table(("split", "rows", "first reply", "last reply"), split_lines(prepared), numbers={1}),
        "<h2>Pictures</h2>",
        figures(_pictures(prepared, settings)),
        *_left_out(prepared),
    ]
    return page(title, "\n".join(body), footer="What each step does and does not do: docs/data.md.")


def split_lines(prepared: Prepared) -> list[tuple[str, str, str, str]]:
    """Name, rows, and the days of the first and last reply of each split."""
    lines = []
    for name in SPLITS:
        rows = prepared.splits[name]
        days = sorted(str(row["time"])[:10] for row in rows if row.get("time"))
        lines.append((name, str(len(rows)), days[0] if days else "-", days[-1] if days else "-"))
    return lines


def remarks(prepared: Prepared, settings: Settings) -> Iterator[str]:
    """What should be known before these rows are trusted."""
    split = prepared.split
    if prepared.given_split:
        yield "The split is the one that the rows came with; it was checked for leaks, not for time."
    elif split.by_time:
        yield f"Split by {settings.by} and by time: train was answered before validation, that before test."
    else:
        yield f"Split by {settings.by}, in an order of seed {settings.seed}: not every row has a time."
    rows = sum(name is not None for name in split.names)
    if not prepared.given_split and split.largest_group > max(1, _LARGE_GROUP * rows):
        yield (
            f"{split.largest_group} of {rows} rows belong together by {settings.by}, thread or text and stay "
            "in one split, so shares may be far from those asked for. Another --by may make smaller groups."
        )
    unknown = rows - len(prepared.scored)
    if unknown > 0 and not prepared.scored:
        yield "No row has an outcome (resolved, satisfaction, reopened), so there is no quality score."
    if settings.min_quality_score > 0:
        yield (
            f"Only training rows had to reach quality {settings.min_quality_score}: validation and test stay "
            "as customers wrote them."
        )
    if not settings.presidio:
        yield (
            "Personal data: names that the export knows, and patterns. A name that only the text knows "
            "stays; presidio (the extra pii) looks for those."
        )


def _pictures(prepared: Prepared, settings: Settings) -> Iterator[Picture]:
    yield bars(
        "Where the rows went", "Every row read is in one of these.", dict(list(prepared.counts.items())[1:])
    )
    if prepared.scored:
        mark = settings.min_quality_score or None
        said = "All rows with an outcome, before the filter" + (
            "; the line is the least score." if mark else "."
        )
        yield histogram("Quality", said, [score for score, _ in prepared.scored], mark)
        names = list(dict.fromkeys(name for _, parts in prepared.scored for name in parts))
        means = {
            name: round(fmean(parts[name] for _, parts in prepared.scored if name in parts), 4)
            for name in names
        }
        yield bars("Parts of the quality score", "Means, from 0 (bad) to 1 (good).", means, percent=True)
    if prepared.pii:
        found = dict(prepared.pii.most_common())
        yield bars("Personal data replaced", "Finds by kind, over all prompts and replies.", found)
    times = {
        name: [str(row["time"]) for row in rows if row.get("time")] for name, rows in prepared.splits.items()
    }
    if any(times.values()):
        yield timeline("Replies over time", "Rows by the day of the reply.", times)


def _left_out(prepared: Prepared) -> Iterator[str]:
    if prepared.rejected:
        lines = [(one.place, one.reason) for one in prepared.rejected[:_SHOWN]]
        yield _head("Rejected rows", len(prepared.rejected), "rejected.jsonl")
        yield table(("where", "reason"), lines)
    if prepared.duplicates:
        pairs = [(one.id, one.of, f"{one.similarity:.0%}") for one in prepared.duplicates[:_SHOWN]]
        yield _head("Near-duplicates left out", len(prepared.duplicates), "duplicates.jsonl")
        yield table(("row", "nearly the same as", "alike"), pairs)


def _head(title: str, number: int, file: str) -> str:
    more = f", the first {_SHOWN} of {number}" if number > _SHOWN else ""
    return f"<h2>{title}{more}</h2><p>All of them: {file}</p>"
