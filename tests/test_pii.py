"""Personal data: what was planted is found, what is no personal data stays, and twice is the same as once."""

from __future__ import annotations

import re
import sys
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import FRAMES, planted

from stateset.rl.data.pii import Pseudonyms, pii_density, pseudonymise_rows
from stateset.rl.data.pii.patterns import PLACEHOLDER, Found, find
from stateset.rl.data.pii.presidio import presidio_detector
from stateset.rl.errors import MissingExtraError

PER_KIND = 500
KEEP = [
    "order LF-48213 arrived",
    "Order 4155550132 is late",
    "my order number is 4155550132.",
    "invoice 2025-11873 of 2026-01-05",
    "Rechnung Nr. 0301234567",
    "order #1002345678",
    "tracking 1Z999AA10123456784",
    "tracking number 9400 1000 0000 0000 0000 00",
    "it costs $1,299.00 or 1.299,00 EUR or 49.90",
    "on 2026-01-05 at 09:31:00, or 05.01.2026, or 1/5/2026 10:30, or 01/02/26 10:30",
    "between 10:00-12:00 and 2-3 days",
    "firmware version 1.2.3.4 and v10.0.0.1",
    "12 V, 5 GHz, 3.5 mm, 1920x1080, 100-240 V",
    "SKU 884-12-0093",
    "the code SPRING10 and E14, E27",
    "ISBN 978-3-16-148410-0",
    "std::vector and a::b",
    "call me before 5 pm on 12/24/2025",
    "I have 2 lamps and 3 Desk Lights",
    "Please ring the 24/7 line; the phone is 2 years old",
    "https://shop.example.com/lamps/green?page=2",
    "I paid 1 234 567 in 2024, 729 825 979 EUR in all",
    "the 2 of us will drive on the main road",
    "Serial no. 0123456789",
    "DE89370400440532013001 has wrong check digits",
    "4111 1111 1111 1112 is no card",
    "5 stars, 100 %",
    "10 - 20 days, 2025 - 2026, 05 - 01 - 2026, 2026 - 01 - 05, 05.01. 2026",
    "valid 05/2025 - 06/2026, closed 01.05.-15.05.2026",
    "100 - 200 - 300 mm, 100 - 2000, $100 - $200, 1.299,00 - 1.499,00 EUR",
    "part 555 - 123 - 4567 - 8901, SKU 884 - 12 - 0093, order DE12 3456",
    "tracking 9400  1000  0000  0000  0000  00, 9400 - 1000 - 0000 - 0000 - 0000 - 00",
    "sizes:\n- 415\n- 555\n- 1200",
    "2016\n2017\n2018\n2019",
    "2 @ amazon.com, I found it @ amazon.com, meet @ 5 pm, 10 x 20 @ 5.99",
    "password: please reset it, or password: not working",
    'Click "Forgot password" and then "Send", my password\'s wrong and I can\'t log in',
]


@pytest.mark.parametrize("seed", [11, 12])
def test_recall_on_planted_items_of_structured_kinds(seed: int) -> None:
    found: Counter[str] = Counter()
    missed: list[str] = []
    for plant in planted(seed, PER_KIND):
        left = PLACEHOLDER.sub("", Pseudonyms().text(plant.text))
        digits = re.sub(r"\W", "", plant.value)
        gone = plant.value not in left and digits[-4:] not in left and digits[:5] not in left
        found[plant.kind] += gone
        missed += [] if gone else [plant.text]
    recall = {kind: found[kind] / PER_KIND for kind in FRAMES}
    assert min(recall.values()) >= 0.98, (recall, missed[:10])


