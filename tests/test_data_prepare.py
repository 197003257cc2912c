"""Rows to a prepared folder: planted duplicates and leaks are all found, nothing goes without a reason."""

from __future__ import annotations

import json
import random
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from stateset.rl.cli import main
from stateset.rl.cli.app import app
from stateset.rl.data.bundled import bundled_rows
from stateset.rl.data.data_report import remarks
from stateset.rl.data.frozen import check_files, find_frozen, refuse_frozen
from stateset.rl.data.importers import import_files
from stateset.rl.data.load import load_tasks
from stateset.rl.data.near_duplicates import near_pairs
from stateset.rl.data.preparation import Settings, prepare_rows
from stateset.rl.data.prepare import prepare_training_data
from stateset.rl.data.prepare_folder import prepare_folder
from stateset.rl.data.quality import quality_parts, quality_score, text_quality
from stateset.rl.data.rows import Row
from stateset.rl.data.split import find_leaks, make_split
from stateset.rl.errors import DataError, GateError
from stateset.rl.serving.model_card import _lineage

EXPORTS = Path(__file__).parent / "exports"
DAYS = [f"2026-{month:02d}-{day:02d}T10:00:00Z" for month in range(1, 11) for day in range(1, 29)]


def tickets(count: int) -> list[dict[str, Any]]:
    """Tickets of as many customers, one a day, that share no sentence."""
    drawn = random.Random(4)
    starts = ("ba", "de", "fi", "go", "lu", "mi", "no", "pra", "ste", "tri", "vu")
    words = [one + other for one in starts for other in ("nd", "rk", "sal", "tum", "vik", "wo", "xen")]
    return [
        {
            "id": f"t{place}", "thread": f"T{place}", "customer": f"C{place}", "time": DAYS[place],
            "prompt": " ".join(drawn.choices(words, k=30)), "reply": " ".join(drawn.choices(words, k=12)),
            "resolved": place % 3 > 0, "satisfaction": 1 + place % 5,
        }
        for place in range(count)
    ]  # fmt: skip


def rows_of(found: list[Any]) -> list[Row]:
    return [Row(value, f"rows.jsonl:{number}") for number, value in enumerate(found, start=1)]


def likeness(one: str, other: str) -> float:
    """Jaccard over runs of five characters, once more and without the module's normal form."""
    first, second = ({text[at : at + 5] for at in range(len(text) - 4)} for text in (one, other))
    return len(first & second) / len(first | second)


def test_planted_duplicates_are_all_found_and_nothing_else() -> None:
    rows = tickets(200)
    drawn = random.Random(9)
    planted = {}
    for place in range(0, 200, 4):
        words = rows[place]["prompt"].split()
        words[drawn.randrange(len(words))] = "lamp"
        text = " ".join(words).upper() + f", order {place}!"
        assert likeness(" ".join(words), rows[place]["prompt"]) >= 0.8
        planted[f"d{place}"] = f"t{place}"
        rows.append(rows[place] | {"id": f"d{place}", "thread": f"D{place}", "customer": f"D{place}",
                                   "prompt": text})  # fmt: skip
    prepared = prepare_rows(rows_of(rows), Settings())
    assert {one.id: one.of for one in prepared.duplicates} == planted


def test_near_pairs_are_those_of_a_comparison_of_all_with_all() -> None:
    texts = [row["messages"][-1]["content"] if "messages" in row else row["prompt"] for row in
             (bundled_rows("support_tickets") or [])[:120]]  # fmt: skip
    texts = [text if isinstance(text, str) else text[-1]["content"] for text in texts]
    texts += [text.replace("the", "a") for text in texts[:40]]
    plain = [" ".join("".join(c if c.isalnum() else " " for c in t.lower()).split()) for t in texts]
    plain = ["".join("0" if c.isdigit() else c for c in text) for text in plain]
    while any("00" in text for text in plain):
        plain = [text.replace("00", "0") for text in plain]
    found = {(pair.first, pair.second) for pair in near_pairs(texts, 0.8) if pair.similarity < 1}
    expected = {
        (one, other)
        for other in range(len(texts))
        for one in range(other)
        if 0.8 <= likeness(plain[one], plain[other]) < 1
        and plain.index(plain[one]) == one
        and plain.index(plain[other]) == other
    }
    assert found == expected
    assert len(found) > 5


