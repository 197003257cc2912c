"""The supervised stage before GRPO: the policy learns to imitate replies, such as an export's logged ones.

A small model rarely stumbles on a right answer, and GRPO learns only from what it samples. Policy, forward
pass and float32 master weights are those of GRPO; AdamW's moments and the KL reference begin anew after this
stage. Its checkpoints lie every `save_every` steps and after the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor

from stateset.rl.algorithm.aggregation import token_weights
from stateset.rl.config.parts import WarmStart
from stateset.rl.config.plan import supervised_steps
from stateset.rl.config.schema import Config
from stateset.rl.data.load import load_replies
from stateset.rl.data.sampler import TaskOrder
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.keeper import Keeper, warm_start_name
from stateset.rl.policy.bad_batch import BadBatch, explain, refuse_more
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.learner import Learner, supervised_micro_batch_tokens
from stateset.rl.policy.optimizer import NonFiniteError, learning_rate_at
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.sample import sample_seed
from stateset.rl.signals import StopRequest
from stateset.rl.types import Rollout, RolloutGroup, Task

WARMUP_STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedStep:
    """What one supervised step measured; `loss` is the mean negative log-probability of a reply's token."""

    step: int
    total: int
    loss: float
    learning_rate: float
    grad_norm: float


def load_examples(policy: Policy, config: Config, tasks: Sequence[Task]) -> list[RolloutGroup]:
    """The replies that `config.warm_start` names, as groups of one response.

    Args:
        policy: encodes prompts and replies.
        config: its `warm_start` says which rows and column, its limits how long they may be.
        tasks: the training rows, imitated where `warm_start` names no other rows.
    Raises:
        DataError: rows without a reply, or with one that is too long.
    """
    settings, longest = _settings(config), config.max_response_length
    max_prompt_length = min(policy.prompt_room(longest), config.max_prompt_length)
    rows = load_replies(settings, tasks)
    examples, problems = [], []
    for task in rows:
        reply = task.answer if settings.column == "answer" else task.context.get(settings.column)
        where = task.source or task.id
        if not isinstance(reply, str) or not reply.strip():
            problems.append(f"{where}: no text in the column `{settings.column}`")
            continue
        if len(reply) > longest * policy.longest_token:  # a tokenizer would take minutes
            problems.append(f"{where}: the reply has {len(reply)} characters, more than {longest} tokens")
            continue
        ids = policy.encode_reply(reply)
        if len(ids) > longest:
            problems.append(f"{where}: the reply has {len(ids)} tokens, more than {longest}")
            continue
        examples.append(_example(task, policy.encode_task(task, max_prompt_length), reply, ids))
    if problems:
        raise DataError(
            f"warm_start: {len(problems)} of {len(rows)} rows cannot be imitated; the first: {problems[0]}. "
            "Remove or repair them, name another warm_start.column, or raise max_response_length"
        )
    return examples


def imitate(
    learner: Learner,
    examples: Sequence[RolloutGroup],
    config: Config,
    on_step: Callable[[SupervisedStep], None],
    done: int = 0,
    on_bad: Callable[[int, BadBatch, Sequence[RolloutGroup]], None] | None = None,
) -> None:
    """Take the supervised steps of one stage: token-mean cross-entropy over the replies.

    Args:
        learner: of the model to change; the caller lets it `begin` before another stage.
        examples: from `load_examples`.
        config: its `warm_start` says how many steps of what size; `seed` orders the rows.
        on_step: called after each step.
        done: steps that were taken before.
        on_bad: called before it with the number and the batch of a step that was left out; None: none may be.
    """
    settings, seed = _settings(config), sample_seed(config.seed, "warm start", 0, "", 0)
    order = TaskOrder(len(examples), settings.batch_size, seed)
    optimizer, max_tokens = learner.optimizer, supervised_micro_batch_tokens(config, learner.policy)
    total = supervised_steps(settings, len(examples))
    try:
        for step in range(done, total):
            chosen = [examples[i] for i in order.batch(*divmod(step, order.steps_per_epoch))]
            batch = Batch.from_groups(chosen).to(learner.policy.device)
            seen = torch.full_like(batch.mask, math.nan)
            work = partial(_gradient, learner, batch, max_tokens, seen)
            loss = optimizer.world.total(learner.micro_batches.retry(work, optimizer.clear))
            optimizer.world.fill(seen)
            rate = learning_rate_at(
                step, peak=settings.learning_rate, warmup=WARMUP_STEPS, total=total, schedule="linear"
            )
            norm = math.nan
            try:
                norm = optimizer.step(rate, loss)
            except NonFiniteError as error:
                if on_bad is None:
                    raise
                numbers = {"log-probability": seen}
                on_bad(step + 1, explain("warm start", error, batch, range(len(chosen)), numbers), chosen)
            on_step(SupervisedStep(step=step + 1, total=total, loss=loss, learning_rate=rate, grad_norm=norm))
    except BaseException:  # Ctrl-C too: a later call must not find half a gradient
        optimizer.clear()
        raise


def _gradient(learner: Learner, batch: Batch, max_tokens: int, seen: Tensor) -> float:
    """Of the mean negative log-probability of a reply's token; returns that. `seen` [B, T] gets them all."""
    weights, loss = token_weights(batch.mask, "token-mean"), 0.0
    mine = learner.world.share(range(len(batch.prompts)))
    for rows in learner.micro_batches.split(batch, mine, max_tokens):
        logprobs, _ = learner.policy.logprobs(batch.take(rows), temperature=1.0)
        seen[rows] = logprobs.detach()
        part = -(logprobs * weights[rows]).sum()
        learner.optimizer.backward(part)
        loss += float(part.detach())
    return loss


def warm_start(examples: Sequence[RolloutGroup], keeper: Keeper, stop: StopRequest) -> None:
    """The whole stage of a run: its steps, its log, then the model in `warm_start/` and a checkpoint.

    Raises:
        StoppedError: a signal came before the last step; its checkpoint is written.
    """
    config, recorder, learner, state = keeper.config, keeper.recorder, keeper.learner, keeper.state

    def after(supervised: SupervisedStep) -> None:
        recorder.warm_start_step(asdict(supervised))
        for notice in learner.micro_batches.tell():
            recorder.notice(0, notice)
        if supervised.step == supervised.total:
            return
        state.warm_step = supervised.step
        (asked,) = learner.world.largest(stop.number or 0)
        if asked or supervised.step % config.save_every == 0:
            keeper.save_checkpoint()
        if asked:
            raise keeper.stopped(int(asked))

    def left_out(step: int, bad: BadBatch, groups: Sequence[RolloutGroup]) -> None:
        recorder.bad_batches(0, f"warm_start_{step:05d}", bad.lines(groups))
        refuse_more(learner.optimizer.skipped_in_a_row, [bad], groups, recorder.path / "bad_batches")

    with recorder.phase("warm start"):
        imitate(learner, examples, config, after, state.warm_step, left_out)
    recorder.warm_start_done()
    learner.begin()
    keeper.engine.load_weights(keeper.policy)
    state.warm_start, state.warm_step, state.warming = warm_start_name(config), 0, False
    keeper.keep_model("warm_start")
    keeper.save_checkpoint()


def _settings(config: Config) -> WarmStart:
    if config.warm_start is None:
        raise ConfigError("there is no `warm_start` in these settings: set one, such as {'epochs': 1}")
    return config.warm_start


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
