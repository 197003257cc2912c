"""`stateset-rl generate`: answers of a model to one prompt."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stateset.rl.cli import show
from stateset.rl.errors import ConfigError

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
    text = sys.stdin.read() if prompt == "-" else prompt
    if not text.strip():
        raise ConfigError("the prompt is empty: give the text that the model answers")
    from stateset.rl.quickstart import load_model

    responses = load_model(model).generate(
        text, num_returns, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
    )
    if as_json:
        show.data_json({"model": model, "prompt": text, "responses": responses})
        return
    for index, response in enumerate(responses, start=1):
        show.data(response if num_returns == 1 else f"[{index}] {response}\n")
