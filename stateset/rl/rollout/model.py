"""`Model`: what users hold, a policy with its rollout engine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import RolloutEngine, Sampling
from stateset.rl.rollout.native import NativeEngine
from stateset.rl.rollout.vllm import VLLMEngine
from stateset.rl.rollout.vllm_server import VLLMServerEngine
from stateset.rl.types import Message, Task


def engine_for(model: Model, config: Config) -> RolloutEngine:
    """The engine that `config.rollout_engine` names: the model's own, or vLLM, here or as a server.

    Raises:
        MissingExtraError: vLLM is asked for and not installed.
        ModelError: no server answers at `config.rollout_server`.
    """
    if config.rollout_engine == "native":
        return model.engine
    longest = longest_row(model.policy, config)
    if config.rollout_server is None:
        return VLLMEngine(model.policy, max_length=longest)
    return VLLMServerEngine(model.policy, config.rollout_server, max_length=longest)


def longest_row(policy: Policy, config: Config) -> int:
    """Most tokens of a prompt with its response."""
    return min(config.max_prompt_length + config.max_response_length, policy.max_length)


class Model:
    """A loaded or trained model.

    Attributes:
        policy: weights, tokenizer and precision.
        run_dir: the training run that made it, or None.
    """

    def __init__(self, policy: Policy, *, run_dir: Path | None = None) -> None:
        self.policy = policy
        self.run_dir = run_dir

    @cached_property
    def engine(self) -> RolloutEngine:
        """The native engine, holding the policy's weights of when it was first used; another may be set."""
        engine = NativeEngine(self.policy)
        engine.load_weights(self.policy)
        return engine

    def generate(
        self,
        prompt: str | Sequence[Message],
        num_returns: int = 1,
        *,
        max_new_tokens: int = 256,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> list[str]:
        """Sample answers to one prompt.

        Args:
            prompt: a user message, or a list of messages.
            num_returns: how many answers; the prompt is computed once for all of them.
            max_new_tokens: where an answer is cut off.
            temperature: 0 is greedy.
            seed: the same seed gives the same answers.

        Raises:
            ConfigError: a number outside its range.
        """
        for name, value, least in (
            ("num_returns", num_returns, 1),
            ("max_new_tokens", max_new_tokens, 1),
            ("temperature", temperature, 0),
        ):
            if not value >= least:
                raise ConfigError(f"{name} is {value}: give a number from {least} on")
        room = self.policy.prompt_room(max_new_tokens, "max_new_tokens")
        task = Task(id="prompt", prompt=prompt if isinstance(prompt, str) else tuple(prompt))
        [group] = collect_groups(
            self.engine, self.policy, [task],
            num_samples=num_returns,
            sampling=Sampling(
                temperature=temperature, max_tokens=max_new_tokens, stop_ids=self.policy.stop_ids
            ),
            max_prompt_length=room, run_seed=seed, purpose="generate",
        )  # fmt: skip
        return [rollout.text for rollout in group.rollouts]

    def save(self, folder: str | Path) -> Path:
        """Write a folder that transformers (or PEFT, for an adapter) loads."""
        return self.policy.save(folder)
