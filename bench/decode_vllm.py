"""Decoding alone with vLLM on a CPU: prints one JSON line with tokens a CPU second. See `compare.py`."""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from dataclasses import asdict

from cell import parse
from prompts import prompts

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_LOGGING_LEVEL": "ERROR",
}  # fmt: skip
cell, given = parse(argparse.ArgumentParser(description=__doc__))

import vllm  # noqa: E402

llm = vllm.LLM(
    given.model, dtype="bfloat16", max_model_len=cell.prompt_tokens + cell.new_tokens + 16,
    enable_prefix_caching=True, disable_log_stats=True,
)  # fmt: skip
chats = prompts(llm.get_tokenizer(), cell.prompt_tokens, cell.prompts * (given.steps + 1))
sampling = vllm.SamplingParams(
    n=cell.group, temperature=1.0, max_tokens=cell.new_tokens, ignore_eos=True, logprobs=0, detokenize=False
)
seconds = []
for step in range(given.steps + 1):
    started = time.process_time()
    found = llm.chat(chats[step * cell.prompts : (step + 1) * cell.prompts], sampling, use_tqdm=False)
    seconds.append(time.process_time() - started)
    assert [len(o.token_ids) for f in found for o in f.outputs] == [
        cell.new_tokens
    ] * cell.group * cell.prompts
print(json.dumps({
    "tool": "vLLM", "version": vllm.__version__, "dtype": "bf16", **asdict(cell), "cpu_seconds": seconds[1:],
    "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))  # fmt: skip
