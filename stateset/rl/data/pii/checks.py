"""Whether a run of digits really is what it looks like: checksums and number plans, no dictionary."""

from __future__ import annotations

import ipaddress
import re

_CARD_PREFIX = re.compile(r"4|5[0-9]|2[2-7]|3[0-9]|6[0-9]")
_DATE = re.compile(  # also of a range: "05/2025 - 06/2025", "01.05. - 15.05.2026"
    r"\s*(?:(?:19|20)\d\d ?[-./ ] ?\d{1,2} ?[-./ ] ?\d{1,2}\b|"
    r"\d{1,2}( ?[-./] ?| )\d{1,2}\1(?:19|20)\d\d\b|\d{1,2}([-./])\d{1,2}\2\d\d\b(?!\2)|"
    r"\d{1,2}[-./](?:19|20)\d\d\b(?! ?\d)|\d{1,2}\.\d{1,2}\.(?!\d))"
)
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")


def digits_of(text: str) -> str:
    """Only the digits."""
    return re.sub(r"\D", "", text)


def is_card(text: str) -> bool:
    """13 to 19 digits of a card network's range that pass the Luhn check (ISO/IEC 7812-1)."""
    digits = digits_of(text)
    if not 13 <= len(digits) <= 19 or not _CARD_PREFIX.match(digits) or len(set(digits)) == 1:
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Country, check digits and an account whose remainder modulo 97 is 1 (ISO 13616)."""
    plain = re.sub(r"[\W_]", "", text).upper()
    if not _IBAN.fullmatch(plain):
        return False
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def is_ssn(text: str) -> bool:
    """Nine digits that the US Social Security Administration may have given out."""
    digits = digits_of(text)
    if len(digits) != 9:
        return False
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def is_ip(text: str) -> bool:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def is_phone(text: str) -> bool:
    """7 to 15 digits (ITU-T E.164) and perhaps an extension, and no date."""
    number = re.split(r"[x#e]", text.lower())[0]
    return 7 <= len(digits_of(number)) <= 15 and _may_be_phone(text)


def is_called_phone(text: str) -> bool:
    """The same behind a word such as "call", where six digits are enough."""
    return 6 <= len(digits_of(text)) <= 21 and _may_be_phone(text)


def _may_be_phone(text: str) -> bool:
    return len(set(digits_of(text))) > 1 and not _DATE.match(text)
