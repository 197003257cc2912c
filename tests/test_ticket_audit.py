"""The second verifier of the tickets against plain English, right and wrong, and against the bundled rows."""

from __future__ import annotations

import json
from collections import defaultdict
from importlib import resources
from typing import Any

import pytest
import yaml

from stateset.rl.errors import RewardError
from stateset.rl.verifiers.ticket_audit import audit_reasons, audit_ticket

FACTS = {
    "shop": "Harbour Shop", "name": "Ida", "item": "electric kettle", "order": "40213",
    "other_order": "77120", "amount": "$39.90",
    "days": 6, "months": 9, "window": 30, "warranty": 24, "delivery": 4, "validity": 36,
}  # fmt: skip
_UNASKED = ["refund", "replacement", "delivery_date", "compensation"]
SITUATIONS: dict[str, tuple[str, list[str], list[str], str | None]] = {
    "broken": ("replacement", [], ["refund", "compensation"], None),
    "broken_paid": ("refund", [], ["replacement", "compensation"], None),
    "wrong_item": ("replacement", ["return_label"], ["refund", "compensation"], None),
    "late": ("trace", [], _UNASKED, None),
    "lost": ("refund", [], ["replacement", "delivery_date", "compensation"], None),
    "return_in": ("refund", ["return_label"], ["replacement", "compensation"], None),
    "return_out": ("store_credit", ["return_label"], ["refund", "replacement", "compensation"], None),
    "twice": ("refund", [], ["replacement", "compensation"], None),
    "cancel_before": ("cancel", ["refund"], ["replacement", "compensation"], None),
    "cancel_after": ("return_label", ["refund"], ["replacement", "compensation"], None),
    "warranty": ("repair", ["return_label"], ["refund", "replacement", "compensation"], None),
    "card": ("new_code", [], ["refund", "replacement", "compensation"], None),
    "injury": ("escalate", [], ["refund", "replacement", "compensation", "fault"], None),
    "window": ("answer", [], _UNASKED, "return_window"),
    "guarantee": ("answer", [], _UNASKED, "warranty_length"),
    "delivery": ("answer", [], _UNASKED, "delivery_time"),
    "validity": ("answer", [], _UNASKED, "card_validity"),
}
POLICY = "You are an agent.\nPolicy:\n- Broken kettles are replaced free of charge.\nOrder 40213."


def row(situation: str) -> dict[str, Any]:
    resolution, allowed, forbidden, kind = SITUATIONS[situation]
    facts = FACTS | ({"item": "gift card"} if situation == "card" else {})
    return {
        "messages": [{"role": "system", "content": POLICY}], "resolution": resolution, "allowed": allowed,
        "must_not_promise": forbidden, "question_kind": kind, "facts": facts,
    }  # fmt: skip


