"""The text of a file of settings: UTF-8 (or UTF-16 with its mark), and no more than settings can need."""

from __future__ import annotations

import codecs
from pathlib import Path

from stateset.rl.errors import ConfigError

_BYTES = 1_000_000


def read_text(file: Path) -> str:
    """Read it.

    Raises:
        ConfigError: it cannot be read, is no text, or is far too long.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{file}: cannot be read ({reason}). Check the path.") from error
    if len(data) > _BYTES:
        raise ConfigError(f"{file}: more than {_BYTES} bytes, so no file of settings. Check the path.")
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{file.name}:{line}: not valid UTF-8 (byte 0x{data[error.start]:02x}). Save the file as UTF-8."
        ) from error
