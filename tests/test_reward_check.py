"""`reward check` on rewards that were written down, with its limits, before it was."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import reward_zoo
from test_openai_graders import answered
from typer.testing import CliRunner

from stateset.rl import CustomerServiceReward
from stateset.rl.cli.app import app
from stateset.rl.data.load import load_tasks
from stateset.rl.errors import DataError, GateError
from stateset.rl.rewards.check import Finding, Probe, check_probes, check_repeat, verdict
from stateset.rl.rewards.group_checks import check_groups
from stateset.rl.rewards.literals import own_words
from stateset.rl.rewards.probes import _reworded, _transplanted, _with_other_numbers, worthless
from stateset.rl.rewards.trial import try_reward
from stateset.rl.types import Score, ScoredGroup, Task
from stateset.rl.verifiers.tickets import check_ticket

STILL_REFUSED = {"words"}  # docs/reward-check.md says what it found in them


@pytest.mark.parametrize("name", reward_zoo.BAD)
def test_bad_rewards_are_refused(name: str) -> None:
    reward, kind, _ = reward_zoo.BAD[name]
    findings = try_reward(reward, load_tasks(reward_zoo.rows(kind, 24))).findings
    assert verdict(findings) == "fail"
    assert any(
        finding.example or finding.name == "contract" for finding in findings if finding.verdict == "fail"
    )


@pytest.mark.parametrize("name", reward_zoo.GOOD)
def test_good_rewards_pass(name: str) -> None:
    reward, kind = reward_zoo.GOOD[name]
    findings = try_reward(reward, load_tasks(reward_zoo.rows(kind, 24))).findings
    failed = [finding for finding in findings if finding.verdict == "fail"]
    assert bool(failed) == (name in STILL_REFUSED), failed


def scored(rows: list[list[float | None]], parts: Any = None, texts: Any = None) -> list[ScoredGroup]:
    groups = []
    for index, totals in enumerate(rows):
        names = texts or [f"{'x' * (n + 1)}" for n in range(len(totals))]
        [group] = answered(Task(id=str(index), prompt="q"), names)
        scores = tuple(
            Score(total=total, parts=parts(index, n) if parts else {}) for n, total in enumerate(totals)
        )
        groups.append(ScoredGroup(group=group, scores=scores))
    return groups


def found(findings: list[Finding], name: str) -> Finding:
    [finding] = [finding for finding in findings if finding.name == name]
    return finding


def test_groups_without_signal_and_saturation() -> None:
    rows: list[list[float | None]] = [[1.0, 1.0]] * 6 + [[0.0, 0.0]] * 3 + [[0.0, 1.0]]
    findings = check_groups(scored(rows))
    assert found(findings, "groups without signal").verdict == "warn", "90 %, not more"
    assert found(findings, "groups without signal").said == (
        "90% of 10 groups: 60% all at the highest score, 30% all at the lowest"
    )
    assert (
        found(findings, "saturation").said == "60% of groups all at the highest score, 30% all at the lowest"
    )
    assert found(check_groups(scored([[1.0, 1.0]] * 3)), "saturation").verdict == "fail"
    assert found(check_groups(scored([[1.0, 1.0]] * 3)), "groups without signal").verdict == "fail"


def test_length_tails_and_unscored() -> None:
    rising = check_groups(scored([[0.1, 0.2, 0.3, 0.4]] * 3))
    assert found(rising, "length").verdict == "fail"
    assert "+1.00 within 3 groups" in found(rising, "length").said
    assert found(check_groups(scored([[0.2, 0.4, 0.1, 0.3]] * 3)), "length").verdict == "pass"
    far = check_groups(scored([[0.0, 0.1, 0.2, 0.3, 50.0]]))
    # the median is 0.2, the distances 0.2 0.1 0 0.1 49.8, their median 0.1
    assert found(far, "tails").said == "the farthest response is 498.0 median distances away"
    assert found(far, "tails").verdict == "fail"
    assert found(check_groups(scored([[None, 1.0, 0.0, 0.5]])), "unscored").verdict == "fail"


def test_parts_that_rule_or_repeat() -> None:
    def parts(index: int, n: int) -> dict[str, float]:
        return {"right": float(n % 2), "length": 100.0 * n, "copy": 50.0 * n + 3}

    rows: list[list[float | None]] = [[sum(parts(0, n).values()) for n in range(4)]] * 2
    findings = check_groups(scored(rows, parts))
    assert found(findings, "copies").said == "copy and length correlate by 1.00 within groups"
    assert found(findings, "copies").example == "'xxxx'", "the last of four has the most of both"
    assert found(findings, "one part rules").verdict == "pass", "two share it"
    single = check_groups(
        scored([[101.0 * n for n in range(4)]] * 2, lambda i, n: {"a": 100.0 * n, "b": 1.0 * n})
    )
    assert found(single, "one part rules").said == (
        "a makes 99% of the variance within groups; if the others are to count, `adv_estimator: gdpo` "
        "standardises each part by itself"
    )
    assert found(single, "one part rules").example == "'xxxx'"
    halved = check_groups(
        scored([[50.5 * n for n in range(4)]] * 2, lambda i, n: {"a": 100.0 * n, "b": 1.0 * n})
    )
    said = found(halved, "one part rules").said
    assert said.endswith("under the `weights` that such a reward has to name"), "else gdpo refuses it"


def test_parts_of_several_routes_are_looked_at_together() -> None:
    """Group one has a and b, group two c: a varies by 1, b by 0.01, c by 0.1."""

    def parts(index: int, n: int) -> dict[str, float]:
        return {"c": 0.1 * n} if index else {"a": 1.0 * n, "b": -0.01 * n}

    findings = check_groups(scored([[0.99 * n for n in range(4)], [0.1 * n for n in range(4)]], parts))
    assert found(findings, "one part rules").said.startswith("a makes 100% of the variance")


def test_the_slowest_response_is_the_example_of_cost() -> None:
    groups = scored([[0.0, 1.0], [1.0, 0.0]], texts=["a", "b"])
    [cost] = [
        f
        for f in check_groups(groups, sampling_seconds=0.1, seconds=[0.1, 9.0, 0.2, 0.3])
        if f.name == "cost"
    ]
    assert (cost.verdict, cost.example) == ("warn", "'b'")


def test_weights_are_in_what_a_part_makes() -> None:
    """Thrice the right one and a hundredth of the length, though the length varies more."""
    right, length = [0, 1, 1, 0, 1], [40, 10, 50, 90, 30]

    def parts(index: int, n: int) -> dict[str, float]:
        return {"right": float(right[n]), "length": float(length[n])}

    rows: list[list[float | None]] = [[3 * r + 0.01 * one for r, one in zip(right, length, strict=True)]]
    # cov(right, total) = 3 * 0.24 - 0.01 * 8.4 = 0.636, var(total) = 1.7264: 3 * 0.636 / 1.7264 = 1.105
    # length alone: 0.01 * cov(length, total) = 0.01 * (-3 * 8.4 + 0.01 * 704) = -0.182, a tenth of it
    one = found(check_groups(scored(rows, parts)), "one part rules")
    assert one.said.startswith("right makes 100% of")
    assert one.verdict == "warn"


@pytest.mark.parametrize(
    ("given", "expected"), [(0.3, "pass"), (0.31, "warn"), (0.64, "warn"), (0.65, "fail")]
)
def test_halfway_to_a_right_answer_is_too_much(given: float, expected: str) -> None:
    right, wrong = Probe("right", ["a", "b"], [1.0, 1.0]), Probe("wrong", ["c", "d"], [0.3, 0.3])
    findings = check_probes(right, wrong, [Probe("empty", ["", ""], [given, given])])
    assert [finding.verdict for finding in findings] == ["pass", "pass", expected]


def test_repeats_are_compared_score_by_score() -> None:
    one = [Score(total=1.0), Score(total=None, reason="x")]
    assert check_repeat("again", one, one, ["a", "b"]).verdict == "pass"
    other = [Score(total=1.0), Score(total=0.0)]
    differing = check_repeat("again", one, other, ["a", "b"])
    assert (differing.verdict, differing.example) == ("fail", "None and 0.0 for 'b'")


KIND = re.compile(r"\bkindly\b|\bwith pleasure\b")


def _is_kind(response: str) -> bool:
    return bool(KIND.search(response) or response.startswith("Gladly"))


def kind(response: str) -> float:
    """Not this one."""
    return float(_is_kind(response))


class Holding:
    def __init__(self, words: list[str]) -> None:
        self.words = words

    def __call__(self, response: str) -> float:
        return float(any(word in response for word in self.words))


def closing(words: frozenset[str]) -> Any:
    return lambda response: float(response in words)


def test_own_words_are_found_in_the_folder_and_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far_words.py").write_text(
        'KIND = ["gladly"]\n\n\ndef polite(text):\n    return "with pleasure" in text\n'
    )
    (tmp_path / "near_reward.py").write_text(
        "import re\n\nimport far_words\nfrom far_words import polite\n\n\ndef near(response):\n"
        "    return polite(response) + any(w in response for w in far_words.KIND) + bool(re.NOFLAG)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import near_reward

    assert own_words(near_reward.near) == ["gladly", "with pleasure"]
    assert {"sorry", "shut up"} <= set(own_words(CustomerServiceReward()))


def test_a_rewards_own_words_are_found() -> None:
    assert own_words(reward_zoo.politeness)[:2] == ["sorry", "please"]
    assert own_words(math.sqrt) == []
    assert own_words(kind) == ["Gladly", "kindly", "with pleasure"]
    assert own_words(Holding(["refund", "sorry"])) == ["refund", "sorry"]
    assert own_words(closing(frozenset({"no", "yes"}))) == ["no", "yes"]
    strung = next(
        p for p in worthless([Task(id=i, prompt="q", answer=i) for i in "ab"], kind) if "own" in p.name
    )
    assert strung.texts == ["Gladly kindly with pleasure", "Gladly, kindly, with pleasure"]


BY_WORD = {"therefore": 0.5, "hence": 0.5}


def adds_up(response: str) -> float:
    """A mapping, a choice of letters and a picture."""
    rated = re.search("[Rr]ating: five", response) or "\N{THUMBS UP SIGN}" in response
    return sum(worth for word, worth in BY_WORD.items() if word in response) + bool(rated)


def test_words_in_mappings_patterns_and_pictures_are_found() -> None:
    assert set(own_words(adds_up)) >= {"therefore", "hence", "Rating: five", "\N{THUMBS UP SIGN}"}


def evaluates(response: str, context: dict[str, Any]) -> float:
    try:
        return float(eval(response) == int(context["answer"]))
    except Exception:
        return 0.0


def starts_right(response: str, context: dict[str, Any]) -> float:
    return float(response.startswith(context["answer"]))


def among_the_first(response: str, context: dict[str, Any]) -> float:
    return float(context["answer"] in re.findall(r"\d+", response)[:5] and len(response) < 40)


def one_in_four(response: str, context: dict[str, Any]) -> float:
    return float(response == context["answer"] and int(response) % 4 == 0)


def names_it(response: str, context: dict[str, Any]) -> float:
    """The row's order in a short text, whatever it says."""
    return float(check_ticket(response, context).names_order and len(response) < 160)


