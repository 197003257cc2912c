"""Training steps of this package, timed: prints one JSON line. See `compare.py`."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from dataclasses import asdict
from itertools import pairwise

from cell import parse
from prompts import SETTINGS, prompts, reward
from stopwatch import Stopwatch

cell, given = parse(argparse.ArgumentParser(description=__doc__))

import torch  # noqa: E402

from stateset.rl import sampling  # noqa: E402
from stateset.rl.config.load import make_config  # noqa: E402
from stateset.rl.policy.learner import Learner  # noqa: E402
from stateset.rl.policy.load import load_configured  # noqa: E402
from stateset.rl.policy.optimizer import PolicyOptimizer  # noqa: E402
from stateset.rl.policy.policy import Policy  # noqa: E402
from stateset.rl.rollout.decoders import SharedDecoder  # noqa: E402
from stateset.rl.rollout.model import Model  # noqa: E402
from stateset.rl.rollout.native import NativeEngine  # noqa: E402
from stateset.rl.trainer import GRPOTrainer  # noqa: E402

watch = Stopwatch()
for owner, name, phase in (
    (sampling, "collect_groups", "decode"),
    (SharedDecoder, "first_logits", "prefill"),
    (sampling.GroupSampler, "sample", "reward"),
    (Learner, "_logprobs", "log-probabilities"),
    (Policy, "logprobs", "forward"),
    (PolicyOptimizer, "backward", "backward"),
    (PolicyOptimizer, "step", "optimizer"),
    (NativeEngine, "load_weights", "weight update"),
):
    watch.wrap(owner, name, phase)
clock: list[dict[str, float]] = []
phases: list[dict[str, float]] = []


def measured(metrics) -> None:
    clock.append({"cpu": time.process_time(), "wall": time.perf_counter()})
    phases.append(watch.reset())
    tokens = metrics.values["completions/mean_length"], metrics.values["completions/min_length"]
    assert tokens == (cell.new_tokens,) * 2, tokens
    assert metrics.values["frac_reward_zero_std"] == 0


with tempfile.TemporaryDirectory() as folder:
    adapter = {"lora": True, "lora_rank": cell.lora, "lora_alpha": 2 * cell.lora} if cell.lora else {}
    policy = load_configured(given.model, make_config({"device": "cpu", "dtype": "bf16", **adapter}))
    kl = {"use_kl_loss": True, "kl_loss_coef": cell.beta} if cell.beta else {}
    config = make_config(
        {
            **kl, **SETTINGS["ours"], "batch_size": cell.prompts, "rollout_n": cell.group,
            "max_response_length": cell.new_tokens, "save_every": 10**6, "output_dir": f"{folder}/run",
        }
    )  # fmt: skip
    policy.stop_ids = frozenset()  # every response has exactly --new-tokens tokens
    rows = prompts(policy.tokenizer, cell.prompt_tokens, cell.prompts * (given.steps + 1))
    trainer = GRPOTrainer(Model(policy), lambda response: reward(response), config, on_step=measured)
    trainer.train([{"prompt": chat} for chat in rows])
    adamw = trainer.learner.optimizer.adamw
    weights = {str(master.dtype) for master in trainer.learner.optimizer.masters.values()}
steps = [{key: after[key] - before[key] for key in after} for before, after in pairwise(clock)]
print(json.dumps({
    "tool": "stateset-rl", "torch": torch.__version__, "dtype": "bf16", **asdict(cell),
    "optimizer": [type(adamw).__name__, *adamw.defaults["betas"], adamw.param_groups[0]["weight_decay"]],
    "max_grad_norm": config.max_grad_norm, "weights": sorted(weights),
    "cpu_seconds": [s["cpu"] for s in steps], "wall_seconds": [s["wall"] for s in steps],
    "phases": phases[1:], "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))  # fmt: skip
