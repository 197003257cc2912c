"""What Linux takes from a process, without root: Landlock for files, seccomp for system calls, rlimits.

Standard library only, and no import of this package: the fork server runs this file by its path. Sources:
the kernel's `landlock(7)` and `seccomp(2)`, and the system call tables of x86-64 and of the generic ABI.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable, Mapping

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION = 1
_LANDLOCK_PATH_BENEATH = 1
_READ_FILE, _LIST = 1 << 2, 1 << 3
# access rights of files that each version of Landlock knows
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_ERRNO_EPERM = 0x00050000 | 1
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_X32 = 0x40000000
_SECOND_ARGUMENT = 24  # its lower half in seccomp_data, on little-endian processors

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# What an interpreter needs to compute, to import from its library and to write into the one pipe that it has.
_ALLOWED: Mapping[str, tuple[int | None, int | None]] = {  # name -> number on x86-64, on aarch64
    "read": (0, 63), "write": (1, 64), "open": (2, None), "close": (3, 57), "stat": (4, None),
    "fstat": (5, 80), "lstat": (6, None), "poll": (7, None), "lseek": (8, 62), "mmap": (9, 222),
    "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "pread64": (17, 67), "readv": (19, 65),
    "writev": (20, 66), "access": (21, None), "select": (23, None), "sched_yield": (24, 124),
    "mremap": (25, 216), "madvise": (28, 233), "dup": (32, 23), "pause": (34, None),
    "nanosleep": (35, 101), "getitimer": (36, 102), "alarm": (37, None), "setitimer": (38, 103),
    "getpid": (39, 172), "exit": (60, 93), "uname": (63, 160), "getcwd": (79, 17),
    "readlink": (89, None), "gettimeofday": (96, 169), "getrusage": (98, 165), "sysinfo": (99, 179),
    "times": (100, 153), "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175),
    "getegid": (108, 177), "sigaltstack": (131, 132), "gettid": (186, 178), "time": (201, None),
    "futex": (202, 98), "sched_getaffinity": (204, 123), "getdents64": (217, 61),
    "set_tid_address": (218, 96), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115), "exit_group": (231, 94), "openat": (257, 56), "newfstatat": (262, 79),
    "readlinkat": (267, 78), "faccessat": (269, 48), "pselect6": (270, 72), "ppoll": (271, 73),
    "set_robust_list": (273, 99), "dup3": (292, 24), "getrandom": (318, 278), "membarrier": (324, 283),
    "statx": (332, 291), "rseq": (334, 293), "faccessat2": (439, 439),
}  # fmt: skip
# Its second argument is looked at: with others a file sends signals (F_SETOWN, F_SETSIG, O_ASYNC).
_FCNTL = {"x86_64": 72, "aarch64": 25}
_FCNTL_MAY = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
# What no honest solution asks for: it ends the process, so that the reason is known. All else is refused.
_DEADLY: Mapping[str, tuple[int | None, int | None]] = {
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "clone3": (435, 435), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "socket": (41, 198), "socketpair": (53, 199), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "chroot": (161, 51),
    "pivot_root": (155, 41), "init_module": (175, 105), "finit_module": (313, 273), "reboot": (169, 142),
}  # fmt: skip


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))


def machine() -> str:
    """The processor, by the names above."""
    return platform.machine()


def can_confine() -> bool:
    """Whether this kernel and processor have all that `read_only` and `filter_calls` need."""
    return landlock_version() > 0 and machine() in _AUDIT_ARCH


def limit(*, memory_bytes: int, cpu_seconds: int) -> None:
    """Limits that the process cannot raise again; it may write no file and leave no core."""
    for name, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(name, (most, most))


def take_privileges() -> None:
    """No new privileges, no reading of this process's memory by others, and no life without its parent."""
    _call("prctl", _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    _call("prctl", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _call("prctl", _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def landlock_version() -> int:
    """Which Landlock the kernel has; 0: none."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)))


def rules(readable: Iterable[str], listable: Iterable[str]) -> int:
    """What `read_only` leaves: reading some files and folders, listing others; no TCP, no signals outside.

    Returns:
        A descriptor.

    Raises:
        OSError: the kernel has no Landlock.
    """
    version = landlock_version()
    rights = (1 << _FILE_RIGHTS.get(version, max(_FILE_RIGHTS.values()))) - 1
    network = 0b11 if version >= 4 else 0
    scope = 0b11 if version >= 6 else 0
    attributes = struct.pack("QQQ", rights, network, scope)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    made = _call("landlock", _libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0))
    for paths, may in ((readable, _READ_FILE | _LIST), (listable, _LIST)):
        for path in filter(os.path.exists, paths):
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", may if os.path.isdir(path) else may & _READ_FILE, handle)
            _call("landlock", _libc.syscall(_LANDLOCK_ADD, made, _LANDLOCK_PATH_BENEATH, rule, 0))
            os.close(handle)
    return made


def read_only(rules: int) -> None:
    """Let nothing be opened from now on but what the rules say; closes them.

    Raises:
        OSError: the kernel refuses.
    """
    _call("landlock", _libc.syscall(_LANDLOCK_RESTRICT, rules, 0))
    os.close(rules)


def filter_calls() -> None:
    """Allow the system calls of `_ALLOWED`; `_DEADLY` ones end the process, all others fail with EPERM.

    Raises:
        OSError: a processor without a table here, or the kernel refuses.
    """
    name = machine()
    if name not in _AUDIT_ARCH:
        raise OSError(f"there is no table of system calls for {name}")
    program = filter_program(name)
    code = ctypes.create_string_buffer(program)
    given = _Filter(len(program) // 8, ctypes.addressof(code))
    _call("seccomp", _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0))


def filter_program(name: str) -> bytes:
    """The filter for a processor, as the kernel's classic BPF: eight bytes an instruction."""
    column = list(_AUDIT_ARCH).index(name)
    checks = [
        (number, action)
        for table, action in ((_ALLOWED, _ALLOW), (_DEADLY, _KILL))
        for row in table.values()
        if (number := row[column]) is not None
    ]
    program = [
        _jump(0x20, 0, 0, 4),  # load the architecture
        _jump(0x15, 1, 0, _AUDIT_ARCH[name]),
        _jump(0x06, 0, 0, _KILL),
        _jump(0x20, 0, 0, 0),  # load the number
        _jump(0x35, 0, 1, _X32),  # x86's other ABI has other numbers
        _jump(0x06, 0, 0, _KILL),
    ]
    for number, action in checks:
        program += [_jump(0x15, 0, 1, number), _jump(0x06, 0, 0, action)]
    most = len(_FCNTL_MAY)
    program += [_jump(0x15, 0, most + 1, _FCNTL[name]), _jump(0x20, 0, 0, _SECOND_ARGUMENT)]
    program += [_jump(0x15, most - place, 0, may) for place, may in enumerate(_FCNTL_MAY)]
    program += [_jump(0x06, 0, 0, _ERRNO_EPERM), _jump(0x06, 0, 0, _ALLOW)]
    return b"".join(program)


def _jump(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _call(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
