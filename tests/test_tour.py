"""The tour from an export to prepared rows, on an eighth of its tickets: nothing private comes through."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from test_cli import call

from stateset.rl.data.bundled import bundled_rows

TOUR = Path(__file__).parents[1] / "examples" / "tour"


def script(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(TOUR / name), run_name="__main__")


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def some(name: str) -> Any:
        return (bundled_rows(name) or [])[::8]

    monkeypatch.setattr("stateset.rl.data.bundled.bundled_rows", some)
    script("export.py", monkeypatch, "--out", tmp_path / "export")
    return tmp_path / "export"


def test_from_an_export_to_rows_that_can_be_trained_on(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tickets, users = (
        json.loads((export / f"{name}.json").read_text())[name] for name in ("tickets", "users")
    )
    raw = json.dumps([tickets, users])
    rows, joined, out = (tmp_path / name for name in ("rows.jsonl", "joined.jsonl", "prepared"))
    files = [str(export / f"{name}.json") for name in ("tickets", "users")]
    assert call(capsys, "data", "import", "zendesk", *files, "-o", str(rows)).code == 0
    script("join.py", monkeypatch, rows, export / "orders.jsonl", "-o", joined)
    assert call(capsys, "data", "prepare", str(joined), "-o", str(out)).code == 0

    prepared = "".join(file.read_text() for file in sorted(out.glob("*.jsonl")))
    assert "PRIVATE-NOTE" in raw
    assert "PRIVATE-NOTE" not in rows.read_text() + prepared
    people = [user for user in users if user["role"] == "end-user"]
    for value in {user[key] for user in people for key in ("email", "phone", "name") if user.get(key)}:
        assert value not in prepared
    for name in {user["name"].split()[-1] for user in users}:
        assert f" {name}" not in prepared

    asked = [ticket["comments"][0]["html_body"] for ticket in tickets]
    sent_twice = len(asked) - len(set(asked)) - sum("Automatic reply" in text for text in asked)
    found = json.loads((out / "manifest.json").read_text())["counts"]["near-duplicates left out"]
    assert 0 < sent_twice <= found


def test_both_verifiers_read_prepared_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOUR))
    found = runpy.run_path(str(TOUR / "reward.py"))
    row = next(row for row in bundled_rows("support_tickets") or [] if row["facts"]["name"] in row["answer"])
    answer = row["answer"].replace(row["facts"]["name"], "<NAME_1>")
    reward = found["PolicyReward"]()
    assert reward.compute("", answer, row).total == 1.0
    assert reward.compute("", "I have refunded nothing.", row).total == 0.0
    assert found["audited"](row["prompt"][-1]["content"], answer, row)
