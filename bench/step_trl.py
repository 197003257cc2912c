"""Training steps of TRL's trainer on the same prompts, timed: prints one JSON line. See `compare.py`.

`--dtype` names its variant: bf16 weights, or bf16-autocast over float32 weights (its default).
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
from dataclasses import asdict
from itertools import pairwise

from cell import parse
from prompts import SETTINGS, prompts, reward

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--dtype", choices=["bf16", "bf16-autocast"], default="bf16")
cell, given = parse(parser)

import torch  # noqa: E402

warnings.filterwarnings("ignore")

import transformers  # noqa: E402
import trl  # noqa: E402
from datasets import Dataset  # noqa: E402

transformers.logging.set_verbosity_error()
tokenizer = transformers.AutoTokenizer.from_pretrained(given.model)
precision = torch.bfloat16 if given.dtype == "bf16" else torch.float32
model = transformers.AutoModelForCausalLM.from_pretrained(given.model, dtype=precision)
adapter = None
if cell.lora:
    from peft import LoraConfig

    adapter = LoraConfig(r=cell.lora, lora_alpha=2 * cell.lora, target_modules="all-linear")
clock: list[dict[str, float]] = []


class Clock(transformers.TrainerCallback):
    def on_step_end(self, *_args, **_kwargs) -> None:
        clock.append({"cpu": time.process_time(), "wall": time.perf_counter()})

    def on_log(self, _args, _state, _control, logs=None, **_kwargs) -> None:
        if "completions/mean_length" in (logs or {}):
            ends = logs["completions/min_length"], logs["completions/max_length"]
            assert ends == (cell.new_tokens,) * 2, logs
            assert logs["frac_reward_zero_std"] == 0, logs


with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    count = cell.prompts * (given.steps + 1)
    trainer = trl.GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        reward_funcs=lambda completions, **_: [reward(c[-1]["content"]) for c in completions],
        train_dataset=Dataset.from_dict({"prompt": prompts(tokenizer, cell.prompt_tokens, count)}),
        callbacks=[Clock()],
        peft_config=adapter,
        args=trl.GRPOConfig(
            output_dir=folder, use_cpu=True, bf16=given.dtype == "bf16-autocast", beta=cell.beta,
            per_device_train_batch_size=cell.group * cell.prompts, num_generations=cell.group,
            max_completion_length=cell.new_tokens, max_steps=given.steps + 1, gradient_checkpointing=False,
            shuffle_dataset=False, logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True,
            generation_kwargs={"min_new_tokens": cell.new_tokens}, **SETTINGS["trl"],
        ),
    )  # fmt: skip
    trainer.train()
    adamw = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
trained = {str(p.dtype) for p in trainer.model.parameters() if p.requires_grad}
steps = [{key: after[key] - before[key] for key in after} for before, after in pairwise(clock)]
print(json.dumps({
    "tool": "TRL", "version": trl.__version__, "torch": torch.__version__, "dtype": given.dtype,
    **asdict(cell),
    "optimizer": [type(adamw).__name__, *adamw.defaults["betas"], adamw.param_groups[0]["weight_decay"]],
    "max_grad_norm": trainer.args.max_grad_norm, "weights": sorted(trained),
    "cpu_seconds": [s["cpu"] for s in steps], "wall_seconds": [s["wall"] for s in steps],
    "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))  # fmt: skip
