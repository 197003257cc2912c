"""What an import found: rows, what it turned away, and counts of all that it left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stateset.rl.data.importers.clean import clean_body
from stateset.rl.data.importers.notices import is_automatic, is_merge_notice
from stateset.rl.data.importers.thread import Author, Thread, ThreadMessage, rows_of
from stateset.rl.data.rejected import Rejected


class ThreadError(Exception):
    """A thread cannot be used; the text is the reason without its place."""


@dataclass
class Imported:
    """`counts` names what was read and left out, in words for people; `remarks` are what they should know."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    rows_of_thread: Counter[str] = field(default_factory=Counter)

    def add(self, thread: Thread, source: str) -> None:
        """Take the rows of a thread; their numbers go on where the same thread was read before."""
        self.counts["threads"] += thread.id not in self.rows_of_thread
        rows = rows_of(thread, source, first=self.rows_of_thread[thread.id] + 1)
        self.rows_of_thread[thread.id] += len(rows)
        if not rows:
            answered = any(message.author == "agent" and message.public for message in thread.messages)
            what = "a customer's public message before the agent's" if answered else "an agent's public reply"
            self.counts[f"threads without {what}"] += 1
        self.rows += rows


def said(
    body: str, *, html: bool | None, author: Author, time: str, subject: str, counts: Counter[str]
) -> ThreadMessage | None:
    """A public message in its author's own words; None where nobody wrote it, counted."""
    taken: set[str] = set()
    text = clean_body(body, html=html, taken=taken)
    counts["messages"] += 1
    counts.update(sorted(taken))
    if not text:
        counts["messages without words of their own"] += 1
    elif is_merge_notice(text):
        counts["merge notices left out"] += 1
    elif is_automatic(text, subject if author == "customer" else ""):
        counts["automatic messages left out"] += 1
    else:
        return ThreadMessage(author=author, text=text, public=True, time=time)
    return None


def by_time(messages: Iterable[ThreadMessage]) -> tuple[ThreadMessage, ...]:
    """In the order in which they were written, an export with the newest first turned around.

    Where one has no time they stay as they stand.

    Raises:
        ThreadError: one has no time, and the times of the others are not in order.
    """
    found = list(messages)
    times = [message.time for message in found if message.time]
    if times and times[0] > times[-1] and times == sorted(times, reverse=True):
        found.reverse()  # before sorting, so that messages of the same minute are turned around, too
        times.reverse()
    if len(times) == len(found):
        return tuple(sorted(found, key=lambda message: message.time))
    if times != sorted(times):
        missing = len(found) - len(times)
        raise ThreadError(f"{missing} of {len(found)} messages have no time, and the others are in no order")
    return tuple(found)
