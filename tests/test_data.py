"""Rows into tasks, from every kind of source, and what a bad row is told."""

import builtins
import json
import os
import re
from pathlib import Path

import datasets
import pytest

from stateset.rl.data.difficulty import filter_by_difficulty
from stateset.rl.data.json_text import elements, parse_json
from stateset.rl.data.load import load_tasks
from stateset.rl.errors import DataError, MissingExtraError
from stateset.rl.types import Task

ROW = {
    "id": "t1",
    "prompt": "Where is my order?",
    "answer": "In transit",
    "difficulty": "easy",
    "city": "Oslo",
}
TASK = Task(
    id="t1",
    prompt="Where is my order?",
    answer="In transit",
    difficulty="easy",
    context={"answer": "In transit", "city": "Oslo"},
)


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write_file


def without_source(task):
    return {name: getattr(task, name) for name in ("id", "prompt", "answer", "difficulty", "context")}


def refusal(source, **options):
    with pytest.raises(DataError) as caught:
        load_tasks(source, **options)
    return str(caught.value)


def parquet(path):
    datasets.Dataset.from_list([ROW]).to_parquet(path)
    return path


SOURCES = {
    "jsonl": lambda write: (write("a.jsonl", json.dumps(ROW)), "a.jsonl:1"),
    "json": lambda write: (write("a.json", json.dumps([ROW], indent=1)), "a.json:2 row 1"),
    "csv": lambda write: (write("a.csv", f"{','.join(ROW)}\n{','.join(ROW.values())}\n"), "a.csv:2"),
    "bom": lambda write: (
        write("a.csv", f"\ufeff{','.join(ROW)}\r\n{','.join(ROW.values())}\r\n"),
        "a.csv:2",
    ),
    "parquet": lambda write: (parquet(write("a.parquet", "")), "a.parquet row 1"),
    "path as text": lambda write: (str(write("a.JSONL", "\n" + json.dumps(ROW))), "a.JSONL:2"),
    "list": lambda write: ([ROW], "data[0]"),
    "generator": lambda write: ((row for row in [ROW]), "data[0]"),
    "dataset": lambda write: (datasets.Dataset.from_list([ROW]), "data[0]"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same_task(write, kind):
    source, where = SOURCES[kind](write)
    (task,) = load_tasks(source)
    assert without_source(task) == without_source(TASK)
    assert task.source == where


def test_tasks_pass_as_they_are():
    (task,) = load_tasks([TASK])
    assert task is TASK
    assert "id 't1' is also that of" in refusal([TASK, TASK])


def test_a_name_for_the_source(write):
    assert load_tasks([ROW], name="tickets")[0].source == "tickets[0]"
    assert load_tasks(write("a.jsonl", json.dumps(ROW)), name="tickets")[0].source == "tickets:1"


def test_context_column_and_other_columns_are_merged():
    (task,) = load_tasks(
        [{"prompt": "hi", "context": {"plan": "pro", "city": "Oslo"}, "city": "Oslo", "age": 3}]
    )
    assert task.context == {"plan": "pro", "city": "Oslo", "age": 3}
    assert "`city` is a column and differs" in refusal(
        [{"prompt": "hi", "context": {"city": "a"}, "city": "b"}]
    )
    assert "`answer` is a column and differs" in refusal(
        [{"prompt": "hi", "context": {"answer": "a"}, "answer": "b"}]
    )


def test_missing_values_and_numbers():
    nan = float("nan")
    rows = [
        {"prompt": "a", "id": None, "answer": nan, "difficulty": "", "context": None},
        {"prompt": "b", "id": 7, "answer": 4, "difficulty": 2},
    ]
    first, second = load_tasks(rows)
    assert (first.answer, first.difficulty, first.context) == (None, None, {})
    assert (second.id, second.answer, second.difficulty, second.context) == ("7", "4", "2", {"answer": "4"})


def test_ids_come_from_the_content_not_the_place():
    a, b = {"prompt": "a"}, {"prompt": "b", "city": "Oslo"}
    first, second = load_tasks([a, b])
    swapped = load_tasks([b, a])
    assert [task.id for task in swapped] == [second.id, first.id]
    assert first.id != second.id
    assert load_tasks([{"prompt": "a", "answer": "x"}])[0].id != first.id
    # Pinned: seeds of sampled responses depend on it.
    assert first.id == "65e1aea19714"


def test_repeated_rows_get_ids_of_their_own():
    first, second, third = load_tasks([{"prompt": "a"}] * 3)
    assert (second.id, third.id) == (f"{first.id}-2", f"{first.id}-3")
    again = load_tasks([{"prompt": "a", "id": first.id}, {"prompt": "a"}])
    assert [task.id for task in again] == [first.id, second.id]


def test_duplicate_ids_name_both_rows(write):
    rows = [{"prompt": "a", "id": 1}, {"prompt": "b", "id": "2"}, {"prompt": "c", "id": "1"}]
    file = write("a.jsonl", "\n".join(map(json.dumps, rows)))
    assert refusal(file) == "a.jsonl:3: id '1' is also that of a.jsonl:1; make ids unique."


def test_line_separator_inside_a_string_is_no_new_line(write):
    (task,) = load_tasks(write("a.jsonl", '{"prompt": "a\u2028b"}'))
    assert task.prompt == "a\u2028b"


def test_csv_cells_with_line_breaks_keep_the_line_numbers(write):
    tasks = load_tasks(write("a.csv", 'prompt,answer\n"a\nb",1\n\nc,\n'))
    assert [(task.prompt, task.answer, task.source) for task in tasks] == [
        ("a\nb", "1", "a.csv:2"),
        ("c", None, "a.csv:5"),
    ]


MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi", "name": None}]


def test_messages():
    (task,) = load_tasks([{"prompt": MESSAGES}])
    assert task.prompt == ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"})
    assert task.question == "hi"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([*MESSAGES, {"role": "assistant", "content": "hello"}], "ends with an assistant message"),
        (
            [{"role": "bot", "content": "x"}],
            r"`prompt[0]` has an unknown role; use one of system, user, assistant, tool",
        ),
        ([*MESSAGES, {"role": "user"}], "`prompt[2]` has content of type NoneType"),
        ([{"role": "user", "content": "x", "tool_calls": [1]}], "`prompt[0]` has unknown `tool_calls`"),
        (["hi"], "`prompt[0]` must be a mapping"),
        ([{"role": "user", "content": " "}], "no user message with text"),
        (
            [{"role": "user", "content": "\ud800"}],
            "`prompt.0.content` holds half a surrogate pair at character 1",
        ),
        ([], "no user message with text"),
        (" \n", "`prompt` is empty"),
        ("a\ud800", "`prompt` holds half a surrogate pair at character 2"),
        (None, "not NoneType"),
        (float("nan"), "not float"),
        (b"hi", "not bytes"),
        ({"role": "user"}, "not dict"),
    ],
)
def test_unusable_prompts(prompt, message):
    assert message in refusal([{"prompt": "fine"}, {"prompt": prompt}])
    assert refusal([{"prompt": prompt}]).startswith("data[0]: ")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "x"}, "no `prompt`; rename `question` to `prompt` (columns found: question)"),
        ({"promt": "x", "text": "y"}, "rename `promt` to `prompt` (columns found: promt, text)"),
        ({"a": 1}, "name the column with the question `prompt` (columns found: a)"),
        ({}, "(columns found: none)"),
        ({"prompt": "x", "answer": ["y"]}, "`answer` must be text or a number, not list"),
        ({"prompt": "x", "id": True}, "`id` must be text or a number, not bool"),
        ({"prompt": "x", "context": "y"}, "`context` must be a mapping with text keys, not str"),
        ({"prompt": "x", "context": {1: "y"}}, "`context` must be a mapping with text keys"),
        ({"prompt": "x", 3: 1}, "a row is a mapping from column names to values"),
        ("x", "a row is a mapping from column names to values, not str"),
    ],
)
def test_unusable_rows(row, message):
    assert message in refusal([row])


