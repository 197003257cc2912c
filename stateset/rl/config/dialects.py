"""The names a setting may have in a file: our flat keys, and the nested paths of the platform's document.

Files of verl share those paths but count mini-batches in prompts, so a file with a key that only verl has is
refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from stateset.rl.config.schema import Config, WarmStart
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
VERL_ONLY = (
    "trainer",
    "critic",
    "reward_model",
    "custom_reward_function",
    "ray_init",
    "ray_kwargs",
    "data.train_files",
    "data.val_files",
    "actor_rollout_ref.model",
    "actor_rollout_ref.ref",
    "actor_rollout_ref.hybrid_engine",
    "actor_rollout_ref.rollout.name",
    f"{_ACTOR}.optim",
    f"{_ACTOR}.strategy",
    f"{_ACTOR}.fsdp_config",
)


class Entry(NamedTuple):
    """One value as it was written: its dotted path, and where."""

    path: str
    value: Any
    where: str


def flatten(values: Mapping[Any, Any], where: str, prefix: str = "") -> list[Entry]:
    """List the values of a nested mapping under their dotted paths."""
    entries = []
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            entries += flatten(value, where, f"{path}.")
        else:
            entries.append(Entry(path, value, where))
    return entries


def translate(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Order entries by flat key (and `profile`).

    Raises:
        ConfigError: an unknown key (with the nearest one), a key that only verl has, or one setting under two
            names with two values.
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
    if entry.path in Config.model_fields or entry.path in ("profile", *NESTED):
        return entry.path
    if entry.path in PATHS:
        return PATHS[entry.path]
    if f"{entry.path}.".startswith(tuple(f"{prefix}." for prefix in VERL_ONLY)):
        raise ConfigError(
            f"{entry.where}: `{entry.path}` is a verl key, and verl files cannot be read (they count "
            "mini-batches in prompts, not responses). Use the names in docs/configuration.md."
        )
    raise ConfigError(f"{entry.where}: unknown key `{entry.path}`; {_suggestion(entry.path)}")


def _suggestion(path: str) -> str:
    names = [*Config.model_fields, "profile", *NESTED, *PATHS]
    leaf = path.rsplit(".", 1)[-1]
    nearest = [leaf] if leaf in names else difflib.get_close_matches(path, names, 1)
    return f"did you mean `{nearest[0]}`?" if nearest else "docs/configuration.md lists every key."
