"""Exports to rows: what customers could not read never reaches a prompt; what is left out has a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stateset.rl.cli.app import app
from stateset.rl.data.importers import export_kind, import_files
from stateset.rl.data.importers.export_file import utc_time
from stateset.rl.data.importers.imported import ThreadError, by_time
from stateset.rl.data.importers.thread import Thread, ThreadMessage, rows_of
from stateset.rl.data.importers.zendesk import import_zendesk
from stateset.rl.data.pii.pseudonyms import hashed, pseudonymise_rows
from stateset.rl.errors import ConfigError, DataError

EXPORTS = Path(__file__).parent / "exports"
GOLDEN = [
    ("zendesk", "zendesk_api.json", ["zendesk-4101-1", "zendesk-4101-2", "zendesk-4103-1"]),
    ("intercom", "intercom.json", ["intercom-123001-1", "intercom-123001-2", "intercom-123002-1"]),
    ("csv", "messages.csv", ["csv-C-1-1", "csv-C-4-1"]),
]
NEVER = ("PRIVATE-NOTE", "UNKNOWN-AUTHOR", "QUOTED-TEXT")


def imported(kind: str, *names: str) -> Any:
    return import_files(kind, [str(EXPORTS / name) for name in names])[0]


@pytest.mark.parametrize(("kind", "name", "ids"), GOLDEN)
def test_golden_exports(kind: str, name: str, ids: list[str]) -> None:
    found = imported(kind, name)
    assert [row["id"] for row in found.rows] == ids
    assert "PRIVATE-NOTE" in (EXPORTS / name).read_text()  # so the next line can fail
    assert not [mark for mark in NEVER if mark in json.dumps(found.rows)]
    assert found.counts["private notes left out"] > 0


def test_a_row_worked_out_by_hand() -> None:
    row = imported("zendesk", "zendesk_account.jsonl").rows[1]
    opening = (
        "Lamp arrived broken\n\nHello,\n\nmy lamp from order LF-48213 arrived with a cracked shade. "
        "Please call me at +1 415 555 0132."
    )
    first = (
        "Hi Marisol,\n\nI am sorry that the shade of order LF-48213 cracked. A new one leaves our "
        "warehouse today, free of charge."
    )
    assert row["prompt"] == [
        {"role": "user", "content": opening},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "Thank you! Could it go to my office instead, 12 Harbour Street?"},
    ]
    assert row["reply"].startswith("Of course, I have changed the delivery address")
    told = {key: row[key] for key in ("thread", "customer", "time", "resolved", "satisfaction", "reopened")}
    assert told == {
        "thread": "4101", "customer": "501", "time": "2026-01-05T10:15:00Z", "resolved": True,
        "satisfaction": 5.0, "reopened": False,
    }  # fmt: skip


def test_the_sender_of_a_mail_is_known_without_an_export_of_users() -> None:
    def mail(name: str, address: str) -> dict[str, Any]:
        desk = {"name": "Lamps", "address": "help@lamps.example"}
        return {"channel": "email", "source": {"from": {"name": name, "address": address}, "to": desk}}

    jane = mail("Jane Doe-Smythe", "jane@x.example")
    asked = {"public": True, "author_id": 1, "body": "Where is it? I am Jane Doe-Smythe", "via": jane}
    told = {"public": True, "author_id": 2, "body": "On its way.", "via": mail("Lamps", "help@lamps.example")}
    ticket = {"id": 1, "requester_id": 1, "assignee_id": 2, "via": jane, "comments": [asked, told]}
    (row,) = from_zendesk(ticket).rows
    assert row["people"] == [{"kind": "customer", "name": "Jane Doe-Smythe", "email": "jane@x.example"}]
    assert "Jane" not in json.dumps(pseudonymise_rows([row])[0])


@pytest.mark.parametrize(
    ("kind", "name", "places"),
    [
        ("zendesk", "zendesk_account.jsonl", {(13, None), (7, "4106"), (8, "4107"), (12, "4111")}),
        ("intercom", "intercom.json", {(3, "123003"), (4, "123004"), (5, "123005")}),
        ("csv", "messages.csv", {(6, "C-2"), (8, "C-3")}),
    ],
)
def test_what_is_turned_away_has_file_place_and_reason(kind: str, name: str, places: set[Any]) -> None:
    rejected = imported(kind, name).rejected
    assert {(one.line or one.record, one.ticket) for one in rejected} == places
    assert all(one.file == name and len(one.reason) > 10 for one in rejected)


COMMENT = st.fixed_dictionaries(
    {
        "public": st.sampled_from([True, True, True, False, None, 1, "true"]),
        "author_id": st.sampled_from([1, 2, 2, 3, -1]),
        "plain_body": st.sampled_from(["Hello there", "A new lamp", "> quoted", "", "Sent from my phone"]),
    }
)


@settings(max_examples=300, deadline=None)
@given(st.lists(COMMENT, max_size=7))
def test_no_private_comment_reaches_a_row(comments: list[dict[str, Any]]) -> None:
    """Whatever the comments are: only those whose `public` is the JSON value true are ever read."""
    for place, comment in enumerate(comments):
        private = comment["public"] is not True
        comment["plain_body"] = f"{'PRIVATE-NOTE' if private else ''} {comment['plain_body']} {place}"
    ticket = {"id": 1, "requester_id": 1, "assignee_id": 2, "status": "solved", "comments": comments}
    found = from_zendesk({"tickets": [ticket]})
    assert "PRIVATE-NOTE" not in json.dumps(found.rows)
    if any(not isinstance(comment["public"], bool) for comment in comments):
        assert not found.rows
        assert "public" in found.rejected[0].reason or "author" in found.rejected[0].reason


def from_zendesk(export: dict[str, Any]) -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "export.json")
        file.write_text(json.dumps(export))
        return import_zendesk([file])


def test_a_message_that_is_not_public_makes_no_row_whatever_the_importer_did() -> None:
    messages = (
        ThreadMessage(author="customer", text="Help", public=True),
        ThreadMessage(author="agent", text="PRIVATE-NOTE", public=False),
        ThreadMessage(author="agent", text="Of course", public=True),
    )
    (row,) = rows_of(Thread(id="1", messages=messages, where="x"), "test")
    assert row["reply"] == "Of course"
    assert row["prompt"] == [{"role": "user", "content": "Help"}]


def test_customers_whose_mail_addresses_differ_in_case_are_one() -> None:
    assert hashed("customer", "Lou@Box.example") == hashed("customer", " lou@box.example")
    assert hashed("customer", "0035g00000AbCdE") != hashed("customer", "0035g00000abcde")


@pytest.mark.parametrize(
    ("given", "time"),
    [
        ("20260105", "2026-01-05T00:00:00Z"),
        (20260105, "2026-01-05T00:00:00Z"),
        ("1767600000", "2026-01-05T08:00:00Z"),
        ("1767600000000", "2026-01-05T08:00:00Z"),
        ("2026-01-05 09:00+01:00", "2026-01-05T08:00:00Z"),
        ("5 Jan", ""),
        ("01/05/2026 09:00", ""),
        ("Mon, 5 Jan 2026 09:00:00 +0100", "2026-01-05T08:00:00Z"),
        ("Mon Jan 05 08:00:00 +0000 2026", "2026-01-05T08:00:00Z"),
        ("Mon, Jan 5 2026 08:00:00 PM", ""),
        (45000, ""),
        ("0001-01-01T00:00+05:00", ""),
    ],
)
def test_times_of_exports(given: Any, time: str) -> None:
    assert utc_time(given) == time


def test_messages_stand_in_order_of_time_or_their_thread_is_turned_away() -> None:
    def stood(*times: str) -> list[str]:
        said = (ThreadMessage(author="agent", text=str(n), public=True, time=t) for n, t in enumerate(times))
        return [message.text for message in by_time(said)]

    assert stood("2026-01-02", "2026-01-01", "2026-01-03") == ["1", "0", "2"]
    assert stood("2026-01-02", "2026-01-01", "2026-01-01") == ["2", "1", "0"]  # the newest first
    assert stood("2026-01-01", "", "2026-01-01") == ["0", "1", "2"]
    assert stood("2026-01-02", "", "2026-01-01") == ["2", "1", "0"]
    with pytest.raises(ThreadError, match="1 of 4 messages have no time, and the others are in no order"):
        stood("2026-01-02", "", "2026-01-01", "2026-01-03")


def test_an_agent_who_answers_an_automatic_mail_is_counted_as_such() -> None:
    found = imported("zendesk", "zendesk_account.jsonl")
    assert found.counts["threads without a customer's public message before the agent's"] == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"{", ":1: the JSON ends in the middle"),
        (b"3", "an object or a list"),
        (b'{\n "tickets": [\n  {"id": 1,\n   "subject": "a",', ":4: the JSON ends in the middle"),
        (b'{\n"tickets": [\n{"id": 1},\n{"id": 2, "subject": "a b', ":4: the JSON ends in the middle"),
        (b'{\n "tickets": [\n  {"id": 1}}\n ]\n}', ":3: not valid JSON"),
    ],
)
def test_files_that_are_no_export(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "export.json"
    file.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        import_files("zendesk", [str(file)])


def test_an_export_never_overwrites_itself(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_bytes((EXPORTS / "zendesk_api.json").read_bytes())
    done = CliRunner().invoke(app, ["data", "import", "zendesk", str(file), "-o", str(file)])
    assert isinstance(done.exception, ConfigError)
    assert file.read_bytes() == (EXPORTS / "zendesk_api.json").read_bytes()


def test_the_kind_of_an_export_is_seen(tmp_path: Path) -> None:
    assert export_kind(EXPORTS / "zendesk_account.jsonl") == "zendesk"
    assert export_kind(EXPORTS / "intercom.json") == "intercom"
    assert export_kind(EXPORTS / "messages.csv") is None