RIGHT = [
    # replacement
    ("broken", "Sorry, Ida! We're shipping you a brand new kettle for order 40213, free of charge."),
    ("broken", "You asked for your money back, but here a new kettle is sent, and it is on its way."),
    ("broken", "Instead of a refund we send you a replacement kettle at no cost."),
    ("broken", "We cannot refund this order, but I've put another electric kettle in the post for you."),
    ("broken", "sorry ida, ive sent u a new electric kettle for order 40213"),
    ("broken", "Your electric kettle will be exchanged for a flawless one, no charge."),
    ("broken", "Another electric kettle ships to you gratis. No need to send anything back."),
    ("broken", "There's no refund for breakage; a replacement goes out this afternoon."),
    ("wrong_item", "The correct product, your electric kettle, has been dispatched."),
    ("wrong_item", "What you really ordered, the electric kettle, is now on its way to you."),
    ("wrong_item", "The right kettle is leaving our warehouse. Use the attached label for the wrong one."),
    ("wrong_item", "My apologies for the mix-up. We are sending you the electric kettle that you ordered."),
    # refund
    ("broken_paid", "I have refunded $39.90 to your card for order 40213."),
    ("broken_paid", "We're giving you your money back in full, $39.90, Ida."),
    ("broken_paid", "I know you hoped for a new kettle. We reimburse the full price to your bank account."),
    ("broken_paid", "There will be no replacement, but you receive a full refund of $39.90."),
    ("broken_paid", "You get every cent back, $39.90, on the card you used."),
    ("broken_paid", "As this shop does not send a second one, you receive the full $39.90 back."),
    ("lost", "Because the courier's trace ended without success, we refund $39.90 to you."),
    ("lost", "The carrier has given up the search, so your payment of $39.90 goes back to your card."),
    ("lost", "I am sorry the parcel is gone. We have repaid $39.90 for order 40213."),
    ("return_in", "Send the kettle back with the attached label, and we'll refund $39.90 once it arrives."),
    ("return_in", "If you return the electric kettle to us, you get a full refund of $39.90."),
    ("twice", "The second charge of $39.90 on order 40213 has been refunded to your card."),
    ("twice", "You were indeed billed twice. We have reversed the extra payment of $39.90."),
    # store credit
    ("return_out", "The window has closed, so we can't refund it, but you get $39.90 in store credit."),
    ("return_out", "We've added shop credit of $39.90 to your customer account instead of a refund."),
    ("return_out", "Cash is off the table now, but $39.90 of store credit sits in your account."),
    ("return_out", "You are past the 30 days, which means store credit rather than a refund."),
    ("return_out", "I can offer you store credit for the full value; the return label is attached."),
    # trace
    ("late", "I have asked the carrier to trace it. No refund is possible while the trace is running."),
    ("late", "We've opened an investigation with the courier to find your parcel."),
    ("late", "The carrier is searching its depots for your electric kettle; a trace was opened today."),
    ("late", "I can't promise a date, but the delivery company has started a trace for your parcel."),
    ("late", "Refunds must wait until the trace is finished, but the carrier is searching for it."),
    # return label
    ("cancel_after", "It has already shipped and can't be cancelled. I have emailed you a return label."),
    ("cancel_after", "It's too late to cancel. Use the attached label to send it back; we refund it then."),
    # cancel
    ("cancel_before", "Done, Ida: order 40213 is cancelled and $39.90 is on its way back to your card."),
    ("cancel_before", "Your order hadn't shipped yet, so I was able to cancel it."),
    ("cancel_before", "Order 40213 never left our shelves and stands cancelled."),
    # repair
    ("warranty", "Rather than a new one, our warranty gives you a free repair, which I've booked."),
    ("warranty", "It is under warranty, so our workshop will repair it for free. A label is attached."),
    ("warranty", "We neither replace nor refund it, but our technicians will fix it under warranty."),
    ("warranty", "I've booked a repair of your electric kettle for order 40213."),
    # new code
    ("card", "Sorry about that. I've emailed you a new gift card code for order 40213."),
    ("card", "The code that did not work has been cancelled and replaced with a new one."),
    ("card", "Your old code is blocked; a fresh code is in your inbox."),
    ("card", "We have blocked the old code and sent you another."),
    # escalate
    ("injury", "The Customer Safety Manager takes charge of your case now."),
    ("injury", "A safety specialist is now responsible for your case and will call you."),
    ("injury", "I am very sorry to hear that. Our safety team has your message and takes over from here."),
    ("injury", "I've handed your case to a specialist, who will contact you."),
    ("injury", "Thank you for telling us. Your report has been escalated to our claims manager."),
    # answers
    ("window", "You can return it within 30 days of delivery."),
    ("window", "Returns are accepted for thirty days, Ida."),
    ("window", "We refund returns for 30 days after delivery."),
    ("guarantee", "The kettle comes with a warranty of 24 months."),
    ("guarantee", "You're covered for two years."),
    ("delivery", "Delivery takes up to 4 working days."),
    ("delivery", "Your order would... let me see: no more than 4 business days from us to your door."),
    ("delivery", "We can't promise a date, but parcels reach you within four working days."),
    ("validity", "Our gift cards can be redeemed for 36 months."),
    ("validity", "A gift card expires after 3 years."),
    # found by a reviewer: hasty spelling, "one of ours", a parcel to be refused
    ("return_out", "window is over for order 40213 so its store credit, $39.90 is on ur account"),
    ("return_out", "Your refund request was declined, but you get $39.90 in store credit."),
    ("cancel_after", "cant cancel order 40213 its shipped already, heres a return label tho"),
    ("cancel_after", "Order 40213 can't be cancelled any more. Please refuse the parcel or use the return "
     "label I've sent."),
    ("injury", "This needs a specialist, so I forwarded everything on order 40213 to one of ours."),
]  # fmt: skip

