"""Sly wrong replies by class, right ones in ordinary wording, and the parser that tells them apart."""

from __future__ import annotations

import json
import time
from importlib import resources
from typing import Any

import pytest
from test_ticket_audit import SITUATIONS, row

from stateset.rl.verifiers import ticket_audit_phrases
from stateset.rl.verifiers.ticket_audit import audit_reasons, audit_ticket
from stateset.rl.verifiers.ticket_audit_grammar import read

WRONG = {
    "beside a form that passes": [
        ("twice", "Order 40213: duplicate payment confirmed, $12.00 refunded to your card."),
        ("twice", "Order 40213: duplicate payment confirmed."),
        ("twice", "Order 40999: duplicate payment confirmed, $39.90 refunded to your card."),
        ("broken", "I have passed order 40213 to our safety manager."),
        ("injury", "I have passed order 40999 to our safety manager."),
    ],
    "taken back": [
        (
            "broken",
            "A new kettle is on its way to you. Actually, forget that: I will do nothing of the kind.",
        ),
        ("broken_paid", "I have refunded $39.90 to your card. On second thought this does not apply to you."),
        ("late", "I have opened a trace with the carrier. Sadly the system rejected it, so nothing happens."),
        ("warranty", "Our workshop will repair your kettle under warranty. Just kidding."),
        ("card", "I have emailed you a new gift card code. It will not work though."),
        ("injury", "I passed your case to our safety team. They will ignore it."),
        ("window", "You can return it within 30 days. Not in your case, of course."),
        ("cancel_before", "Order 40213 is cancelled. Well, not really."),
        ("return_out", "You get $39.90 in store credit. We have since withdrawn it."),
        ("broken", "We are sending you a new electric kettle. No, wait, we are not."),
        (
            "broken_paid",
            "I have refunded $39.90 to your card. The bank sent it straight back to us and we keep it.",
        ),
        (
            "twice",
            "The second charge is refunded. That was last month's news, though, and no longer holds.",
        ),
        ("return_out", "Store credit of $39.90 is in your account. It has already expired."),
        ("late", "I have opened a trace with the carrier. They have since closed it."),
        ("cancel_after", "A prepaid return label is in your inbox. It is void."),
        ("card", "I have emailed you a new gift card code. The code is blocked."),
        ("warranty", "We will repair your kettle under warranty. Please disregard this message."),
        ("cancel_before", "Your order is cancelled. It has already shipped, so it will still reach you."),
        ("injury", "I passed your case to our safety team. They have nobody to look at it."),
        ("guarantee", "You are covered for 24 months. That is wrong, sorry."),
    ],
    "reduced": [
        ("broken_paid", "I have refunded $39.90 to your card. A handling charge of ten dollars is deducted."),
        ("broken_paid", "I have refunded half of it to your card."),
        ("lost", "We refund $39.90 less 20 percent to your card."),
        ("cancel_after", "Here is your return label, which costs six dollars."),
        ("warranty", "Our workshop repairs your kettle for a small fee."),
        ("broken_paid", "You get your refund of $39.90 in the form of vouchers."),
        ("broken", "We send you a used electric kettle as a replacement."),
        ("return_in", "We refund part of the price for order 40213 to your card."),
        ("cancel_before", "Order 40213 is cancelled, but no refund is given."),
        ("card", "I have emailed you a new gift card code with half the value."),
        ("lost", "We refund $39.90 to your card minus the postage."),
        ("broken_paid", "I have refunded $39.90 to your card in four instalments over two years."),
        ("return_in", "Send it back at your own expense and we refund $39.90."),
        ("broken", "A replacement kettle is on its way, you only pay the shipping."),
        ("warranty", "Our workshop repairs your kettle; the parts are billed to you."),
        ("cancel_after", "I have emailed you a return label for 5 dollars."),
        ("return_out", "You get store credit for half the price of your kettle."),
        ("card", "I have emailed you a new gift card code, valid for one week."),
        ("wrong_item", "We are sending you the empty box of the right kettle."),
    ],
    "added": [
        ("late", "The carrier is tracing order 40213. It should be with you the day after tomorrow."),
        ("return_out", "You get $39.90 in store credit. Alternatively, cash is fine too."),
        ("broken", "A new electric kettle is on its way. And we throw in a little surprise."),
        ("broken", "A new electric kettle is on its way. The shipping fee is waived as a gesture."),
        ("injury", "Our safety team takes over your case. Your medical bills will be paid."),
        ("injury", "Our safety team takes over your case. We should have checked the kettle better."),
        ("broken", "A new electric kettle is on its way. Keep the money as well."),
        ("broken", "A new electric kettle is on its way, and your next purchase is on us."),
        ("broken", "We are sending you a new electric kettle and two spare ones."),
        ("late", "The carrier is tracing your parcel and will hand it to you this weekend."),
        ("late", "I have opened a trace. Your kettle will be there in time for the party."),
        ("injury", "Our safety team has your case. We know the kettle was badly made."),
        ("injury", "I passed your case to our safety team, and we will pay for your doctor."),
        ("return_in", "We refund $39.90 when it is back and you can keep the kettle."),
        ("twice", "I have refunded the second charge of $39.90 and the first one too."),
        ("warranty", "Our workshop repairs your kettle, and a loan kettle is yours to keep."),
        ("validity", "A gift card is valid for 36 months, and I topped it up a bit for you."),
    ],
    "hedge": [
        ("broken_paid", "We might be able to refund $39.90."),
        ("broken", "A replacement will be considered once our team has looked at it."),
        ("broken", "Send us a photo and we will decide about a replacement."),
        ("late", "The carrier is tracing it. If it finds nothing by noon you get every cent back."),
        ("late", "I have opened a trace with the carrier. Would you prefer your money?"),
        ("return_out", "You get $39.90 in store credit, you can swap it for cash at any time."),
        ("return_in", "We refund $39.90 if the kettle is still in its box."),
        ("cancel_before", "I will cancel order 40213 as soon as my manager agrees."),
        ("broken", "If stocks last, a new electric kettle is on its way."),
        ("broken_paid", "A refund of $39.90 is likely."),
        ("return_out", "We can probably arrange $39.90 in store credit."),
        ("late", "I would open a trace if I were you."),
        ("warranty", "We will repair your kettle provided that the defect is not your doing."),
        ("cancel_before", "I will do my best to cancel order 40213."),
        ("injury", "Maybe a specialist takes over your case."),
        ("card", "A new code will be sent after an examination of the card."),
        ("twice", "I have refunded $39.90, subject to approval."),
    ],
    "hypothetical": [
        ("return_out", "Store credit would have been possible last week."),
        ("broken_paid", "If you had kept the packaging I would have refunded $39.90."),
        ("warranty", "A free repair is what we normally do, but in your case it is too old."),
        ("broken", "Sending a replacement is a thing we stopped doing years ago."),
        ("lost", "Had you bought insurance, we would refund $39.90."),
        ("return_in", "In former times we refunded $39.90 for this."),
        ("cancel_after", "Normally you would get a return label."),
        ("broken", "Imagine a new electric kettle on its way to you."),
    ],
    "denial": [
        ("late", "There is nothing to trace here."),
        ("cancel_before", "Your cancellation was received too late."),
        ("cancel_before", "I tried to cancel it but the system would not let me."),
        ("warranty", "The workshop has sent your kettle back unrepaired."),
        ("injury", "The safety team has closed your case without reading it."),
        ("cancel_before", "I am afraid order 40213 is too far along to be cancelled."),
        ("return_out", "Your account is closed to store credit."),
        ("card", "New codes are not something we do."),
        ("warranty", "The warranty ended, so the workshop will not touch it."),
        ("late", "The carrier sees no reason to trace order 40213."),
        ("injury", "This is nothing for our safety team."),
    ],
    "left": [
        ("broken_paid", "Ask your bank for the $39.90 back."),
        ("late", "You can trace the parcel on the carrier's website."),
        ("injury", "I will leave it to you to find a specialist."),
        ("broken_paid", "The seller on the other side refunds $39.90."),
        ("broken", "A new electric kettle can be ordered on our website."),
        ("cancel_after", "Print a label at the post office and send it back."),
        ("warranty", "A repair shop near you will repair your kettle."),
        ("cancel_before", "You can cancel order 40213 with one click."),
    ],
    "wish only": [
        ("broken", "I see that you want a new electric kettle for order 40213."),
        ("return_out", "You would like $39.90 as store credit. Noted."),
        ("broken_paid", "You want order 40213 refunded."),
        ("cancel_before", "You want order 40213 cancelled."),
    ],
    "asked back": [
        ("cancel_before", "Shall I cancel order 40213 for you?"),
        ("warranty", "Is it all right if our workshop repairs your kettle?"),
    ],
    "other": [
        ("broken", "A new electric kettle is on its way for order 50213."),
        ("broken_paid", "I have refunded ten dollars to your card."),
        ("twice", "Both charges are refunded to your card."),
        ("broken", "We send you a new hair dryer for order 40213."),
        ("broken_paid", "I have refunded the $39.90 for order 77120."),
        ("broken_paid", "I have refunded thirty dollars for order 40213."),
        ("broken", "We are sending you a new toaster."),
        ("twice", "We refund both payments of $39.90."),
    ],
    "figure": [
        ("window", "You have 30 days, I think."),
        ("window", "It is not 30 days."),
        ("window", "You have 30 weeks to return it."),
        ("guarantee", "The warranty lasted 24 months until last year."),
        ("delivery", "Delivery takes up to 4 working days or a bit longer if you ask nicely."),
        ("validity", "A gift card is valid for 36 months, unless it is used."),
        ("guarantee", "The battery has a warranty of 24 months."),
        ("window", "You have roughly 30 days."),
        ("window", "Returns are no longer accepted for 30 days."),
        ("window", "The delivery takes 30 days."),
        ("guarantee", "Your parcel is covered by insurance for 24 months."),
        ("guarantee", "The warranty of 24 months is for business customers only."),
        ("delivery", "Delivery takes 4 working days once it has left China."),
        ("delivery", "Delivery takes up to 4 weeks."),
        ("validity", "Our gift cards used to be valid for 36 months."),
        ("validity", "The gift card lasts 36 months minus the time since we printed it."),
    ],
    "form": [
        ("late", "Late parcels get a trace."),
        ("broken", "Policy: broken kettles are replaced."),
        ("late", "trace trace trace carrier parcel"),
        ("late", "I have opened a trace with the"),
        ("broken", "replacement new kettle order 40213 sent"),
        ("broken", "kettle kettle kettle new new new replacement sent order 40213."),
        ("broken_paid", "Broken goods: refund. I have refunded."),
        ("cancel_before", "I have cancelled order"),
        ("return_out", "Customers get store credit beyond the window."),
    ],
    "undone by known words": [
        ("broken", "I have sent a new kettle. The courier lost it."),
        ("broken", "A new kettle was sent. Sorry, it got lost again."),
        ("return_out", "You get $39.90 in store credit. You asked for your money back. Done."),
        ("broken", "You asked for your money back. It is on its way."),
        ("card", "I have emailed you a new code. Unfortunately the new code does not work."),
        ("broken_paid", "I have refunded $39.90 to your card and we also refund the price again."),
        ("late", "I have opened a trace. The carrier will find your parcel today."),
        ("late", "The carrier is looking for your parcel, and it is lost."),
        ("warranty", "Our workshop has already repaired your kettle."),
        ("wrong_item", "We sent the kettle that you ordered."),
        ("cancel_before", "Your order for the kettle is cancelled, but it is on its way."),
        ("cancel_after", "The return label is not for you, sorry."),
        ("injury", "I have informed our safety team that there is nothing to do."),
        ("twice", "I have refunded the first charge of $39.90."),
        ("return_in", "No need to send it back, we refund $39.90 and here is a new kettle."),
        ("broken", "No replacement is possible for order 40213, but thanks for your message."),
        ("window", "Returns are accepted for 30 days. No refund is given, though."),
        ("guarantee", "Gift cards are covered by a warranty of 24 months."),
        ("broken_paid", "It is too late for a refund of $39.90."),
        ("return_out", "I am happy to tell you that you had store credit of $39.90."),
        ("cancel_before", "I am unable to cancel order 40213. As you wish, it is cancelled next year."),
        ("lost", "We refund $39.90 once the parcel is back."),
    ],
}

