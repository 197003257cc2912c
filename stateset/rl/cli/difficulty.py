"""`stateset-rl data difficulty`: easy, medium and hard as the model to be trained finds them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.cli.generate import MaxNewTokens
from stateset.rl.cli.outputs import check_output


def difficulty(
    rows: Annotated[str, typer.Argument(metavar="ROWS", help="A file, or support_tickets.")],
    model: Annotated[str, typer.Option(help="The model that will be trained: a name, a folder or an alias.")],
    reward: Annotated[str, typer.Option(metavar="MODULE:NAME", help="Looked for below this folder.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.jsonl", help="Where labelled rows go.")],
    samples: Annotated[int, typer.Option("-n", "--samples", min=2, help="Answers to each row.")] = 8,
    temperature: Annotated[float, typer.Option(min=0.01, help="As in training.")] = 1.0,
    max_new_tokens: MaxNewTokens = 256,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    keep_all: Annotated[bool, typer.Option("--keep-all", help="Keep rows without a signal, too.")] = False,
) -> None:
    """Label rows by the model's pass rate; rows that teach nothing now go to a file of their own."""
    from stateset.rl.data.load import load_tasks
    from stateset.rl.evaluation.difficulty import LEVELS, measure_difficulty
    from stateset.rl.manifest import to_json, write_text_atomic
    from stateset.rl.quickstart import load_model
    from stateset.rl.rewards.resolve import resolve_reward

    dropped = out.with_suffix(".dropped.jsonl")
    check_output(out, "the rows", [rows])
    check_output(dropped, "the rows that are left out", [rows])
    function, file = resolve_reward(reward, Path.cwd())
    tasks = load_tasks(rows)
    show.note(f"reward  {reward} ({file})\n{len(tasks)} rows x {samples} samples ...")
    found = measure_difficulty(
        load_model(model), tasks, function,
        samples=samples, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed,
    )  # fmt: skip
    kept = [one for one in found if keep_all or not one.useless]
    left = [one for one in found if not keep_all and one.useless]
    write_text_atomic(out, "".join(f"{to_json(one.row())}\n" for one in kept))
    lines = (to_json(one.row() | {"dropped": one.useless}) for one in left)
    write_text_atomic(dropped, "".join(f"{line}\n" for line in lines))
    levels, reasons = Counter(one.level for one in kept), Counter(one.useless for one in left)
    show.data_table(("difficulty", "rows"), [(level, str(levels[level])) for level in LEVELS])
    for reason, count in reasons.most_common():
        show.note(f"{count:6}  left out, {reason}: {dropped}")
    show.note(f"{len(kept):6}  rows: {out}")
