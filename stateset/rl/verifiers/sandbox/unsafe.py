"""No sandbox: the model's code in a plain process, for machines that have none and users who insist.

It may read, write, send and delete whatever its user may, and it may forge its result. Nobody gets it without
naming it, every process says so at its first case, and the run's manifest keeps it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from stateset.rl.verifiers.sandbox.executor import UNSAFE, Outcome, Request, read_answer, used
from stateset.rl.verifiers.sandbox.fork_server import END, tagged

_SCRIPT = Path(__file__).with_name("fork_server.py")


class UnsafeLocal:
    """Runs one case in a process of its own, with a limit of time and none else.

    Args:
        timeout_seconds: of one case.
        output_bytes: most that a case may print or return.
    """

    tier = UNSAFE

    def __init__(self, *, timeout_seconds: float = 5.0, output_bytes: int = 2**20) -> None:
        self.timeout_seconds, self.output_bytes = timeout_seconds, output_bytes

    def run(self, request: Request) -> Outcome:
        """Run it."""
        body = {
            "source": request.source, "entry": request.entry, "stdin": request.stdin,
            "args": [tagged(argument) for argument in request.args], "output_bytes": self.output_bytes,
        }  # fmt: skip
        if self.tier not in used:
            sys.stderr.write(f"Code of the model runs without a sandbox ({self.tier}).\n")
        used.add(self.tier)
        begin = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-B", str(_SCRIPT), "once"], input=json.dumps(body).encode(),
                capture_output=True, timeout=self.timeout_seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Outcome(reason="timeout", seconds=self.timeout_seconds)
        seconds = time.monotonic() - begin
        if END not in done.stdout:
            return Outcome(reason="no-result", seconds=seconds)
        reason, frame, detail = read_answer(done.stdout, request.entry)
        return Outcome(frame=frame, reason=reason, detail=detail, seconds=seconds)

    def close(self) -> None:
        """Nothing to end."""
