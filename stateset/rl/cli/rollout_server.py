"""`stateset-rl rollout-server`: vLLM in a process of its own, ready to be updated by a training run."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stateset.rl.cli import project, show
from stateset.rl.errors import MissingExtraError

if TYPE_CHECKING:
    from stateset.rl.config.schema import Config

_FIND_VLLM = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"


def rollout_server(
    words: project.Words = None,
    config_file: project.ConfigFile = None,
    profile: project.Profile = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where it listens, on this machine alone.")
    ] = 8000,
    python: Annotated[
        str, typer.Option(metavar="PYTHON", help="The Python that has vLLM, of another environment too.")
    ] = sys.executable,
) -> None:
    """Serve a project's model with vLLM for `rollout_server`; words behind `--` go on to vLLM."""
    passed_on = [word for word in words or () if word.startswith("-")]
    rest = [word for word in words or () if word not in passed_on]
    config = project.read_config(rest, config_file, profile)
    project.required(config, "model")
    found = shutil.which(python)
    if found is None or subprocess.run([found, "-c", _FIND_VLLM], check=False).returncode:
        raise MissingExtraError(
            f"{python} has no vLLM: pip install 'stateset-rl[vllm]', or name another environment's Python "
            "with --python"
        )
    command = [found, "-m", "vllm.entrypoints.openai.api_server", *_arguments(config, port), *passed_on]
    os.environ |= {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    show.note(f"starting {shlex.join(command)}")
    show.note(f"train with: rollout_engine=vllm rollout_server=http://127.0.0.1:{port}")
    os.execv(found, command)


def _arguments(config: Config, port: int) -> list[str]:
    """What vLLM is told; the model is written to the cache folder first."""
    from platformdirs import user_cache_path

    from stateset.rl.policy.load import load_configured
    from stateset.rl.rollout.model import longest_row
    from stateset.rl.rollout.vllm import engine_settings, prepare_environment, save_base

    policy = load_configured(str(config.model), config)
    prepare_environment(policy)
    folder = user_cache_path("stateset-rl") / "rollout-server" / Path(str(config.model)).name
    shutil.rmtree(folder, ignore_errors=True)
    arguments = [f"--model={save_base(policy, folder)}", "--host=127.0.0.1", f"--port={port}"]
    arguments.append("--enable-scale-out")  # opens the endpoint that takes and returns token ids
    for name, value in engine_settings(policy, longest_row(policy, config)).items():
        option = "--" + name.replace("_", "-")
        arguments.append(option if value is True else f"{option}={value}")
    return arguments
