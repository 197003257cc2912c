"""YAML as a project file needs it: safe, with the line of every key, and with `1e-6` a number.

Not supported on purpose: aliases (a few lines can stand for gigabytes) and the same key twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from stateset.rl.config.dialects import Entry
from stateset.rl.errors import ConfigError


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not supported", problem_mark=alias.start_mark)
        return super().compose_node(parent, index)


# YAML 1.1 takes a float without a dot for a string.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_scalar(text: str) -> Any:
    """Read the right-hand side of an override: "1e-6", "true", "[0.9, 0.95]".

    Raises:
        yaml.YAMLError: the text is not YAML.
        ValueError: an impossible value, such as a date of month 13.
    """
    return yaml.load(text, Loader=_Loader)  # a SafeLoader


def read_yaml(file: Path) -> list[Entry]:
    """List every value of a YAML file under its dotted path, with file name and line.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds something else than keys and values.
    """
    loader = None
    try:
        loader = _Loader(file.read_bytes())
        root = loader.get_single_node()
        return list(_entries(loader, root, file.name)) if root else []
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{file.name}{line}: {error.problem}. Correct the YAML there.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file}: not valid YAML ({error}). Correct it, or save the file as UTF-8."
        ) from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}). Check the path.") from error
    finally:
        if loader is not None:
            loader.dispose()


def _entries(loader: _Loader, node: yaml.Node, name: str, prefix: str = "") -> Iterator[Entry]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{name}: not a list of `key: value` lines. Write one setting a line.")
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in lines:
            raise ConfigError(
                f"{name}:{line}: `{prefix}{key}` stands here again (first in line {lines[key]}). Remove one."
            )
        lines[key] = line
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _entries(loader, value_node, name, f"{prefix}{key}.")
        else:
            yield Entry(f"{prefix}{key}", loader.construct_object(value_node, deep=True), f"{name}:{line}")
