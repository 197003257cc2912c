"""A judge behind an endpoint that misbehaves: nothing is guessed, and the budget holds."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from judge_server import Drip, JudgeServer, Script, completion, serving

from stateset.rl.errors import ConfigError, RewardError
from stateset.rl.rewards import judge as module
from stateset.rl.rewards.failure import UnscorableError
from stateset.rl.rewards.judge import Judge, number_of
from stateset.rl.rewards.ledger import Spent

SCHEMA = {"type": "object", "properties": {"result": {"type": "number"}}}
GOOD = json.dumps({"steps": [], "result": 0.5})


def given(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer as it is, where it has a number."""
    number_of(answer)
    return answer


def judge(server: JudgeServer, tmp_path: Path, **settings: Any) -> Judge:
    given = {"model": "m", "api_key": "k", "timeout_seconds": 5.0} | settings
    return Judge(base_url=server.url, ledger=tmp_path / "judge.sqlite", **given)


def ask(asked: Judge, *texts: str) -> Sequence[Any]:
    """The answers, or what was raised instead."""

    async def together() -> list[Any]:
        questions = (asked.ask([{"role": "user", "content": text}], SCHEMA, {}, read=given) for text in texts)
        return await asyncio.gather(*questions, return_exceptions=True)

    return asyncio.run(together())


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pause", lambda number, asked: 0.0)


def test_another_endpoint_of_the_environment_is_another_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for value in (0.1, 0.9):
        with serving(lambda number, order, value=value: json.dumps({"result": value})) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            found += ask(Judge(model="m", api_key="k", ledger=tmp_path / "judge.sqlite"), "one")
    assert [given["result"] for given in found] == [0.1, 0.9]


def test_a_question_is_asked_once_and_paid_once(tmp_path: Path) -> None:
    with serving(lambda number, order: GOOD) as server:
        asked = judge(server, tmp_path, price=(1.0, 2.0))
        assert ask(asked, "one") == [{"steps": [], "result": 0.5}]
        assert ask(asked, "one", "two") == [{"steps": [], "result": 0.5}] * 2
        assert ask(judge(server, tmp_path, price=(1.0, 2.0)), "two"), "a resumed run finds it"
        assert len(server.orders) == 2
        assert asked.spent() == Spent(2, 60, pytest.approx(2 * (20 * 1.0 + 10 * 2.0) / 1e6))
        [order, _] = server.orders
    assert order["model"] == "m"
    assert order["messages"] == [{"role": "user", "content": "one"}]
    assert order["response_format"]["json_schema"] == {"name": "grade", "strict": True, "schema": SCHEMA}
    assert server.keys[0] == "Bearer k"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_or_broken_endpoint_is_asked_again(tmp_path: Path, status: int) -> None:
    with serving(lambda number, order: GOOD if number == 3 else (status, {"error": "later"})) as server:
        asked = judge(server, tmp_path)
        assert ask(asked, "one") == [{"steps": [], "result": 0.5}]
        assert len(server.orders) == 3
        calls = 1 if status == 429 else 3
        assert asked.spent().calls == calls, "what may have been computed counts"


@pytest.mark.parametrize(
    ("script", "said", "calls"),
    [
        (lambda number, order: (500, {"error": "broken"}), "did not answer: InternalServerError", 5),
        (lambda number, order: (409, {"error": "conflict"}), "did not answer: ConflictError", 1),
        (lambda number, order: 3.0, "TimeoutError", 1),
        (lambda number, order: (200, b"<html>proxy</html>"), "did not answer: JSONDecodeError", 1),
        (lambda number, order: (200, b'"text"'), "cannot be read", 1),
        (lambda number, order: "sure, I would say 0.9", "no JSON object: 'sure", 1),
        (lambda number, order: "[0.9]", "no JSON object", 1),
        (lambda number, order: (200, completion(None, refusal="I cannot")), "refused: I cannot", 1),
        (lambda number, order: (200, completion("")), "an empty answer", 1),
        (lambda number, order: (200, completion('{"res', cut=True)), "cut off: raise max_output", 1),
        (lambda number, order: (200, completion("x") | {"choices": []}), "an empty answer", 1),
    ],
)
def test_no_answer_is_never_a_grade(tmp_path: Path, script: Script, said: str, calls: int) -> None:
    with serving(script) as server:
        [error] = ask(judge(server, tmp_path, timeout_seconds=1.0), "one")
        assert isinstance(error, UnscorableError), error
        assert said in str(error)
        assert len(server.orders) == calls
        ask(judge(server, tmp_path, timeout_seconds=1.0), "one")
        assert len(server.orders) == 2 * calls, "and is not remembered"


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_call_that_can_never_work_ends_the_run(tmp_path: Path, status: int) -> None:
    with serving(lambda number, order: (status, {"error": {"message": "no such model"}})) as server:
        [error] = ask(judge(server, tmp_path), "one")
    assert isinstance(error, RewardError)
    assert "refused the call" in str(error)
    assert "no such model" in str(error)


