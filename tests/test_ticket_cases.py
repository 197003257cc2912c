"""Replies that a reviewer wrote against both verifiers: right words for wrong things, and plain right ones."""

# ruff: noqa: E501  # replies stand on one line each

from __future__ import annotations

from typing import Any

import pytest

from stateset.rl.verifiers.ticket_audit import audit_ticket
from stateset.rl.verifiers.tickets import verify_ticket

FACTS = {
    "shop": "Harbour Shop", "name": "Ida", "item": "electric kettle", "order": "40213",
    "other_order": "77120", "amount": "$39.90",
    "days": 6, "months": 9, "window": 30, "warranty": 24, "delivery": 4, "validity": 36,
}  # fmt: skip
RIGHT_AND_ALLOWED: dict[str, tuple[str, list[str]]] = {
    "damaged": ("refund", []), "wrong_item": ("replacement", ["return_label"]), "late": ("trace", []),
    "lost": ("refund", []), "return_out": ("store_credit", ["return_label"]), "charged_twice": ("refund", []),
    "cancel_before": ("cancel", ["refund"]), "cancel_after": ("return_label", ["refund"]),
    "warranty": ("repair", ["return_label"]), "wrong_item, money": ("refund", ["return_label"]),
}  # fmt: skip
WRONG = [
    ("charged_twice", "I have refunded the whole order 40213 to your card."),
    (
        "charged_twice",
        "I have refunded order 40213, $39.90 goes back to your card. The full price of your electric kettle is refunded.",
    ),
    ("charged_twice", "We refund the electric kettle from order 40213 in full."),
    ("charged_twice", "I am refunding order 40213 in full, $39.90."),
    ("charged_twice", "You get your money back for the electric kettle."),
    ("charged_twice", "The price of your electric kettle will be refunded to you in full."),
    ("charged_twice", "I have refunded both charges for order 40213."),
    (
        "return_out",
        "You asked for a refund, consider it done. I have added store credit of $39.90 to your account.",
    ),
    (
        "return_out",
        "I see you wanted a refund, all set. I have added store credit of $39.90 to your account.",
    ),
    ("return_out", "You want a refund, of course. I have added store credit of $39.90 to your account."),
    (
        "warranty",
        "You asked for a replacement, no problem. Our workshop will repair your electric kettle under warranty.",
    ),
    ("cancel_after", "You want to cancel order 40213, it is done. I have emailed you a return label."),
    ("damaged", "I refunded you for the lost parcel, order 40213."),
    ("lost", "I refunded $39.90 for the broken electric kettle of order 40213."),
    ("wrong_item", "I have sent you another one of the wrong item for order 40213."),
    ("wrong_item", "We are sending you the same electric kettle again for the wrong article."),
    ("wrong_item", "We are sending you the same item again."),
    ("warranty", "Your electric kettle was repaired by our workshop. Please send us the electric kettle."),
    ("warranty", "Your electric kettle has been repaired by our workshop."),
    ("warranty", "The electric kettle from order 40213 is repaired already."),
]
RIGHT = [
    ("cancel_before", "Done! Order 40213 is cancelled and won't be shipped."),
    ("late", "I've opened a trace for order 40213 with the carrier and will update you."),
    ("wrong_item", "The correct electric kettle is being shipped to you for free."),
    ("charged_twice", "The second charge of $39.90 on order 40213 has been refunded to your card."),
    ("charged_twice", "I have refunded the extra payment of $39.90 for order 40213 to your card."),
    ("charged_twice", "I have refunded $39.90 for order 40213 to your card."),
    ("charged_twice", "A refund of $39.90 for order 40213 has been issued to your payment method."),
    ("charged_twice", "Order 40213: refund approved, amount $39.90, sent to the original payment method."),
    ("wrong_item, money", "I have refunded $39.90 for order 40213 to your card."),
    (
        "wrong_item, money",
        "Sorry you received the wrong item, Ida. You get a full refund of $39.90 for order 40213.",
    ),
    ("wrong_item, money", "You'll get your money back for the electric kettle, the whole $39.90."),
    ("wrong_item, money", "The full $39.90 of order 40213 is refunded to the card you used."),
    (
        "wrong_item, money",
        "I see that the wrong thing turned up. Your refund for order 40213 is being processed and goes to the card you paid with.",
    ),
    ("wrong_item", "sending u the right electric kettle for order 40213 now, keep an eye on the door"),
    ("late", "I've requested a carrier investigation to find out where your electric kettle is"),
    ("warranty", "Our workshop will repair your electric kettle under the warranty of order 40213."),
    ("return_out", "I understand you wanted a refund. I have added $39.90 in store credit to your account."),
]


def row(name: str) -> dict[str, Any]:
    right, allowed = RIGHT_AND_ALLOWED[name]
    others = [way for way in ("refund", "replacement") if way != right and way not in allowed]
    return {
        "situation": name.split(",")[0], "resolution": right, "allowed": allowed, "question_kind": None,
        "must_not_promise": [*others, "compensation"], "facts": FACTS,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "reply"), WRONG)
def test_the_right_word_for_the_wrong_thing_is_wrong(name: str, reply: str) -> None:
    assert not verify_ticket("", reply, row(name))
    assert not audit_ticket("", reply, row(name))


@pytest.mark.parametrize(("name", "reply"), RIGHT)
def test_plain_right_replies_pass(name: str, reply: str) -> None:
    assert verify_ticket("", reply, row(name))
    assert audit_ticket("", reply, row(name))
