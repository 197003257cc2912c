"""The seven criteria: what must score high, what must not, and that nothing leaves [0, 1]."""

from __future__ import annotations

from itertools import islice, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stateset.rl.rewards import text
from stateset.rl.rewards.criteria import CRITERIA
from stateset.rl.rewards.policies import policy_violations

PROMPT = "I was charged twice for order 1045 and I want a refund."
GOOD = (
    "I'm sorry that you were charged twice for order 1045. I've issued a full refund of the second charge, "
    "and it will reach your card within 3-5 business days. Please let me know if anything else comes up."
)
SALAD = "sorry please thank help I will you can try first then"
MEANINGFUL = [
    name for name in CRITERIA if name != "efficiency"
]  # efficiency is length alone, by the contract


def score(name, response, prompt=PROMPT, context=None):
    return CRITERIA[name](prompt, response, context or {})


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("resolution", 0.95), ("empathy", 0.5), ("clarity", 0.95), ("efficiency", 1.0),
        ("policy_compliance", 1.0), ("accuracy", 0.5), ("tone", 1.0),
    ],
)  # fmt: skip
def test_a_correct_reply_scores_high(name, least):
    assert score(name, GOOD) >= least


@pytest.mark.parametrize(
    "response",
    [
        "",
        " \n\t ",
        "...!?",
        SALAD,
        SALAD.upper() + ".",
        "refund refunded issued processed sorry thank you please resolved order 1045 card days help happy",
        "sorry " * 40,
        "I have refunded your order. " * 10,
        PROMPT,
        PROMPT + " " + PROMPT,
        PROMPT.upper() + "!!!",
        "word " * 10_000,
    ],
    ids=lambda r: r[:20] or "empty",
)
@pytest.mark.parametrize("name", MEANINGFUL)
def test_nothing_meant_scores_near_zero(name, response):
    assert score(name, response) <= 0.05
    assert score(name, response, context={"answer": GOOD, "facts": ["1045"]}) <= 0.05


@pytest.mark.parametrize("name", CRITERIA)
def test_an_empty_reply_scores_zero(name):
    assert score(name, "") == score(name, "  \n ") == score(name, "", prompt="") == 0.0


@pytest.mark.parametrize(
    ("response", "low", "high"),
    [
        ("Your refund has been issued and will arrive tomorrow.", 1.0, 1.0),
        ("I've now also refunded the second charge.", 0.8, 0.8),
        ("We’ll refund the second charge by Friday.", 0.92, 0.92),
        ("Go to Settings, choose Billing and click on the second charge to dispute it.", 0.64, 0.64),
        ("Let me process that refund for you.", 0.12, 0.12),  # a verb that fits everything, and no news
        ("Don't worry, I've refunded the second charge.", 0.8, 0.8),
        ("I can't cancel it, but I've refunded the second charge.", 0.8, 0.8),
        ("I can't refund your order.", 0, 0),
        ("I have not refunded your order.", 0, 0),
        ("We haven't issued a refund for order 1045.", 0, 0),
        ("I am unable to refund order 1045. Please contact support.", 0, 0),
        ("We never refunded the second charge.", 0, 0),
        ("I can't say that I've refunded the second charge.", 0, 0),
        ("You can't go to the shop and return it to them.", 0, 0),
        ("We refunded.", 0, 0),
        ("I would refund order 1045 if I could do it.", 0, 0),
        ("Once we have refunded your order, you will hear from us.", 0, 0),
        ("Have I refunded your order? I have refunded your order?", 0, 0),
        ("Disrefunded prerefund unprocessed orders are sentient.", 0, 0),
        ("Thank you for your patience, we value your business.", 0, 0),
    ],
)
def test_resolution_reads_clauses(response, low, high):
    assert low - 1e-9 <= score("resolution", response) <= high + 1e-9


def test_resolution_is_about_the_prompt():
    reply = "I've reset the password of your account."
    assert score("resolution", reply, prompt="I can't log in to my account.") == pytest.approx(0.8)
    assert score("resolution", reply, prompt="The parcel never arrived.") == pytest.approx(0.8 * 0.3)


def test_another_orders_number_costs():
    right, wrong = "I've refunded order 1045 today.", "I've refunded order 9999 today."
    assert score("resolution", right) == pytest.approx(1.0)
    assert score("resolution", wrong) == pytest.approx(0.3)
    assert score("resolution", wrong, context={"orders": [{"id": 9999}]}) == pytest.approx(1.0)
    assert score("accuracy", right) == pytest.approx(0.5)
    assert score("accuracy", wrong) == pytest.approx(0.15)
    assert score("accuracy", "Orders 9999 and 8888 are refunded.") == pytest.approx(0.5 * 0.09)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("I'm sorry for the trouble.", 0.5),
        ("I'm sorry for the trouble. I'm sorry about the delay. We apologize for this.", 0.5),
        ("I'm sorry for the trouble. I understand how upsetting this is.", 0.8),
        ("I'm sorry for the trouble, that must be frustrating, and I'm happy to help.", 1.0),
        ("sorry", 0.0),
        ("Sorry, no.", 0.0),
        ("I'm not sorry for the trouble.", 0.0),
        ("I don't understand why you wrote.", 0.0),
        ("I'm sorry for the trouble, you idiot.", 0.0),
        ("The sorrysome understanders thanked.", 0.0),
    ],
)
def test_empathy_counts_kinds(response, expected):
    assert score("empathy", response) == pytest.approx(expected)


