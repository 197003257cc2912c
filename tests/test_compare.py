"""Three arms on six tasks, counted by hand; what does not fit together; the tables as they are printed."""

from __future__ import annotations

import io
import math
import random
from dataclasses import replace

import pytest
from rich.console import Console

from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.arms import Answer, Arm
from stateset.rl.evaluation.compare import Comparison, Rate, compare, worst_first
from stateset.rl.evaluation.report import markdown, print_comparison
from stateset.rl.evaluation.statistics import mean_interval, paired_difference

SITUATION = {"t1": "refund", "t2": "refund", "t3": "login", "t4": "login", "t5": "login", "t6": "refund"}
HARD = ("t2", "t5")


def answer(task: str, passed: bool, **parts: float) -> Answer:
    return Answer(
        task_id=task,
        cluster={"t1": "a", "t2": "a", "t3": "b", "t4": "b", "t5": "c", "t6": "d"}[task],
        slices={"situation": SITUATION[task], "difficulty": "hard" if task in HARD else "easy"},
        text=f"answer to {task}",
        passed=passed,
        parts=parts,
    )


def arm(name: str, passes: str, politeness: str, *, seconds: float | None = None, note: str = "") -> Arm:
    """One digit a task: 1 passed; politeness in tenths."""
    answers = (
        answer(f"t{i}", mark == "1", polite=int(tenths) / 10)
        for i, (mark, tenths) in enumerate(zip(passes, politeness, strict=True), 1)
    )
    return Arm(name=name, answers=tuple(answers), cpu_seconds=seconds, note=note)


BASE = arm("base", "100001", "555555", seconds=1234.5, note="as it is")
PROMPTED = arm("prompted", "110001", "777777", note="rules in the prompt")
GRPO = arm("grpo", "011110", "548653", seconds=12.0)


@pytest.fixture(scope="module")
def three() -> Comparison:
    return compare([BASE, PROMPTED, GRPO], target="grpo")


def test_rates_and_differences_by_hand(three: Comparison) -> None:
    base, prompted, grpo = three.arms
    assert [r.passed.mean for r in three.arms] == pytest.approx([2 / 6, 3 / 6, 4 / 6])
    assert base.difference is not None
    assert base.difference.mean == pytest.approx(2 / 6)
    assert prompted.difference is not None
    assert prompted.difference.mean == pytest.approx(1 / 6)
    assert grpo.difference is None
    assert (base.passed.num_rows, base.passed.num_clusters) == (6, 4)


def test_intervals_are_those_of_the_clusters(three: Comparison) -> None:
    clusters = list("aabbcd")
    base, goal = [1, 0, 0, 0, 0, 1], [0, 1, 1, 1, 1, 0]
    assert three.arms[0].passed == mean_interval(base, clusters)
    assert three.arms[0].difference == paired_difference(base, goal, clusters)
    other_seed = compare([BASE, GRPO], target="grpo", seed=5)
    assert other_seed.arms[0].difference == paired_difference(base, goal, clusters, seed=5)


def test_slices_and_parts_by_hand(three: Comparison) -> None:
    grpo = three.arm("grpo")
    assert grpo.slices == {
        "situation": {
            "login": Rate(mean=1.0, num_rows=3),
            "refund": Rate(mean=pytest.approx(1 / 3), num_rows=3),
        },
        "difficulty": {"easy": Rate(mean=0.5, num_rows=4), "hard": Rate(mean=1.0, num_rows=2)},
    }
    assert grpo.parts == {"polite": Rate(mean=pytest.approx(3.1 / 6), num_rows=6)}


def test_a_part_counts_only_where_it_applies() -> None:
    first = replace(BASE, answers=(answer("t1", True, exact=0.5), answer("t5", False, exact=math.nan)))
    second = replace(GRPO, answers=(answer("t1", True), answer("t5", False)))
    found = compare([first, second], target="grpo")
    assert found.arms[0].parts == {"exact": Rate(mean=0.5, num_rows=1)}
    assert found.arms[1].parts == {}
    assert "| exact | 0.500 (of 1) | - |" in markdown(found)


def test_answers_come_in_any_order(three: Comparison) -> None:
    shuffled = list(GRPO.answers)
    random.Random(0).shuffle(shuffled)
    assert shuffled != list(GRPO.answers)
    assert compare([BASE, PROMPTED, replace(GRPO, answers=tuple(shuffled))], target="grpo") == three


def test_worst_median_and_best_task_by_hand(three: Comparison) -> None:
    """grpo minus base: t1 and t6 -1, the others +1. Politeness orders within: t6 -0.2 before t1 0.0; t2 -0.1,
    t5 0.0, t4 +0.1, t3 +0.3. In order: t6 t1 t2 t5 t4 t3; the median of six is the fourth.
    """
    worst, median, best = worst_first(three, "base")
    assert [(case.task_id, case.difference) for case in (worst, median, best)] == [
        ("t6", -1),
        ("t5", 1),
        ("t3", 1),
    ]
    assert list(worst.answers) == ["base", "prompted", "grpo"]
    assert worst.answers["prompted"].passed
    assert worst.answers["grpo"].text == "answer to t6"


