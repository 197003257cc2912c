"""`stateset-rl replay`: what a recorded update would have been with other settings or another reward."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stateset.rl.cli import show
from stateset.rl.errors import ConfigError

if TYPE_CHECKING:
    from stateset.rl.replay import RecordedStep, Replayed, Rescored

SHOWN_RESPONSES = 10
SHOWN_CHARACTERS = 60
TOLERANCE = 1e-3  # relative, between the replayed loss and the logged one

Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A changed setting; may be given several times."),
]


def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    step: Annotated[int | None, typer.Option(help="Step to replay; default: the last one.")] = None,
    changes: Changes = None,
    reward: Annotated[
        str | None, typer.Option(metavar="MODULE:NAME", help="Score the recorded responses again.")
    ] = None,
    project: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the reward is; default: the run's project.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute a recorded update again with other settings or another reward, without the model."""
    if project is not None and reward is None:
        raise ConfigError("--project is where --reward is looked for: add --reward MODULE:NAME")
    from stateset.rl.replay import changed_config, load_step
    from stateset.rl.replay import replay as compute

    recorded = load_step(run, step)
    config = changed_config(recorded, changes or [])
    was = compute(recorded, recorded.config)
    rescored = None if reward is None else _rescore(recorded, reward, project)
    now = compute(recorded if rescored is None else rescored.step, config)
    found = _result(recorded, was, now, changes or [])
    if rescored is not None:
        found["rescored"] = _rescored(rescored, str(reward))
    new_notes = [*config.notices, *(rescored.notes if rescored else ()), *was.notes, *now.notes]
    found["notes"] = [*dict.fromkeys(new_notes), *_doubts(recorded, was)]
    if (changes or reward) and _same(was, now):
        found["notes"].append(_unchanged(recorded))
    if as_json:
        show.data_json(found)
        return
    _show(found)
    for note in found["notes"]:
        show.note(f"note: {note}")


def _rescore(recorded: RecordedStep, reward: str, project: Path | None) -> Rescored:
    from stateset.rl.replay import rescore
    from stateset.rl.rewards.resolve import resolve_reward

    folder = Path(recorded.run.manifest.get("project", ".")) if project is None else project
    function, file = resolve_reward(reward, folder)
    show.note(f"reward  {reward} ({file})")
    return rescore(recorded, function)


def _result(recorded: RecordedStep, was: Replayed, now: Replayed, changes: list[str]) -> dict[str, Any]:
    rollouts = [
        (group.group.task.id, rollout) for group in recorded.scored for rollout in group.group.rollouts
    ]
    columns = [tensor.tolist() for tensor in (was.advantages, now.advantages, was.push, now.push)]
    responses = [
        {
            "task": task,
            "sample": rollout.sample,
            "response": rollout.text,
            "advantage": [advantage, new_advantage],
            "push": [push, new_push],
        }
        for (task, rollout), advantage, new_advantage, push, new_push in zip(rollouts, *columns, strict=True)
    ]
    return {
        "run": str(recorded.run.path),
        "step": recorded.number,
        "changes": changes,
        "logged_loss": recorded.metrics.get("loss"),
        "values": {name: [value, now.values[name]] for name, value in was.values.items()},
        "unrecorded": [int(was.unrecorded.sum()), int(now.unrecorded.sum())],
        "responses": responses,
    }


def _rescored(rescored: Rescored, reward: str) -> dict[str, Any]:
    return {
        "reward": reward,
        "sign_changes": rescored.sign_changes,
        "revived": rescored.revived,
        "killed": rescored.killed,
        "rank_correlation": rescored.rank_correlation,
        "unscored": rescored.unscored,
        "most_changed": [asdict(one) for one in rescored.most_changed],
    }


def _doubts(recorded: RecordedStep, was: Replayed) -> list[str]:
    """Where the replay does not come to the logged loss, nothing else of it can be trusted."""
    config, logged, loss = recorded.config, recorded.metrics.get("loss"), was.values["loss"]
    left_out = config.entropy_coef or (config.use_kl_loss and config.kl_loss_type == "full")
    if left_out or logged is None or abs(loss - logged) <= TOLERANCE * abs(logged) + 1e-6:
        return []
    return [
        f"the loss as it was comes out as {loss:.6g}, and the run logged {logged:.6g}: this version computes "
        "it otherwise, or the run's files were changed"
    ]


def _same(was: Replayed, now: Replayed) -> bool:
    return was.values["loss"] == now.values["loss"] and was.push.nan_to_num().equal(now.push.nan_to_num())


def _unchanged(recorded: RecordedStep) -> str:
    once = len(recorded.updates) == 1
    why = ": it was the only one on its responses, so every ratio is 1 and no clip acts" if once else ""
    return f"the changes leave this update as it was{why}"


def _show(found: dict[str, Any]) -> None:
    rows = [[name, *map(_number, pair)] for name, pair in found["values"].items()]
    show.data_table((f"step {found['step']}", "as it was", "with the changes"), rows)
    if "rescored" in found:
        _show_rescored(found["rescored"])
    moved = [r for r in found["responses"] if _moved(r) > 0]
    if not moved:
        return
    moved.sort(key=_moved, reverse=True)
    show.data("")
    show.data("the responses whose push changes most (above 0: the update makes them likelier)")
    show.data_table(
        ("task", "sample", "advantage", "", "push", "", "response"),
        [
            [r["task"], str(r["sample"]), *map(_number, (*r["advantage"], *r["push"])), _line(r["response"])]
            for r in moved[:SHOWN_RESPONSES]
        ],
    )


def _show_rescored(found: dict[str, Any]) -> None:
    show.data("")
    facts = {
        "advantage changes sign": f"{found['sign_changes']} responses",
        "signal gained": f"{len(found['revived'])} groups {' '.join(found['revived'])}",
        "signal lost": f"{len(found['killed'])} groups {' '.join(found['killed'])}",
        "rank correlation": show.number(found["rank_correlation"]),
        "unscored": "{} -> {}".format(*found["unscored"]),
    }
    for name, text in facts.items():
        show.data(f"{name:<24}{text}".rstrip())
    for one in found["most_changed"]:
        show.data("")
        show.data(f"task {one['task']}, sample {one['sample']}")
        show.data(f"  prompt    ... {_line(one['prompt'], None)}")
        show.data(f"  response  {_line(one['response'], None)}")
        show.data("  reward    {} -> {}".format(*map(_number, one["totals"])))
        for name in dict.fromkeys([*one["parts"][0], *one["parts"][1]]):
            pair = (parts.get(name) for parts in one["parts"])
            show.data("    {}  {} -> {}".format(name, *map(_number, pair)))
        show.data("  advantage {} -> {}".format(*map(_number, one["advantages"])))


def _moved(response: dict[str, Any]) -> float:
    """How far the push moves; a response without one before or now is not ranked."""
    was, now = response["push"]
    return 0.0 if math.isnan(was) or math.isnan(now) else abs(now - was)


def _number(value: float | None) -> str:
    return f"{value:.4g}" if value is not None and math.isfinite(value) else "-"


def _line(text: str, width: int | None = SHOWN_CHARACTERS) -> str:
    """Text on one line, cut where a width is given."""
    words = " ".join(text.split())
    return words if width is None or len(words) <= width else f"{words[: width - 3]}..."
