"""The manifest of a prepared folder, and the guard that keeps later rows out of its frozen test set.

Hashes say what the files held and which prompts, threads and customers the test set has; no text is in them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stateset.rl.data.near_duplicates import conversation_text, near_pairs, normal_text
from stateset.rl.data.pii import Pseudonyms
from stateset.rl.data.pii.pseudonyms import hashed
from stateset.rl.data.rows import is_missing
from stateset.rl.errors import DataError, GateError
from stateset.rl.manifest import fingerprint, to_json

FORMAT = 1
_SHOWN = 5


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def row_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 of all that a row holds, whatever the order of its columns."""
    return hashlib.sha256(to_json(_sorted(row)).encode("utf-8", "backslashreplace")).hexdigest()


def prompt_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 of what the prompt says, the same for any numbers, placeholders, case and system message."""
    text = conversation_text(row)
    return fingerprint([normal_text(Pseudonyms([row]).text(text))])


def frozen_part(rows: Sequence[Mapping[str, Any]], by: str) -> dict[str, Any]:
    """What the manifest says of the test set."""
    return {
        "by": by,
        "rows": [row_hash(row) for row in rows],
        "prompts": sorted({prompt_hash(row) for row in rows}),
        "threads": _values(rows, "thread"),
        "groups": _values(rows, by),
    }


def check_files(manifest: Path) -> dict[str, Any]:
    """Read a manifest and compare the folder's files with it.

    Raises:
        DataError: no such manifest, or of another format.
        GateError: a file is missing or was changed since.
    """
    found = _read(manifest)
    for name, split in found["splits"].items():
        file = manifest.parent / split["file"]
        if not file.is_file() or file_hash(file) != split["sha256"]:
            raise GateError(
                f"{file} is not the file of {manifest}: {name} was changed or removed; prepare it again."
            )
    return found


def manifest_of(file: Path) -> dict[str, Any] | None:
    """The manifest of the prepared folder that a file is part of; None without one, or if it was changed."""
    manifest = file.parent / "manifest.json"
    if not (manifest.is_file() and file.is_file()):
        return None
    try:
        found = _read(manifest)
    except DataError:  # of something else, such as a run
        return None
    hashes = {part["file"]: part["sha256"] for part in found["splits"].values()}
    return found if hashes.get(file.name) == file_hash(file) else None


def find_frozen(
    rows: Sequence[Mapping[str, Any]],
    manifest: Path | str | Mapping[str, Any],
    near_duplicate: float | None = None,
) -> dict[int, str]:
    """Places of rows that would bring the test set into training, each with the reason.

    Args:
        rows: later rows, such as feedback; raw or prepared.
        manifest: of the prepared folder. As a path, the folder's test file must be unchanged, and
            near-duplicates of its prompts are found too; a mapping knows only the hashes.
        near_duplicate: similarity from which prompts count as the same, where it is less than the folder's.

    Raises:
        GateError: a file of the folder was changed or removed.
        DataError: no such manifest, or a similarity that makes no sense.
    """
    found = dict(manifest) if isinstance(manifest, Mapping) else check_files(Path(manifest))
    problems = _by_hashes(rows, found["frozen"])
    if isinstance(manifest, Mapping):
        return problems
    test = Path(manifest).parent / found["splits"]["test"]["file"]
    own = found["settings"]["near_duplicate"]
    return _by_likeness(rows, test, own if near_duplicate is None else min(own, near_duplicate)) | problems


def refuse_frozen(rows: Iterable[Mapping[str, Any]], manifest: Path | str | Mapping[str, Any]) -> None:
    """Say no to rows that would bring the test set into training; arguments as for `find_frozen`.

    Raises:
        GateError: a row has a prompt, a thread or a customer of the test set; the message names the first.
        DataError: no such manifest.
    """
    given = list(rows)
    problems = find_frozen(given, manifest)
    if problems:
        lines = [
            f"row {place + 1} ({_shown_id(given[place])}): {problems[place]}" for place in sorted(problems)
        ]
        more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        raise GateError(
            f"{len(lines)} of {len(given)} rows belong to the frozen test set and must not be trained on; "
            "leave them out:\n  " + "\n  ".join([*lines[:_SHOWN], *more])
        )


def _shown_id(row: Mapping[str, Any]) -> str:
    return Pseudonyms([row]).text(str(row.get("id", "no id")))


def _by_hashes(rows: Sequence[Mapping[str, Any]], frozen: Mapping[str, Any]) -> dict[int, str]:
    by = frozen["by"]
    prompts, threads, groups = (frozenset(frozen[name]) for name in ("prompts", "threads", "groups"))
    problems = {}
    for place, row in enumerate(rows):
        if prompt_hash(row) in prompts:
            problems[place] = "its prompt is one of the test set"
        elif _value(row, "thread") in threads:
            problems[place] = "its thread is in the test set"
        elif _value(row, by) in groups:
            problems[place] = f"its {by} is in the test set"
    return problems


def _by_likeness(rows: Sequence[Mapping[str, Any]], test: Path, threshold: float) -> dict[int, str]:
    frozen = [json.loads(line) for line in test.read_text(encoding="utf-8").splitlines() if line]
    texts = [conversation_text(row) for row in frozen]
    texts += [Pseudonyms([row]).text(conversation_text(row)) for row in rows]
    problems: dict[int, str] = {}
    for first, second, similarity in near_pairs(texts, threshold):  # pairs with the test set come first
        if first < len(frozen) <= second:
            name = frozen[first].get("id", "a row")
            problems[second] = f"a near-duplicate of {name} ({similarity:.0%} the same)"
        elif similarity == 1.0 and first in problems:  # copies make a pair with the first alone
            problems[second] = problems[first]
    return {place - len(frozen): why for place, why in problems.items()}


def _read(manifest: Path) -> dict[str, Any]:
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{manifest}: no manifest ({error}); make one with `stateset-rl data prepare`."
        ) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{manifest}: no manifest of a prepared folder in format {FORMAT}; prepare it again.")
    return found


def _values(rows: Sequence[Mapping[str, Any]], column: str) -> list[str]:
    return sorted({value for row in rows if (value := _value(row, column))})


def _value(row: Mapping[str, Any], column: str) -> str:
    """Customers and threads are compared by their hashes, so raw rows may come, too."""
    if is_missing(row.get(column)):
        return ""
    return hashed(column, row[column]) if column in ("customer", "thread") else str(row[column])


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value
