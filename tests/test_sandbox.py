"""Code that wants out: none gets anything, each is told why, and an honest program runs."""

from __future__ import annotations

import math
import os
import re
import signal
import struct
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sandbox_cases import ATTACKS, FORGERIES

from stateset.rl.errors import SandboxError
from stateset.rl.verifiers.sandbox import kernel, linux
from stateset.rl.verifiers.sandbox.executor import REASONS, Outcome, Request, same, used
from stateset.rl.verifiers.sandbox.fork_server import plain, tagged
from stateset.rl.verifiers.sandbox.linux import LinuxSandbox
from stateset.rl.verifiers.sandbox.unsafe import UnsafeLocal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tier is Linux's")
SECONDS = 1.0
CASES = 100_000 if os.environ.get("STATESET_LONG") else 300
SECRET = "a secret of the parent's environment"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[LinuxSandbox]:
    os.environ["STATESET_TEST_SECRET"] = SECRET
    made = LinuxSandbox(timeout_seconds=SECONDS, memory_bytes=256 * 2**20)
    yield made
    made.close()
    del os.environ["STATESET_TEST_SECRET"]


def call(sandbox: LinuxSandbox, source: str, *args: Any) -> Outcome:
    return sandbox.run(Request(source=source, entry="f", args=args))


def test_a_function_and_a_program(sandbox: LinuxSandbox) -> None:
    outcome = call(sandbox, "def f(a, b):\n    return {a: (b, [None, True, 0.1])}", 1, "x")
    assert outcome.value == {1: ("x", [None, True, 0.1])}
    assert (outcome.reason, outcome.detail) == ("", "")
    assert 0 < outcome.seconds < SECONDS
    assert 2**20 < outcome.peak_bytes < 2**28
    program = Request(source="n = int(input())\nprint(sum(range(n)))\n", stdin="5\n")
    assert sandbox.run(program).value == "10\n"
    reads = "import sys\nn = int(sys.stdin.buffer.readline())\nprint(n, input(), sep='/')\nsys.exit(0)\n"
    assert sandbox.run(Request(source=reads, stdin="5\nß\n")).value == "5/ß\n"
    assert sandbox.run(Request(source="print(2)\nexit()")).value == "2\n"
    assert sandbox.run(Request(source="print(2)\nexit(1)")).detail == "SystemExit: 1, line 2"
    library = (
        "import asyncio, collections, email, json, re, sqlite3, xml.dom.minidom, zlib\nprint('all there')"
    )
    assert sandbox.run(Request(source=library)).value == "all there\n"
    assert sandbox.tier in used, "what the manifest says ran"


@pytest.mark.parametrize(
    "source",
    [
        "import sys\na, b = map(int, input().split())\nsys.stdout.buffer.write(b'%d' % (a + b))",
        "import sys\na, b = map(int, sys.stdin.buffer.read().split())\nsys.stdout.write(str(a + b))",
        "a, b = map(int, open(0).read().split())\nopen(1, 'w').write(str(a + b))",
        "import os\na, b = map(int, os.read(0, os.fstat(0).st_size).split())\nos.write(1, b'%d' % (a + b))",
        "import sys\ninput = sys.stdin.readline\na, b = map(int, input().split())\nprint(a + b, flush=True)",
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\na, b = map(int, input().split())\n"
        "print(a + b)",
        "import sys\na, b = map(int, input().split())\nprint(a + b)\nsys.stdout.close()",
        "import os, sys\nassert (sys.stdin.fileno(), sys.stdout.fileno()) == (0, 1)\n"
        "a, b = map(int, input().split())\nprint(a, end='', flush=True)\nos.write(1, b'%d' % (a + b - 10))",
    ],
)
@pytest.mark.parametrize("tier", ["linux", "unsafe-local"])
def test_a_program_reads_and_prints_as_programs_do(sandbox: LinuxSandbox, tier: str, source: str) -> None:
    executor = sandbox if tier == "linux" else UnsafeLocal(timeout_seconds=20.0)
    outcome = executor.run(Request(source=source, stdin="1 12\n"))
    assert (outcome.frame or "").strip() == "13", outcome


def test_input_and_output_of_any_length(sandbox: LinuxSandbox) -> None:
    long = "x" * 500_000
    assert sandbox.run(Request(source="print(input())", stdin=long)).frame == f"{long}\n"
    assert sandbox.run(Request(source="import os\nos.write(1, bytes([255]))")).reason == "bad-frame"
    assert sandbox.run(Request(source="print('a\\0b')")).frame == "a\0b\n"


