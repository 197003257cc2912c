"""What every export is read into: a thread of messages; and a thread into rows, one for each agent's turn.

Rows are made here and nowhere else, so this is what keeps private notes out: a message whose `public` is not
True never reaches a prompt or a reply, whatever an importer did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

Author = Literal["customer", "agent", "system"]
_ROLES = {"customer": "user", "agent": "assistant", "system": "system"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone of a thread as the export knows them; what pseudonymises their names later."""

    kind: Author
    name: str = ""
    email: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadMessage:
    """`public` is whether the customer could read it; `system` is an instruction before the conversation."""

    author: Author
    text: str
    public: bool
    time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """One ticket or conversation; outcomes are None where the export does not know them.

    `satisfaction` is from 1 to 5, times are ISO 8601 in UTC, `where` is the place in the export.
    """

    id: str
    messages: tuple[ThreadMessage, ...]
    where: str
    customer: str = ""
    created: str = ""
    subject: str = ""
    status: str = ""
    resolved: bool | None = None
    satisfaction: float | None = None
    reopened: bool | None = None
    tags: tuple[str, ...] = ()
    people: tuple[Person, ...] = ()


def rows_of(thread: Thread, source: str, first: int = 1) -> list[dict[str, Any]]:
    """One row for each agent's turn that answers a customer, with all public messages before it as prompt.

    Messages of the same side in a row are one turn. A turn before any customer wrote is no reply.

    Args:
        thread: one conversation.
        source: the kind of the export, with which ids begin.
        first: the number of the first row.

    Returns:
        Rows with `id`, `thread`, `customer`, `time` (of the reply), `prompt`, `reply`, the outcomes that are
        known, and `people`, which `data prepare` uses and removes.
    """
    turns = _turns(thread)
    rows: list[dict[str, Any]] = []
    for place, (author, text, time) in enumerate(turns):
        before = turns[:place]
        if author != "agent" or not any(one[0] == "customer" for one in before):
            continue
        prompt = [{"role": _ROLES[who], "content": said} for who, said, _ in before]
        head = {"id": f"{source}-{thread.id}-{first + len(rows)}", "thread": thread.id}
        rows.append(
            head
            | _known(customer=thread.customer, time=time or thread.created)
            | {"prompt": prompt, "reply": text}
            | _outcome(thread)
            | {"source": thread.where}
        )
    return rows


def _turns(thread: Thread) -> list[tuple[str, str, str]]:
    """(author, text, time of the last message) of each turn; only what the customer could read."""
    public = [message for message in thread.messages if message.public is True and message.text.strip()]
    turns = []
    for author, group in groupby(public, key=lambda message: message.author):
        said = list(group)
        turns.append((author, "\n\n".join(one.text.strip() for one in said), said[-1].time))
    subject = thread.subject.strip()
    first = next((place for place, turn in enumerate(turns) if turn[0] != "system"), None)
    if subject and first is not None and turns[first][0] == "customer":
        author, text, time = turns[first]
        if not text.casefold().startswith(subject.casefold()):
            turns[first] = (author, f"{subject}\n\n{text}", time)
    return turns


def _outcome(thread: Thread) -> dict[str, Any]:
    people = [_known(kind=one.kind, name=one.name, email=one.email, phone=one.phone) for one in thread.people]
    return _known(
        resolved=thread.resolved,
        satisfaction=thread.satisfaction,
        reopened=thread.reopened,
        status=thread.status,
        tags=list(thread.tags),
        people=[person for person in people if len(person) > 1],
    )


def _known(**values: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if value is not None and value != "" and not (isinstance(value, Sequence) and not value)
    }
