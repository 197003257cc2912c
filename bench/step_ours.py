"""One GRPO step of this package, timed: prints one JSON line. See `compare.py`."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from itertools import pairwise

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--model", default="smollm2-135m")
parser.add_argument("--prompt-tokens", type=int, default=200)
parser.add_argument("--group", type=int, default=8)
parser.add_argument("--new-tokens", type=int, default=64)
parser.add_argument("--prompts-per-step", type=int, default=1)
parser.add_argument("--steps", type=int, default=3, help="measured ones, after one warm-up")
parser.add_argument("--threads", type=int, default=1)
arguments = parser.parse_args()

import torch  # noqa: E402

torch.set_num_threads(arguments.threads)

from prompts import prompts, reward  # noqa: E402

from stateset.rl.policy.load import load_policy  # noqa: E402
from stateset.rl.rollout.model import Model  # noqa: E402
from stateset.rl.trainer import GRPOTrainer  # noqa: E402

policy = load_policy(arguments.model, device="cpu", dtype="bf16")
policy.stop_ids = frozenset()  # every response has exactly --new-tokens tokens
count = arguments.prompts_per_step * (arguments.steps + 1)
rows = [{"prompt": chat} for chat in prompts(policy.tokenizer, arguments.prompt_tokens, count)]
clock: list[dict[str, float]] = []


def measured(metrics) -> None:
    now = {"cpu": time.process_time(), "wall": time.perf_counter()}
    tokens = metrics.values["completions/mean_length"], metrics.values["completions/min_length"]
    assert tokens == (arguments.new_tokens,) * 2, tokens
    assert metrics.values["frac_reward_zero_std"] == 0
    clock.append(now)


with tempfile.TemporaryDirectory() as folder:
    trainer = GRPOTrainer(
        model=Model(policy),
        reward_function=lambda response: reward(response),
        on_step=measured,
        config={
            "batch_size": arguments.prompts_per_step, "rollout_n": arguments.group, "learning_rate": 1e-6,
            "max_response_length": arguments.new_tokens, "save_every": 10**6, "output_dir": f"{folder}/run",
        },
    )  # fmt: skip
    trainer.train(rows)
steps = [{key: after[key] - before[key] for key in after} for before, after in pairwise(clock)]
print(json.dumps({
    "tool": "stateset-rl", "torch": torch.__version__, **vars(arguments),
    "cpu_seconds": [s["cpu"] for s in steps], "wall_seconds": [s["wall"] for s in steps],
    "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))  # fmt: skip
