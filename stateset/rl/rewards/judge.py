"""A model as a judge, at any OpenAI-compatible endpoint, within a budget that holds.

What a judge spent, and what it answered, stands in an SQLite file that all worker processes share and a
resumed run finds again: a question is asked once. The worst case of a call is reserved before it is made, so
that the budget is never passed by an endpoint that keeps to its limit of tokens. One that does not ends the
run at its first such answer. Until an answer has shown that it does, and where it does not say what it took,
calls with a budget of tokens or money are made one at a time; later it can write as much as it likes in the
calls under way, `concurrency` in each worker process, and no further one is made. A refusal, a cut or
malformed answer and an endpoint that is down leave a response unscored.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from stateset.rl.errors import ConfigError, MissingExtraError, RewardError
from stateset.rl.redact import redact
from stateset.rl.rewards.failure import NoAnswerError, UnscorableError
from stateset.rl.rewards.ledger import Ledger, Spent

_MESSAGE_TOKENS = 16  # most that a chat template adds to a message
_MILLION = 1_000_000
_NO_RUBRIC = "the judge {} has no rubric that could be measured"
_LONGEST_WAIT = 30.0
SAMPLING = ("max_completions_tokens", "reasoning_effort", "seed", "temperature", "top_p")  # names in a grader
_ABOUT_THE_TEXT = ("content_filter", "content_policy_violation", "context_length_exceeded", "invalid_prompt")
_ODD = (AttributeError, TypeError, ValueError, KeyError, ArithmeticError, RecursionError)  # of odd replies


Answer = TypeVar("Answer")
asked: dict[str, str] = {}  # model that this process asked -> why it is not fit to judge; empty: it is


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Asks a model.

    Args:
        model: its name there; None: the one that a grader names.
        base_url: of the endpoint; None: `OPENAI_BASE_URL`, else OpenAI's.
        api_key: None: `OPENAI_API_KEY`.
        ledger: the file of what was spent and answered; each project has one. A relative path is below the
            folder from which the run is started, so start a resumed run from there, too.
        max_calls, max_tokens, max_money: the budget, of all runs of this project together; None: no limit.
        price: money for a million tokens of input, and of output.
        max_output_tokens: of one answer.
        timeout_seconds: of one call; below `reward_timeout_seconds`, or a silent endpoint is asked for ever.
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
    api_key: str | None = field(default=None, repr=False)
    ledger: str | Path = "judge.sqlite"
    max_calls: int | None = None
    max_tokens: int | None = None
    max_money: float | None = None
    price: tuple[float, float] = (0.0, 0.0)
    max_output_tokens: int = 2048
    timeout_seconds: float = 25.0
    tries: int = 5
    concurrency: int = 8
    breaks_after: int = 5
    rests_seconds: float = 30.0
    remembers: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "price", tuple(self.price))
        if len(self.price) != 2 or not all(0 <= number < math.inf for number in self.price):
            raise ConfigError(
                f"a judge's price is {self.price}: two numbers, for a million tokens of input and of output"
            )
        if self.max_money is not None and max(self.price) <= 0:
            raise ConfigError(
                "a judge's max_money needs its price: money for a million input and output tokens"
            )
        whole = ("max_output_tokens", "tries", "concurrency", "breaks_after", "max_calls", "max_tokens")
        for name in (*whole, "timeout_seconds", "max_money"):
            given = getattr(self, name)
            kind = int if name in whole else (int, float)
            if given is None and name.startswith("max_"):
                continue
            if isinstance(given, bool) or not isinstance(given, kind) or not 0 < given < math.inf:
                raise ConfigError(f"a judge's {name} is {given!r}: give a number above 0")

    def __stateset_rl_state__(self) -> dict[str, Any]:
        """What its answers depend on; another budget, key or ledger makes no other run of a resumed one."""
        address = self.base_url or os.environ.get("OPENAI_BASE_URL")
        return {"model": self.model, "base_url": address, "max_output_tokens": self.max_output_tokens}

    async def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any],
        settings: Mapping[str, Any],
        *,
        nonce: str = "",
        unfit: str | None = None,
        read: Callable[[Mapping[str, Any]], Answer],
    ) -> Answer:
        """What `read` makes of the answer, the JSON object that `schema` describes.

        Of equal questions at the same time one is asked. An answer is remembered only where `read` takes it.

        Args:
            messages: `role` and `content` each.
            schema: JSON schema of an object.
            settings: `model` and sampling parameters, by their names in a grader.
            nonce: a random text in the messages, which makes no other question of them.
            unfit: why the judge is not fit for this question, for `asked`; empty: it is; None: nobody
                could measure it.
            read: raises UnscorableError for what cannot be used.

        Raises:
            UnscorableError: refused, malformed, or (NoAnswerError) the endpoint does not answer.
            RewardError: the budget is spent or was passed by the endpoint, the endpoint does not know the
                model or the key, or the ledger cannot be used.
            ConfigError: no model, or a setting that is no sampling parameter.
            MissingExtraError: the `openai` package is not installed.
        """
        order = self._order(messages, schema, settings)
        note_asked(order["model"], _NO_RUBRIC.format(order["model"]) if unfit is None else unfit)
        said = json.dumps([self.base_url or os.environ.get("OPENAI_BASE_URL"), order])
        said = said.replace(nonce, "") if nonce else said
        question = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        if not self.remembers:
            return _read(await self._in_turn(order), read)
        answer = self._ledger.answer(question)
        if answer is not None:
            return _read(answer, read)
        asking = _state(self).asking
        if question not in asking:
            asking[question] = asyncio.ensure_future(self._in_turn(order))
            asking[question].add_done_callback(lambda done: _forget(asking, question, done))
        answer = await asyncio.shield(asking[question])  # others wait for it, too
        found = _read(answer, read)
        self._ledger.remember(question, answer)
        return found

    def _order(
        self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The call's arguments."""
        given = dict(settings)
        if unknown := set(given) - {"model", *SAMPLING}:
            raise ConfigError(f"a judge takes no {', '.join(sorted(unknown))}: use {', '.join(SAMPLING)}")
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
        return order

    async def _in_turn(self, order: Mapping[str, Any]) -> str:
        """Asks where there is a turn; until an answer is known to have kept to its limit, one at a time."""
        state = _state(self)
        async with state.turns:
            if state.proven:
                return await self._asked(order)
            async with state.first:
                return await self._asked(order)

    def spent(self) -> Spent:
        """What all calls have cost so far, those under way at their worst."""
        return self._ledger.spent()

    async def _asked(self, order: Mapping[str, Any]) -> str:
        """The text of the answer; tries again where the endpoint is busy or broken."""
        import openai

        state = _state(self)
        for number in range(self.tries):
            reserved = self._reserve(state, order)
            try:
                async with asyncio.timeout(self.timeout_seconds):  # the client's own is one of each read
                    reply = await state.client.chat.completions.create(**order)
            except (openai.AuthenticationError, openai.NotFoundError, openai.BadRequestError) as error:
                self._ledger.give_back(reserved)
                if isinstance(error, openai.BadRequestError) and (
                    state.answered or error.code in _ABOUT_THE_TEXT
                ):
                    raise UnscorableError(self._said("endpoint refused this text", error)) from error
                raise RewardError(self._said("endpoint refused the call", error)) from error
            except openai.APIStatusError as error:
                if error.status_code == 429:
                    self._ledger.give_back(reserved)  # it was not computed
                if error.status_code != 429 and error.status_code < 500:
                    raise self._failed(state, error) from error
                if number + 1 == self.tries:
                    raise self._failed(state, error) from error
                await asyncio.sleep(_pause(number, error.response.headers.get("retry-after")))
                continue
            except (openai.APIError, TimeoutError, *_ODD) as error:  # no connection, too late, no JSON
                raise self._failed(state, error) from error
            state.failures, state.answered = 0, True
            self._settle(state, reserved, reply)
            return redact(_text(reply), self.api_key)
        raise AssertionError("the last try returns or raises")

    def _failed(self, state: _State, error: Exception) -> NoAnswerError:
        state.failures += 1
        state.rests_until = time.monotonic() + self.rests_seconds
        return NoAnswerError(self._said("endpoint did not answer", error))

    def _said(self, what: str, error: Exception) -> str:
        """In a line: no key, whatever the client quotes or the endpoint echoes."""
        return redact(f"the judge's {what}: {type(error).__name__} {error}", self.api_key)[:500]

    def _settle(self, state: _State, reserved: Spent, reply: Any) -> None:
        """Book what the call took instead of its worst case, which stays where the reply does not say.

        Raises:
            RewardError: it took more than was reserved, with a budget in tokens or money.
        """
        usage = getattr(reply, "usage", None)
        read, written = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
        if not (type(read) is int and type(written) is int and read >= 0 and written >= 0):
            return
        cost = self._priced(read, written)
        self._ledger.give_back(reserved - cost)
        state.proven = True
        if self._counts_tokens and (cost.tokens > reserved.tokens or cost.money > reserved.money):
            state.overrun = (
                f"the judge's endpoint took {cost.tokens} tokens for a call of at most {reserved.tokens}: it "
                "does not keep to max_completion_tokens, so no budget of tokens or money can hold there. "
                "Give max_calls instead, or use another endpoint"
            )
            raise RewardError(state.overrun)

    @property
    def _counts_tokens(self) -> bool:
        return self.max_tokens is not None or self.max_money is not None

    def _priced(self, read: int, written: int) -> Spent:
        money = (read * self.price[0] + written * self.price[1]) / _MILLION
        return Spent(1, read + written, money)

    def _reserve(self, state: _State, order: Mapping[str, Any]) -> Spent:
        """Book the worst case of a call, where one may be made: no token is shorter than a byte."""
        if state.overrun:
            raise RewardError(state.overrun)
        if state.failures >= self.breaks_after and time.monotonic() < state.rests_until:
            raise NoAnswerError("the judge's endpoint failed several times in a row and is left alone")
        text = json.dumps([order["messages"], order["response_format"]], ensure_ascii=False)
        read = len(text.encode("utf-8", "surrogatepass")) + _MESSAGE_TOKENS * (len(order["messages"]) + 1)
        worst = self._priced(read, order["max_completion_tokens"])
        limits = {"calls": self.max_calls, "tokens": self.max_tokens, "money": self.max_money}
        self._ledger.reserve(worst, limits)
        return worst

    @property
    def _ledger(self) -> Ledger:
        return Ledger(Path(self.ledger))


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
        self.turns, self.first = asyncio.Semaphore(judge.concurrency), asyncio.Lock()
        self.asking: dict[str, asyncio.Future[str]] = {}
        self.answered = False  # once: a call of this form can work
        self.proven = not judge._counts_tokens  # whether an answer has kept to its limit, where that matters
        self.overrun = ""  # what is said of an answer that did not; nothing is asked then
        self.failures = 0
        self.rests_until = 0.0


