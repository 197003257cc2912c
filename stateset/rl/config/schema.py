"""Every setting of a run, its default and one sentence about it.

A `Config` is checked when it is made, so that a run never fails at step 1,000 for what was known at step 0.
The sentences below are also `docs/configuration.md`. Files, profiles and overrides are read in `load.py`;
what a setting needs beside it to have an effect stands in `rules.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stateset.rl.config.parts import (
    Address,
    AdvEstimator,
    Beta,
    Count,
    DualClip,
    KLLossType,
    LossAggMode,
    LowerClip,
    Name,
    Ratio,
    WarmStart,
    Weight,
)  # fmt: skip
from stateset.rl.errors import ConfigError

GSPO_CLIP = {"clip_ratio_low": 3e-4, "clip_ratio_high": 4e-4}  # arXiv 2507.18071
LEARNING_RATE = 1e-6
LORA_LEARNING_RATE = 1e-5
BUNDLED_TICKETS = "support_tickets"  # a dataset's name, alone or with /train, /validation, /test


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the values of a config came from; no part of what the config is, so equality ignores it."""

    notices: tuple[str, ...] = field(default=(), compare=False)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    folder: Path | None = field(default=None, compare=False)


class Config(BaseModel):
    """The settings of one run: frozen, complete, checked.

    Make one with `load_config` or `make_config` of `load.py`. `learning_rate` and `mini_batch_size` may be
    given as None and are numbers afterwards.

    Raises:
        ConfigError: values that contradict each other.
        pydantic.ValidationError: an unknown key, or a value of the wrong type or range; `load.py` turns it
            into a ConfigError that names file and line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    model: Name | None = Field(None, description="Hub id or folder of the model that is trained.")
    reward: Name | None = Field(
        None, description="The reward as `package.module:Name`, found below the project's folder."
    )
    dataset: Name | None = Field(
        None,
        description="Training rows: a file (.jsonl, .json, .csv, .parquet), or `support_tickets` (bundled).",
    )
    eval_dataset: Name | None = Field(
        None,
        description="File with held-out rows, or `support_tickets/validation`; scored every `eval_every` "
        "steps and never trained on.",
    )
    eval_reward: Name | None = Field(
        None,
        description="Reward whose held-out mean picks the best checkpoint; null: the training reward.",
    )
    verifier: Name | None = Field(
        None,
        description="Says right or wrong, for rewards that ask for `verified`; named like `reward`.",
    )
    objective: str | None = Field(None, description="The goal in your words, shown in report and model card.")
    output_dir: Name | None = Field(None, description="Folder of the run; null: `runs/<time>`.")
    seed: NonNegativeInt = Field(0, lt=2**63, description="Seed of data order and sampling.")

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where the model runs; auto takes cuda, then mps (untested), then cpu."
    )
    dtype: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="Precision of the computation; auto and bf16 keep fp32 master weights."
    )
    mixed_precision: Literal["bf16", "fp16"] | None = Field(
        None, description="bf16 is the same as `dtype: bf16`; fp16 scales gradients and needs a GPU."
    )
    gradient_checkpointing: bool = Field(
        False, description="Computes activations again in the backward pass: less memory, more time."
    )
    micro_batch_tokens: Literal["auto"] | PositiveInt = Field(
        "auto", description="Most tokens in one forward pass; governs memory and never changes the result."
    )
    distributed: bool = Field(False, description="Trains with `num_gpus` processes that work together.")
    rollout_engine: Literal["native", "vllm"] = Field(
        "native", description="What samples the responses; vllm needs the extra of that name, or a server."
    )
    rollout_server: Address | None = Field(
        None, description="Address of a vLLM server, which `stateset-rl rollout-server` starts."
    )
    num_gpus: PositiveInt = Field(1, description="Processes, a GPU each; with `device: cpu` they share it.")
    strategy: Literal["ddp"] = Field(
        "ddp", description="Each process has all weights and a share of prompts."
    )

    lora: bool = Field(False, description="Trains a low-rank adapter on all linear layers, not every weight.")
    lora_rank: PositiveInt = Field(16, le=4096, description="Rank of the adapter.")
    lora_alpha: Count = Field(32, description="Scale of the adapter: its output counts alpha / rank.")

    learning_rate: PositiveFloat = Field(
        None,
        le=1,
        validate_default=True,
        description="Peak learning rate of AdamW; null: 1e-6, with LoRA 1e-5.",
    )
    betas: tuple[Beta, Beta] = Field((0.9, 0.99), strict=False, description="The two moment decays of AdamW.")
    weight_decay: Weight = Field(0.0, description="Decoupled weight decay of AdamW.")
    max_grad_norm: PositiveFloat = Field(1.0, description="Gradients longer than this are scaled down to it.")
    warmup_steps: NonNegativeInt = Field(
        5, description="Optimizer updates of linear warm-up, in the first `train()` call only."
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant",
        description="Learning rate after warm-up; linear and cosine fall to zero at the last step.",
    )

    rollout_n: int = Field(
        8, ge=2, le=4096, description="Responses to each prompt; their mean is the baseline, so at least two."
    )
    batch_size: Count = Field(32, description="Prompts in one training step.")
    epochs: Count = Field(1, description="Passes over the training rows.")
    max_steps: PositiveInt | None = Field(None, description="Ends training after so many steps; null: never.")
    max_minutes: PositiveFloat | None = Field(
        None, description="Ends training after so many minutes, without the step under way; null: never."
    )
    max_cost: PositiveFloat | None = Field(
        None,
        description="Ends training when the run, its earlier calls and processes included, has cost this; "
        "null: never.",
    )
    price_per_hour: PositiveFloat | None = Field(
        None, description="What the machine costs an hour, in the currency of `max_cost`."
    )
    mini_batch_size: PositiveInt = Field(
        None,
        validate_default=True,
        description="Responses (not prompts) in one mini-batch; null: `batch_size x rollout_n`.",
    )
    ppo_epochs: PositiveInt = Field(1, le=1000, description="Passes over the responses of one step.")
    gradient_accumulation_steps: PositiveInt = Field(1, description="Mini-batches in one optimizer update.")
    temperature: float = Field(1.0, ge=0.01, le=100, description="Sampling temperature in training.")
    max_prompt_length: Count = Field(2048, description="Most tokens of a prompt; a longer one is refused.")
    max_response_length: Count = Field(256, description="Most tokens of one response.")

    dynamic_sampling: bool = Field(
        False, description="Replaces groups whose rewards are all equal by groups of other prompts (DAPO)."
    )
    max_gen_batches: PositiveInt = Field(
        3, le=1000, description="Most rounds of sampling in one step of `dynamic_sampling`."
    )
    retire_pass_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Prompts whose mean quality, by the reward's `bounds`, reaches this (such as 0.9) "
        "are not asked again; null: all.",
    )
    target_pass_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Easy prompts first, then those at which the mean quality stays near this (0.5 teaches "
        "most), by each row's `pass_rate` from `data difficulty`; null: shuffled.",
    )
    mask_truncated: bool = Field(
        False, description="Responses cut off at `max_response_length` are compared, but do not train."
    )
    overlong_buffer: NonNegativeInt = Field(
        0, description="Last tokens of `max_response_length` over which a penalty grows; 0: no penalty."
    )
    overlong_penalty: PositiveFloat = Field(
        1.0, description="What a response of `max_response_length` tokens loses."
    )

    adv_estimator: AdvEstimator = Field("grpo", description="How rewards become advantages.")
    norm_adv_by_std: bool = Field(
        True,
        description="Divides advantages by the group's standard deviation; false: reward minus mean.",
    )
    gamma: float = Field(1.0, gt=0, le=1, description="Discount a token of `reinforce_plus_plus` and `gae`.")
    lam: float = Field(
        0.95, ge=0, le=1, description="Of `gae`: 0 trusts the critic's next value, 1 the rewards."
    )
    critic_learning_rate: PositiveFloat = Field(
        1e-5, le=1, description="Peak learning rate of the critic of `gae`; the schedule is the policy's."
    )
    value_clip: PositiveFloat = Field(
        0.5, description="How far the critic's value may move in one training step, unclipped."
    )
    loss: Literal["ppo_clip", "gspo", "cispo", "reinforce"] = Field(
        "ppo_clip", description="The policy loss; gspo clips at 3e-4 and 4e-4 unless a clip is given."
    )
    clip_ratio: Ratio = Field(0.2, description="How far a token's probability ratio may move unclipped.")
    clip_ratio_low: LowerClip | None = Field(
        None, description="Lower distance; null: `clip_ratio`, 1: no lower bound."
    )
    clip_ratio_high: PositiveFloat | None = Field(None, description="Upper distance; null: `clip_ratio`.")
    clip_ratio_dual: DualClip | None = Field(
        3.0, description="Bound on the loss of a response worse than average; null: no bound."
    )
    use_kl_loss: bool = Field(False, description="Adds a KL term that holds the policy near its start.")
    kl_loss_coef: Weight = Field(0.001, description="Weight of the KL term.")
    kl_loss_type: KLLossType = Field(
        "low_var_kl+",
        description="KL estimate; `+` keeps its value and takes the gradient that is right; full is exact.",
    )
    kl_placement: Literal["loss", "reward"] = Field(
        "loss", description="Where the KL term enters; in the reward it is of the kind `kl`."
    )
    kl_importance: bool = Field(
        False, description="Weighs the KL term of a later update by the probability ratio, at most 2."
    )
    loss_agg_mode: LossAggMode = Field(
        "token-mean",
        description="How token losses become one; seq-mean-token-sum-norm divides by max_response_length.",
    )
    entropy_coef: Weight = Field(0.0, description="Weight of an entropy bonus.")

    reward_timeout_seconds: PositiveFloat = Field(
        30.0, le=1_000_000, description="A reward call that takes longer leaves its response unscored."
    )
    reward_check: bool = Field(
        True, description="Try the reward on a few rows first, and refuse one that can teach nothing."
    )
    eval_every: PositiveInt = Field(20, description="Steps between evaluations on `eval_dataset`.")
    save_every: PositiveInt = Field(50, description="Steps between checkpoints.")
    keep_checkpoints: PositiveInt = Field(
        3, description="Newest checkpoints that stay on disk, beside the best; two whole ones always do."
    )
    warm_start: WarmStart | None = Field(
        None, description="Supervised steps on logged replies before GRPO; `{}` takes every default."
    )

    _provenance: Provenance = PrivateAttr(default_factory=Provenance)

    @model_validator(mode="before")
    @classmethod
    def _defaults_that_follow(cls, values: Any) -> Any:
        """Defaults of keys that were not given, where another key decides them."""
        values = dict(values)
        if values.get("loss") == "gspo" and values.get("clip_ratio") is None:
            values |= {key: own for key, own in GSPO_CLIP.items() if values.get(key) is None}
        if values.get("kl_placement") == "reward":
            values.setdefault("kl_loss_type", "kl")
        return values

    @field_validator("learning_rate", mode="before")
    @classmethod
    def _default_learning_rate(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None:
            return value
        return LORA_LEARNING_RATE if info.data.get("lora") else LEARNING_RATE

    @field_validator("mini_batch_size", mode="before")
    @classmethod
    def _default_mini_batch_size(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None:
            return value
        return info.data.get("batch_size", 1) * info.data.get("rollout_n", 1)

    @model_validator(mode="after")
    def _check_mini_batch(self) -> Config:
        if self.mini_batch_size % self.rollout_n == 0:
            return self
        nearest = max(1, self.mini_batch_size // self.rollout_n) * self.rollout_n
        raise ConfigError(
            f"mini_batch_size {self.mini_batch_size} is no multiple of rollout_n {self.rollout_n}: "
            f"mini-batches count responses and hold whole groups. Set mini_batch_size to {nearest}."
        )

    @model_validator(mode="after")
    def _check_overlong(self) -> Config:
        if self.overlong_buffer <= self.max_response_length:
            return self
        raise ConfigError(
            f"overlong_buffer {self.overlong_buffer} is more than max_response_length "
            f"{self.max_response_length}, of which it is the end: lower it."
        )

    @model_validator(mode="after")
    def _check_kl_placement(self) -> Config:
        if self.kl_placement == "loss" or self.kl_loss_type in ("kl", "k1"):
            return self
        raise ConfigError(
            f"kl_placement reward takes the kind `kl`, and kl_loss_type is {self.kl_loss_type}: a penalty on "
            "the reward has no gradient of its own, only the unbiased value is right. Remove kl_loss_type."
        )

    @model_validator(mode="after")
    def _check_precision(self) -> Config:
        if self.mixed_precision is None or self.dtype in ("auto", self.mixed_precision):
            return self
        raise ConfigError(
            f"dtype {self.dtype} and mixed_precision {self.mixed_precision} are two precisions: remove one."
        )

    @model_validator(mode="after")
    def _check_cost(self) -> Config:
        if self.max_cost is None or self.price_per_hour is not None:
            return self
        raise ConfigError(f"max_cost {self.max_cost} needs a price: add price_per_hour, or remove max_cost.")

    @model_validator(mode="after")
    def _check_dynamic_sampling(self) -> Config:
        if not self.dynamic_sampling or self.adv_estimator not in ("reinforce_plus_plus", "gae"):
            return self
        raise ConfigError(
            f"dynamic_sampling replaces groups of equal rewards; adv_estimator {self.adv_estimator} learns "
            "from those, too: remove dynamic_sampling, or take an estimator that compares within a group."
        )

    def limit_seconds(self, spent: float = 0.0) -> float:
        """Seconds after which a `train()` call ends: `max_minutes`, or what `max_cost` still buys.

        Args:
            spent: seconds that the run's earlier calls and processes took.
        """
        limits = [math.inf if self.max_minutes is None else 60 * self.max_minutes]
        if self.max_cost is not None and self.price_per_hour is not None:
            limits.append(max(0.0, 3600 * self.max_cost / self.price_per_hour - spent))
        return min(limits)

    @property
    def compute_dtype(self) -> Literal["auto", "bf16", "fp32", "fp16"]:
        """The precision that `dtype` and `mixed_precision` ask for together."""
        return self.mixed_precision or self.dtype

    @property
    def clip_bounds(self) -> tuple[float, float]:
        """Lower and upper clip distance that act: `clip_ratio` where low or high is not given."""
        low = self.clip_ratio if self.clip_ratio_low is None else self.clip_ratio_low
        high = self.clip_ratio if self.clip_ratio_high is None else self.clip_ratio_high
        return low, high

    def mini_batches(self, num_responses: int) -> int:
        """Mini-batches that this many responses make; the last may be smaller."""
        return -(-num_responses // self.mini_batch_size)

    def updates(self, num_responses: int) -> int:
        """Optimizer updates made from one step's responses, all `ppo_epochs` together."""
        return self.ppo_epochs * -(-self.mini_batches(num_responses) // self.gradient_accumulation_steps)

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences that the user should see: settings that do something else than they seem to."""
        return self._provenance.notices

    @property
    def origins(self) -> Mapping[str, str]:
        """Where each given key was set: "run.yaml:4", "profile balanced", "override"."""
        return self._provenance.origins

    @property
    def folder(self) -> Path:
        """The project's folder: the config file's, or the working directory for a config made in Python."""
        return self._provenance.folder or Path.cwd()

    def with_provenance(self, provenance: Provenance) -> Config:
        """Return the same settings, with where they came from."""
        copy = self.model_copy()
        copy._provenance = provenance
        return copy
