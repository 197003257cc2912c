"""A short fuzzing of every loader; under STATESET_LONG=1 ten minutes of it (see `fuzz_loaders.py`)."""

from __future__ import annotations

import os
import time

import pytest
from fuzz_loaders import TARGETS, hypothesis_round

MINUTES = 10.0 if os.environ.get("STATESET_LONG") else 0.0


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_loader(name: str) -> None:
    end, number = time.monotonic() + 60 * MINUTES / len(TARGETS), 0
    while not number or time.monotonic() < end:
        hypothesis_round(name, 100 if MINUTES else 30, number)
        number += 1