@pytest.mark.parametrize("kind", ["thread", "customer", "near-duplicates"])
def test_every_planted_leak_is_refused_with_exit_3(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (3, 40, 77):
        rows = [row | {"split": "test" if at >= 80 else "train"} for at, row in enumerate(tickets(100))]
        other = rows[80 + place // 5]
        if kind == "near-duplicates":
            other["prompt"] = rows[place]["prompt"] + " lamp"
        else:
            other[kind] = rows[place][kind]
        file = tmp_path / f"{place}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        out = tmp_path / f"out{place}"
        with pytest.raises(SystemExit) as stopped:
            main(["data", "prepare", str(file), "-o", str(out)])
        said = capsys.readouterr().err
        assert stopped.value.code == 3
        assert f"t{place} (train) and {other['id']} (test)" in said
        assert kind in said
        assert not out.exists()


def test_a_split_by_time_keeps_the_past_in_train_and_groups_together() -> None:
    rows = tickets(200)
    for place in range(0, 60, 2):
        rows[place]["customer"] = "regular"
    split = make_split(rows, validation_share=0.1, test_share=0.2)
    assert split.by_time
    times = {
        name: [rows[place]["time"] for place in split.places(name)]
        for name in ("train", "validation", "test")
    }
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < min(times["test"])
    assert [len(times[name]) for name in times] == [140, 20, 40]
    assert find_leaks(rows, split.names, by="customer") == []


def test_a_group_across_two_periods_keeps_only_its_main_one() -> None:
    rows = tickets(100)
    for place in (10, 20, 95):
        rows[place]["customer"] = "back"
    split = make_split(rows)
    assert (split.names[10], split.names[20], split.names[95]) == ("train", "train", None)


def test_without_times_the_seed_decides_and_no_group_is_cut() -> None:
    rows = [{key: value for key, value in row.items() if key != "time"} for row in tickets(100)]
    for place, row in enumerate(rows):
        row["customer"] = f"C{place // 3}"
    one, same, other = (make_split(rows, seed=seed).names for seed in (1, 1, 2))
    assert one == same != other
    assert find_leaks(rows, one, by="customer") == []
    assert {8 < one.count(name) <= 10 for name in ("validation", "test")} == {True}


POLICIES = ("Shop A refunds within a month. " * 60, "Shop B sells lamps as they are. " * 60)


def under(policy: int, text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": POLICIES[policy]}, {"role": "user", "content": text}]


def test_a_long_policy_makes_no_near_duplicates_and_hides_none() -> None:
    rows = [row | {"prompt": under(place % 2, row["prompt"])} for place, row in enumerate(tickets(60))]
    said = rows[0]["prompt"][1]["content"]
    for name, policy in (("other", 1), ("same", 0), ("again", 1)):
        rows.append(rows[0] | {"id": name, "thread": name, "customer": name, "time": DAYS[5],
                               "prompt": under(policy, said + " lamp")})  # fmt: skip
    prepared = prepare_rows(rows_of(rows), Settings())
    assert [(one.id, one.of) for one in prepared.duplicates] == [
        ("same", "t0"), ("again", "other"),
    ]  # fmt: skip
    split = next(name for name, found in prepared.splits.items() if any(row["id"] == "t0" for row in found))
    assert any(row["id"] == "other" for row in prepared.splits[split])


def test_the_same_words_under_another_policy_in_another_split_are_a_leak() -> None:
    rows = [row | {"split": "train"} for row in tickets(40)]
    rows[39]["split"] = "test"
    rows[39]["prompt"], rows[3]["prompt"] = (under(policy, rows[3]["prompt"]) for policy in (0, 1))
    with pytest.raises(GateError, match=r"near-duplicates.*\n.*t3 \(train\) and t39 \(test\)"):
        prepare_rows(rows_of(rows), Settings())


def test_the_frozen_test_set_is_known_under_any_policy(tmp_path: Path) -> None:
    rows = [row | {"prompt": under(0, row["prompt"])} for row in tickets(60)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    test = prepare_folder([file], tmp_path / "out", Settings()).splits["test"][0]["prompt"]
    with pytest.raises(GateError, match="near-duplicate"):
        refuse_frozen([{"prompt": under(1, test[1]["content"] + " lamp")}], tmp_path / "out/manifest.json")


def test_times_are_compared_as_times_and_others_are_rejected() -> None:
    rows = tickets(60)
    good = [1767600000, "2026-01-05", "2026-01-05T09:00:00+01:00", "2026-01-05 08:00:00"]
    bad = ["1/3/2026", 45000, True, "9999-12-31T23:00:00-05:00"]
    for row, time in zip(rows, good + bad, strict=False):
        row["time"] = time
    prepared = prepare_rows(rows_of(rows), Settings())
    assert [one.line for one in prepared.rejected] == [5, 6, 7, 8]
    assert all("write it as ISO 8601" in one.reason for one in prepared.rejected)
    times = {row["id"]: row["time"] for found in prepared.splits.values() for row in found}
    assert [times[f"t{place}"] for place in range(4)] == [
        "2026-01-05T08:00:00Z", "2026-01-05T00:00:00Z", "2026-01-05T08:00:00Z", "2026-01-05T08:00:00Z",
    ]  # fmt: skip


def test_a_table_with_times_and_decimals_is_prepared(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 5, 10, tzinfo=UTC)
    rows = [
        row | {"time": moment + timedelta(place), "day": moment.date(), "price": Decimal("19.90")}
        for place, row in enumerate(tickets(30))
    ]
    file = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    row = prepare_folder([file], tmp_path / "out", Settings()).splits["train"][0]
    assert (row["time"], row["day"], row["price"]) == ("2026-01-05T10:00:00Z", "2026-01-05", 19.9)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"prompt": "hello", "scan": b"x"}]), file)
    with pytest.raises(DataError, match=r"rows.parquet row 1: `scan` holds bytes; make it text"):
        load_tasks(file)