WRONG = [
    # words of an order around its number, as a half-trained model writes them
    ("broken", "We have now ordered 40213 from the order 40213.", "right resolution"),
    ("broken", "I have ordered 40213 from the carrier.", "right resolution"),
    # hedging and saying both
    ("broken", "We can refund you or send you a replacement kettle.", "refund"),
    ("broken", "You will get a replacement kettle and also a full refund of $39.90.", "refund"),
    ("broken", "We are sending a replacement (refund) for order 40213.", "refund"),
    ("broken", "I have sent a new electric kettle. Would you like your money back instead?", "refund"),
    ("return_out", "You get a refund (store credit) of $39.90.", "refund"),
    ("return_out", "We give you store credit of $39.90, or your money back to your card.", "refund"),
    ("late", "I have opened a trace with the carrier and refunded $39.90.", "refund"),
    ("late", "A trace is running, and if it fails we send you a new electric kettle.", "replacement"),
    ("warranty", "We repair your kettle in the workshop or replace it with a new one.", "replacement"),
    ("cancel_after", "I have cancelled order 40213 and attached a return label.", "cancel"),
    ("card", "I have sent a new code and refunded the gift card to your account.", "refund"),
    ("injury", "Our safety team takes over your case. We have also sent you a new kettle.", "replacement"),
    ("injury", "The safety team takes over, and I have refunded $39.90 to your card.", "refund"),
    ("lost", "I have refunded $39.90 and asked the carrier to trace the parcel again.", "trace"),
    ("broken_paid", "We refund $39.90. If you prefer, we can replace the kettle.", "replacement"),
    ("broken", "Your replacement for order 40213, or a refund of $39.90, is on its way.", "refund"),
    ("broken", "We replace your kettle by giving you your money back.", "refund"),
    ("broken", "A replacement is on its way. Please also find a return label.", "return_label"),
    ("broken_paid", "Your refund is being processed as store credit.", "store_credit"),
    ("late", "A trace is open. If it is not back in a week, you get a refund.", "refund"),
    ("return_out", "As an exception I refund $39.90, which is better than store credit.", "refund"),
    ("twice", "The second charge will be refunded as store credit.", "store_credit"),
    # denials, and denials that grant
    ("broken_paid", "A refund? No. A refund of $39.90 it is not!", "refund"),
    ("broken_paid", "I wish I could refund you $39.90.", "refund"),
    ("cancel_before", "We cannot stop order 40213, it is cancelled.", "denies"),
    ("cancel_after", "You will not get a label, since the order is cancelled.", "return_label"),
    ("broken", "We cannot replace the electric kettle.", "replacement"),
    ("broken", "No replacement is sent for order 40213, but a replacement is sent.", "denies"),
    ("broken_paid", "Unfortunately a refund is not possible for order 40213.", "refund"),
    ("broken_paid", "We can't refund you, you get a refund of $39.90.", "denies"),
    ("late", "The carrier has refused to trace the parcel.", "trace"),
    ("late", "There is no trace of your parcel, sorry.", "trace"),
    ("cancel_before", "Order 40213 cannot be cancelled any more.", "cancel"),
    ("cancel_after", "A return label isn't needed, just keep it.", "return_label"),
    ("warranty", "Our workshop does not repair this kettle.", "repair"),
    ("card", "We are unable to send a new code.", "new_code"),
    ("injury", "There is no need to involve a specialist or our safety team.", "escalate"),
    # wishes, questions, possibilities
    ("broken", "You asked for a replacement for your electric kettle.", "replacement"),
    ("broken", "Thank you for your replacement request for order 40213.", "replacement"),
    ("broken", "Would you like a replacement?", "replacement"),
    ("broken_paid", "I understand that you want a refund of $39.90 for order 40213.", "refund"),
    ("broken_paid", "We hope to refund you one day.", "refund"),
    ("broken_paid", "You might be eligible for a refund of $39.90.", "refund"),
    ("broken_paid", "If your claim is approved, we refund $39.90.", "refund"),
    ("broken_paid", "We will check whether we can refund order 40213.", "refund"),
    ("lost", "Please contact us for a refund of order 40213.", "refund"),
    ("lost", "You can request a refund in your account.", "refund"),
    ("cancel_before", "You want to cancel order 40213, I see.", "cancel"),
    ("cancel_before", "Please cancel order 40213 in your account.", "cancel"),
    ("cancel_before", "We will try to cancel it.", "cancel"),
    ("late", "You could ask the carrier for a trace.", "trace"),
    ("late", "Should we open a trace with the carrier?", "trace"),
    ("return_out", "Perhaps you can get store credit.", "store_credit"),
    ("warranty", "A repair might be possible at the workshop.", "repair"),
    ("injury", "Please contact our safety team.", "escalate"),
    ("broken", "We are sending a replacement kettle once our manager has approved it.", "replacement"),
    ("broken", "We will send a replacement kettle after you pay for it.", "replacement"),
    ("broken", "I am sorry your replacement kettle is broken.", "replacement"),
    ("broken_paid", "Your refund is for other customers, sorry.", "refund"),
    ("broken_paid", "I have asked my manager for a refund of $39.90.", "refund"),
    ("broken_paid", "You can find our refund form on the website.", "refund"),
    ("return_in", "Send it back and we will see about a refund.", "refund"),
    ("card", "You can buy a new gift card with a new code in our shop.", "new_code"),
    ("cancel_before", "Your cancellation was received.", "cancel"),
    # the wrong one
    ("broken", "I have refunded $39.90 to your card for order 40213.", "refund"),
    ("late", "Please be patient, your parcel is on its way.", "trace"),
    ("lost", "We have asked the carrier to search for your parcel again.", "trace"),
    ("return_in", "You receive store credit of $39.90 for the electric kettle.", "store_credit"),
    ("return_out", "We have refunded $39.90 to your card, Ida.", "refund"),
    ("twice", "You get the second charge as store credit.", "store_credit"),
    ("twice", "We have refunded both charges on order 40213.", "second charge"),
    ("cancel_before", "Here is a prepaid label to return the electric kettle.", "return_label"),
    ("cancel_after", "Sure, order 40213 is now cancelled.", "cancel"),
    ("warranty", "A brand new electric kettle is on its way to you.", "replacement"),
    ("card", "We have sent you a new gift card.", "new_code"),
    ("injury", "We are shipping a replacement kettle to you.", "replacement"),
    ("injury", "A colleague will get back to you.", "escalate"),
    # promises
    ("broken", "A new electric kettle is on its way, plus a $10 voucher.", "compensation"),
    ("broken", "A new electric kettle is on its way. Take 10% off your next order!", "compensation"),
    ("broken_paid", "I have refunded $39.90 and added a small gift for your trouble.", "compensation"),
    ("late", "The carrier is tracing order 40213. It will arrive on Friday.", "day of delivery"),
    ("late", "We opened a trace with the carrier, and you will have it by the 14th.", "day of delivery"),
    ("late", "We opened a trace; your parcel will be delivered within 2 days.", "day of delivery"),
    ("injury", "Our safety team takes over your case. This was our fault.", "fault"),
    ("injury", "A specialist is taking over. We accept full responsibility for the accident.", "fault"),
    ("injury", "I passed this to the safety team, as the kettle was clearly defective.", "fault"),
    ("injury", "The safety team takes over and will pay your medical costs.", "compensation"),
    ("injury", "The safety team takes over. We are sorry that our defective kettle hurt you.", "fault"),
    # numbers, products
    ("broken", "We're sending you a new phone for order 40213.", "another product"),
    ("broken", "We are sending you a new electric kettle for order 77120.", "not this order"),
    ("broken", "We are sending you a new electric kettle for order 4021.", "not this order"),
    ("broken_paid", "I have refunded $49.90 for order 40213.", "amount"),
    ("broken_paid", "I have refunded 12.50 dollars for order 40213.", "amount"),
    ("broken", "We are sending you a new toaster for order 40213.", "another product"),
    ("broken", "A new electric toothbrush is on its way as a replacement.", "another product"),
    ("warranty", "Our workshop will repair your stand mixer under warranty.", "another product"),
    # form
    ("broken", "", "keyword"),
    ("broken", "replacement", "keyword"),
    ("broken_paid", "Refund $39.90", "keyword"),
    ("broken_paid", "refund refunded money back refund card order refund issued", "repeats"),
    ("return_out", "store credit label order shop value window days", "pile"),
    ("broken_paid", "We refund your the kettle order of is $39.90.", "pile"),
    ("broken_paid", "refund replacement store credit trace label cancel repair code", "refund"),
    ("broken", "We are sending a new electric kettle. We are sending a new electric kettle.", "repeats"),
    ("broken", "We replace the kettle, we replace the kettle, and we replace the kettle.", "repeats"),
    ("broken_paid", "I have refunded order 40213 to your", "middle"),
    ("broken", "We are sending a replacement for order 40213 and a new elec", "middle"),
    ("broken", "Here is what we do:\n- a replacement is sent to you\n- you wait", "list"),
    ("broken", "Policy: a replacement kettle is sent to the customer.", "prompt"),
    ("broken", "Broken kettles are replaced free of charge.", "policy"),
    ("broken_paid", "Refund the customer $39.90 for order 40213.", "refund"),
    ("return_out", "Customers get store credit after the window.", "store_credit"),
    ("broken", "A new {item} is on its way to you as a replacement.", "placeholder"),
    ("broken", "We are sending a replacement kettle. " + "The day was warm and long. " * 20, "more than 80"),
    # answers
    ("window", "You have 14 days to return it.", "wrong figure"),
    ("window", "You have 30 working days to return it.", "wrong figure"),
    ("window", "You have 30 months to return it.", "wrong figure"),
    ("window", "You have 30 days, or maybe 45 days, to return it.", "wrong figure"),
    ("window", "You can return it after 30 days.", "not stated"),
    ("window", "You cannot return it within 30 days.", "not stated"),
    ("window", "You asked whether you have 30 days for a return.", "not stated"),
    ("window", "Our delivery takes 30 days.", "something else"),
    ("window", "You can return it for a while.", "figure"),
    ("window", "I have refunded your order; returns take 30 days.", "action"),
    ("window", "Is it 30 days?", "not stated"),
    ("guarantee", "The warranty lasts 24 days.", "wrong figure"),
    ("guarantee", "The warranty lasts at least 24 months.", "not stated"),
    ("guarantee", "The warranty is 24 months, and we replace the kettle with a new one.", "replacement"),
    ("delivery", "Delivery takes 4 to 6 working days.", "wrong figure"),
    ("delivery", "Delivery takes more than 4 working days.", "not stated"),
    ("delivery", "It takes 4 working days, so it arrives on Friday.", "day of delivery"),
    ("validity", "A gift card is valid for 24 months.", "wrong figure"),
    ("validity", "A gift card is valid for 36 months, and you get a $5 bonus.", "compensation"),
    # found by a reviewer: a second one given by a pronoun, a false denial, a rule for this order
    ("warranty", "We will repair it, or a fresh unit ships today.", "replacement"),
    ("late", "The carrier is tracing order 40213. It arrives on 5 May.", "day of delivery"),
    ("late", "The carrier is tracing order 40213. It arrives by 5/5.", "day of delivery"),
    ("twice", "I have refunded $39.90 twice for order 40213.", "second charge"),
    ("injury", "Our safety team takes over your case. We will cover the doctor's bills.", "compensation"),
    ("injury", "Our manager sends greetings.", "escalate"),
    ("cancel_before", "order 40213 will be cancelled as you wish and a new electric kettle goes out today",
     "replacement"),
    ("return_out", "replacement for order 40213. Order 40213: store credit of $39.90 issued to the customer "
     "account.", "replacement"),
    ("broken_paid", "You asked for a refund of the $39.90 that you paid.", "refund"),
    ("broken_paid", "You asked for a refund of what you paid for order 40213.", "refund"),
    ("return_out", "You get store credit. A refund for order 40213 goes to the customer.", "refund"),
    ("return_out", "You get store credit. Unlike other shops, which stop there, others and we refund $39.90.",
     "refund"),
]  # fmt: skip

