"""`stateset-rl import`: what other services kept becomes a project."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stateset.rl.cli import show
from stateset.rl.errors import ConfigError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Bring a job of another service here.")
_BASE_LEARNING_RATE = 1e-6  # the default of `learning_rate`
_LONGEST_NAME = 60  # characters of a grader's key in the name of its module

JobFile = Annotated[Path, typer.Argument(metavar="JOB.json", help="The job, or its grader alone.")]
RowsFile = Annotated[Path, typer.Argument(metavar="TRAIN.jsonl", help="Its training file.")]
HeldOutFile = Annotated[Path | None, typer.Argument(metavar="[VALID.jsonl]", help="Its validation file.")]


@app.callback()
def _group() -> None:
    """Bring a job of another service here."""


@app.command("openai-rft")
def openai_rft(
    job_file: JobFile,
    train_file: RowsFile,
    held_out_file: HeldOutFile = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The project's folder; a new one.")] = Path(
        "imported"
    ),
    model: Annotated[str, typer.Option(help="The open model to train.")] = "smollm2-135m",
) -> None:
    """Make a project of an OpenAI reinforcement fine-tuning job."""
    from stateset.rl.data.openai_rft import read_examples, read_job

    _check_folder(out)
    job = read_job(job_file, _BASE_LEARNING_RATE)
    remarks = list(job.remarks)
    files: dict[str, str] = {"grader.json": json.dumps(job.grader, indent=2, ensure_ascii=False) + "\n"}
    settings: dict[str, Any] = {"model": model, "dataset": "train.jsonl", "reward": "reward:Grader"}
    for name, path in (("train.jsonl", train_file), ("valid.jsonl", held_out_file)):
        if path is not None:
            rows, about = read_examples(path)
            remarks += about
            files[name] = "".join(json.dumps(job.answered(row), ensure_ascii=False) + "\n" for row in rows)
    if held_out_file is not None:
        settings["eval_dataset"] = "valid.jsonl"
    modules = _modules(job.functions())
    files |= {f"{module}.py": job.functions()[key] for key, module in modules.items()}
    job_name = re.sub(r"[^\w.-]", "_", job_file.name, flags=re.ASCII)  # it comes into code and comments
    files["reward.py"] = _reward(job_name, modules, job.asks_models())
    files["project.yaml"] = _project(job_name, settings | dict(job.settings), remarks)
    _try_out(job.grader, modules)
    _write(out, {name: text.encode() for name, text in files.items()})
    for remark in remarks:
        show.note(f"note: {remark}")
    show.note(f"Next:\n  stateset-rl plan {out / 'project.yaml'}\n  stateset-rl train {out / 'project.yaml'}")


def _check_folder(out: Path) -> None:
    try:
        full = out.is_dir() and any(out.iterdir())
        nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be a folder ({error.strerror}): choose another") from error
    if not nearest.is_dir():
        raise ConfigError(f"--out {out}: {nearest} is a file, so no folder can be there: choose another")
    if full:
        raise ConfigError(f"{out.resolve()} is not empty, and nothing is overwritten: choose another --out")


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    """All of the files, or none, so that the same --out can be tried again."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (out / name).write_bytes(data)
    except OSError as error:
        for name in files:
            with contextlib.suppress(OSError):
                (out / name).unlink()
        raise ConfigError(f"--out {out} cannot be written ({error.strerror}): choose another") from error
    for name in files:
        show.data(str(out / name))


def _try_out(grader: Mapping[str, Any], modules: Mapping[str, str]) -> None:
    """Raise now what the reward would raise when it is loaded."""
    from stateset.rl.rewards.judge import Judge
    from stateset.rl.rewards.openai_graders import openai_grader

    openai_grader(grader, functions=dict.fromkeys(modules, lambda sample, item: 0.0), judge=Judge())


def _modules(sources: Mapping[str, str]) -> dict[str, str]:
    """A module's name for each `python` grader."""
    modules: dict[str, str] = {}
    for key in sources:
        name = "grader_" + (re.sub(r"\W", "_", key, flags=re.ASCII)[:_LONGEST_NAME] or "python")
        modules[key] = f"{name}_{len(modules) + 1}" if name in modules.values() else name
    return modules


def _reward(job: str, modules: Mapping[str, str], asks_models: bool) -> str:
    imports = [f"from {module} import grade as {module}\n" for module in sorted(modules.values())]
    functions = ", ".join(f"{key!r}: {module}" for key, module in modules.items())
    arguments = [f"functions={{{functions}}}"] if modules else []
    if asks_models:
        arguments.append('judge=Judge(ledger=Path(__file__).with_name("judge.sqlite"))')
    judge = "from stateset.rl.rewards.judge import Judge\n" if asks_models else ""
    call = "".join(f", {argument}" for argument in arguments)
    return (
        f'"""The grader of {job} as a reward."""\n\nimport json\nfrom pathlib import Path\n\n'
        + "".join(imports)
        + ("\n" if imports else "")
        + judge
        + "from stateset.rl.rewards.openai_graders import openai_grader\n\n"
        + 'GRADER = json.loads(Path(__file__).with_name("grader.json").read_text(encoding="utf-8"))\n'
        + f"Grader = openai_grader(GRADER{call})\n"
    )


def _project(job: str, settings: Mapping[str, Any], remarks: list[str]) -> str:
    import yaml

    lines = (" ".join(remark.split()) for remark in remarks)
    notes = "".join(f"# - {''.join(filter(str.isprintable, line))}\n" for line in lines)  # as YAML has it
    head = f"# From {job}." + (" What differs:\n" + notes if remarks else "\n")
    return head + yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
