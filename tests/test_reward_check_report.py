"""The page of `reward check`: nothing in it acts, nothing leaves it, and its pictures are right."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from test_data_prepare import rows_of, tickets
from test_improvement import improvement
from test_reward_check import scored

from stateset.rl.data.data_report import report_page
from stateset.rl.data.preparation import Settings, prepare_rows
from stateset.rl.evaluation.improvement_page import improvement_page
from stateset.rl.page import WIDTH, Scale
from stateset.rl.rewards.check import Finding, Probe, Trial
from stateset.rl.rewards.check_plots import distribution, lengths, probe_means, signal
from stateset.rl.rewards.check_report import report

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;$title"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Page(HTMLParser):
    """The tags, attributes and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def probed() -> Trial:
    probes = [
        Probe("right", [EVIL, "b"], [1.0, 1.0]),
        Probe("wrong", ["c", "d"], [0.0, 0.5]),
        Probe("empty", ["", ""], [0.75, 0.75]),
        Probe("blanks", [" ", " "], [None, None]),
    ]
    findings = [
        Finding(name="right above wrong", verdict="pass", said="1.000 and 0.250"),
        Finding(name="empty", verdict="fail", said=f"0.750 of 1.000 {EVIL}", example=f"0.750 for {EVIL}"),
    ]
    return Trial(on="probes", findings=findings, probes=probes)


def grouped() -> Trial:
    groups = scored([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0], [None, None]])
    return Trial(on=EVIL, findings=[], groups=groups)


def page() -> str:
    return report([probed(), grouped()], EVIL, {EVIL: EVIL})


def test_texts_from_outside_never_become_markup() -> None:
    found = Page(page())
    assert "script" not in found.tags
    assert "img" not in found.tags
    assert [name for name, _ in found.attributes if name.startswith("on")] == []
    assert found.text.count(EVIL) >= 6, "title, heading, fact and its name, sentence, example: as they are"


def test_the_page_names_nothing_to_load() -> None:
    text = page()
    assert {name for name, _ in Page(text).attributes} & {"src", "href", "srcset", "data", "action"} == set()
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text


def test_the_worst_comes_first_and_decides() -> None:
    text = page()
    assert text.index('<td class="verdict fail">') < text.index('<td class="verdict pass">')
    assert '<span class="verdict fail">✗ fail</span>' in text
    assert '<span class="verdict pass">' in report([grouped()], "t", {})


def test_pictures_are_well_formed_and_inside_their_frame() -> None:
    trial = grouped()
    for plot in (probe_means(probed()), signal(trial), lengths(trial), distribution({"a": [1.0, 2.0]}, "b")):
        tree = ElementTree.fromstring(plot.svg)
        assert all(0 <= float(mark.get("x", "0")) <= WIDTH for mark in tree.iter())


def test_means_stand_where_they_belong() -> None:
    svg = probe_means(probed()).svg
    places = [float(x) for x in re.findall(r'class="mark" x1="([\d.]+)"', svg)]
    assert places[0] > places[1], "right above wrong"
    assert "empty: 0.750" in svg
    assert 'class="fail"' in svg
    assert "blanks" not in svg, "scored by nothing"


def test_groups_are_counted_in_the_bar_and_its_legend() -> None:
    plot = signal(grouped())
    assert re.findall(r"<title>(.*?)</title>", plot.svg) == [
        "with signal: 1", "all at the highest score: 1", "all at the lowest: 2", "fewer than two scored: 1",
    ]  # fmt: skip
    assert "40% all at the lowest" in plot.reading
    assert "in between" not in plot.reading, "none is"


def test_lengths_and_scores_are_less_the_groups_mean() -> None:
    [group] = scored([[0.0, 1.0]], texts=["xx", "xxxx"])
    svg = lengths(Trial(on="g", findings=[], groups=[group])).svg
    (left, low), (right, high) = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)
    assert float(left) < float(right)
    assert float(low) > float(high), "the page grows downwards"
    assert ">-1<" in svg, "two characters and four: one less, one more than three"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3.0, 41.0, [0, 10, 20, 30, 40]),
        (0.1, 0.13, [0.1, 0.105, 0.11, 0.115, 0.12, 0.125, 0.13]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert Scale(low, high, 0, 1).ticks() == pytest.approx(ticks)


def test_scores_that_are_all_the_same_can_be_drawn() -> None:
    groups = scored([[0.5, 0.5]] * 2)
    assert "Length and score" in report([Trial(on="g", findings=[], groups=groups)], "t", {})
    odd = scored([[0.3, 1e17, math.inf]])
    for trial in (odd, scored([[0.3, 0.1 + 0.2]]), scored([[1e17, 1e17 + 16]])):
        assert "Scores of g" in report([Trial(on="g", findings=[], groups=trial)], "t", {})
    nothing = scored([[None, None]])
    assert "Length and score" in report([Trial(on="g", findings=[], groups=nothing)], "t", {})


def evaluation() -> str:
    return improvement_page(improvement([(0, 1), (1, 1), (1, 0), (0, 0)] * 3))


def prepared() -> str:
    return report_page(
        prepare_rows(rows_of(tickets(60)), Settings()), Settings(), "Prepared data: rows.jsonl"
    )


@pytest.mark.browser
@pytest.mark.parametrize("page", [page, evaluation, prepared], ids=["reward check", "evaluation", "data"])
def test_no_request_leaves_the_page(tmp_path: Path, page: Callable[[], str]) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium")
    file = tmp_path / "report.html"
    file.write_text(page())
    asked: list[str] = []
    said: list[str] = []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=list(FLAGS))
        tab = browser.new_page(viewport={"width": 360, "height": 640})
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        tab.goto(file.as_uri())
        wide = tab.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert asked == [file.as_uri()]
    assert said == [], "no script ran, and the page's own policy had nothing to forbid"
    assert wide <= 360, "a phone need not scroll sideways"
