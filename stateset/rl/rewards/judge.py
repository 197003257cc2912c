"""A model as a judge, at any OpenAI-compatible endpoint, within a budget that holds.

What a judge spent, and what it answered, stands in an SQLite file that all worker processes share and a
resumed run finds again: a question is asked once. The worst case of a call is reserved before it is made, so
that the budget is never passed. A refusal, a cut or malformed answer and an endpoint that is down leave a
response unscored; a spent budget ends the run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from stateset.rl.errors import ConfigError, MissingExtraError, RewardError
from stateset.rl.rewards.failure import UnscorableError

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, answer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS spent (
    id INTEGER PRIMARY KEY, calls INTEGER NOT NULL, tokens INTEGER NOT NULL, money REAL NOT NULL
);
INSERT OR IGNORE INTO spent VALUES (1, 0, 0, 0.0);
"""
_LOCK_SECONDS = 60.0
_MESSAGE_TOKENS = 16  # most that a chat template adds to a message
_MILLION = 1_000_000
_LONGEST_WAIT = 30.0


class Spent(NamedTuple):
    """What calls cost."""

    calls: int
    tokens: int
    money: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.calls - other.calls, self.tokens - other.tokens, self.money - other.money)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Asks a model.

    Args:
        model: its name there; None: the one that a grader names.
        base_url: of the endpoint; None: `OPENAI_BASE_URL`, else OpenAI's.
        api_key: None: `OPENAI_API_KEY`.
        ledger: the file of what was spent and answered; each project has one.
        max_calls, max_tokens, max_money: the budget, of all runs of this project together; None: no limit.
        price: money for a million tokens of input, and of output.
        max_output_tokens: of one answer.
        timeout_seconds: of one call.
        tries: calls for one question, where the endpoint is busy or broken (429 or 5xx).
        concurrency: calls at a time, of one worker process.
        breaks_after: failed questions in a row, after which none is asked for `rests_seconds`.
        rests_seconds: see `breaks_after`.
        remembers: False: every question is asked anew, and no answer is kept; its cost is.

    Raises:
        ConfigError: `max_money` without a `price`, or a number outside its range.
    """

    model: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    ledger: str | Path = "judge.sqlite"
    max_calls: int | None = None
    max_tokens: int | None = None
    max_money: float | None = None
    price: tuple[float, float] = (0.0, 0.0)
    max_output_tokens: int = 2048
    timeout_seconds: float = 60.0
    tries: int = 5
    concurrency: int = 8
    breaks_after: int = 5
    rests_seconds: float = 30.0
    remembers: bool = True

    def __post_init__(self) -> None:
        if self.max_money is not None and max(self.price) <= 0:
            raise ConfigError(
                "a judge's max_money needs its price: money for a million input and output tokens"
            )
        for name in ("max_output_tokens", "timeout_seconds", "tries", "concurrency", "breaks_after"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"a judge's {name} is {getattr(self, name)}: give a number above 0")

    async def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any],
        settings: Mapping[str, Any],
        *,
        nonce: str = "",
    ) -> Mapping[str, Any]:
        """The answer to messages as the JSON object that `schema` describes.

        Args:
            messages: `role` and `content` each.
            schema: JSON schema of an object.
            settings: `model` and sampling parameters, by their names in a grader.
            nonce: a random text in the messages, which makes no other question of them.

        Raises:
            UnscorableError: refused, malformed, or the endpoint does not answer.
            RewardError: the budget is spent, or the endpoint does not know the model or the key.
            MissingExtraError: the `openai` package is not installed.
        """
        given = dict(settings)
        order = {
            "model": self.model or given.pop("model", None),
            "messages": [dict(message) for message in messages],
            "response_format": {
                "type": "json_schema", "json_schema": {"name": "grade", "strict": True, "schema": schema},
            },
            "max_completion_tokens": given.pop("max_completions_tokens", None) or self.max_output_tokens,
            **{name: value for name, value in given.items() if name != "model" and value is not None},
        }  # fmt: skip
        if not order["model"]:
            raise ConfigError("the judge has no model: give Judge(model=...)")
        said = json.dumps([self.base_url, order])
        said = said.replace(nonce, "") if nonce else said
        question = hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
        answer = self._known(question) if self.remembers else None
        if answer is None:
            async with _at_once(self):
                answer = await self._asked(order)
            _mapping(answer)  # what cannot be read is not remembered
            if self.remembers:
                self._remember(question, answer)
        return _mapping(answer)

    def spent(self) -> Spent:
        """What all calls have cost so far, those under way at their worst."""
        with closing(self._open()) as ledger:
            return Spent(*ledger.execute("SELECT calls, tokens, money FROM spent").fetchone())

    async def _asked(self, order: Mapping[str, Any]) -> str:
        """The text of the answer; tries again where the endpoint is busy or broken."""
        import openai

        state = _state(self)
        if state.failures >= self.breaks_after and time.monotonic() < state.rests_until:
            raise UnscorableError("the judge's endpoint failed several times in a row and is left alone")
        for number in range(self.tries):
            reserved = self._reserve(order)
            try:
                reply = await state.client.chat.completions.create(**order)
            except (openai.AuthenticationError, openai.NotFoundError, openai.BadRequestError) as error:
                self._give_back(reserved)
                raise RewardError(f"the judge's endpoint refused the call: {error}") from error
            except openai.APIStatusError as error:
                if error.status_code == 429:
                    self._give_back(reserved)  # it was not computed
                if error.status_code != 429 and error.status_code < 500:
                    raise self._failed(state, error) from error
                if number + 1 == self.tries:
                    raise self._failed(state, error) from error
                await asyncio.sleep(_pause(number, error.response.headers.get("retry-after")))
                continue
            except (openai.APIError, ValueError) as error:  # no connection, no answer in time, no JSON
                raise self._failed(state, error) from error
            state.failures = 0
            self._give_back(reserved - self._cost(getattr(reply, "usage", None), reserved))
            return _text(reply)
        raise AssertionError("the last try returns or raises")

    def _failed(self, state: _State, error: Exception) -> UnscorableError:
        state.failures += 1
        state.rests_until = time.monotonic() + self.rests_seconds
        return UnscorableError(f"the judge did not answer: {type(error).__name__} {error}"[:500])

    def _cost(self, usage: Any, reserved: Spent) -> Spent:
        if usage is None:
            return reserved
        return self._priced(usage.prompt_tokens, usage.completion_tokens)

    def _priced(self, read: int, written: int) -> Spent:
        money = (read * self.price[0] + written * self.price[1]) / _MILLION
        return Spent(1, read + written, money)

    def _reserve(self, order: Mapping[str, Any]) -> Spent:
        """Book the worst case: no token is shorter than a byte."""
        text = json.dumps([order["messages"], order["response_format"]], ensure_ascii=False)
        read = len(text.encode()) + _MESSAGE_TOKENS * (len(order["messages"]) + 1)
        worst = self._priced(read, order["max_completion_tokens"])
        limits = (("calls", self.max_calls), ("tokens", self.max_tokens), ("money", self.max_money))
        with closing(self._open()) as ledger, ledger:
            ledger.execute("BEGIN IMMEDIATE")
            held = Spent(*ledger.execute("SELECT calls, tokens, money FROM spent").fetchone())
            for name, limit in limits:
                used, more = getattr(held, name), getattr(worst, name)
                if limit is not None and used + more > limit:
                    raise RewardError(
                        f"the judge's budget is spent: {used:g} of {limit:g} {name} are used, and the next "
                        f"call may take {more:g}. Raise max_{name}, then resume the run"
                    )
            self._book(ledger, worst)
        return worst

    def _give_back(self, unused: Spent) -> None:
        with closing(self._open()) as ledger, ledger:
            self._book(ledger, Spent(0, 0, 0.0) - unused)

    @staticmethod
    def _book(ledger: sqlite3.Connection, cost: Spent) -> None:
        ledger.execute("UPDATE spent SET calls = calls + ?, tokens = tokens + ?, money = money + ?", cost)

    def _known(self, question: str) -> str | None:
        with closing(self._open()) as ledger:
            found = ledger.execute("SELECT answer FROM answers WHERE question = ?", (question,)).fetchone()
        return None if found is None else str(found[0])

    def _remember(self, question: str, answer: str) -> None:
        with closing(self._open()) as ledger, ledger:
            ledger.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (question, answer))

    def _open(self) -> sqlite3.Connection:
        ledger = sqlite3.connect(self.ledger, timeout=_LOCK_SECONDS, isolation_level=None)
        ledger.executescript(_TABLES)
        return ledger


class _State:
    """What a process keeps of a judge while an event loop runs: client, turns, failures in a row."""

    def __init__(self, judge: Judge) -> None:
        try:
            from openai import AsyncOpenAI, OpenAIError
        except ImportError as error:
            raise MissingExtraError("a judge needs `openai`: pip install 'stateset-rl[judge]'") from error
        try:
            self.client = AsyncOpenAI(
                base_url=judge.base_url, api_key=judge.api_key, timeout=judge.timeout_seconds, max_retries=0
            )
        except OpenAIError as error:
            raise RewardError(
                f"the judge has no key: set OPENAI_API_KEY, or give api_key ({error})"
            ) from error
        self.turns = asyncio.Semaphore(judge.concurrency)
        self.failures = 0
        self.rests_until = 0.0


_states: dict[tuple[Judge, asyncio.AbstractEventLoop], _State] = {}


def _state(judge: Judge) -> _State:
    key = judge, asyncio.get_running_loop()
    if key not in _states:
        _states[key] = _State(judge)
    return _states[key]


def _at_once(judge: Judge) -> asyncio.Semaphore:
    return _state(judge).turns


def _pause(number: int, asked: str | None) -> float:
    """Seconds before the next try: what the endpoint asks for, else doubling, with jitter."""
    wanted = float(asked) if asked and asked.replace(".", "", 1).isdigit() else 0.5 * 2**number
    return min(wanted, _LONGEST_WAIT) * random.uniform(1.0, 1.5)


def _text(reply: Any) -> str:
    [choice, *_] = getattr(reply, "choices", None) or [None]
    if choice is None or choice.message.refusal or not choice.message.content:
        said = choice.message.refusal if choice is not None else ""
        raise UnscorableError(f"the judge refused: {said or 'an empty answer'}")
    if choice.finish_reason == "length":
        raise UnscorableError("the judge's answer was cut off: raise max_output_tokens")
    return str(choice.message.content)


def _mapping(answer: str) -> Mapping[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise UnscorableError(f"the judge answered no JSON object: {answer[:200]!r}")
    return found
