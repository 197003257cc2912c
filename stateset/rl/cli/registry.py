"""`stateset-rl registry`: models that passed the gate, and which one an alias means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.cli.generate import AsJson

if TYPE_CHECKING:
    from stateset.rl.serving.registry import Version

app = typer.Typer(help="Models that passed the gate, and which one `production` means.", no_args_is_help=True)
Alias = Annotated[str, typer.Argument(help="A name, such as production.")]


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the versions, the oldest first."""
    from stateset.rl.serving.registry import list_versions, registry_folder

    found = list_versions()
    if as_json:
        show.data_json([_plain(one) for one in found])
    elif found:
        rows = [(one.name, ", ".join(one.aliases) or "-", str(one.folder)) for one in found]
        show.data_table(("version", "aliases", "folder"), rows)
    else:
        show.note(f"no version in {registry_folder()} yet: stateset-rl registry deploy MODEL")


@app.command()
def deploy(
    model: Annotated[str, typer.Argument(help="A trained model: a folder or an alias.")] = "grpo_trained",
    evaluation: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="What `compare` wrote of this model; default: evaluate it now."),
    ] = None,
    criteria: Annotated[
        Path | None, typer.Option(metavar="FILE", help="criteria.yaml; default: a sure gain of success.")
    ] = None,
    alias: Annotated[str, typer.Option(help="What shall name it.")] = "production",
) -> None:
    """Hold a model's evaluation against the gate; if it passes, make the model a version and name it.

    Without --evaluation the model is evaluated on what its run held out.
    """
    from stateset.rl.evaluation.criteria import load_criteria
    from stateset.rl.evaluation.improvement import Improvement
    from stateset.rl.quickstart import load_model
    from stateset.rl.serving.deploy import deploy_to_production

    limits = load_criteria(criteria) if criteria is not None else None
    found = Improvement.load(evaluation) if evaluation is not None else None
    version = deploy_to_production(load_model(model), evaluation=found, criteria=limits, alias=alias)
    _said(alias, version)


@app.command()
def tag(alias: Alias, version: Annotated[str, typer.Argument(help="A version, such as v2.")]) -> None:
    """Let an alias mean a version."""
    from stateset.rl.serving.registry import move

    _said(alias, move(alias, version))


@app.command()
def rollback(alias: Alias = "production") -> None:
    """Let an alias mean the version that it meant before."""
    from stateset.rl.serving.registry import roll_back

    _said(alias, roll_back(alias))


def _said(alias: str, version: Version) -> None:
    show.data(f"{alias} is {version.name}: {version.folder}")


def _plain(version: Version) -> dict[str, object]:
    return {"version": version.name, "aliases": version.aliases, "folder": str(version.folder)}
