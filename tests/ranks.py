"""Real processes with torch.distributed between them, forked from a server that has imported torch once."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["stateset.rl.trainer"])


def on_ranks(size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function(*arguments)` returns on each of `size` ranks; an error is its
    text `Kind: message`, a death None."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    readers = []
    for rank in range(size):
        reader, writer = _CONTEXT.Pipe(duplex=False)
        with writer:
            _CONTEXT.Process(target=_rank, args=(rank, size, port, writer, function, arguments)).start()
        readers.append(reader)
    return [_received(reader) for reader in readers]


def _received(reader: Any) -> Any:
    with reader:
        try:
            return reader.recv()
        except EOFError:  # it was killed
            return None


def _rank(rank: int, size: int, port: int, writer: Any, function: Any, arguments: Any) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    try:
        result = function(*arguments)
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    writer.send(result)
