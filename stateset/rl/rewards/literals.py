"""The words that a reward looks for, for a probe that strings them together.

Text literals, lists and mappings of words and the words of regular expressions: in the reward's source, in
what it holds (its attributes and its closure), and in the functions and classes that it uses from its own
module, package or folder. What it takes from libraries, reads from files or asks a model for is not found.
The same places say whether the reward runs code.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

_MOST_PLACES = 40
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_PATTERN_WORD = re.compile(r"[A-Za-z][A-Za-z' ]*[A-Za-z]")
_ESCAPED = re.compile(r"\\.")
_CHOICE = re.compile(r"\[([^\]^\\])[^\]\\]*\]")  # [Rr], of which the first will do
_RUNNING = ("eval", "exec", "compile")
_OURS = "stateset.rl."


def own_words(reward: Any) -> list[str]:
    """Words and phrases, docstrings aside; none where there is no source."""
    values = (value for _, values in _places(reward) for value in values)
    return list(dict.fromkeys(text for value in values for text in _texts(value)))


def running_calls(reward: Any) -> list[str]:
    """Where its source calls `eval`, `exec` or `compile`, as "eval in file:line"."""
    found = []
    for place, _ in _places(reward):
        definition = _definition(place)
        if definition.__module__.startswith(_OURS):
            continue
        for node in ast.walk(_tree(definition)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _RUNNING:
                line = inspect.getsourcelines(definition)[1] + node.lineno - 1
                found.append(f"{node.func.id} in {inspect.getsourcefile(definition)}:{line}")
    return found


def _places(reward: Any) -> Iterator[tuple[Any, list[Any]]]:
    """The reward and what it uses of its neighbours, each with what it mentions and holds."""
    todo: list[Any] = [reward]
    seen: list[Any] = []
    while todo and len(seen) < _MOST_PLACES:
        place = todo.pop(0)
        if any(place is other for other in seen):
            continue
        seen.append(place)
        held = list(_held(place))
        values = [*_mentioned(_definition(place)), *held]
        yield place, values
        todo += [
            value for value in values if any(value is one for one in held) or _is_neighbour(value, place)
        ]


def _definition(place: Any) -> Any:
    return place if inspect.isfunction(place) or isinstance(place, type) else type(place)


def _held(place: Any) -> Iterator[Any]:
    """What a closure or an object keeps."""
    if inspect.isfunction(place):
        yield from (cell.cell_contents for cell in place.__closure__ or ())
    elif not isinstance(place, type):
        yield from getattr(place, "__dict__", {}).values()


def _mentioned(definition: Any) -> Iterator[Any]:
    """The literals in its source, and what the names there mean in its module."""
    tree = _tree(definition)
    names = vars(sys.modules.get(definition.__module__, ModuleType("")))
    docs = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, _DOCUMENTED)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docs:
            yield node.value
        elif isinstance(node, ast.Name) and node.id in names:
            yield names[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = names.get(node.value.id)
            if isinstance(module, ModuleType) and _together(module, names):
                yield getattr(module, node.attr, None)


def _tree(definition: Any) -> ast.Module:
    """Its source; empty where there is none."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(definition)))
    except (OSError, TypeError, SyntaxError):
        return ast.Module(body=[], type_ignores=[])


def _is_neighbour(value: Any, place: Any) -> bool:
    """A function or class of the same module, package or folder."""
    if not (inspect.isfunction(value) or isinstance(value, type)):
        return False
    one, other = (sys.modules.get(of.__module__) for of in (value, _definition(place)))
    return one is not None and other is not None and (one is other or _together(one, vars(other)))


def _together(module: ModuleType, names: Mapping[str, Any]) -> bool:
    """Whether a module is of the package, or lies in the folder, of the one with these names."""
    package = (names.get("__package__") or "").partition(".")[0]
    if package and module.__name__.partition(".")[0] == package:
        return True
    one, other = module.__dict__.get("__file__"), names.get("__file__")
    return bool(one and other) and Path(str(one)).parent == Path(str(other)).parent


def _texts(value: Any) -> Iterator[str]:
    """The words of a text or a pattern, and of a list or mapping of either."""
    if isinstance(value, str) and re.search(r"[a-zA-Z]{2}|[^\x00-\x7f]", value):
        yield _CHOICE.sub(r"\1", value.strip())
    elif isinstance(value, re.Pattern):
        yield from _PATTERN_WORD.findall(_ESCAPED.sub("|", _CHOICE.sub(r"\1", str(value.pattern))))
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _texts(pair)
    elif isinstance(value, tuple | list | set | frozenset):
        for item in sorted(value, key=str) if isinstance(value, set | frozenset) else value:
            yield from _texts(item)