@pytest.mark.parametrize(
    ("reward", "kind", "name", "judged"),
    [
        (evaluates, "math", "code that equals anything", "fail"),
        (evaluates, "math", "eval, exec or compile", "warn"),
        (starts_right, "math", "right, then another row's answer", "fail"),
        (among_the_first, "math", "right, in the middle of others", "warn"),
        (one_in_four, "math", "right answers worth no more", "warn"),
        (names_it, "tickets", "another row's answer with this row's numbers", "warn"),
    ],
)
def test_what_pays_for_more_than_the_right_answer_is_told(
    reward: Any, kind: str, name: str, judged: str
) -> None:
    one = found(list(try_reward(reward, load_tasks(reward_zoo.rows(kind, 24))).findings), name)
    assert one.verdict == judged, one
    assert one.example


def test_a_wrong_answer_to_the_same_question_has_its_numbers() -> None:
    answers = ["We refund 10.50 for order 12345.", "Order 67890 gets a new lamp on day 3."]
    assert _transplanted(answers) == [
        "Order 12345 gets a new lamp on day 3.",
        "We refund 10.50 for order 67890.",
    ]
    assert _transplanted(["It is 4.", "It is 5."]) == [], "that would be right"
    assert _with_other_numbers("Order 1299") == "Order 2300"


