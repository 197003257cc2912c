"""An endpoint for chat completions on this machine, which misbehaves as its script says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[int, dict[str, Any]], Any]


@dataclass(frozen=True)
class Drip:
    """An answer that comes byte by byte."""

    seconds: float  # between two


class JudgeServer:
    """Calls `script(number, order)`; it gives a text, or (status, body), or seconds to hang, or a `Drip`."""

    def __init__(self, script: Script) -> None:
        self.orders: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._script, self._lock = script, threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                order = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with server._lock:
                    server.orders.append(order)
                    server.keys.append(self.headers["authorization"])
                    number = len(server.orders)
                answer = server._script(number, order)
                if isinstance(answer, float):
                    time.sleep(answer)
                    answer = "late"
                if isinstance(answer, Drip):
                    status, body = 200, completion("in drops")
                else:
                    status, body = answer if isinstance(answer, tuple) else (200, completion(answer))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                try:
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    for byte in data if isinstance(answer, Drip) else ():
                        self.wfile.write(bytes([byte]))
                        time.sleep(answer.seconds)
                    self.wfile.write(b"" if isinstance(answer, Drip) else data)
                except OSError:
                    return  # the client has gone

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> JudgeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def completion(text: str | None, *, refusal: str | None = None, cut: bool = False) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    reason = "length" if cut else "stop"
    return {
        "id": "x", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30},
    }  # fmt: skip


@contextmanager
def serving(script: Script) -> Iterator[JudgeServer]:
    with JudgeServer(script) as server:
        yield server
