"""Reports as one HTML file each: nothing is loaded, nothing runs, and texts are only texts.

Responses come from models and data, so every text is escaped, and the page's own policy forbids scripts and
requests should anything slip through. Pictures are inline SVG, which takes its colours from the page and
follows light and dark; no plotting library, and no font.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from html import escape
from string import Template
from typing import NamedTuple

WIDTH = 460  # of a picture
LEFT, RIGHT, BOTTOM = 44, 12, 40  # its margins
HEIGHT = 240  # of its area
_CLOSE = 1e-9  # values nearer to each other than this share of their size are one value
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
.pass { color: var(--pass); } .warn { color: var(--warn); } .fail { color: var(--fail); }
dl { display: grid; grid-template-columns: fit-content(40%) 1fr; gap: .15rem 1rem; margin: 1rem 0; }
dt { color: var(--soft); } dd { margin: 0; }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
td, th { text-align: left; vertical-align: top; padding: .35rem 1.2rem .35rem 0; overflow-wrap: break-word; }
th { color: var(--soft); font-weight: 400; } tbody tr { border-top: 1px solid var(--grid); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code, .said { display: block; margin-top: .35rem; padding: .4rem .6rem; border-radius: 4px;
  background: var(--card); white-space: pre-wrap; }
code { font: .85rem/1.45 ui-monospace, monospace; }
.plots { columns: 22rem 2; column-gap: 1rem; }
figure { margin: 0 0 1rem; padding: 1rem; border-radius: 6px; background: var(--card); break-inside: avoid; }
figcaption { font-weight: 700; } figure p { margin: .15rem 0 .75rem; color: var(--soft); font-size: .88rem; }
svg { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); } .grid { stroke: var(--grid); }
.mark { stroke: var(--ink); stroke-dasharray: 4 3; } .whisker { stroke: var(--ink); stroke-width: 2; }
.c0 { fill: var(--c0); } .c1 { fill: var(--c1); } .c2 { fill: var(--c2); } .c3 { fill: var(--c3); }
.c4 { fill: var(--c4); } circle { fill-opacity: .6; }
.key { margin-right: .9rem; display: inline-block; }
.key::before { content: ""; display: inline-block; width: .75em; height: .75em; margin-right: .4em;
  border-radius: 2px; background: var(--c0); }
.k1::before { background: var(--c1); } .k2::before { background: var(--c2); }
.k3::before { background: var(--c3); } .k4::before { background: var(--c4); }
footer { margin-top: 2rem; color: var(--soft); font-size: .88rem; }
$style</style>
</head>
<body>
<h1>$title</h1>
$body
<footer>$footer This page is one file; it loads nothing.</footer>
</body>
</html>
"""
)


class Picture(NamedTuple):
    """A picture with its title and, as markup, a sentence that says how to read it."""

    title: str
    reading: str
    svg: str


class Scale(NamedTuple):
    """From values to places on the page."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Three to six round numbers."""
        span = self.high - self.low
        step = 10.0 ** math.floor(math.log10(span))
        step *= next(part for part in (0.2, 0.5, 1.0, 2.0) if span / (part * step) < 6.5)
        first = math.ceil(self.low / step - 1e-9)
        return [step * n for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def around(values: Iterable[float], start: float, end: float) -> Scale:
    """A scale with some space around the values; a single value stands in the middle."""
    every = [float(value) for value in values]
    low, high = min(every, default=0.0), max(every, default=1.0)
    size = max(1.0, abs(low))
    space = 0.05 * (high - low) if high - low > _CLOSE * size else 0.5 * size
    return Scale(low - space, high + space, start, end)


def page(title: str, body: str, *, footer: str, style: str = "") -> str:
    """The file.

    Args:
        title: plain text.
        body: markup.
        footer: markup, sentences.
        style: CSS of this report alone.
    """
    return _PAGE.substitute(title=escape(title), body=body, footer=footer, style=style)


def facts(named: Iterable[tuple[str, str]]) -> str:
    """Names and values, plain text, as a list."""
    return f"<dl>{''.join(f'<dt>{escape(k)}</dt><dd>{escape(v)}</dd>' for k, v in named)}</dl>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = ()) -> str:
    """Cells are plain text; columns in `numbers` stand to the right."""

    def cells(row: Sequence[str], tag: str) -> str:
        kinds = (' class="number"' if place in numbers else "" for place in range(len(row)))
        return "".join(f"<{tag}{kind}>{escape(text)}</{tag}>" for kind, text in zip(kinds, row, strict=True))

    lines = "\n".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    inner = f"<thead><tr>{cells(head, 'th')}</tr></thead><tbody>\n{lines}\n</tbody>"
    return f'<div class="wide"><table>{inner}</table></div>'


def figures(pictures: Iterable[Picture]) -> str:
    """Pictures in two columns, where there is room."""
    each = (
        f"<figure><figcaption>{escape(one.title)}</figcaption><p>{one.reading}</p>\n{one.svg}\n</figure>"
        for one in pictures
    )
    return '<div class="plots">\n' + "\n".join(each) + "\n</div>"


def keys(names: Iterable[str]) -> str:
    """The legend, as markup: a coloured square before each name; an empty name only takes its colour."""
    return " ".join(f'<span class="key k{n}">{escape(name)}</span>' for n, name in enumerate(names) if name)


def svg(lines: Sequence[str], height: float, said: str) -> str:
    """A picture; `said` is read to who cannot see it."""
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(said)}">'
    return "\n".join([head, *lines, "</svg>"])


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A line of the class `kind`."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text(x: float, y: float, said: str, anchor: str = "middle") -> str:
    """Plain text; `anchor` is start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def bar(x: float, y: float, width: float, height: float, colour: int, said: str) -> str:
    """A bar; `said` is shown over it."""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="c{colour}" {size}><title>{escape(said)}</title></rect>'


def dot(x: float, y: float, colour: int, said: str = "", radius: float = 3) -> str:
    """A point; `said` is shown over it."""
    title = f"<title>{escape(said)}</title>" if said else ""
    return f'<circle class="c{colour}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">{title}</circle>'


def ticks_below(x: Scale, top: float, bottom: float, *, percent: bool = False) -> str:
    """Grid lines with their values below."""
    return "".join(
        line(x.at(tick), top, x.at(tick), bottom, "grid")
        + text(x.at(tick), bottom + 17, f"{tick:.0%}" if percent else f"{tick:.4g}")
        for tick in x.ticks()
    )


def ticks_beside(y: Scale, *, percent: bool = False) -> Iterator[str]:
    """Grid lines with their values beside."""
    for tick in y.ticks():
        yield line(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick), "grid")
        yield text(LEFT - 6, y.at(tick) + 4, f"{tick:.0%}" if percent else f"{tick:.4g}", "end")
