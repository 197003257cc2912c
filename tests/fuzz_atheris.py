"""The loaders of `fuzz_loaders.py`, by inputs that reach new branches: `pip install atheris`, then

PYTHONPATH=. python tests/fuzz_atheris.py -max_total_time=300 -rss_limit_mb=8192
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["stateset.rl.config", "stateset.rl.data", "yaml", "json", "csv"]):
    from fuzz_inputs import EXPORT_FILES, ROW_FILES, YAML_FILES
    from fuzz_loaders import TARGETS

NAMES = sorted(TARGETS)


def one(data: bytes) -> None:
    """The first byte says which loader."""
    if data:
        TARGETS[NAMES[data[0] % len(NAMES)]][0](data[1:])


with tempfile.TemporaryDirectory(prefix="corpus-") as corpus:
    for place, content in enumerate([*ROW_FILES, *YAML_FILES, *EXPORT_FILES]):
        for number in range(len(NAMES)):
            Path(corpus, f"{place}-{number}").write_bytes(bytes([number]) + content)
    atheris.Setup([*sys.argv, corpus], one)
    atheris.Fuzz()
