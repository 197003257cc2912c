"""Kept memory: the same large tensors again and again, without new pages from the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from stateset.rl.policy.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def work():
    for _ in range(20):
        a = torch.ones(16_000_000)
        b = torch.ones(8_000_000)
        del a, b
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_freed_blocks_are_used_again() -> None:
    faults = {}
    for mode in ("plain", "keep"):
        command = [sys.executable, "-c", SCRIPT, mode]
        faults[mode] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert faults["plain"] > 500, "20 x 96 MB, in pages of 2 MB at the most"
    assert faults["keep"] < faults["plain"] / 10


GIVEN_BACK = """
import torch
from stateset.rl.policy.memory import held_bytes, keep_freed_memory, return_freed_memory
assert keep_freed_memory()
cpu = torch.device("cpu")
small = torch.ones(10_000_000)  # 40 MB stay in use
assert not return_freed_memory(), "little is free"
holes = [(torch.ones(10_000_000), torch.ones(1000)) for _ in range(20)]
between = [pair[1] for pair in holes]  # keeps the heap from shrinking at its end
del holes
held = held_bytes(cpu)
assert return_freed_memory(), "800 MB are free"
assert float(small.sum()) == 1e7
print(held - held_bytes(cpu))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_much_freed_memory_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", GIVEN_BACK], check=True, capture_output=True, text=True)
    assert int(done.stdout) > 600 * 10**6
