"""Grader files of public shape give the documented grades; what cannot be graded is never a guess."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judge_server import serving

from stateset.rl.config.load import make_config
from stateset.rl.errors import ConfigError, RewardError, SandboxError
from stateset.rl.rewards.failure import UnscorableError
from stateset.rl.rewards.judge import Judge
from stateset.rl.rewards.openai_graders import OpenAIGrader, openai_grader
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rewards.similarity import similarity
from stateset.rl.rewards.template import MissingValueError, Template
from stateset.rl.types import Rollout, RolloutGroup, Score, Task

FILES = Path(__file__).parent / "graders"


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FILES / f"{name}.json").read_text())
    return found


def grade(grader: OpenAIGrader, response: str, **item: Any) -> Score:
    score = grader.compute("", response, {"messages": [], **item})
    return asyncio.run(score) if inspect.iscoroutine(score) else score


def check(operation: str, text: str, reference: str) -> float | None:
    config = {
        "type": "string_check",
        "name": "c",
        "operation": operation,
        "input": text,
        "reference": reference,
    }
    return grade(openai_grader(config), "the answer", want="Answer").total


@pytest.mark.parametrize(
    ("operation", "reference", "expected"),
    [
        ("eq", "the answer", 1), ("eq", "The answer", 0), ("eq", "answer", 0),
        ("ne", "the answer", 0), ("neq", "answer", 1),
        ("like", "answer", 1), ("like", "Answer", 0),
        ("ilike", "Answer", 1), ("ilike", "{{ item.want }}", 1), ("ilike", "no", 0),
    ],
)  # fmt: skip
def test_string_checks(operation: str, reference: str, expected: float) -> None:
    assert check(operation, "{{ sample.output_text }}", reference) == expected


def test_name_and_email() -> None:
    grader = openai_grader(load("multi_name_email"))
    row = {"name": "John Doe", "email": "john.doe@gmail.com"}
    right = grade(grader, json.dumps(row), **row)
    assert (right.total, right.parts) == (1.0, {"name": 1.0, "email": 1.0})
    typing_error = grade(grader, json.dumps(row | {"name": "Jon Doe"}), **row)
    assert typing_error.total == pytest.approx((1 + 2 * 7 / 15) / 2), "seven of eight letters stand in both"
    other = grade(grader, json.dumps(row | {"email": "john@gmail.com"}), **row)
    assert other.total == 0.5


@pytest.mark.parametrize(
    "response", ["John Doe, john.doe@gmail.com", '{"name": "John Doe"}', "[1]", "[" * 5000]
)
def test_what_the_response_lacks_is_its_fault(response: str) -> None:
    score = grade(
        openai_grader(load("multi_name_email")), response, name="John Doe", email="john.doe@gmail.com"
    )
    assert (score.total, score.parts) == (0.0, {"name": 0.0, "email": 0.0}), "the parts as they count"
    assert "the response lacks a value: there is no sample.output_json" in score.reason


@pytest.mark.parametrize("formula", ["1 - bad", "1 / bad", "abs(bad - 1)"])
def test_a_response_that_lacks_what_a_penalty_reads_earns_nothing(formula: str) -> None:
    bad = {
        "type": "string_check", "name": "bad", "operation": "eq",
        "input": "{{sample.output_json.flag}}", "reference": "bad",
    }  # fmt: skip
    grader = openai_grader({"type": "multi", "graders": {"bad": bad}, "calculate_output": formula})
    score = grade(grader, "garbage")
    assert (score.total, score.parts) == (0.0, {"bad": 0.0})
    assert "the response lacks a value: there is no sample.output_json.flag" in score.reason
    if "/" not in formula:
        assert grade(grader, '{"flag": "good"}').total == 1.0


def test_a_response_without_a_tool_call() -> None:
    assert grade(openai_grader(load("multi_tool_call")), "get_acceptors", smiles="CC").total == 0.0


def test_what_the_row_lacks_is_not_the_responses_fault() -> None:
    with pytest.raises(UnscorableError, match=r"the row lacks a value: there is no item\.reference_answer"):
        grade(openai_grader(load("string_check")), "Paris")
    zero = grade(openai_grader(load("string_check"), on_error="zero"), "Paris")
    assert zero.total == 0.0
    assert "the row lacks" in zero.reason


def test_imported_rows_keep_their_columns_under_item() -> None:
    grader = openai_grader(load("string_check"))
    assert (
        grader.compute("", "It is Paris.", {"messages": [], "item": {"reference_answer": "paris"}}).total
        == 1.0
    )


def wratio(sample: dict[str, Any], item: dict[str, Any]) -> float:
    from rapidfuzz import fuzz, utils

    found = fuzz.WRatio(sample["output_text"], item["reference_answer"], processor=utils.default_process)
    return float(found) / 100


def test_a_python_grader_is_a_function_of_yours() -> None:
    with pytest.raises(ConfigError, match="a function in a module of yours"):
        openai_grader(load("python_fuzzy"))
    grader = openai_grader(load("python_fuzzy"), functions={"fuzzy": wratio})
    row = {"reference_answer": "fuzzy wuzzy had no hair"}
    similar = {
        "type": "text_similarity", "name": "t", "evaluation_metric": "fuzzy_match",
        "input": "{{sample.output_text}}", "reference": "{{item.reference_answer}}",
    }  # fmt: skip
    text = "fuzzy wuzzy was a bear"
    assert grade(grader, text, **row).total == grade(openai_grader(similar), text, **row).total
    assert grade(grader, text, **row).total == pytest.approx(34 / 45), "17 letters in order, of 22 and 23"


@pytest.mark.parametrize("result", [None, "0.5", True, float("nan"), [1.0]])
def test_a_python_grader_that_returns_no_number(result: Any) -> None:
    functions = {"fuzzy": lambda sample, item: result}
    with pytest.raises(UnscorableError, match="no number"):
        grade(openai_grader(load("python_fuzzy"), functions=functions), "x")
    assert grade(openai_grader(load("python_fuzzy"), functions=functions, on_error="zero"), "x").total == 0.0


def test_a_python_grader_that_raises_is_zero_only_where_asked_for() -> None:
    with pytest.raises(KeyError):
        grade(openai_grader(load("python_fuzzy"), functions={"fuzzy": wratio}), "x")
    zero = grade(openai_grader(load("python_fuzzy"), functions={"fuzzy": wratio}, on_error="zero"), "x")
    assert zero.total == 0.0
    assert "KeyError: 'reference_answer'" in zero.reason


def test_a_python_grader_may_return_what_numpy_counts_with() -> None:
    for result in (np.float32(0.5), np.float64(0.5), np.int64(1)):
        grader = openai_grader(
            load("python_fuzzy"), functions={"fuzzy": lambda sample, item, result=result: result}
        )
        assert grade(grader, "x").total == result


def overwrites(sample: dict[str, Any], item: dict[str, Any]) -> float:
    sample["output_text"] = item["answer"] = "right"
    return 1.0


def test_a_python_grader_cannot_change_what_the_next_one_reads() -> None:
    equal = {
        "type": "string_check", "name": "s", "operation": "eq",
        "input": "{{sample.output_text}} {{item.answer}}", "reference": "right right",
    }  # fmt: skip
    graders = {"p": {"type": "python", "name": "p", "source": ""}, "s": equal}
    grader = openai_grader(
        {"type": "multi", "graders": graders, "calculate_output": "s"}, functions={"p": overwrites}
    )
    assert grade(grader, "wrong", answer="wrong").total == 0.0


def without_a_sandbox(sample: Any, item: Any) -> float:
    raise SandboxError("no sandbox here")


def test_what_is_no_graders_doing_is_never_a_zero(tmp_path: Path) -> None:
    def asking(**settings: Any) -> OpenAIGrader:
        down: dict[str, Any] = {"base_url": "http://127.0.0.1:9/v1", "api_key": "k", "tries": 1}
        judge = Judge(**down | {"ledger": tmp_path / "j.sqlite", **settings})
        return openai_grader(load("score_model"), judge=judge, on_error="zero")

    fuzzy = openai_grader(load("python_fuzzy"), functions={"fuzzy": without_a_sandbox}, on_error="zero")
    expected: list[tuple[OpenAIGrader, type[Exception], str]] = [
        (asking(max_tokens=1), RewardError, "budget is spent"),
        (asking(ledger=tmp_path / "none" / "j.sqlite"), RewardError, "ledger"),
        (asking(), UnscorableError, "endpoint did not answer"),
        (asking(breaks_after=1), UnscorableError, "endpoint did not answer"),
        (fuzzy, SandboxError, "no sandbox"),
    ]
    for grader, kind, said in expected:
        with pytest.raises(kind, match=said):
            grade(grader, "0.9", reference_answer=1.0)


def answer(result: Any) -> str:
    return json.dumps({"steps": [{"description": "d", "conclusion": "c"}], "result": result})


@pytest.mark.parametrize(("result", "expected"), [(0.5, 0.5), (7, 1.0), (-1.0, 0.0)])
def test_a_score_model_is_asked_with_the_texts_filled_in(
    tmp_path: Path, result: float, expected: float
) -> None:
    with serving(lambda number, order: answer(result)) as server:
        judge = Judge(base_url=server.url, api_key="k", ledger=tmp_path / "j.sqlite")
        score = grade(openai_grader(load("score_model"), judge=judge), "0.9", reference_answer=1.0)
        [order] = server.orders
    assert score.total == expected, "clipped to the range"
    assert order["messages"][1] == {"role": "user", "content": "Reference: 1.0. Model answer: 0.9"}
    assert order["model"] == "o4-mini-2025-04-16"
    assert (order["max_completion_tokens"], order["top_p"], order["reasoning_effort"]) == (32768, 1, "medium")
    form = order["response_format"]["json_schema"]["schema"]["properties"]
    assert form["result"] == {"type": "number"}
    assert list(form) == ["steps", "result"], "it thinks first"


@pytest.mark.parametrize("text", [answer("0.5"), answer(None), "{}", "0.5"])
def test_a_model_that_gives_no_number_leaves_the_response_unscored(tmp_path: Path, text: str) -> None:
    with serving(lambda number, order: text) as server:
        judge = Judge(base_url=server.url, api_key="k", ledger=tmp_path / "j.sqlite")
        with pytest.raises(UnscorableError):
            grade(openai_grader(load("score_model"), judge=judge), "0.9", reference_answer=1.0)
        zero = openai_grader(load("score_model"), judge=judge, on_error="zero")
        assert grade(zero, "0.9", reference_answer=1.0).total == 0.0


@pytest.mark.parametrize(("label", "expected"), [("friendly", 1.0), ("rude", 0.0)])
def test_a_label_model(tmp_path: Path, label: str, expected: float) -> None:
    with serving(lambda number, order: answer(label)) as server:
        judge = Judge(base_url=server.url, api_key="k", ledger=tmp_path / "j.sqlite")
        assert grade(openai_grader(load("label_model"), judge=judge), "Hello!").total == expected
        [order] = server.orders
    assert order["messages"][1]["content"] == "Hello!"
    form = order["response_format"]["json_schema"]["schema"]["properties"]["result"]
    assert form == {"type": "string", "enum": ["friendly", "neutral", "rude"]}


def expected_score(sample: Any, item: Any) -> float:
    return int(item["expected_judge_score"])


def test_a_model_and_a_function_in_one_formula(tmp_path: Path) -> None:
    with serving(lambda number, order: answer(70)) as server:
        judge = Judge(base_url=server.url, api_key="k", ledger=tmp_path / "j.sqlite")
        grader = openai_grader(
            load("multi_judge_and_reference"), functions={"expected_score": expected_score}, judge=judge
        )
        score = grade(grader, "An essay.", expected_judge_score="85")
    assert score.total == pytest.approx(0.85)
    assert score.parts == {"actual_score": 70.0, "expected_score": 85.0}


def test_a_model_never_lifts_what_the_verifier_called_wrong(tmp_path: Path) -> None:
    with serving(lambda number, order: answer(1)) as server:
        judge = Judge(base_url=server.url, api_key="k", ledger=tmp_path / "j.sqlite")
        alone = openai_grader(load("score_model"), judge=judge)
        functions = {"expected_score": expected_score}
        several = openai_grader(load("multi_judge_and_reference"), functions=functions, judge=judge)
        for grader, parts in [(alone, {}), (several, {"actual_score": 0.0, "expected_score": 0.0})]:
            wrong = grade(grader, "0.9", verified=False, item={})
            assert wrong == Score(total=0.0, parts=parts, reason="the verifier said wrong")
        assert not server.orders
        assert grade(alone, "0.9", verified=True, item={"reference_answer": 1.0}).total == 1.0


def fails(sample: Any, item: Any) -> float:
    raise ValueError("no grade")


def test_a_zero_for_an_error_has_every_part() -> None:
    """gdpo adds the parts up: a part that was graded before the error does not count either."""
    graders = {
        "right": {"type": "string_check", "name": "right", "operation": "like",
                  "input": "{{sample.output_text}}", "reference": "42"},
        "broken": {"type": "python", "name": "broken", "source": ""},
    }  # fmt: skip
    config = {"type": "multi", "graders": graders, "calculate_output": "right + broken"}
    score = grade(openai_grader(config, functions={"broken": fails}, on_error="zero"), "42")
    assert (score.total, score.parts) == (0.0, {"right": 0.0, "broken": 0.0})


def answered(task: Task, responses: list[str]) -> list[RolloutGroup]:
    rest: dict[str, Any] = {"token_ids": (1,), "loss_mask": (1,), "sampler_logprobs": (0.0,)}
    rollouts = (Rollout(sample=i, text=text, stop_reason="stop", **rest) for i, text in enumerate(responses))
    return [RolloutGroup(task=task, prompt_ids=(1,), rollouts=tuple(rollouts))]


def test_they_travel_to_a_worker_process(tmp_path: Path) -> None:
    task = Task(id="t", prompt="Where?", context={"reference_answer": "Paris", "expected_judge_score": 50})
    grader = openai_grader(load("string_check"))
    assert pickle.loads(pickle.dumps(grader)).compute("", "paris", {"reference_answer": "Paris"}).total == 1.0
    with RewardScorer(grader) as scorer:
        assert scorer.notice is None
        [scored] = scorer.score(answered(task, ["It is paris.", "Rome"]))
    assert [score.total for score in scored.scores] == [1.0, 0.0]
    with serving(lambda number, order: answer(40)) as server:
        judge = Judge(base_url=server.url, api_key="k", ledger=tmp_path / "j.sqlite")
        functions = {"expected_score": expected_score}
        grader = openai_grader(load("multi_judge_and_reference"), functions=functions, judge=judge)
        with RewardScorer(grader) as scorer:
            [scored] = scorer.score(answered(task, ["one", "two", "two"]))
    assert [score.total for score in scored.scores] == [0.9] * 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "regex"}, "grader.type is 'regex': it is one of string_check"),
        ({"operation": "contains"}, "grader.operation is 'contains'"),
        ({"input": None}, "grader.input is None: .* has a text there"),
        ({"reference": "{{ row.x }}"}, "is no path: write"),
        ({"reference": "{{ item.x | upper }}"}, "is no path"),
        ({"type": "multi"}, "grader.graders is missing"),
        (
            {"type": "multi", "graders": {"a": {"type": "multi"}}, "calculate_output": "a"},
            "cannot hold another",
        ),
        ({"type": "multi", "graders": {"a": 3}, "calculate_output": "a"}, "graders.a is no JSON object"),
        ({"type": "score_model", "model": "m", "input": []}, "give a judge"),
        ({"type": "text_similarity", "evaluation_metric": "cosine"}, "never part of fine-tuning"),
        ({"type": "text_similarity", "evaluation_metric": "levenshtein"}, "there is no metric"),
    ],
)
def test_malformed_graders_say_where(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        openai_grader(load("string_check") | change)


def test_a_grader_is_an_object() -> None:
    with pytest.raises(ConfigError, match="the grader is no JSON object"):
        openai_grader([])  # type: ignore[arg-type]


def test_a_silent_endpoint_is_noticed_before_the_reward_is_given_up() -> None:
    assert Judge(model="m").timeout_seconds < make_config({}).reward_timeout_seconds


@pytest.mark.parametrize("tokens", [-100_000, 0, "9", 1.5, True])
def test_a_limit_of_tokens_is_a_whole_number(tokens: Any, tmp_path: Path) -> None:
    given = load("score_model") | {"sampling_params": {"max_completions_tokens": tokens}}
    with pytest.raises(ConfigError, match=r"max_completions_tokens is .*whole number above 0"):
        openai_grader(given, judge=Judge(ledger=tmp_path / "j.sqlite"))


def test_a_message_may_come_in_parts(tmp_path: Path) -> None:
    parts = [
        {"type": "input_text", "text": "Reference: {{ item.reference_answer }}. "},
        "Answer: {{sample.output_text}}",
    ]
    with serving(lambda number, order: answer(1.0)) as server:
        judge = Judge(base_url=server.url, api_key="k", ledger=tmp_path / "j.sqlite")
        given = load("score_model") | {"input": [{"role": "user", "content": parts}]}
        grade(openai_grader(given, judge=judge), "0.9", reference_answer=1.0)
        [order] = server.orders
    assert order["messages"] == [{"role": "user", "content": "Reference: 1.0. Answer: 0.9"}]


@pytest.mark.parametrize("change", [{"labels": ["a", {}]}, {"labels": [["a"]]}, {"passing_labels": [3]}])
def test_labels_are_texts(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has a label that is no text"):
        openai_grader(load("label_model") | change, judge=Judge(ledger=tmp_path / "j.sqlite"))


def test_templates() -> None:
    values = {"item": {"a": [{"b c": "x"}], "n": 1.5, "ß": "s"}, "sample": {"output_text": "{{ item.n }}"}}
    assert Template("{{item.a[0]['b c']}} {{ item.n }} {{item.a}}").fill(values) == 'x 1.5 [{"b c": "x"}]'
    assert Template("{{ sample.output_text }}").fill(values) == "{{ item.n }}", (
        "filled once: a response is data"
    )
    assert Template("{ item.n } {{item.ß}}").fill(values) == "{ item.n } s"
    for path in ("item.a[1]", "item.n.x", "item.a.b", "item.__class__", "sample.output_json.name"):
        with pytest.raises(MissingValueError, match="there is no"):
            Template("{{" + path + "}}").fill(values)


@pytest.mark.parametrize(
    "metric", ["fuzzy_match", "bleu", "gleu", *(f"rouge_{n}" for n in (1, 2, 3, 4, 5, "l"))]
)
def test_similarities_lie_between_nothing_and_all(metric: str) -> None:
    measure = similarity(metric)
    text = "the order was refunded to your card"
    assert measure(text, text) == pytest.approx(1.0)
    assert measure("", text) == measure("xyz", "") == 0.0
    near = measure("the order was refunded to your bank", text)
    assert 0.0 < near < 1.0
    assert near > measure("a parcel arrived", text)


def test_rouge_is_worked_out_by_hand() -> None:
    assert similarity("rouge_1")("a b c", "a b d e") == pytest.approx(2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))
    assert similarity("rouge_l")("a x b", "a b c") == pytest.approx(2 / 3), "a, b in order, of three each"
    assert similarity("gleu")("a b", "a b c") == pytest.approx(3 / 6), "a, b, ab of the reference's six"
