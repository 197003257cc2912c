"""Real processes with torch.distributed between them, forked from a server that has imported torch once."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any

DEADLOCK_SECONDS = 500  # a hundred times what the slowest needs alone on a machine
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["stateset.rl.trainer"])


def on_ranks(size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function(*arguments)` returns on each of `size` ranks; an error is its
    text `Kind: message`, a death None."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    readers, processes = [], []
    for rank in range(size):
        reader, writer = _CONTEXT.Pipe(duplex=False)
        with writer:
            processes.append(
                _CONTEXT.Process(target=_rank, args=(rank, size, port, writer, function, arguments))
            )
            processes[-1].start()
        readers.append(reader)
    try:
        return [_received(reader) for reader in readers]
    finally:
        for process in processes:
            process.kill()  # one that waits for another that does not come


def _received(reader: Any) -> Any:
    with reader:
        if not reader.poll(DEADLOCK_SECONDS):
            raise TimeoutError(f"a rank said nothing for {DEADLOCK_SECONDS} s")
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
