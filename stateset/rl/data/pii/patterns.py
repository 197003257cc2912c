"""Where personal data may stand in a text: a pattern for each kind, and a check that a find has to pass.

They read folded text (`folding.py`). The order is that of certainty: what an earlier kind takes, a later one
does not see. Order numbers, prices, dates and versions stay; a bare run of digits is a phone number only
behind a word such as "call" or where it has the form of one, and never behind a word such as "order".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stateset.rl.data.pii.checks import is_called_phone, is_card, is_iban, is_ip, is_phone, is_ssn


class Found(NamedTuple):
    """A place in a text, [start, end), and the kind of what stands there."""

    start: int
    end: int
    kind: str


class Pattern(NamedTuple):
    """The group `it` of the expression is the find, or all of it; `check` may refuse it."""

    kind: str
    expression: re.Pattern[str]
    check: Callable[[str], bool]


KINDS = (
    *("NAME", "EMAIL", "PHONE", "CARD", "IBAN", "IP", "SSN", "URL", "ADDRESS", "SECRET", "BIRTHDATE"),
    *("PERSON", "LOCATION", "ID"),  # of presidio, where it is installed
)
PLACEHOLDER = re.compile(rf"<(?:{'|'.join(KINDS)})_\d+>")

_TOKEN_NAMES = (
    r"(?:access_?|auth_?|id_?|reset_?|refresh_?|api_?|session_?)?(?:token|key|secret|signature|sig|sid|session|"
    r"password|passwd|pwd|auth|code|otp|email|e-?mail|user(?:name)?|phone|hash|jwt)"
)
_ORDER_WORD = re.compile(
    r"(?:order|invoice|tracking|ticket|request|case|reference|ref|sku|serial|imei|rma|parcel|shipment|item|"
    r"article|product|model|part|receipt|transaction|booking|reservation|customer|account|po|version|"
    r"bestell\w*|rechnung\w*|sendung\w*|auftrag\w*|artikel\w*|kunden\w*|commande|facture|pedido)"
    r"(?:[\s.:#-]|no\b|nr\b|nummer|number|numero|num|id\b|code|is|was|ist|the)*[A-Za-z]{0,4}[-#]?$",
    re.I,
)
_BARE_RUN = re.compile(r"\d+(?:\s?[a-z#].*)?", re.I | re.S)  # perhaps with an extension
_VERSION_WORD = re.compile(r"(?:\bv|version|firmware|release|build|driver)[\s:]*$", re.I)
_STREET = (
    r"street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|place|pl|square|sq|terrace|way|"
    r"parkway|pkwy|circle|cir|highway|hwy|close|crescent|grove|mews|trail|plaza"
)
_ZIP = r"(?:[A-Z]{2}\s+\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2})\b"  # US with state, UK
_TOWN = rf"(?:,?\s+(?:[A-Z][\w'.-]+\s?){{1,3}},?\s+{_ZIP})"
_UNIT = r"(?:,?\s(?i:apt|apartment|suite|ste|unit|flat|floor|fl)\.?\s?#?\w{1,6})"
_GAP = r"(?:[\s./()-]{0,3}|\)\s-\s)"  # between two digits of a telephone number
_PLUS = rf"(?:\+|(?<!\w)\(?00)[1-9]\d{{0,2}}(?:{_GAP}\d){{6,13}}(?!\d)"
_APART = r"(?:[\s.-]| ?- ?|  )"
_NORTH_AMERICA = (  # with spaces around hyphens only where no code begins with 0 or 1: that is no range
    r"(?<![\w.-])(?:\+?1[\s.-]?)?(?:\d{3}[\s.-]\d{3}[\s.-]\d{4}|"
    rf"\(\d{{3}}\)[\s.-]{{0,3}}\d{{3}}{_APART}\d{{4}}|(?<!\d - )(?:[2-9]\d{{2}}{_APART}){{2}}\d{{4}}|"
    r"(?<!\d - )[2-9]\d{2}(?P<gap> - |  )\d{3}(?P=gap)\d{4})(?!\d|[.-]\d| - \d)"
)
_NATIONAL = r"(?<![\w.+#-])\(?0\d{1,5}\)?(?:[\s./-]{0,3}\d){5,10}(?![\d.,]*\d)"
_BARE = r"(?<![\w.,#/-])(?:1?[2-9]\d{2}[2-9]\d{6}|3[2-9]\d{8})(?![\w-]|[.,]\d)"  # North America, Italy
_THREES = (
    r"(?<![\w.,#$€£/-])[4-9]\d{2}([ -])\d{3}\1\d{3}(?![\w-]|[.,]\d|\s?(?:[€$£]|eur|usd|zł))"  # Poland, Spain
)
_BETWEEN_FOURS = r"(?:\s{1,3}| {0,2}[-/._] {0,2})"  # of cards and IBANs, as people and tables write them
_EXTENSION = r"(?:\s?(?:x|ext\.?|extension|#)\s?\d{1,6})?"
_CALL = (
    r"(?:phone|telephone|tel|mobile|cell|cellphone|fax|whatsapp|call(?:ing)?(?: me| us)?|text me|sms|"
    r"reach me|my number|ring me|contact number|handy|telefon|rufnummer|telefono|movil|cellulare)"
    r"(?:\s?(?:no|nr|number|nummer)\b)?\.?"
    r"(?:\s(?:is|at|on|under|unter|ist|to|me|the|my|via|by|phone|back|number))*"
)
_GERMAN = r"[\w-]*(?:strasse|str\.|weg|gasse|allee|platz|ring|damm|ufer)"
_FRENCH = r"[A-Z][\w'-]+"
_NO_SECRET = (  # what people write behind "password:" that is none
    r"(?:please|can(?:not|'t)?|could|do(?:es)?|did|not?|how|what|when|where|why|is|was|has|have|it|its|the|my|your|"
    r"you|this|that|we|i|to|for|an?|still|never|always|re-?set(?:ting)?|reset|change[ds]?|changing|forg[oe]t(?:ten)?|"
    r"lost|login|log|link|e?mails?|wrong|incorrect|invalid|expired?|error|problem|issues?|help|work(?:s|ing)?|see|"
    r"required|missing|field|page|or|and)"
)
_MAIL_DOMAIN = (
    r"(?:(?:gmail|googlemail|yahoo|ymail|hotmail|outlook|icloud|aol|gmx|proton(?:mail)?|t-online)"
    r"\.[a-z]{2,3}(?:\.[a-z]{2})?|web\.de)"
)
_ENDS = r"[^\s<>\"'.,;:!?)\]]"  # of a link: no full stop behind it
_IPV6 = r"[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?:%\w+)?"
_OBFUSCATED = re.compile(r"\(at\)|\[at\]|\{at\}|\bdot\b", re.I)


def _pattern(kind: str, expression: str, check: Callable[[str], bool] = bool) -> Pattern:
    return Pattern(kind, re.compile(expression, re.I), check)


def _cased(kind: str, expression: str, check: Callable[[str], bool] = bool) -> Pattern:
    return Pattern(kind, re.compile(expression), check)


PATTERNS = (
    _pattern("URL", r"\b[a-z][a-z0-9+.-]{0,30}://[^\s/<>\"'@:]+:[^\s/<>\"'@]+@[^\s<>\"']+"),
    _pattern("URL", rf"\b(?:https?://|www\.)[^\s<>\"']*?[?&#;/]{_TOKEN_NAMES}[=/][^\s<>\"']*{_ENDS}"),
    _pattern(  # a long random part is a key, whatever its name
        "URL",
        r"\b(?:https?://|www\.)[^\s<>\"']*?[/=](?=[a-z_-]*\d)(?=[\d_-]*[a-z])[a-z0-9_-]{24,}[^\s<>\"'.,;:!?)\]]*",
    ),
    _pattern(
        "EMAIL",
        r"(?<![\w.+-])(?:mailto:)?(?P<it>(?:\"[^\"\s]{1,64}\"|[^\W_][\w.!#$%&'*+/=?^`{|}~-]{0,63})(?:@|%40)"
        r"(?:\[[0-9a-f:.]+\]|(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{1,62}))(?![\w@])",
    ),
    _pattern(
        "EMAIL",
        r"(?<![\w.+-])[\w.+-]+\s?(?:\(at\)|\[at\]|\{at\}|\sat\s)\s?[\w-]+"
        r"(?:\s?(?:\(dot\)|\[dot\]|\{dot\}|\sdot\s|(?<=\w)\.(?=\w))\s?[a-z][\w-]*)+",
        lambda text: bool(_OBFUSCATED.search(text)),
    ),
    _pattern(  # "2 lamps @ shop.example" is none: it takes a compound before the sign, or a mail domain
        "EMAIL",
        r"(?<![\w.+-])(?=[\w.+-]{0,63}[a-z])(?=\w)(?:(?=[^\W_]{1,63}[.+_-]\w)[\w.+-]{1,64}(?<=\w)\s?@\s?"
        rf"(?:[\w-]{{1,63}}\.){{1,4}}[a-z]{{2,63}}|[\w.+-]{{1,64}}(?<=\w)\s?@\s?{_MAIL_DOMAIN})(?![\w@-])",
    ),
    _pattern(
        "IBAN",
        rf"(?<![a-z0-9])[a-z]{{2}}\d{{2}}(?:{_BETWEEN_FOURS}[a-z0-9]{{4}}){{2,7}}"
        rf"(?:{_BETWEEN_FOURS}[a-z0-9]{{1,3}})?(?![a-z0-9])",
        is_iban,
    ),
    _pattern("IBAN", r"(?<![a-z0-9])[a-z]{2}\d{2}(?:[ -]?[a-z0-9]){11,30}(?![a-z0-9])", is_iban),
    _pattern("CARD", r"(?<![\w.])\d(?:[ .-]?\d){12,18}(?!\w)", is_card),
    _pattern(
        "CARD",
        rf"(?<![\w.])\d{{4}}{_BETWEEN_FOURS}(?:\d{{6}}{_BETWEEN_FOURS}\d{{4,5}}|"
        rf"\d{{4}}{_BETWEEN_FOURS}\d{{4}}(?:{_BETWEEN_FOURS}\d{{1,4}}){{1,2}})(?!\w)",
        is_card,
    ),
    _pattern("IP", r"(?<![\w.:])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", is_ip),
    _pattern("IP", rf"(?<![\w:.])(?=[a-f:]*\d)(?=[0-9a-f]|::[0-9a-f]){_IPV6}(?![\w:])", is_ip),
    _pattern("SSN", r"(?<![\w-])\d{3}( | ?- ?)\d{2}\1\d{4}(?![\w-])", is_ssn),
    _pattern(
        "SSN",
        r"(?:\bssn|social security(?: (?:number|no\.?))?)(?: is)?\W{0,3}"
        r"(?P<it>\d{3}[\s.-]{0,3}\d{2}[\s.-]{0,3}\d{4})\b",
    ),
    _pattern("PHONE", _PLUS + _EXTENSION, is_phone),
    _pattern("PHONE", _NORTH_AMERICA + _EXTENSION, is_phone),
    _pattern(
        "PHONE",
        rf"\b{_CALL}\W{{0,3}}(?P<it>[+(]?\d(?:{_GAP}\d){{5,14}}{_EXTENSION})(?!\d)",
        is_called_phone,
    ),
    _pattern("PHONE", _NATIONAL + _EXTENSION, is_phone),
    _pattern("PHONE", _BARE + _EXTENSION, is_phone),
    _pattern("PHONE", _THREES, is_phone),
    _pattern(
        "SECRET",
        r"\b(?:password|passwort|passcode|pwd|pin(?: code)?|cvv|cvc|security code)\b(?:\s(?:is|was|ist))?"
        r"\s?[:=]?\s?(?P<it>(?=\S*\d)[^\s,;<>]{2,64}[^\s,;<>.!?])",
    ),
    _pattern(
        "SECRET",
        rf"\b(?:password|passwort|passcode|pwd)\b(?:\s(?:is|was|ist))?\s?[:=]\s?(?!{_NO_SECRET}\b)"
        r"(?P<it>[^\s,;<>\"]{3,64}[^\s,;<>.!?\"])",
    ),
    _pattern(
        "SECRET",
        rf"\b(?:password|passwort|passcode|pwd)\b(?:\s(?:is|was|ist))?(?:\s?[:=]\s?|\s)"
        rf"(?P<quote>[\"'])(?!{_NO_SECRET}\b)(?P<it>[^\s\"'<>][^\"'\n<>]{{2,63}})(?P=quote)",
    ),
    _pattern(
        "BIRTHDATE",
        r"\b(?:date of birth|birth ?date|dob|born(?: on)?|geboren(?: am)?|geburtsdatum)\b(?:\sis)?\W{0,3}"
        r"(?P<it>\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}(?:st|nd|rd|th)?\.? [a-z]{3,9}\.?,? \d{4}|"
        r"[a-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4})",
    ),
    _cased(
        "ADDRESS",
        rf"(?<![\w$€£#.,-])\d{{1,6}}[A-Za-z]?,?\s(?:[NSEW]\.?\s)?(?:[A-Z][\w'.-]*\s){{1,4}}(?i:{_STREET})\b\.?"
        rf"{_UNIT}?{_TOWN}?",
    ),
    _cased("ADDRESS", rf"(?<![\w$€£#.,-])\d{{1,6}}\s(?:[A-Z][\w'.-]*\s){{1,4}}[A-Z][\w'.-]*{_UNIT}?{_TOWN}"),
    _pattern("ADDRESS", r"\bP\.?\s?O\.?\s?Box\s\d{1,6}\b"),
    _cased(
        "ADDRESS",
        rf"\b(?:[A-Z]{_GERMAN}|(?:[A-Z][\w.-]*\s){{1,3}}(?i:{_GERMAN}))\s\d{{1,4}}\s?[a-z]?\b"
        r"(?:,?\s+(?:D-)?\d{5}\s[A-Z][\w-]+)?",
    ),
    _cased(
        "ADDRESS",
        r"\b\d{1,4}(?:\s?bis|\s?ter)?,?\s(?i:rue|avenue|boulevard|place|chemin|impasse|allee|quai)\s"
        rf"(?:(?:de|du|des|la|le|les|l'|d')\s?)*{_FRENCH}(?:\s{_FRENCH})*(?:,?\s+\d{{5}}\s{_FRENCH})?",
    ),
    _cased("ADDRESS", r"\b(?:[A-Z][\w'.-]+\s?){1,3},\s[A-Z]{2}\s+\d{5}(?:-\d{4})?\b"),
    _cased("ADDRESS", r"\b[A-Z]{1,2}\d[A-Z\d]?\s\d[ABD-HJLNP-UW-Z]{2}\b"),  # a UK postcode
)


def find(text: str) -> Iterator[Found]:
    """Every find of the first pattern that has one; those of later patterns only beside it.

    Yields:
        Finds that do not overlap, in the order of certainty, not of place.
    """
    taken = bytearray(len(text))
    for pattern in PATTERNS:
        for match in pattern.expression.finditer(text):
            group = "it" if "it" in pattern.expression.groupindex else 0
            found = _accepted(pattern, text, match.start(group), match.end(group))
            if found is not None and not any(taken[found.start : found.end]):
                taken[found.start : found.end] = b"\1" * (found.end - found.start)
                yield found


def _accepted(pattern: Pattern, text: str, start: int, end: int) -> Found | None:
    """The find, shortened where only its beginning passes; None where nothing does."""
    bare = pattern.kind == "SSN" or _BARE_RUN.fullmatch(text[start:end])  # parts of goods look like an SSN
    if pattern.kind in ("PHONE", "SSN") and bare and _ORDER_WORD.search(text[max(0, start - 60) : start]):
        return None
    if pattern.kind == "IP" and _VERSION_WORD.search(text[max(0, start - 20) : start]):
        return None
    if pattern.check(text[start:end]):
        return Found(start, end, pattern.kind)
    if pattern.kind in ("IBAN", "CARD"):  # a word or number behind it was read as part of it
        for cut in range(end - 1, start, -1):
            if not text[cut].isalnum() and pattern.check(text[start:cut]):
                return Found(start, cut, pattern.kind)
    return None
