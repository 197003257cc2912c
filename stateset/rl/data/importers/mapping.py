"""Which column of a table means what: guessed from the names, saved as YAML, read back.

Three layouts: `pairs` (a question and a reply a row), `messages` (one message a row, a column names its
thread) and `conversations` (a list of messages a row). Columns that are not mapped are not read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from stateset.rl.config.yaml_file import read_yaml
from stateset.rl.data.importers.flags import EVERYTHING, Values, find_flags, says_public
from stateset.rl.errors import DataError

NEEDED = {
    "pairs": ("prompt", "reply"),
    "messages": ("thread", "author", "text"),
    "conversations": ("messages",),
}
_NAMES: Mapping[str, str] = {
    "id": "id rowid messageid commentid",
    "thread": "thread threadid ticket ticketid ticketnumber conversation conversationid case caseid caseno "
    "session sessionid dialogueid chatid",
    "customer": "customer customerid user userid requester requesterid contact contactid client clientid "
    "accountid",
    "time": "time timestamp date datetime createdat created createddate sentat updatedat",
    "subject": "subject title",
    "prompt": "prompt question query instruction input customermessage customertext customerquery "
    "usermessage inquiry issue request description",
    "reply": "reply response answer output agentreply agentmessage agentresponse completion resolutiontext "
    "target",
    "author": "author role sender from speaker authortype authorrole sendertype direction",
    "text": "text body message content comment plainbody htmlbody utterance messagetext messagebody",
    "messages": "messages conversation conversations dialogue dialog turns chat",
    "resolved": "resolved isresolved solved issolved",
    "status": "status state ticketstatus",
    "satisfaction": "satisfaction satisfactionscore csat csatscore rating stars satisfactionrating "
    "customersatisfactionrating",
    "reopened": "reopened isreopened reopens reopencount",
    "tags": "tags labels",
    "template": "template templateid macro",
    "difficulty": "difficulty level",
    "customer_name": "customername username requestername contactname clientname fullname name",
    "customer_email": "customeremail email useremail requesteremail contactemail emailaddress",
    "customer_phone": "customerphone phone phonenumber telephone mobile",
    "agent_name": "agentname agent assignee assigneename",
    "agent_email": "agentemail assigneeemail",
}
FLAGS = ("public", "private")
_NO_FLAGS = (
    "nothing says which texts are private, so all were taken for public; check that no note is among them"
)
FIELDS = (*_NAMES, *FLAGS)
_LISTS = ("customers", "agents", "public_values", "keep", "time_formats")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """`columns` from our names to the table's; `customers` and `agents` are values of the `author` column.

    `public` and `private` are flags (see `flags.py`), `public_values` words in them that mean public;
    `time_formats` are tried on times as `strptime` reads them.

    Raises:
        DataError: a time format that is none.
    """

    layout: str
    columns: Mapping[str, str]
    public: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    public_values: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    time_formats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Try the time formats."""
        for form in self.time_formats:
            try:
                datetime.strptime(datetime(2026, 1, 31).strftime(form), form)
            except (ValueError, re.error) as error:
                raise DataError(
                    f"`time_formats` has {form!r}, which is none ({error}); write one such as %d/%m/%Y %H:%M."
                ) from error

    def get(self, row: Mapping[str, Any], name: str) -> Any:
        """The row's value of one of our names; None where the name has no column."""
        column = self.columns.get(name)
        return None if column is None else row.get(column)

    def says_public(self, row: Mapping[str, Any], *, in_list: bool = False) -> bool:
        """Whether a row, or a message in a row's list, could be read by the customer.

        Raises:
            ThreadError: a flag is missing or says neither.
        """
        if EVERYTHING in self.public:
            return True
        public, private = (
            [path for path in paths if self.is_in_list(path) == in_list]
            for paths in (self.public, self.private)
        )
        list_name = self.columns["messages"] if in_list else None
        return says_public(row, public, private, list_name, self.public_values)

    def is_in_list(self, path: str) -> bool:
        """Whether a flag belongs to the messages in a row's list."""
        return self.layout == "conversations" and path.startswith(f"{self.columns['messages']}.")

    def described(self) -> list[tuple[str, str]]:
        """Our names and what they are read from."""
        flags = {"public": ", ".join(self.public), "private": ", ".join(self.private)}
        return [*self.columns.items(), *((name, paths) for name, paths in flags.items() if paths)]


def guess_mapping(columns: Iterable[str], label: str, sample: Mapping[str, Any]) -> ColumnMapping:
    """From column names, each used once, the first synonym first.

    Args:
        columns: in the table's order.
        label: what error messages call the table.
        sample: a value of each column, which tells a list of messages from a text.

    Raises:
        DataError: no layout fits; the message shows what a mapping needs.
    """
    there = list(columns)
    found: dict[str, str] = {}
    for name, synonyms in _NAMES.items():
        for synonym in synonyms.split():
            column = next((one for one in there if synonym in _plain(one)), None)
            if column is not None and column not in found.values() and _fits(name, sample.get(column)):
                found[name] = column
                break
    for layout in ("conversations", "messages", "pairs"):
        if all(name in found for name in NEEDED[layout]):
            return ColumnMapping(layout=layout, columns=_of_layout(layout, found))
    raise DataError(
        f"{label}: the columns {', '.join(there)} do not say where prompt and reply are. Write a mapping and "
        "give it with --mapping, for example:\n  layout: pairs\n  columns:\n    prompt: YOUR_COLUMN\n"
        "    reply: YOUR_COLUMN\n(or layout messages with thread, author, text and public)"
    )


