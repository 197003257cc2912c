"""What training changed, as one HTML file: tables, pictures, and both models' answers side by side."""

from __future__ import annotations

from html import escape

from stateset.rl.evaluation.improvement import Improvement, Pair
from stateset.rl.evaluation.improvement_plots import improvement_plots
from stateset.rl.evaluation.improvement_report import grids, summary
from stateset.rl.evaluation.record import SUCCESS, Row
from stateset.rl.page import facts, figures, page, table

_MOST = 60  # answers side by side
_STYLE = """.both { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1rem; }
.both h4 { margin: .5rem 0 0; font-size: .88rem; font-weight: 400; }
details { border-top: 1px solid var(--grid); padding: .5rem 0; } summary { cursor: pointer; }
@media (max-width: 36rem) { .both { grid-template-columns: 1fr; } }
"""


def improvement_page(found: Improvement) -> str:
    """The file; answers that got worse come first, those that got better next."""
    record = found.record
    body = ["<ul>", *(f"<li>{escape(one)}</li>" for one in summary(found)), "</ul>", "<h2>Pictures</h2>"]
    body.append(figures(improvement_plots(found)))
    for grid in grids(found):
        numbers = set(range(len(grid.head))) - set(grid.words)
        body += [f"<h2>{escape(grid.title)}</h2>", table(grid.head, grid.rows, numbers)]
    body += ["<h2>What the metrics are</h2>", facts(record.definitions.items()), *_answers(found)]
    return page(
        f"{record.trained} against {record.baseline}", "\n".join(body),
        footer="What is measured, and how sure it is: docs/evaluation.md.", style=_STYLE,
    )  # fmt: skip


def _answers(found: Improvement) -> list[str]:
    pairs = sorted(zip(found.record.rows, found.answers, strict=True), key=lambda pair: _interest(pair[0]))
    shown = f"the first {_MOST} of {len(pairs)}; all of them: answers.jsonl"
    more = shown if len(pairs) > _MOST else f"all {len(pairs)}"
    title = (
        f"<h2>Answers before and after</h2><p>Worse ones first, then better ones, then the rest; {more}.</p>"
    )
    return [title, *(_side_by_side(row, pair) for row, pair in pairs[:_MOST])]


def _interest(row: Row) -> tuple[int, float]:
    """Worse, better, equal; the largest change first."""
    change = row.change(SUCCESS)
    return 0 if change < 0 else 1 if change > 0 else 2, -abs(change)


def _side_by_side(row: Row, pair: Pair) -> str:
    arms = (("before", row.before[SUCCESS], pair.before), ("after", row.after[SUCCESS], pair.after))
    columns = "".join(
        f'<div><h4>{name}: {_mark(value)}</h4><div class="said">{escape(answer) or "&nbsp;"}</div></div>'
        for name, value, answer in arms
    )
    named = ", ".join((row.task_id, *row.slices.values()))
    is_open = " open" if row.change(SUCCESS) else ""
    head = f"<summary>{escape(named)}: {_mark(row.before[SUCCESS])} → {_mark(row.after[SUCCESS])}</summary>"
    asked = f'<div class="said">{escape(pair.prompt)}</div>'
    return f'<details{is_open}>{head}{asked}<div class="both">{columns}</div></details>'


def _mark(value: float | None) -> str:
    if value is None:
        return "not judged"
    if value in (0, 1):
        return '<span class="pass">✓ right</span>' if value else '<span class="fail">✗ wrong</span>'
    return f"right in {value:.0%} of samples"