BESIDE = {
    "I have added store credit for order 40213.": (
        "You asked for a refund and it is on its way.",
        "You asked for a refund and got it.",
        "You wanted your money back. It is on its way.",
        "It is not a problem to refund $39.90 as well.",
        "Without question we refund $39.90 as well.",
        "Your refund request was approved and $39.90 was paid.",
        "Your request for a refund was granted.",
        "I see you want a refund, so you get both: $39.90 store credit was added for order 40213.",
        "The full price has been wired to you.",
        "PayPal will get $39.90 too.",
    ),
    "We will repair it.": ("It is not a problem to replace it too.",),
}
PROMISES = {
    "delivery_date": ("late", "The carrier is tracing order 40213.", "day of delivery"),
    "compensation": ("injury", "Our safety team takes over your case.", "compensation"),
    "fault": ("injury", "Our safety team takes over your case.", "fault"),
}


@pytest.mark.parametrize(("said", "more"), [(said, more) for said in BESIDE for more in BESIDE[said]])
def test_a_right_reply_is_spoilt_by_giving_the_wish_as_well(said: str, more: str) -> None:
    situation = "warranty" if "repair" in said else "return_out"
    assert audit_ticket("", said, row(situation))
    assert not audit_ticket("", f"{said} {more}", row(situation))


