"""Whether a saved model is the model: loaded again, it gives the same answers as surely."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from stateset.rl.errors import ModelError
from stateset.rl.policy.load import load_like
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import Sampling
from stateset.rl.rollout.model import Model
from stateset.rl.types import Rollout, Task

MERGED = "merged"
MOST_APART = {torch.float32: 1e-3}  # log-probability of a token, natural logarithm
_ROUNDED = 0.1  # in half precision
_TOKENS = 24


def self_test(model: Model, folder: Path, prompts: Sequence[str]) -> list[str]:
    """Load a saved folder and compare its greedy answers with the model's, token by token.

    An adapter is also merged into its base, saved as `merged/` for servers that want whole models, and
    compared as well. Merging rounds: its tokens may differ where two were as likely, within the tolerance.

    Args:
        model: what was saved.
        folder: where.
        prompts: to answer, at most 24 tokens each.

    Returns:
        What was found, a sentence a folder.

    Raises:
        ModelError: an answer differs, or a log-probability by more than rounding explains.
    """
    wanted = _answers(model, prompts)
    again = load_like(model.policy, str(folder))
    found = [_compare(wanted, _answers(Model(again), prompts), again.dtype, "loaded again")]
    if again.adapter is not None:
        again.adapter.merge_and_unload().save_pretrained(folder / MERGED)
        again.tokenizer.save_pretrained(folder / MERGED)
        merged = load_like(model.policy, str(folder / MERGED))
        found.append(_compare(wanted, _answers(Model(merged), prompts), merged.dtype, "merged"))
    return found


def _answers(model: Model, prompts: Sequence[str]) -> list[Rollout]:
    policy = model.policy
    groups = collect_groups(
        model.engine, policy, [Task(id=str(n), prompt=prompt) for n, prompt in enumerate(prompts)],
        num_samples=1,
        sampling=Sampling(temperature=0.0, max_tokens=_TOKENS, stop_ids=policy.stop_ids),
        max_prompt_length=policy.prompt_room(_TOKENS, "max_new_tokens"),
        run_seed=0, purpose="evaluate",
    )  # fmt: skip
    return [group.rollouts[0] for group in groups]


def _compare(wanted: Sequence[Rollout], found: Sequence[Rollout], dtype: torch.dtype, how: str) -> str:
    """Log-probabilities are compared up to the first token that differs, that one included."""
    apart, limit, tokens = 0.0, MOST_APART.get(dtype, _ROUNDED), 0
    for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
        same = one.token_ids == other.token_ids
        for first, second, a, b in zip(
            one.token_ids, other.token_ids, one.sampler_logprobs, other.sampler_logprobs, strict=False
        ):
            apart, tokens = max(apart, abs(a - b)), tokens + 1
            if apart > limit or (first != second and how == "loaded again"):
                raise ModelError(
                    f"the saved model, {how}, is another one: answer {number} has {other.text[:60]!r} for "
                    f"{one.text[:60]!r}, log-probabilities {apart:.3g} apart ({limit:g} allowed)"
                )
            if first != second:
                break
        if not same and how == "loaded again":
            raise ModelError(f"the saved model, {how}, ends answer {number} elsewhere: {other.text[:60]!r}")
    return (
        f"{how}: {len(wanted)} greedy answers, log-probabilities of {tokens} tokens at most {apart:.2g} apart"
    )
