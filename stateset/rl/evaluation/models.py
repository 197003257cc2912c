"""`evaluate_models`: the same prompts to two models, answered with the same uniform numbers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stateset.rl.data.load import load_tasks
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.at_k import pass_all_k, pass_at_k
from stateset.rl.evaluation.general import ask_probes, secrets_said
from stateset.rl.evaluation.improvement import Improvement, Pair
from stateset.rl.evaluation.metrics import DEFINITIONS, Judged, answer_values, choose_success
from stateset.rl.evaluation.overlap import near_prompts, same_prompts
from stateset.rl.evaluation.record import SUCCESS, Record, Row, Seconds, Values, hash_files
from stateset.rl.evaluation.trained_on import TrainedOn, find_origin, trained_on
from stateset.rl.policy.frozen import texts_sha256, weights_sha256
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import Sampling
from stateset.rl.rollout.model import Model
from stateset.rl.types import RolloutGroup, Task

CLUSTERS = ("template", "customer", "thread")  # the one that most rows have, the first of equal ones
_LENGTHS = ("short", "medium", "long")


def evaluate_models(
    baseline: Model,
    trained: Model,
    test_set: Any,
    *,
    success: Callable[..., Any] | None = None,
    training_data: Any = None,
    samples: int = 1,
    max_new_tokens: int = 256,
    latency: int = 0,
    general: bool = False,
    secrets: Sequence[str] = (),
    seed: int = 0,
) -> Improvement:
    """Compare two models on the same test tasks.

    With one sample a task both answer greedily. With more, both sample at temperature 1 from the same
    uniform numbers, which makes the comparison sharper; a value is then the mean over a task's answers.

    Args:
        baseline: the model before.
        trained: the model after.
        test_set: rows, as for `train`: a path, a list of dicts, a `datasets.Dataset`, `support_tickets/test`.
        success: verifier (question, answer[, context]) -> bool, or a reward: right is above the middle of its
            bounds; the bundled tickets have a verifier of their own.
        training_data: rows that were trained on, to see that no test prompt is among them; of several sources
            a list of names. What the records of the run that made `trained` show is looked through, too.
        samples: answers to each task.
        max_new_tokens: where an answer is cut off.
        latency: so many tasks are answered once more, one at a time, to measure seconds.
        general: ask both models the bundled questions of general use, too.
        secrets: strings planted in the training rows, which no answer of the trained model may hold.
        seed: of sampling and bootstrap.

    Raises:
        ConfigError: no verifier is known for these rows, or a number is out of range.
        DataError: rows that cannot be used, or a secret that is in no training row.
    """
    _refuse_low(samples=(samples, 1), max_new_tokens=(max_new_tokens, 1), latency=(latency, 0))
    tasks = load_tasks(test_set, name=None if isinstance(test_set, str | os.PathLike) else "test_set")
    judge = choose_success(tasks, success)
    seen = training_data if isinstance(training_data, TrainedOn) else _seen(trained, training_data)
    groups = [_answers(model, tasks, samples, max_new_tokens, seed) for model in (baseline, trained)]
    before, after = (
        [_values(g, right) for g, right in zip(arm, judge.judge(arm), strict=True)] for arm in groups
    )
    cluster_by = _cluster_by(tasks)
    rows = _rows(tasks, _clusters(tasks, cluster_by), before, after)
    ask_before, ask_after = (partial(_texts, model, max_new_tokens) for model in (baseline, trained))
    texts = [rollout.text for group in groups[1] for rollout in group.rollouts]
    record = Record(
        baseline=_name(baseline),
        trained=_name(trained),
        weights={"before": weights_sha256(baseline.policy), "after": weights_sha256(trained.policy)},
        texts={"before": texts_sha256(baseline.policy), "after": texts_sha256(trained.policy)},
        rows=rows,
        cluster_by=cluster_by,
        unclustered=sum(not task.context.get(cluster_by) for task in tasks),
        definitions=_definitions(rows, judge.who),
        files=hash_files(_files((test_set, *seen.sources), baseline, trained)),
        training_rows=None if seen.missing else len(seen.tasks),
        training_run=None if seen.run is None else str(seen.run),
        overlap=tuple(same_prompts(tasks, seen.tasks)),
        alike=tuple(near_prompts(tasks, seen.tasks)),
        sandboxes=tuple(sorted(judge.sandboxes)),
        judges=judge.judges,
        judge_errors=judge.errors,
        seconds=Seconds(
            before=_seconds(baseline, tasks[:latency], max_new_tokens),
            after=_seconds(trained, tasks[:latency], max_new_tokens),
        ),
        probes=ask_probes(ask_before, ask_after) if general else {},
        secrets=len(secrets) or None,
        said=secrets_said(secrets, seen.tasks, ask_after, texts) if secrets else (),
        seed=seed,
    )
    return Improvement(record=record, answers=_pairs(*groups))


def _refuse_low(**given: tuple[int, int]) -> None:
    """Numbers by name, each with the least that it may be."""
    for name, (value, least) in given.items():
        if value < least:
            raise ConfigError(f"{name} is {value}: give a number from {least} on")


def _pairs(before: Sequence[RolloutGroup], after: Sequence[RolloutGroup]) -> tuple[Pair, ...]:
    """Each task's first answers, side by side."""
    return tuple(
        Pair(task_id=b.task.id, prompt=b.task.question, before=b.rollouts[0].text, after=a.rollouts[0].text)
        for b, a in zip(before, after, strict=True)
    )


