"""Sly wrong replies fail, class by class, and right ones in unusual words pass."""

import time
from pathlib import Path

import pytest
import yaml

from stateset.rl import load_customer_service_data
from stateset.rl.verifiers.tickets import check_ticket, verify_ticket

REPLIES = yaml.safe_load(Path(__file__).with_name("ticket_replies.yaml").read_text(encoding="utf-8"))
ROWS = load_customer_service_data("train")


def _row(situation, resolution=None, kind=None):
    return next(
        row
        for row in ROWS
        if row["situation"] == situation
        and resolution in (None, row["resolution"])
        and kind in (None, row["question_kind"])
    )


SITUATIONS = {  # what the tables below call a row
    "broken, new one": _row("damaged", "replacement"),
    "broken, money": _row("damaged", "refund"),
    "wrong item": _row("wrong_item", "replacement"),
    "late": _row("late"),
    "lost, money": _row("lost", "refund"),
    "lost, new one": _row("lost", "replacement"),
    "return": _row("return_in"),
    "return late": _row("return_out"),
    "twice": _row("charged_twice"),
    "cancel": _row("cancel_before"),
    "cancel shipped": _row("cancel_after"),
    "warranty": _row("warranty"),
    "gift card": _row("gift_card"),
    "injury": _row("injury"),
    "window?": _row("question", kind="return_window"),
    "warranty?": _row("question", kind="warranty_length"),
    "delivery?": _row("question", kind="delivery_time"),
    "card?": _row("question", kind="card_validity"),
}


def _filled(answer, row):
    return answer.format(**row["facts"])


@pytest.mark.parametrize(
    ("situation", "answer"), [case for cases in REPLIES["wrong"].values() for case in cases]
)
def test_sly_wrong_answers_fail(situation, answer):
    row = SITUATIONS[situation]
    assert not verify_ticket("", _filled(answer, row), row)


@pytest.mark.parametrize(("situation", "answer"), REPLIES["right"])
def test_right_answers_in_other_words_pass(situation, answer):
    row = SITUATIONS[situation]
    check = check_ticket(_filled(answer, row), row)
    assert check.passed, check


@pytest.mark.parametrize("sentence", REPLIES["contradictions"])
def test_a_gold_answer_with_a_contradiction_behind_it_fails(sentence):
    assert [row["id"] for row in ROWS if verify_ticket("", f"{row['answer']} {sentence}", row)] == []


def test_a_fact_of_another_situation_is_not_understood():
    row = SITUATIONS["cancel"]
    answer = _filled("I have cancelled order {order}.", row)
    assert verify_ticket("", f"It had not shipped yet. {answer}", row)
    assert not verify_ticket("", f"Your parcel is lost. {answer}", row)


def test_a_row_without_a_situation_is_read_all_the_same():
    row = {name: value for name, value in SITUATIONS["late"].items() if name != "situation"}
    assert verify_ticket("", _filled("I have opened a trace for order {order}.", row), row)


def test_the_money_may_wait_for_the_item_only_where_items_come_back():
    answer = "We refund {amount} for order {order} as soon as the {item} is back."
    for situation, passes in (("return", True), ("broken, money", False), ("lost, money", False)):
        row = SITUATIONS[situation]
        assert verify_ticket("", _filled(answer, row), row) is passes, situation


@pytest.mark.parametrize(
    "text",
    [
        "to you now " * 29 + "to you",
        "I have now just already now today now refunded " * 11,
        "I have refunded, and so, " * 17,
        "a" * 5000,
        "i we you " * 600,
        ", and " * 1000,
        "for order {order} " * 29,
        "We have refunded you " + "for order {order} of {amount} in full " * 12,
    ],
)
def test_long_replies_are_read_in_no_time(text):
    row = SITUATIONS["broken, money"]
    check_ticket("The grammar is compiled by now.", row)
    start = time.perf_counter()
    assert not verify_ticket("", _filled(text, row), row)
    assert time.perf_counter() - start < 0.5, "50 ms on an idle machine, ten times that on a busy one"
