"""What a model does in a few seconds: how fast this machine runs a step of it, how often it is right.

`plan` reads both before a run starts. The timings are wall-clock seconds of the parts of one real step, made
with throw-away weights; from them follows the time of a step with responses of another length.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

import torch

from stateset.rl.config.schema import Config
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.learner import Learner, supervised_micro_batch_tokens
from stateset.rl.policy.memory import held_bytes, peak_bytes
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.decoders import CACHE_BYTES, bytes_per_token
from stateset.rl.rollout.engine import RolloutEngine, Sampling
from stateset.rl.types import Rollout, RolloutGroup, ScoredGroup, Task

Result = TypeVar("Result")
LOGITS_COPIES = (
    4  # in float32, while a token is drawn: logits, with temperature, their logarithm, their share
)
SHORT, LONG = 4, 16  # tokens of the two rollouts whose difference is the time of a token


class Line(NamedTuple):
    """Seconds of a pass: for each micro-batch, however short, and for each of its tokens."""

    each: float
    token: float

    @classmethod
    def through(cls, short: tuple[int, float], long: tuple[int, float]) -> Line:
        """The line through two measured (tokens, seconds); noise makes neither of its parts negative."""
        token = min(max(0.0, (long[1] - short[1]) / (long[0] - short[0])), long[1] / long[0])
        return cls(long[1] - token * long[0], token)

    def seconds(self, micro_batches: float, tokens: float) -> float:
        """Of a pass over so many micro-batches with so many tokens together."""
        return self.each * micro_batches + self.token * tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProbe:
    """Seconds of the parts of one step, and the memory that it took.

    Attributes:
        prefill: of all prompts of a step.
        decode_token: of one more token in every response.
        forward: of a forward pass without gradients; prompts count once a group.
        update: of forward and backward.
        optimizer: of one optimizer step, with the weights handed to the sampler.
        prompts: of a step.
        prompt_tokens: of all prompts of a step.
        responses: of a step.
        micro_batch_tokens: most tokens that are computed together, but for a single group.
        supervised_tokens: the same in a warm start, whose groups are single replies.
        activation_bytes: most that forward and backward of the largest micro-batch add.
        peak_bytes: most memory that the process (on a GPU, the device) has held.
    """

    prefill: float
    decode_token: float
    forward: Line
    update: Line
    optimizer: float
    prompts: int
    prompt_tokens: int
    responses: int
    micro_batch_tokens: int
    supervised_tokens: int
    activation_bytes: int
    peak_bytes: int

    def step_seconds(
        self, config: Config, lengths: Sequence[int], signal: float = 1.0, rows: float = math.inf
    ) -> float:
        """A training step whose responses are as long as these; groups without signal are skipped.

        Args:
            config: the run's settings.
            lengths: tokens of some responses such as the run will sample.
            signal: share of groups that train.
            rows: of the data set, for dynamic sampling.
        """
        tokens = self.prompt_tokens + self.responses * _mean(lengths)
        updates = config.updates(self.responses)
        rounds = 1.0
        if config.dynamic_sampling:
            rounds = max(1.0, min(1 / max(signal, 1e-9), config.max_gen_batches, rows / self.prompts))
        signal = min(1.0, signal * rounds)
        in_reward = config.use_kl_loss and config.kl_placement == "reward"
        shared = 1.0 if config.use_kl_loss or config.entropy_coef else signal
        parts = min(self.prompts, max(1.0, tokens / self.micro_batch_tokens))
        forward = self.forward.seconds(parts, tokens) * shared
        backward = self.update.seconds(parts, tokens) * config.ppo_epochs * shared + self.optimizer * updates
        seconds = backward + forward * ((updates > 1 or in_reward) + config.use_kl_loss)
        if config.adv_estimator == "gae":  # the critic is a second model: its values, and its own updates
            seconds += backward + forward
        return seconds + rounds * self._generation(self.prompts, self.responses, lengths)

    def supervised_seconds(self, batch_size: int, lengths: Sequence[int]) -> float:
        """A step of the warm start on replies as long as these."""
        tokens = batch_size * (self.prompt_tokens / self.prompts + _mean(lengths))
        parts = min(batch_size, max(1.0, tokens / self.supervised_tokens))
        return self.update.seconds(parts, tokens) + self.optimizer

    def evaluation_seconds(self, rows: int, lengths: Sequence[int]) -> float:
        """One answer to each held-out row."""
        return self._generation(rows, rows, lengths)

    def _generation(self, prompts: int, responses: int, lengths: Sequence[int]) -> float:
        """Decoded to the longest one, in a batch that shrinks as responses end."""
        positions = (_mean(lengths) + max(lengths)) / 2
        return (
            self.prefill * prompts / self.prompts + self.decode_token * positions * responses / self.responses
        )


def probe_step(policy: Policy, engine: RolloutEngine, config: Config, tasks: Sequence[Task]) -> StepProbe:
    """Time one step's parts on the first `batch_size` tasks; the policy's weights change.

    Args:
        policy: the model, loaded with the run's settings.
        engine: samples with its weights.
        config: the run's settings.
        tasks: prompts such as those of the run.
    """
    chosen = list(tasks[: config.batch_size])
    learner = Learner(policy, config, exact_sampler=True)
    short, _ = _timed(lambda: _rollouts(policy, engine, config, chosen, SHORT))
    long, groups = _timed(lambda: _rollouts(policy, engine, config, chosen, LONG))
    token = max(0.0, long - short) / (LONG - SHORT)
    longest = max(groups, key=lambda group: len(group.prompt_ids))
    lengths = SHORT, max(config.max_response_length, LONG)
    brief, batch = (Batch.from_groups([_stretched(longest, n)]).to(policy.device) for n in lengths)
    step, _ = _timed(lambda: _step(learner, engine))  # first: from then on the moments take their place
    forward = _line(lambda part: _forward(learner, part), brief, batch)
    held = held_bytes(policy.device)
    update = _line(lambda part: _gradient(learner, part), brief, batch)
    gradients = sum(4 * p.numel() for p in policy.trainable().values())
    added = max(0, peak_bytes(policy.device) - held - gradients)
    return StepProbe(
        prefill=max(0.0, short - SHORT * token),
        decode_token=token,
        forward=forward,
        update=update,
        optimizer=step,
        prompts=len(chosen),
        prompt_tokens=sum(len(group.prompt_ids) for group in groups),
        responses=len(groups) * config.rollout_n,
        micro_batch_tokens=learner.micro_batches.max_tokens,
        supervised_tokens=supervised_micro_batch_tokens(config, policy),
        activation_bytes=int(added * largest_micro_batch(learner, batch, len(groups)) / batch.num_tokens(0)),
        peak_bytes=peak_bytes(policy.device),
    )


def memory_of(
    policy: Policy, engine: RolloutEngine, config: Config, *, prompt_tokens: float, held_out: int
) -> dict[str, int]:
    """Bytes that stay allocated, and those of sampling at its largest, by what they hold.

    Args:
        policy: the model.
        engine: samples with its weights.
        config: the run's settings.
        prompt_tokens: of a prompt, at the mean.
        held_out: rows that an evaluation answers all together.
    """
    trainable = sum(p.numel() for p in policy.trainable().values())
    weights = sum(p.numel() * p.element_size() for p in policy.module.parameters())
    vocabulary = policy.module.config.get_text_config().vocab_size
    own = 4 if policy.dtype != torch.float32 else 0  # float32 master weights
    responses = config.batch_size * config.rollout_n
    step = config.batch_size * prompt_tokens + responses * config.max_response_length
    cached = max(step, held_out * (prompt_tokens + config.max_response_length))
    found = {
        "weights": weights,
        "sampler's copy": weights if getattr(engine, "packs", False) else 0,
        "master weights": own * trainable,
        "moments": 8 * trainable,
        "reference": trainable * policy.dtype.itemsize if config.use_kl_loss else 0,
        "critic": 0 if config.adv_estimator != "gae" else weights + (own + 12) * trainable,
        "gradients": 4 * trainable,
        "key-value cache": min(CACHE_BYTES, int(cached * bytes_per_token(policy))),
        "sampled logits": LOGITS_COPIES * 4 * max(responses, held_out) * vocabulary,
    }
    return {name: size for name, size in found.items() if size}


def sample_groups(
    policy: Policy, engine: RolloutEngine, config: Config, tasks: Sequence[Task], samples: int
) -> list[RolloutGroup]:
    """`samples` responses to each task, sampled as in training."""
    sampling = Sampling(
        temperature=config.temperature, max_tokens=config.max_response_length, stop_ids=policy.stop_ids
    )
    return collect_groups(
        engine, policy, tasks,
        num_samples=samples, sampling=sampling, max_prompt_length=config.max_prompt_length,
        run_seed=config.seed, purpose="probe",
    )  # fmt: skip


def count_passes(
    groups: Sequence[ScoredGroup], bounds: tuple[float, float] | None
) -> tuple[list[int], float]:
    """Right answers to each prompt, and the reward from which an answer counts as right.

    That is the middle of the reward's bounds, or of the lowest and highest reward found. A prompt with an
    unscorable answer is left out. Without bounds, equal rewards tell nothing: then there are no counts.
    """
    values = [group.values for group in groups if not any(map(math.isnan, group.values))]
    flat = [value for row in values for value in row]
    if not flat or (bounds is None and min(flat) == max(flat)):
        return [], math.nan
    low, high = bounds or (min(flat), max(flat))
    middle = (low + high) / 2
    return [sum(value > middle for value in row) for row in values], middle


def _rollouts(
    policy: Policy, engine: RolloutEngine, config: Config, tasks: Sequence[Task], length: int
) -> list[RolloutGroup]:
    """Responses of exactly this many tokens: nothing ends them."""
    return collect_groups(
        engine, policy, tasks,
        num_samples=config.rollout_n,
        sampling=Sampling(temperature=1.0, max_tokens=length, stop_ids=frozenset()),
        max_prompt_length=config.max_prompt_length, run_seed=0, purpose="probe",
    )  # fmt: skip


def _stretched(group: RolloutGroup, length: int) -> RolloutGroup:
    """The same group with responses of the greatest length, which decides how much memory an update needs."""

    def longer(rollout: Rollout) -> Rollout:
        ids = (rollout.token_ids * (length // len(rollout.token_ids) + 1))[:length]
        return replace(rollout, token_ids=ids, loss_mask=(1,) * length, sampler_logprobs=(0.0,) * length)

    return replace(group, rollouts=tuple(map(longer, group.rollouts)))


def largest_micro_batch(learner: Learner, group: Batch, groups: int) -> int:
    """Most tokens of the run that are computed together; `group` holds the longest of `groups` a step."""
    config, tokens = learner.config, group.num_tokens(0)
    largest = max(tokens, min(learner.micro_batches.max_tokens, groups * tokens))
    if config.warm_start is None:
        return largest
    replies = config.warm_start.batch_size * (len(group.prompts[0]) + config.max_response_length)
    return max(largest, min(supervised_micro_batch_tokens(config, learner.policy), replies))


def _line(work: Callable[[Batch], None], short: Batch, long: Batch) -> Line:
    """How the time of a pass grows with the tokens of a micro-batch."""
    seconds = [_timed(partial(work, part))[0] for part in (short, long)]
    return Line.through((short.num_tokens(0), seconds[0]), (long.num_tokens(0), seconds[1]))


@torch.no_grad()
def _forward(learner: Learner, batch: Batch) -> None:
    learner.policy.logprobs(batch, learner.config.temperature)


def _gradient(learner: Learner, batch: Batch) -> None:
    logprobs, _ = learner.policy.logprobs(batch, learner.config.temperature)
    learner.optimizer.backward(logprobs.sum())


def _step(learner: Learner, engine: RolloutEngine) -> None:
    learner.optimizer.step(0.0)
    engine.load_weights(learner.policy)


def _mean(lengths: Sequence[int]) -> float:
    return sum(lengths) / len(lengths)


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Mean seconds of two calls, after one that warms up: a run does it hundreds of times."""
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        result = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.monotonic() - started)
    return sum(seconds[1:]) / 2, result