_states: dict[tuple[Judge, asyncio.AbstractEventLoop], _State] = {}


def note_asked(model: str, unfit: str) -> None:
    """A judge that was unfit once stays so in `asked`."""
    asked[model] = asked.get(model) or unfit


def _state(judge: Judge) -> _State:
    key = judge, asyncio.get_running_loop()
    if key not in _states:
        _states[key] = _State(judge)
    return _states[key]


def _forget(asking: dict[str, asyncio.Future[str]], question: str, done: asyncio.Future[str]) -> None:
    del asking[question]
    if not done.cancelled():
        done.exception()  # whoever waits gets it; nobody may be left


def _pause(number: int, asked: str | None) -> float:
    """Seconds before the next try: what the endpoint asks for, else doubling, with jitter."""
    wanted = float(asked) if asked and asked.replace(".", "", 1).isdigit() else 0.5 * 2**number
    return min(wanted, _LONGEST_WAIT) * random.uniform(1.0, 1.5)


def _text(reply: Any) -> str:
    try:
        [choice, *_] = reply.choices or [None]
        message = choice.message if choice is not None else None
        said, content = (message.refusal, message.content) if message is not None else (None, None)
        cut = choice is not None and choice.finish_reason == "length"
    except _ODD as error:
        raise UnscorableError(f"the judge's reply cannot be read: {type(error).__name__} {error}") from error
    if said or not content:
        raise UnscorableError(f"the judge refused: {said or 'an empty answer'}")
    if cut:
        raise UnscorableError("the judge's answer was cut off: raise max_output_tokens")
    return str(content)


def _read(answer: str, read: Callable[[Mapping[str, Any]], Answer]) -> Answer:
    try:
        found = json.loads(answer)
    except _ODD:
        found = None
    if not isinstance(found, Mapping):
        raise UnscorableError(f"the judge answered no JSON object: {answer[:200]!r}")
    try:
        return read(found)
    except _ODD as error:
        raise UnscorableError(f"the judge's answer cannot be read: {answer[:200]!r}") from error


def number_of(answer: Mapping[str, Any]) -> float:
    """The `result` of an answer.

    Raises:
        UnscorableError: it is no finite number.
    """
    result = answer.get("result")
    if isinstance(result, bool) or not isinstance(result, int | float) or not math.isfinite(result):
        raise UnscorableError(f"the judge's result is {str(result)[:100]!r}, no number")
    return float(result)