def test_the_budget_is_never_passed(tmp_path: Path) -> None:
    with serving(lambda number, order: GOOD) as server:
        asked = judge(server, tmp_path, max_calls=3)
        found = ask(asked, *map(str, range(10)))
        assert len(server.orders) == 3
        errors = [error for error in found if isinstance(error, Exception)]
        assert len(errors) == 7
        assert all(isinstance(error, RewardError) for error in errors)
        assert "3 of 3 calls are used, and the next call may take 1. Raise max_calls" in str(errors[0])
        assert asked.spent().calls == 3
        again = ask(judge(server, tmp_path, max_calls=3), "new")
        assert isinstance(again[0], RewardError), "a resumed run has spent it already"


@pytest.mark.parametrize(("name", "limit"), [("tokens", 3000), ("money", 0.003)])
def test_the_worst_case_is_reserved_before_the_call(tmp_path: Path, name: str, limit: float) -> None:
    """Each call may write 1,000 tokens; answers are far shorter, and that is known afterwards."""
    with serving(lambda number, order: GOOD) as server:
        settings = {f"max_{name}": limit, "max_output_tokens": 1000, "price": (1.0, 1.0), "concurrency": 1}
        asked = judge(server, tmp_path, **settings)
        found = ask(asked, *map(str, range(100)))
        worst = 1000 + 200
        assert len(server.orders) > limit * (1 if name == "tokens" else 1e6) / worst, (
            "the unused is given back"
        )
        assert any(isinstance(error, RewardError) for error in found)
        assert getattr(asked.spent(), name) <= limit
        assert all(order["max_completion_tokens"] == 1000 for order in server.orders)


def test_an_endpoint_that_fails_in_a_row_is_left_alone_for_a_while(tmp_path: Path) -> None:
    with serving(lambda number, order: (500, {}) if number <= 3 else GOOD) as server:
        settings: dict[str, Any] = {"tries": 1, "breaks_after": 3, "concurrency": 1}
        found = ask(judge(server, tmp_path, rests_seconds=60.0, **settings), *map(str, range(6)))
        assert len(server.orders) == 3
        assert "left alone" in str(found[-1])
        found = ask(judge(server, tmp_path, rests_seconds=1e-9, **settings), *map(str, range(6)))
        assert found[-1] == {"steps": [], "result": 0.5}, "it is tried again"


def test_no_more_calls_at_a_time_than_asked_for(tmp_path: Path) -> None:
    under_way, most = [0], [0]

    def count(number: int, order: dict[str, Any]) -> Any:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        asyncio.run(asyncio.sleep(0.05))
        under_way[0] -= 1
        return GOOD

    with serving(count) as server:
        ask(judge(server, tmp_path, concurrency=2), *map(str, range(8)))
    assert most[0] == 2


def test_thirty_percent_faults_leave_no_guess(tmp_path: Path) -> None:
    faults = [(429, {}), (500, {}), (200, b"\\x00"), "garbage", (200, completion(None, refusal="no")), 1.5]

    def script(number: int, order: dict[str, Any]) -> Any:
        return faults[number % len(faults)] if number % 10 in (1, 4, 7) else GOOD

    with serving(script) as server:
        asked = judge(server, tmp_path, timeout_seconds=1.0, max_calls=200, breaks_after=100)
        found = ask(asked, *map(str, range(60)))
        assert asked.spent().calls <= len(server.orders)
    good = [answer for answer in found if answer == {"steps": [], "result": 0.5}]
    lost = [error for error in found if isinstance(error, UnscorableError)]
    assert len(good) + len(lost) == 60
    assert len(good) >= 40
    assert lost


def test_what_cannot_be_a_judge_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_money needs its price"):
        Judge(max_money=1.0)
    with pytest.raises(ConfigError, match="tries is 0"):
        Judge(tries=0)
    [error] = ask(Judge(), "one")
    assert isinstance(error, ConfigError)
    assert "no model" in str(error)


def took(read: Any, written: Any) -> dict[str, Any]:
    """A good answer that says what it took."""
    return completion(GOOD) | {"usage": {"prompt_tokens": read, "completion_tokens": written}}


@pytest.mark.parametrize(("name", "limit"), [("tokens", 3000), ("money", 0.003)])
def test_an_endpoint_that_writes_more_than_it_may_ends_the_run_at_once(
    tmp_path: Path, name: str, limit: float
) -> None:
    with serving(lambda number, order: (200, took(20, 5000))) as server:
        settings = {f"max_{name}": limit, "max_output_tokens": 100, "price": (1.0, 1.0)}
        asked = judge(server, tmp_path, **settings)
        found = ask(asked, *map(str, range(8)))
        assert len(server.orders) == 1, "until one answer has kept to its limit, they are asked one by one"
        assert all(isinstance(error, RewardError) for error in found)
        assert "does not keep to max_completion_tokens" in str(found[0])
        assert asked.spent().tokens == 5020, "what it took is booked"


