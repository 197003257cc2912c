"""Files that a command may write: in a folder that is there, over no input and no prepared data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stateset.rl.errors import ConfigError


def check_output(file: Path, what: str, reads: Iterable[Path | str]) -> None:
    """Say no before all the work, not after it.

    Args:
        file: to be written.
        what: it holds, in words such as "the rows".
        reads: files that the command reads, or other sources.

    Raises:
        ConfigError: no such folder, a file that is read, or one of a folder that `data prepare` wrote.
    """
    from stateset.rl.data.frozen import manifest_of

    if file.is_dir() or not file.parent.is_dir():
        raise ConfigError(f"{what} cannot be {file}: name a file in a folder that is there")
    if file.exists() and any(Path(one).exists() and file.samefile(one) for one in reads):
        raise ConfigError(f"{what} cannot be {file}: this command reads it; name another file")
    if manifest_of(file) is not None:
        raise ConfigError(
            f"{what} cannot be {file}: it is prepared data, and {file.parent / 'manifest.json'} would no "
            "longer hold; name another file"
        )
