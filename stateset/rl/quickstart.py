"""One-call versions of loading and training, for notebooks and short scripts."""

from __future__ import annotations

from typing import Any

from stateset.rl.config.load import make_config
from stateset.rl.policy.load import load_policy
from stateset.rl.rollout.model import Model
from stateset.rl.trainer import GRPOTrainer


def load_model(name: str) -> Model:
    """Load a model to generate with, to evaluate or to train on.

    Args:
        name: an alias (`grpo_trained` is the newest trained model on this machine, `base` what it started
            from), a folder, a hub id, or an offline name such as `smollm2-135m`.

    Raises:
        ModelError: an alias that names nothing (any more), or a model that cannot be loaded.
        ModelNotTrainableError: the name of a closed API model.
    """
    return Model(load_policy(name))


def train_grpo_model(
    data: Any,
    reward_fn: Any,
    *,
    profile: str = "balanced",
    model: str = "smollm2-135m",
    **settings: Any,
) -> Model:
    """Train a model on rows toward a reward, with a profile's settings.

    Args:
        data: rows: a path, a list of dicts, a `datasets.Dataset`.
        reward_fn: a `RewardFunction` or a function.
        profile: aggressive, balanced, conservative, memory or quick.
        model: as for `load_model`.
        settings: keys of `docs/configuration.md`; they win over the profile.

    Returns:
        The trained model, also saved in its `run_dir`.

    Raises:
        ConfigError, DataError, RewardError, ModelError: with what to do.
    """
    config = make_config(settings | {"model": model}, profile=profile)
    return GRPOTrainer(reward_function=reward_fn, config=config).train(data)