@pytest.mark.parametrize("change", ["os.write(0, b'y')", "os.truncate(0, 9)", "os.ftruncate(0, 0)"])
def test_nobody_writes_into_the_input(sandbox: LinuxSandbox, change: str) -> None:
    assert sandbox.run(Request(source=f"import os\n{change}", stdin="x")).reason == "raised"


def test_what_a_program_prints_before_it_dies_is_no_result(sandbox: LinuxSandbox) -> None:
    begins = "import os\nprint(13, flush=True)\n"
    assert sandbox.run(Request(source=f"{begins}os._exit(0)")).reason == "no-result"
    assert sandbox.run(Request(source=f"{begins}os.fork()")).reason == "forbidden"
    assert sandbox.run(Request(source=f"{begins}1 / 0")).reason == "raised"


def test_what_an_honest_program_does_wrong_is_told(sandbox: LinuxSandbox) -> None:
    assert call(sandbox, "def f():\n    return 1 / 0").detail == "ZeroDivisionError: division by zero, line 2"
    assert call(sandbox, "def f(:").reason == "raised"
    assert call(sandbox, "def g(): pass").reason == "no-entry"
    assert call(sandbox, "def f(): return object()").detail.startswith("TypeError: the result is a object")
    assert call(sandbox, "def f(): return f").reason == "raised"
    assert call(sandbox, "def f(x): return x", 1, 2).reason == "raised"
    endless = "def f():\n    a = []\n    a.append(a)\n    return a"
    assert "nested too deeply" in call(sandbox, endless).detail


@pytest.mark.parametrize(("source", "reasons"), [pytest.param(s, r, id=name) for name, s, r in ATTACKS])
def test_attacks(sandbox: LinuxSandbox, source: str, reasons: str) -> None:
    begun = time.monotonic()
    outcome = sandbox.run(Request(source=source))
    assert outcome.value is None
    assert outcome.reason in reasons.split(), outcome
    assert outcome.reason in REASONS
    assert time.monotonic() - begun < 10 * SECONDS
    assert not Path("/tmp/stateset-attack").exists()
    assert SECRET not in outcome.detail
    assert call(sandbox, "def f(): return 7").value == 7, "the next case is not touched"


RIGHT = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries(sandbox: LinuxSandbox, name: str) -> None:
    expected = {"expected": 2}["expected"]
    outcome = call(sandbox, FORGERIES[name], 1)
    assert outcome.reason in (*REASONS, "bad-frame")
    assert outcome.reason or not same(outcome.frame, expected)
    honest = call(sandbox, RIGHT, 1)
    assert same(honest.frame, expected)


def test_code_cannot_say_that_nothing_was_run(sandbox: LinuxSandbox) -> None:
    for _ in range(30):  # one in three got through when code was there before its READY was read
        outcome = call(sandbox, FORGERIES["a sandbox that is not complete"], 1)
        assert same(outcome.frame, 0)


def test_the_clock_of_a_case_begins_when_its_process_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(frame: Any) -> str:
        missing = linux_missing(frame)
        time.sleep(1.2 * SECONDS)
        return missing

    linux_missing = linux._missing
    monkeypatch.setattr(linux, "_missing", slow)
    made = LinuxSandbox(timeout_seconds=SECONDS)
    assert call(made, RIGHT, 1).value == 2
    made.close()


def test_an_honest_program_always_passes_whatever_runs_beside_it() -> None:
    workers = [LinuxSandbox(timeout_seconds=30.0) for _ in range(8)]
    turns: list[LinuxSandbox] = list(workers)
    lock = threading.Lock()

    def attempt(number: int) -> bool:
        with lock:
            worker = turns.pop()
        try:
            if number % 10 == 0:
                worker.run(Request(source="import os\nos._exit(number)" if number % 20 else "os.fork()"))
            return same(call(worker, RIGHT, number).frame, number + 1)
        finally:
            with lock:
                turns.append(worker)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(attempt, range(1000)))
    for worker in workers:
        worker.close()


def test_nothing_is_left_behind(sandbox: LinuxSandbox) -> None:
    for number in range(100):
        call(sandbox, RIGHT, number)
    assert sandbox._server is not None
    server = f"/proc/{sandbox._server.pid}"
    folders = ("/proc/self/fd", f"{server}/fd")
    before, memory = [len(os.listdir(folder)) for folder in folders], _resident("/proc/self", server)
    for number in range(CASES):
        call(sandbox, RIGHT if number % 3 else "import os\nos._exit(0)", number)
    assert [len(os.listdir(folder)) for folder in folders] == before
    assert Path(f"{server}/task/{sandbox._server.pid}/children").read_text() == "", "no zombies"
    assert _resident("/proc/self", server) - memory < 20 * 2**20