GLUE = ("the", "your", "a", "this")


def test_clarity_measures_sentences():
    assert score("clarity", "We sent it today. It arrives on Friday.") == pytest.approx(1.0)
    assert score("clarity", "We sent it today and it arrives") == pytest.approx(0.8)
    assert score("clarity", "Sent. Today. By post.") == pytest.approx(0.7)
    long = "We sent it to " + ", ".join(f"{GLUE[i % 4]} place{i}" for i in range(22)) + "."  # 48 words
    assert score("clarity", long) == pytest.approx(0.5 * 2 / 25 + 0.5)


def test_efficiency_is_the_contracts_formula():
    assert score("efficiency", "one two") == 1.0
    assert score("efficiency", "word " * 50) == 1.0
    assert score("efficiency", "word " * 200) == 0.25


REPLY = "We offer a full refund within 30 days."


@pytest.mark.parametrize(
    ("response", "context", "expected"),
    [
        (REPLY, {}, 1.0),
        (REPLY, {"forbidden": ["full refunds"]}, 0.0),
        (REPLY, {"forbidden": "fullrefund"}, 1.0),
        ("We can't offer a full refund here.", {"forbidden": ["full refund"]}, 0.0),
        (REPLY, {"must_not_promise": ["full refund"]}, 0.0),
        ("We can't offer a full refund here.", {"must_not_promise": ["full refund"]}, 1.0),
        ("A full refund is not possible here.", {"must_not_promise": ["full refund"]}, 1.0),
        ("You get a full refund without any doubt.", {"must_not_promise": ["full refund"]}, 0.0),
        ("You get a f\u200bull r\u00adefund today.", {"must_not_promise": ["full refund"]}, 0.0),
        (REPLY, {"policy": "Be kind. Never promise a full refund or free shipping."}, 0.0),
        ("We offer free shipping to you.", {"policy": "Do not offer a full refund or free shipping."}, 0.0),
        (REPLY, {"policy": "Refunds take five days."}, 1.0),
        (REPLY, {"policy": ['Always say "within 30 days" and "store credit".']}, 0.5),
        (REPLY, {"required": ["within 30 days"]}, 1.0),
        (REPLY, {"required": ["30 days", "receipt"]}, 0.5),
        (REPLY, {"required": ["receipt"], "forbidden": None}, 0.0),
        ("Please send us your password and order number.", {}, 0.0),
        ("Please never send us your password.", {}, 1.0),
        ("I'll email you a link to reset your password.", {}, 1.0),
        ("We will text you the pin.", {}, 1.0),
        ("We will send you a new password today.", {}, 1.0),
    ],
)
def test_policy_compliance(response, context, expected):
    assert score("policy_compliance", response, prompt="", context=context) == pytest.approx(expected)


def test_violations_say_what_was_broken():
    context = {"forbidden": ["full refund"], "must_not_promise": ["30 days"]}
    assert policy_violations(REPLY, context) == ["says 'full refund'", "promises '30 days'"]


GOLD = {"answer": "You can return the shoes within 30 days."}


@pytest.mark.parametrize(
    ("response", "context", "expected"),
    [
        ("You can return the shoes within 30 days.", GOLD, 1.0),
        ("Of course! The shoes may be returned within 30 days of delivery.", GOLD, 1.0),
        ("You can't return the shoes within 30 days.", GOLD, 0.3),
        ("You can return the shoes within 60 days.", GOLD, 0.0),
        ("You can return the shoes within 30 or 60 days.", GOLD, 0.5),
        ("Thank you for asking about our shop.", GOLD, 0.0),
        ("Yes, we close at noon.", {"answer": "4"}, 0.0),
        ("It is 4.", {"answer": "4"}, 1.0),
        ("It is 4.", {"answer": 4}, 1.0),
        ("It is $1,250.00 in total.", {"facts": {"total": "1250"}}, 1.0),
        ("It is blue and large.", {"facts": ["blue", "large", "cotton", "soft"]}, 0.5),
        ("It is blue and large.", {"answer": None, "facts": []}, 0.5),
    ],
)
def test_accuracy_compares_with_gold(response, context, expected):
    assert score("accuracy", response, prompt="", context=context) == pytest.approx(expected)


