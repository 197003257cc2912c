"""`stateset-rl reward`: try a reward before it trains anything."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stateset.rl.cli import show
from stateset.rl.cli.generate import MaxNewTokens, prompt_room
from stateset.rl.errors import ConfigError, GateError

if TYPE_CHECKING:
    from stateset.rl.rewards.check import Finding, Trial
    from stateset.rl.types import Task

SAMPLES, PROMPTS = 8, 16
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
_MARKS = {"pass": "ok", "warn": "!", "fail": "X"}


@app.callback()
def _group() -> None:
    """Try a reward before it trains anything."""


@app.command("check")
def check(
    reward: Annotated[
        str | None, typer.Argument(metavar="[MODULE:NAME]", help="Looked for below this folder.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rows with right answers, in `answer`.")
    ] = None,
    verifier: Annotated[
        str | None, typer.Option(metavar="MODULE:NAME", help="Gives the reward `verified`, as in training.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A run, whose groups and rewards are looked at.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Samples responses to the first rows of --data, too.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=2, help=f"Responses that --model gives to a prompt; default {SAMPLES}.")
    ] = None,
    prompts: Annotated[
        int | None, typer.Option(min=1, help=f"Rows that --model answers; default {PROMPTS}.")
    ] = None,
    max_new_tokens: MaxNewTokens = 256,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report with plots.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score answers that nobody should be paid for, and a model's; exit with 3 if a check fails."""
    from stateset.rl.rewards.check import Trial, verdict

    if (reward is None) != (data is None) or (reward is None and run is None):
        raise ConfigError("give a reward with --data (rows with right answers), or --run, or all three")
    if verifier is not None and reward is None:
        raise ConfigError("--verifier judges for a reward: give one with --data FILE")
    _refuse_idle_options(data, model, samples, prompts)
    _refuse_unwritable(html)
    trials: list[Trial] = []
    if reward is not None and data is not None:
        size = samples or SAMPLES, prompts or PROMPTS
        trials += _tried((reward, verifier), data, model, size, max_new_tokens)
    if run is not None:
        from stateset.rl.replay.recorded import load_groups
        from stateset.rl.rewards.group_checks import check_groups

        groups = load_groups(run)
        trials.append(Trial(on="recorded groups", findings=check_groups(groups), groups=groups))
    findings = [finding for trial in trials for finding in trial.findings]
    worst = verdict(findings)
    _show(trials, worst, as_json=as_json)
    if html is not None:
        given = {"reward": reward, "verifier": verifier, "rows": data, "model": model, "run": run}
        _write(html, trials, {name: str(value) for name, value in given.items() if value is not None})
    if worst == "fail":
        raise GateError(_refusal([finding for finding in findings if finding.verdict == "fail"]))


def _refusal(failed: Sequence[Finding]) -> str:
    """The cause first: what a reward that breaks scores says nothing of what it would teach."""
    for one in failed:
        if one.name == "contract":
            return f"{one.said}. Nothing else can be checked before that is repaired"
        if one.name == "unscored":
            return f"the reward left {one.said} unscored, the first: {one.example}"
    names = ", ".join(one.name for one in failed)
    return f"this reward would teach something else ({names}): docs/reward-check.md says why"


def _refuse_idle_options(
    data: Path | None, model: str | None, samples: int | None, prompts: int | None
) -> None:
    """Options that do nothing alone are mistakes."""
    if model is not None and data is None:
        raise ConfigError("--model answers the rows of --data: give a reward and --data FILE with it")
    if model is None and (samples or prompts):
        raise ConfigError("--samples and --prompts are those of a model: add --model, such as smollm2-135m")


def _refuse_unwritable(html: Path | None) -> None:
    """Before all the work, not after it."""
    if html is not None and (html.is_dir() or not html.parent.is_dir()):
        raise ConfigError(f"the report cannot be {html}: name a file in a folder that is there")


def _tried(
    named: tuple[str, str | None], data: Path, model: str | None, size: tuple[int, int], max_new_tokens: int
) -> list[Trial]:
    """Reward and verifier by name, on probes, where rows have answers, and on what a model samples."""
    from stateset.rl.data.load import load_tasks
    from stateset.rl.rewards.resolve import resolve_reward, resolve_verifier
    from stateset.rl.rewards.trial import try_reward

    tasks = load_tasks(data)
    answered = any(task.answer is not None for task in tasks)
    if not answered and model is None:
        raise ConfigError(
            f"no row of {data} has an `answer`, so there are no probes: add --model NAME, whose responses "
            "are scored"
        )
    function, file = resolve_reward(named[0], Path.cwd())
    verifier = resolve_verifier(named[1], Path.cwd())
    show.note(f"reward  {named[0]} ({file})")
    if model is None:
        return [try_reward(function, tasks, verifier=verifier)]
    sampled = _sampled((function, verifier), tasks[: size[1]], model, size[0], max_new_tokens)
    if not answered:
        show.note("note: no row has an `answer`, so there are no probes")
        return [sampled]
    return [try_reward(function, tasks, verifier=verifier), sampled]


def _sampled(
    called: tuple[Any, Any], tasks: Sequence[Task], model: str, samples: int, max_new_tokens: int
) -> Trial:
    from stateset.rl.config.load import make_config
    from stateset.rl.evaluation.probe import sample_groups
    from stateset.rl.quickstart import load_model
    from stateset.rl.rewards.group_trial import try_groups

    loaded = load_model(model)
    room = prompt_room(loaded.policy, max_new_tokens)
    config = make_config({"max_response_length": max_new_tokens, "max_prompt_length": room})
    show.note(f"sampling {samples} responses to each of {len(tasks)} prompts with {model} ...")
    engine = loaded.engine
    started = time.monotonic()
    groups = sample_groups(loaded.policy, engine, config, tasks, samples)
    seconds = (time.monotonic() - started) / (samples * len(tasks))
    return try_groups(called[0], groups, verifier=called[1], sampling_seconds=seconds)


def _write(html: Path, trials: Sequence[Trial], facts: dict[str, str]) -> None:
    from stateset.rl.manifest import write_text_atomic
    from stateset.rl.rewards.check_report import report

    title = f"Reward check: {facts.get('reward') or facts['run']}"
    write_text_atomic(html, report(trials, title, facts))
    show.note(f"report  {html}")


def _show(trials: Sequence[Trial], worst: str, *, as_json: bool) -> None:
    pairs = [(trial.on, finding) for trial in trials for finding in trial.findings]
    if as_json:
        findings = [{"on": on, **asdict(finding)} for on, finding in pairs]
        show.data_json({"verdict": worst, "findings": findings})
        return
    show.data_table(
        ("", "on", "check", "found"), [[_MARKS[one.verdict], on, one.name, one.said] for on, one in pairs]
    )
    for on, finding in pairs:
        if finding.example:
            show.data(f"{on}, {finding.name}: {finding.example}")
