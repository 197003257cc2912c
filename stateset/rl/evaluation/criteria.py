"""`criteria.yaml`: what a trained model must show before it replaces the baseline.

Every criterion must pass (an intersection-union test, Berger 1982): a model that truly misses one of them
passes the whole with a chance of at most `alpha`, however many there are, so nothing is corrected for their
number. What is to be shown must be shown: the end of a one-sided interval counts, not the estimate.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError, model_validator

from stateset.rl.config.yaml_file import read_yaml
from stateset.rl.errors import ConfigError

Margin = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Gain = Annotated[float, Field(allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, lt=1)]
_MAPPINGS = ("gains", "margins", "slices", "rates")


class Criteria(BaseModel):
    """What must be shown; frozen and checked when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.05, description="Chance that a model passes which truly misses a criterion."
    )
    min_rows: Annotated[int, Field(ge=2)] = Field(default=100, description="A smaller test set is refused.")
    min_clusters: Annotated[int, Field(ge=2)] = Field(
        default=50, description="So is one of fewer clusters; below 50 the intervals are not vouched for."
    )
    near_duplicates: bool = Field(
        default=False, description="True: test rows that nearly say what a training row says may be there."
    )
    gains: dict[str, Gain] = Field(
        default={"success": 0.0},
        description="Metric -> gain that must be exceeded for sure; 0: better at all. Of policy_violation, "
        "pii and words a fall is the gain.",
    )
    margins: dict[str, Margin] = Field(
        default={},
        description="Metric -> loss that surely is not reached (non-inferiority); of those three, a rise.",
    )
    slices: dict[str, Margin | None] = Field(
        default={},
        description="Kind of slice -> loss of success that surely is not reached in each of its values; "
        "null: refused where a fall is shown (Holm over the values), or no fall could be.",
    )
    rates: dict[str, Rate] = Field(
        default={},
        description="Share of answers, such as policy_violation or pii -> rate that is surely not reached.",
    )
    most_seconds: PositiveFloat | None = Field(
        default=None, description="Most seconds of one answer, of 95 % of them, as measured."
    )
    most_slowdown: PositiveFloat | None = Field(
        default=None, description="The same as a multiple of the baseline's: 1.2 is a fifth slower."
    )
    most_forgotten: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="General probes, right before, that may be wrong after."
    )

    @model_validator(mode="after")
    def _shows_something(self) -> Criteria:
        if not (self.gains or self.margins or self.slices):
            raise ValueError("name a gain, a margin or a slice: nothing else says what the model is good for")
        return self


def load_criteria(file: str | os.PathLike[str]) -> Criteria:
    """Read a `criteria.yaml`.

    Raises:
        ConfigError: it cannot be read, or a key or value is wrong; the message names file and line.
    """
    values: dict[str, Any] = {}
    lines: dict[str, str] = {}
    for entry in read_yaml(Path(file)):
        outer, dot, inner = entry.path.partition(".")
        if outer not in Criteria.model_fields:
            raise ConfigError(f"{entry.where}: unknown key `{outer}`. {_nearest(outer)}")
        lines[entry.path] = entry.where
        if dot:
            values.setdefault(outer, {})[inner] = entry.value
        else:
            values[outer] = {} if entry.value is None and outer in _MAPPINGS else entry.value
    return _made(values, lines, Path(file).name)


def make_criteria(values: Criteria | dict[str, Any] | str | os.PathLike[str] | None) -> Criteria:
    """Criteria from a mapping or a file; None: success must be better at all.

    Raises:
        ConfigError: as `load_criteria`.
    """
    if isinstance(values, Criteria):
        return values
    if isinstance(values, str | os.PathLike):
        return load_criteria(values)
    unknown = [name for name in values or {} if name not in Criteria.model_fields]
    if unknown:
        raise ConfigError(f"criteria: unknown key `{unknown[0]}`. {_nearest(unknown[0])}")
    return _made(dict(values or {}), {}, "criteria")


def _made(values: dict[str, Any], lines: dict[str, str], name: str) -> Criteria:
    try:
        return Criteria(**values)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise ConfigError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error
        path = ".".join(map(str, first["loc"][:2]))
        outer = str(first["loc"][0])
        where = lines.get(path) or lines.get(outer) or name
        sentence = Criteria.model_fields[outer].description
        message = first["msg"].replace("Input should", "it must")
        raise ConfigError(
            f"{where}: `{path}` is {first['input']!r}: {message}. {outer}: {sentence}"
        ) from error


def _nearest(key: str) -> str:
    known = list(Criteria.model_fields)
    near = difflib.get_close_matches(key, known, 1)
    return f"Did you mean `{near[0]}`?" if near else f"Known keys: {', '.join(known)}."