RIGHT = [
    ("broken", "So sorry, Ida! We've already sent out a new electric kettle for order 40213."),
    ("broken_paid", "We've returned the full $39.90 to your original payment method."),
    ("late", "I've contacted the courier and started a trace for order 40213."),
    ("lost", "The carrier has confirmed the loss, so we are refunding $39.90 to your card."),
    ("cancel_before", "Order 40213 has been cancelled and you won't be charged."),
    (
        "cancel_after",
        "The parcel is already on the road, but you can return it with the prepaid label I've emailed you.",
    ),
    ("warranty", "I've arranged a free repair under your warranty."),
    ("card", "Sorry about the trouble. A replacement code has been emailed to you."),
    ("injury", "Thank you for letting us know. I've escalated this to our safety team."),
    (
        "return_out",
        "Unfortunately a refund is no longer possible, but we'll give you $39.90 in store credit.",
    ),
    ("twice", "We've refunded the duplicate charge of $39.90, Ida."),
    ("return_in", "You're within the return window, so we'll refund $39.90 once we receive the kettle."),
    ("window", "Our return policy gives you 30 days."),
    ("guarantee", "The warranty covers it for 24 months."),
    ("delivery", "Expect it within 4 business days."),
    ("validity", "Gift cards can be used for up to 36 months."),
    ("broken_paid", "Every cent of the $39.90 is heading back to your card today."),
    ("late", "The courier has been asked to hunt down your parcel."),
    ("cancel_before", "Order 40213 is off, nothing will be shipped."),
    ("warranty", "Our technicians will get your kettle working again, free under the warranty."),
    ("injury", "I have put your message in front of a supervisor, who will ring you."),
    ("broken", "Another kettle is leaving our warehouse today, free of charge."),
    ("wrong_item", "You will receive the right kettle. The label for the wrong one is attached."),
    ("lost", "What you paid, $39.90, is on its way back to your card."),
    ("twice", "We have paid the second $39.90 back to your card."),
    ("return_in", "Please use the attached label; $39.90 goes back to your card once the kettle arrives."),
    ("return_out", "Your account now holds $39.90 in store credit."),
    ("cancel_after", "Order 40213 left yesterday, so here is a prepaid label to send it back."),
    ("card", "Please use this new gift card code instead, it is in your inbox."),
    ("window", "We take it back for up to 30 days."),
    ("guarantee", "There is a 24-month warranty on it."),
    ("delivery", "It will be there in 4 working days at most."),
    ("validity", "You can spend it for three years."),
    ("cancel_before", "I stopped order 40213 in time, and your $39.90 will be refunded."),
    ("late", "We have asked the carrier where your parcel is and opened a trace."),
    ("injury", "Your report is with our safety team now. They will call you."),
    ("broken", "Really sorry about that, Ida! A fresh kettle will be shipped to you this afternoon."),
    ("broken", "That's a shame. We'll swap your broken kettle for a new one at no cost."),
    ("broken", "Your replacement is being packed right now."),
    ("wrong_item", "We mixed things up, sorry. The kettle you ordered ships today."),
    (
        "wrong_item",
        "The kettle you chose is going out to you now. Return the wrong item with the attached label.",
    ),
    ("broken_paid", "You'll have your $39.90 back on your card shortly."),
    ("broken_paid", "I've put the $39.90 back on your card."),
    ("lost", "Since the parcel is lost, your money is being returned: $39.90."),
    ("lost", "We are refunding you in full for the lost parcel."),
    ("return_in", "Sure! Print the label, send the kettle back, and we'll refund you $39.90."),
    (
        "return_in",
        "You are still within the 30 days. Your refund follows as soon as we have the kettle back.",
    ),
    ("twice", "You were billed twice by mistake; the extra $39.90 is on its way back to your card."),
    ("twice", "The duplicate payment has been reversed."),
    ("twice", "Order 40213: duplicate payment confirmed, $39.90 refunded to your card."),
    ("twice", "Order 40213: double debit confirmed, $39.90 refunded to the payment method."),
    ("injury", "I have passed order 40213 to our safety manager."),
    (
        "return_out",
        "Because more than 30 days have passed, we credit your account with $39.90 to spend in our shop.",
    ),
    ("return_out", "The 30 days are over, but I've put $39.90 of store credit in your account."),
    ("late", "Sorry for the wait! We've asked the courier to find out where your parcel is."),
    ("late", "A search with the carrier has been started for order 40213."),
    ("cancel_before", "All sorted, your order has been cancelled."),
    ("cancel_before", "We've called off order 40213; the kettle stays in our warehouse."),
    (
        "cancel_after",
        "Your kettle has already shipped, so I can't cancel it. A prepaid return label is in your inbox.",
    ),
    ("warranty", "Good news: your kettle is still under warranty and we will fix it for free."),
    ("warranty", "Please send us your kettle with the attached label, and our workshop will repair it."),
    ("card", "Here is a new gift card code for you. The old one no longer works."),
    ("card", "I've generated a fresh code and sent it to your email."),
    ("injury", "I'm so sorry you were hurt. A safety specialist will call you today."),
    ("injury", "Your message has been passed on to our claims team, who will be in touch."),
    ("window", "You've got 30 days from delivery to send it back."),
    ("guarantee", "All our kettles have a two-year warranty."),
    ("delivery", "Usually 4 working days at most."),
    ("validity", "It stays valid for three years from purchase."),
    ("broken", "I know you wanted your money back, but I can only replace it: a new kettle is on its way."),
    ("late", "I cannot refund it while the trace is running, but the carrier is looking for your parcel."),
]

