"""What a process has held at most, and on a CPU: freed memory stays with it.

Each step allocates the same large tensors anew.

glibc hands large blocks back to the system when they are freed, and gets them again page by page, zeroed by
the kernel each time. Told to keep them, a step of SmolLM2-135M on one core takes 12-17 % less processor time
and its process 9 % more memory (2026-11-23, one round on the demo's project, of 1.4 million page faults a
step 0.1-0.2 million were left; bench/memory.py repeats it).
"""

from __future__ import annotations

import ctypes
import platform
import resource
import sys
from pathlib import Path

import torch

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed blocks and to take large ones from its heap.

    Returns:
        Whether it was told: only glibc knows these settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_TRIM_THRESHOLD, -1) and mallopt(_M_MMAP_MAX, 0))


def peak_bytes(device: torch.device) -> int:
    """Most bytes that this process has held: on a GPU as tensors, else of the machine's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def held_bytes(device: torch.device) -> int:
    """Bytes held now, counted as `peak_bytes` does; the most so far where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    pages = Path("/proc/self/statm")
    return (
        int(pages.read_text().split()[1]) * resource.getpagesize() if pages.is_file() else peak_bytes(device)
    )
