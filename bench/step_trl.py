"""One GRPO step of TRL's trainer on the same prompts, timed: prints one JSON line. See `compare.py`.

`--dtype` names its variant: bf16 weights, or bf16-autocast over float32 weights (its default), or fp32.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import tempfile
import time
import warnings
from itertools import pairwise

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--model", required=True)
parser.add_argument("--prompt-tokens", type=int, default=200)
parser.add_argument("--group", type=int, default=8)
parser.add_argument("--new-tokens", type=int, default=64)
parser.add_argument("--prompts-per-step", type=int, default=1)
parser.add_argument("--steps", type=int, default=3, help="measured ones, after one warm-up")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--dtype", choices=["bf16", "bf16-autocast", "fp32"], default="bf16")
arguments = parser.parse_args()

import torch  # noqa: E402

torch.set_num_threads(arguments.threads)
warnings.filterwarnings("ignore")

import transformers  # noqa: E402
import trl  # noqa: E402
from datasets import Dataset  # noqa: E402
from prompts import prompts, reward  # noqa: E402

transformers.logging.set_verbosity_error()
tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
weights = torch.bfloat16 if arguments.dtype == "bf16" else torch.float32
model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=weights)
count = arguments.prompts_per_step * (arguments.steps + 1)
clock: list[dict[str, float]] = []


class Clock(transformers.TrainerCallback):
    def on_step_end(self, *_args, **_kwargs) -> None:
        clock.append({"cpu": time.process_time(), "wall": time.perf_counter()})

    def on_log(self, _args, _state, _control, logs=None, **_kwargs) -> None:
        if "completions/mean_length" in (logs or {}):
            assert logs["completions/min_length"] == logs["completions/max_length"] == arguments.new_tokens, (
                logs
            )
            assert logs["frac_reward_zero_std"] == 0, logs


with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    trainer = trl.GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        reward_funcs=lambda completions, **_: [reward(c[-1]["content"]) for c in completions],
        train_dataset=Dataset.from_dict({"prompt": prompts(tokenizer, arguments.prompt_tokens, count)}),
        callbacks=[Clock()],
        args=trl.GRPOConfig(
            output_dir=folder, use_cpu=True, bf16=arguments.dtype == "bf16-autocast", beta=0.0,
            per_device_train_batch_size=arguments.group * arguments.prompts_per_step,
            num_generations=arguments.group, max_completion_length=arguments.new_tokens,
            max_steps=arguments.steps + 1, learning_rate=1e-6, gradient_checkpointing=False,
            shuffle_dataset=False, logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True,
            generation_kwargs={"min_new_tokens": arguments.new_tokens},
        ),
    )  # fmt: skip
    trainer.train()
steps = [{key: after[key] - before[key] for key in after} for before, after in pairwise(clock)]
print(json.dumps({
    "tool": "trl", "version": trl.__version__, "torch": torch.__version__, **vars(arguments),
    "cpu_seconds": [s["cpu"] for s in steps], "wall_seconds": [s["wall"] for s in steps],
    "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))  # fmt: skip
