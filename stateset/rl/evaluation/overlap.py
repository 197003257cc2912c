"""Test rows whose conversation was trained on, or nearly so, under whatever system message."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from stateset.rl.data.near_duplicates import THRESHOLD, conversation_text, normal_text
from stateset.rl.types import Task

_RUN = 5  # characters, as `data prepare` compares them


def same_prompts(tasks: Sequence[Task], seen: Sequence[Task]) -> list[str]:
    """Ids of tasks whose conversation was trained on, whatever its case, spaces and punctuation."""
    known = {_words(task) for task in seen}
    return [task.id for task in tasks if _words(task) in known]


def near_prompts(tasks: Sequence[Task], seen: Sequence[Task]) -> list[str]:
    """Ids of the other tasks that nearly say what a training row says, all numbers being the same.

    Compared are runs of characters, by their Jaccard similarity and the threshold of `data prepare`. Runs
    that most test rows have, such as an instruction before each question, tell none from another and do not
    count: in a set of sums nothing is left, and other numbers are another task.
    """
    runs = [_runs(task) for task in tasks]
    places: dict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(runs):
        for run in one:
            places[run].append(place)
    common = {run for run, have in places.items() if len(have) > max(1, len(tasks) // 2)}
    sizes = [len(one - common) for one in runs]
    near: set[int] = set()
    for other in {frozenset(_runs(task) - common) for task in seen}:
        shared = Counter(place for run in other for place in places.get(run, ()))
        near |= {
            place for place, both in shared.items() if both >= THRESHOLD * (sizes[place] + len(other) - both)
        }
    same = set(same_prompts(tasks, seen))
    return [task.id for place, task in enumerate(tasks) if place in near and task.id not in same]


def _text(task: Task) -> str:
    return conversation_text({"prompt": task.prompt})


def _words(task: Task) -> str:
    return " ".join(re.findall(r"\w+", _text(task).casefold())) or _text(task).strip()


def _runs(task: Task) -> set[str]:
    text = normal_text(_text(task))
    return {text[start : start + _RUN] for start in range(max(1, len(text) - _RUN + 1))} if text else set()
