"""YAML as a project file needs it: safe, with the line of every key, and with `1e-6` a number.

Not supported on purpose: aliases (a few lines can stand for gigabytes), tags (`!!python/...`), the same key
twice, and what no project file holds: more than a megabyte, deep nesting, numbers beyond 64 bits, NUL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from stateset.rl.config.dialects import Entry
from stateset.rl.config.text_file import read_text
from stateset.rl.errors import ConfigError

_DEPTH = 20
_KEY_LENGTH = 200
_BITS = 64


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            _refuse("aliases are not supported", event)
        if getattr(event, "tag", None) is not None:
            _refuse(f"tags such as {event.tag[:60]} are not supported: write the plain value", event)
        if self.depth == _DEPTH:
            _refuse(f"nested more than {_DEPTH} deep", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number of at most 64 bits."""
        value = int(super().construct_yaml_int(node)) if len(node.value) <= _BITS + 2 else None
        if value is None or value.bit_length() > _BITS:
            _refuse(f"a number of more than {_BITS} bits", node)
        return value

    def construct_yaml_str(self, node: yaml.ScalarNode) -> str:
        """A text that a file name, a tokenizer and a log can hold."""
        value = str(super().construct_yaml_str(node))
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            _refuse("a NUL or half a surrogate pair in a text", node)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, no key twice."""
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            _refuse("a key stands in a mapping twice", node)
        return found


def _refuse(problem: str, place: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_yaml_str)
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
    return _Loader(text).get_single_data()


def read_yaml(file: Path) -> list[Entry]:
    """List every value of a YAML file under its dotted path, with file name and line.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds something else than keys and values.
    """
    text = read_text(file)
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        return list(_entries(loader, root, file.name)) if root else []
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(
            f"{file.name}{line}: {str(error.problem)[:200]}. Correct the YAML there."
        ) from error
    except yaml.reader.ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{file.name}:{number}: the character #x{error.character:04x} cannot stand in YAML. Remove it."
        ) from error


def _entries(loader: _Loader, node: yaml.Node, name: str, prefix: str = "") -> Iterator[Entry]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{name}: not a list of `key: value` lines. Write one setting a line.")
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = _key(key_node, name), key_node.start_mark.line + 1
        if key in lines:
            raise ConfigError(
                f"{name}:{line}: `{prefix}{key}` stands here again (first in line {lines[key]}). Remove one."
            )
        lines[key] = line
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _entries(loader, value_node, name, f"{prefix}{key}.")
        else:
            yield Entry(f"{prefix}{key}", _value(loader, value_node, f"{name}:{line}"), f"{name}:{line}")


def _key(node: yaml.Node, name: str) -> str:
    if isinstance(node, yaml.ScalarNode) and len(node.value) <= _KEY_LENGTH:
        return str(node.value)
    raise ConfigError(
        f"{name}:{node.start_mark.line + 1}: a key must be one word of at most {_KEY_LENGTH} characters. "
        "Write `key: value`."
    )


def _value(loader: _Loader, node: yaml.Node, where: str) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, ArithmeticError) as error:  # a date of month 13, or `1:59:59...` beyond a float
        raise ConfigError(
            f"{where}: an impossible value ({error}). Put it in quotes if it is a text."
        ) from error
