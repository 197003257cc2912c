"""Which columns, and which keys of the messages in a list, say who could read a text, and what they say.

Decided once for a whole table, by names and values; then every row or message must have the flag, and one
where it is missing or says something else turns its thread away. A flag inside a list of messages is named
`messages.internal`, one in a nested object `metadata.internal`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stateset.rl.data.importers.imported import ThreadError
from stateset.rl.data.rows import is_missing

EVERYTHING = "*"  # for `public`: every message of this source could be read by the customer
MESSAGE_AUTHOR = ("role", "from", "author")
MESSAGE_TEXT = ("content", "value", "text")
TRUE = ("true", "yes", "1", "1.0", "y", "t")
FALSE = ("false", "no", "0", "0.0", "n", "f")
_EITHER = "comment"  # Zendesk's and Intercom's are public, those of Front and HubSpot are not
_PUBLIC = (
    *("public", "external", "reply", "public reply", "public comment", "visible", "published", "all users"),
    _EITHER,
)
_PRIVATE = (
    *("private", "internal", "note", "notes", "hidden", "confidential", "internal note", "private note"),
    *("internal comment", "private comment", "internal message", "private message", "note and close"),
    *("internal users", "internal only", "agents only", "agent only", "staff only", "team only"),
    *("conversation note", "note internal", "work notes", "private prompt", "unpublished"),
)
_DEPTH = 3  # of nested objects that are looked into
_LONGEST = 60  # characters that are looked at: a longer text is none of the words
_SHOWN = 20  # characters of a value in a message: a word such as "email", never the text of a note

_SAYS_PRIVATE = re.compile(
    r"private|internal|hidden|confidential|whisper|(agents?|staff|team)only|unpublished"
)
_SAYS_NOTE = re.compile(r"notes?$|^(is|has)note")
_SAYS_PUBLIC = re.compile(
    r"public(?!ation|i[sz])|visib|viewable|(shown?|shared)(to|with)(the)?(customer|client|requester|enduser)"
    r"|^(is)?external(comment|note|message|reply)?$"
)
_PUBLISHED = re.compile(r"^(is|was)?published$")  # a flag of Salesforce, in other tables a date
_NEGATED = re.compile(r"(not?|non)(private|internal|hidden|confidential|public|visible)")
_KIND = re.compile(r"(type|kind)$")
_OF_SOMETHING_ELSE = re.compile(
    r"author|sender|user|agent|customer|contact|role|content|mime|media|file|attachment|channel|source|body|format"
)
_NO_FLAG = re.compile(r"(ids?|urls?|links?|counts?|numbers?|keys?|names?|refs?|references?|emails?)$")
_TEXTS = re.compile(r"(notes?|comments?|remarks?|memos?|texts?|messages?|body|reply|description)$")


@dataclass
class Flags:
    """What was found: paths by what true means in them, and paths that only look like a flag."""

    public: list[str] = field(default_factory=list)
    private: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


@dataclass
class Values:
    """How many values of one path are words such as "internal", true or false, or neither; none missing.

    `sentences` are those of the others that have three words or more.
    """

    public: int = 0
    private: int = 0
    booleans: int = 0
    others: int = 0
    sentences: int = 0

    def see(self, value: Any) -> None:
        """Count one."""
        if is_missing(value):
            return
        word = "" if isinstance(value, list) else _word(value)
        self.public += word in _PUBLIC
        self.private += word in _PRIVATE
        self.booleans += word in (*TRUE, *FALSE)
        self.others += word not in (*_PUBLIC, *_PRIVATE, *TRUE, *FALSE)
        self.sentences += word not in (*_PUBLIC, *_PRIVATE) and word.count(" ") > 1

    @property
    def are_texts(self) -> bool:
        """Whether none says anything about who could read it."""
        return not (self.public or self.private or self.booleans)

    @property
    def are_words(self) -> bool:
        """Whether all say public or private in words."""
        return bool(self.public or self.private) and not (self.booleans or self.others)


def values_of(rows: Iterable[Mapping[str, Any]], messages: str | None) -> dict[str, Values]:
    """Every path of a table, those in the list of its column `messages` too, with its values."""
    seen: dict[str, Values] = {}
    for row in rows:
        listed = row.get(messages) if messages else None
        pairs = list(_flat(row))
        for message in listed if isinstance(listed, list) else ():
            pairs += _flat(message, f"{messages}.") if isinstance(message, Mapping) else ()
        for path, value in pairs:
            seen.setdefault(path, Values()).see(value)
    return seen


def find_flags(seen: Mapping[str, Values], messages: str | None, taken: Iterable[str]) -> Flags:
    """Which paths are flags.

    Args:
        seen: from `values_of`.
        messages: the column with a list of messages, if there is one.
        taken: columns that mean something else.
    """
    found = Flags()
    kinds, in_rows = [], []
    prefix = f"{messages}."
    for path, values in seen.items():
        inside = messages is not None and path.startswith(prefix)
        key = path.removeprefix(prefix) if inside else path
        if path in taken or (inside and key in (*MESSAGE_AUTHOR, *MESSAGE_TEXT)):
            continue
        named = _named(key, values) or _by_values(key, values, inside)
        if named:
            getattr(found, named).append(path)
        elif inside and _is_kind(key):
            kinds.append(path)
        elif not inside and _may_say_private(key, values):
            in_rows.append(path)
    in_lists = [path.startswith(prefix) for path in (*found.public, *found.private)]
    found.public += [] if any(in_lists) else kinds
    for path in in_rows if all(in_lists) else ():
        (found.public if seen[path].public else found.unclear).append(path)
    return found


def says_public(
    row: Mapping[str, Any],
    public: Iterable[str],
    private: Iterable[str],
    messages: str | None = None,
    public_values: Iterable[str] = (),
) -> bool:
    """Whether all flags of a row or a message say that the customer could read it.

    Args:
        row: or message.
        public: paths in which true means public.
        private: paths in which true means private; a word such as "internal" means the same in both.
        messages: the column whose list holds the message.
        public_values: words that mean public in this table.

    Raises:
        ThreadError: a flag is missing or says neither.
    """
    there = dict(_flat(row, f"{messages}." if messages else ""))
    ours = [_word(value) for value in public_values]
    said = [_reading(path, there.get(path), True, ours) for path in public]
    return all([*said, *(_reading(path, there.get(path), False, ours) for path in private)])


def _flat(value: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and depth < _DEPTH:
            yield from _flat(item, f"{prefix}{key}.", depth + 1)
        else:
            yield f"{prefix}{key}", item


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _named(key: str, values: Values) -> str | None:
    """In which list of `Flags` a name puts a path; None where it tells nothing."""
    plain = _plain(key)
    private, public = _SAYS_PRIVATE.search(plain), _SAYS_PUBLIC.search(plain)
    note = _SAYS_NOTE.search(plain)
    if _PUBLISHED.search(plain):
        return None if values.are_texts else "public"
    if _NO_FLAG.search(plain) or not (private or public or note):
        return None
    are_texts = values.are_texts or (values.sentences > 0 and not values.booleans)
    if _TEXTS.search(plain) and not plain.startswith(("is", "has")) and are_texts:
        return "texts"
    numbered = plain.endswith("visibility") and values.booleans  # Re:amaze's 0 is public
    if (private and public) or _NEGATED.search(plain) or numbered:
        return "unclear"
    return "public" if public else "private"


def _by_values(key: str, values: Values, inside: bool) -> str | None:
    """The same by what a path holds: `{"channel": "internal"}` in a message."""
    says = values.private or values.are_words
    return "public" if (inside and values.private) or (_is_kind(key) and says) else None


def _may_say_private(key: str, values: Values) -> bool:
    """Whether a column of rows is one of few words, such as `audience`, and "internal" among them."""
    of_else = _OF_SOMETHING_ELSE.search(_plain(key).removesuffix("channel"))
    return bool(values.private) and not (values.booleans or values.sentences or of_else)


def _is_kind(key: str) -> bool:
    plain = _plain(key)
    return bool(_KIND.search(plain)) and not _OF_SOMETHING_ELSE.search(plain)


def _word(value: Any) -> str:
    """`privateNote`, "private_note" and "Private note" are one word."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(value)[:_LONGEST])
    return re.sub(r"[\s_-]+", " ", text).strip().casefold()


def _reading(path: str, value: Any, is_public_flag: bool, public_values: Sequence[str]) -> bool:
    word = _word(value)
    if word in public_values:
        return True
    is_open = public_values and word == _EITHER  # who lists words may have Front's
    if (word in _PUBLIC or word in _PRIVATE) and not is_open:
        return word in _PUBLIC
    if word in (*TRUE, *FALSE) and not _is_kind(path):
        return (word in TRUE) == is_public_flag
    if is_missing(value):
        raise ThreadError(f"`{path}` is missing, so this may be a private note")
    shown = f" ({word!r})" if is_public_flag and len(word) <= _SHOWN and " " not in word else ""
    raise ThreadError(
        f"`{path}` says neither public nor private{shown}; put words that mean public under `public_values:` "
        "in a mapping, or name the right flags there"
    )