def test_what_a_verifier_called_wrong_resolves_nothing_and_is_not_accurate():
    prompt, reply = "The kettle is broken.", "I've refunded $39.90 to your card."
    for verdict, expected in ((False, False), (True, True), (None, True)):
        context = {} if verdict is None else {"verified": verdict}
        assert bool(CRITERIA["resolution"](prompt, reply, context)) is expected
        assert bool(CRITERIA["accuracy"](prompt, reply, context)) is expected


def test_resolution_believes_the_gold_answer():
    context = {"answer": "We are open whenever the lights are on."}
    reply = "We are open whenever the lights are on."
    assert score("resolution", reply, prompt="When are you open?") == 0.0
    assert score("resolution", reply, prompt="When are you open?", context=context) == pytest.approx(
        0.8 * 0.9
    )


DUMPED = ["".join(letters) for letters in islice(permutations("bcdfgh", 4), 300)]


def test_a_dump_of_every_word_is_not_accurate():
    gold = {"answer": "The blue jacket ships on Monday."}
    every = enumerate([*DUMPED, "blue jacket ships on Monday"])
    dump = " ".join(f"{('and', 'or', 'with')[i % 3]} {GLUE[i % 4]} {word}" for i, word in every) + "."
    assert score("accuracy", dump, prompt="", context=gold) == pytest.approx(60 / 304)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("The parcel is at the depot.", 0.5),
        ("Your parcel is at the depot.", 0.75),
        ("Of course, your parcel is at the depot.", 1.0),
        ("OF COURSE, YOUR PARCEL IS AT THE DEPOT.", 0.5),
        ("Of course, your parcel is at the depot!!", 0.5),
        ("Of course, your parcel is at the damn depot.", 0.0),
        ("Of course, your parcel is at the Scunthorpe depot.", 1.0),
    ],
)
def test_tone(response, expected):
    assert score("tone", response, prompt="") == pytest.approx(expected)


def test_long_and_foreign_texts_are_no_trouble():
    essay = " ".join(
        f"The answer to question {i} is in the part of the text on page {i}." for i in range(700)
    )
    foreign = [
        "Ich habe Ihre Bestellung erstattet.",
        "退款已处理。",
        "تم رد المبلغ",
        "🙂" * 50,
        "\ud800",
        "ﬁ²½",
    ]
    for response in [essay, *foreign, "not i refund it " * 2500]:
        for name in CRITERIA:
            assert 0.0 <= score(name, response, context={"answer": essay, "forbidden": ["x"]}) <= 1.0


words = st.sampled_from(
    [*f"{GOOD} {PROMPT} {SALAD}".split(), "not", "can't", "9999", "\n", "!", "?", ",", "“", "ß"]
)
phrases = st.one_of(st.text(max_size=80), st.lists(words, max_size=40).map(" ".join))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | phrases,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
keys = ["answer", "facts", "forbidden", "must_not_promise", "required", "policy", "other"]


@settings(max_examples=150, deadline=None)
@given(phrases, phrases, st.dictionaries(st.sampled_from(keys), values, max_size=4))
def test_any_text_and_context_scores_in_the_unit_interval(prompt, response, context):
    for name, criterion in CRITERIA.items():
        value = criterion(prompt, response, context)
        assert 0.0 <= value <= 1.0
        assert value == criterion(prompt, response, context)
        if not response.strip():
            assert value == 0.0, name


@pytest.mark.parametrize(("times", "most"), [(2, 0.75), (3, 0.3), (10, 0.0)])
@pytest.mark.parametrize("name", MEANINGFUL)
def test_repetition_does_not_pay(name, times, most):
    for reply in ["We sent it today.", "I'm sorry for the trouble. I've refunded order 1045.", "Sent it!"]:
        once = score(name, reply)
        assert score(name, " ".join([reply] * times)) <= most * once


def test_text_measures():
    assert text.words("I’ve sent #12, café!") == ["i've", "sent", "12", "café"]
    assert text.sentences("One. Two? 3.5 is it\n\n...\nlast") == ["One.", "Two?", "3.5 is it", "last"]
    assert text.clauses("I can't, but I’ve tried (twice); so") == ["i can't", "i've tried", "twice", "so"]
    assert text.stem("cancelled") == text.stem("cancellation") == text.stem("cancels")
    assert text.stem("refunded") == text.stem("refund") != text.stem("refuse")
    assert text.numbers("$1,250.00, 3.5 and 30") == {"1250", "3.5", "30"}
    assert text.identifiers("#12, ORD-104, 1045, 30 days, 9am, iPhone 15") == {"12", "104", "1045"}
    assert text.find_phrase("full refunds", "you get a full refund") == len("you get a")
    assert text.find_phrase("full payment", "you get a full refund") == -1
    assert text.find_phrase("", "anything") == -1
    assert text.substance("", "We sent it today, and it arrives on Friday.") == 1.0
    assert text.own_words("a b c d", "a b c d") == 0.0
    assert text.own_words("a b c d", "a b c x y z") == pytest.approx(1.0)