def with_flags(
    mapping: ColumnMapping, seen: Mapping[str, Values], label: str
) -> tuple[ColumnMapping, list[str]]:
    """A mapping that names its flags, and remarks for the user on what was not read as one.

    Flags that a mapping names, of rows or of messages in lists, are the only ones; else they are guessed.

    Args:
        mapping: guessed or given.
        seen: from `values_of`.
        label: what error messages call the table.

    Raises:
        DataError: a flag of a guessed mapping may mean public or private.
    """
    found = find_flags(seen, mapping.columns.get("messages"), mapping.columns.values())
    remarks = [f"`{path}` holds texts and says of none who could read it: left out" for path in found.texts]
    if EVERYTHING in mapping.public:
        return mapping, remarks
    decided = {mapping.is_in_list(path) for path in (*mapping.public, *mapping.private)}
    new = {
        name: [path for path in getattr(found, name) if mapping.is_in_list(path) not in decided]
        for name in (*FLAGS, "unclear")
    }
    if new["unclear"]:
        raise DataError(
            f"{label}: `{new['unclear'][0]}` may mean public or private; write a mapping with `public:` or "
            "`private:` under `columns:`, and give it with --mapping."
        )
    public, private = (*mapping.public, *new["public"]), (*mapping.private, *new["private"])
    others = {*found.public, *found.private, *found.unclear} - {*public, *private}
    remarks += [
        f"`{path}` looks like a flag, but the mapping names others: not read" for path in sorted(others)
    ]
    remarks += [] if public or private else [_NO_FLAGS]
    return replace(mapping, public=public, private=private), remarks


def _plain(column: str) -> set[str]:
    """A column's name without case and punctuation, and without a leading "ticket"."""
    name = re.sub(r"[^a-z0-9]", "", column.lower())
    rest = name.removeprefix("ticket")
    return {name, rest} if len(rest) > 2 else {name}  # a "ticket_id" is no id of a row


def _fits(name: str, value: Any) -> bool:
    """A list only where a list is meant; a missing value says nothing."""
    return value is None or isinstance(value, list) == (name == "messages") or name == "tags"


def _of_layout(layout: str, found: dict[str, str]) -> dict[str, str]:
    """Without the columns of the other layouts."""
    others = {name for other, names in NEEDED.items() if other != layout for name in names}
    foreign = others - set(NEEDED[layout]) - {"thread"}
    return {name: column for name, column in found.items() if name not in foreign}


def read_mapping(file: Path) -> ColumnMapping:
    """Read a mapping that was saved or written by hand.

    Raises:
        ConfigError: no YAML.
        DataError: an unknown key or layout, or a column that the layout needs is not given.
    """
    settings: dict[str, Any] = {}
    columns: dict[str, Any] = {}
    for entry in read_yaml(file):
        top, _, name = entry.path.partition(".")
        if top == "columns" and name in FIELDS:
            columns[name] = entry.value if name in FLAGS else str(entry.value)
        elif top in ("layout", *_LISTS) and not name:
            settings[top] = entry.value
        else:
            known = FIELDS if top == "columns" else ("layout", "columns", *_LISTS)
            raise DataError(f"{entry.where}: unknown `{entry.path}`; use one of {', '.join(known)}.")
    layout = settings.pop("layout", None)
    if layout not in NEEDED:
        raise DataError(f"{file.name}: `layout` is {layout!r}; use one of {', '.join(NEEDED)}.")
    missing = [name for name in NEEDED[layout] if name not in columns]
    if missing:
        raise DataError(f"{file.name}: layout {layout} needs `columns.{missing[0]}`; name the column.")
    settings |= {name: columns.pop(name) for name in FLAGS if name in columns}
    lists = {key: tuple(str(one) for one in _as_list(value)) for key, value in settings.items()}
    return ColumnMapping(layout=layout, columns=columns, **lists)


def write_mapping(mapping: ColumnMapping, file: Path, table: str) -> None:
    """Save it as YAML that `read_mapping` reads."""
    flags = {"public": mapping.public, "private": mapping.private}
    columns = dict(mapping.columns) | {name: list(paths) for name, paths in flags.items() if paths}
    settings: dict[str, Any] = {"layout": mapping.layout, "columns": columns}
    settings |= {name: list(getattr(mapping, name)) for name in _LISTS if getattr(mapping, name)}
    head = f"# How the columns of {table} were read. Edit it and give it back with --mapping {file.name}\n"
    file.write_text(head + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")


def check_columns(mapping: ColumnMapping, there: Collection[str], label: str) -> None:
    """Refuse a mapping that names what the table does not have.

    Args:
        mapping: with its flags.
        there: columns, and paths within them.
        label: what error messages call the table.

    Raises:
        DataError: such a name, or a table of messages where nothing says which are public.
    """
    flags = [(name, path) for name in FLAGS for path in getattr(mapping, name) if path != EVERYTHING]
    for name, column in (*mapping.columns.items(), *(("keep", column) for column in mapping.keep), *flags):
        if column not in there:
            raise DataError(
                f"{label}: the mapping reads `{name}` from column `{column}`, which is not there "
                f"(columns: {', '.join(there)})."
            )
    if mapping.layout == "messages" and not (mapping.public or mapping.private):
        raise DataError(
            f"{label}: no column says which messages are public, and private notes must not reach a prompt. "
            f"Name it in a mapping (`public:` or `private:`), or write `public: '{EVERYTHING}'` if every "
            "message could be read by the customer."
        )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
