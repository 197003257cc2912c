"""Hashes by which a resumed run knows a reward or a verifier again: of its code, and of how it was made.

Code is the source of the modules that define it, its bases and its parts. State is what it holds: numbers,
texts, patterns, containers of them, and the same of its parts: nested rewards, functions with their defaults
and closures, dataclasses. What an object says of itself by `__stateset_rl_state__()` goes before its
attributes; of anything else the class counts alone, and of keys nothing. What a reward changes in itself
while it scores is state, too. What it calls in other modules, and files that it reads, are not seen.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stateset.rl.manifest import fingerprint
from stateset.rl.redact import is_secret
from stateset.rl.rewards.reward import is_reward
from stateset.rl.verifiers.verifier import is_verifier

STATE = "__stateset_rl_state__"
_CALLED = ("compute", "calculate", "score_group")  # of an object that is a reward without being marked


def code_sha256(reward: Any) -> str | None:
    """SHA-256 of the code that defines a reward and its parts, None where there is no source.

    Of a module its file; of a script that is run, where a resume changes other lines, the class or function.
    """
    parts: list[Any] = []
    _described(reward, parts, top=True)
    kinds = [kind for part in parts for kind in getattr(part, "__mro__", (part,))]
    texts = dict.fromkeys(text for kind in kinds if (text := _source(kind)) is not None)
    return fingerprint(texts) if texts else None


def state_sha256(reward: Any) -> str:
    """SHA-256 of what a reward holds, the same in every process that makes it alike."""
    return fingerprint([_text(_described(reward, [], top=True))])


def _source(kind: Any) -> str | None:
    """The text of a class's or function's module, in the main script its own."""
    try:
        if kind.__module__ == "__main__":
            return inspect.getsource(kind)
        return Path(inspect.getsourcefile(kind) or "").read_text("utf-8")
    except (TypeError, OSError):
        return None


def _described(value: Any, parts: list[Any], around: tuple[int, ...] = (), *, top: bool = False) -> Any:
    """A value as plain JSON, without places in memory.

    Args:
        value: anything.
        parts: gets the classes and functions of what is described.
        around: what `value` lies in, by identity; a cycle ends there.
        top: the reward itself, whose attributes count whatever it is.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if id(value) in around:
        return "itself"
    inside = functools.partial(_described, parts=parts, around=(*around, id(value)))
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _container(value, inside)
    if isinstance(value, re.Pattern):
        return {"pattern": [inside(value.pattern), value.flags]}
    if isinstance(value, functools.partial):
        return {"partial": [inside(value.func, top=top), inside(value.args), inside(value.keywords)]}
    if inspect.ismethod(value):
        return {"method": [value.__name__, inside(value.__self__, top=top)]}
    kind = value if inspect.isroutine(value) or isinstance(value, type) else type(value)
    named = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, enum.Enum):
        return [named, value.name]
    parts.append(kind)
    if not (top or inspect.isroutine(value) or _is_part(value)):
        return named
    return [named, inside({name: found for name, found in _held(value) if not _is_key(name, found)})]


def _container(value: Any, inside: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {"mapping": sorted(([_text(inside(k)), inside(v)] for k, v in value.items()), key=_text)}
    if isinstance(value, set | frozenset):
        return {"set": sorted((inside(item) for item in value), key=_text)}
    return [inside(item) for item in value]


def _is_part(value: Any) -> bool:
    kind = type(value)
    if isinstance(value, type):
        return False
    plain = dataclasses.is_dataclass(kind) or hasattr(kind, STATE)
    return plain or is_reward(value) or is_verifier(value) or any(hasattr(kind, name) for name in _CALLED)


def _held(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object or a function keeps, by name."""
    if hasattr(type(value), STATE):
        yield from getattr(value, STATE)().items()
        return
    yield from getattr(value, "__dict__", {}).items()
    for name in (name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())):
        if hasattr(value, name):
            yield name, getattr(value, name)
    if inspect.isfunction(value):
        yield "defaults", [value.__defaults__, value.__kwdefaults__]
        yield from zip(value.__code__.co_freevars, map(_content, value.__closure__ or ()), strict=True)


def _is_key(name: str, value: Any) -> bool:
    """Whether an attribute is a key, which may be another one tomorrow; `stop_token` is none."""
    return is_secret(name) and isinstance(value, str) and len(value) >= 8 and any(map(str.isdigit, value))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _text(plain: Any) -> str:
    return json.dumps(plain)
