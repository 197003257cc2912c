"""Tables to rows: by columns whose names say enough, and without any text that is marked private."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stateset.rl.cli.app import app
from stateset.rl.data.importers import ColumnMapping, import_files
from stateset.rl.data.importers.mapping import read_mapping
from stateset.rl.data.importers.table import import_rows
from stateset.rl.data.rows import Row
from stateset.rl.errors import DataError

EXPORTS = Path(__file__).parent / "exports"


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
        [{"IsPublished": True}, {"IsPublished": False}, {"IsPublished": True}],  # Salesforce
        [{"Visibility": "AllUsers"}, {"Visibility": "InternalUsers"}, {"Visibility": "AllUsers"}],
        [{"jsdPublic": True}, {"jsdPublic": False}, {"jsdPublic": True}],  # Jira
        [{"private": False}, {"private": True}, {"private": False}],  # Freshdesk, Chatwoot
        [{"IsVisibleForCustomer": 1}, {"IsVisibleForCustomer": 0}, {"IsVisibleForCustomer": 1}],  # OTRS
        [{"mode": "public"}, {"mode": "agents_only"}, {"mode": "public"}],
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
        [{"type": "email"}, {"type": "comment"}, {"type": "email"}],  # Front's comments are notes
        [{"type": "email"}, {"type": "email", "is_draft": True}, {"type": "email"}],
        [{"element": "comments"}, {"element": "work_notes"}, {"element": "comments"}],  # ServiceNow
        [{"ArticleType": "email-external"}, {"ArticleType": "note-internal"}, {"ArticleType": "phone"}],
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


def pairs_of(column: str, *values: Any) -> list[dict[str, Any]]:
    return [{"question": f"Where is {n}?", "answer": f"PAIR {n}", column: v} for n, v in enumerate(values)]


def test_a_column_of_words_that_say_private_is_a_flag_or_is_asked_about() -> None:
    found, mapping = of_table(*pairs_of("audience", "customer", "internal", "external"))
    assert mapping.public == ("audience",)
    assert [row["reply"] for row in found.rows] == ["PAIR 2"]
    assert "`audience` says neither public nor private ('customer')" in found.rejected[0].reason
    with pytest.raises(DataError, match="`channel` may mean public or private"):
        of_table(*pairs_of("channel", "email", "internal-note"))
    flagged = [row | {"public": True} for row in pairs_of("channel", "email", "internal-note")]
    assert len(of_table(*flagged)[0].rows) == 2  # there is a flag, and it is another one


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("product", ["Galaxy Note", "Internal SSD of 1 TB", "Lamp"]),
        ("customer_type", ["internal", "private"]),
        ("published", ["2026-01-05", "2026-01-06"]),
        ("shared_with", ["Bob", "Jane"]),
        ("answer_note", ["internal", "He stole a lamp"]),
    ],
)
def test_a_column_that_only_holds_such_words_is_no_flag(column: str, values: list[str]) -> None:
    found, mapping = of_table(*pairs_of(column, *values))
    assert len(found.rows) == len(values)
    assert (mapping.public, mapping.private) == ((), ())


def test_a_number_for_visibility_is_left_to_the_user() -> None:
    with pytest.raises(DataError, match="`visibility` may mean public or private"):
        of_table(*pairs_of("visibility", 0, 1))


def test_who_says_which_words_are_public_is_asked_for_comments() -> None:
    row = talk({"type": "email"}, {"type": "comment"}, {"type": "email"})
    by = ColumnMapping(
        layout="conversations",
        columns={"messages": "messages"},
        public=("messages.type",),
        public_values=("email",),
    )
    found, _ = of_table(row, by=by)
    assert not found.rows
    assert "('comment')" in found.rejected[0].reason
    assert len(of_table(row, by=replace(by, public_values=("email", "comment")))[0].rows) == 1


def test_kept_columns_hold_what_json_can() -> None:
    by = ColumnMapping(layout="pairs", columns={"prompt": "q", "reply": "a"}, keep=("when", "price"))
    row = {"q": "Where is it?", "a": "Here.", "when": datetime(2026, 1, 5, 9), "price": Decimal("1.50")}
    found, _ = of_table(row, row | {"when": b"raw"}, by=by)
    assert [(made["when"], made["price"]) for made in found.rows] == [("2026-01-05T09:00:00", 1.5)]
    assert "`when` holds bytes" in found.rejected[0].reason


def newest_first(*dates: str) -> list[dict[str, Any]]:
    said = [("agent", "On Friday."), ("customer", "When does it come?"), ("agent", "Hello.")]
    common = {"ticket_id": "T", "public": "true"}
    return [
        common | {"role": who, "body": text, "created_at": date}
        for (who, text), date in zip(said, dates, strict=True)
    ]


def test_a_time_that_cannot_be_read_turns_its_thread_away_unless_a_mapping_says_how() -> None:
    rows = newest_first("01/07/2026 12:00", "01/07/2026 12:00", "01/07/2026 11:00")
    found, mapping = of_table(*rows)
    assert not found.rows
    assert "`time` cannot be read ('01/07/2026 12:00'): write it as ISO 8601" in found.rejected[0].reason
    given = replace(mapping, time_formats=("%d/%m/%Y %H:%M",))
    (row,) = of_table(*rows, by=given)[0].rows
    assert (row["reply"], row["time"]) == ("On Friday.", "2026-07-01T12:00:00Z")
    assert [message["content"] for message in row["prompt"]] == ["Hello.", "When does it come?"]


def test_a_pair_without_a_readable_time_is_rejected_and_one_without_any_is_not() -> None:
    pair = {"question": "Where is it?", "answer": "On its way, today."}
    found, _ = of_table(pair | {"date": "2026-01-05"}, pair | {"date": "5/1/26"}, pair | {"date": ""})
    assert [row.get("time") for row in found.rows] == ["2026-01-05T00:00:00Z", None]
    assert [one.line for one in found.rejected] == [2]


def test_the_customer_of_a_thread_is_who_wrote_as_customer() -> None:
    def said(user: int, role: str, text: str, **further: str) -> dict[str, Any]:
        return {"ticket_id": 1, "user_id": user, "role": role, "body": text, "public": True} | further

    greeted = [said(7, "agent", "Hello."), said(100, "customer", "Where is it?"), said(7, "agent", "There.")]
    assert of_table(*greeted)[0].rows[0]["customer"] == "100"
    named = [row | {"role": {"agent": "Bob"}.get(row["role"], row["role"])} for row in greeted]
    by = replace(of_table(*greeted)[1], agents=("Bob",))
    assert of_table(*named, by=by)[0].rows[0]["customer"] == "100"


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
        (
            "layout: pairs\ncolumns: {prompt: q, reply: a}\ntime_formats: ['%d %Q']\n",
            "`time_formats` has '%d %Q'",
        ),
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