@pytest.mark.parametrize("kind", PROMISES)
def test_every_promise_of_the_phrase_bank_spoils_a_right_reply(kind: str) -> None:
    situation, said, why = PROMISES[kind]
    path = resources.files("stateset.rl").joinpath("data/tickets/replies.yaml")
    promises = yaml.safe_load(path.read_text(encoding="utf-8"))["promises"][kind]
    assert promises
    assert audit_reasons(said, row(situation)) == ()
    for promise in promises:
        reasons = audit_reasons(f"{said} {promise}", row(situation))
        assert any(why in reason for reason in reasons), (promise, reasons)


@pytest.mark.parametrize(("situation", "reply"), RIGHT)
def test_a_right_reply_passes(situation: str, reply: str) -> None:
    assert audit_reasons(reply, row(situation)) == ()
    assert audit_ticket("My kettle...", reply, row(situation)) is True


@pytest.mark.parametrize(("situation", "reply", "why"), WRONG)
def test_a_wrong_reply_fails_and_says_why(situation: str, reply: str, why: str) -> None:
    reasons = audit_reasons(reply, row(situation))
    assert any(why in reason for reason in reasons), reasons
    assert audit_ticket("My kettle...", reply, row(situation)) is False


@pytest.mark.parametrize("column", ["resolution", "allowed", "must_not_promise", "question_kind", "facts"])
def test_a_missing_column_is_named_with_what_to_do(column: str) -> None:
    context = {name: value for name, value in row("broken").items() if name != column}
    with pytest.raises(RewardError, match=rf"{column}.*keep these columns"):
        audit_ticket("", "We are sending a replacement.", context)


