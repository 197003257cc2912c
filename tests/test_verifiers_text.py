"""Verifiers of plain answers, and the trial of a verifier on its own data."""

from __future__ import annotations

import json
import pickle
import socket
import sys
import threading
import time
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


@pytest.mark.parametrize(
    ("answer", "right", "expected"),
    [
        ("3/2", "1/2", False), ("0.5", "1/2", True), ("1/2", "0.5", True), ("-1/2", "0.5", False),
        ("1 1/2", "1.5", True), ("1/2", "1 1/2", False), ("so 10/2 = 5", "5", True), ("1/0", "0", False),
        ("9:30", "30", False), ("Total for 2024: 5", "5", True),
        ("10^3", "3", False), ("10^{-3}", "-3", False), ("10**3", "3", False), ("10\u00b3", "10", False),
        (r"\frac{3}{2}", "2", False), (r"\boxed{5}", "5", True), ("2\u00bd", "2", False),
        ("1.2.3", "0.3", False), ("5/6/2024", "2024", False),
        ("minus 5", "5", False), ("It is negative $5", "-5", True), ("10 minus 5", "5", True),
    ],
)  # fmt: skip
def test_a_part_of_a_number_is_none(answer: str, right: str, expected: bool) -> None:
    assert judge(Numeric(), answer, right) is expected


@pytest.mark.parametrize(
    "right", ["10:30", "10^3", "5/6/2024", r"\frac{1}{2}", "1.234,56", "10\u00b3", "1/0"]
)
def test_a_right_answer_of_which_a_part_would_count_is_refused(right: str) -> None:
    with pytest.raises(DataError, match=r"only a part of something .*: write it as one number"):
        judge(Numeric(), "30", right)


@pytest.mark.parametrize("text", ["1" + ",111" * 8000 + ",1", "1 " * 16_000, "1/" * 16_000, "$*" * 16_000])
def test_numbers_are_read_in_linear_time(text: str) -> None:
    start = time.monotonic()
    assert not judge(Numeric(units={"$": 1}), text, "5")
    assert time.monotonic() - start < 1


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


def test_a_tolerance_is_a_share_of_the_right_number() -> None:
    assert judge(Numeric(relative=0.1), "110", "100")
    assert judge(Numeric(relative=0.1), "90", "100")
    assert not judge(Numeric(relative=0.1), "111", "100"), "though 100 is within a tenth of 111"
    assert not judge(Numeric(relative=1.0), "1000000000", "100")
    assert judge(Numeric(relative=0.1, absolute=20), "120", "100"), "the larger tolerance"


@pytest.mark.parametrize("right", ["12345678901234567890", "9007199254740992", "0.1", "1e300"])
def test_numbers_are_compared_digit_for_digit(right: str) -> None:
    digits, e, exponent = right.partition("e")
    assert judge(Numeric(), right, right)
    assert not judge(Numeric(), f"{digits}1", right)
    assert not judge(Numeric(), f"{digits[:-1]}{int(digits[-1]) + 1}{e}{exponent}", right)


@pytest.mark.parametrize("number", ["1e999999999", "1e-999999999", "9" * 10_000, "0." + "1" * 10_000])
def test_a_number_of_any_size_costs_nothing(number: str) -> None:
    assert not judge(Numeric(relative=0.5), number, "1")
    with pytest.raises(DataError, match="has no number"):
        judge(Numeric(), "1", number)


@pytest.mark.parametrize("answer", ["-$5", "$-5", "\u2212\u20ac5", "**-$5**", "It is -$5.00."])
def test_a_sign_before_a_currency_counts(answer: str) -> None:
    assert judge(Numeric(), answer, "-5")
    assert not judge(Numeric(), answer, "5")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("$40", True), ("40 $", True), ("I refunded $40 yesterday.", True), ("$ 40", True), ("USD 40", True),
        ("\u20ac40", False), ("40 \u20ac", False), ("\u00a540", False), ("40", False), ("-$40", False),
        ("**$40**", True), ("$**40**", True), ("5 \u20ac 40 $", True), ("5 $ 40 \u20ac", False),
        ("US$40", True), ("\u20ac44.444", False), ("3 $40", True), ("\u20ac36", True),
    ],
)  # fmt: skip
def test_a_unit_may_stand_in_front(answer: str, expected: bool) -> None:
    money = Numeric(units={"\u20ac": 1, "$": 0.9, "USD": 0.9})
    assert judge(money, answer, "$40") is expected


@pytest.mark.parametrize("answer", ["**5** km", "5  km", "5\u00a0km", "`5` km", "5 **km**", "_5 km_"])
def test_a_unit_may_stand_apart(answer: str) -> None:
    assert judge(Numeric(units={"m": 1, "km": 1000}), answer, "5000 m")
    assert not judge(Numeric(units={"m": 1, "km": 1000}), answer, "5 m")


