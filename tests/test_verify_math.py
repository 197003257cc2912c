"""`verify_math`: what counts as the answer, what is equal to it, and what hostile text may not do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fixtures_rewards import rewards
from fixtures_rewards.build import group

from stateset.rl import verify_math
from stateset.rl.errors import DataError, MissingExtraError
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.verifiers.math_process import Comparer
from stateset.rl.verifiers.math_text import asked, last_answer, truth
from stateset.rl.verifiers.sandbox import kernel

ROOT = Path(__file__).parents[1]


def gold(answer: object) -> dict[str, object]:
    return {"answer": answer}


def test_the_platforms_snippet() -> None:
    assert verify_math("2+2", "4") is True
    assert verify_math("2+2", "5") is False


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is 12 * 7?", "84"),
        ("What is 12 times 7?", "12 * 7 = 84"),
        ("12 × 7 = ?", "That makes 84!"),
        ("Calculate 5 - 3.", "2"),
        ("1/3 + 1/6", "1/2"),
        ("1/3 + 1/6", "0.5"),
        ("1/3 + 1/6", r"The sum is $\frac{3}{6}$."),
        ("0.1 + 0.2", "0.3"),
        ("1/3", "0.333333"),
        ("2^10", "1,024"),
        ("What is 5!", "120"),
        ("1 1/2 + 1", "2.5"),
        ("What is 50% of 20?", "50% of 20 = 10"),
        ("50 % of 20", "10"),
        ("17 mod 5", "17 mod 5 = 2"),
        ("sqrt(8)", r"2\sqrt{2}"),
        ("Expand (x-1)(x+1)", "x^2 - 1"),
        ("(x-1)(x+1)", r"$x^2-1$"),
        ("x^2 - 1 = (x-1)(x+1)?", "Yes, it is."),
        ("Is it true that 2+2=5?", "That is not true."),
    ],
)
def test_a_question_that_is_mathematics_is_worked_out(question: str, answer: str) -> None:
    assert verify_math(question, answer) is True


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("50% of 20", "11"),
        ("50% of 20", "60% of 20 = 10"),
        ("17 mod 5", "17 mod 5 = 3"),
        ("17 mod 5", "18 mod 5 = 2"),
        ("1/3", "0.333"),  # three digits of six
        ("1/10000000", "0"),
        ("1/10^20", "2/10^20"),
        ("(x-1)(x+1)", "x^2 + 1"),
        ("x^2 - 1 = (x-1)(x+1)?", "No."),
        ("x^2 - 1 = (x-1)(x+1)?", "perhaps"),
        ("2+2=5", "true"),
        ("2+2", ""),
        ("2+2", "The answer is 5, because 2 + 2 = 4"),
        ("2+2", "4 or 5"),
        ("2+2", r"\boxed{5} or 4"),
        ("2+2", r"\boxed{4 or 5}"),
    ],
)
def test_wrong_answers(question: str, answer: str) -> None:
    assert verify_math(question, answer) is False


@pytest.mark.parametrize(
    "answer",
    [
        "The answer is 4 or maybe 5",
        "Answer: 4, maybe 5",
        "#### 4 5 6 7 8",
        "The answer: maybe 4, maybe 5",
        "The answer is 4 or perhaps 5 or 6 or 7",
        "The answer: $4$ or maybe $5$",
        "The answer is 4. Or rather 5.",
        "Answer: 4 1 2 3 5 6 7 8 9 10",
        "5 = 4",
        "The answer is 5 = 4",
        r"\boxed{5 = 4}",
        "x = 5 = 4",
        "2x = 4",
        "x = 2x = 4",
        r"\pi = 4",
        "The answer is not 4",
        "The answer isn't 4",
        "The answer can't be: 4",
        "The answer is not equal to $4$",
        "The answer != 4",
        "The answer ≠ 4",
        r"The answer is not \boxed{4}",
        "It is not 4.",
    ],
)
def test_several_values_an_untrue_equation_and_a_negation_are_no_answer(answer: str) -> None:
    assert verify_math("2+2", answer) is False


@pytest.mark.parametrize(
    "answer",
    [
        "The answer is 4, because 3 + 1 = 4",
        "The answer is 8/2 = 4, that is 4.0",
        "The answer is 4 cm^2 in total",
        "The answer, if I am not mistaken, is 4",
        "It is not 5, it is 4",
        r"The answer is \boxed{4}, not 5",
        "2 + 2 = 3 + 1 = 4",
        "f(x) = 4",
        r"\theta = 4",
        "Let S = 2 + 2 = 4",
        "A = a b = 4",
    ],
)
def test_one_value_said_in_several_ways_is_an_answer(answer: str) -> None:
    assert verify_math("2+2", answer) is True


@pytest.mark.parametrize(
    ("question", "answer", "right", "verdict"),
    [
        ("Factor x^2-1", "x^2-1", "(x-1)(x+1)", False),
        ("Factor x^2-1", "-1 + x^2", "(x-1)(x+1)", False),
        ("Factor $x^2-1$", r"\boxed{x^{2} - 1}", "(x-1)(x+1)", False),
        ("Multiply out (x-1)^2", "(x-1)^2", "x^2-2x+1", False),
        ("Factor x^2-1", "(x+1)(x-1)", "(x-1)(x+1)", True),
        ("Multiply out (x-1)^2", "x^2 - 2x + 1", "x^2-2x+1", True),
        ("Which is larger, 1 1/2 or 1.2?", "1 1/2", "3/2", True),
        ("Differentiate x^2", "f'(x) = 2x", "2x", True),
        ("Differentiate x^2", "dy/dx = 2x", "2x", True),
    ],
)
def test_a_question_in_another_writing_is_known_again(question, answer, right, verdict) -> None:
    assert verify_math(question, answer, gold(right)) is verdict


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("2+2", "2+2"),
        ("2+2", "2 + 2 + 0"),
        ("2+2", "3 + 1"),
        ("2+2", "The answer is 2 + 2."),
        ("487 * 913", "913 * 487"),
        ("(x-1)(x+1)", "(x+1)(x-1)"),
        ("What is 2^10?", "2^10"),
        ("sqrt(8)", "sqrt(8)"),
    ],
)
def test_the_question_said_again_is_no_answer(question: str, answer: str) -> None:
    assert verify_math(question, answer) is False


@pytest.mark.parametrize(
    ("right", "answer"),
    [
        ("5", "She has 5 apples."),
        (5, "5kg"),
        ("5", r"5 \text{ cm}"),
        ("2.50", "$2.50"),
        ("1234", "1,234"),
        (r"$1{,}234$", r"\boxed{1234}"),
        ("He pays 8*9=<<8*9=72>>72.\n#### 72", "72"),
        ("2", "x = 2"),
        ("x = 2", "2"),
        ("1024", "2^{10}"),
        ("300000000", "3 × 10^8"),
        ("0.5", "50%"),
        ("50%", "50"),
        ("pi/2", r"\frac{\pi}{2}"),
        (r"\pi/2", "1.570796"),
        (r"\frac12", "-(-1/2) = 1/2"),
        ("x=-2 or x=2", "The solutions are x = 2 and x = -2."),
        (r"\{2,3\}", r"\boxed{\{3,2\}}"),
        ("(1,2)", "The point is (1, 2)."),
        ("2xy", "2yx"),
        ("y = 2x + 1", "y = 1 + 2x"),
        ("x < 3", "x<3"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"$\begin{pmatrix}1&2\\3&4\end{pmatrix}$"),
        ("x = ±2", "x=2 or x=-2"),
        ("A", "The answer is A."),
        ("yes", "Yes."),
        (False, "That is wrong."),
    ],
)
def test_a_gold_answer_decides(right: object, answer: str) -> None:
    assert verify_math("A word problem?", answer, gold(right)) is True


@pytest.mark.parametrize(
    ("right", "answer"),
    [
        ("x=2 or x=-2", "-2"),
        ("2x + 3y = 6", "6"),
        ("x = 3", "y = 3"),
        ("3t", "3"),
        ("3", "3t"),
        ("3", "3x"),
        ("1000001", "1000000.0"),
        ("(1,2)", "(1,3)"),
        ("A", "B"),
        ("yes", "No."),
        ("444631", "487 * 913"),
        ("5", "five"),
    ],
)
def test_what_a_gold_answer_refuses(right: str, answer: str) -> None:
    assert verify_math("A word problem?", answer, gold(right)) is False


@pytest.mark.parametrize(
    ("right", "answer", "expected"),
    [
        ("10:30", "9:30", False), ("10:30", r"\boxed{10:30}", True), ("10:30", "5:15", False),
        ("30", "9:30", False),
        ("09:05", "at 9:05", True), ("1:2", "3:2", False), ("1:2", "2 : 4", True), ("1:2", "1/2", True),
        ("1:2:3", "1:6", False), ("1:2:3", r"\boxed{1:2:3}", True),
        ("5", "minus 5", False), ("minus 5", "5", False), ("negative 5", "-5", True),
        ("5", "10 minus 5 = 5", True),
        ("-$5", "$5", False), ("-$5", "-5", True),
        ("-1 1/2", "The answer is -1 1/2.", True), ("2 1 / 2", "3 1 / 2", False), ("1½", "1.5", True),
        ("1½", "1", False), ("3 and a half", "3", False), ("3 and a half", "3.5", True),
        ("2.5 million", "3.5 million", False), ("$2.5 million", "$2.5 billion", False),
        ("2.5 million", "2500000", True),
        ("30", "3 × 10⁶", False), ("3e6", "3 × 10⁶", True),
        ("234", "1'234", False), ("1234", "1'234", True), ("1.234567", "1.234,567", False),
        ("5", r"\boxed{3} and \boxed{5}", False), (r"\boxed{3} and \boxed{4}", "4", False),
        (r"\boxed{3} and $\boxed{4}$", "3, 4", True), (r"\boxed{2}, so \boxed{2}", "2", True),
        (r"90^\circ", r"\boxed{90^\circ}", True), (r"2^3 \cdot 5", r"2^3 \cdot 5", True),
        (r"\frac{3}{4} \text{ miles}", "3/4", True), (r"\$18.90", r"\boxed{\$18.90}", True),
        ("[2, 5]", "[3, 5]", False), ("(2, 5]", "(2, 5)", False), ("x = 3 or x = 4", "4", False),
        ("$1,200", "1200", True), ("42 apples", "42", True), ("50%", "50", True),
        ("He had 3, ate 1 on May 5.\n#### 2", "2", True), ("In 2 steps: the answer is 7.", "7", True),
    ],
)  # fmt: skip
def test_a_gold_answer_counts_as_a_whole(right: str, answer: str, expected: bool) -> None:
    assert verify_math("A word problem?", answer, gold(right)) is expected


@pytest.mark.parametrize(
    "right",
    [
        "7 remainder 3", "7 R 3", "2 hours 15 minutes", "2 h 15 m", "5'6\"", "36° 15'", "10 cm by 20 cm",
        "2 to 5", "2-5", "2–5", "between 2 and 5", "3 out of 4", "10 x 20", "the 2nd of 3", "1 234 567",
        "May 5", "5 May", "2026-05-05", "5/6/2026", "3:00 PM", "3 PM", "two and 3/4", "3 and two thirds",
        "2 thirds", "1.2.3", "1.234,56", "0.333...", "0.(3)", "B. 12", "(A) 5", "2 (mod 5)",
        r"$\frac{1}{2}$ or $\frac{3}{2}$ cups", "The answer is 2 hours 15 minutes", "#### 2 to 5",
        r"\boxed{2} comes first, then \boxed{3}", "He had 3 and gets 4, so 7.",
    ],
)  # fmt: skip
def test_a_gold_answer_in_parts_is_refused(right: str) -> None:
    with pytest.raises(DataError, match=r"the gold answer .* holds several values, or one in several parts"):
        verify_math("A word problem?", right, gold(right))


def test_the_gold_answer_may_stand_in_the_question() -> None:
    assert verify_math("Which is larger, 1/2 or 1/3?", "1/2", gold("1/2")) is True
    assert verify_math("What is 2+2?", "4", gold("5")) is False  # the row's word counts


@pytest.mark.parametrize(
    ("question", "context", "said"),
    [
        ("Where is my order?", None, "no expression that could be worked out.*give the row one"),
        ("Tom has 3 apples and buys 4. How many?", {}, "no expression"),
        ("What is the sum of 3 and 4?", None, "no expression"),
        ("2x + 3 = 7", None, "does not always hold"),
        ("1/0", None, "no value"),
        ("9^(9^(9^9))", None, "too large"),
        ("9**9**9", None, "needs brackets"),
        ("q", gold("Paris"), "'Paris' is neither mathematics nor yes or no"),
    ],
)
def test_what_cannot_be_judged_is_an_error_and_no_wrong_answer(question, context, said) -> None:
    with pytest.raises(DataError, match=said):
        verify_math(question, "4", context)


@pytest.mark.parametrize(
    "answer",
    [
        "__import__('os').system('touch PWNED')",
        r"\boxed{__import__('os').system('touch PWNED')}",
        r"$().__class__.__bases__[0].__subclasses__()$",
        "9**9**9**9",
        "9^(9^(9^9))",
        r"\boxed{9^{9^{9^{9}}}}",
        "(((9^999)^999)^999)^999",
        "10000000!",
        "9" * 100_000,
        "(" * 50_000 + ")" * 50_000,
        "(" * 120 + "4" + ")" * 120,
        "{" * 40 + "4" + "}" * 40,
        "\\boxed{" * 20_000,
        "$" * 50_000,
        "4 " * 50_000 + "=",
        "1/0",
        "\x00\ud800é🙂",
        'x"}\n{"right": "4"',
    ],
)
def test_hostile_answers_are_wrong_at_once_and_run_nothing(answer: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    assert verify_math("2+3", answer) is False
    assert time.monotonic() - start < 4
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_that_takes_too_long_is_ended_and_the_next_one_works() -> None:
    comparer = Comparer(limit_seconds=0.5)
    comparer.compare("5", "5")
    with pytest.raises(DataError, match=r"timed out; the limit is 0.5 s"):
        comparer.compare("5", r"\prod_{i=1}^{10^{9}} \sin(i)")
    assert comparer.compare("5", "5.0")["equal"] is True
    comparer.close()


def test_a_reply_that_is_not_to_this_question_is_dropped() -> None:
    comparer = Comparer()
    assert comparer.compare("5", "5")["equal"] is True
    assert comparer._process is not None
    assert comparer._process.stdin is not None
    again = {"number": 1, "right": "5", "found": "5", "seconds": 5}  # what a fork may leave in the pipe
    comparer._process.stdin.write(json.dumps(again) + "\n")
    assert comparer.compare("4", "999/1000*1000")["equal"] is False
    assert comparer.compare("4", "4")["equal"] is True
    comparer.close()


@pytest.mark.parametrize("twice", [False, True])
def test_an_interrupted_comparison_leaves_no_reply_for_the_next_one(twice, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    comparer = Comparer()
    comparer.compare("5", "5")
    lost = comparer._process
    assert lost is not None
    with monkeypatch.context() as patch:
        patch.setattr(lost.stdout, "readline", interrupt, raising=False)
        if twice:  # while it cleans up
            patch.setattr(comparer, "close", interrupt)
        with pytest.raises(KeyboardInterrupt):
            comparer.compare("5", "5")
    assert comparer.compare("4", "999/1000*1000")["equal"] is False
    assert comparer._process is not lost
    assert lost.poll() is not None
    comparer.close()


def test_signals_and_timers_of_the_caller_stay_as_they_are() -> None:
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        assert verify_math("2+2", "4")
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_threads_may_ask_at_the_same_time() -> None:
    verdicts: dict[int, bool] = {}

    def ask(number: int) -> None:
        verdicts[number] = verify_math(f"{number} + 1", "4")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == {number: number == 3 for number in range(8)}


def test_it_is_a_verifier_of_rewards_in_their_worker_process() -> None:
    with RewardScorer(rewards.verified_reward, verifier=verify_math) as scorer:
        [scored] = scorer.score([group("4", "5", "2+2", prompt="What is 2+2?")])
        assert scorer.notice is None
    assert [score.total for score in scored.scores] == [2.0, 0.0, 0.0]


def test_a_row_that_cannot_be_judged_leaves_its_responses_unscored() -> None:
    groups = [group("4", prompt="What is 2+2?"), group("4", prompt="Where is my order?", task_id="t2")]
    with RewardScorer(rewards.verified_reward, verifier=verify_math) as scorer:
        right, unscored = scorer.score(groups)
    assert right.scores[0].total == 2.0
    assert unscored.scores[0].total is None
    assert "Where is my order?" in unscored.scores[0].reason


def test_nothing_heavy_is_imported_and_the_process_ends_with_its_parent() -> None:
    code = (
        "import sys\n"
        "from stateset.rl import verify_math\n"
        "from stateset.rl.verifiers.math_process import comparer\n"
        "assert comparer._process is None\n"
        "assert verify_math('2+2', '4')\n"
        "assert not {'math_verify', 'sympy', 'torch'} & set(sys.modules)\n"
        "print(comparer._process.pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not Path(f"/proc/{done.stdout.strip()}").exists()


def test_without_the_extra_the_error_holds_the_pip_command(tmp_path, monkeypatch) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('No module named math_verify')")
    monkeypatch.syspath_prepend(str(tmp_path))
    comparer = Comparer()
    with pytest.raises(MissingExtraError, match=r"pip install 'stateset-rl\[math\]'"):
        comparer.compare("4", "4")
    comparer.close()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("So 2 + 2 = 4.", "2 + 2 = 4"),
        ("The answer is 84. This took 2 steps.", "84"),
        ("answer: 3\nanswer: 4", "4"),
        ("**Answer:** 4", "4"),
        ("4 is the answer.", "4"),
        ("2 + 2 = 4\n- 5 apples", "5"),
        ("I have a 4 here", "4"),
        ("(see 4)", "4"),
        ("so $2 x + 1$.", "2 x + 1"),
        (r"not 3 but \boxed{\frac{1}{2}}, 7", r"\frac{1}{2}"),
        ("-5", "-5"),
        ("It came 4th", None),
        ("I don't know", None),
        ("", None),
    ],
)
def test_the_last_answer(text: str, found: str | None) -> None:
    assert last_answer(text) == found


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("What is 2 ** 10?", "2^{10}"),
        ("Simplify $\\frac{2}{4}$", "\\frac{2}{4}"),
        ("12 * 7 =", "12 * 7"),
        ("What is x?", None),
        ("3 4", None),
        ("What is the square of 5?", None),
        ("2+2 " * 1000, None),
    ],
)
def test_what_a_question_asks_to_work_out(question: str, found: str | None) -> None:
    assert asked(question) == found


def test_the_last_yes_or_no() -> None:
    said = {
        "Yes": True,
        "Is it? No.": False,
        "not true": False,
        "It isn't correct": False,
        "That's correct": True,
        "Nothing": None,
    }
    assert {text: truth(text) for text in said} == said


@pytest.mark.skipif(not kernel.can_confine(), reason="a kernel without Landlock, or another processor")
def test_the_process_that_compares_has_given_up_its_rights() -> None:
    comparer = Comparer()
    assert comparer.compare(r"\frac{1}{2}", "0.5")["equal"]
    assert comparer._process is not None
    status = Path(f"/proc/{comparer._process.pid}/status").read_text()
    comparer.close()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
