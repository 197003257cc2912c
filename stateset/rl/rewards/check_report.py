"""The report of `reward check` as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from stateset.rl.page import facts, figures, page
from stateset.rl.rewards.check import Finding, Trial, verdict
from stateset.rl.rewards.check_plots import plots

_MARKS = {"pass": "✓ pass", "warn": "! warn", "fail": "✗ fail"}
_SAID = {
    "pass": "No check refuses this reward.",
    "warn": "No check refuses this reward, but look at the warnings.",
    "fail": "Do not train with this reward yet: the failed checks say why.",
}
_ORDER = ("fail", "warn", "pass")
_STYLE = """table { width: 100%; table-layout: fixed; }
th:first-child { width: 5rem; } th:nth-child(2) { width: 13rem; }
.verdict { font-weight: 700; white-space: nowrap; }
path { fill: none; stroke-width: 2; } path.plain { stroke: var(--ink); }
path.pass { stroke: var(--pass); fill: var(--pass); } path.warn { stroke: var(--warn); fill: var(--warn); }
path.fail { stroke: var(--fail); stroke-width: 3; }
@media (max-width: 36rem) {
  thead { display: none; } tr { display: block; padding: .5rem 0; } td { display: block; padding: .1rem 0; }
  td.verdict, td.name { display: inline; margin-right: .5rem; } }
"""


def report(trials: Sequence[Trial], title: str, given: Mapping[str, str]) -> str:
    """The page.

    Args:
        trials: what was tried.
        title: plain text, as are the names and values of `given`, which stand below it.
        given: what was looked at.
    """
    worst = verdict([finding for trial in trials for finding in trial.findings])
    body = [
        f'<p><span class="verdict {worst}">{_MARKS[worst]}</span>: {_SAID[worst]}</p>',
        facts(given.items()),
    ]
    body += [*map(_table, trials), "<h2>Pictures</h2>", figures(plots(trials))]
    return page(
        title, "\n".join(body), footer="Limits and their sources: docs/reward-check.md.", style=_STYLE
    )


def _table(trial: Trial) -> str:
    """The checks of one trial, the worst first."""
    rows = "\n".join(_row(one) for one in sorted(trial.findings, key=lambda one: _ORDER.index(one.verdict)))
    head = "<thead><tr><th>verdict</th><th>check</th><th>found</th></tr></thead>"
    return f"<h2>On {escape(trial.on)}</h2>\n<table>{head}<tbody>\n{rows}\n</tbody></table>"


def _row(finding: Finding) -> str:
    example = f"<code>{escape(finding.example)}</code>" if finding.example else ""
    return (
        f'<tr><td class="verdict {finding.verdict}">{_MARKS[finding.verdict]}</td>'
        f'<td class="name">{escape(finding.name)}</td><td>{escape(finding.said)}{example}</td></tr>'
    )
