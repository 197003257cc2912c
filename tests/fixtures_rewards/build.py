"""Rollout groups from texts."""

from __future__ import annotations

from stateset.rl.types import Rollout, RolloutGroup, Task


def group(*texts, prompt="Where is my order?", task_id="t1", answer=None, context=None) -> RolloutGroup:
    rollouts = tuple(
        Rollout(
            sample=i, text=text, token_ids=(1,), loss_mask=(1,), sampler_logprobs=(-1.0,), stop_reason="stop"
        )
        for i, text in enumerate(texts)
    )
    task = Task(id=task_id, prompt=prompt, answer=answer, context=context or {})
    return RolloutGroup(task=task, prompt_ids=(1,), rollouts=rollouts)