@pytest.mark.parametrize("text", KEEP)
def test_what_is_no_personal_data_stays(text: str) -> None:
    assert Pseudonyms().text(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b.example and A@B.example, then c@d.example", "<EMAIL_1> and <EMAIL_1>, then <EMAIL_2>"),
        ("call 415-555-0132 or (415) 555 0132", "call <PHONE_1> or <PHONE_1>"),
        ("IBAN DE89 3704 0044 0532 0130 00 thanks", "IBAN <IBAN_1> thanks"),
        ("221B Baker Street, London NW1 6XE", "<ADDRESS_1>"),
        ("Musterstraße 12, 10115 Berlin", "<ADDRESS_1>"),
        ("12 rue de la Paix 75002 Paris", "<ADDRESS_1>"),
        ("ship to P.O. Box 1234", "ship to <ADDRESS_1>"),
        ("jane (at) example dot com", "<EMAIL_1>"),
        ("my password is hunter2!", "my password is <SECRET_1>!"),
        ("born on 4 May 1980", "born on <BIRTHDATE_1>"),
        ("order 12, see https://a.example/x?token=abc.", "order 12, see <URL_1>."),
        ("password: correcthorse", "password: <SECRET_1>"),
        ("the password is \u201ccorrect horse\u201d", "the password is \u201c<SECRET_1>\u201d"),
        ("a link of jane%40example.com", "a link of <EMAIL_1>"),
        ("4111\u00a01111\u00a01111\u00a01111 paid", "<CARD_1> paid"),
        ("4111\u20111111\u20111111\u20111111 paid", "<CARD_1> paid"),
        ("DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000.", "<IBAN_1>."),
        ("(555) 123 - 4567", "<PHONE_1>"),
        ("555 - 123 - 4567, 415 555 - 0132", "<PHONE_1>, <PHONE_2>"),
        ("+1 (415) - 555 - 0132", "<PHONE_1>"),
        ("4111  1111  1111  1111 and 4111\t1111\t1111\t1111", "<CARD_1> and <CARD_1>"),
        ("4111 1111\n1111 1111, 4111 - 1111 - 1111 - 1111", "<CARD_1>, <CARD_1>"),
        ("4111/1111/1111/1111, 3782  822463  10005", "<CARD_1>, <CARD_2>"),
        ("123 - 45 - 6789", "<SSN_1>"),
        ("maria.lopez @ gmail.com, maria @ gmail.com", "<EMAIL_1>, <EMAIL_2>"),
        ("DE89  3704  0044  0532  0130  00, DE89-3704-0044-0532-0130-00", "<IBAN_1>, <IBAN_1>"),
        ("jane\u200bdoe@example.com, \uff14\uff11\uff15-555-2671", "<EMAIL_1>, <PHONE_1>"),
        ("Please call the customer: (415) 555-2671", "Please call the customer: <PHONE_1>"),
        ("Contact for this order: 415-555-2671", "Contact for this order: <PHONE_1>"),
        ("My booking. 415-555-2671 is my phone", "My booking. <PHONE_1> is my phone"),
        ("Gr\u00fc\u00dfe aus der Hauptstra\u00dfe 5, 10115 Berlin", "Gr\u00fc\u00dfe aus der <ADDRESS_1>"),
        ("<EMAIL_3> wrote to x@y.example", "<EMAIL_3> wrote to <EMAIL_4>"),
    ],
)
def test_placeholders_worked_out_by_hand(text: str, expected: str) -> None:
    names = Pseudonyms()
    names.reserve([text])
    assert names.text(text) == expected


