"""Tickets of Zendesk: the account's JSON export (one ticket a line) or pages of its API, with their comments.

A comment is used only if its `public` is true. Where that flag is missing or of another kind, or where a
public comment's author is unknown, the whole ticket is turned away: a hole in a thread teaches nonsense.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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

_ROLES: Mapping[str, Author] = {"end-user": "customer", "agent": "agent", "admin": "agent"}
_SATISFACTION = {"good": 5.0, "bad": 1.0}
_SYSTEM_AUTHOR = "-1"
_PEOPLE = ("requester", "submitter", "assignee")
Users = dict[str, Mapping[str, Any]]


def import_zendesk(files: Sequence[Path]) -> Imported:
    """Read tickets of all files together; users may stand in any of them.

    Raises:
        DataError: a file that is missing or no JSON.
    """
    found = Imported()
    tickets: list[Document] = []
    users: Users = {}
    for path in files:
        for item in documents(path, ("tickets", "users")):
            if isinstance(item, Rejected):
                found.rejected.append(item)
            elif item.key == "users" or _is_user(item.value):
                users[text_of(item.value.get("id"))] = item.value
            else:
                tickets.append(item)
    seen: dict[str, str] = {}
    for document in tickets:
        ticket = text_of(document.value.get("id"))
        try:
            if ticket in seen:
                raise ThreadError(f"ticket {ticket} was read already ({seen[ticket]})")
            found.add(_thread(document, users, found.counts), "zendesk")
            seen[ticket] = document.where
        except ThreadError as error:
            found.rejected.append(document.reject(str(error), ticket or None))
    return found


def _is_user(value: Mapping[str, Any]) -> bool:
    return text_of(value.get("role")) in _ROLES and "comments" not in value and "status" not in value


def _thread(document: Document, users: Users, counts: Counter[str]) -> Thread:
    ticket = document.value
    name = text_of(ticket.get("id"))
    if not name:
        raise ThreadError("no `id`; is this a ticket?")
    if not isinstance(ticket.get("comments"), list):
        raise ThreadError("no list `comments`: export tickets with their comments")
    if ticket.get("status") == "deleted":
        raise ThreadError("deleted in Zendesk")
    known = users | _embedded(ticket)
    customer = text_of(ticket.get("requester_id")) or text_of(mapping_of(ticket.get("requester")).get("id"))
    messages, authors = [], {customer}
    for place, comment in enumerate(ticket["comments"], start=1):
        message = _message(place, mapping_of(comment), ticket, known, counts)
        if message is not None:
            messages.append(message)
            authors.add(text_of(comment.get("author_id")))
    status = text_of(ticket.get("status"))
    reopens = mapping_of(ticket.get("metric_set")).get("reopens")
    return Thread(
        id=name,
        where=document.where,
        messages=by_time(messages),
        customer=customer,
        created=utc_time(ticket.get("created_at")),
        subject=text_of(ticket.get("subject")),
        status=status,
        resolved=status in ("solved", "closed") if status else None,
        satisfaction=_satisfaction(ticket.get("satisfaction_rating")),
        reopened=reopens > 0 if isinstance(reopens, int) and not isinstance(reopens, bool) else None,
        tags=tuple(text_of(tag) for tag in list_of(ticket.get("tags"))),
        people=(*_people(authors, _ids(ticket), known, customer), *_senders(ticket, customer)),
    )


def _embedded(ticket: Mapping[str, Any]) -> Users:
    """People whom the account's export writes into the ticket."""
    found = [mapping_of(ticket.get(name)) for name in _PEOPLE]
    found += [mapping_of(one) for one in list_of(ticket.get("collaborator"))]
    return {text_of(one["id"]): one for one in found if text_of(one.get("id"))}


