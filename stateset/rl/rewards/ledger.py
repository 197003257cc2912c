"""What judges spent and answered: an SQLite file that all worker processes share and a resume finds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stateset.rl.errors import RewardError

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, answer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS spent (
    id INTEGER PRIMARY KEY, calls INTEGER NOT NULL, tokens INTEGER NOT NULL, money REAL NOT NULL
);
INSERT OR IGNORE INTO spent VALUES (1, 0, 0, 0.0);
"""
_LOCK_SECONDS = 60.0


class Spent(NamedTuple):
    """What calls cost."""

    calls: int
    tokens: int
    money: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.calls - other.calls, self.tokens - other.tokens, self.money - other.money)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The file at `path`, made at its first use.

    Raises:
        RewardError: by every method: the file cannot be used.
    """

    path: Path

    def spent(self) -> Spent:
        """What all calls have cost so far, those under way at their worst."""
        with self._open() as ledger:
            return _spent(ledger)

    def reserve(self, worst: Spent, limits: Mapping[str, float | None]) -> None:
        """Book the worst case of a call before it is made.

        Args:
            worst: what it may cost.
            limits: by the names of `Spent`; None: no limit.

        Raises:
            RewardError: with it a limit could be passed.
        """
        with self._open() as ledger:
            ledger.execute("BEGIN IMMEDIATE")
            held = _spent(ledger)
            for name, limit in limits.items():
                used, more = getattr(held, name), getattr(worst, name)
                if limit is not None and used + more > limit:
                    raise RewardError(
                        f"the judge's budget is spent: {used:g} of {limit:g} {name} are used, and the next "
                        f"call may take {more:g}. Raise max_{name}, then resume the run"
                    )
            _book(ledger, worst)

    def give_back(self, unused: Spent) -> None:
        """Of what was reserved."""
        with self._open() as ledger:
            _book(ledger, Spent(0, 0, 0.0) - unused)

    def answer(self, question: str) -> str | None:
        """To a question, by its hash; None where it was not asked."""
        with self._open() as ledger:
            found = ledger.execute("SELECT answer FROM answers WHERE question = ?", (question,)).fetchone()
        return None if found is None else str(found[0])

    def remember(self, question: str, answer: str) -> None:
        """The answer to a question."""
        with self._open() as ledger:
            ledger.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (question, answer))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=_LOCK_SECONDS, isolation_level=None)) as ledger:
                ledger.executescript(_TABLES)
                with ledger:
                    yield ledger
        except sqlite3.Error as error:
            raise RewardError(
                f"the judge's ledger {self.path} cannot be used ({error}): without it nothing knows what was "
                "spent. Name a file in a folder that can be written, or put a damaged one aside"
            ) from error


def _spent(ledger: sqlite3.Connection) -> Spent:
    return Spent(*ledger.execute("SELECT calls, tokens, money FROM spent").fetchone())


def _book(ledger: sqlite3.Connection, cost: Spent) -> None:
    ledger.execute("UPDATE spent SET calls = calls + ?, tokens = tokens + ?, money = money + ?", cost)
