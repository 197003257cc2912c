"""`stateset-rl generate`: answers of a model to one prompt."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.errors import ConfigError

if TYPE_CHECKING:
    from stateset.rl.policy.policy import Policy

ModelName = Annotated[
    str, typer.Argument(help="Alias (grpo_trained, base), folder, hub id, or offline name (smollm2-135m).")
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Where an answer is cut off.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def generate(
    model: ModelName,
    prompt: Annotated[str, typer.Argument(help="What the customer says; `-` reads it from stdin.")],
    num_returns: Annotated[int, typer.Option("-n", "--num-returns", min=1, help="How many answers.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 1.0,
    max_new_tokens: MaxNewTokens = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same answers.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Sample answers to a prompt."""
    text = _prompt_text(prompt)
    from stateset.rl.quickstart import load_model

    loaded = load_model(model)
    prompt_room(loaded.policy, max_new_tokens)
    responses = loaded.generate(
        text, num_returns, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
    )
    if as_json:
        show.data_json({"model": model, "prompt": text, "responses": responses})
        return
    for index, response in enumerate(responses, start=1):
        show.data(response if num_returns == 1 else f"[{index}] {response}\n")


def prompt_room(policy: Policy, max_new_tokens: int) -> int:
    """Tokens that a prompt may have beside the answer.

    Raises:
        ConfigError: there is no room at all.
    """
    return policy.prompt_room(max_new_tokens, "--max-new-tokens")


def accept_any_bytes() -> None:
    """Let stdin pass on bytes that are not UTF-8 (`is_unicode` tells them) rather than fail in the middle."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")


def is_unicode(text: str) -> bool:
    """Whether a tokenizer can read the text: bytes that were not UTF-8 arrive as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _prompt_text(prompt: str) -> str:
    """The prompt as given, or what stdin holds for `-`."""
    if prompt == "-":
        accept_any_bytes()
    text, place = (sys.stdin.read(), "stdin") if prompt == "-" else (prompt, "the prompt")
    if not text.strip():
        raise ConfigError("the prompt is empty: give the text that the model answers")
    if not is_unicode(text):
        raise ConfigError(f"{place} is not valid UTF-8: convert it (iconv -t UTF-8), or set a UTF-8 locale")
    return text
