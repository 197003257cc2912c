"""The kinds of values that settings take, and the settings of the warm start, which has keys of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

Beta = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(min_length=1)]
Address = Annotated[
    str, Field(pattern=r"^https?://[^/\s@]+(/\S*)?$")
]  # no password: it is written to the run
Ratio = Annotated[float, Field(gt=0, lt=1)]
LowerClip = Annotated[float, Field(gt=0, le=1)]
DualClip = Annotated[float, Field(gt=1)]
Count = Annotated[int, Field(gt=0, le=1_000_000)]
Weight = Annotated[float, Field(ge=0, le=1000)]
PlainKL = Literal["kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3"]
StraightThroughKL = Literal["kl+", "k1+", "abs+", "mse+", "k2+", "low_var_kl+", "k3+"]
KLLossType = Literal[PlainKL, StraightThroughKL, "full"]
AdvEstimator = Literal[
    "grpo", "grpo_batch_std", "rloo", "maxrl", "grpo_passk", "gdpo",
    "reinforce_plus_plus", "reinforce_plus_plus_baseline", "gae",
]  # fmt: skip
LossAggMode = Literal["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"]


class WarmStart(BaseModel):
    """The supervised stage before GRPO; its keys are written below `warm_start:`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    rows: Name | None = Field(None, description="File with rows to imitate; null: the training rows.")
    column: Name = Field(
        "reply", description="Column of the replies: `reply` is the logged one, `answer` the gold one."
    )
    epochs: Count = Field(1, description="Passes over those rows.")
    max_steps: PositiveInt | None = Field(
        None, description="Ends the stage after so many steps; null: never."
    )
    batch_size: Count = Field(8, description="Replies in one supervised step.")
    learning_rate: PositiveFloat = Field(
        3e-5, le=1, description="Peak learning rate; rises over 5 steps, then falls linearly to zero."
    )