def test_an_endpoint_that_begins_to_write_more_is_stopped_with_the_calls_under_way(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=20)

    def script(number: int, order: dict[str, Any]) -> Any:
        if number == 1:
            return 200, took(20, 10)
        both.wait()
        return 200, took(20, 5000)

    with serving(script) as server:
        asked = judge(server, tmp_path, max_tokens=100_000, max_output_tokens=100, concurrency=2)
        found = ask(asked, *map(str, range(9)))
        assert len(server.orders) == 3, "the honest one, and the two that were under way"
        assert [isinstance(error, RewardError) for error in found] == [False] + [True] * 8
        assert asked.spent().tokens == 30 + 2 * 5020


def test_where_nothing_says_what_a_call_took_there_is_one_at_a_time(tmp_path: Path) -> None:
    def silent(number: int, order: dict[str, Any]) -> Any:
        now[0] += 1
        most[0] = max(most[0], now[0])
        asyncio.run(asyncio.sleep(0.05))
        now[0] -= 1
        return 200, took(None, None)

    for settings, expected in (({"max_tokens": 100_000, "max_output_tokens": 100}, 1), ({"max_calls": 9}, 2)):
        now, most = [0], [0]
        with serving(silent) as server:
            folder = tmp_path / str(expected)
            folder.mkdir()
            ask(judge(server, folder, concurrency=2, **settings), *map(str, range(4)))
        assert most[0] == expected


@pytest.mark.parametrize("usage", [(-1_000_000, 5), (None, None), ("20", 5), (True, 1.5)])
def test_odd_usage_is_the_worst_case(tmp_path: Path, usage: tuple[Any, Any]) -> None:
    with serving(lambda number, order: (200, took(*usage))) as server:
        asked = judge(server, tmp_path, max_tokens=10_000, max_output_tokens=100)
        ask(asked, "one")
        assert asked.spent().tokens >= 100


def test_a_text_that_the_endpoint_refuses_is_unscored(tmp_path: Path) -> None:
    refusal = (400, {"error": {"message": "management policy", "code": "content_filter"}})
    nameless = (400, {"error": {"message": "no"}})

    def script(number: int, order: dict[str, Any]) -> Any:
        return {"bad": refusal, "odd": nameless}.get(order["messages"][0]["content"], GOOD)

    with serving(script) as server:
        found = ask(judge(server, tmp_path, concurrency=1), "bad", "fine", "odd", "good")
    assert [isinstance(error, UnscorableError) for error in found] == [True, False, True, False]


def test_a_reply_in_drops_ends_at_its_limit(tmp_path: Path) -> None:
    with serving(lambda number, order: Drip(0.05)) as server:
        [error] = ask(judge(server, tmp_path, timeout_seconds=0.5), "one")
        assert "TimeoutError" in str(error)


def test_equal_questions_at_the_same_time_are_one(tmp_path: Path) -> None:
    with serving(lambda number, order: json.dumps({"steps": [], "result": number / 10})) as server:
        found = ask(judge(server, tmp_path), *["one"] * 8)
        assert found == [{"steps": [], "result": 0.1}] * 8
        assert len(server.orders) == 1


def test_what_no_reader_takes_is_asked_again(tmp_path: Path) -> None:
    answers = ['{"result": null}', '{"result": 1' + "0" * 400 + "}", "[" * 5000, GOOD]
    with serving(lambda number, order: answers[number - 1]) as server:
        asked = judge(server, tmp_path)
        found = [ask(asked, "one")[0] for _ in answers]
    assert [isinstance(one, UnscorableError) for one in found] == [True, True, True, False]


ODD = [{"choices": [{"message": None}]}, {"choices": None}, {"choices": 3}, [], "x", {"usage": {}}, {}]


@pytest.mark.parametrize("body", ODD)
def test_odd_replies_are_unscored(tmp_path: Path, body: Any) -> None:
    with serving(lambda number, order: (200, body)) as server:
        [error] = ask(judge(server, tmp_path), "one")
    assert isinstance(error, UnscorableError), error


def test_a_lone_surrogate_is_unscored(tmp_path: Path) -> None:
    with serving(lambda number, order: GOOD) as server:
        [error] = ask(judge(server, tmp_path), "\ud83d")
    assert isinstance(error, UnscorableError)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_money": float("nan"), "price": (1, 1)},
        {"price": (-1, 2)},
        {"price": (1,)},
        {"max_calls": -1},
        {"max_calls": 1.5},
        {"concurrency": 2.5},
        {"timeout_seconds": float("inf")},
    ],
)
def test_numbers_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"a judge's {next(iter(settings))} is"):
        Judge(model="m", **settings)


def test_only_sampling_parameters_reach_the_endpoint(tmp_path: Path) -> None:
    with serving(lambda number, order: GOOD) as server:
        asked = judge(server, tmp_path)
        with pytest.raises(ConfigError, match="takes no messages, n"):
            asyncio.run(asked.ask([], SCHEMA, {"n": 50, "messages": []}, read=given))
        assert server.orders == []


def test_a_ledger_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    with serving(lambda number, order: GOOD) as server:
        asked = judge(server, tmp_path)
        (tmp_path / "judge.sqlite").write_bytes(b"no database" * 100)
        [error] = ask(asked, "one")
    assert isinstance(error, RewardError)
    assert "judge.sqlite cannot be used" in str(error)
