"""OpenAI's grader JSON as a reward, with the published semantics but for errors.

`string_check`, `text_similarity`, `score_model`, `label_model`, `python` and `multi`. What the *response*
lacks (it is no JSON, a field or a tool call is missing) makes it wrong: 0, whatever a formula would make of
the other parts, since a missing part may be a penalty. What the grader or the row lacks,
or a model that refuses or answers nonsense, leaves it unscored; `on_error="zero"` makes that a 0, as there.
An endpoint that does not answer leaves it unscored all the same; a spent budget, a ledger, sandbox or package
that is not there and a wrong setting end the run.
The source of a `python` grader is code of yours: it stands in a module beside the reward, never in a string.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from stateset.rl.errors import ConfigError
from stateset.rl.rewards.failure import ENDS_THE_RUN, NoAnswerError, UnscorableError, describe_failure
from stateset.rl.rewards.formula import Formula
from stateset.rl.rewards.judge import SAMPLING, Judge, number_of
from stateset.rl.rewards.result import plain_number
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.rewards.similarity import similarity
from stateset.rl.rewards.template import MissingValueError, Template
from stateset.rl.types import Score

Values = Mapping[str, Any]  # `item` and `sample`
Grade = Callable[[Values], Awaitable[float]]
OnError = Literal["unscorable", "zero"]


def openai_grader(
    grader: Mapping[str, Any],
    *,
    functions: Mapping[str, Callable[[Any, Any], float]] | None = None,
    judge: Judge | None = None,
    on_error: OnError = "unscorable",
) -> OpenAIGrader:
    """A reward from a grader as OpenAI's fine-tuning jobs have it.

    `item` is the row's columns, or where there is a column `item` (as `stateset-rl import` writes it), what
    lies in it. `sample` has `output_text`, `output_json` (where the response is JSON) and `choices`.

    Args:
        grader: the JSON object.
        functions: for each `python` grader, by its name (in a `multi`, its key), its function
            `grade(sample, item)`.
        judge: asks the models of `score_model` and `label_model` graders.
        on_error: what a response counts that the grader cannot score.

    Raises:
        ConfigError: the grader is malformed, or needs a function or a judge that is not given; says where.
        MissingExtraError: a metric's package is not installed.
    """
    grader = _mapping(grader, "the grader")
    kind = _ModelGrader if _asks_models(grader) else OpenAIGrader
    return kind(grader, functions or {}, judge, on_error)


class OpenAIGrader(RewardFunction):
    """See `openai_grader`. The parts of a `multi` grader's score are its graders' grades."""

    def __init__(
        self,
        grader: Mapping[str, Any],
        functions: Mapping[str, Callable[[Any, Any], float]],
        judge: Judge | None,
        on_error: OnError,
    ) -> None:
        self._given = grader, functions, judge, on_error
        self._on_error = on_error
        self.concurrency = judge.concurrency if judge is not None else None
        if _field(grader, "type", str, "grader") != "multi":
            self._grades = {"grade": _build(grader, "grader", str(grader.get("name", "")), functions, judge)}
            self._formula = None
            return
        inside = _field(grader, "graders", Mapping, "grader")
        self._grades = {
            key: _build(_mapping(one, f"graders.{key}"), f"graders.{key}", key, functions, judge)
            for key, one in inside.items()
        }
        self._formula = Formula(_field(grader, "calculate_output", str, "grader"), self._grades.keys())

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to a worker process as what it was made of."""
        return type(self), self._given

    def compute(self, prompt: str, response: str, context: Mapping[str, Any]) -> Any:
        """Grade one response."""
        grading = self._graded(response, context)
        try:
            grading.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("only models are waited for")

    async def _graded(self, response: str, context: Mapping[str, Any]) -> Score:
        values = {"item": _item(context), "sample": _sample(response)}
        parts: dict[str, float] = {}
        try:
            for key, grade in self._grades.items():
                try:
                    parts[key] = await grade(values)
                except MissingValueError as error:
                    if error.namespace == "item":
                        raise UnscorableError(f"the row lacks a value: {error}") from error
                    return self._zero(f"the response lacks a value: {error}")
            total = self._total(parts)
        except (*ENDS_THE_RUN, NoAnswerError):  # no grader's doing
            raise
        except Exception as error:  # a grader's function may raise anything
            if self._on_error == "unscorable":
                raise
            return self._zero(describe_failure(error))
        return Score(total=total, parts={} if self._formula is None else parts)

    def _zero(self, reason: str) -> Score:
        """Nothing counts, no part either: gdpo adds the parts up."""
        parts = {} if self._formula is None else dict.fromkeys(self._grades, 0.0)
        return Score(total=0.0, parts=parts, reason=reason)

    def _total(self, parts: Mapping[str, float]) -> float:
        if self._formula is None:
            return parts["grade"]
        try:
            return self._formula(parts)
        except (ArithmeticError, ValueError) as error:
            raise UnscorableError(f"{self._formula.text} with {dict(parts)}: {error}") from error


