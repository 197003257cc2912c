"""Prompts that say nearly the same: candidates by MinHash, then their exact Jaccard similarity.

Compared are runs of five characters after case, punctuation, numbers and placeholders are made the same, so a
mail that differs in its order number or its sender's name is a duplicate.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stateset.rl.data.pii.patterns import PLACEHOLDER
from stateset.rl.errors import DataError, MissingExtraError

THRESHOLD = 0.8
LEAST_THRESHOLD = 0.6
_BANDS, _ROWS = (
    32,
    4,
)  # of 128 hashes: a pair of similarity 0.8 is missed with probability 5e-8, of 0.6 with 0.012
_RUN = 5


class Pair(NamedTuple):
    """Two places in a list, the earlier first, and the Jaccard similarity of their texts."""

    first: int
    second: int
    similarity: float


def near_pairs(texts: Sequence[str], threshold: float = THRESHOLD) -> list[Pair]:
    """All pairs at least as similar as the threshold, sorted; texts without letters or digits have none.

    Of texts that are the same but for numbers, only the first and each later one make a pair.

    Raises:
        DataError: a threshold below 0.6, where candidates would be missed, or above 1.
        MissingExtraError: datasketch is not installed.
    """
    if not LEAST_THRESHOLD <= threshold <= 1:
        raise DataError(f"the near-duplicate threshold is {threshold}: give a number from 0.6 to 1.")
    normal = [normal_text(text) for text in texts]
    first: dict[str, int] = {}
    pairs = [
        Pair(first[text], place, 1.0)
        for place, text in enumerate(normal)
        if text and first.setdefault(text, place) != place
    ]
    return sorted(pairs + _similar({place: text for text, place in first.items() if text}, threshold))


def conversation_text(row: Mapping[str, Any]) -> str:
    """What is said in a row's prompt, without system messages: a policy would outweigh a question."""
    return _joined(row.get("prompt"), ("user", "assistant", "tool"))


def duplicate_pairs(
    rows: Sequence[Mapping[str, Any]], pairs: Sequence[Pair], threshold: float = THRESHOLD
) -> list[Pair]:
    """Of `near_pairs` of conversations, those that are one task: under the same system messages."""
    under: dict[str, list[int]] = defaultdict(list)
    for place in sorted({place for pair in pairs for place in (pair.first, pair.second)}):
        under[normal_text(_joined(rows[place].get("prompt"), ("system",)))].append(place)
    if len(under) < 2:
        return list(pairs)
    return [
        Pair(places[one.first], places[one.second], one.similarity)
        for places in under.values()
        for one in near_pairs([conversation_text(rows[place]) for place in places], threshold)
    ]


def normal_text(text: str) -> str:
    """Lower case, words only, every number as 0, every placeholder as its kind."""
    text = PLACEHOLDER.sub(lambda found: found[0].rpartition("_")[0], text)
    return " ".join(re.sub(r"\d+", "0", word) for word in re.findall(r"\w+", text.casefold()))


def _joined(prompt: Any, roles: tuple[str, ...]) -> str:
    if isinstance(prompt, str):
        return prompt if "user" in roles else ""
    messages: Iterable[Mapping[str, Any]] = prompt or ()
    return "\n".join(str(one.get("content", "")) for one in messages if one.get("role") in roles)


def _similar(texts: Mapping[int, str], threshold: float) -> list[Pair]:
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError as error:
        raise MissingExtraError(
            "finding near-duplicates needs datasketch: pip install 'stateset-rl[data]'"
        ) from error
    index = MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS))
    runs: dict[int, frozenset[str]] = {}
    pairs = []
    for place in sorted(texts):
        runs[place] = _runs(texts[place])
        sketch = MinHash(num_perm=_BANDS * _ROWS, seed=1)
        sketch.update_batch([run.encode() for run in runs[place]])
        for other in index.query(sketch):
            similarity = _jaccard(runs[other], runs[place])
            if similarity >= threshold:
                pairs.append(Pair(other, place, round(similarity, 4)))
        index.insert(place, sketch)
    return pairs


def _runs(text: str) -> frozenset[str]:
    return frozenset(text[start : start + _RUN] for start in range(max(1, len(text) - _RUN + 1)))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    both = len(one & other)
    return both / (len(one) + len(other) - both)
