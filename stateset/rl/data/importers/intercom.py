"""Conversations of Intercom, retrieved with their parts: one a line, a list, or pages of its API.

Only the opening message and parts of type `comment` are words to the customer. Notes are private; the text of
any other part (an assignment, a close) is left out and counted, since the export does not say who read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stateset.rl.data.importers.export_file import (
    Document,
    documents,
    list_of,
    mapping_of,
    text_of,
    utc_time,
)
from stateset.rl.data.importers.imported import Imported, ThreadError, by_time, said
from stateset.rl.data.importers.thread import Author, Person, Thread, ThreadMessage
from stateset.rl.data.rejected import Rejected

_AUTHORS: Mapping[str, Author] = {
    "user": "customer",
    "lead": "customer",
    "contact": "customer",
    "visitor": "customer",
    "admin": "agent",
    "team": "agent",
}
_ROBOTS = ("bot", "operator", "workflow")
_PRIVATE = ("note", "note_and_reopen", "note_and_close", "note_and_snooze")


def import_intercom(files: Sequence[Path]) -> Imported:
    """Read conversations of all files together.

    Raises:
        DataError: a file that is missing or no JSON.
    """
    found = Imported()
    seen: dict[str, str] = {}
    for path in files:
        for item in documents(path, ("conversations", "data")):
            if isinstance(item, Rejected):
                found.rejected.append(item)
                continue
            name = text_of(item.value.get("id"))
            try:
                if name in seen:
                    raise ThreadError(f"conversation {name} was read already ({seen[name]})")
                found.add(_thread(item, found.counts), "intercom")
                seen[name] = item.where
            except ThreadError as error:
                found.rejected.append(item.reject(str(error), name or None))
    return found


def _thread(document: Document, counts: Counter[str]) -> Thread:
    conversation = document.value
    name = text_of(conversation.get("id"))
    source, parts = mapping_of(conversation.get("source")), _parts(conversation)
    if not name:
        raise ThreadError("no `id`; is this a conversation?")
    if not source:
        raise ThreadError("no `source`, the opening message: export whole conversations")
    subject = text_of(source.get("subject") or conversation.get("title"))
    messages: list[ThreadMessage | None] = []
    if source.get("body"):
        time = utc_time(conversation.get("created_at"))
        messages.append(_message("the opening message", source, time, subject, counts))
    for place, part in enumerate(parts, start=1):
        if _is_for_customer(part, counts):
            messages.append(_message(f"part {place}", part, utc_time(part.get("created_at")), "", counts))
    rating = mapping_of(conversation.get("conversation_rating")).get("rating")
    reopens = mapping_of(conversation.get("statistics")).get("count_reopens")
    state = text_of(conversation.get("state"))
    return Thread(
        id=name,
        where=document.where,
        messages=by_time(message for message in messages if message is not None),
        customer=_customer(conversation, source),
        created=utc_time(conversation.get("created_at")),
        subject=_plain(subject),
        status=state,
        resolved=state == "closed" if state else None,
        satisfaction=float(rating) if isinstance(rating, int | float) and 1 <= rating <= 5 else None,
        reopened=reopens > 0 if isinstance(reopens, int) and not isinstance(reopens, bool) else None,
        tags=tuple(text_of(mapping_of(tag).get("name")) for tag in _list(conversation, "tags")),
        people=tuple(_people(conversation, source, parts)),
    )


def _parts(conversation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = mapping_of(conversation.get("conversation_parts"))
    parts = inner.get("conversation_parts")
    if not isinstance(parts, list):
        raise ThreadError(
            "no `conversation_parts`: retrieve each conversation by its id, a list has no parts"
        )
    total = inner.get("total_count")
    if isinstance(total, int) and total > len(parts):
        raise ThreadError(f"{len(parts)} of {total} parts: the export cut the earliest ones off")
    return [mapping_of(part) for part in parts]


def _is_for_customer(part: Mapping[str, Any], counts: Counter[str]) -> bool:
    kind = text_of(part.get("part_type"))
    if not part.get("body") or part.get("redacted") is True:
        return False
    if not kind:
        raise ThreadError("a part with text has no `part_type`, so it may be a private note")
    if kind in _PRIVATE or "note" in kind:
        counts["private notes left out"] += 1
        return False
    if kind != "comment":
        counts[f"texts of `{kind}` parts left out"] += 1
        return False
    return True


def _message(
    name: str, part: Mapping[str, Any], time: str, subject: str, counts: Counter[str]
) -> ThreadMessage | None:
    kind = text_of(mapping_of(part.get("author")).get("type"))
    if kind in _ROBOTS:
        counts["automatic messages left out"] += 1
        return None
    if kind not in _AUTHORS:
        raise ThreadError(f"the author of {name} has type {kind or 'none'!r}: neither customer nor teammate")
    return said(
        str(part["body"]), html=None, author=_AUTHORS[kind], time=time, subject=subject, counts=counts
    )


def _customer(conversation: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    contacts = [text_of(mapping_of(one).get("id")) for one in _list(conversation, "contacts")]
    author = mapping_of(source.get("author"))
    opened = text_of(author.get("id")) if _AUTHORS.get(text_of(author.get("type"))) == "customer" else ""
    return next((one for one in contacts if one), opened)


def _people(
    conversation: Mapping[str, Any], source: Mapping[str, Any], parts: list[Mapping[str, Any]]
) -> list[Person]:
    found: dict[tuple[str, str], Person] = {}
    people = [mapping_of(one.get("author")) for one in (source, *parts)]
    people += [{"type": "contact"} | dict(mapping_of(one)) for one in _list(conversation, "contacts")]
    people += [{"type": "admin"} | dict(mapping_of(one)) for one in _list(conversation, "teammates")]
    for one in people:
        name, email, phone = (text_of(one.get(field)) for field in ("name", "email", "phone"))
        kind = _AUTHORS.get(text_of(one.get("type")))
        if kind and (name or email or phone):
            found.setdefault((name, email), Person(kind=kind, name=name, email=email, phone=phone))
    return list(found.values())


def _list(conversation: Mapping[str, Any], key: str) -> list[Any]:
    """`{"tags": {"tags": [...]}}` as Intercom nests its lists."""
    value = conversation.get(key)
    return list_of(mapping_of(value).get(key)) if isinstance(value, Mapping) else list_of(value)


def _plain(subject: str) -> str:
    from stateset.rl.data.importers.html import html_to_text, looks_like_html

    return html_to_text(subject) if looks_like_html(subject) else subject