def test_names_of_the_export_are_replaced_in_every_form() -> None:
    people = [
        {"name": "Marisol Quintero", "email": "mq@box.example", "phone": "555 01 32"},
        {"name": "Will Achterberg"},
        {"name": "Support Team"},
    ]
    names = Pseudonyms(people)
    said = "Hi Marisol, QUINTERO, M. Quintero, Quintero, Marisol; marisol's lamp"
    assert names.text(said) == "Hi <NAME_1>, <NAME_1>, <NAME_1>, <NAME_1>; <NAME_1>'s lamp"
    assert names.text("Will you come? Thanks, Will, and Achterberg") == (
        "Will you come? Thanks, <NAME_2>, and <NAME_2>"
    )
    assert names.text("MQ@box.example, 555 01 32") == "<EMAIL_1>, <PHONE_1>"
    assert names.text("the support team and Marisola") == "the support team and Marisola"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Rose White", "Rose, where is it? White, thanks", "<NAME_1>, where is it? <NAME_1>, thanks"),
        ("Rose White", "Thanks\nRose", "Thanks\n<NAME_1>"),
        ("Rose White", "A rose in colour: White lamp", "A rose in colour: White lamp"),
        ("O'Brien, Pat", "Pat O\u2019Brien, OBrien", "<NAME_1>, <NAME_1>"),
        ("Jos\u00e9 Garc\u00eda", "Jose Garcia, JOSE\u0301!", "<NAME_1>, <NAME_1>!"),
        ("Jose Garcia", "Jos\u00e9 Garc\u00eda, jos\u00e9", "<NAME_1>, <NAME_1>"),
        ("Anna M\u00fcller", "Frau Mueller, Muller", "Frau <NAME_1>, <NAME_1>"),
        ("\u738b\u5c0f\u660e", "\u6211\u662f\u738b\u5c0f\u660e\uff0c", "\u6211\u662f<NAME_1>\uff0c"),
        ("Jean-Luc Picard", "Jean Luc Picard, Jean", "<NAME_1>, <NAME_1>"),
        ("Ivy Hope", "I hope so. I Hope. I. Hope, I. HOPE", "I hope so. I Hope. <NAME_1>, <NAME_1>"),
        ("Anna Long", "It took a long time", "It took a long time"),
        ("Jon Hope", "I am J Hope, j hope", "I am <NAME_1>, j hope"),
        ("Anna Lopez", "A Lopez, alopez", "<NAME_1>, <NAME_1>"),
        ("Will Grant", "We will grant it. Will Grant", "We will grant it. <NAME_1>"),
        ("Tom Hanks", "thanks, T. Hanks", "thanks, <NAME_1>"),
        ("Can Yilmaz", "I can see it, Can, and you?", "I can see it, <NAME_1>, and you?"),
        ("Hans und Maria Huber", "Hans und ich", "<NAME_1> und ich"),
        ("Anna - Support", "Best, Anna of our support", "Best, <NAME_1> of our support"),
        ("Lisa from Support", "Lisa is from Bonn", "<NAME_1> is from Bonn"),
        ("Anna | Acme Support Team", "Anna of Acme, our team", "<NAME_1> of Acme, our team"),
        ("Support - Anna", "Anna told me", "<NAME_1> told me"),
        ("Anna @ Acme", "Anna at Acme", "<NAME_1> at Acme"),
        ("Tom Service Desk", "Best, Tom", "Best, <NAME_1>"),
        ("Anna Admin", "hi anna, who is admin?", "hi <NAME_1>, who is admin?"),
        ("Peter Shop", "Regards\nPeter\nyour shop", "Regards\n<NAME_1>\nyour shop"),
        ("Acme Support", "I asked Acme. Best, Acme Support", "I asked Acme. Best, Acme Support"),
        ("Billing Support", "Best, Billing", "Best, Billing"),
        ("Dr. Jane Doe (VIP)", "Dr Jane Doe, jane_doe_vip", "Dr <NAME_1>, <NAME_1>_vip"),
    ],
)
def test_a_name_is_found_however_it_is_typed(name: str, text: str, expected: str) -> None:
    assert Pseudonyms([{"name": name}]).text(text) == expected


def test_columns_of_names_mails_and_phones_are_replaced_whole_and_known_in_the_texts() -> None:
    row = {
        "prompt": "I am Zoltan Quux, call 415 555 26 71",
        "customer_name": "Zoltan Quux",
        "First Name": "Zoltan",
        "phone": 4155552671.0,
        "tags": ["zoltan_quux_vip"],
        "situation": "z@q.example",
        "context": {"user": {"name": "Mia Wong", "email": "m@w.example"}, "facts": {"name": "desk lamp"}},
        "agent": "Support Team",
        "orders": 4155552671,
        "sizes": {42: "left over"},
    }
    (done,), _ = pseudonymise_rows([row])
    assert done == {
        "prompt": "I am <NAME_1>, call <PHONE_1>",
        "customer_name": "<NAME_1>",
        "First Name": "<NAME_1>",
        "phone": "<PHONE_1>",
        "tags": ["<NAME_1>_vip"],
        "situation": "<EMAIL_1>",
        "context": {"user": {"name": "<NAME_2>", "email": "<EMAIL_2>"}, "facts": {"name": "desk lamp"}},
        "agent": "Support Team",
        "orders": 4155552671,
        "sizes": {42: "left over"},
    }
    assert pseudonymise_rows([done]) == ([done], Counter())


def test_every_text_of_a_row_is_read_keys_and_status_too() -> None:
    row = {
        "prompt": "hello",
        "status": "waiting for m@x.example",
        "difficulty": "easy",
        "notes": {"m@x.example": "called", "M@X.example": "again", "221B Baker Street": "home", "content": 1},
        "people": [{"name": "Content Team"}],
    }
    (done,), _ = pseudonymise_rows([row])
    assert done == {
        "prompt": "hello",
        "status": "waiting for <EMAIL_1>",
        "difficulty": "easy",
        "notes": {"<EMAIL_1>": "called", "<EMAIL_1> 1": "again", "<ADDRESS_1>": "home", "content": 1},
    }
    assert pseudonymise_rows([done]) == ([done], Counter())


