"""The report of `reward check` as one HTML file: nothing is loaded, nothing runs, texts are only texts.

Responses come from models and data, so all text is escaped, and the page's own policy forbids scripts and
requests should anything slip through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from string import Template

from stateset.rl.rewards.check import Finding, Trial, verdict
from stateset.rl.rewards.check_plots import Plot, plots

_MARKS = {"pass": "✓ pass", "warn": "! warn", "fail": "✗ fail"}
_SAID = {
    "pass": "No check refuses this reward.",
    "warn": "No check refuses this reward, but look at the warnings.",
    "fail": "Do not train with this reward yet: the failed checks say why.",
}
_ORDER = ("fail", "warn", "pass")
_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { --page: #ffffff; --card: #f6f7f8; --ink: #222222; --soft: #5c5c5c; --grid: #dddddd;
  --c0: #0072b2; --c1: #d55e00; --c2: #a05080; --c3: #8a8a8a; --c4: #56b4e9;
  --pass: #00734f; --warn: #8f5a00; --fail: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181b; --card: #1f2226; --ink: #e8e8e8; --soft: #a8adb3; --grid: #3a3f45;
    --c0: #56b4e9; --c1: #e69f00; --c2: #cc79a7; --c3: #9a9a9a; --c4: #009e73;
    --pass: #4cc9a0; --warn: #f0b64a; --fail: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 62rem; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.verdict { font-weight: 700; white-space: nowrap; }
.verdict.pass { color: var(--pass); } .verdict.warn { color: var(--warn); }
.verdict.fail { color: var(--fail); }
dl { display: grid; grid-template-columns: fit-content(40%) 1fr; gap: .15rem 1rem; margin: 1rem 0; }
dt { color: var(--soft); } dd { margin: 0; }
table { width: 100%; border-collapse: collapse; table-layout: fixed; }
th:first-child { width: 5rem; } th:nth-child(2) { width: 13rem; }
td, th { text-align: left; vertical-align: top; padding: .45rem .9rem .45rem 0; }
th { color: var(--soft); font-weight: 400; } tbody tr { border-top: 1px solid var(--grid); }
code { display: block; margin-top: .35rem; padding: .4rem .6rem; border-radius: 4px; background: var(--card);
  font: .85rem/1.45 ui-monospace, monospace; white-space: pre-wrap; }
.plots { columns: 22rem 2; column-gap: 1rem; }
figure { margin: 0 0 1rem; padding: 1rem; border-radius: 6px; background: var(--card); break-inside: avoid; }
figcaption { font-weight: 700; } figure p { margin: .15rem 0 .75rem; color: var(--soft); font-size: .88rem; }
svg { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); } .grid { stroke: var(--grid); }
.mark { stroke: var(--soft); stroke-dasharray: 4 3; }
.point { fill: var(--c0); fill-opacity: .6; }
path { fill: none; stroke-width: 2; } path.plain { stroke: var(--ink); }
path.pass { stroke: var(--pass); fill: var(--pass); } path.warn { stroke: var(--warn); fill: var(--warn); }
path.fail { stroke: var(--fail); stroke-width: 3; }
.c0 { fill: var(--c0); } .c1 { fill: var(--c1); } .c2 { fill: var(--c2); } .c3 { fill: var(--c3); }
.c4 { fill: var(--c4); }
.key { margin-right: .9rem; display: inline-block; }
.key::before { content: ""; display: inline-block; width: .75em; height: .75em; margin-right: .4em;
  border-radius: 2px; background: var(--c0); }
.k1::before { background: var(--c1); } .k2::before { background: var(--c2); }
.k3::before { background: var(--c3); } .k4::before { background: var(--c4); }
footer { margin-top: 2rem; color: var(--soft); font-size: .88rem; }
@media (max-width: 36rem) {
  thead { display: none; } tr { display: block; padding: .5rem 0; } td { display: block; padding: .1rem 0; }
  td.verdict, td.name { display: inline; margin-right: .5rem; } }
</style>
</head>
<body>
<h1>$title</h1>
<p><span class="verdict $verdict">$mark</span>: $said</p>
<dl>$facts</dl>
$tables
<h2>Pictures</h2>
<div class="plots">
$figures
</div>
<footer>Limits and their sources: docs/reward-check.md. This page is one file; it loads nothing.</footer>
</body>
</html>
"""
)


def report(trials: Sequence[Trial], title: str, facts: Mapping[str, str]) -> str:
    """The page.

    Args:
        trials: what was tried.
        title: plain text, as are the names and values of `facts`, which stand below it.
        facts: what was looked at.
    """
    worst = verdict([finding for trial in trials for finding in trial.findings])
    return _PAGE.substitute(
        title=escape(title),
        verdict=worst,
        mark=_MARKS[worst],
        said=_SAID[worst],
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()),
        tables="\n".join(map(_table, trials)),
        figures="\n".join(map(_figure, plots(trials))),
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


def _figure(plot: Plot) -> str:
    return (
        f"<figure><figcaption>{escape(plot.title)}</figcaption><p>{plot.reading}</p>\n{plot.svg}\n</figure>"
    )
