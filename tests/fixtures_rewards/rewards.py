"""Rewards that a worker process can import: one for each way to behave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from stateset.rl import errors
from stateset.rl.rewards.reward import RewardFunction


def length(response):
    return float(len(response))


def process_id(response):
    return float(os.getpid())


def leaves_thread(response):
    threading.Thread(target=time.sleep, args=(600,)).start()
    return float(os.getpid())


def noisy(response):
    print("a line that a reward prints")
    os.write(1, b"and one below Python\n")
    return 1.0


def scripted(response):
    """What the response asks for: hang, a deaf hang, exit, a signal, an exception, a bad value, else 1."""
    if response == "hang":
        time.sleep(600)
    if response == "exit":
        os._exit(7)
    if response == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if response == "sys.exit":
        sys.exit("goodbye")
    if response == "raise":
        raise KeyError("order")
    if response == "json":
        json.loads("{")  # raises in a library
    return {"nan": float("nan"), "inf": float("inf"), "text": "good", "none": None, "list": [1.0]}.get(
        response, 1.0
    )


def lacking(response):
    """Raises the error of ours that the response names."""
    if response != "ok":
        raise getattr(errors, response)("it is not there")
    return 1.0


async def lacking_async(response):
    return lacking(response)


def line_of(code: str) -> int:
    source = Path(__file__).read_text().splitlines()
    return 1 + next(i for i, line in enumerate(source) if line.strip().startswith(code))


def batched(completions, prompt, context):
    return [float(len(text)) for text in completions]


def batched_raise(completions):
    if "raise" in completions:
        raise KeyError("order")
    return [1.0] * len(completions)


def batched_short(completions):
    return [1.0]


async def slow_answers(response):
    """Awaits, blocks or raises as the response says; concurrent calls overlap."""
    if response == "hang":
        await asyncio.sleep(600)
    if response == "block":
        time.sleep(600)
    if response == "raise":
        raise ValueError("no judge")
    return float(len(response))


async def awaits(response):
    await asyncio.sleep(0.1)
    return 1.0


def slow_verifier(question, answer):
    time.sleep(0.5)
    return True


def slow_part(response):
    time.sleep(1.5 if "hang" in response else 0.0)
    return 1.0


def endless_part(response):
    time.sleep(600 if response == "hang" else 0.4)
    return 1.0


async def never_ends(response):
    """Goes on when its limit cancels it."""
    while response == "hang":
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.01)
    return 1.0


class Meeting:
    """An async reward that works only if both responses are scored at the same time."""

    def __init__(self):
        self.waiting = 0

    async def compute(self, prompt, response, context):
        self.waiting += 1
        while self.waiting < 2:
            await asyncio.sleep(0.01)
        return 1.0


class Weighted(RewardFunction):
    bounds = (0.0, 10.0)

    def __init__(self, weight):
        self.weight = weight

    def compute(self, prompt, response, context):
        context["touched"] = True
        return self.weight * len(response) + (100.0 if context.get("seen") else 0.0)


def says_yes(question, answer):
    return answer == "yes"


def verified_reward(question, answer, verified):
    return 2.0 if verified else 0.0


def holds_context(response, context):
    return float(len(context["messages"]))


def spawns_child(response):
    import subprocess

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(response).write_text(str(child.pid))
    time.sleep(600)
