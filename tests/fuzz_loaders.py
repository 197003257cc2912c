"""Fuzzing of everything that reads rows or settings: a value, or one of our errors that names the file.

    python tests/fuzz_loaders.py --minutes 10

`fuzz_atheris.py` does the same by coverage.

What was accepted is held to more than that: prompts are those that Python's own parser reads from the lines,
and every text can be written as UTF-8.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fuzz_inputs as inputs
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from stateset.rl.config.load import make_config, resolve_file
from stateset.rl.data.importers import import_files
from stateset.rl.data.importers.mapping import read_mapping
from stateset.rl.data.load import load_tasks
from stateset.rl.data.preparation import Settings
from stateset.rl.data.prepare_folder import prepare_folder
from stateset.rl.errors import StatesetRLError

LONGEST_MESSAGE = 2500
outcomes: Counter[str] = Counter()


@contextlib.contextmanager
def file_of(data: bytes, name: str) -> Iterator[Path]:
    """A file of this content in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        yield path


def refused_well(error: StatesetRLError, name: str) -> None:
    """An error of ours says where, and fits on a screen."""
    said = str(error)
    assert name in said, said
    assert len(said) <= LONGEST_MESSAGE, said
    outcomes[f"{name} refused"] += 1


def rows(data: bytes) -> None:
    """A .jsonl file."""
    with file_of(data, "rows.jsonl") as path:
        try:
            tasks = load_tasks(path)
        except StatesetRLError as error:
            refused_well(error, "rows.jsonl")
            return
    outcomes["rows.jsonl read"] += 1
    lines = [line.removeprefix("\ufeff") for line in data.decode("utf-8-sig").split("\n")]
    prompts = [json.loads(line)["prompt"] for line in lines if line.strip()]
    assert [task.prompt if isinstance(task.prompt, str) else list(task.prompt) for task in tasks] == [
        prompt if isinstance(prompt, str) else [{k: m[k] for k in ("role", "content")} for m in prompt]
        for prompt in prompts
    ]
    json.dumps([dict(task.context) for task in tasks], ensure_ascii=False, allow_nan=False).encode()


def table(data: bytes) -> None:
    """The same as .json and as .csv."""
    for name in ("rows.json", "rows.csv"):
        with file_of(data, name) as path:
            try:
                load_tasks(path)
                outcomes[f"{name} read"] += 1
            except StatesetRLError as error:
                refused_well(error, name)


def project(data: bytes) -> None:
    """A project file; another project's, too."""
    with file_of(data, "run.yaml") as path:
        try:
            resolve_file(path, strict=False)
            outcomes["run.yaml read"] += 1
        except StatesetRLError as error:
            refused_well(error, "")


def script(data: bytes) -> None:
    """A script with flags."""
    with file_of(data, "run.sh") as path:
        try:
            resolve_file(path, strict=False)
            outcomes["run.sh read"] += 1
        except StatesetRLError as error:
            refused_well(error, "")


def override(data: bytes) -> None:
    """`key=value` of a command line."""
    with contextlib.suppress(UnicodeDecodeError):
        try:
            make_config({}, overrides=[data.decode()])
            outcomes["override read"] += 1
        except StatesetRLError as error:
            refused_well(error, "")


def export(data: bytes) -> None:
    """An export of a help desk, and the mapping of a table."""
    for kind, name in (("zendesk", "tickets.json"), ("intercom", "chats.json"), ("jsonl", "table.jsonl")):
        with file_of(data, name) as path:
            try:
                import_files(kind, [str(path)])
                outcomes[f"{name} read"] += 1
            except StatesetRLError as error:
                refused_well(error, "")
    with file_of(data, "map.yaml") as path:
        try:
            read_mapping(path)
            outcomes["map.yaml read"] += 1
        except StatesetRLError as error:
            refused_well(error, "map.yaml")


def prepared(data: bytes) -> None:
    """`data prepare`."""
    with file_of(data, "rows.jsonl") as path:
        try:
            prepare_folder([str(path)], path.parent / "out", Settings())
            outcomes["prepare read"] += 1
        except StatesetRLError as error:
            refused_well(error, "")


_binary = st.binary(max_size=60)
_list = inputs.fine_lines.map(lambda lines: b"[" + lines.replace(b"\n", b",") + b"]")
_rows = st.one_of(
    inputs.lines, inputs.fine_lines, inputs.fine_lines, inputs.mutated(inputs.ROW_FILES), _binary
)
TARGETS: dict[str, tuple[Callable[[bytes], None], st.SearchStrategy[bytes]]] = {
    "rows": (rows, _rows),
    "table": (table, st.one_of(inputs.lines, _list, inputs.mutated(inputs.SMALL_TABLES), _binary)),
    "project": (project, st.one_of(inputs.project_files, inputs.mutated(inputs.YAML_FILES), _binary)),
    "script": (script, st.one_of(inputs.scripts, inputs.mutated([inputs.SCRIPT]))),
    "override": (override, inputs.overrides),
    "export": (export, st.one_of(inputs.mutated(inputs.EXPORT_FILES), inputs.lines)),
    "prepared": (prepared, _rows),
}


def hypothesis_round(name: str, examples: int, number: int) -> None:
    """So many examples of a loader; raises the smallest that breaks it."""
    target, data = TARGETS[name]
    fuzz: Any = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )(given(data)(target))  # fmt: skip
    seed(number)(fuzz)()


def main() -> None:
    """Fuzz for some minutes and print what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    wanted = parser.parse_args()
    end, number = time.monotonic() + 60 * wanted.minutes, int.from_bytes(os.urandom(4))
    while time.monotonic() < end:
        for name in TARGETS:
            hypothesis_round(name, 100, number)
        number += 1
    print(json.dumps(dict(sorted(outcomes.items())), indent=1))


if __name__ == "__main__":
    main()
