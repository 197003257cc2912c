"""One row into one task, or the reason why not.

Columns: `prompt` (text or a list of messages), optional `id`, `answer`, `difficulty`, `context` (a mapping).
Every other column joins the context. An empty or NaN `id`, `answer` or `difficulty` counts as not given. No
text of a row may hold a NUL or half a surrogate pair, and nothing in it lies deeper than a copy can follow.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stateset.rl.errors import DataError
from stateset.rl.types import Message, Task

ROLES = ("system", "user", "assistant", "tool")
COLUMNS = ("id", "prompt", "answer", "difficulty", "context")
_DEPTH = 50  # of lists and mappings in a row
_PROMPT_LIKE = (
    "question",
    "query",
    "instruction",
    "input",
    "messages",
    "conversation",
    "ticket",
    "text",
    "body",
)


class Row(NamedTuple):
    """One row as it was read; `problem` says why it could not be."""

    value: Any
    where: str
    problem: str = ""


def task_from_row(row: Row) -> Task:
    """Check one row; a row that is a task already is returned as it is.

    Returns:
        The task; its `id` is empty where the row has none.

    Raises:
        DataError: the row cannot be used; the message names it and says why.
    """
    if row.problem:
        raise DataError(f"{row.where}: {row.problem}")
    if isinstance(row.value, Task):
        return row.value
    if not isinstance(row.value, Mapping) or not all(isinstance(name, str) for name in row.value):
        raise DataError(
            f"{row.where}: a row is a mapping from column names to values, not {type(row.value).__name__}."
        )
    check_texts(row, row.value)
    return Task(
        id=_label(row, "id") or "",
        prompt=_prompt(row),
        answer=_label(row, "answer"),
        difficulty=_label(row, "difficulty"),
        context=_context(row),
        source=row.where,
    )


def is_missing(value: Any) -> bool:
    """Whether a column holds nothing: None, an empty text, or a table's NaN."""
    return value is None or value == "" or (isinstance(value, float) and value != value)  # NaN from a table


def described(value: Any) -> str:
    """What a value is, for a message that others may read: no text, no long number."""
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < 1000):
        return repr(value)
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    return f"of type {type(value).__name__}"


def _label(row: Row, column: str) -> str | None:
    value = row.value.get(column)
    if is_missing(value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{row.where}: `{column}` must be text or a number, not {type(value).__name__}.")
    if isinstance(value, float) and math.isinf(value):
        raise DataError(f"{row.where}: `{column}` is {value}, which is no number; correct it.")
    return str(value)


def _context(row: Row) -> dict[str, Any]:
    given = row.value.get("context")
    given = {} if is_missing(given) else given
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise DataError(
            f"{row.where}: `context` must be a mapping with text keys, not {type(given).__name__}; "
            "other columns join the context by themselves."
        )
    columns = {name: value for name, value in row.value.items() if name not in COLUMNS}
    answer = _label(row, "answer")
    if answer is not None:
        columns["answer"] = answer
    for name in columns.keys() & given.keys():
        if columns[name] != given[name]:
            raise DataError(
                f"{row.where}: `{name}` is a column and differs in `context`: remove one of them."
            )
    return {**given, **columns}


def _prompt(row: Row) -> str | tuple[Message, ...]:
    if "prompt" not in row.value:
        raise DataError(_no_prompt(row))
    prompt = row.value["prompt"]
    if isinstance(prompt, str):
        if not prompt.strip():
            raise DataError(f"{row.where}: `prompt` is empty; give the text that the model answers.")
        return prompt
    if isinstance(prompt, Sequence) and not isinstance(prompt, bytes):
        return _messages(row, prompt)
    kind = type(prompt).__name__
    raise DataError(f"{row.where}: `prompt` must be text or a list of messages, not {kind}.")


def _no_prompt(row: Row) -> str:
    columns = list(row.value)
    near = difflib.get_close_matches("prompt", columns, 1) or [
        name for name in _PROMPT_LIKE if name in columns
    ]
    hint = f"rename `{near[0]}` to `prompt`" if near else "name the column with the question `prompt`"
    found = ", ".join(columns)[:200] or "none"
    return f"{row.where}: no `prompt`; {hint} (columns found: {found})."


def _messages(row: Row, prompt: Sequence[Any]) -> tuple[Message, ...]:
    messages = tuple(_message(row, index, message) for index, message in enumerate(prompt))
    if not any(message["role"] == "user" and message["content"].strip() for message in messages):
        raise DataError(f"{row.where}: `prompt` has no user message with text; give the one to be answered.")
    if messages[-1]["role"] == "assistant":
        raise DataError(
            f"{row.where}: `prompt` ends with an assistant message; move a gold answer into `answer`."
        )
    return messages


def _message(row: Row, index: int, message: Any) -> Message:
    name = f"prompt[{index}]"
    if not isinstance(message, Mapping):
        raise DataError(f"{row.where}: `{name}` must be a mapping with `role` and `content`.")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise DataError(f"{row.where}: `{name}` has an unknown role; use one of {', '.join(ROLES)}.")
    if not isinstance(content, str):
        raise DataError(f"{row.where}: `{name}` has content of type {type(content).__name__}; give text.")
    extra = [key for key, value in message.items() if key not in ("role", "content") and value is not None]
    if extra:
        raise DataError(
            f"{row.where}: `{name}` has unknown `{extra[0]:.60}`; a message is `role` and `content` only."
        )
    return Message(role=role, content=content)


def check_texts(row: Row, value: Any, name: str = "", depth: int = 0) -> None:
    """Refuse what no file or tokenizer takes, anywhere in a row's value.

    Raises:
        DataError: half a surrogate pair, a NUL, or nesting too deep; says where.
    """
    if isinstance(value, str):
        _check_text(row, name, value)
    if not isinstance(value, Mapping | list | tuple):
        return
    if depth > _DEPTH:
        raise DataError(
            f"{row.where}: `{name[:60]}` is nested more than {_DEPTH} deep; flatten it, or give it as text."
        )
    for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
        path = f"{name}.{key}" if name else str(key)
        if isinstance(key, str):
            _check_text(row, path, key)
        check_texts(row, inner, path, depth + 1)


def _check_text(row: Row, name: str, text: str) -> None:
    shown = ascii(name[:60])[1:-1]
    if (place := text.find("\x00")) >= 0:
        raise DataError(
            f"{row.where}: `{shown}` holds a NUL at character {place + 1}, where many programs end a text; "
            "remove it."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{row.where}: `{shown}` holds half a surrogate pair at character {error.start + 1}, "
            "which no tokenizer takes; correct that character."
        ) from error
