"""`stateset-rl data`: from a help desk's export to rows, and from rows to a set that can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.cli.difficulty import difficulty
from stateset.rl.cli.outputs import check_output
from stateset.rl.errors import ConfigError

if TYPE_CHECKING:
    from stateset.rl.data.importers import ColumnMapping, Imported
    from stateset.rl.data.preparation import Prepared, Settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Raw tickets to training data.")


@app.callback()
def _group() -> None:
    """Raw tickets to training data."""


app.command()(difficulty)


@app.command("import")
def import_(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="zendesk, intercom, csv, jsonl, parquet or hf.")
    ],
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Export files; for hf folders or hub ids.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.jsonl", help="Where the rows go.")],
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="Which column means what, for tables.")
    ] = None,
) -> None:
    """Make a row of each agent's reply in an export; private notes are left out."""
    from stateset.rl.data.importers import import_files
    from stateset.rl.data.importers.mapping import read_mapping
    from stateset.rl.data.rejected import write_jsonl, write_rejected

    rejected = out.with_suffix(".rejected.jsonl")
    check_output(out, "the rows", files)
    check_output(rejected, "the rejected rows", files)
    found, used = import_files(kind, files, read_mapping(mapping) if mapping else None)
    write_rejected(rejected, found.rejected)
    if used is not None:
        _save_mapping(used, out.with_suffix(".mapping.yaml"), files, guessed=mapping is None)
    _show_import(found, rejected)
    if not found.rows:
        raise ConfigError("no agent's public reply to a customer was found, so there are no rows")
    write_jsonl(out, found.rows)
    show.data(f"{len(found.rows)} rows  {out}")
    show.note(f"Next:\n  stateset-rl data prepare {out} -o {out.with_suffix('')}-prepared")


def _save_mapping(mapping: ColumnMapping, file: Path, sources: list[str], *, guessed: bool) -> None:
    from stateset.rl.data.importers.mapping import write_mapping

    write_mapping(mapping, file, ", ".join(Path(source).name for source in sources))
    show.note(f"columns ({'guessed' if guessed else 'as given'}, layout {mapping.layout}), saved as {file}:")
    for name, column in mapping.described():
        show.note(f"  {name} <- {column}")


def _show_import(found: Imported, rejected: Path) -> None:
    for name, count in found.counts.items():
        show.note(f"{count:6}  {name}")
    for remark in found.remarks:
        show.note(f"Note: {remark}.")
    if found.rejected:
        show.note(
            f"{len(found.rejected):6}  rejected, each with file, line and reason in {rejected}; the first:"
        )
        for one in found.rejected[:5]:
            show.note(f"  {one}")


@app.command()
def prepare(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Rows, such as tickets.jsonl.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A new folder.")],
    min_quality_score: Annotated[
        float, typer.Option(help="Least quality of a training row, from 0 to 1.")
    ] = 0.0,
    near_duplicate: Annotated[
        float, typer.Option(help="Similarity from which two prompts count as the same, 0.6 to 1.")
    ] = 0.8,
    by: Annotated[
        str, typer.Option(help="What a split keeps together: customer, thread or template.")
    ] = "customer",
    validation_share: Annotated[float, typer.Option(help="Share of the rows for validation.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Share of the rows for the frozen test set.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the split, where rows have no time.")] = 0,
    presidio: Annotated[bool, typer.Option(help="Find names by presidio, too (extra `pii`).")] = False,
    frozen: Annotated[
        str | None,
        typer.Option(metavar="MANIFEST", help="manifest.json of an earlier folder: leave out its test set."),
    ] = None,
) -> None:
    """Check, pseudonymise, deduplicate, score and split rows; exit code 3 if a given `split` leaks."""
    from stateset.rl.data.preparation import Settings
    from stateset.rl.data.prepare_folder import prepare_folder

    settings = Settings(
        min_quality_score=min_quality_score,
        near_duplicate=near_duplicate,
        by=by,
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
        presidio=presidio,
        frozen=frozen,
    )
    prepared = prepare_folder(files, out, settings)
    _show_prepared(prepared, settings, out)


def _show_prepared(prepared: Prepared, settings: Settings, out: Path) -> None:
    from stateset.rl.data.data_report import remarks, split_lines

    show.data_table(("step", "rows"), [(name, str(count)) for name, count in prepared.counts.items()])
    show.data("")
    show.data_table(("split", "rows", "first reply", "last reply"), split_lines(prepared))
    if prepared.pii:
        show.data("")
        found = prepared.pii.most_common()
        show.data_table(("personal data replaced", "finds"), [(kind, str(count)) for kind, count in found])
    for remark in remarks(prepared, settings):
        show.note(f"note: {remark}")
    for one in prepared.rejected[:5]:
        show.note(f"rejected: {one}")
    show.note(f"folder  {out}\nreport  {out / 'report.html'}\nNext:\n  dataset: {out / 'train.jsonl'}")
