"""Keys out of texts: no message, log or file of a run holds a secret that it was run with.

The error of an HTTP client may quote its headers, and an endpoint may echo what it was sent. Hidden are the
values of environment variables whose names end like a secret's, and keys that the caller knows, also as JSON,
an address or Python write them; what follows `Bearer` or the name of a key, as in `x-api-key: ...`; user and
password in an address. A secret that stands in no variable and looks like nothing is not found. Standard
library only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

HIDDEN = "***"
_SHORTEST = 8  # a shorter value is a word that texts hold anyway
_NAME = re.compile(
    r"(?:key|api[_-]?keys|token|secret|password|passwd|passphrase|credentials?|(?:^|[_.-])(?:pass|pat))$",
    re.I,
)
_VALUE = r"(?=[\w.~+/=%-]*\d)[\w.~+/=%-]{8,}"  # a word has no digit
_BEARER = re.compile(rf"(?i)\b(bearer|basic)(\s+){_VALUE}")
_LABELLED = re.compile(
    r"(?i)((?:(?:api|access|auth|secret)[-_]?(?:key|token)|client[-_]?secret|\bx-[\w-]{0,30}(?:key|token|secret)"
    rf"|\bauthorization|[?&](?:key|token))\\?['\"]?\s{{0,9}}[:=]\s{{0,9}}\\?['\"]?){_VALUE}"
)
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@'\"]+@")


def redact(text: str, *known: str | None) -> str:
    """The text without secrets.

    Args:
        text: what is about to be shown or written.
        known: secrets that the caller holds.
    """
    held = [value for name, value in os.environ.items() if is_secret(name)]
    secrets = {part for value in held for part in (value, *value.split(","))}  # some hold a list
    secrets |= {secret for secret in known if secret is not None}
    forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
    text = _LABELLED.sub(rf"\1{HIDDEN}", text)
    return _IN_ADDRESS.sub(f"{HIDDEN}@", text)


def is_secret(name: str) -> bool:
    """Whether a variable or setting of this name holds a secret: `OPENAI_API_KEY`, `PGPASSWORD`."""
    return bool(_NAME.search(name))


def _forms(secret: str) -> Iterator[str]:
    """As it is, and as JSON, an address, a form and Python would write it."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, errors="replace")
    yield quote(secret, safe="", errors="replace")
    yield quote_plus(secret, errors="replace")
    yield repr(secret)[1:-1]
