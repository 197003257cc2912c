"""OpenAI's reinforcement fine-tuning jobs: their JSON and rows, read for a project of ours.

OpenAI takes no new such jobs from 6 January 2027. Nothing is dropped in silence: whatever has no counterpart
here becomes a remark.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stateset.rl.data.files import read_rows
from stateset.rl.data.rows import Row, check_texts
from stateset.rl.errors import ConfigError, DataError

GRADERS = ("string_check", "text_similarity", "score_model", "label_model", "python", "multi")
LISTED = 5  # problems of a file that an error shows
# of a job: ours, and what to say about it
_NUMBERS = {"n_epochs": "epochs", "batch_size": "batch_size", "eval_interval": "eval_every"}
_UNMAPPED = {
    "compute_multiplier": "more exploration is a larger rollout_n",
    "eval_samples": "an evaluation answers every held-out row once, greedily",
    "reasoning_effort": "an open model has no such switch",
}
_OF_THE_JOB = {
    "suffix": "name the run with output_dir",
    "integrations": "pass trackers= in Python",
    "metadata": "keep it in a comment of the project file",
}
_KNOWN = {  # what else a job, its method or a grader may have without a remark
    "job": "created_at error estimated_finish fine_tuned_model finished_at grader hyperparameters id method "
    "model object organization_id reinforcement response_format result_files seed status trained_tokens "
    "training_file type validation_file",
    "string_check": "input name operation pass_threshold reference type",
    "text_similarity": "evaluation_metric input name pass_threshold reference type",
    "score_model": "image_tag input model name pass_threshold range sampling_params type",
    "label_model": "input labels model name pass_threshold passing_labels sampling_params type",
    "python": "image_tag name pass_threshold source type",
    "multi": "calculate_output graders name pass_threshold type",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as a project of ours.

    Attributes:
        grader: its JSON object.
        settings: ours, by key.
        remarks: what differs, what has no counterpart, and what to do about it.
    """

    grader: Mapping[str, Any]
    settings: Mapping[str, Any]
    remarks: list[str] = field(default_factory=list)

    def functions(self) -> dict[str, str]:
        """The source of each `python` grader, by the name under which `openai_grader` looks for it.

        Raises:
            ConfigError: it is no Python, or defines no `grade`.
        """
        inside = self.grader.get("graders")
        named = inside if isinstance(inside, Mapping) else {str(self.grader.get("name", "")): self.grader}
        python = {key: one for key, one in named.items() if isinstance(one, Mapping) and _is_python(one)}
        return {key: _source(key, one.get("source")) for key, one in python.items()}

    def answered(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row with its `answer`, where the grader compares the whole response with a column of `item`."""
        place = re.fullmatch(r"\{\{\s*item\.([\w-]+)\s*\}\}", str(self.grader.get("reference")))
        whole = re.fullmatch(r"\{\{\s*sample\.output_text\s*\}\}", str(self.grader.get("input")))
        if not place or not whole or self.grader.get("operation") in ("ne", "neq"):
            return dict(row)
        answer = row["item"].get(place[1])
        return {**row, "answer": answer} if isinstance(answer, str) else dict(row)

    def asks_models(self) -> bool:
        """Whether a grader asks a model."""
        return any(f'"{kind}"' in json.dumps(self.grader) for kind in ("score_model", "label_model"))


def _is_python(grader: Mapping[str, Any]) -> bool:
    return bool(grader.get("type") == "python")


def _source(key: str, source: Any) -> str:
    """The code of a `python` grader, read but not run."""
    try:
        tree = ast.parse(source) if isinstance(source, str) else None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"the python grader {key!r} has a `source` that is no Python: {error}") from error
    if tree is None or not any(isinstance(one, ast.FunctionDef) and one.name == "grade" for one in tree.body):
        raise ConfigError(f"the python grader {key!r} has no `source` that defines grade(sample, item)")
    return str(source)


def _about_functions(sources: Mapping[str, str]) -> Iterator[str]:
    """What to know of code that ran in a container of OpenAI's, with packages of theirs."""
    for key, source in sources.items():
        yield f"python grader {key}: code of yours, read it: it runs here with your rights, in no container"
        nodes = list(ast.walk(ast.parse(source)))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
        tops = sorted({name.partition(".")[0] for name in names})
        missing = [name for name in tops if not _is_there(name)]
        if missing:
            yield f"python grader {key}: it imports {', '.join(missing)}, which is not installed here"


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # a module that runs without a spec, as __main__ does
        return True


def read_job(path: Path, base_learning_rate: float) -> Job:
    """Read a job: the body of a request, a stored job, its `method`, or a grader alone.

    Args:
        path: a JSON file.
        base_learning_rate: what `learning_rate_multiplier` multiplies.

    Raises:
        ConfigError: it is no JSON, or there is no grader in it.
        DataError: it holds half a character, or a NUL.
    """
    try:
        job = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
    check_texts(Row(job, str(path)), job)
    job = job if isinstance(job, Mapping) else {}
    method = _part(_part(job, "method") or job, "reinforcement") or job
    grader = job if str(job.get("type")) in GRADERS else _part(method, "grader")
    if grader.get("type") not in GRADERS:
        raise ConfigError(
            f"{path} has no grader: give the JSON of a reinforcement fine-tuning job (method.reinforcement."
            "grader), or a grader alone"
        )
    settings, remarks = _settings(job, _part(method, "hyperparameters"), base_learning_rate)
    made = Job(grader=grader, settings=settings, remarks=[*remarks, *_about(job, method, grader)])
    made.remarks.extend(_about_functions(made.functions()))
    return made


def _part(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = mapping.get(name)
    return found if isinstance(found, Mapping) else {}


def _settings(
    job: Mapping[str, Any], given: Mapping[str, Any], base_learning_rate: float
) -> tuple[dict[str, Any], list[str]]:
    settings: dict[str, Any] = {}
    remarks = []
    chosen = {name: value for name, value in given.items() if value not in (None, "auto", "default")}
    for name, value in chosen.items():
        if name in _NUMBERS:
            settings[_NUMBERS[name]] = _above_zero(name, value, int)
        elif name == "learning_rate_multiplier":
            _above_zero(name, value, (int, float))
            settings["learning_rate"] = base_learning_rate * value
            remarks.append(
                f"learning_rate_multiplier {value}: {value} x {base_learning_rate:g}; OpenAI's base is not "
                "published, so choose the rate on held-out rows"
            )
        else:
            remarks.append(f"{name} {value}: not mapped; {_UNMAPPED.get(name, 'it is unknown here')}")
    if type(seed := job.get("seed")) is int and seed >= 0:
        settings["seed"] = seed
    return settings, remarks


def _above_zero(name: str, value: Any, kind: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value <= sys.float_info.max:
        raise ConfigError(f'the job\'s hyperparameter {name} is {value!r}: a number above 0, or "auto"')
    return value


def _about(job: Mapping[str, Any], method: Mapping[str, Any], grader: Mapping[str, Any]) -> list[str]:
    remarks = [f"{name}: not mapped; {advice}" for name, advice in _OF_THE_JOB.items() if job.get(name)]
    if job is not grader and job.get("model"):  # a grader's own model is the judge's
        remarks.append(f"model {job['model']}: its weights are not open; the project trains an open model")
    if method.get("response_format"):
        remarks.append(
            "response_format: nothing forces the form while sampling; say it in the prompts. A response that "
            "is no JSON, or lacks a field that the grader reads, is graded 0"
        )
    text = json.dumps(grader)
    if "pass_threshold" in text:
        remarks.append("pass_threshold: grades train as they are; there as here it only counts passes")
    if '"image_tag"' in text:
        remarks.append("image_tag: there is no container; install what the python grader imports")
    if "output_tools" in text:
        remarks.append("sample.output_tools: responses are text, without tool calls, so such grades are 0")
    if "output_audio" in text:
        remarks.append("sample.output_audio: responses are text, so such grades are 0")
    return [*remarks, *_unknown(job, method, grader)]


def _unknown(job: Mapping[str, Any], method: Mapping[str, Any], grader: Mapping[str, Any]) -> Iterator[str]:
    """Remarks on fields that nobody here has heard of."""
    inside = {f"graders.{key}": one for key, one in _part(grader, "graders").items()}
    for place, found in {"job": job, "method": method, "grader": grader, **inside}.items():
        if not isinstance(found, Mapping) or (place in ("job", "method") and found is grader):
            continue
        kind = "job" if place in ("job", "method") else str(found.get("type"))
        known = {*_KNOWN.get(kind, "").split(), *(_OF_THE_JOB if kind == "job" else ())}
        if place != "method" or found is not job:
            yield from (f"{place}.{name}: not mapped; it is unknown" for name in sorted({*found} - known))


def read_examples(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of ours from a job's file: `prompt`, and the whole row as `item`, which graders read.

    Returns:
        The rows, and remarks.

    Raises:
        DataError: rows that cannot be used, with their lines.
    """
    rows, problems = [], []
    ignored: set[str] = set()
    for row in read_rows(path, str(path)):
        try:
            if row.problem:
                raise DataError(f"{row.where}: {row.problem}")
            check_texts(row, row.value, depth=1)  # as `item` it will lie one deeper
            rows.append({"prompt": _prompt(row), "item": row.value})
            ignored |= {name for name in ("tools", "parallel_tool_calls") if row.value.get(name)}
        except DataError as error:
            problems.append(str(error))
    if problems:
        more = f"\nand {len(problems) - LISTED} more" if len(problems) > LISTED else ""
        raise DataError("\n".join(problems[:LISTED]) + more)
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows, [
        f"{name} of {path.name}: not given to the model; its prompts are text" for name in sorted(ignored)
    ]


def _prompt(row: Row) -> list[dict[str, str]]:
    messages = row.value.get("messages") if isinstance(row.value, Mapping) else None
    if not isinstance(messages, list) or not messages:
        raise DataError(f"{row.where}: no `messages`: a row of a fine-tuning file has a list of them")
    found = [_message(message, f"{row.where}: messages[{index}]") for index, message in enumerate(messages)]
    if found[-1]["role"] == "assistant":
        raise DataError(
            f"{row.where}: `messages` ends with an assistant's: the last one is what the model answers"
        )
    return found


def _message(message: Any, where: str) -> dict[str, str]:
    role = message.get("role") if isinstance(message, Mapping) else None
    if role not in ("system", "developer", "user", "assistant"):
        raise DataError(f"{where} has the role {role!r}: system, developer, user or assistant")
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [
        part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str)
    ]
    if len(texts) < len(parts):
        raise DataError(f"{where} holds something that is no text (an image, a tool call?)")
    return {"role": "system" if role == "developer" else role, "content": "".join(texts)}
