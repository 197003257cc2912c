"""Data sets of the library `datasets`: a folder that it saved, a folder of files, or a hub id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stateset.rl.data.rows import Row
from stateset.rl.errors import DataError, MissingExtraError


def read_hub_rows(name: str) -> list[Row]:
    """Rows of "NAME" or "NAME:SPLIT"; without a split the only one there is, or `train`.

    Raises:
        DataError: it cannot be loaded, or has no such split.
        MissingExtraError: `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("reading a hub data set needs datasets: pip install datasets") from error
    place, _, split = name.partition(":")
    try:
        folder = Path(place)
        saved = any((folder / mark).is_file() for mark in ("dataset_dict.json", "state.json"))
        found: Any = datasets.load_from_disk(place) if saved else datasets.load_dataset(place)
    except Exception as error:  # the library raises whatever its readers and its network client do
        raise DataError(f"{place}: cannot be loaded ({error}); check the folder or id.") from error
    if isinstance(found, dict):
        wanted = split or (next(iter(found)) if len(found) == 1 else "train")
        if wanted not in found:
            raise DataError(f"{place}: no split '{wanted}'; it has {', '.join(map(str, found))}.")
        found = found[wanted]
    elif split:
        raise DataError(f"{place}: this data set has no splits; leave out ':{split}'.")
    label = Path(place).name
    return [Row(dict(row), f"{label} row {number}") for number, row in enumerate(found, start=1)]
