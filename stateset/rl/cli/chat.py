"""`stateset-rl chat`: talk to a model, or to two side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.cli.generate import MaxNewTokens, ModelName, accept_any_bytes, is_unicode, prompt_room
from stateset.rl.errors import DataError

if TYPE_CHECKING:
    from stateset.rl.rollout.model import Model
    from stateset.rl.types import Message


class Conversation:
    """One model and what was said to it so far."""

    def __init__(self, name: str, model: Model) -> None:
        self.name = name
        self._model = model
        self.messages: list[Message] = []

    def say(self, text: str, *, max_new_tokens: int, temperature: float) -> str:
        """The model's answer; a prompt that is refused leaves the conversation as it was."""
        messages: list[Message] = [*self.messages, {"role": "user", "content": text}]
        [answer] = self._model.generate(messages, max_new_tokens=max_new_tokens, temperature=temperature)
        self.messages = [*messages, {"role": "assistant", "content": answer}]
        return answer


def chat(
    model: ModelName,
    other: Annotated[
        str | None, typer.Argument(metavar="[MODEL2]", help="A second model, shown beside the first.")
    ] = None,
    max_new_tokens: MaxNewTokens = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.7,
) -> None:
    """Talk to a model, or to two side by side; /reset starts anew, /exit ends."""
    from stateset.rl.quickstart import load_model

    names = [model] if other is None else [model, other]
    models = [load_model(name) for name in names]
    for loaded in models:
        prompt_room(loaded.policy, max_new_tokens)
    talks = [Conversation(name, loaded) for name, loaded in zip(names, models, strict=True)]
    show.note("/reset starts anew, /exit ends")
    for line in _lines():
        if line == "/exit":
            return
        if line == "/reset":
            for talk in talks:
                talk.messages.clear()
            show.note("a new conversation")
            continue
        try:
            answers = [
                talk.say(line, max_new_tokens=max_new_tokens, temperature=temperature) for talk in talks
            ]
        except DataError as error:  # most likely too long by now: the talk itself goes on
            show.note(f"error: {error}; /reset starts anew")
            continue
        _show(names, answers)


def _lines() -> Iterator[str]:
    """What the user types, or the lines of a pipe; blank and unreadable lines are passed over."""
    accept_any_bytes()
    while True:
        if sys.stdin.isatty():
            show.note("")
            sys.stderr.write("you> ")
            sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            return
        if not is_unicode(line):
            show.note(
                "error: that line is not valid UTF-8 and was left out: type it again, or set a UTF-8 locale"
            )
        elif line.strip():
            yield line.strip()


def _show(names: list[str], answers: list[str]) -> None:
    if len(answers) == 1:
        show.data(answers[0])
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*names, expand=True)
    table.add_row(*map(Text, answers))
    Console().print(table)
