"""Verifiers of plain answers, and the trial of a verifier on its own data."""

from __future__ import annotations

import json
import pickle
import sys
from typing import Any

import pytest

from stateset.rl.errors import ConfigError, DataError
from stateset.rl.types import Task
from stateset.rl.verifiers.text import Contains, Exact, JsonSchema, Numeric, Pattern
from stateset.rl.verifiers.validate import validate_verifier
from stateset.rl.verifiers.verifier import make_verifier


def judge(verifier: Any, answer: str, right: Any = None, **context: Any) -> bool:
    given = context if right is None else {**context, "answer": right}
    return make_verifier(verifier)("Which?", answer, given)


def test_exact() -> None:
    assert judge(Exact(), " Paris\n", "Paris")
    assert judge(Exact(), "Cafe\u0301", "Caf\u00e9"), "the same letters, composed otherwise"
    assert not judge(Exact(), "paris", "Paris")
    assert judge(Exact(ignore_case=True), "PARIS", "Paris")
    assert not judge(Exact(), "Paris or Rome", "Paris")
    with pytest.raises(DataError, match="no `answer`"):
        judge(Exact(), "Paris")


@pytest.mark.parametrize(
    ("answer", "right", "expected"),
    [
        ("It is 42.", "42", True),
        ("42.0", "42", True),
        ("1,234.5 in all", "1234.5", True),
        ("first 7, then 42", "42", True),
        ("42, no: 43", "42", False),
        ("\u22125", "-5", True),
        ("5", "-5", False),
        ("10-5", "5", True),
        ("4.2e1", "42", True),
        (".5", "0.5", True),
        ("12,34", "34", True),
        ("none", "42", False),
        ("", "42", False),
    ],
)
def test_numbers(answer: str, right: str, expected: bool) -> None:
    assert judge(Numeric(), answer, right) is expected


def test_tolerances_and_units() -> None:
    assert judge(Numeric(relative=0.01), "100.9", "100")
    assert not judge(Numeric(relative=0.01), "101.1", "100")
    assert judge(Numeric(absolute=0.5), "0.4", "0")
    lengths = Numeric(relative=1e-9, units={"m": 1, "km": 1000, "cm": 0.01})
    assert judge(lengths, "It is 1.5 km.", "1500 m")
    for other in ("1.5 km/h", "1500 m2", "1500 m^2", "1500 m\u00b2", "1500 m*s"):
        assert not judge(lengths, other, "1500 m"), other
    assert judge(lengths, "150000cm", "1.5 km")
    assert not judge(lengths, "1.5 miles", "1500 m"), "a unit that is unknown"
    assert not judge(lengths, "1500", "1500 m"), "no unit where one is asked for"
    assert judge(lengths, "1500", "1500")
    assert judge(Numeric(units={"%": 0.01}), "50 %", "50%")
    with pytest.raises(DataError, match="a unit that is unknown"):
        judge(lengths, "1 m", "1 mile")
    with pytest.raises(DataError, match="has no number"):
        judge(Numeric(), "1", "one")
    with pytest.raises(ConfigError, match="tolerances"):
        Numeric(relative=float("nan"))


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_json_schemas() -> None:
    assert judge(JsonSchema(SCHEMA), '{"n": 3}')
    assert judge(JsonSchema(), '{"n": 3}', schema=SCHEMA)
    for wrong in ('{"n": "3"}', "{}", "n = 3", "", "[" * 10_000, '```json\n{"n": 3}\n```'):
        assert not judge(JsonSchema(SCHEMA), wrong)
    small = {"type": "object", "properties": {"refund": {"type": "number", "minimum": 0, "maximum": 50}}}
    for refund, right in {
        "50": True,
        "60": False,
        "NaN": False,
        "Infinity": False,
        "-Infinity": False,
    }.items():
        assert judge(JsonSchema(small), f'{{"refund": {refund}}}') is right, "NaN is within all bounds"
    assert judge(JsonSchema(SCHEMA), '{"m": 1, "n": 3}', '{"n": 3, "m": 1}')
    assert not judge(JsonSchema(SCHEMA), '{"n": 4}', '{"n": 3}')
    with pytest.raises(DataError, match="the schema is wrong"):
        judge(JsonSchema({"type": "nonsense"}), "{}")
    with pytest.raises(DataError, match="no `schema`"):
        judge(JsonSchema(), "{}")
    with pytest.raises(DataError, match="is no JSON"):
        judge(JsonSchema(SCHEMA), '{"n": 3}', "three")


@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
def test_patterns_have_a_limit() -> None:
    order = Pattern(r"Order \d{5}")
    assert judge(order, "Order 12345")
    assert not judge(order, "Order 12345 is on its way")
    assert judge(
        pickle.loads(pickle.dumps(Pattern(r"Order \d{5}", anywhere=True))), "Your Order 12345 is here"
    )
    with pytest.raises(ConfigError, match="malformed"):
        Pattern("(")
    slow = Pattern(r"(a+)+b", timeout_seconds=0.5)
    with pytest.raises(
        DataError, match=r"takes over 0.5 s on the answer 'a+' \(timeout\): avoid repetitions"
    ):
        judge(slow, "a" * 40)
    assert judge(slow, "aab"), "the next answer is judged"


def test_words() -> None:
    verifier = Contains(required=["full refund", "5 days"], forbidden=["guarantee"])
    assert judge(verifier, "A Full\n refund comes in 5 days.")
    assert not judge(verifier, "A refund comes in 5 days.")
    assert not judge(verifier, "A full refund comes in 5 days, I guarantee.")
    assert judge(verifier, "A full refund comes in 5 days, guaranteed."), "whole words"
    assert judge(Contains(), "yes", required=["Yes"], forbidden=[])
    with pytest.raises(DataError, match="nothing to look for"):
        judge(Contains(), "yes")
    with pytest.raises(DataError, match="give a list"):
        judge(Contains(), "yes", required="yes")


def tasks(*answers: Any) -> list[Task]:
    return [Task(id=str(i), prompt=f"What is number {i}?", answer=answer) for i, answer in enumerate(answers)]


def test_a_good_verifier_passes_its_trial() -> None:
    found = validate_verifier(Exact(), tasks("3", "5", "5", None))
    assert (found.right, found.wrong, found.misjudged) == (3, 15, ())
    words = validate_verifier(Contains(required=["5"]), tasks("3", "5"))
    kinds = {(bad.task_id, bad.kind) for bad in words.misjudged}
    assert kinds == {
        ("0", "right answer rejected"), ("0", "accepted: another row's answer"),
        ("1", "accepted: a denial"),
    }  # fmt: skip


def test_what_a_verifier_raises_is_a_misjudgement_with_its_message() -> None:
    found = validate_verifier(JsonSchema(SCHEMA), tasks(json.dumps({"n": 1}), "three"))
    [bad] = [bad for bad in found.misjudged if bad.error and bad.kind == "accepted: another row's answer"]
    assert "'three' is no JSON" in bad.error
    with pytest.raises(DataError, match="no row has an `answer`"):
        validate_verifier(Exact(), tasks(None))


def test_a_verifier_that_accepts_everything_is_found_out() -> None:
    found = validate_verifier(lambda question, answer: True, tasks("3", "5"))
    assert {bad.kind.partition(": ")[0] for bad in found.misjudged} == {"accepted"}
    assert len(found.misjudged) == found.wrong == 10