def _seen(trained: Model, given: Any) -> TrainedOn:
    """Rows that are given, and those in the records of the run that made a model, where there is one."""
    try:
        known = trained_on(find_origin(trained))
    except (ConfigError, DataError):  # made elsewhere, or its run is gone or damaged
        known = TrainedOn([], missing="nothing says what the model was trained on")
    if given is None:
        return known
    named = isinstance(given, list | tuple) and all(isinstance(one, str | os.PathLike) for one in given)
    sources = list(given) if named else [given]
    tasks = [task for source in sources for task in load_tasks(source)]
    files = tuple(str(one) for one in sources if isinstance(one, str | os.PathLike))
    return TrainedOn([*tasks, *known.tasks], (*files, *known.sources), known.run)


def _answers(
    model: Model, tasks: Sequence[Task], samples: int, max_new_tokens: int, seed: int
) -> list[RolloutGroup]:
    policy = model.policy
    sampling = Sampling(
        temperature=0.0 if samples == 1 else 1.0, max_tokens=max_new_tokens, stop_ids=policy.stop_ids
    )
    return collect_groups(
        model.engine, policy, tasks, num_samples=samples, sampling=sampling,
        max_prompt_length=policy.prompt_room(max_new_tokens, "max_new_tokens"),
        run_seed=seed, purpose="evaluate",
    )  # fmt: skip


def _texts(model: Model, max_new_tokens: int, tasks: Sequence[Task]) -> list[str]:
    """A greedy answer to each task."""
    groups = _answers(model, tasks, 1, max_new_tokens, 0) if tasks else []
    return [group.rollouts[0].text for group in groups]


def _seconds(model: Model, tasks: Sequence[Task], max_new_tokens: int) -> tuple[float, ...]:
    found = []
    for task in tasks:
        started = time.perf_counter()
        _answers(model, [task], 1, max_new_tokens, 0)
        found.append(time.perf_counter() - started)
    return tuple(found)


def _cluster_by(tasks: Sequence[Task]) -> str:
    return max(CLUSTERS, key=lambda name: sum(bool(task.context.get(name)) for task in tasks))


def _clusters(tasks: Sequence[Task], column: str) -> list[str]:
    """[N] the column's value, or the row alone; equal prompts are together, whatever the column says."""
    known: dict[str, str] = {}
    names = [str(task.context.get(column) or f"prompt of {task.id}") for task in tasks]
    prompts = [" ".join(_prompt(task).casefold().split()) for task in tasks]
    return [known.setdefault(prompt, name) for prompt, name in zip(prompts, names, strict=True)]


def _rows(
    tasks: Sequence[Task], clusters: Sequence[str], before: Sequence[Values], after: Sequence[Values]
) -> tuple[Row, ...]:
    lengths = sorted(len(task.question) for task in tasks)
    return tuple(
        Row(
            task_id=task.id,
            cluster=clusters[index],
            slices=_slices(task, lengths),
            before=before[index],
            after=after[index],
        )
        for index, task in enumerate(tasks)
    )


def _slices(task: Task, lengths: Sequence[int]) -> dict[str, str]:
    """Situation and difficulty where the row says so; the third of the questions' lengths that it is in."""
    third = sum(len(task.question) > lengths[len(lengths) * part // 3] for part in (1, 2))
    given = {"situation": task.context.get("situation"), "difficulty": task.difficulty}
    return {kind: str(value) for kind, value in given.items() if value} | {"length": _LENGTHS[third]}


def _values(group: RolloutGroup, judged: Sequence[Judged]) -> Values:
    """Means over a task's answers; of several also pass@k and pass^k for every k that halves their number."""
    each = [answer_values(group.task, rollout.text) for rollout in group.rollouts]
    found: Values = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
    known = [one.right for one in judged if one.right is not None]
    whole = len(known) == len(judged)
    found = {SUCCESS: sum(known) / len(known) if whole else None, **found}
    rewards = [one.reward for one in judged if one.reward is not None]
    if rewards:
        found["reward"] = sum(rewards) / len(rewards) if whole else None
    k = len(judged)
    while k > 1:
        counts = (round(sum(known)), len(judged), k)
        found[f"pass@{k}"], found[f"pass^{k}"] = (
            (pass_at_k(*counts), pass_all_k(*counts)) if whole else (None, None)
        )
        k //= 2
    return found


def _definitions(rows: Sequence[Row], who: str) -> dict[str, str]:
    several = {
        name: f"Chance that {'one' if name[4] == '@' else 'each'} of {name[5:]} sampled answers is right."
        for name in rows[0].after
        if name.startswith("pass")
    }
    known = {name: said for name, said in DEFINITIONS.items() if any(name in row.after for row in rows)}
    return {**known, SUCCESS: f"{DEFINITIONS[SUCCESS]} Who says so: {who}.", **several}


def _name(model: Model) -> str:
    """Of a model that a run trained, the run: its policy has the name of what it was loaded from."""
    return model.policy.name if model.run_dir is None else str(model.run_dir)


def _files(rows: Sequence[Any], *models: Model) -> list[Path]:
    """What must be the same when the verdict is made: data files, and folders of models."""
    loaded = [model.policy.name for model in models if model.run_dir is None]
    named = [one for one in (*rows, *loaded) if isinstance(one, str | os.PathLike)]
    return [Path(one) for one in named if Path(one).exists()]


def _prompt(task: Task) -> str:
    return task.prompt if isinstance(task.prompt, str) else "\n".join(m["content"] for m in task.prompt)
