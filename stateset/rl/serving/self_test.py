"""Whether a saved model is the model: loaded again, it gives the same answers as surely."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from stateset.rl.errors import ModelError
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.load import load_like
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import Sampling
from stateset.rl.rollout.model import Model
from stateset.rl.types import Rollout, RolloutGroup, Task

MERGED = "merged"
MOST_APART = {torch.float32: 1e-3}  # log-probability of a token, natural logarithm
_ROUNDED = 0.1  # in half precision
_TOKENS = 24


def self_test(model: Model, folder: Path, prompts: Sequence[str]) -> list[str]:
    """Load a saved folder and compare its greedy answers with the model's, token by token.

    An adapter is also merged into its base, saved as `merged/` for servers that want whole models, and
    asked how likely each token of the model's answers is. Merging rounds: its own answers may differ where
    two tokens were as likely, which is told.

    Args:
        model: what was saved.
        folder: where.
        prompts: to answer, at most 24 tokens each.

    Returns:
        What was found, a sentence a folder.

    Raises:
        ModelError: an answer of the folder differs, or a log-probability by more than rounding explains.
    """
    wanted = _answers(model, prompts)
    again = load_like(model.policy, str(folder))
    found = [_same_answers(wanted, _answers(Model(again), prompts), again.dtype)]
    if again.adapter is not None:
        again.adapter.merge_and_unload().save_pretrained(folder / MERGED)
        again.tokenizer.save_pretrained(folder / MERGED)
        merged = load_like(model.policy, str(folder / MERGED))
        found.append(_as_likely(model.policy, merged, wanted, _answers(Model(merged), prompts)))
    return found


def _answers(model: Model, prompts: Sequence[str]) -> list[RolloutGroup]:
    policy = model.policy
    return collect_groups(
        model.engine, policy, [Task(id=str(n), prompt=prompt) for n, prompt in enumerate(prompts)],
        num_samples=1,
        sampling=Sampling(temperature=0.0, max_tokens=_TOKENS, stop_ids=policy.stop_ids),
        max_prompt_length=policy.prompt_room(_TOKENS, "max_new_tokens"),
        run_seed=0, purpose="evaluate",
    )  # fmt: skip


def _same_answers(wanted: Sequence[RolloutGroup], found: Sequence[RolloutGroup], dtype: torch.dtype) -> str:
    """The same tokens, as likely.

    Raises:
        ModelError: they are not.
    """
    apart, limit, tokens = 0.0, MOST_APART.get(dtype, _ROUNDED), 0
    for number, (one, other) in enumerate(zip(_first(wanted), _first(found), strict=True)):
        pairs = zip(one.sampler_logprobs, other.sampler_logprobs, strict=False)
        apart, tokens = max(apart, *(abs(a - b) for a, b in pairs), 0.0), tokens + len(one.token_ids)
        if one.token_ids != other.token_ids or apart > limit:
            raise ModelError(
                f"the saved model, loaded again, is another one: answer {number} has {other.text[:60]!r} for "
                f"{one.text[:60]!r}, log-probabilities {apart:.3g} apart ({limit:g} allowed)"
            )
    return (
        f"loaded again: the same {len(wanted)} greedy answers, log-probabilities of {tokens} tokens at most "
        f"{apart:.2g} apart"
    )


@torch.no_grad()
def _as_likely(
    policy: Policy, merged: Policy, wanted: Sequence[RolloutGroup], found: Sequence[RolloutGroup]
) -> str:
    """Each token of the model's answers by both, and how many answers of the merged one are the same.

    Raises:
        ModelError: a log-probability differs by more than rounding explains.
    """
    batch = Batch.from_groups(wanted).to(policy.device)
    (before, _), (after, _) = (one.logprobs(batch, temperature=1.0) for one in (policy, merged))
    apart, limit = float((before - after).abs().max()), MOST_APART.get(merged.dtype, _ROUNDED)
    if not apart <= limit:
        raise ModelError(
            f"the saved model, merged, is another one: log-probabilities of the model's own answers are "
            f"{apart:.3g} apart ({limit:g} allowed)"
        )
    pairs = zip(_first(wanted), _first(found), strict=True)
    same = sum(one.token_ids == other.token_ids for one, other in pairs)
    return (
        f"merged: {same} of {len(wanted)} greedy answers the same, log-probabilities of the model's "
        f"{int(batch.mask.sum())} tokens at most {apart:.2g} apart"
    )


def _first(groups: Sequence[RolloutGroup]) -> list[Rollout]:
    return [group.rollouts[0] for group in groups]
