"""From tasks to rollout groups: requests with counted seeds, completions put back in order."""

from __future__ import annotations

from collections.abc import Sequence

from stateset.rl.policy.policy import Policy
from stateset.rl.pulse import beat
from stateset.rl.rollout.engine import Completion, Request, RolloutEngine, Sampling
from stateset.rl.rollout.sample import sample_seed
from stateset.rl.types import Rollout, RolloutGroup, Task


def collect_groups(
    engine: RolloutEngine,
    policy: Policy,
    tasks: Sequence[Task],
    *,
    num_samples: int,
    sampling: Sampling,
    max_prompt_length: int,
    run_seed: int,
    purpose: str,
    step: int = 0,
) -> list[RolloutGroup]:
    """Sample `num_samples` responses for each task.

    The seed of a response is a hash of (run_seed, purpose, step, task id, sample), so it depends on neither
    the order of tasks nor the size of the batch. Returns one group a task, in the order of `tasks`.
    """
    requests = [
        Request(
            prompt_ids=policy.encode_task(task, max_prompt_length),
            seeds=tuple(sample_seed(run_seed, purpose, step, task.id, s) for s in range(num_samples)),
        )
        for task in tasks
    ]
    found: dict[tuple[int, int], Completion] = {}
    for completion in engine.generate(requests, sampling):
        beat()
        found[completion.request, completion.sample] = completion
    return [
        RolloutGroup(
            task=task,
            prompt_ids=request.prompt_ids,
            rollouts=tuple(_rollout(policy, found[index, sample]) for sample in range(num_samples)),
        )
        for index, (task, request) in enumerate(zip(tasks, requests, strict=True))
    ]


def _rollout(policy: Policy, completion: Completion) -> Rollout:
    return Rollout(
        sample=completion.sample,
        text=policy.decode(completion.token_ids),
        token_ids=completion.token_ids,
        loss_mask=(1,) * len(completion.token_ids),
        sampler_logprobs=completion.logprobs,
        stop_reason="stop" if completion.stopped else "length",
    )
