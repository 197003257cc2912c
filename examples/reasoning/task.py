"""A task with endless rows and a verifier: "Reverse this list of words: of, motive" -> "motive, of"."""

from collections.abc import Mapping
from typing import Any

import reasoning_gym


def make(seed: int, size: int) -> Any:
    """Lists of two or three words; row i comes from the random seed `seed + i`, so keep seeds far apart."""
    return reasoning_gym.create_dataset(
        "word_sequence_reversal", min_words=2, max_words=3, seed=seed, size=size
    )


def rows(seed: int, size: int) -> list[dict[str, Any]]:
    """Each question after two solved ones, so that the model sees in which form to answer."""
    solved = [message for item in make(seed=7, size=2) for message in _turn(item)]
    return [
        {"id": f"{seed + i}", "prompt": [*solved, _turn(item)[0]], "context": {"item": item}}
        for i, item in enumerate(make(seed, size))
    ]


def score(response: str, context: Mapping[str, Any]) -> float:
    """The task's own verifier: 1 for the right answer, a part of it where that stands among other words."""
    return float(VERIFIER.score_answer(response, context["item"]))


def passes(response: str, context: Mapping[str, Any]) -> bool:
    """Whether the answer is right, and nothing but the answer."""
    return score(response, context) == 1.0


def _turn(item: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": item["question"]},
        {"role": "assistant", "content": item["answer"]},
    ]


VERIFIER = make(seed=0, size=1)
