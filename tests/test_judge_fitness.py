"""A judge's measures against numbers worked out by hand."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from stateset.rl.evaluation.judge_fitness import (
    LIMITS,
    Graded,
    flip_excess,
    length_bias,
    measure_judge,
    noise_parts,
    noise_share,
    wilson,
    youden,
)

NAN = math.nan
ROOT = Path(__file__).parents[1]


def yes(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def noise(grades: np.ndarray, prompts: list[int]) -> tuple[str, float]:
    place, again, apart = noise_parts(grades, np.array(prompts))
    return place, noise_share(again, apart)


def test_wilson_of_8_in_10() -> None:
    """z = 1.96: (0.8 + z^2/20) / (1 + z^2/10) = 0.7167, and z sqrt(0.016 + z^2/400) / 1.384 = 0.2266."""
    assert wilson(yes(*[1] * 8, 0, 0)) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(yes(1, 1, 1)) == (pytest.approx(3 / (3 + 1.96**2), abs=1e-4), pytest.approx(1.0))


def test_youden() -> None:
    """3 of 4 right ones pass and 1 of 2 wrong ones does not: 0.75 + 0.5 - 1."""
    assert youden(yes(1, 1, 1, 1, 0, 0), yes(1, 1, 1, 0, 0, 1)) == 0.25
    assert math.isnan(youden(yes(1, 1), yes(1, 0)))


def test_length_bias_is_that_within_a_label() -> None:
    """Ranks in shares of N: right (-1, 0, 1)/3 twice, wrong (-1, 1)/4 and back: (2/9 - 1/8) / (2/9 + 1/8)."""
    found = length_bias(
        yes(1, 1, 1, 0, 0), np.array([0.7, 0.8, 0.9, 0.1, 0.2]), np.array([10.0, 20.0, 30.0, 9.0, 8.0])
    )
    assert found == pytest.approx(7 / 25)
    confounded = length_bias(
        yes(1, 1, 0, 0), np.array([0.9, 0.9, 0.1, 0.1]), np.array([90.0, 80.0, 10.0, 20.0])
    )
    assert confounded == 0.0, "right answers are longer, which is not the judge's fault"


def test_flips_by_place_are_told_from_flips_by_themselves() -> None:
    grades = np.array([[0.9, 0.9], [0.9, 0.1], [0.1, 0.9], [0.1, 0.1], [0.9, NAN]])
    found = flip_excess(grades, np.array([0.1, 0.1, 0.1, 0.1, 0.1]), 0.5)
    assert found[:4].tolist() == [1, 0, -1, 0]
    assert math.isnan(found[4])


def test_noise_over_all_prompts() -> None:
    """Each row's variance is 0.1^2 + 0.1^2 = 0.02, that of 0 and 1 is 0.5: sqrt(0.02 / 0.5)."""
    assert noise(np.array([[0.0, 0.2], [1.0, 0.8]]), [0, 1]) == ("over all prompts", pytest.approx(0.2))
    third = noise(np.array([[0.0, 0.2], [1.0, NAN]]), [0, 1])[1]
    assert third == pytest.approx(0.2), "a grade that is missing is not a grade of 0"
    assert math.isnan(noise(np.array([[1.0, 1.0], [1.0, 1.0]]), [0, 1])[1])
    assert math.isnan(noise(np.array([[1.0, NAN], [0.0, NAN]]), [0, 1])[1])


def test_noise_within_prompts_where_these_have_several_answers() -> None:
    """30 prompts whose two answers lie 1 apart, however far the prompts do: sqrt(0.02 / 0.5) again."""
    base = np.repeat(np.arange(30) * 5.0, 2) + np.tile([0.0, 1.0], 30)
    grades = np.column_stack([base, base + 0.2])
    assert noise(grades, [row // 2 for row in range(60)]) == ("within prompts", pytest.approx(0.2))
    assert noise(grades, list(range(60)))[1] < 0.01, "nobody would see it over all prompts"


def graded(right: np.ndarray, grades: np.ndarray, swapped: np.ndarray) -> Graded:
    lengths = np.random.default_rng(1).uniform(10, 100, len(right))
    return Graded(right=right, grades=grades, swapped=swapped, lengths=lengths, prompts=range(len(right)))


def test_every_measure_of_a_judge() -> None:
    """40 right, 36 of them passed, and 40 wrong, 8 of them passed: agreed 0.85, by chance 0.5."""
    right = yes(*[1] * 40, *[0] * 40)
    once = np.where(yes(*[1] * 36, *[0] * 4, *[1] * 8, *[0] * 32), 0.9, 0.1)
    twice = np.column_stack([once, once])
    found = {one.name: one for one in measure_judge(graded(right, twice, once), 0.5)}
    expected = {
        "unscored": 0, "answers of the rarer label": 40, "TPR": 0.9, "TNR": 0.8,
        "Cohen's kappa": (0.85 - 0.5) / 0.5, "Youden's J": 0.7, "position bias": 0,
        "noise, of the spread over all prompts": 0,
    }  # fmt: skip
    assert {name: found[name].value for name in expected} == {
        name: pytest.approx(value) for name, value in expected.items()
    }
    assert found.keys() == LIMITS.keys() - {"noise, of the spread within prompts"}
    assert all(one.fit for one in found.values())
    assert found["Cohen's kappa"].low < 0.7 < found["Cohen's kappa"].high
    width = 2 * 1.96 * np.sqrt(0.85 * 0.15 / 80) / 0.5  # by the delta method (Cohen 1960)
    assert found["Cohen's kappa"].high - found["Cohen's kappa"].low == pytest.approx(width, abs=0.03)
    strict = {one.name: one for one in measure_judge(graded(right, twice, once), 0.95)}
    assert (strict["TPR"].value, strict["TNR"].value) == (0.0, 1.0)
    assert not strict["TPR"].fit


def test_too_few_answers_of_a_label_tell_nothing() -> None:
    right = yes(*[1] * 50, *[0] * 29)
    once = np.where(right, 0.9, 0.1)
    found = measure_judge(graded(right, np.column_stack([once, once]), once), 0.5)
    assert [one.name for one in found if not one.fit] == ["answers of the rarer label"]
    missing = np.where(right, 0.9, NAN)
    found = measure_judge(graded(right, np.column_stack([missing, once]), once), 0.5)
    assert [(one.name, one.fit) for one in found] == [
        ("unscored", False),
        ("answers of the rarer label", False),
    ]
    assert found[0].value == pytest.approx(29 / (3 * 79))


def test_one_prompt_with_many_answers_resamples_the_answers() -> None:
    right = yes(*[1] * 30, *[0] * 30)
    once = np.where(yes(*[1] * 28, 0, 0, *[0] * 30), 0.9, 0.1)
    given = Graded(
        right=right,
        grades=np.column_stack([once, once]),
        swapped=once,
        lengths=np.arange(60.0),
        prompts=["p"] * 60,
    )
    kappa = next(one for one in measure_judge(given, 0.5) if one.name == "Cohen's kappa")
    assert kappa.low < kappa.value < kappa.high


def test_the_limits_stand_in_the_docs() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", (ROOT / "docs" / "judge-calibration.md").read_text(), re.M)
    assert {name: limit for name, (limit, _) in LIMITS.items()}.items() <= dict(rows).items()
