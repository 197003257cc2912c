"""`stateset-rl compare` and `stateset-rl gate`: what training changed, and whether that is enough."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.cli.generate import AsJson, MaxNewTokens
from stateset.rl.cli.outputs import check_output
from stateset.rl.errors import ConfigError, GateError

if TYPE_CHECKING:
    from stateset.rl.evaluation.record import Record
    from stateset.rl.evaluation.verdict import Verdict

REPORT, PAGE = "report.md", "report.html"
Criteria = Annotated[
    Path | None, typer.Option(metavar="FILE", help="criteria.yaml; default: a sure gain of success.")
]


def compare(
    baseline: Annotated[str, typer.Argument(help="The model before: a name, a folder or an alias.")],
    trained: Annotated[str, typer.Argument(help="The model after.")],
    data: Annotated[str, typer.Option(metavar="ROWS", help="Test rows: a file, or support_tickets/test.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where the evaluation goes.")],
    training_data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROWS",
            help="What was trained on: no test prompt may be among it. Give it again for the rows of a warm "
            "start; those in the records of MODEL's run are looked through anyway.",
        ),
    ] = None,
    success: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="Verifier or reward that says which answers are right."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers to each row; 1 is greedy.")] = 1,
    latency: Annotated[int, typer.Option(min=0, help="Rows answered one at a time, for seconds.")] = 0,
    general: Annotated[
        bool, typer.Option("--general", help="Ask both models bundled questions of general use, too.")
    ] = False,
    secrets: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Strings planted in the training rows, a line each."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of sampling and bootstrap.")] = 0,
    max_new_tokens: MaxNewTokens = 256,
    as_json: AsJson = False,
) -> None:
    """Answer the same rows with two models, and say what changed and how surely."""
    from rich.console import Console

    from stateset.rl.evaluation.improvement_page import improvement_page
    from stateset.rl.evaluation.improvement_report import improvement_markdown, print_improvement
    from stateset.rl.evaluation.models import evaluate_models
    from stateset.rl.evaluation.record import plain
    from stateset.rl.manifest import write_text_atomic
    from stateset.rl.quickstart import load_model
    from stateset.rl.rewards.resolve import is_judge_of_success, resolve_reward

    if out.exists() and not out.is_dir():
        raise ConfigError(
            f"--out {out} is a file: name a folder, for example {out.with_suffix('')}-evaluation"
        )
    planted = _lines(secrets) if secrets else []
    function = resolve_reward(success, Path.cwd(), is_judge_of_success)[0] if success else None
    found = evaluate_models(
        load_model(baseline), load_model(trained), data,
        success=function, training_data=training_data or None, samples=samples,
        max_new_tokens=max_new_tokens, latency=latency, seed=seed,
        general=general, secrets=planted,
    )  # fmt: skip
    found.save(out)
    write_text_atomic(out / REPORT, improvement_markdown(found))
    write_text_atomic(out / PAGE, improvement_page(found))
    if as_json:
        show.data_json(plain(found.record))
    else:
        print_improvement(found, Console())
    show.note(f"report: {out / PAGE}; answers: {out}; whether that is enough: stateset-rl gate {out}")


def gate(
    evaluation: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What `compare` wrote; or evidence, with --replay.")
    ],
    criteria: Criteria = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write the evidence: numbers, criteria, verdict.")
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Compute the verdict of an evidence file again, byte for byte.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold an evaluation against criteria; exit with 3 and the reasons if a model may not go out."""
    if replay:
        if criteria is not None or out is not None:
            raise ConfigError("--replay takes criteria and numbers from the evidence: drop the other options")
        verdict = _replayed(evaluation)
    else:
        verdict = _judged(evaluation, criteria, out)
    if as_json:
        show.data_json({"passed": verdict.passed, "reasons": verdict.reasons})
    else:
        for check in verdict.checks:
            show.data(f"{'pass' if check.passed else 'FAIL'}  {check.said}")
        for reason in verdict.refused:
            show.data(f"refused  {reason}")
    if not verdict:
        raise GateError(f"the gate is closed: {'; '.join(verdict.reasons)}")


def _judged(folder: Path, criteria: Path | None, out: Path | None) -> Verdict:
    from stateset.rl.evaluation.criteria import Criteria as Limits
    from stateset.rl.evaluation.criteria import load_criteria
    from stateset.rl.evaluation.evidence import evidence, made_here
    from stateset.rl.evaluation.record import changed_files
    from stateset.rl.evaluation.verdict import judge
    from stateset.rl.manifest import write_text_atomic

    if out is not None:
        check_output(out, "the evidence", [_record_file(folder), *([criteria] if criteria else [])])
    limits = load_criteria(criteria) if criteria is not None else Limits()
    record = _record(folder)
    changed = changed_files(record.files)
    verdict = judge(record, limits, changed)
    if out is not None:
        write_text_atomic(out, evidence(record, limits, changed, verdict, made_here()))
    return verdict


def _record(folder: Path) -> Record:
    from stateset.rl.evaluation.record import read_record

    file = _record_file(folder)
    return read_record(_text(file), str(file))


def _record_file(folder: Path) -> Path:
    from stateset.rl.evaluation.improvement import RECORD

    return folder / RECORD if folder.is_dir() else folder


def _replayed(file: Path) -> Verdict:
    from stateset.rl.evaluation.evidence import replay

    return replay(_text(file), str(file))


def _lines(file: Path) -> list[str]:
    try:
        found = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--secrets {file} cannot be read ({error}): give a text file") from error
    if not found:
        raise ConfigError(f"--secrets {file} is empty: write a secret a line")
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file} cannot be read ({error}): name the folder that `stateset-rl compare ... -o FOLDER` wrote"
        ) from error