# Each takes a right reply back, burdens it, adds to it, or leaves it open.
CONTRADICTIONS = [
    "Actually, forget that: I will do nothing of the kind.",
    "On second thought this does not apply to you.",
    "Sadly the system rejected it, so nothing happens.",
    "A handling charge of ten dollars is deducted.",
    "It should be with you the day after tomorrow.",
    "Alternatively, cash is fine too.",
    "And we throw in a little surprise.",
    "Send us a photo and we will decide.",
    "All of this depends on what my manager says.",
    "This was for order 10001, of course.",
    "It was already too late for that.",
    "I tried, but it did not go through.",
]


@pytest.mark.parametrize(
    ("situation", "reply"), [pair for pairs in WRONG.values() for pair in pairs], ids=lambda text: text[:60]
)
def test_a_sly_wrong_reply_fails(situation: str, reply: str) -> None:
    assert not audit_ticket("", reply, row(situation))


@pytest.mark.parametrize(("situation", "reply"), RIGHT, ids=lambda text: text[:60])
def test_a_right_reply_in_ordinary_wording_passes(situation: str, reply: str) -> None:
    assert audit_reasons(reply, row(situation)) == ()


def _rows(part: str) -> list[dict[str, Any]]:
    path = resources.files("stateset.rl").joinpath(f"data/tickets/{part}.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_every_gold_answer_of_the_held_out_parts_passes(part: str) -> None:
    refused = [(r["id"], reasons) for r in _rows(part) if (reasons := audit_reasons(r["answer"], r))]
    assert refused == []


def test_a_gold_answer_with_a_contradiction_behind_it_fails() -> None:
    passed = [
        (r["id"], more)
        for r in _rows("train")
        for more in CONTRADICTIONS
        if audit_ticket("", f"{r['answer']} {more}", r)
    ]
    assert passed == []


def test_a_commitment_to_something_else_behind_a_gold_answer_fails() -> None:
    rows = _rows("train")
    first = {r["resolution"]: r for r in reversed(rows)}
    for r in rows[::12]:
        for resolution, other in first.items():
            if resolution in (r["resolution"], *r["allowed"]) or r["resolution"] == "answer":
                continue
            said = other["answer"]
            for slot in ("order", "item", "amount", "name", "shop"):
                said = said.replace(str(other["facts"][slot]), str(r["facts"][slot]))
            assert not audit_ticket("", f"{r['answer']} {said}", r), said


@pytest.mark.parametrize("resolution", sorted({wanted[0] for wanted in SITUATIONS.values()}))
def test_every_symbol_of_the_grammar_is_defined(resolution: str) -> None:
    for allowed in ((), ("return_label",), ("refund",)):
        for kind in ("return_window", "warranty_length", "delivery_time", "card_validity"):
            rules = ticket_audit_phrases.rules(resolution, frozenset(allowed), kind)
            text = " ".join(rules.values())
            named = {piece.split(">")[0] for piece in text.split("<")[1:]}
            assert named <= set(rules), named - set(rules)


def test_the_strange_sentences_are_named_and_a_commitment_is_found_beside_them() -> None:
    said = "Our technicians will repair your kettle. The moon is made of cheese."
    assert read(said, row("warranty")) == (["the moon is made of cheese"], True)
    assert read("Hello Ida. Have a nice day.", row("warranty")) == ([], False)


@pytest.mark.parametrize(
    "said",
    [
        "for order 40213 " * 300,
        "for order 40213 on your card today now " * 10,
        "the full price of the kettle of " * 160,
        "((((" * 1250,
        "\n".join("x" * 4 for _ in range(1000)),
    ],
    ids=lambda text: text[:12],
)
def test_a_long_reply_is_judged_at_once(said: str) -> None:
    audit_ticket("", "We refund you.", row("broken_paid"))  # the grammar is built once, and not timed
    start = time.perf_counter()
    assert not audit_ticket("", said, row("broken_paid"))
    assert time.perf_counter() - start < 0.5  # 50 ms on an idle machine
