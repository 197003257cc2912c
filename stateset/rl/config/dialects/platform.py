"""The platform's own names: our flat keys, and the nested paths of its document."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from stateset.rl.config.dialects.table import Entry
from stateset.rl.config.parts import WarmStart
from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError

_ACTOR = "actor_rollout_ref.actor"
_ROLLOUT_N = ("actor_rollout_ref.rollout.n", "actor_rollout.ref.rollout.n", "rollout.n")

PATHS: Mapping[str, str] = {
    **dict.fromkeys(_ROLLOUT_N, "rollout_n"),
    "data.train_batch_size": "batch_size",
    f"{_ACTOR}.ppo_mini_batch_size": "mini_batch_size",
    f"{_ACTOR}.ppo_epochs": "ppo_epochs",
    f"{_ACTOR}.clip_ratio": "clip_ratio",
    f"{_ACTOR}.clip_ratio_low": "clip_ratio_low",
    f"{_ACTOR}.clip_ratio_high": "clip_ratio_high",
    f"{_ACTOR}.use_kl_loss": "use_kl_loss",
    f"{_ACTOR}.kl_loss_coef": "kl_loss_coef",
    f"{_ACTOR}.kl_loss_type": "kl_loss_type",
    f"{_ACTOR}.loss_agg_mode": "loss_agg_mode",
    "algorithm.adv_estimator": "adv_estimator",
}
NESTED = tuple(f"warm_start.{name}" for name in WarmStart.model_fields)  # flat keys with a dot
# Ours alone, so they may stand in a file of any dialect: no other has a name for what they say.
HOUSE = (
    "model", "reward", "dataset", "eval_dataset", "eval_reward", "verifier", "objective", "device",
    "max_minutes", "max_cost", "price_per_hour", "retire_pass_rate", "target_pass_rate",
    "reward_timeout_seconds", "reward_check", "micro_batch_tokens", "rollout_engine", "rollout_server",
    "distributed", "num_gpus", "strategy", "warm_start", *NESTED,
)  # fmt: skip


ARGUMENTS = {
    "reward_scale": "it is an argument of `train()`, where it multiplies that call's learning rate (rewards "
    "times a number have the same advantages): set learning_rate.",
}


def knows(path: str) -> bool:
    """Whether this is one of our keys or the document's."""
    return path in Config.model_fields or path in ("profile", *NESTED) or path in PATHS


def translate(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Order entries by flat key (and `profile`).

    Raises:
        ConfigError: an unknown key (with the nearest one), or one setting under two names with two values.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        key = _flat_key(entry)
        first = found.setdefault(key, entry)
        if first is not entry and first.value != entry.value:
            raise ConfigError(
                f"{entry.where}: `{entry.path}: {entry.value}` contradicts `{first.path}: {first.value}` "
                f"({first.where}); both set {key}. Remove one."
            )
    return found


def rollout_notices(entries: Iterable[Entry]) -> list[str]:
    """Say for each path that was read as `rollout_n` which it was."""
    return [
        f"{entry.where}: `{entry.path}` is read as rollout_n: {entry.value} responses to each prompt."
        for entry in entries
        if entry.path in _ROLLOUT_N
    ]


def _flat_key(entry: Entry) -> str:
    if not knows(entry.path):
        raise ConfigError(f"{entry.where}: unknown key `{entry.path}`; {_suggestion(entry.path)}")
    return PATHS.get(entry.path, entry.path)


def _suggestion(path: str) -> str:
    if path in ARGUMENTS:
        return ARGUMENTS[path]
    names = [*Config.model_fields, "profile", *NESTED, *PATHS]
    leaf = path.rsplit(".", 1)[-1]
    nearest = [leaf] if leaf in names else difflib.get_close_matches(path, names, 1)
    return f"did you mean `{nearest[0]}`?" if nearest else "docs/configuration.md lists every key."
