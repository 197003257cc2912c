"""The Linux tier: a forked child a case, without rights, without root, without a dependency.

The parent keeps the clock, the limit of what comes out, and the kill. It talks to the child over two pipes
and believes one frame of JSON; the exit status only explains why there is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import threading
import time
import weakref
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

from stateset.rl.errors import SandboxError
from stateset.rl.verifiers.sandbox.executor import Outcome, Request, read_answer, used
from stateset.rl.verifiers.sandbox.fork_server import END, READY, tagged

_SERVER = Path(__file__).with_name("fork_server.py")
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_PACKAGES = ("site-packages", "dist-packages")
_START_SECONDS = 30.0


class LinuxSandbox:
    """Runs one case at a time; use one for each worker. Started at the first case.

    Args:
        timeout_seconds: of one case, by the clock.
        memory_bytes: of a case's process.
        output_bytes: most that a case may print or return.
        preload: modules that the code may use without importing them anew, imported once.

    Raises:
        SandboxError: another system than Linux, or a processor or kernel without what it needs.
    """

    tier = "linux: fork, rlimits, no_new_privs, Landlock, seccomp"

    def __init__(
        self,
        *,
        timeout_seconds: float = 5.0,
        memory_bytes: int = 512 * 2**20,
        output_bytes: int = 2**20,
        preload: tuple[str, ...] = (),
    ) -> None:
        if sys.platform != "linux":
            raise SandboxError(
                f"there is no sandbox for {sys.platform} in this version, and code of a model is run in none "
                "else: use Linux, or a container of it"
            )
        self.timeout_seconds, self.output_bytes = timeout_seconds, output_bytes
        self._settings = {
            "memory_bytes": memory_bytes, "cpu_seconds": int(timeout_seconds) + 1,
            "output_bytes": output_bytes, "preload": preload, "readable": readable(), "listable": listable(),
        }  # fmt: skip
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = 0
        self._end: Callable[[], None] = _nothing

    def run(self, request: Request) -> Outcome:
        """Run it in a process of its own.

        Raises:
            SandboxError: a right could not be taken from the process, so nothing was run.
        """
        body = {
            "source": request.source, "entry": request.entry,
            "args": [tagged(argument) for argument in request.args],
        }  # fmt: skip
        given = request.stdin.encode("utf-8", "surrogatepass")
        with self._lock:
            try:
                return self._run(json.dumps(body).encode(), given, request.entry)
            except (OSError, struct.error) as error:
                self.close()
                raise SandboxError(f"the sandbox's own process failed: {error}") from error

    def close(self) -> None:
        """End the fork server."""
        self._end()
        self._server = self._control = None

    def _run(self, body: bytes, stdin: bytes, entry: str | None) -> Outcome:
        control = self._started()
        given, ours = os.pipe()
        theirs, answer = os.pipe()
        with open(ours, "wb", buffering=0) as request, open(theirs, "rb", buffering=0) as frame:
            try:
                with _sealed(stdin) as text:
                    socket.send_fds(control, [b"x"], [text.fileno(), given, answer])
            finally:
                os.close(given)
                os.close(answer)
            [pid] = struct.unpack("q", _exactly(control, 8))
            data, ended = b"", ""
            try:
                missing = _missing(frame)
                begin = time.monotonic()
                if not missing:
                    data, ended = self._exchange(request, frame, body, begin + self.timeout_seconds)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # the server has not reaped it, so the id is still its
                control.sendall(b"x")
            status, peak = struct.unpack("qq", _exactly(control, 16))
        if missing:
            self.close()
            raise SandboxError(f"the sandbox is not complete here, and nothing was run: {missing}")
        seconds = time.monotonic() - begin
        used.add(self.tier)
        reason, value, detail = self._judged(data, entry, ended, status)
        return Outcome(frame=value, reason=reason, detail=detail, seconds=seconds, peak_bytes=1024 * peak)

    def _exchange(self, request: FileIO, frame: FileIO, body: bytes, until: float) -> tuple[bytes, str]:
        """Write the request, read what comes; how it ended: "", "timeout" or "output"."""
        os.set_blocking(request.fileno(), False)
        received = bytearray()
        poll = select.poll()
        poll.register(request, select.POLLOUT)
        poll.register(frame, select.POLLIN)
        while (left := until - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(1000 * left):
                if descriptor != frame.fileno():
                    try:
                        body = body[request.write(body) :]
                    except BrokenPipeError:
                        body = b""
                    if not body:
                        poll.unregister(request)
                        request.close()
                elif not (part := frame.read(2**16)):
                    return bytes(received), ""
                else:
                    received += part
                    if len(received) > 2 * self.output_bytes:
                        return b"", "output"
        return bytes(received), "timeout"

    def _judged(self, data: bytes, entry: str | None, ended: str, status: int) -> tuple[str, Any, str]:
        """Reason, frame and detail."""
        if ended:
            return ended, None, f"after {self.timeout_seconds:g} s" if ended == "timeout" else ""
        if END not in data:
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            if number == signal.SIGSYS:
                return "forbidden", None, ""
            if number == signal.SIGXCPU:
                return "timeout", None, "of its processor time"
            if number and number != signal.SIGKILL:
                return "crashed", None, signal.Signals(number).name
            return "no-result", None, ""
        return read_answer(data, entry)

    def _started(self) -> socket.socket:
        if self._control is not None and self._owner == os.getpid():
            return self._control
        ours, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(_SERVER), json.dumps(self._settings)],
                stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env={}, cwd="/", close_fds=True,
            )  # fmt: skip
        ours.settimeout(_START_SECONDS)
        self._control, self._owner = ours, os.getpid()
        self._end = weakref.finalize(self, _end, self._server, ours, self._owner)
        return ours


def _missing(frame: FileIO) -> str:
    """What the child could not give up; empty once it is ready.

    Only then is it sent any code: code could take READY back out of its own pipe, by /proc/self/fd, and say
    that nothing was run.
    """
    poll = select.poll()
    poll.register(frame, select.POLLIN)
    if not poll.poll(1000 * _START_SECONDS):
        return f"its process was not ready after {_START_SECONDS:g} s"
    said = frame.read(2**12)  # as much as a pipe takes in one piece: never waits for more than came
    return "" if said == READY else said.decode(errors="replace") or "its process ended"


def _sealed(data: bytes) -> FileIO:
    """A file in memory that nobody can write, of which a program may know the size."""
    import fcntl  # other systems have no seals

    file = FileIO(os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+")
    file.write(data)
    file.seek(0)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    return file


def _nothing() -> None:
    """What there is to end before the server is started."""


def _end(server: subprocess.Popen[bytes], control: socket.socket, owner: int) -> None:
    control.close()
    if owner == os.getpid():  # a fork of the owner has its socket, and not its child
        server.kill()
        server.wait()


def readable() -> list[str]:
    """Files and folders of the interpreter and its library; nothing of installed packages."""
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    own = {sysconfig.get_path(name, vars=base) for name in ("stdlib", "platstdlib")}
    found = {os.path.realpath(sys.executable), "/etc/ld.so.cache"}
    for folder in own:
        found |= {str(child) for child in _children(folder) if child.name not in _PACKAGES}
    for folder in {str(Path(path).resolve()) for path in (*_LIBRARIES, f"{sys.base_prefix}/lib")}:
        found |= {str(child) for child in _children(folder) if _is_shared(child)}
    return sorted(found)


def listable() -> list[str]:
    """Folders whose names, and no more, an import has to see."""
    return sorted({str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")})


def _children(folder: str) -> list[Path]:
    place = Path(folder).resolve()
    return list(place.iterdir()) if place.is_dir() else []


def _is_shared(path: Path) -> bool:
    """A shared library, or Debian's folder of those for one processor."""
    return ".so" in path.suffixes or path.name.endswith(("-linux-gnu", "-linux-gnueabihf", "-linux-musl"))


def _exactly(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = control.recv(size - len(data))
        if not part:
            raise OSError("it ended")
        data += part
    return data
