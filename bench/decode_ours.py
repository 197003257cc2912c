"""Decoding alone with the native engine: prints one JSON line with tokens a CPU second. See `compare.py`."""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import asdict

from cell import parse
from prompts import prompts

cell, given = parse(argparse.ArgumentParser(description=__doc__))

from stateset.rl.policy.load import load_policy  # noqa: E402
from stateset.rl.rollout.engine import Request, Sampling  # noqa: E402
from stateset.rl.rollout.native import NativeEngine  # noqa: E402

policy = load_policy(given.model, device="cpu", dtype="bf16")
engine = NativeEngine(policy)
engine.load_weights(policy)
chats = prompts(policy.tokenizer, cell.prompt_tokens, cell.prompts * (given.steps + 1))
sampling = Sampling(temperature=1.0, max_tokens=cell.new_tokens, stop_ids=frozenset())
seconds = []
for step in range(given.steps + 1):
    chosen = chats[step * cell.prompts : (step + 1) * cell.prompts]
    requests = [Request(prompt_ids=policy.encode(c), seeds=tuple(range(cell.group))) for c in chosen]
    started = time.process_time()
    found = list(engine.generate(requests, sampling))
    seconds.append(time.process_time() - started)
    assert [len(c.token_ids) for c in found] == [cell.new_tokens] * cell.group * cell.prompts
print(json.dumps({
    "tool": "stateset-rl", "dtype": "bf16", **asdict(cell), "cpu_seconds": seconds[1:],
    "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))  # fmt: skip
