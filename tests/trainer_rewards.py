"""Rewards in a module of their own, so that worker processes can import them."""

from __future__ import annotations

from stateset.rl.rewards.reward import reward
from stateset.rl.verifiers.verifier import verifier


def count_e(prompt: str, response: str) -> float:
    return response.count("e") / 5


@reward
def bounded_e(prompt: str, response: str) -> float:
    return min(1.0, response.count("e") / 5)


bounded_e.bounds = (0.0, 1.0)


def count_a(prompt: str, response: str) -> float:
    return float(response.count("a"))


def parts(prompt: str, response: str) -> tuple[float, dict[str, float]]:
    vowels, capitals = sum(response.count(v) for v in "aeiou") / 10, sum(map(str.isupper, response)) / 10
    return vowels + capitals, {"vowels": vowels, "capitals": capitals}


def ran_code(response: str, verified: bool) -> float:
    return float(verified) + len(response)


@reward
def right(verified: bool) -> float:
    return float(verified)


@verifier
def even(question: str, answer: str) -> bool:
    return len(answer) % 2 == 0


def constant(prompt: str, response: str) -> float:
    return 1.0


@reward
def parts_marked(prompt: str, response: str) -> tuple[float, dict[str, float]]:
    return parts(prompt, response)


@reward
def count_marked(prompt: str, response: str) -> float:
    return count_e(prompt, response)
