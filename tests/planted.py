"""Tickets with personal data planted in them: by faker and hand-written formats, not by our own patterns."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from faker import Faker

LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "sv_SE", "pl_PL")
PHONE_FORMATS = (  # "#" any digit, "%" 2 to 9
    "+1 %##-%##-####", "+1 (%##) %##-####", "+1%##%######", "(%##) %##-####", "(%##)%##-####",
    "%##-%##-####", "%##.%##.####", "%## %## ####", "1-%##-%##-####", "%##-%##-#### x###",
    "(%##) %##-#### ext. ##", "%##%######", "+44 20 7### ####", "+44 (0)20 7### ####", "020 7### ####",
    "07### ######", "07#########", "0044 7### ######", "+49 30 #######", "+49 (0) 171 #######",
    "030/#######", "030 - #### ###", "0171 #######", "+49-171-#######", "+33 6 ## ## ## ##",
    "06 ## ## ## ##", "06.##.##.##.##", "0033 6 ## ## ## ##", "+34 6## ### ###", "+39 06 #### ####",
    "+31 6 ########", "+46 70 ### ## ##", "+48 6## ### ###", "+91 98### #####", "+81 90-####-####",
    "+55 11 9####-####", "+61 4## ### ###", "+86 138 #### ####",
)  # fmt: skip
FRAMES: dict[str, tuple[str, ...]] = {
    "email": (
        "My address is {}.",
        "write to {} please",
        "Mail: {}",
        "({}) is mine",
        "{}\nis the one",
        "cc {}, thanks",
    ),
    "phone": (
        "You can reach me under {}.",
        "Call {} after five",
        "Tel.: {}",
        "my number: {}",
        "{}\nMobile",
        "I am at {}.",
    ),
    "card": (
        "I paid with {} yesterday",
        "card no. {}.",
        "The card {} was charged twice",
        "Card: {}, exp 09/28",
    ),
    "iban": ("Refund to {} please.", "IBAN: {}", "my account {} at the bank", "({})"),
    "ip": ("I log in from {}.", "IP {} was blocked", "address={} port 443", "from {}, at night"),
    "ssn": ("My SSN is {}.", "social security number {}", "SSN: {}", "they asked for {} on the form"),
    "url": ("I clicked {} and nothing happened.", "Link: {}", "See {}", "the link ({}) is dead"),
}


class Plant(NamedTuple):
    kind: str
    value: str
    text: str


def planted(seed: int, per_kind: int) -> Iterator[Plant]:
    """The same number of each kind, each in a sentence."""
    drawn = random.Random(seed)
    fakers = {name: Faker(name) for name in LOCALES}
    for place, fake in enumerate(fakers.values()):
        fake.seed_instance(seed + place)
    for kind, frames in FRAMES.items():
        for _ in range(per_kind):
            value = MAKERS[kind](drawn, fakers[drawn.choice(LOCALES)])
            yield Plant(kind, value, drawn.choice(frames).format(value))


def _email(drawn: random.Random, fake: Faker) -> str:
    value = drawn.choice((fake.email, fake.safe_email, fake.company_email, fake.ascii_free_email))()
    name, _, domain = value.partition("@")
    return drawn.choice(
        (
            value,
            value.upper(),
            f"{name}+{fake.word()}@{domain}",
            f"{name}.{drawn.randint(1, 99)}@mail.{domain}",
            f"{name}_x-y@{domain}",
            f"o'{name}@{domain}",
        )
    )


def _phone(drawn: random.Random, fake: Faker) -> str:
    if drawn.random() < 0.3:
        return fake.phone_number()
    return fake.numerify(drawn.choice(PHONE_FORMATS))


def _card(drawn: random.Random, fake: Faker) -> str:
    network = drawn.choice(
        ("visa16", "visa13", "visa19", "mastercard", "amex", "discover", "jcb16", "diners")
    )
    digits = fake.credit_card_number(network)
    if network == "amex":
        groups = (digits[:4], digits[4:10], digits[10:])
    else:
        groups = tuple(digits[start : start + 4] for start in range(0, len(digits), 4))
    return drawn.choice((digits, " ".join(groups), "-".join(groups)))


def _iban(drawn: random.Random, fake: Faker) -> str:
    digits = fake.iban()
    groups = " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))
    return drawn.choice((digits, groups, digits.lower(), groups.replace(" ", "-")))


def _ip(drawn: random.Random, fake: Faker) -> str:
    long = fake.ipv6()
    short = ":".join(part.lstrip("0") or "0" for part in long.split(":"))
    head = ":".join(long.split(":")[:3])
    return drawn.choice(
        (
            fake.ipv4(),
            fake.ipv4_private(),
            long,
            short,
            f"{head}::1",
            f"fe80::{long[-3:].lstrip(':')}",
            long.upper(),
        )
    )


def _ssn(drawn: random.Random, fake: Faker) -> str:
    digits = Faker("en_US")
    digits.seed_instance(drawn.random())
    value = digits.ssn()
    return drawn.choice((value, value.replace("-", " ")))


def _url(drawn: random.Random, fake: Faker) -> str:
    site = fake.url().rstrip("/")
    token = "".join(drawn.choices("abcdefghijkmnpqrstuvwxyzABCDEFGH23456789", k=drawn.randint(8, 40)))
    return drawn.choice(
        (
            f"{site}/reset?token={token}",
            f"{site}/a/b?lang=en&access_token={token}&next=1",
            f"{site}/pay#session={token}",
            f"{site}/v1?api_key={token}",
            f"{site}/auth/{token}/confirm",
            f"https://user:{token}@files.example.com/a.pdf",
            f"{site}/file?X-Signature={token}&signature={token}",
        )
    )


MAKERS: dict[str, Callable[[random.Random, Faker], str]] = {
    "email": _email, "phone": _phone, "card": _card, "iban": _iban, "ip": _ip, "ssn": _ssn, "url": _url,
}  # fmt: skip