def test_task_ids_break_the_last_ties() -> None:
    same = compare([BASE, replace(BASE, name="twin")], target="twin")
    assert [case.task_id for case in worst_first(same, "base")] == ["t1", "t4", "t6"]


def without(answers: Arm, *tasks: str) -> Arm:
    return replace(answers, answers=tuple(a for a in answers.answers if a.task_id not in tasks))


def moved(answers: Arm, **changes: object) -> Arm:
    first, *rest = answers.answers
    return replace(answers, answers=(replace(first, **changes), *rest))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arms", "kind", "message"),
    [
        ([GRPO], ConfigError, "1 arms: give two or more"),
        ([BASE, PROMPTED], ConfigError, "one of them 'grpo'"),
        ([GRPO, GRPO], ConfigError, "each its own name"),
        ([BASE, without(GRPO, "t2", "t4")], DataError, "only 'base': 't2', 't4'; only 'grpo': none"),
        ([without(BASE, "t3"), GRPO], DataError, "only 'base': none; only 'grpo': 't3'"),
        ([BASE, moved(GRPO, task_id="t2")], DataError, "arm 'grpo' answers 't2' more than once"),
        (
            [BASE, moved(GRPO, cluster="z")],
            DataError,
            "task 't1' has another cluster or slices in arm 'grpo'",
        ),
        ([BASE, moved(GRPO, slices={})], DataError, "task 't1' has another cluster or slices"),
        ([replace(BASE, answers=()), replace(GRPO, answers=())], DataError, "no rows"),
        ([replace(a, answers=a.answers[:2]) for a in (BASE, GRPO)], DataError, "one cluster"),
    ],
)
def test_what_cannot_be_compared_is_refused(arms, kind, message) -> None:
    with pytest.raises(kind, match=message):
        compare(arms, target="grpo")


def test_many_missing_tasks_are_named_in_short() -> None:
    whole = tuple(replace(answer("t1", True), task_id=f"t{i:02}") for i in range(20))
    with pytest.raises(DataError, match="'t00', 't01', 't02', 't03', 't04' and 15 more; only 'grpo': 'x'"):
        compare(
            [
                replace(BASE, answers=whole),
                replace(GRPO, answers=(replace(whole[0], task_id="x"),)),
            ],
            target="grpo",
        )


def test_cases_need_another_arm(three: Comparison) -> None:
    with pytest.raises(ConfigError, match="'grpo' is the target"):
        worst_first(three, "grpo")
    with pytest.raises(ConfigError, match="no arm 'bse'; there are: base, prompted, grpo"):
        worst_first(three, "bse")


def test_markdown_holds_every_number_where_it_belongs(three: Comparison) -> None:
    text = markdown(three)
    assert text.startswith("6 tasks in 4 clusters. In brackets: 95 % intervals")
    base = three.arms[0]
    assert base.difference is not None
    shares = f"33.3% [{100 * base.passed.low:.1f}, {100 * base.passed.high:.1f}]"
    points = f"+33.3 [{100 * base.difference.low:+.1f}, {100 * base.difference.high:+.1f}]"
    assert f"| base | {shares} | {points} | 1,234.5 | as it is |" in text
    assert (
        "| arm | passed | grpo minus arm | CPU seconds | note |\n| --- | ---: | ---: | ---: | --- |" in text
    )
    assert "| situation | tasks | base | prompted | grpo |" in text
    assert "| refund | 3 | 66.7% | 100.0% | 33.3% |" in text
    assert "| hard | 2 | 0.0% | 50.0% | 100.0% |" in text
    assert "| polite | 0.500 | 0.700 | 0.517 |" in text
    assert "(target) | 12.0 |" in text


def test_markdown_survives_hostile_names() -> None:
    odd = replace(GRPO, name="a|b", note="two\nlines <b>")
    text = markdown(compare([BASE, odd], target="a|b"))
    assert "| a\\|b |" in text
    assert "| two lines &lt;b> |" in text


def test_the_terminal_shows_the_same_numbers(three: Comparison) -> None:
    out = io.StringIO()
    named = compare([BASE, PROMPTED, replace(GRPO, name="[red]grpo")], target="[red]grpo")
    print_comparison(named, Console(file=out, width=120, color_system=None))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert ["refund", "3", "66.7%", "100.0%", "33.3%"] in lines
    assert ["polite", "0.500", "0.700", "0.517"] in lines
    assert any(line[:2] == ["[red]grpo", "66.7%"] for line in lines)  # no markup of rich


@pytest.mark.parametrize("count", [2, 8])
def test_two_to_eight_arms(count: int) -> None:
    arms = [replace(BASE, name=f"arm{i}") for i in range(count)]
    found = compare(arms, target="arm0")
    assert len(found.arms) == count
    assert f"| polite |{' 0.500 |' * count}" in markdown(found)
