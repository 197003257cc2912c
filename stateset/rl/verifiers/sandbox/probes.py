"""Eleven attempts to get out, tried on an executor before anything else; one success refuses it."""

from __future__ import annotations

from importlib.util import find_spec

from stateset.rl.errors import SandboxError
from stateset.rl.verifiers.sandbox.executor import Executor, Request

_PACKAGE = getattr(find_spec("numpy"), "origin", None)  # any that is there
# each returns True if it got what it wanted
PROBES = {
    "read a file of the system": "def f(): return bool(open('/etc/passwd').read())",
    "list a home folder": "import os\ndef f(): return os.listdir(os.path.expanduser('~root')) is not None",
    "write a file": "import tempfile\ndef f(): return tempfile.TemporaryFile().write(b'x') == 1",
    "read another process": "import os\ndef f(): return bool(open(f'/proc/{os.getppid()}/environ').read())",
    "read an installed package": f"def f(): return bool(open({_PACKAGE!r}).read())",
    "send signals by a file": "import fcntl\ndef f(): return fcntl.fcntl(4, fcntl.F_SETSIG, 9) == 0",
    "make a call that no computation needs": "import os\ndef f(): return os.getpgid(0) > 0",
    "start a process": "import os\ndef f():\n    if os.fork() == 0: os._exit(0)\n    return True",
    "become a program": "import os\ndef f(): os.execv('/bin/true', ['true'])",
    "open a socket": "import socket\ndef f(): return bool(socket.socket())",
    "take all memory": "def f(): return len(bytearray(2**34)) > 0",
}
_HONEST = "def f(x):\n    return [x, {'a': (1.5, None)}]"


def self_test(executor: Executor) -> None:
    """Try every probe, and that honest code gets its value out.

    Raises:
        SandboxError: a probe succeeded, or honest code did not; says which.
    """
    honest = executor.run(Request(source=_HONEST, entry="f", args=(7,)))
    if honest.value != [7, {"a": (1.5, None)}]:
        raise SandboxError(f"the sandbox does not run honest code: {honest.reason} {honest.detail}")
    for name, source in PROBES.items():
        outcome = executor.run(Request(source=source, entry="f"))
        if not outcome.reason:
            raise SandboxError(
                f"code in the sandbox ({executor.tier}) could {name}: no code of a model is run here"
            )
