"""Stands for your help desk and shop: an export as Zendesk writes it, and what the shop knows of each ticket.

The bundled tickets become threads of several months, with all that real exports have: full names, addresses
and phone numbers, signatures, quoted mails, HTML, private notes of the team, follow-ups, the same mail sent
twice, automatic replies. `tickets.json` and `users.json` are what the API of Zendesk gives; `orders.jsonl` is
the shop's own: order and policy in force, the resolution that this policy asks for, and for one ticket in
twenty an answer that the team agreed on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

from stateset.rl.data.bundled import bundled_rows

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
PARTS = (("support_tickets", 1), ("support_tickets/validation", 2), ("support_tickets/test", 2))  # every n-th
LAST_NAMES = (
    "Abbott", "Albers", "Bianchi", "Carlsen", "Costa", "Dvorak", "Eklund", "Farouk", "Garcia", "Haas",
    "Ibrahim", "Jansen", "Kowalski", "Larsen", "Mbeki", "Novak", "Okafor", "Petrov", "Quintero", "Rossi",
    "Santos", "Tanaka", "Ueda", "Vargas", "Weber", "Xu", "Yilmaz", "Zimmer",
)  # fmt: skip
AGENTS = ((9001, "Priya Natarajan"), (9002, "Tom Beck"), (9003, "Lena Vogt"))
NOTES = (
    "margin is thin on this one, try store credit first",
    "third complaint this year, be careful",
    "warehouse says the shelf count is off by two, do not tell the customer",
    "same address as a fraud case in May, ask Lena before refunding",
)
AWAY = "Automatic reply: I am out of the office until Monday and will read your message then."
SHOP_COLUMNS = (
    *("situation", "template", "difficulty", "resolution", "allowed", "must_not_promise", "question_kind"),
    "facts",
)


def main() -> None:
    """Write the three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    out = parser.parse_args().out
    rows = [row for name, step in PARTS for row in (bundled_rows(name) or [])[::step]]
    desk = Desk(random.Random(7))
    for place, row in enumerate(rows):
        desk.add(row, START + timedelta(hours=5 * place))
    out.mkdir(parents=True, exist_ok=True)
    (out / "tickets.json").write_text(json.dumps({"tickets": desk.tickets}, indent=1))
    (out / "users.json").write_text(json.dumps({"users": desk.users}, indent=1))
    (out / "orders.jsonl").write_text("".join(json.dumps(order) + "\n" for order in desk.orders))
    print(f"{len(desk.tickets)} tickets, {len(desk.users)} people, {desk.notes} private notes: {out}")


class Desk:
    """The tickets so far; every choice comes from one generator, so the files are the same each time."""

    def __init__(self, drawn: random.Random) -> None:
        self.drawn = drawn
        self.tickets: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.users: list[dict[str, Any]] = [
            {"id": key, "name": name, "email": f"{name.split()[0].lower()}@shop.example", "role": "agent"}
            for key, name in AGENTS
        ]
        self.notes = 0

    def add(self, row: Mapping[str, Any], time: datetime) -> None:
        """One ticket of the shop; now and then the customer sends it twice, or a mail program answers."""
        customer = self._customer(row["facts"]["name"])
        self._ticket(row, customer, time)
        if self.drawn.random() < 0.04:
            self._ticket(row, customer, time + timedelta(hours=2))
        if self.drawn.random() < 0.03:
            self._thread("Re: your order", customer, time, [(customer["id"], AWAY, True)], row)

    def _customer(self, name: str) -> dict[str, Any]:
        last = self.drawn.choice(LAST_NAMES)
        key = 100_000 + len(self.users)
        mail = f"{name}.{last}{key % 97}@mailbox.example".lower()
        phone = f"+1 415 555 {self.drawn.randrange(100, 200):04}" if self.drawn.random() < 0.5 else None
        person = {"id": key, "name": f"{name} {last}", "email": mail, "phone": phone, "role": "end-user"}
        self.users.append(person)
        return person

    def _ticket(self, row: Mapping[str, Any], customer: Mapping[str, Any], time: datetime) -> None:
        agent, name = self.drawn.choice(AGENTS)
        asked = row["prompt"][-1]["content"]
        if customer["phone"] and self.drawn.random() < 0.5:
            asked += f"\nYou can reach me at {customer['phone']}."
        signed = f"{asked}\n\nBest regards,\n{customer['name']}\n{customer['email']}"
        said: list[tuple[int, str, bool]] = [(customer["id"], signed, True)]
        if self.drawn.random() < 0.4:
            said.append((agent, f"PRIVATE-NOTE {self.drawn.choice(NOTES)}", False))
            self.notes += 1
        said.append((agent, f"{row['reply']}\n\nKind regards,\n{name}\nCustomer Care", True))
        if self.drawn.random() < 0.15:
            quoted = "\n".join(f"> {line}" for line in row["reply"].splitlines())
            wrote = f"On Mon, Jan 5, 2026 at 9:31 AM {name} <help@shop.example> wrote:"
            said.append((customer["id"], f"Thank you, that helps.\n\n{wrote}\n{quoted}", True))
            said.append((agent, "You are welcome. Have a nice day.", True))
        ticket = self._thread(f"Order {row['facts']['order']}", customer, time, said, row)
        known = {name: row[name] for name in SHOP_COLUMNS}
        if ticket % 20 == 0:
            known["answer"] = row["answer"]
        self.orders.append({"ticket": str(ticket), "policy": row["prompt"][0]["content"], **known})

    def _thread(
        self, subject: str, customer: Mapping[str, Any], time: datetime,
        said: Sequence[tuple[int, str, bool]], row: Mapping[str, Any],
    ) -> int:  # fmt: skip
        key = 4000 + len(self.tickets)
        stars = {1: "bad", 2: "bad", 4: "good", 5: "good"}.get(row["satisfaction"], "offered")
        comments = [
            {
                "id": 10 * key + place, "type": "Comment", "author_id": author, "public": public,
                "html_body": f"<div class=\"zd-comment\">{escape(text).replace(chr(10), '<br>')}</div>",
                "created_at": f"{time + timedelta(minutes=20 * place):%Y-%m-%dT%H:%M:%SZ}",
            }
            for place, (author, text, public) in enumerate(said)
        ]  # fmt: skip
        self.tickets.append(
            {
                "id": key, "subject": subject, "status": "solved" if row["resolved"] else "open",
                "requester_id": customer["id"], "assignee_id": said[-1][0], "tags": [],
                "created_at": f"{time:%Y-%m-%dT%H:%M:%SZ}", "satisfaction_rating": {"score": stars},
                "metric_set": {"reopens": int(row["reopened"])}, "comments": comments,
            }
        )  # fmt: skip
        return key


if __name__ == "__main__":
    main()
