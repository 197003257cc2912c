"""A small clean process that forks one child a case; the child gives up its rights, then runs the code.

Run by its path with `python -I -S -B`, standard library only. It knows nothing of a case: the request goes
from the trainer straight to the child, and so does the answer. Over the socket at descriptor 0: one byte with
three descriptors begins a child and is answered with its process id; one byte without reaps it and is
answered with its wait status and its peak of memory. A child has its input at 0, the request at 3 and the
answer at 4: what a whole program prints, END, and one frame of JSON.
"""

from __future__ import annotations

import gc
import io
import json
import os
import socket
import struct
import sys
import traceback
from types import ModuleType
from typing import Any, NoReturn

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_PRELOADED = (
    "abc", "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum",
    "fractions", "functools", "hashlib", "heapq", "itertools", "math", "operator", "random", "re",
    "statistics", "string", "textwrap", "types", "typing",
)  # fmt: skip
LONGEST_DETAIL = 500
READY = b"+"  # every right is gone; the request is sent once this has been read
END = b"\0"  # between what is printed and the frame, which has none


def main() -> NoReturn:
    """Serve until the other end of the socket closes."""
    sys.path.insert(0, _FOLDER)
    import kernel  # type: ignore[import-not-found]

    sys.path.remove(_FOLDER)
    settings = json.loads(sys.argv[1])
    for name in (*_PRELOADED, *settings["preload"]):
        __import__(name)
    rules = _rules(kernel, settings)
    gc.collect()
    gc.freeze()
    control = socket.socket(fileno=0)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 3)
        if not message:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            _child(kernel, settings, rules, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(struct.pack("q", pid))
        if not control.recv(1):
            os._exit(0)
        _, status, usage = os.wait4(pid, 0)
        control.sendall(struct.pack("qq", status, usage.ru_maxrss))


def once() -> NoReturn:
    """Run one request of stdin in this very process, with all its rights, and answer on stdout."""
    import tempfile

    request, answer = json.load(sys.stdin), os.dup(1)
    with tempfile.TemporaryFile(buffering=0) as given:
        given.write(request["stdin"].encode("utf-8", "surrogatepass"))
        given.seek(0)
        os.dup2(given.fileno(), 0)
    _answer(request, request["output_bytes"], answer)


def _rules(kernel: ModuleType, settings: dict[str, Any]) -> int | OSError:
    """What may be opened, made once for all cases; an error is told by the first."""
    try:
        return int(kernel.rules(settings["readable"], settings["listable"]))
    except OSError as error:
        return error


def _child(
    kernel: ModuleType, settings: dict[str, Any], rules: int | OSError, given: int, request: int, answer: int
) -> NoReturn:
    """Give up every right, read the request, run it, write one frame."""
    try:
        os.setsid()
        os.chdir("/")
        os.environ.clear()
        os.dup2(given, 60)
        os.dup2(request, 62)
        os.dup2(answer, 63)
        if isinstance(rules, int):
            os.dup2(rules, 61)
        os.closerange(0, 60)
        os.closerange(64, os.sysconf("SC_OPEN_MAX"))
        os.dup2(60, 0)
        os.dup2(63, 1)
        os.dup2(62, 3)
        os.dup2(63, 4)
        if isinstance(rules, OSError):
            raise rules
        os.dup2(61, 5)
        os.closerange(6, 64)
        kernel.take_privileges()
        kernel.limit(memory_bytes=settings["memory_bytes"], cpu_seconds=settings["cpu_seconds"])
        kernel.read_only(5)
        kernel.filter_calls()
    except BaseException as error:  # a sandbox that is not complete runs nothing
        _write(4, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    _write(4, READY)
    _answer(_read(3), settings["output_bytes"], 4)


def _answer(request: dict[str, Any], output_bytes: int, answer: int) -> NoReturn:
    """Run the request; a whole program's descriptor 1 leads to the answer, a function has none."""
    if request["entry"] is not None:
        os.close(1)
    said = json.dumps(_run(request, output_bytes)).encode()
    _write(answer, END + said)
    os._exit(0)


def _run(request: dict[str, Any], output_bytes: int) -> dict[str, Any]:
    """The value of `entry(*args)`, tagged by type; None of a whole program, which has printed."""
    whole = request["entry"] is None
    given = io.BufferedReader(io.FileIO(0, closefd=False))
    sys.stdin = io.TextIOWrapper(given, encoding="utf-8", errors="surrogatepass")
    sys.stdout = printed = _Bounded(output_bytes, 1 if whole else None).as_text()
    sys.stderr = _Bounded(output_bytes, None).as_text()
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    names |= {"exit": sys.exit, "quit": sys.exit}  # `site` has them, which is not imported
    try:
        _execute(request, names)
        if whole:
            for file in (sys.stdout, printed):  # the code may have put its own in place
                if not getattr(file, "closed", False):
                    file.flush()
            return {"value": None}
        function = names.get(request["entry"])
        if not callable(function):
            return {"reason": "no-entry", "detail": f"the code defines no function {request['entry']}"}
        return {"value": tagged(function(*map(plain, request["args"])))}
    except MemoryError:
        return {"reason": "memory", "detail": "MemoryError"}
    except _TooMuchError:
        return {"reason": "output", "detail": "it printed more than is allowed"}
    except BaseException as error:
        return {"reason": "raised", "detail": _described(error)}


def _execute(request: dict[str, Any], names: dict[str, Any]) -> None:
    """Run the code; a whole program may end itself, which says nothing of what it printed."""
    try:
        exec(compile(request["source"], "<solution>", "exec"), names)
    except SystemExit as end:
        if request["entry"] is not None or end.code:
            raise


def _described(error: BaseException) -> str:
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<solution>"
    ]
    where = f", line {lines[-1]}" if lines else ""
    return f"{type(error).__name__}: {str(error)[:LONGEST_DETAIL]}{where}"


def tagged(value: Any, depth: int = 0) -> Any:
    """JSON that keeps types apart; anything else than plain data is an error."""
    if depth > 50:
        raise ValueError("the result is nested too deeply")
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value if kind is not int or abs(value) < 2**63 else {"int": str(value)}
    if kind is float:
        return {"float": value.hex()}
    if kind in (list, tuple, set, frozenset):
        items = sorted(value, key=repr) if kind in (set, frozenset) else value
        return {kind.__name__: [tagged(item, depth + 1) for item in items]}
    if kind is dict:
        return {"dict": [[tagged(key, depth + 1), tagged(item, depth + 1)] for key, item in value.items()]}
    raise TypeError(f"the result is a {kind.__name__}: return numbers, text, lists, tuples, sets and dicts")


def plain(value: Any) -> Any:
    """The inverse of `tagged`."""
    if not isinstance(value, dict):
        return value
    [(kind, inside)] = value.items()
    if kind == "int":
        return int(inside)
    if kind == "float":
        return float.fromhex(inside)
    if kind == "dict":
        return {plain(key): plain(item) for key, item in inside}
    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](map(plain, inside))


class _TooMuchError(Exception):
    """More was printed than is allowed."""


class _Bounded(io.RawIOBase):
    """Passes what is written on to a descriptor, or nowhere, up to a limit."""

    def __init__(self, most: int, descriptor: int | None) -> None:
        self._left, self._descriptor = most, descriptor

    def as_text(self) -> io.TextIOWrapper:
        """A file of text, with its `buffer`."""
        return io.TextIOWrapper(io.BufferedWriter(self), encoding="utf-8", errors="surrogatepass")

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return super().fileno() if self._descriptor is None else self._descriptor

    def write(self, data: Any) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise _TooMuchError
        return len(data) if self._descriptor is None else os.write(self._descriptor, data)


def _read(descriptor: int) -> dict[str, Any]:
    parts = []
    while part := os.read(descriptor, 2**16):
        parts.append(part)
    os.close(descriptor)
    found: dict[str, Any] = json.loads(b"".join(parts))
    return found


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    once() if sys.argv[1:] == ["once"] else main()
