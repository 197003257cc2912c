"""What an evaluation found, in numbers: all that a gate looks at, and nothing that a customer said.

The answers themselves lie beside it, in `answers.jsonl`. A record is a JSON file that is checked when read.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from stateset.rl.errors import ConfigError, DataError
from stateset.rl.evaluation.judge_correction import JudgeErrors
from stateset.rl.manifest import fingerprint, to_json

SUCCESS = "success"
Values = dict[str, float | None]
Side = Literal["before", "after"]
SIDES: tuple[Side, Side] = ("before", "after")
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Row(BaseModel):
    """One test task: what both arms' answers to it are worth, by metric; None where a metric has no value."""

    model_config = _STRICT

    task_id: str
    cluster: str = Field(description="What makes tasks alike, such as their template, customer or thread.")
    slices: dict[str, str] = Field(description="Kind of slice -> this task's value.")
    before: Values
    after: Values

    def change(self, metric: str) -> float:
        """After minus before; 0 where either has no value."""
        before, after = self.before.get(metric), self.after.get(metric)
        return 0.0 if before is None or after is None else after - before

    @field_validator("before", "after", mode="before")
    @classmethod
    def _no_nan(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


class Seconds(BaseModel):
    """Seconds of single answers, one prompt at a time, on one machine."""

    model_config = _STRICT

    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()


class Record(BaseModel):
    """An evaluation of a trained model against its baseline on the same tasks."""

    model_config = _STRICT

    format: Literal["stateset-rl evaluation 2"] = "stateset-rl evaluation 2"
    baseline: str = Field(description="Name of the model before.")
    trained: str = Field(description="Name of the model after; of one that `train` returned, its run.")
    weights: dict[Side, str] = Field(default={}, description="SHA-256 of both models' weights in memory.")
    texts: dict[Side, str] = Field(
        default={}, description="SHA-256 of both models' tokenizer, chat template and ends of an answer."
    )
    rows: tuple[Row, ...]
    cluster_by: str | None = Field(
        default=None, description="Column that clusters are named after; None: an old record does not say."
    )
    unclustered: int = Field(default=0, description="Rows without it: each prompt is a cluster of its own.")
    definitions: dict[str, str] = Field(description="Metric -> what it is, in one sentence.")
    files: dict[str, str] = Field(
        default={}, description="Path -> SHA-256 of test set, training data and models."
    )
    training_rows: int | None = Field(
        default=None, description="Rows looked through for test prompts; None: none."
    )
    training_run: str | None = Field(
        default=None, description="Run that made the trained model, whose rows are among them."
    )
    overlap: tuple[str, ...] = Field(default=(), description="Test tasks whose prompt is among them.")
    alike: tuple[str, ...] = Field(
        default=(), description="Others whose prompt nearly says what one of them does, numbers aside."
    )
    sandboxes: tuple[str, ...] = Field(default=(), description="Where code of the models ran.")
    judges: dict[str, str] = Field(default={}, description="Judge -> why it is not fit; empty: it is.")
    judge_errors: JudgeErrors | None = Field(
        default=None, description="How often a judge that is fit is right, on people's labels."
    )
    seconds: Seconds = Seconds()
    probes: dict[str, tuple[bool, bool]] = Field(
        default={}, description="General probe -> right before, and after."
    )
    secrets: int | None = Field(
        default=None, description="Planted secrets that were listened for; None: none."
    )
    said: tuple[str, ...] = Field(
        default=(), description="Names of those that an answer of the trained model held."
    )
    seed: int = Field(default=0, description="Of the bootstrap.")

    @property
    def clusters(self) -> list[Hashable]:
        """[N] the cluster of each row."""
        return [row.cluster for row in self.rows]

    @property
    def probes_kept(self) -> list[str]:
        """General questions that both models answer rightly."""
        return [name for name, (before, after) in self.probes.items() if before and after]

    @property
    def probes_lost(self) -> list[str]:
        """General questions that only the model before answers rightly."""
        return [name for name, (before, after) in self.probes.items() if before and not after]

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in (*row.before, *row.after)))

    def column(self, metric: str, side: Side) -> list[float]:
        """[N] a metric's values; NaN where it has none.

        Raises:
            ConfigError: no row has this metric; the message lists those there are.
        """
        if metric not in self.metrics:
            known = ", ".join(self.metrics)
            raise ConfigError(f"this evaluation has no metric `{metric}`; it has: {known}")
        values = [getattr(row, side).get(metric) for row in self.rows]
        return [math.nan if value is None else float(value) for value in values]

    def pairs(
        self, metric: str, rows: Iterable[int] | None = None
    ) -> tuple[list[float], list[float], list[Hashable]]:
        """Values before and after, and clusters, of the rows where both have one.

        Args:
            metric: its name.
            rows: indices to take; None: all.

        Raises:
            ConfigError: as `column`.
        """
        before, after, clusters = self.column(metric, "before"), self.column(metric, "after"), self.clusters
        chosen = range(len(clusters)) if rows is None else rows
        whole = [row for row in chosen if not math.isnan(before[row] + after[row])]
        return [before[r] for r in whole], [after[r] for r in whole], [clusters[r] for r in whole]

    def where(self, kind: str) -> dict[str, list[int]]:
        """Value -> indices of its rows, for one kind of slice, sorted by value.

        Raises:
            ConfigError: no row has this kind; the message lists those there are.
        """
        known = list(dict.fromkeys(name for row in self.rows for name in row.slices))
        if kind not in known:
            raise ConfigError(f"this evaluation has no slices by `{kind}`; it has: {', '.join(known) or '-'}")
        found: dict[str, list[int]] = {}
        for index, row in enumerate(self.rows):
            if kind in row.slices:
                found.setdefault(row.slices[kind], []).append(index)
        return dict(sorted(found.items()))

    @property
    def kinds(self) -> list[str]:
        """Kinds of slices, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row.slices))


def read_record(text: str, name: str) -> Record:
    """A record from its JSON.

    Args:
        text: the file's content.
        name: what error messages call it.

    Raises:
        DataError: it is no record, or damaged; the message says where.
    """
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        if first["loc"] == ("format",) and first["input"] == "stateset-rl evaluation 1":
            raise DataError(
                f"{name} is an evaluation of an earlier version, which looked at less of models and training "
                "rows: evaluate again"
            ) from error
        raise DataError(
            f"{name} is no evaluation: {place}: {first['msg']}. `stateset-rl compare BASELINE MODEL "
            "--data ROWS --out FOLDER` writes one"
        ) from error


def record_json(record: Record) -> str:
    """The record as the text of its file."""
    return to_json(record.model_dump(mode="json"), indent=1) + "\n"


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder but hidden ones."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    inside = sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
    return fingerprint(part for one in inside for part in (str(one.relative_to(path)), hash_path(one)))


def hash_files(paths: Sequence[Path]) -> dict[str, str]:
    """Absolute path -> hash, for what is there."""
    return {str(path.absolute()): hash_path(path) for path in paths if path.exists()}


def changed_files(files: Mapping[str, str]) -> list[str]:
    """The files that are gone, or have another hash than they had."""
    return [
        name for name, known in files.items() if not Path(name).exists() or hash_path(Path(name)) != known
    ]


def plain(model: BaseModel) -> dict[str, Any]:
    """The values of a model as JSON has them."""
    return model.model_dump(mode="json")