def _resident(*processes: str) -> int:
    """Bytes that processes hold."""
    pages = (int(Path(f"{process}/statm").read_text().split()[1]) for process in processes)
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def test_a_lost_server_is_an_error_and_the_next_case_has_a_new_one(sandbox: LinuxSandbox) -> None:
    call(sandbox, RIGHT, 1)
    assert sandbox._server is not None
    os.kill(sandbox._server.pid, signal.SIGKILL)
    sandbox._server.wait()
    with pytest.raises(SandboxError, match="own process failed"):
        call(sandbox, RIGHT, 1)
    assert call(sandbox, RIGHT, 1).value == 2


def test_a_case_dies_with_its_server() -> None:
    made = LinuxSandbox(timeout_seconds=30.0)
    call(made, RIGHT, 1)
    server = made._server
    assert server is not None
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, made, "import time\ndef f(x): time.sleep(30)", 1)
        while not (found := children.read_text().split()):
            time.sleep(0.01)
        time.sleep(0.2)  # until it has given up its rights
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(SandboxError):
            waiting.result()
    for _ in range(100):
        if not Path(f"/proc/{found[0]}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{found[0]}").exists()
    made.close()


@pytest.mark.parametrize("missing", ["read_only", "filter_calls", "take_privileges", "limit"])
def test_an_incomplete_sandbox_runs_nothing(
    missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("fork_server.py", "kernel.py"):
        source = Path(kernel.__file__).with_name(name).read_text()
        (tmp_path / name).write_text(source)
    broken = f"\n\ndef {missing}(*args, **kwargs):\n    raise OSError('not here')\n"
    (tmp_path / "kernel.py").write_text((tmp_path / "kernel.py").read_text() + broken)
    monkeypatch.setattr("stateset.rl.verifiers.sandbox.linux._SERVER", tmp_path / "fork_server.py")
    made = LinuxSandbox()
    mark = tmp_path / "it ran"
    with pytest.raises(SandboxError, match=r"not complete here, and nothing was run: OSError: not here"):
        call(made, f"open({str(mark)!r}, 'w')\n{RIGHT}", 1)
    assert not mark.exists()
    made.close()


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxError, match="no sandbox for darwin"):
        LinuxSandbox()


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -5, 2**80, 0.1, float("inf"), "ß\ud83d", [], (), [1, (2, [3])], {1, "a"},
        {1: "a", "1": 2.0, (1,): None}, frozenset({2}),
    ],
)  # fmt: skip
def test_values_keep_their_types(sandbox: LinuxSandbox, value: Any) -> None:
    assert same(tagged(value), value)
    assert plain(tagged(value)) == value
    if not isinstance(value, str):
        assert same(call(sandbox, "def f(x): return x", value).frame, value)


def test_equal_values_of_other_types_are_not_the_same() -> None:
    for found, expected in (
        (1, True),
        (1, 1.0),
        ([1], (1,)),
        ({1: 2}, {True: 2}),
        ({1}, {1.0}),
        ("1", 1),
        (None, 0),
    ):
        assert not same(tagged(found), expected)
        assert not same(tagged([found]), [expected])
        assert not same(tagged({1: found}), {1: expected})
    assert same(tagged({"a": [0.1 + 0.2]}), {"a": [0.3]}, tolerance=1e-9)
    assert not same(tagged(0.1 + 0.2), 0.3)
    assert same(tagged(float("nan")), float("nan"))
    assert not same(tagged([1]), [1, 2])
    assert same(tagged({1: "a", "1": {frozenset({2, 3})}}), {"1": {frozenset({3, 2})}, 1: "a"})


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 0.0, 1e308])
def test_no_float_is_near_every_float(value: float) -> None:
    for expected in (2.5, -7.25, 0.0 if value else 1.0):
        assert not same(tagged(value), expected, tolerance=1e-6)
        assert not same(tagged([value]), [expected], tolerance=1e-6)


HOSTILE = [
    {"float": "0x1p99999"}, {"float": "x"}, {"float": 1}, {"int": "9" * 10_000}, {"int": None}, {},
    {"set": 1}, {"set": [{"dict": 1}]}, {"dict": [1]}, {"dict": [[1]]}, {"dict": [[{}, 1]]},
    {"list": None, "set": []}, {"nothing": []}, [], [[]], 1.5, {"frozenset": [[]]},
    {"dict": [[1, 2], [1, 2]]},
]  # fmt: skip