@pytest.mark.parametrize(("sizes", "said"), [((1, 1), False), ((1,) * 8 + (4,), True)])
def test_the_report_says_of_a_group_that_is_too_large_to_divide(sizes: tuple[int, ...], said: bool) -> None:
    rows = tickets(sum(sizes))
    for row, customer in zip(rows, [at for at, size in enumerate(sizes) for _ in range(size)], strict=True):
        row["customer"] = f"C{customer}"
    settings = Settings(validation_share=0, test_share=0.3)
    notes = " ".join(remarks(prepare_rows(rows_of(rows), settings), settings))
    assert ("4 of 12 rows belong together by customer" in notes) == said
    assert ("belong together" in notes) == said


def test_quality_is_the_mean_worked_out_by_hand() -> None:
    row = {"resolved": True, "satisfaction": 3, "reopened": "true", "reply": "one two three four"}
    assert quality_parts(row) == {"resolved": 1.0, "satisfaction": 0.5, "reopened": 0.0}
    (text,) = text_quality([row])
    assert text == {"length": 0.5, "own_words": 1.0, "pii": 1.0}
    by_hand = (0.4 * 1 + 0.4 * 0.5 + 0.2 * 0 + 0.1 * 0.5 + 0.1 * 1 + 0.1 * 1) / 1.3
    assert quality_score(row, text_parts=text) == pytest.approx(by_hand)


def test_macros_dense_personal_data_and_endless_replies_score_less() -> None:
    macro = "Thank you for your message, we will look into it and come back to you soon."
    rows = [{"thread": str(place), "reply": macro} for place in range(3)]
    rows += [
        {"thread": "9", "reply": "<NAME_1> <EMAIL_1> wrote two"},
        {"thread": "8", "reply": "word " * 300},
    ]
    parts = text_quality(rows)
    assert [one["own_words"] for one in parts] == [0, 0, 0, 1, 1]
    assert parts[3]["pii"] == 0.0
    assert parts[4]["length"] == 0.5