def test_all_bad_lines_are_counted_and_five_are_shown(write):
    lines = ['{"prompt": "fine"}', '{"prompt": "x",}', *['{"prompt": ""}'] * 6]
    shown = refusal(write("tickets.jsonl", "\n".join(lines))).splitlines()
    assert shown[0] == "tickets.jsonl: 7 rows cannot be used:"
    assert shown[1].startswith("  tickets.jsonl:2: not valid JSON (")
    assert shown[1].endswith("); correct or remove the line.")
    assert [line.split(":")[1] for line in shown[2:6]] == ["3", "4", "5", "6"]
    assert shown[6:] == ["  ... and 2 more"]


def test_no_text_of_a_row_is_in_the_message(write):
    lines = ['{"prompt": "I am Jane Doe', '{"prompt": 4155550132}', '{"prompt": [{"role": "Jane"}]}']
    assert not re.search("Jane|4155550132", refusal(write("a.jsonl", "\n".join(lines))))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "a.jsonl: no rows"),
        ("a.json", "[]", "a.json: no rows"),
        ("a.csv", "prompt\n", "a.csv: no rows"),
        ("a.jsonl", b'{"prompt": "ok"}\n{"prompt": "caf\xe9"}', "a.jsonl:2: not UTF-8 (byte 0xe9)"),
        ("a.csv", "prompt\nhi\n".encode("utf-16"), "the file is UTF-16 or UTF-32; save it as UTF-8"),
        ("a.jsonl", "[" * 100_000, "a.jsonl:1: not valid JSON"),
        ("a.json", '{"prompt": "x"}\n{"prompt": "y"}', "a.json:2: not valid JSON (Extra data at column 1)"),
        ("a.json", '{"prompt": "x"}', "expected a list of rows, found dict"),
        ("a.csv", "prompt;answer\nx;y", "a.csv:1: the columns 'prompt;answer' are not separated by commas"),
        ("a.csv", "prompt,prompt\nx,y", "a.csv:1: column `prompt` stands in the header twice"),
        ("a.csv", "prompt,answer\nx,y,z", "a.csv:2: 3 cells, but the header has 2"),
        ("a.csv", "prompt,answer\nx", "a.csv:2: 1 cells, but the header has 2"),
        ("a.csv", 'prompt\nx\n"y', "a.csv:3: not valid CSV"),
        (
            "a.csv",
            'prompt\n"x\ny"\n"z\nv\nw\n',
            "a.csv:4: not valid CSV (unexpected end of data); a quote of the row",
        ),
        (
            "a.csv",
            'prompt\nx\n"y' + "z\n" * 99_999,
            "a.csv:3: not valid CSV (field larger than field limit (131072))",
        ),
        ("a.csv", f'prompt\n"{"z" * 140_000}"', "or convert the file to .jsonl, which has no limit"),
        (
            "a.json",
            '[{"prompt": "a"},\n\n{"prompt": ""}, {"prompt": "b"}]',
            "a.json:3 row 2: `prompt` is empty",
        ),
        (
            "a.json",
            '[{"prompt": "a"},\n {"prompt": "a", "prompt": "b"}]',
            "a.json:2: not valid JSON (the key `prompt`",
        ),
        (
            "a.json",
            '[\n{"prompt": "a", "x": ' + "9" * 5000 + "}]",
            "a.json:2: not valid JSON (a number of 5000 digits",
        ),
        ("a.json", '[{"prompt": "a"}, {"prompt": "",\n"answer": 1}]', "a.json:1 row 2: `prompt` is empty"),
        ("a.parquet", "x", "a.parquet: not a readable parquet file"),
        ("a.txt", "x", "unknown format '.txt'; convert it to one of .jsonl, .json, .csv, .parquet"),
    ],
)
def test_unusable_files(write, name, content, message):
    assert message in refusal(write(name, content))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", []),
        ("\ufeff [\n] ", []),
        ("[1,2]", [(1, "1"), (1, "2")]),
        (
            '\n[\n"[\\n,",\r\n\t[[],\n{"]": [1,\n2]}]\n,null\n]',
            [(3, '"[\\n,"'), (4, '[[],\n{"]": [1,\n2]}]'), (7, "null")],
        ),
    ],
)
def test_the_line_of_each_element(text, found):
    assert parse_json(text) == [json.loads(element) for _, element in found]
    assert list(elements(text)) == found