def _ids(ticket: Mapping[str, Any]) -> list[str]:
    """Everyone of the ticket, so that their names are known where others write them."""
    ids = [text_of(ticket.get(f"{name}_id")) for name in _PEOPLE]
    ids += [text_of(mapping_of(ticket.get(name)).get("id")) for name in _PEOPLE]
    every = [*list_of(ticket.get("collaborator_ids")), *list_of(ticket.get("follower_ids"))]
    every += [mapping_of(one).get("author_id") for one in list_of(ticket.get("comments"))]
    return ids + [text_of(one) for one in every]


def _message(
    place: int, comment: Mapping[str, Any], ticket: Mapping[str, Any], users: Users, counts: Counter[str]
) -> ThreadMessage | None:
    public = comment.get("public")
    if not isinstance(public, bool):
        raise ThreadError(
            f"comment {place} does not say whether it is public (`public` is {public!r}); "
            "nothing is taken from a ticket that may hold private notes unmarked"
        )
    if not public:
        counts["private notes left out"] += 1
        return None
    author = text_of(comment.get("author_id"))
    via = mapping_of(mapping_of(comment.get("via")).get("source")).get("rel")
    if author == _SYSTEM_AUTHOR or comment.get("type") == "VoiceComment" or via == "trigger":
        counts["automatic messages left out"] += 1
        return None
    if via == "merge":
        counts["merge notices left out"] += 1
        return None
    html = comment.get("html_body")
    body = html or comment.get("plain_body") or comment.get("body") or ""
    return said(
        str(body),
        html=True if html else None,
        author=_author(place, author, ticket, users),
        time=utc_time(comment.get("created_at")),
        subject=text_of(ticket.get("subject")) if place == 1 else "",
        counts=counts,
    )


def _author(place: int, author: str, ticket: Mapping[str, Any], users: Users) -> Author:
    requester = text_of(ticket.get("requester_id")) or text_of(mapping_of(ticket.get("requester")).get("id"))
    if author and author == requester:
        return "customer"
    role = _ROLES.get(text_of(mapping_of(users.get(author)).get("role")))
    if role:
        return role
    assignee = text_of(ticket.get("assignee_id")) or text_of(mapping_of(ticket.get("assignee")).get("id"))
    if author and author == assignee:
        return "agent"
    raise ThreadError(
        f"the author of comment {place} ({author or 'none'}) is neither the requester nor the assignee, and "
        "no user of the export: give the export of users as a second FILE"
    )


def _people(authors: set[str], ids: Iterable[str], users: Users, customer: str) -> list[Person]:
    found = []
    for person in sorted((authors | set(ids)) & users.keys()):
        user = users[person]
        kind = "customer" if person == customer else _ROLES.get(text_of(user.get("role")), "agent")
        name, email, phone = (text_of(user.get(field)) for field in ("name", "email", "phone"))
        found.append(Person(kind=kind, name=name, email=email, phone=phone))
    return found


def _senders(ticket: Mapping[str, Any], customer: str) -> list[Person]:
    """Who wrote, as the mails themselves name them: known without any export of users."""
    found: dict[Person, None] = {}
    comments = [mapping_of(one) for one in list_of(ticket.get("comments"))]
    for part, author in ((ticket, customer), *((one, text_of(one.get("author_id"))) for one in comments)):
        source = mapping_of(mapping_of(part.get("via")).get("source"))
        sender = mapping_of(source.get("from"))
        name, email, phone = (text_of(sender.get(field)) for field in ("name", "address", "phone"))
        ours = (text_of(ticket.get("recipient")), text_of(mapping_of(source.get("to")).get("address")))
        if (name or email or phone) and (not email or email not in ours):  # a help desk's name is no person's
            kind: Author = "customer" if author == customer else "agent"
            found[Person(kind=kind, name=name, email=email, phone=phone)] = None
    return list(found)


def _satisfaction(rating: Any) -> float | None:
    """Good and bad as 5 and 1 stars; a number from 1 to 5 as it is."""
    score = mapping_of(rating).get("score")
    if isinstance(score, int | float) and not isinstance(score, bool):
        return float(score) if 1 <= score <= 5 else None
    return _SATISFACTION.get(text_of(score))