def test_a_reworded_answer_means_the_same() -> None:
    assert _reworded("I've sent it. I can't say more.") == "I have sent it. I cannot say more."
    assert _reworded("We will send it, and I have noted it.") == "We'll send it, and I've noted it."
    assert _reworded("Sent.") == "Sent."


def test_rows_without_different_answers_cannot_try_it() -> None:
    with pytest.raises(DataError, match="at least two differ"):
        try_reward(
            reward_zoo.constant, load_tasks([{"prompt": "a", "answer": "x"}, {"prompt": "b", "answer": "x"}])
        )


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "check_rewards.py").write_text(
        "from stateset.rl import reward, verifier\n\n@verifier\ndef equal(question, answer, context):\n"
        "    return answer.strip() == context['answer']\n\n"
        "@reward\ndef paid(response, context):\n    return float(context['verified'])\n\n"
        "@reward\ndef digits(response, context):\n    if not any(map(str.isdigit, response)):\n"
        "        raise ValueError('no digit')\n    return float(response.strip() == context['answer'])\n\n"
        "@reward\ndef right(response, context):\n"
        "    return float(response.strip() == context['answer'])\n\n"
        "@reward\ndef kind(response):\n    return float('sorry' in response)\n"
    )
    rows = [json.dumps({"prompt": f"{n} + 1?", "answer": str(n + 1)}) for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    run = CliRunner().invoke
    good = run(app, ["reward", "check", "check_rewards:right", "--data", "rows.jsonl", "--json"])
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout)["verdict"] == "pass"
    (tmp_path / "unanswered.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}')
    asked = run(app, ["reward", "check", "check_rewards:right", "--data", "unanswered.jsonl"])
    assert "no row of unanswered.jsonl has an `answer`, so there are no probes: add --model" in str(
        asked.exception
    )
    judged = ["reward", "check", "check_rewards:paid", "--data", "rows.jsonl"]
    without = run(app, judged)
    assert "It reads a verifier's verdict, and there is none: name one with" in str(without.exception)
    assert str(without.exception).endswith("Nothing else can be checked before that is repaired")
    with_one = run(app, [*judged, "--verifier", "check_rewards:equal"])
    assert with_one.exit_code == 0, with_one.output
    idle = run(app, ["reward", "check", "--run", "r", "--verifier", "check_rewards:equal"])
    assert "--verifier judges for a reward" in str(idle.exception)
    breaks = run(app, ["reward", "check", "check_rewards:digits", "--data", "rows.jsonl"])
    assert re.search(
        r"reward left .* of \d+ responses unscored, the first: ValueError: no digit", str(breaks.exception)
    )
    bad = run(app, ["reward", "check", "check_rewards:kind", "--data", "rows.jsonl"])
    assert isinstance(bad.exception, GateError)
    assert bad.exception.exit_code == 3
    assert "right above wrong" in str(bad.exception)
    assert "X" in bad.stdout