def test_missing_files(write, tmp_path):
    write("tickets.jsonl", "")
    assert f"did you mean {tmp_path / 'tickets.jsonl'}?" in refusal(tmp_path / "tikets.jsonl")
    assert "data files there: tickets.jsonl" in refusal(tmp_path / "qqq")
    assert "check the path" in refusal(tmp_path / "none" / "qqq")
    assert "is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert refusal(tmp_path / "pipe.jsonl").endswith(
        "pipe.jsonl is a pipe, a device or a socket; write its rows to a file and give that."
    )


def test_unreadable_file(write, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied")

    file = write("a.jsonl", "{}")
    monkeypatch.setattr(Path, "read_bytes", deny)
    assert "cannot be read (Permission denied)" in refusal(file)


def test_parquet_without_pyarrow(write, monkeypatch):
    real = builtins.__import__

    def without_pyarrow(name, *args, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    with pytest.raises(MissingExtraError, match=r"pip install 'stateset-rl\[parquet\]'"):
        load_tasks(write("a.parquet", ""))


def test_unusable_sources():
    assert "this dataset has splits (train); give one" in refusal(
        datasets.DatasetDict(train=datasets.Dataset.from_list([ROW]))
    )
    assert "cannot read rows from dict" in refusal({"prompt": "x"})
    assert "cannot read rows from int" in refusal(5)
    assert refusal([]) == "data: no rows; give a dataset with at least one."


LEVELS = [
    {"prompt": "a", "difficulty": "easy"},
    {"prompt": "b", "difficulty": "hard"},
    {"prompt": "c", "difficulty": "easy"},
]


def test_filter_by_difficulty_keeps_the_kind():
    assert filter_by_difficulty(LEVELS, "easy") == [LEVELS[0], LEVELS[2]]
    tasks = load_tasks(LEVELS)
    assert filter_by_difficulty(tasks, "hard") == [tasks[1]]
    chosen = filter_by_difficulty(datasets.Dataset.from_list(LEVELS), "easy")
    assert isinstance(chosen, datasets.Dataset)
    assert chosen["prompt"][:] == ["a", "c"]


def test_unknown_difficulty_lists_the_levels():
    with pytest.raises(DataError, match=r"no row has difficulty 'medium'. Levels found: easy, hard."):
        filter_by_difficulty(LEVELS, "medium")
    with pytest.raises(DataError, match="No row has a `difficulty`"):
        filter_by_difficulty([{"prompt": "a"}], "easy")


def test_a_difficulty_may_stand_in_the_context_and_a_name_is_no_list() -> None:
    rows = [{"prompt": "a", "context": {"difficulty": "easy"}}, {"prompt": "b", "difficulty": "hard"}]
    assert filter_by_difficulty(rows, "easy") == rows[:1]
    with pytest.raises(DataError, match="these rows are a str: give a list"):
        filter_by_difficulty("support_tickets", "easy")  # type: ignore[type-var]