@pytest.mark.parametrize("frame", HOSTILE)
@pytest.mark.parametrize(
    "expected", [1, 2**80, 0.5, "x", [], [1], {1}, {1: 2}, {(1, 2): {"a"}}, frozenset({1}), None]
)
def test_a_frame_that_no_value_makes_is_wrong_and_no_error(frame: Any, expected: Any) -> None:
    assert not same(frame, expected)
    assert not same({"list": [frame]}, [expected])


def test_a_hostile_frame_costs_its_answer_and_not_the_clock(sandbox: LinuxSandbox) -> None:
    """Integers whose hashes collide made a set of them cost the square of their number here."""
    source = (
        "import json, os\n"
        "keys = [k * (2**61 - 1) for k in range(1, 60000)]\n"
        "os.write(4, b'\\0' + json.dumps({'value': {'set': keys}}).encode())\nos._exit(0)"
    )
    outcome = sandbox.run(Request(source=source, entry="f"))
    assert outcome.reason in ("", "output")
    begun = time.process_time()
    assert not same(outcome.frame, {1, 2, 3})
    assert not same(outcome.frame, set(range(60_000)))
    assert time.process_time() - begun < 10  # took 42 s; takes 0.3 s
    assert call(sandbox, RIGHT, 1).value == 2


def test_a_frame_of_nested_sets_costs_what_it_is_long() -> None:
    """A text of texts doubled its backslashes with each level: 26 levels took 357 MiB."""
    frame: Any = "'\""
    for _ in range(200):
        frame = {"set": [frame]}
    tracemalloc.start()
    for expected in ({"x"}, {"x": 1}, {frozenset({"x"})}):
        assert not same(frame, expected)
        assert not same({"dict": [[frame, 1]]}, expected)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 1


def verdict(program: bytes, arch: int, number: int, second: int = 0) -> int:
    """What a filter says of a call: an interpreter of the four instructions that it may have."""
    data = struct.pack("<IIQQQ", number, arch, 0, 0, second)
    steps = [struct.unpack("<HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    at, held = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            [held] = struct.unpack_from("<I", data, value)
        elif code in (0x15, 0x35):
            at += if_true if (held == value if code == 0x15 else held >= value) else if_false
        else:
            raise AssertionError(f"instruction {code:#x}")


HEADERS = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h"))


def numbers(header: Path) -> dict[str, int]:
    """System calls by name, as the kernel's header has them."""
    found: dict[str, int] = {}
    for line in header.read_text().splitlines():
        if defined := re.match(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", line):
            found[defined[1]] = int(defined[2])
        elif (renamed := re.match(r"#define __NR_(\w+) __NR3264_(\w+)", line)) and renamed[2] in found:
            found[renamed[1]] = found[renamed[2]]
    return found


@pytest.mark.skipif(not all(map(Path.exists, HEADERS)), reason="needs the kernel's headers of both ABIs")
def test_the_tables_are_the_kernels() -> None:
    tables = [numbers(header) for header in HEADERS]
    for table in (kernel._ALLOWED, kernel._DEADLY):
        for name, ours in table.items():
            assert tuple(known.get(name) for known in tables) == ours, name


@pytest.mark.parametrize(("name", "arch", "fcntl"), [("x86_64", 0xC000003E, 72), ("aarch64", 0xC00000B7, 25)])
def test_the_filter_lets_through_what_its_table_has_and_nothing_else(
    name: str, arch: int, fcntl: int
) -> None:
    program, column = kernel.filter_program(name), ("x86_64", "aarch64").index(name)
    allowed = {row[column] for row in kernel._ALLOWED.values()}
    deadly = {row[column] for row in kernel._DEADLY.values()}
    assert not allowed & deadly - {None}
    for number in set(range(1000)) - {fcntl}:
        expected = ALLOW if number in allowed else KILL if number in deadly else REFUSE
        assert verdict(program, arch, number) == expected, number
    let = [second for second in range(2000) if verdict(program, arch, fcntl, second) == ALLOW]
    assert let == [0, 1, 2, 3, 1030]
    assert verdict(program, arch, fcntl, 2**32 + 10) == REFUSE, "the kernel, too, takes 32 bits of it"
    assert verdict(program, arch ^ 1, 0) == KILL
    assert verdict(program, arch, 0x40000000) == KILL