class _ModelGrader(OpenAIGrader):
    async def compute(  # type: ignore[override]
        self, prompt: str, response: str, context: Mapping[str, Any]
    ) -> Score:
        """Grade one response; what the row's verifier called wrong is 0, and no model is asked."""
        if context.get("verified") is False:
            return self._zero("the verifier said wrong")
        return await self._graded(response, context)


def _asks_models(grader: Mapping[str, Any]) -> bool:
    inside = grader.get("graders")
    every = [grader, *(inside.values() if isinstance(inside, Mapping) else ())]
    return any(isinstance(one, Mapping) and str(one.get("type")) in _MODEL_GRADERS for one in every)


def _item(context: Mapping[str, Any]) -> Mapping[str, Any]:
    item = context.get("item")
    return item if isinstance(item, Mapping) else context


def _sample(response: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": response}
    found: dict[str, Any] = {
        "output_text": response, "output_tools": [], "choices": [{"index": 0, "message": message}],
    }  # fmt: skip
    try:
        found["output_json"] = json.loads(response)
    except (ValueError, RecursionError):
        return found
    return found


def _build(
    grader: Mapping[str, Any],
    where: str,
    key: str,
    functions: Mapping[str, Callable[[Any, Any], float]],
    judge: Judge | None,
) -> Grade:
    kind = _field(grader, "type", str, where)
    if kind == "python":
        if key not in functions:
            raise ConfigError(
                f"{where}: a python grader's source is a function in a module of yours: give it with "
                f"functions={{{key!r}: grade}} (`stateset-rl import openai-rft` writes that module)"
            )
        return _python(functions[key])
    if kind in _MODEL_GRADERS:
        if judge is None:
            raise ConfigError(f"{where}: a {kind} grader asks a model: give a judge with judge=")
        return _MODEL_GRADERS[kind](grader, where, judge)
    if kind in _TEXT_GRADERS:
        return _TEXT_GRADERS[kind](grader, where)
    if kind == "multi":
        raise ConfigError(f"{where}: a multi grader cannot hold another")
    known = ", ".join((*_TEXT_GRADERS, *_MODEL_GRADERS, "python", "multi"))
    raise ConfigError(f"{where}.type is {kind!r}: it is one of {known}")


def _string_check(grader: Mapping[str, Any], where: str) -> Grade:
    operation = _field(grader, "operation", str, where)
    check = _CHECKS.get(operation)
    if check is None:
        raise ConfigError(f"{where}.operation is {operation!r}: it is one of eq, ne, like, ilike")
    text, reference = (_template(grader, name, where) for name in ("input", "reference"))

    async def grade(values: Values) -> float:
        return float(check(text.fill(values), reference.fill(values)))

    return grade


def _text_similarity(grader: Mapping[str, Any], where: str) -> Grade:
    measure = similarity(_field(grader, "evaluation_metric", str, where))
    text, reference = (_template(grader, name, where) for name in ("input", "reference"))

    async def grade(values: Values) -> float:
        return measure(text.fill(values), reference.fill(values))

    return grade


def _score_model(grader: Mapping[str, Any], where: str, judge: Judge) -> Grade:
    limits = grader.get("range") or [0, 1]
    if not (isinstance(limits, Sequence) and len(limits) == 2 and all(map(_is_number, limits))):
        raise ConfigError(f"{where}.range is {limits!r}: give the lowest and the highest score")
    low, high = sorted(map(float, limits))
    ask = _asking(grader, where, judge, {"type": "number"}, number_of)

    async def grade(values: Values) -> float:
        return min(max(await ask(values), low), high)

    return grade


def _label_model(grader: Mapping[str, Any], where: str, judge: Judge) -> Grade:
    labels, passing = (_field(grader, name, list, where) for name in ("labels", "passing_labels"))
    if not all(isinstance(label, str) for label in [*labels, *passing]):
        raise ConfigError(f"{where}.labels or {where}.passing_labels has a label that is no text")
    if not set(passing) <= set(labels):
        raise ConfigError(f"{where}.passing_labels has labels that are not among `labels`")

    def read(answer: Mapping[str, Any]) -> float:
        label = answer.get("result")
        if label not in labels:
            raise UnscorableError(f"the model's label is {label!r}, none of {', '.join(map(str, labels))}")
        return float(label in passing)

    return _asking(grader, where, judge, {"type": "string", "enum": labels}, read)


def _asking(
    grader: Mapping[str, Any],
    where: str,
    judge: Judge,
    result: Mapping[str, Any],
    read: Callable[[Mapping[str, Any]], float],
) -> Grade:
    """Asks the judge with the grader's messages for reasoning steps and a `result`, in this order."""
    messages = [
        (_field(_mapping(one, f"{where}.input"), "role", str, f"{where}.input"), _content(one, where))
        for one in _field(grader, "input", list, where)
    ]
    sampling = _mapping(grader.get("sampling_params") or {}, f"{where}.sampling_params")
    if unknown := set(sampling) - set(SAMPLING):
        raise ConfigError(
            f"{where}.sampling_params has {', '.join(sorted(unknown))}: {', '.join(SAMPLING)} go"
        )
    most = sampling.get("max_completions_tokens")
    if most is not None and (type(most) is not int or most < 1):
        raise ConfigError(
            f"{where}.sampling_params.max_completions_tokens is {most!r}: give a whole number above 0"
        )
    settings = {"model": _field(grader, "model", str, where), **sampling}
    step = _object(description={"type": "string"}, conclusion={"type": "string"})
    schema = _object(steps={"type": "array", "items": step}, result=dict(result))

    async def ask(values: Values) -> float:
        filled = [{"role": role, "content": content.fill(values)} for role, content in messages]
        return await judge.ask(filled, schema, settings, read=read)

    return ask


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    required = list(properties)
    return {
        "type": "object", "properties": properties, "required": required, "additionalProperties": False,
    }  # fmt: skip


def _python(function: Callable[[Any, Any], float]) -> Grade:
    async def grade(values: Values) -> float:
        result = function(*copy.deepcopy((values["sample"], values["item"])))  # other graders read them, too
        number = None if isinstance(result, bool) else plain_number(result)
        if number is None or not math.isfinite(number):
            raise UnscorableError(f"the python grader returned {result!r}, no number")
        return number

    return grade


def _content(message: Mapping[str, Any], where: str) -> Template:
    """A text, or texts in parts, each as it is or under `text`."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    found = [text for text in texts if isinstance(text, str)]
    if not found or len(found) < len(texts):
        raise ConfigError(f"{where}.input has a message whose content is no text")
    return Template("".join(found))


def _template(grader: Mapping[str, Any], name: str, where: str) -> Template:
    return Template(_field(grader, name, str, where))


def _field(grader: Mapping[str, Any], name: str, kind: Any, where: str) -> Any:
    if not isinstance(grader.get(name), kind):
        wrong = f"is {grader[name]!r}" if name in grader else "is missing"
        raise ConfigError(f"{where}.{name} {wrong}: an OpenAI grader of this type has {_KINDS[kind]} there")
    return grader[name]


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} is no JSON object")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_KINDS: Mapping[Any, str] = {str: "a text", list: "a list", Mapping: "an object"}
_CHECKS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda text, reference: text == reference,
    "ne": lambda text, reference: text != reference,
    "neq": lambda text, reference: text != reference,
    "like": lambda text, reference: reference in text,
    "ilike": lambda text, reference: reference.casefold() in text.casefold(),
}
_TEXT_GRADERS = {"string_check": _string_check, "text_similarity": _text_similarity}
_MODEL_GRADERS = {"score_model": _score_model, "label_model": _label_model}
