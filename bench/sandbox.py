"""Milliseconds that a case takes in the sandbox, from request to verdict; the last line is JSON.

`median` and `p95` are by the clock and grow with what else the machine does; `processor` is the time of all
processes of a case and does not. The goal is a median of 5.

OMP_NUM_THREADS=1 python bench/sandbox.py
"""

from __future__ import annotations

import json
import resource
import statistics
import time

from stateset.rl.verifiers.sandbox.executor import Request, same
from stateset.rl.verifiers.sandbox.linux import LinuxSandbox
from stateset.rl.verifiers.sandbox.probes import self_test

CASES = 500
SOURCE = "def f(items):\n    return sorted(items)[-1]"


def main() -> None:
    """Print median and range of single cases, one after the other."""
    executor = LinuxSandbox()
    begin = time.perf_counter()
    self_test(executor)
    tried = time.perf_counter() - begin
    found = []
    before = _processor_seconds()
    for number in range(CASES):
        begin = time.perf_counter()
        outcome = executor.run(Request(source=SOURCE, entry="f", args=([number, 3, 1],)))
        found.append(1000 * (time.perf_counter() - begin))
        assert same(outcome.frame, max(number, 3))
    executor.close()
    after = _processor_seconds()
    percentiles = statistics.quantiles(found, n=100)
    result = {"median": statistics.median(found), "p95": percentiles[94], "start_seconds": tried}
    result["processor"] = 1000 * (after - before) / CASES
    print(json.dumps({name: round(value, 2) for name, value in result.items()}))


def _processor_seconds() -> float:
    """Of this process and of all children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
