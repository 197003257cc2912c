"""Twenty rewards that go wrong for the response "bad", and score any other one by its length."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from typing import Any

import torch


def raises(context: dict[str, Any]) -> float:
    raise KeyError("order")


def hangs(context: dict[str, Any]) -> None:
    time.sleep(600)


def hangs_deaf(context: dict[str, Any]) -> None:
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    re.match(r"(a+)+$", "a" * 60 + "b")  # inside C, for hours


def none(context: dict[str, Any]) -> None:
    return None


def nan(context: dict[str, Any]) -> float:
    return float("nan")


def infinite(context: dict[str, Any]) -> float:
    return float("inf")


def text(context: dict[str, Any]) -> str:
    return "0.9"


def truth(context: dict[str, Any]) -> list[bool]:
    return [True]


def tensor(context: dict[str, Any]) -> torch.Tensor:
    return torch.tensor([0.1, 0.2])


def complex_number(context: dict[str, Any]) -> complex:
    return 1 + 1j


def huge(context: dict[str, Any]) -> int:
    return 10**400


def pair(context: dict[str, Any]) -> tuple[float, float]:
    return 1.0, 2.0


def generator(context: dict[str, Any]) -> Any:
    return (value for value in (1.0,))


def unpicklable(context: dict[str, Any]) -> Any:
    return lambda: 1.0


def exits(context: dict[str, Any]) -> None:
    os._exit(0)


def exits_politely(context: dict[str, Any]) -> None:
    sys.exit(0)


def crashes(context: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def recurses(context: dict[str, Any]) -> Any:
    return recurses(context)


def closes_all(context: dict[str, Any]) -> float:
    os.closerange(0, 256)
    return 1.0


def stops_itself(context: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


FAULTS = (
    raises, hangs, hangs_deaf, none, nan, infinite, text, truth, tensor, complex_number, huge, pair,
    generator, unpicklable, exits, exits_politely, crashes, recurses, closes_all, stops_itself,
)  # fmt: skip


class Faulty:
    """A faulty reward by its name, so that it travels to a worker process."""

    def __init__(self, name: str) -> None:
        self.name = name

    def compute(self, prompt: str, response: str, context: dict[str, Any]) -> Any:
        if response != "bad":
            return float(len(response))
        return next(fault for fault in FAULTS if fault.__name__ == self.name)(context)


def mutates(response: str, context: dict[str, Any]) -> float:
    seen = len(context["messages"])
    context["messages"].clear()
    context["answer"] = "mine"
    return float(seen)


def prints_a_gigabyte(response: str) -> float:
    for _ in range(1024):
        sys.stdout.write("x" * 2**20)
    return float(len(response))


def forks(response: str) -> float:
    os.fork()
    return float(len(response))
