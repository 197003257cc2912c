"""Which settings a recorded step can be replayed with, and why not with the others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from stateset.rl.config.load import make_config
from stateset.rl.config.rules import acting_values
from stateset.rl.config.schema import GSPO_CLIP, Config, Provenance
from stateset.rl.errors import ConfigError
from stateset.rl.replay.recorded import RecordedStep

REPLAYED = (
    "adv_estimator", "norm_adv_by_std", "gamma", "lam", "loss",
    "clip_ratio", "clip_ratio_low", "clip_ratio_high", "clip_ratio_dual",
    "use_kl_loss", "kl_loss_coef", "kl_loss_type", "kl_placement", "kl_importance",
    "loss_agg_mode", "mask_truncated", "overlong_buffer", "overlong_penalty",
)  # fmt: skip
_LOGITS = "it needs the logits, and a step keeps the log-probabilities of the sampled tokens only"
_KEYS_OF_REASON = {
    _LOGITS: ("entropy_coef",),
    "with it the responses would be others, and only a new run samples those": (
        "model", "dataset", "seed", "device", "dtype", "mixed_precision", "lora", "lora_rank", "lora_alpha",
        "rollout_n", "batch_size", "epochs", "temperature", "max_prompt_length", "max_response_length",
        "dynamic_sampling", "max_gen_batches", "retire_pass_rate", "target_pass_rate", "warm_start",
    ),
    "with it the step's updates would be others, whose log-probabilities are not recorded": (
        "ppo_epochs", "mini_batch_size", "gradient_accumulation_steps",
    ),
    "it changes the step that the optimizer takes, not the loss": (
        "learning_rate", "betas", "weight_decay", "max_grad_norm", "warmup_steps", "schedule",
    ),
    "it trains the critic, whose values stay as they were recorded": ("critic_learning_rate", "value_clip"),
    "give the settings that it would change": ("profile",),
    "another reward scores the responses again with --reward MODULE:NAME": ("reward",),
}  # fmt: skip
REASONS = {key: reason for reason, keys in _KEYS_OF_REASON.items() for key in keys}
_PATHS = ("model", "dataset", "eval_dataset", "output_dir")
_NO_PART = "it is no part of an update"


def changed_config(recorded: RecordedStep, overrides: Sequence[str]) -> Config:
    """The step's settings with `key=value` changes, read and checked as those of a run.

    A setting that only followed a changed one (the clip of gspo, the kind of a KL in the reward) follows
    again. The notices are those about the changes.

    Raises:
        ConfigError: a setting that cannot be replayed, with the reason, or a wrong one.
    """
    pairs = [text.partition("=") for text in overrides]
    given = {key.strip().rpartition(".")[2]: value.strip() for key, _, value in pairs}
    for key in given:
        if (key in Config.model_fields or key in REASONS) and key not in REPLAYED:
            raise ConfigError(_refusal(key))
    followers = _followers(recorded.config, given)
    kept = {key: value for key, value in acting_values(recorded.config).items() if key not in followers}
    config = make_config(kept, overrides=overrides)
    # a relative name would be read in this working directory
    config = config.model_copy(update={key: getattr(recorded.config, key) for key in _PATHS})
    refuse_unreplayable(recorded, config)
    notices = tuple(
        text
        for text in config.notices
        if not text.startswith("config: ")  # a recorded key that a change switches off
        and any(re.search(rf"\b{key}\b", text) for key in given)
    )
    return config.with_provenance(Provenance(notices, config.origins, recorded.config.folder))


def refuse_unreplayable(recorded: RecordedStep, config: Config) -> None:
    """Refuse settings that need what the step did not record.

    Raises:
        ConfigError: with the reason.
    """
    fixed, changed = recorded.fixed, changed_keys(recorded, config)
    refused = [key for key in changed if key not in REPLAYED]
    if refused:
        raise ConfigError(_refusal(refused[0]))
    if config.adv_estimator == "gae" and fixed.values is None:
        raise ConfigError("`adv_estimator: gae` cannot be replayed: the run had no critic to ask for values")
    parts = any(score.parts for group in recorded.scored for score in group.scores)
    if config.adv_estimator == "gdpo" and not parts:
        raise ConfigError(
            "`adv_estimator: gdpo` cannot be replayed: it compares parts, and the reward has none"
        )
    if not config.use_kl_loss or not any(key.startswith(("kl_", "use_kl_")) for key in changed):
        return
    if config.kl_loss_type == "full":
        raise ConfigError(f"`kl_loss_type: full` cannot be replayed: {_LOGITS}")
    if fixed.reference is None:
        raise ConfigError(
            "a KL term cannot be replayed: it needs the reference's log-probabilities, which only a run with "
            "`use_kl_loss: true`, and a kl_loss_type other than full, records"
        )


def changed_keys(recorded: RecordedStep, config: Config) -> list[str]:
    """The settings that differ from the run's."""
    return [key for key in Config.model_fields if getattr(config, key) != getattr(recorded.config, key)]


def _refusal(key: str) -> str:
    return f"`{key}` cannot be replayed: {REASONS.get(key, _NO_PART)}"


def _followers(old: Config, given: Mapping[str, str]) -> set[str]:
    """Recorded keys whose value may have come with that of a changed key, and which nobody gave."""
    found = set()
    if given.get("loss", old.loss) != old.loss:
        own = all(getattr(old, key) == value for key, value in GSPO_CLIP.items())
        found |= {key for key in REPLAYED if key.startswith("clip_ratio") and given["loss"] == "gspo"}
        found |= set(GSPO_CLIP) if old.loss == "gspo" and own else set()
        found -= given.keys()
    if given.get("kl_placement") == "reward":
        found |= {"kl_loss_type", "kl_importance"} - given.keys()
    return found
