"""The supervised stage before GRPO: the policy learns to imitate replies, such as an export's logged ones.

A small model rarely stumbles on a right answer, and GRPO learns only from what it samples. Policy, forward
pass and float32 master weights are those of GRPO; AdamW's moments and the KL reference begin anew after this
stage. A killed warm start begins again: its checkpoint is the one after its last step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stateset.rl.algorithm.aggregation import token_weights
from stateset.rl.config.schema import WarmStart
from stateset.rl.data.load import load_tasks
from stateset.rl.data.sampler import TaskOrder
from stateset.rl.errors import DataError
from stateset.rl.policy.batch import Batch, micro_batches
from stateset.rl.policy.optimizer import PolicyOptimizer, learning_rate_at
from stateset.rl.policy.policy import Policy
from stateset.rl.types import Rollout, RolloutGroup, Task

WARMUP_STEPS = 5
MICRO_BATCH_TOKENS = 1024  # rows of one reply: fewer in a forward pass cost a third more CPU time


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedStep:
    """What one supervised step measured; `loss` is the mean negative log-probability of a reply's token."""

    step: int
    total: int
    loss: float
    learning_rate: float
    grad_norm: float


def load_examples(
    policy: Policy,
    settings: WarmStart,
    tasks: Sequence[Task],
    *,
    max_prompt_length: int,
    max_response_length: int,
) -> list[RolloutGroup]:
    """The replies to imitate, as groups of one response.

    Args:
        policy: encodes prompts and replies.
        settings: `rows` and `column` say which.
        tasks: the training rows, imitated where the settings name no other rows.
        max_prompt_length: most tokens of a prompt.
        max_response_length: most tokens of a reply, its end included.
    Raises:
        DataError: rows without a reply, or with one that is too long.
    """
    rows = tasks if settings.rows is None else load_tasks(settings.rows)
    examples, problems = [], []
    for task in rows:
        reply = task.answer if settings.column == "answer" else task.context.get(settings.column)
        where = task.source or task.id
        if not isinstance(reply, str) or not reply.strip():
            problems.append(f"{where}: no text in the column `{settings.column}`")
            continue
        ids = policy.encode_reply(reply)
        if len(ids) > max_response_length:
            problems.append(f"{where}: the reply has {len(ids)} tokens, more than {max_response_length}")
            continue
        examples.append(_example(task, policy.encode_task(task, max_prompt_length), reply, ids))
    if problems:
        raise DataError(
            f"warm_start: {len(problems)} of {len(rows)} rows cannot be imitated; the first: {problems[0]}. "
            "Remove or repair them, name another warm_start.column, or raise max_response_length"
        )
    return examples


def imitate(
    policy: Policy,
    optimizer: PolicyOptimizer,
    examples: Sequence[RolloutGroup],
    settings: WarmStart,
    *,
    seed: int,
    micro_batch_tokens: int,
    on_step: Callable[[SupervisedStep], None],
) -> None:
    """Take the supervised steps of one stage: token-mean cross-entropy over the replies.

    Args:
        policy: the model to change.
        optimizer: steps its weights; the caller clears its moments before another stage.
        examples: from `load_examples`.
        settings: epochs, batch size, learning rate, `max_steps`.
        seed: of the order.
        micro_batch_tokens: most tokens in one forward pass; MICRO_BATCH_TOKENS where that is more.
        on_step: called after each step.
    """
    order = TaskOrder(len(examples), settings.batch_size, seed)
    tokens = max(micro_batch_tokens, MICRO_BATCH_TOKENS)
    total = min(order.steps_per_epoch * settings.epochs, settings.max_steps or 2**63)
    try:
        for step in range(total):
            chosen = [examples[i] for i in order.batch(*divmod(step, order.steps_per_epoch))]
            batch = Batch.from_groups(chosen).to(policy.device)
            weights, loss = token_weights(batch.mask, "token-mean"), 0.0
            for groups in micro_batches(batch, range(len(chosen)), tokens):
                part = batch.select(groups)
                logprobs, _ = policy.logprobs(part, temperature=1.0)
                part_loss = -(logprobs * weights[batch.rows_of(groups)]).sum()
                optimizer.backward(part_loss)
                loss += float(part_loss.detach())
            rate = learning_rate_at(
                step, peak=settings.learning_rate, warmup=WARMUP_STEPS, total=total, schedule="linear"
            )
            norm = optimizer.step(rate)
            on_step(SupervisedStep(step=step + 1, total=total, loss=loss, learning_rate=rate, grad_norm=norm))
    except BaseException:  # Ctrl-C too: a later call must not find half a gradient
        optimizer.clear()
        raise


def _example(task: Task, prompt_ids: tuple[int, ...], reply: str, ids: tuple[int, ...]) -> RolloutGroup:
    rollout = Rollout(
        sample=0,
        text=reply,
        token_ids=ids,
        loss_mask=(1,) * len(ids),
        sampler_logprobs=(0.0,) * len(ids),
        stop_reason="stop",
    )
    return RolloutGroup(task=task, prompt_ids=prompt_ids, rollouts=(rollout,))