def test_a_number_at_the_end_of_its_line_has_no_unit() -> None:
    assert judge(Numeric(units={"m": 1}), "It is 5\nThank you", "5")


def test_a_factor_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="a factor that is no number"):
        Numeric(units={"m": float("inf")})


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_a_schema_asks_no_network() -> None:
    calls: list[str] = []

    def hang_up() -> None:
        caller, address = server.accept()
        calls.append(str(address))  # before the caller can go on
        caller.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        elsewhere = f"http://127.0.0.1:{server.getsockname()[1]}/refund.json"
        with pytest.raises(DataError, match=r"a `\$ref` that leads nowhere.*refund.json"):
            judge(JsonSchema({"$ref": elsewhere}), "{}")
        assert not calls
        socket.create_connection(server.getsockname()).close()  # lets the thread end
        thread.join()


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
    with pytest.raises(DataError, match=r"a `\$ref` that leads nowhere.*/\$defs/x"):
        judge(JsonSchema({"$ref": "#/$defs/x"}), "{}")
    assert not judge(JsonSchema({"$ref": "https://json-schema.org/draft/2020-12/schema"}), '{"type": 3}')
    with pytest.raises(DataError, match="no `schema`"):
        judge(JsonSchema(), "{}")
    with pytest.raises(DataError, match="is no JSON"):
        judge(JsonSchema(SCHEMA), '{"n": 3}', "three")


NESTED = {"$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"multipleOf": 0.5}, "1e999"),
        ({"multipleOf": 0.5}, "1" * 400),
        ({"items": {"uniqueItems": True}}, "[" * 900 + "]" * 900),
        (NESTED, "[" * 400 + "]" * 400),
    ],
)
def test_json_that_cannot_be_checked_is_wrong_and_no_error(schema: dict[str, Any], answer: str) -> None:
    assert not judge(JsonSchema(schema), answer, "3")


@pytest.mark.parametrize(
    ("answer", "right", "expected"),
    [
        ("10", "10.0", True), ("[1.0]", "[1]", True), ("1", "true", False), ("[0]", "[false]", False),
        ("true", "true", True), ('"1"', "1", False), ("null", "0", False), ("[1, 2]", "[1]", False),
        ('{"a": {"b": 2.0}}', {"a": {"b": 2}}, True), ('{"a": 1}', {"a": True}, False), ("[1]", [1], True),
        ('{"a": 1}', '{"a": 1, "b": 1}', False), ('{"a": 1, "b": 1}', '{"a": 1}', False),
    ],
)  # fmt: skip
def test_json_is_compared_by_value(answer: str, right: Any, expected: bool) -> None:
    assert judge(JsonSchema({}), answer, right) is expected


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


@pytest.mark.parametrize(
    "answer",
    [
        "ref\u200bund", "re\u00adfund", "\uff52efund", "re\ufe0ffund", "re\u034ffund", "REFUND",
        "\U0001d42b\U0001d41e\U0001d41f\U0001d42e\U0001d427\U0001d41d", "I can\u2019t", "I can\u02bct",
        "I can\u00b4t", "I can\u200b't", "a follow\u2011up",
    ],
)  # fmt: skip
def test_typography_hides_no_word(answer: str) -> None:
    assert not judge(Contains(forbidden=["refund", "can't", "follow-up"]), answer)
    assert judge(Contains(required=["plainly"], forbidden=["refunds"]), f"{answer} plainly")


def test_typography_is_nobody_s_mistake() -> None:
    for answer in ("cafe\u0301", "CAFE\u0301", "caf\u200be\u0301", "cafe\u200b\u0301"):
        assert judge(Contains(required=["caf\u00e9"]), answer)
    assert judge(Contains(required=["can\u2019t"]), "I can't")
    with pytest.raises(DataError, match="give a list"):
        judge(Contains(required=["\u200b"]), "yes")


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
    found = validate_verifier(lambda question, answer: int(answer) >= 0, tasks("1"))
    errors = {bad.kind: bad.error for bad in found.misjudged}
    assert errors["accepted: an empty answer"].startswith("ValueError: invalid literal")
    with pytest.raises(DataError, match="no row has an `answer`"):
        validate_verifier(Exact(), tasks(None))


def test_a_verifier_that_accepts_everything_is_found_out() -> None:
    found = validate_verifier(lambda question, answer: True, tasks("3", "5"))
    assert {bad.kind.partition(": ")[0] for bad in found.misjudged} == {"accepted"}
    assert len(found.misjudged) == found.wrong == 10
