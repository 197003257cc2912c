"""Keys out of texts: no message, log or file of a run holds a secret that it was run with.

The error of an HTTP client may quote its headers, and an endpoint may echo what it was sent. Hidden are the
values of environment variables whose names end like a secret's, keys that the caller knows, what follows
`Bearer`, and user and password in an address. A secret that stands in no variable and looks like nothing is
not found. Standard library only.
"""

from __future__ import annotations

import os
import re

HIDDEN = "***"
_SHORTEST = 8  # a shorter value is a word that texts hold anyway
_NAME = re.compile(r"(?:^|[_.-])(?:api[_-]?key|key|token|secret|password|passwd|credentials?)$", re.I)
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)(?=[\w.~+/=-]*\d)[\w.~+/=-]{8,}")  # a word has no digit
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@'\"]+@")


def redact(text: str, *known: str | None) -> str:
    """The text without secrets.

    Args:
        text: what is about to be shown or written.
        known: secrets that the caller holds.
    """
    secrets = {value for name, value in os.environ.items() if is_secret(name)}
    secrets |= {secret for secret in known if secret is not None}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, HIDDEN)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
    return _IN_ADDRESS.sub(f"{HIDDEN}@", text)


def is_secret(name: str) -> bool:
    """Whether a variable or setting of this name holds a secret: `OPENAI_API_KEY`, `hub_token`."""
    return bool(_NAME.search(name))
