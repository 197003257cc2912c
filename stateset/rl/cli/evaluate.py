"""`stateset-rl evaluate`: one number for a model, with its parts and every answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stateset.rl.cli import show
from stateset.rl.cli.generate import AsJson, MaxNewTokens, ModelName, prompt_room
from stateset.rl.cli.outputs import check_output
from stateset.rl.errors import GateError

if TYPE_CHECKING:
    from stateset.rl.evaluation.evaluate import Evaluation
    from stateset.rl.types import ScoredGroup, Task


def evaluate(
    model: ModelName,
    data: Annotated[
        Path, typer.Option(metavar="FILE", help="Rows to answer (.jsonl, .json, .csv, .parquet).")
    ],
    reward: Annotated[str, typer.Option(metavar="MODULE:NAME", help="Looked for below this folder.")],
    min_reward: Annotated[float | None, typer.Option(help="Exit with 3 below this mean reward.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="Write every answer.")] = None,
    max_new_tokens: MaxNewTokens = 256,
    as_json: AsJson = False,
) -> None:
    """Answer every row greedily and score the answers."""
    from stateset.rl.data.load import load_tasks
    from stateset.rl.rewards.resolve import resolve_reward

    tasks = load_tasks(data)
    if out is not None:
        check_output(out, "the answers", [data])
    function, file = resolve_reward(reward, Path.cwd())
    show.note(f"reward  {reward} ({file})")
    found = _evaluate(model, tasks, function, max_new_tokens)
    if out is not None:
        _write_answers(out, found)
    if as_json:
        show.data_json(_result(found, model=model, data=str(data), reward=reward))
    else:
        _show(found)
    _note_unscored(found)
    if min_reward is not None and not found.reward >= min_reward:  # a mean of nothing is no pass
        raise GateError(
            f"mean reward {show.number(found.reward)} is below --min-reward {min_reward}: "
            "read the answers (--out FILE.jsonl) before you train longer or change the gate"
        )


def _evaluate(model: str, tasks: list[Task], function: Any, max_new_tokens: int) -> Evaluation:
    from stateset.rl.evaluation.evaluate import evaluate_policy
    from stateset.rl.quickstart import load_model
    from stateset.rl.rewards.score import RewardScorer

    loaded = load_model(model)
    room = prompt_room(loaded.policy, max_new_tokens)
    with RewardScorer(function) as scorer:
        if scorer.notice:
            show.note(f"note: {scorer.notice}")
        return evaluate_policy(
            loaded.policy,
            loaded.engine,
            tasks,
            scorer.score,
            max_tokens=max_new_tokens,
            max_prompt_length=room,
        )


def _result(found: Evaluation, **names: str) -> dict[str, Any]:
    return {
        **names,
        "mean_reward": found.reward,
        "parts": found.parts,
        "scored": found.num_scored,
        "rows": len(found.groups),
    }


def _show(found: Evaluation) -> None:
    show.data(f"reward  {show.number(found.reward)}")
    for name, value in found.parts.items():
        show.data(f"  {name}  {show.number(value)}")
    show.data(f"scored  {found.num_scored} of {len(found.groups)} answers")


def _note_unscored(found: Evaluation) -> None:
    """Why the first answer without a score has none."""
    missing = [answer for answer in map(_answer, found.groups) if answer["reward"] is None]
    if missing:
        reason = missing[0]["reason"] or "the reward gave no reason"
        show.note(f"note: {len(missing)} unscored; the first is the answer to {missing[0]['id']}: {reason}")


def _write_answers(file: Path, found: Evaluation) -> None:
    from stateset.rl.manifest import to_json, write_text_atomic

    write_text_atomic(file, "".join(f"{to_json(_answer(group))}\n" for group in found.groups))


def _answer(scored: ScoredGroup) -> dict[str, Any]:
    task, [rollout], [score] = scored.group.task, scored.group.rollouts, scored.scores
    return {
        "id": task.id,
        "prompt": task.prompt,
        "response": rollout.text,
        "reward": score.total,
        "parts": score.parts,
        "reason": score.reason,
        "stop_reason": rollout.stop_reason,
    }