def test_an_id_with_a_known_name_becomes_a_hash() -> None:
    (done,), _ = pseudonymise_rows([{"id": "quux-1", "prompt": "hi", "customer": "Zoltan Quux"}])
    assert re.fullmatch(r"row-[0-9a-f]{12}", done["id"])


def test_rows_of_a_thread_share_placeholders_and_lose_their_people() -> None:
    people = [{"kind": "customer", "name": "Ann Bell", "email": "ann@bell.example"}]
    rows = [
        {
            "id": "1",
            "thread": "7",
            "customer": "ann@bell.example",
            "prompt": "I am Ann",
            "reply": "Hi Ann Bell",
        },
        {
            "id": "2",
            "thread": "7",
            "customer": "ann@bell.example",
            "prompt": "b@c.example, ann@bell.example",
            "people": people,
            "tags": ["ann"],
        },
        {"id": "d@e.example-1", "thread": "8", "prompt": [{"role": "user", "content": "d@e.example"}]},
    ]
    done, counts = pseudonymise_rows(rows)
    assert [done[0]["prompt"], done[0]["reply"], done[1]["prompt"]] == [
        "I am <NAME_1>", "Hi <NAME_1>", "<EMAIL_1>, <EMAIL_2>",
    ]  # fmt: skip
    assert done[1]["tags"] == ["<NAME_1>"]
    assert done[2]["prompt"] == [{"role": "user", "content": "<EMAIL_1>"}]
    assert "people" not in done[1]
    assert done[0]["customer"] == done[1]["customer"] != "ann@bell.example"
    assert re.fullmatch(r"customer-[0-9a-f]{12}", done[0]["customer"])
    assert not any("@" in str(row) for row in done)
    assert counts == {"NAME": 3, "EMAIL": 3}
    assert rows[1]["people"] == people
    assert pseudonymise_rows(done) == (done, Counter())


PIECES = st.one_of(
    st.sampled_from([plant.value for plant in planted(5, 8)]),
    st.sampled_from(["<EMAIL_1>", "<PHONE_7>", "<NAME_2>", "<", ">", "_1>", "Ann", "Bell", "order", " "]),
    st.sampled_from(".-@+0"),
    st.text("0123456789 +-().@:/ABZabz\n", max_size=8),
    st.text(max_size=5),
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join))
@settings(max_examples=400, deadline=None)
def test_twice_is_the_same_as_once(text: str) -> None:
    people = [{"name": "Ann Bell", "email": "ann@bell.example", "phone": "5550132"}]
    once = Pseudonyms(people)
    once.reserve([text])
    done = once.text(text)
    assert Pseudonyms(people).text(done) == done
    assert once.text(done) == done


@given(st.lists(PIECES, max_size=12).map("".join))
@settings(max_examples=200, deadline=None)
def test_finds_lie_in_the_text_and_never_overlap(text: str) -> None:
    ends = sorted(find(text))
    assert all(0 <= one.start < one.end <= len(text) for one in ends)
    assert all(one.end <= other.start for one, other in pairwise(ends))


def test_a_long_text_takes_no_time() -> None:
    hostile = "1 " * 20_000 + "a" * 20_000 + "@" * 2_000 + "0-" * 20_000 + "A " * 10_000 + "https://" * 2_000
    assert Pseudonyms().text(hostile)
    lines = ("1 " * 50_000, "4111 - " * 14_000, "415-555-0132 " * 8_000, "a." * 20_000, "a_" * 20_000)
    for line in lines:
        assert isinstance(Pseudonyms().finds(line), bool)


def test_density_is_the_share_of_placeholders() -> None:
    assert pii_density("") == 0.0
    assert pii_density("Hi <NAME_1>, mail <EMAIL_1>") == 0.5


def test_another_detector_is_asked_too() -> None:
    def cities(text: str) -> list[Found]:
        return [Found(match.start(), match.end(), "LOCATION") for match in re.finditer("Lima", text)]

    assert Pseudonyms(detectors=[cities]).text("Lima, a@b.example") == "<LOCATION_1>, <EMAIL_1>"


def test_presidio_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(MissingExtraError, match=r"stateset-rl\[pii\]"):
        presidio_detector()
