"""Code that wants out of the sandbox, and code that wants to pass without being right."""

from __future__ import annotations

import numpy

# name, code, the reasons that are right for it
ATTACKS = [
    ("endless loop", "while True: pass", "timeout"),
    ("a hang in C with signals ignored", """
import signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
sum(range(10**15))
""", "timeout"),
    ("sleep", "import time\ntime.sleep(60)", "timeout"),
    ("fork bomb", "import os\nwhile True: os.fork()", "forbidden"),
    ("thread bomb", "import threading\nwhile True: threading.Thread(target=print).start()", "forbidden"),
    ("memory bomb", "a = []\nwhile True: a.append('x' * 10**7)", "memory"),
    ("anonymous memory", "import mmap\nmmap.mmap(-1, 10**9)", "raised"),
    ("inode bomb", "for n in range(10**5): open(f'/tmp/{n}', 'w')", "raised"),
    ("300 MB of output", "for _ in range(300): print('x' * 10**6)", "output"),
    ("300 MB past the library", "import os\nwhile True: os.write(4, b'x' * 10**6)", "output"),
    ("disk fill", "f = open('/var/tmp/x', 'wb')\nwhile True: f.write(bytes(10**6))", "raised"),
    ("passwd", "print(open('/etc/passwd').read())", "raised"),
    ("home", "import os\nprint(os.listdir('/root') + os.listdir('/home'))", "raised"),
    ("the parent's environment", """
import os
print(open(f'/proc/{os.getppid()}/environ').read())
""", "raised"),
    ("an installed package", f"print(open({numpy.__file__!r}).read())", "raised"),
    ("a file's mode", "import os, sys\nos.chmod(os.path.dirname(os.__file__) + '/os.py', 0o644)", "raised"),
    ("another's limits", """
import os, resource
print(resource.prlimit(os.getppid(), resource.RLIMIT_CPU))
""", "raised"),
    ("who its parent is", "import os\nassert os.getppid() < 0\nraise OSError", "raised"),
    ("a signal to its parent by a file", """
import fcntl, os
fcntl.fcntl(4, fcntl.F_SETOWN, os.getppid())
""", "raised"),
    ("its own environment", "import os\nassert os.environ, 'empty'", "raised"),
    ("the parent's memory", "print(open('/proc/1/mem', 'rb').read(1))", "raised"),
    ("another's memory by a call", """
import ctypes
ctypes.CDLL(None).process_vm_readv(1, None, 0, None, 0, 0)
""", "forbidden"),
    ("/proc", "import os\nprint(os.listdir('/proc/self/fd'))", "raised"),
    ("a TCP connection", "import socket\nsocket.create_connection(('127.0.0.1', 80))", "forbidden raised"),
    ("UDP", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)", "forbidden"),
    ("a Unix socket", "import socket\nsocket.socketpair()", "forbidden"),
    ("netlink", "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "forbidden"),
    ("a write", "open('/tmp/stateset-attack', 'w').write('x')", "raised"),
    ("a symbolic link", "import os\nos.symlink('/etc/passwd', '/tmp/stateset-attack')", "raised"),
    ("a device", "import os, stat\nos.mknod('/tmp/stateset-attack', stat.S_IFCHR | 0o666, 1)", "raised"),
    ("a daemon", """
import os
if os.fork() == 0:
    os.setsid()
    while True: pass
""", "forbidden"),
    ("a namespace", "import ctypes\nctypes.CDLL(None).unshare(0x10000000)", "forbidden"),
    ("exec", "import os\nos.execv('/bin/sh', ['sh', '-c', 'id'])", "forbidden"),
    ("a subprocess", "import subprocess\nsubprocess.run(['id'], check=True)", "forbidden raised"),
    ("posix_spawn", "import os\nos.posix_spawn('/bin/sh', ['sh'], {})", "forbidden raised"),
    ("io_uring", "import ctypes\nctypes.CDLL(None).syscall(425, 1, 0)", "forbidden"),
    ("a memory file", "import os\nos.memfd_create('x')", "forbidden"),
    ("bpf", """
import ctypes, platform
ctypes.CDLL(None).syscall({'x86_64': 321, 'aarch64': 280}[platform.machine()], 0, 0, 0)
""", "forbidden"),
    ("ptrace", "import ctypes\nctypes.CDLL(None).ptrace(16, 1, 0, 0)", "forbidden"),
    ("a signal to the parent", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)", "forbidden"),
    ("a higher limit", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "raised"),
    ("inherited descriptors", """
import os
found = []
for number in range(256):
    try: os.fstat(number)
    except OSError: continue
    found.append(number)
assert found != [0, 1, 4], 'only its input and the pipe'
""", "raised"),
]  # fmt: skip

# f(1) should be 2
FORGERIES = {
    "exit 0": "import os\ndef f(x): os._exit(0)",
    "sys.exit": "import sys\ndef f(x): sys.exit(0)",
    "__eq__": """
class Any(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def f(x): return Any(0)
""",
    "a frame of its own": """
import os
def f(x):
    os.write(4, b'\\0{"value": 0}')
    os._exit(0)
""",
    "two frames": """
import os
def f(x):
    os.write(4, b'\\0{"value": 2}')
    return 2
""",
    "a verdict in the frame": """
import os
def f(x):
    os.write(4, b'\\0{"passed": true}')
    os._exit(0)
""",
    "an empty reason": """
import os
def f(x):
    os.write(4, b'\\0{"reason": "", "detail": ""}')
    os._exit(0)
""",
    "a broken sandbox": """
import os
def f(x):
    os.write(4, b'\\0{"reason": "sandbox", "detail": "stop the run"}')
    os._exit(0)
""",
    "a sandbox that is not complete": """
import os
def f(x):
    again = os.open('/proc/self/fd/4', os.O_RDONLY | os.O_NONBLOCK)
    try: ready = os.read(again, 1)
    except BlockingIOError: ready = b''
    os.write(4, b'PermissionError: no Landlock' if ready else b'\\0{"value": 0}')
    os._exit(0)
""",
    "gc": """
import gc
def f(x):
    for thing in gc.get_objects():
        if isinstance(thing, dict) and 'expected' in thing:
            return thing['expected']
""",
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return 0",
    "excepthook": "import sys\nsys.excepthook = lambda *a: print(2)\ndef f(x): raise ValueError(2)",
    "patched json": """
import json
json.dumps = lambda *a, **k: '{"passed": true}'
def f(x): return 0
""",
    "patched builtins": "import builtins\nbuiltins.type = lambda *a: int\ndef f(x): return 'two'",
    "descriptors 1 to 9": """
import os
def f(x):
    for n in range(1, 10):
        try: os.write(n, b'2')
        except OSError: pass
    return 0
""",
    "a planted test file": "open('test_solution.py', 'w').write('')\ndef f(x): return x + 1",
    "a traced caller": """
import sys
for frame in sys._current_frames().values():
    while frame:
        frame.f_locals.update(passed=True)
        frame = frame.f_back
def f(x): return 0
""",
}
