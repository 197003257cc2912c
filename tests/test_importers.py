"""Exports to rows: what customers could not read never reaches a prompt; what is left out has a reason."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stateset.rl.cli.app import app
from stateset.rl.data.importers import ColumnMapping, export_kind, import_files
from stateset.rl.data.importers.clean import clean_body
from stateset.rl.data.importers.export_file import utc_time
from stateset.rl.data.importers.mapping import read_mapping
from stateset.rl.data.importers.table import import_rows
from stateset.rl.data.importers.thread import Thread, ThreadMessage, rows_of
from stateset.rl.data.importers.zendesk import import_zendesk
from stateset.rl.data.pii.pseudonyms import hashed, pseudonymise_rows
from stateset.rl.data.rows import Row
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


@pytest.mark.parametrize(
    ("body", "html", "expected"),
    [
        ("<p>Hi<br>there</p><script>x()</script><style>p{}</style>", True, "Hi\nthere"),
        ("<div>New</div><blockquote type=cite><p>old</p></blockquote>", True, "New"),
        ("Thanks!\n\nOn Mon, Jan 5, 2026 at 9:31 AM Shop <a@b.example> wrote:\n> old", False, "Thanks!"),
        ("Thanks!\n\n-- \nJane Roe\nHead of Lamps", False, "Thanks!"),
        ("A &lt;b&gt; tag", True, "A <b> tag"),
        ("it is 3 < 4 and 5 > 4", False, "it is 3 < 4 and 5 > 4"),
    ],
)
def test_bodies_are_cleaned(body: str, html: bool, expected: str) -> None:
    assert clean_body(body, html=html) == expected


def of_table(*rows: dict[str, Any], by: ColumnMapping | None = None) -> Any:
    return import_rows([Row(row, f"t.jsonl:{n}") for n, row in enumerate(rows, start=1)], "jsonl", by)


def test_three_layouts_are_guessed() -> None:
    pairs, by = of_table({"Customer Message": "Where is it?", "Agent Reply": "On its way, today.", "CSAT": 4})
    assert (by.layout, by.columns["prompt"], by.columns["reply"]) == (
        "pairs",
        "Customer Message",
        "Agent Reply",
    )
    assert pairs.rows[0]["satisfaction"] == 4.0
    turns = [{"from": "human", "value": "Where is it?"}, {"from": "gpt", "value": "On its way, today."}]
    talks, by = of_table({"conversations": turns})
    assert by.layout == "conversations"
    assert talks.rows[0]["prompt"] == [{"role": "user", "content": "Where is it?"}]
    assert talks.rows[0]["reply"] == "On its way, today."


def test_internal_notes_of_tables_stay_out_by_either_word() -> None:
    notes, _ = of_table(
        {"question": "Where is it?", "answer": "PRIVATE-NOTE", "internal": "yes"},
        {"question": "Is it late?", "answer": "It comes on Friday.", "internal": "no"},
        {"question": "Is it late?", "answer": "PRIVATE-NOTE", "internal": "perhaps"},
    )
    assert [row["reply"] for row in notes.rows] == ["It comes on Friday."]
    assert [one.line for one in notes.rejected] == [1, 3]


def talk(*extras: dict[str, Any], **columns: Any) -> dict[str, Any]:
    """A question, a note and a reply, each with the keys of one of `extras`."""
    said = [("customer", "Where is it?"), ("agent", "PRIVATE-NOTE"), ("agent", "On its way, today.")]
    extras = extras or ({}, {}, {})
    turns = [{"role": who, "content": text} | one for (who, text), one in zip(said, extras, strict=True)]
    return {"messages": turns} | columns


@pytest.mark.parametrize(
    "flags",
    [
        [{"type": "comment"}, {"type": "note"}, {"type": "comment"}],
        [{"is_internal_note": False}, {"is_internal_note": True}, {"is_internal_note": False}],
        [{"message_type": "reply"}, {"message_type": "private_note"}, {"message_type": "reply"}],
        [{"visibility": "public"}, {"visibility": "internal"}, {"visibility": "public"}],
        [{"meta": {"isPublic": True}}, {"meta": {"isPublic": False}}, {"meta": {"isPublic": True}}],
        [{"channel": "public"}, {"channel": "internal"}, {"channel": "public"}],
    ],
)
def test_a_flag_in_a_list_of_messages_keeps_its_notes_out(flags: list[dict[str, Any]]) -> None:
    found, _ = of_table(talk(*flags))
    assert [row["reply"] for row in found.rows] == ["On its way, today."]
    assert found.counts["private notes left out"] == 1


@pytest.mark.parametrize(
    "flags",
    [
        [{}, {"type": "note"}, {}],
        [{"public": True}, {}, {"public": True}],
        [{"type": "text"}, {"type": "text"}, {"type": "text"}],
        [{"kind": "a"}, {"kind": "remark"}, {"kind": "a"}],
        [{"private": 0}, {"private": "perhaps"}, {"private": 0}],
    ],
)
def test_a_message_whose_flag_is_missing_or_unknown_turns_its_thread_away(
    flags: list[dict[str, Any]],
) -> None:
    found, _ = of_table(talk(*flags))
    assert not found.rows
    assert "`messages." in found.rejected[0].reason


def test_one_marked_note_asks_for_a_mark_in_every_thread_of_the_table() -> None:
    found, mapping = of_table(talk(), talk({"type": "comment"}, {"type": "note"}, {"type": "comment"}))
    assert mapping.public == ("messages.type",)
    assert [row["source"] for row in found.rows] == ["t.jsonl:2"]


def test_a_conversation_that_is_private_as_a_whole_is_turned_away() -> None:
    found, mapping = of_table(talk(private=True), talk(private=False))
    assert mapping.described() == [("messages", "messages"), ("private", "private")]
    assert [row["source"] for row in found.rows] == ["t.jsonl:2"]


def test_a_table_without_any_flag_is_read_and_the_user_is_told() -> None:
    for row in (talk(), {"question": "Where is it?", "answer": "On its way, today."}):
        found, _ = of_table(row)
        assert len(found.rows) == 1
        assert "nothing says which texts are private" in found.remarks[0]


def test_a_mapping_says_which_words_mean_public_or_that_all_is_public() -> None:
    row = talk({"type": "chat"}, {"type": "note"}, {"type": "chat"})
    columns = {"messages": "messages"}
    kinds = ColumnMapping(
        layout="conversations", columns=columns, public=("messages.type",), public_values=("chat",)
    )
    assert [made["reply"] for made in of_table(row, by=kinds)[0].rows] == ["On its way, today."]
    everything = ColumnMapping(layout="conversations", columns=columns, public=("*",))
    assert "PRIVATE-NOTE" in of_table(row, by=everything)[0].rows[0]["reply"]
    silent = ColumnMapping(layout="conversations", columns=columns)
    assert not of_table(row, by=silent)[0].rows


def test_a_column_of_note_texts_is_no_flag_and_none_of_it_is_shown() -> None:
    found, mapping = of_table(
        {"question": "Where is it?", "answer": "On its way, today.", "internal_note": ""},
        {
            "question": "Is it late?",
            "answer": "It comes on Friday.",
            "internal_note": "PRIVATE-NOTE of a thief",
        },
    )
    assert len(found.rows) == 2
    assert mapping.described() == [("prompt", "question"), ("reply", "answer")]
    assert "`internal_note` holds texts" in found.remarks[0]
    unclear, _ = of_table(
        {"question": "Where is it?", "answer": "On its way, today.", "internal": "PRIVATE-NOTE he stole it"},
    )
    assert not unclear.rows
    assert (
        "PRIVATE-NOTE" not in json.dumps([str(one) for one in (*found.rejected, *unclear.rejected)]).upper()
    )


def test_a_flag_that_may_mean_both_is_left_to_the_user() -> None:
    with pytest.raises(DataError, match="`not_public` may mean public or private"):
        of_table({"question": "Where is it?", "answer": "On its way.", "not_public": "no"})


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"a": 1, "b": 2}], "do not say where prompt and reply are"),
        ([{"thread": 1, "author": "user", "text": "x"}], "no column says which messages are public"),
        (["no mapping"], "no rows that can be read"),
    ],
)
def test_tables_that_say_too_little_are_refused(rows: list[Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        of_table(*rows)


def test_pairs_of_one_thread_are_counted_on() -> None:
    pairs = [("T1", "Where is it?"), ("T1", "And my chair?"), ("T2", "A refund, please")]
    found, _ = of_table(*({"ticket_id": t, "question": asked, "answer": "Tomorrow"} for t, asked in pairs))
    assert [row["id"] for row in found.rows] == ["jsonl-T1-1", "jsonl-T1-2", "jsonl-T2-1"]
    assert found.counts["threads"] == 2


def test_rows_without_ids_have_names_of_their_own_in_every_file() -> None:
    files = [{"question": "Where is it?", "answer": "Here"}, {"question": "Is it late?", "answer": "No"}]
    rows = [of_table(row)[0].rows[0] for row in (*files, files[0])]
    assert rows[0]["id"] != rows[1]["id"]
    assert rows[0]["thread"] != rows[1]["thread"]
    assert rows[0]["id"] == rows[2]["id"]  # the same row twice is one row


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
    ],
)
def test_times_of_exports(given: Any, time: str) -> None:
    assert utc_time(given) == time


def test_kept_columns_hold_what_json_can() -> None:
    by = ColumnMapping(layout="pairs", columns={"prompt": "q", "reply": "a"}, keep=("when", "price"))
    row = {"q": "Where is it?", "a": "Here.", "when": datetime(2026, 1, 5, 9), "price": Decimal("1.50")}
    found, _ = of_table(row, row | {"when": b"raw"}, by=by)
    assert [(made["when"], made["price"]) for made in found.rows] == [("2026-01-05T09:00:00", 1.5)]
    assert "`when` holds bytes" in found.rejected[0].reason


def test_an_agent_who_answers_an_automatic_mail_is_counted_as_such() -> None:
    found = imported("zendesk", "zendesk_account.jsonl")
    assert found.counts["threads without a customer's public message before the agent's"] == 1


def test_a_saved_mapping_is_read_back(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    done = CliRunner().invoke(app, ["data", "import", "csv", str(EXPORTS / "messages.csv"), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "thread <- ticket_id" in done.stderr
    assert (tmp_path / "rows.rejected.jsonl").is_file()
    assert len(out.read_text().splitlines()) == 2
    saved = tmp_path / "rows.mapping.yaml"
    assert read_mapping(saved).columns["author"] == "from"
    saved.write_text(saved.read_text() + "agents: [warehouse]\n")
    again = tmp_path / "again.jsonl"
    arguments = ["data", "import", "csv", str(EXPORTS / "messages.csv"), "-o", str(again)]
    done = CliRunner().invoke(app, [*arguments, "--mapping", str(saved)])
    assert done.exit_code == 0, done.output
    assert "warehouse" not in (tmp_path / "again.rejected.jsonl").read_text()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("layout: piles\n", "`layout` is 'piles'"),
        ("layout: pairs\ncolumns:\n  prompt: q\n", "needs `columns.reply`"),
        ("layout: pairs\ncolour: red\n", "unknown `colour`"),
    ],
)
def test_mappings_that_cannot_be_used(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=reason):
        read_mapping(file)


def test_parquet_and_a_folder_of_datasets_give_the_same_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"question": "Where is it?", "answer": "On its way, today."}]
    table = datasets.Dataset.from_list(rows)
    table.to_parquet(tmp_path / "rows.parquet")
    table.save_to_disk(str(tmp_path / "saved"))
    replies = [
        import_files(kind, [str(tmp_path / name)])[0].rows[0]["reply"]
        for kind, name in (("parquet", "rows.parquet"), ("hf", "saved"))
    ]
    assert replies == ["On its way, today."] * 2


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