def test_a_macro_of_four_thousand_threads_takes_no_memory_of_all_pairs() -> None:
    macro = "Thank you for your message, we will look into it and come back to you soon."
    rows = [{"thread": str(place), "reply": macro} for place in range(4000)]
    tracemalloc.start()
    parts = text_quality(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {one["own_words"] for one in parts} == {0.0}
    assert peak < 20e6


def test_min_quality_is_for_training_rows_only() -> None:
    prepared = prepare_rows(rows_of(tickets(100)), Settings(min_quality_score=0.7))
    scores = {name: [row["quality_score"] for row in rows] for name, rows in prepared.splits.items()}
    assert min(scores["train"]) >= 0.7 > min(scores["test"])
    left = prepared.counts["training rows below quality 0.7"]
    assert left == 80 - len(scores["train"]) > 0


def test_rows_that_cannot_be_used_are_named_and_the_others_go_on() -> None:
    rows: list[Any] = tickets(60)
    rows[4] = {"id": "x"}
    rows[9] = rows[9] | {"satisfaction": 9}
    rows[12] = rows[12] | {"id": "t3"}
    rows[20] = rows[20] | {"split": "exam"}
    rows[30] = "no row"
    rows[31] = rows[31] | {"people": 4}
    prepared = prepare_rows(rows_of(rows), Settings())
    assert [one.line for one in prepared.rejected] == [5, 10, 13, 21, 31, 32]
    reasons = " ".join(one.reason for one in prepared.rejected)
    assert all(word in reasons for word in ("prompt", "from 1 to 5", "rows.jsonl:4", "train"))
    assert prepared.counts["rows read"] == 60
    assert sum(map(len, prepared.splits.values())) == 54


@pytest.mark.parametrize(
    ("rows", "settings", "reason"),
    [
        ([], {}, "none of 0 rows"),
        (tickets(2), {}, "leave nothing for"),
        (
            [row | {"satisfaction": 2} for row in tickets(50)],
            {"min_quality_score": 1.0},
            "no training row reaches min_quality_score 1.0; the best",
        ),
        (tickets(50), {"near_duplicate": 0.5}, "0.6 to 1"),
        (tickets(50), {"by": "template"}, "no row has a `template`"),
        (tickets(50), {"test_share": 0.95}, "add up to less than 1"),
    ],
)
def test_what_cannot_be_prepared(rows: list[Any], settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        prepare_rows(rows_of(rows), Settings(**settings))


def test_training_data_of_an_export_that_names_nobody_is_cleaned(tmp_path: Path) -> None:
    said = "My lamp is broken, jane.doe@gmail.com, card 4111 1111 1111 1111, +1 415 555 2671"
    comments = [
        {"id": number, "author_id": number, "public": True, "type": "Comment", "body": body}
        for number, body in ((1, said), (2, "Sent to jane.doe@gmail.com"))
    ]
    ticket = {"status": "solved", "requester_id": 1, "assignee_id": 2, "comments": comments}
    file = tmp_path / "tickets.json"
    file.write_text(json.dumps({"tickets": [{"id": 1} | ticket, {"id": 2} | ticket]}))
    (row,) = prepare_training_data(file)
    assert row["prompt"][0]["content"] == "My lamp is broken, <EMAIL_1>, card <CARD_1>, <PHONE_1>"
    assert row["reply"] == "Sent to <EMAIL_1>"


def test_training_data_of_plain_rows_stays_as_it_is_with_a_warning() -> None:
    rows = [{"prompt": "I am a@b.example", "reply": "hello"}]
    with pytest.warns(UserWarning, match=r"personal data \(1 EMAIL\)"):
        assert prepare_training_data(rows) == rows
    with pytest.raises(DataError, match=r"data\[0\]: `people` must be a list of mappings"):
        prepare_training_data([{"prompt": "A table, please", "people": 4}])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The three golden exports and a hundred tickets, imported and prepared."""
    rows = tickets(100)
    for kind, name in (("zendesk", "zendesk_account.jsonl"), ("intercom", "intercom.json")):
        rows += import_files(kind, [str(EXPORTS / name)])[0].rows
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare_folder([file], tmp_path / "prepared", Settings())
    return tmp_path / "prepared"


def test_a_prepared_folder_has_no_personal_data_of_its_export(folder: Path) -> None:
    text = "".join(file.read_text() for file in sorted(folder.iterdir()))
    planted = [
        "Quintero",
        "555 0132",
        "FR14",
        "omar.h",
        "203.0.113.77",
        "Okafor",
        "Nora",
        "sven.ek",
        "Harbour",
    ]
    assert [item for item in planted if item in text] == []
    assert "PRIVATE-NOTE" not in text
    assert "<NAME_1>" in text
    assert "LF-48213" in text  # an order's number is what a reply needs


def test_preparing_twice_changes_nothing(folder: Path, tmp_path: Path) -> None:
    again = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    prepared = prepare_rows(rows_of([row | {"split": "train"} for row in again]), Settings())
    same = [{key: row[key] for key in ("id", "thread", "customer", "prompt", "reply")} for row in again]
    got = [{key: row[key] for key in same[0]} for row in prepared.splits["train"]]
    assert got == same


def test_later_feedback_never_enters_the_frozen_test_set(folder: Path) -> None:
    manifest = folder / "manifest.json"
    test = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    train = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    refuse_frozen(train, manifest)
    for row in (
        {"prompt": test[0]["prompt"], "id": "a@b.example"},
        {"prompt": "Something else", "thread": "T99"},
        {"prompt": "Something else", "customer": "C99"},
    ):
        with pytest.raises(GateError, match="1 of 1 rows belong to the frozen test set") as caught:
            refuse_frozen([row], manifest)
        assert "a@b.example" not in str(caught.value)
    prompt = next(row["prompt"] for row in test if isinstance(row["prompt"], str))
    with pytest.raises(GateError, match="near-duplicate"):
        refuse_frozen([{"prompt": prompt + " lamp"}], manifest)


def test_every_copy_of_a_near_duplicate_of_the_frozen_test_set_is_left_out(folder: Path) -> None:
    manifest = folder / "manifest.json"
    test = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    frozen = next(row for row in test if isinstance(row["prompt"], str))
    near = frozen["prompt"] + " lamp"
    rows = [{"id": "0", "prompt": near, "thread": frozen["thread"]}]
    rows += [{"id": str(place), "prompt": near, "thread": f"N{place}"} for place in (1, 2)]
    rows.append({"id": "3", "prompt": near.upper() + "!", "thread": "N3"})
    found = find_frozen(rows, manifest)
    assert found[0] == "its thread is in the test set"
    assert {why.split(" (")[0] for place, why in found.items() if place} == {
        f"a near-duplicate of {frozen['id']}"
    }
    later = rows_of([*rows, {"id": "new", "thread": "N4", "prompt": "Is the lamp in stock?"}])
    prepared = prepare_rows(
        later, Settings(frozen=str(manifest), by="thread", test_share=0, validation_share=0)
    )
    assert [row["id"] for row in prepared.splits["train"]] == ["new"]


def test_the_frozen_test_set_is_as_far_from_later_rows_as_from_its_own(tmp_path: Path) -> None:
    rows = tickets(60)
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for likeness_of_its_own, asked, found in (
        (0.65, None, True), (0.65, 0.8, True), (0.8, None, False), (0.8, 0.65, True), (0.9, 0.8, False),
    ):  # fmt: skip
        out = tmp_path / f"{likeness_of_its_own} {asked}"
        test = prepare_folder([file], out, Settings(near_duplicate=likeness_of_its_own)).splits["test"]
        words = test[0]["prompt"].split()
        words[3] = words[15] = words[25] = "lamp"
        near = " ".join(words)
        assert 0.65 < likeness(near, test[0]["prompt"]) < 0.8
        assert bool(find_frozen([{"prompt": near}], out / "manifest.json", asked)) == found


def test_a_copy_of_a_row_that_was_left_out_is_left_out_also_in_its_thread() -> None:
    rows = tickets(60)
    said = rows[0]["prompt"] + " lamp"
    rows += [
        rows[0] | {"id": name, "thread": "later", "customer": "later", "prompt": said, "time": DAYS[40]}
        for name in ("first", "second")
    ]
    prepared = prepare_rows(rows_of(rows), Settings())
    assert [(one.id, one.of) for one in prepared.duplicates] == [("first", "t0"), ("second", "t0")]


def test_preparing_later_rows_leaves_the_frozen_test_set_out(folder: Path, tmp_path: Path) -> None:
    test = [json.loads(line)["id"] for line in (folder / "test.jsonl").read_text().splitlines()]
    known = [f"rows.jsonl:{number}" for number, row in enumerate(tickets(100), 1) if row["id"] in test]
    later = rows_of([*tickets(100), {"id": "new", "prompt": "Is the lamp in stock?", "time": DAYS[200]}])
    prepared = prepare_rows(later, Settings(frozen=str(folder / "manifest.json"), by="thread", test_share=0))
    assert known
    assert [str(one).split(": ")[0] for one in prepared.rejected] == known
    assert all(one.reason.startswith("of the frozen test set: ") for one in prepared.rejected)
    assert {len(rows) for name, rows in prepared.splits.items() if name == "test"} == {0}
    with pytest.raises(DataError, match="no manifest"):
        prepare_rows(later, Settings(frozen=str(tmp_path / "none.json")))


def test_a_model_card_says_what_its_rows_were_made_of(folder: Path) -> None:
    train = folder / "train.jsonl"
    settings = {"dataset": str(train)}
    found = dict(_lineage("base", settings, {}))["prepared from"]
    counts = json.loads((folder / "manifest.json").read_text())["counts"]
    assert found.startswith("rows.jsonl (SHA-256 ")
    assert f"; rows read {counts['rows read']}, rejected " in found
    train.write_text(train.read_text() + "\n")
    assert "prepared from" not in dict(_lineage("base", settings, {}))
    assert "prepared from" not in dict(_lineage("base", {"dataset": "support_tickets"}, {}))


def test_a_changed_test_file_is_refused(folder: Path) -> None:
    check_files(folder / "manifest.json")
    with (folder / "test.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(GateError, match="test was changed or removed"):
        check_files(folder / "manifest.json")


def test_the_report_is_one_offline_page_without_a_ticket(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "//" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.count("<svg") >= 2
    assert "Quintero" not in page
    test = json.loads((folder / "test.jsonl").read_text().splitlines()[0])
    assert str(test["prompt"])[:40] not in page


def test_what_rejected_rows_hold_stands_in_no_file_of_the_folder(tmp_path: Path) -> None:
    bad = [
        '{"prompt": "I am Jane Doe, jane.doe@gmail.com',
        json.dumps({"prompt": "hello", "satisfaction": "bad, says Jane Doe"}),
        json.dumps({"prompt": "hello", "split": "Jane Doe"}),
        json.dumps({"prompt": {"text": "Jane Doe"}}),
        json.dumps({"prompt": "hello", "reply": ["Jane Doe"]}),
        json.dumps({"prompt": [{"role": "Jane Doe", "content": "hello"}]}),
        json.dumps({"jane.doe@gmail.com": "hello"}),
        json.dumps({"id": "Jane Doe", "prompt": "hello, one"}),
        json.dumps({"id": "Jane Doe", "prompt": "hello, two"}),
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in tickets(60)) + "\n".join(bad))
    prepared = prepare_folder([file], tmp_path / "out", Settings())
    assert [one.line for one in prepared.rejected] == [61, 62, 63, 64, 65, 66, 67, 69]
    for name in ("rejected.jsonl", "report.html"):
        text = (tmp_path / "out" / name).read_text()
        assert "rows.jsonl" in text
        assert not [word for word in ("Jane", "jane.doe") if word in text]


def test_an_existing_folder_is_not_overwritten(folder: Path) -> None:
    before = (folder / "train.jsonl").read_bytes()
    with pytest.raises(DataError, match="nothing is overwritten"):
        prepare_folder(["support_tickets"], folder, Settings())
    assert (folder / "train.jsonl").read_bytes() == before


def test_the_bundled_tickets_are_prepared_by_template(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["data", "prepare", "support_tickets", "-o", str(tmp_path / "p"), "--by", "template"]
    )
    assert done.exit_code == 0, done.output
    names = {
        name: {
            json.loads(line)["template"]
            for line in (tmp_path / "p" / f"{name}.jsonl").read_text().splitlines()
        }
        for name in ("train", "validation", "test")
    }
    assert all(names.values())
    assert not (names["train"] | names["validation"]) & names["test"]
    assert not names["train"] & names["validation"]