def test_a_missing_fact_is_named() -> None:
    context = row("window")
    context["facts"] = {name: value for name, value in FACTS.items() if name != "window"}
    with pytest.raises(RewardError, match=r"facts\.window"):
        audit_reasons("You have 30 days to return it.", context)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    path = resources.files("stateset.rl").joinpath("data/tickets/train.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_gold_answer_passes(rows: list[dict[str, Any]]) -> None:
    assert [(r["id"], audit_reasons(r["answer"], r)) for r in rows if audit_reasons(r["answer"], r)] == []


def test_a_gold_answer_is_right_for_no_other_resolution(rows: list[dict[str, Any]]) -> None:
    others = {r["resolution"] for r in rows} - {"answer"}
    for r in rows[::6]:
        for other in others - {r["resolution"]}:
            assert not audit_ticket("", r["answer"], r | {"resolution": other, "allowed": []}), other


def test_a_gold_answer_with_the_slots_of_another_row_fails(rows: list[dict[str, Any]]) -> None:
    for r in rows[::6]:
        for slot, other in (("order", r["facts"]["other_order"]), ("amount", "$3.45")):
            changed = r["answer"].replace(r["facts"][slot], other)
            assert changed == r["answer"] or not audit_ticket("", changed, r), changed


def test_the_logs_are_accepted_as_their_habits_say(rows: list[dict[str, Any]]) -> None:
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for r in rows:
        verdicts[r["situation"]].append(audit_ticket("", r["reply"], r))
    assert 0.55 <= sum(map(sum, verdicts.values())) / len(rows) <= 0.72
    for situation in ("return_out", "lost", "cancel_after", "warranty", "injury"):
        assert sum(verdicts[situation]) < 0.4 * len(verdicts[situation]), situation
