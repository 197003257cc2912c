"""What a process has held at most, and on a CPU: freed memory stays with it, up to a limit.

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
KEPT_SHARE = 1.0  # freed memory that stays with the process, at most, of what is in use between two steps


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed blocks and to take large ones from its heap.

    Returns:
        Whether it was told: only glibc knows these settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_TRIM_THRESHOLD, -1) and mallopt(_M_MMAP_MAX, 0))


def return_freed_memory() -> bool:
    """Give freed memory back to the system once it is much: a heap that keeps it all grows holes.

    Call it between steps.

    Returns:
        Whether it was much: over `KEPT_SHARE` of what is in use.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):  # older than glibc 2.33
        return False
    library.mallinfo2.restype = _HeapInfo
    heap = library.mallinfo2()
    held = held_bytes(torch.device("cpu"))
    kept = min(heap.free, held - heap.used)  # what was given back before is free, too, but not held
    return kept > KEPT_SHARE * heap.used and bool(library.malloc_trim(0))


class _HeapInfo(ctypes.Structure):
    """struct mallinfo2 of malloc.h: bytes in use and free stand at its end."""

    _fields_ = (("before", ctypes.c_size_t * 7), *((key, ctypes.c_size_t) for key in ("used", "free", "top")))


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
