"""Broken files of rows and settings: each is read rightly or refused with file, line and remedy.

Nothing that a person cannot have meant trains: a key given twice, half a character, a number that is none.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stateset.rl.cli import main
from stateset.rl.config.load import load_config, make_config
from stateset.rl.data.importers import import_files
from stateset.rl.data.load import load_tasks
from stateset.rl.errors import ConfigError, DataError

BOM = b"\xef\xbb\xbf"
NESTED = b"[" * 60 + b"]" * 60
READ = {
    "byte order mark": (BOM + b'{"prompt":"a"}\n', ["a"]),
    "marks of files that were joined": (BOM + b'{"prompt":"a"}\n' + BOM + b'{"prompt":"b"}', ["a", "b"]),
    "crlf": (b'{"prompt":"a"}\r\n\r\n{"prompt":"b"}\r\n', ["a", "b"]),
    "no final newline": (b'{"prompt":"a"}\n{"prompt":"b"}', ["a", "b"]),
    "line separators inside a text": ('{"prompt":"a\u2028b\u0085c"}\n'.encode(), ["a\u2028b\u0085c"]),
    "a pair of escapes is one character": (b'{"prompt":"\\ud83d\\ude00"}\n', ["\U0001f600"]),
}


@pytest.mark.parametrize("name", READ)
def test_lines_that_are_read(name: str, tmp_path: Path) -> None:
    data, prompts = READ[name]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(data)
    assert [task.prompt for task in load_tasks(file)] == prompts


REFUSED = {  # the second line of a file
    "bare carriage returns": (b'{"prompt":"a"}\r{"prompt":"b"}', "lines end with CR alone: save the file"),
    "raw NUL": (b'{"prompt":"a\0b"}', "it holds NUL bytes"),
    "block of NUL": (b"\0" * 64, "it holds NUL bytes, as a half-written"),
    "escaped NUL": (b'{"prompt":"a\\u0000b"}', "`prompt` holds a NUL at character 2"),
    "half a pair in the prompt": (b'{"prompt":"a\\ud800"}', "`prompt` holds half a surrogate pair at char"),
    "half a pair in the answer": (b'{"prompt":"a","answer":"\\ud800"}', "`answer` holds half a surrogate"),
    "half a pair in an id": (b'{"prompt":"a","id":"\\udfff"}', "`id` holds half a surrogate pair"),
    "half a pair in the context": (b'{"prompt":"a","x":{"y":["\\ud800"]}}', "`x.y.0` holds half a surrogate"),
    "half a pair in a name": (b'{"prompt":"a","\\ud800":1}', "`\\ud800` holds half a surrogate pair"),
    "key twice": (b'{"prompt":"a","prompt":"b"}', "the key `prompt` twice"),
    "key twice inside": (b'{"prompt":"a","context":{"x":1,"x":2}}', "the key `x` twice"),
    "cut line": (b'{"prompt":"a', "not valid JSON (Unterminated string starting at column 11)"),
    "not UTF-8": (b'{"prompt":"a\xff"}', "not UTF-8 (byte 0xff); save the file as UTF-8"),
    "too deep for a copy": (b'{"prompt":"a","x":' + NESTED + b"}", "is nested more than 50 deep"),
    "too deep for the parser": (b'{"x":' + b"[" * 99999, "nested too deeply"),
    "number of 5,000 digits": (b'{"prompt":"a","x":' + b"9" * 5000 + b"}", "a number of 5000 digits"),
    "number beyond a float": (b'{"prompt":"a","x":1e999}', "the number 1e999 is too large"),
    "infinity": (b'{"prompt":"a","answer":-Infinity}', "-Infinity, which is no number of JSON"),
    "NaN as the prompt": (b'{"prompt":NaN}', "`prompt` must be text or a list of messages"),
    "a comma behind it": (b'{"prompt":"a"},', "Extra data at column 15"),
    "a list of rows": (b'[{"prompt":"a"}]', "a row is a mapping from column names to values, not list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_lines_that_are_refused(name: str, tmp_path: Path) -> None:
    line, message = REFUSED[name]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"prompt":"fine"}\n' + line + b"\n")
    with pytest.raises(DataError) as caught:
        load_tasks(file)
    said = str(caught.value)
    assert said.startswith("rows.jsonl:2: ")
    assert message in said
    assert len(said) < 500
    assert said.isprintable(), "it goes to a terminal"


def test_nan_is_a_gap_and_not_the_answer_nan(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt":"a","answer":NaN,"stars":NaN,"price":1.5}')
    [task] = load_tasks(file)
    assert task.answer is None
    assert task.context == {"stars": None, "price": 1.5}


def test_a_line_of_50_megabytes_is_read(tmp_path: Path) -> None:
    file, long = tmp_path / "rows.jsonl", "word " * 10_000_000
    file.write_text(json.dumps({"prompt": "a", "log": long}))
    [task] = load_tasks(file)
    assert task.context["log"] == long


def test_a_huge_value_makes_no_huge_message(tmp_path: Path) -> None:
    file, huge = tmp_path / "rows.jsonl", "x" * 100_000
    for row in (
        {"prompt": {"a": huge}},
        {huge: 1},
        {"prompt": [{"role": huge, "content": ""}]},
        {"prompt": [{"role": "user", "content": "", huge: 1}]},
    ):
        file.write_text(json.dumps(row))
        with pytest.raises(DataError) as caught:
            load_tasks(file)
        assert len(str(caught.value)) < 500
    file.write_text(f"{json.dumps({'prompt': 'a', 'id': huge})}\n" * 2)
    with pytest.raises(DataError, match=r"is also that of rows\.jsonl:1") as caught:
        load_tasks(file)
    assert len(str(caught.value)) < 500


def test_json_and_exports_are_as_strict(tmp_path: Path) -> None:
    whole, export = tmp_path / "rows.json", tmp_path / "tickets.json"
    whole.write_text('[\n{"prompt": "a"},\n{"prompt": "b",}]')
    with pytest.raises(DataError, match=r"rows.json:3: not valid JSON \(Expecting property name"):
        load_tasks(whole)
    whole.write_text('[{"prompt": "a", "prompt": "b"}]')
    with pytest.raises(DataError, match="the key `prompt` twice"):
        load_tasks(whole)
    export.write_text('{"tickets": [{"id": 1, "id": 2}]}')
    with pytest.raises(DataError, match="the key `id` twice"):
        import_files("zendesk", [str(export)])


TAGS = "tags such as .* are not supported: write the plain value"
SETTINGS = {  # the second line of a project file
    "alias bomb": (b"objective: [&a [x, x], &b [*a, *a]]", "aliases are not supported"),
    "key twice": (b"seed: 1", "`seed` stands here again .first in line 1.. Remove one"),
    "key twice in one line": (b"warm_start: {epochs: 1, epochs: 2}", "`warm_start.epochs` stands here again"),
    "key twice in a list": (b"objective: [{a: 1, a: 2}]", "a key stands in a mapping twice"),
    "python call": (b"objective: !!python/object/apply:os.system [touch pwned]", TAGS),
    "python name": (b"objective: !!python/name:os.system", TAGS),
    "tag of a number": (b'epochs: !!int ""', TAGS),
    "tag of a truth": (b"lora: !!bool x", TAGS),
    "own tag": (b"epochs: !x 1", TAGS),
    "deep lists": (b"objective: " + b"[" * 5000, "nested more than 20 deep"),
    "deep mappings": (b"{a: " * 3000, ":2: "),
    "NUL": (b"objective: a\0b", "the character #x0000 cannot stand in YAML"),
    "escaped NUL": (b'dataset: "a\\0b"', "a NUL or half a surrogate pair in a text"),
    "half a pair": (b'dataset: "\\ud800"', "a NUL or half a surrogate pair in a text"),
    "not UTF-8": (b"objective: caf\xe9", "not valid UTF-8 .byte 0xe9.. Save the file as UTF-8"),
    "hex of 24,000 bits": (b"epochs: 0x" + b"f" * 6000, "a number of more than 64 bits"),
    "number of 6,000 digits": (b"epochs: " + b"9" * 6000, "a number of more than 64 bits"),
    "base 60": (b"epochs: 1" + b":59" * 11, "a number of more than 64 bits"),
    "base 60 beyond a float": (b"temperature: 1" + b":59" * 999 + b".5", "an impossible value"),
    "not a number": (b"temperature: .nan", "it must be a finite number"),
    "number beyond a float": (b"learning_rate: 1e999", "it must be a finite number"),
    "month 13": (b"objective: 2020-13-01", "an impossible value .month must be in 1..12"),
    "list as a key": (b"? [a, b]\n: 1", "a key must be one word"),
    "endless key": (b"k" * 900 + b": 1", "a key must be one word of at most 200 characters"),
    "tabulator": (b"\tepochs: 1", "Correct the YAML there"),
    "two documents": (b"---\nepochs: 1", "another document"),
    "long value": (b"epochs: " + b"x" * 100_000, "it must be a valid integer"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_project_files_that_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line, message = SETTINGS[name]
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "run.yaml"
    file.write_bytes(b"seed: 1\n" + line + b"\n")
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(file)
    assert str(caught.value).startswith("run.yaml:")
    assert "run.yaml:1" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_a_huge_project_file_is_not_read(tmp_path: Path) -> None:
    for name in ("run.yaml", "run.sh"):
        file = tmp_path / name
        with file.open("wb") as opened:
            opened.truncate(10**12)  # sparse; reading it would take the machine down
        with pytest.raises(ConfigError, match="more than 1000000 bytes, so no file of settings"):
            load_config(file)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_of_an_editor_and_crlf_are_fine(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes("seed: 3\r\nobjective: café".encode(encoding))
    config = load_config(file)
    assert (config.seed, config.objective) == (3, "café")


def test_variables_of_a_script_cannot_grow_without_end(tmp_path: Path) -> None:
    file = tmp_path / "run.sh"
    lines = ["A=xxxxxxxxxxxxxxxx", *["A=$A$A"] * 40, "python -m trainer --model_name_or_path $A"]
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"run.sh:\d+: variables make a text of \d+ characters"):
        load_config(file)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=99999999999999999999999", "a number of more than 64 bits"),
        ("objective=!!python/object/apply:os.system [ls]", "tags such as"),
        ("warm_start={epochs: 1, epochs: 2}", "a key stands in a mapping twice"),
        (f"betas={'[' * 5000}", "nested more than 20 deep"),
        ("objective=[&a x, *a]", "aliases are not supported"),
    ],
)
def test_overrides_are_as_strict_and_say_why(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_config({}, overrides=[override])
    assert len(str(caught.value)) < 500


def test_a_seed_is_one_that_every_generator_takes() -> None:
    import torch

    torch.manual_seed(make_config({"seed": 2**63 - 1}).seed)
    with pytest.raises(ConfigError, match="`seed` is 9223372036854775808"):
        make_config({"seed": 2**63})


@pytest.mark.parametrize("name", ["key twice", "half a pair in the context", "number of 5,000 digits"])
def test_the_command_line_says_the_same_and_leaves_nothing(
    name: str, tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATESET_RL_TRACEBACK", raising=False)
    (tmp_path / "rows.jsonl").write_bytes(b'{"prompt":"fine"}\n' + REFUSED[name][0] + b"\n")
    (tmp_path / "run.yaml").write_text(f"model: {tiny_llama}\ndataset: rows.jsonl\nreward: r:R\n")
    before = sorted(tmp_path.iterdir())
    for command in (("train", "run.yaml"), ("plan", "run.yaml")):
        with pytest.raises(SystemExit) as ended:
            main(command)
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (2, "")
        assert err.startswith("error: rows.jsonl:2: ")
        assert REFUSED[name][1] in err
        assert "Traceback" not in err
        assert sorted(tmp_path.iterdir()) == before


def test_data_prepare_turns_bad_rows_away_with_line_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    subjects = ("lamp", "chair", "invoice", "password", "parcel", "refund", "garden hose", "voucher")
    good = [
        json.dumps({"prompt": f"Question {number} about my {what}", "reply": "Yes.", "customer": what})
        for number, what in enumerate(subjects)
    ]
    bad = [line for line, _ in REFUSED.values() if b"\xff" not in line]
    data = b"\n".join([*(line.encode() for line in good), *bad])
    (tmp_path / "rows.jsonl").write_bytes(BOM + data)
    with pytest.raises(SystemExit) as ended:
        main(["data", "prepare", "rows.jsonl", "-o", "prepared", "--validation-share", "0.2"])
    err = capsys.readouterr().err
    assert ended.value.code == 0, err
    assert "Traceback" not in err
    rejected = [json.loads(line) for line in (tmp_path / "prepared/rejected.jsonl").read_text().splitlines()]
    assert [one["line"] for one in rejected] == list(range(len(good) + 1, len(good) + len(bad) + 1))
    trained = load_tasks(tmp_path / "prepared/train.jsonl")
    assert {task.context["reply"] for task in trained} == {"Yes."}


def test_config_explain_refuses_a_bomb_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    levels = "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    (tmp_path / "run.yaml").write_text(f"a: &a [lol]\n{levels}")
    with pytest.raises(SystemExit) as ended:
        main(["config", "explain", "run.yaml"])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err == "error: run.yaml:2: aliases are not supported. Correct the YAML there.\n"


DEEP = "[" * 100_000


def test_hostile_json_of_other_kinds_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/manifest.json").write_text(DEEP)
    (tmp_path / "job.json").write_text(DEEP)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}')
    for command in (("runs", "show", "run"), ("import", "openai-rft", "job.json", "rows.jsonl")):
        with pytest.raises(SystemExit) as ended:
            main(command)
        err = capsys.readouterr().err
        assert ended.value.code in (1, 2)
        assert "manifest.json" in err or "job.json" in err
        assert "unexpected" not in err
