"""`stateset-rl config`: what a file means, and the same in another project's words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stateset.rl.cli import project, show
from stateset.rl.errors import ConfigError
from stateset.rl.redact import HIDDEN, is_secret

if TYPE_CHECKING:
    from stateset.rl.config.load import Resolved
    from stateset.rl.config.schema import Config

_ALSO_NEEDED = {
    "verl": "# It also needs your machine: rollout.name, actor.ppo_micro_batch_size_per_gpu, "
    "trainer.n_gpus_per_node.\n",
    "trl": "# Sizes are for one process: with more, divide gradient_accumulation_steps and "
    "steps_per_generation.\n",
}

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="DIALECT", help="Whose file: platform, verl, trl, openrlhf. Default: its keys tell."
    ),
]


@dataclass(frozen=True, slots=True)
class Setting:
    """A key that acts."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Silent:
    """Something that was given and does not act."""

    key: str
    value: Any
    where: str
    reason: str


@app.callback()
def config() -> None:
    """Explain a config, or write it for another project."""


@app.command("explain")
def explain(
    words: project.Words = None,
    from_: From = None,
    profile: project.Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every key that acts and where it came from, what does not act and why, and one step in units."""
    resolved = _resolved(words, from_, profile)
    settings, silent = list(_settings(resolved.config)), list(_silent(resolved))
    notices = list(dict.fromkeys((*resolved.config.notices, *_warnings(resolved.config))))
    if as_json:
        show.data_json(
            {
                "dialect": resolved.reading.dialect,
                "settings": [asdict(item) for item in settings],
                "silent": [asdict(item) for item in silent],
                "no_equal": list(resolved.reading.refused),
                "notices": notices,
                "step": one_step(resolved.config),
            }
        )
        return
    show.data_table(
        ("key", "value", "from"), [(item.key, _text(item.value), item.origin) for item in settings]
    )
    _show_list("Does not act", _grouped(silent))
    _show_list("Has no equal here", resolved.reading.refused)
    _show_list("Notices", notices)
    _show_list("One step", [one_step(resolved.config)])


@app.command("convert")
def convert(
    words: project.Words = None,
    to: Annotated[str, typer.Option("--to", metavar="DIALECT", help="verl, trl or platform.")] = "platform",
    from_: From = None,
    profile: project.Profile = None,
    out: Annotated[Path | None, typer.Option("--output", "-o", help="A new file; default: stdout.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if anything is lost.")] = False,
) -> None:
    """Write a config in another project's words; what they cannot say goes to stderr."""
    import yaml

    from stateset.rl.config.dialects import write_config

    resolved = _resolved(words, from_, profile)
    written = write_config(resolved.config, to)
    head = f"# {to} config, written by `stateset-rl config convert`.\n{_ALSO_NEEDED.get(to, '')}"
    text = head + yaml.safe_dump(dict(written.values), sort_keys=False, allow_unicode=True)
    if out is None:
        show.data(text.rstrip("\n"))
    else:
        _write_new(out, text)
        show.note(f"wrote {out}")
    for notice in resolved.config.notices:
        show.note(f"note: {notice}")
    for line in resolved.reading.refused:
        show.note(f"lost: {line}")
    for key, reason in written.lost:
        show.note(f"lost: {key}: {reason}")
    if strict and (written.lost or resolved.reading.refused):
        raise typer.Exit(1)


def one_step(config: Config) -> str:
    """One step of training in its units: prompts, responses, mini-batches, updates, tokens."""
    responses = config.batch_size * config.rollout_n
    size = min(config.mini_batch_size, responses)
    steps = config.updates(responses) // config.ppo_epochs
    accumulated = config.gradient_accumulation_steps
    updates = config.updates(responses)
    several = f" ({accumulated} mini-batches each)" if accumulated > 1 else ""
    return (
        f"{config.batch_size} prompts x {config.rollout_n} responses = {responses:,} responses; "
        f"mini-batches of {size} -> {_counted(steps, 'optimizer step')}{several}; "
        f"{_counted(config.ppo_epochs, 'pass', 'passes')} -> {_counted(updates, 'update')}; "
        f"at most {responses * config.max_response_length:,} new tokens."
    )


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _resolved(words: Sequence[str] | None, dialect: str | None, profile: str | None) -> Resolved:
    from stateset.rl.config.load import resolve_file

    file, overrides = project.split_words(words, None)
    if file is None:
        raise ConfigError("there is no file: give one, for example `stateset-rl config explain project.yaml`")
    return resolve_file(file, overrides=overrides, profile=profile, dialect=dialect, strict=False)


def _settings(config: Config) -> Iterator[Setting]:
    from stateset.rl.config.rules import acting_values

    for key, value in acting_values(config).items():
        inner = value if key == "warm_start" and value else {}
        for name, part in inner.items():
            path = f"{key}.{name}"
            yield Setting(path, part, config.origins.get(path, "default"))
        if not inner:
            yield Setting(key, value, config.origins.get(key, "default"))


def _silent(resolved: Resolved) -> Iterator[Silent]:
    for aside in resolved.asides:
        value = HIDDEN if is_secret(aside.entry.path) else aside.entry.value
        yield Silent(aside.entry.path, value, aside.entry.where, aside.reason)
    for level, layer in enumerate(resolved.layers):
        for key, entry in layer.items():
            above = next(
                (higher[key] for higher in reversed(resolved.layers[level + 1 :]) if key in higher), None
            )
            if above is not None:
                yield Silent(entry.path, entry.value, entry.where, f"{key} is set again by {above.where}")


def _warnings(config: Config) -> Iterator[str]:
    once = config.updates(config.batch_size * config.rollout_n) == 1
    if once and config.loss != "reinforce" and not any("never acts" in notice for notice in config.notices):
        yield (
            "One optimizer update a step: the probability ratio is 1, so the clip never acts. Raise "
            "ppo_epochs or lower mini_batch_size for more updates."
        )
    if config.compute_dtype == "fp16":
        yield "fp16 needs a GPU: without one the run stops before its first step; use bf16 there."


def _grouped(silent: Sequence[Silent]) -> list[str]:
    """One line a reason; values and lines where a reason has few keys."""
    groups: dict[str, list[Silent]] = defaultdict(list)
    for item in silent:
        groups[item.reason].append(item)
    lines = []
    for reason, items in groups.items():
        few = len(items) <= 3
        names = [f"{item.key} {_text(item.value)} ({item.where})" if few else item.key for item in items]
        lines.append(f"{reason}: {', '.join(names)}")
    return lines


def _show_list(title: str, lines: Sequence[str]) -> None:
    if lines:
        show.data(f"\n{title}")
    for line in lines:
        show.data(f"  {line}")


def _text(value: Any) -> str:
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _write_new(out: Path, text: str) -> None:
    try:
        with out.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{out} is there already: choose another name, or remove it.") from error
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}.") from error
