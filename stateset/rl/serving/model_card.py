"""The model card of a version: what it is for, what it learnt from, what was shown, and where it fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stateset.rl.data.frozen import manifest_of
from stateset.rl.evaluation.improvement import Improvement
from stateset.rl.evaluation.improvement_report import grids, summary
from stateset.rl.evaluation.paired import least_p
from stateset.rl.evaluation.record import SUCCESS
from stateset.rl.evaluation.tables import cell, markdown_grid
from stateset.rl.evaluation.verdict import Verdict
from stateset.rl.manifest import to_json

_FAILURES = 5
_SURE = 0.05


def model_card(
    found: Improvement,
    verdict: Verdict,
    *,
    base: str,
    settings: Mapping[str, Any],
    manifest: Mapping[str, Any],
    self_test: Sequence[str],
) -> str:
    """The card as Markdown, with the front matter that model hubs read.

    Args:
        found: the evaluation.
        verdict: of the gate.
        base: what training started from.
        settings: of the run that made the model; empty if none is known.
        manifest: of that run.
        self_test: what loading it again found.
    """
    front = {"base_model": base, "library_name": "transformers", "pipeline_tag": "text-generation"}
    head = [f"{name}: {to_json(value)}" for name, value in front.items()]
    blocks = [
        "\n".join(["---", *head, "tags: [stateset-rl, grpo]", "---"]),
        f"# {cell(base)}, trained with stateset-rl",
        _purpose(settings),
        "## Where it comes from",
        "\n".join(f"- {name}: {cell(value)}" for name, value in _lineage(base, settings, manifest)),
        "## What was shown",
        "\n".join(f"- {one}" for one in summary(found)),
        *map(markdown_grid, grids(found)),
        "\n".join(f"- **{name}**: {said}" for name, said in found.record.definitions.items()),
        "## The gate",
        "\n".join(f"- {'pass' if check.passed else 'FAIL'}: {check.said}" for check in verdict.checks),
        "Evidence: `evidence.json` (`stateset-rl gate evidence.json --replay`).",
        "## Known failures",
        *_failures(found),
        "## How to use it",
        _usage(self_test),
    ]
    return "\n\n".join(blocks) + "\n"


def _purpose(settings: Mapping[str, Any]) -> str:
    objective = settings.get("objective")
    said = f"Made for: {cell(str(objective))}" if objective else "Nobody wrote down what for (`objective:`)"
    return f"{said}. It is meant for prompts like its training rows; only what stands below was looked at."


def _lineage(base: str, settings: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rewards and rows that were given in Python have no name in the settings; the manifest knows them."""
    warm_start, rows = settings.get("warm_start") or {}, manifest.get("rows")
    given = f"{rows} rows, given in Python" if rows else None
    facts = {
        "starting point": base,
        "reward": settings.get("reward") or manifest.get("reward"),
        "training rows": settings.get("dataset") or given,
        "their SHA-256": manifest.get("data_sha256"),
        "prepared from": _sources(settings.get("dataset")),
        "imitated before": warm_start.get("rows"),
        "seed": settings.get("seed"),
    }
    return [(name, str(value)) for name, value in facts.items() if value is not None]


def _sources(dataset: Any) -> str | None:
    """The files that `data prepare` made the training rows of, and what became of their rows."""
    found = manifest_of(Path(str(dataset)))
    if found is None:
        return None
    files = [f"{one['file']} (SHA-256 {one.get('sha256', 'unknown')})" for one in found["sources"]]
    counts = [f"{name} {count}" for name, count in found["counts"].items()]
    pii = [f"{kind} {count}" for kind, count in found["pii"].items()]
    return f"{', '.join(files)}; {', '.join(counts)}; personal data replaced: {', '.join(pii) or 'none'}"


def _failures(found: Improvement) -> list[str]:
    """Slices that surely fell, those with the fewest right answers, and the tasks that got worse."""
    slices = [(kind, one) for kind in found.record.kinds for one in found.slices(kind)]
    fell = [f"{kind} {one.value}" for kind, one in slices if one.after < one.before and one.p_value < _SURE]
    lines = [f"- {SUCCESS} fell, surely, in: {', '.join(fell) or 'no slice'}"]
    of_kind = Counter(kind for kind, _ in slices)
    few = sum(
        2 * least_p(one.num_clusters) * of_kind[kind] >= _SURE for kind, one in slices
    )  # two-sided, Holm
    if few:
        lines.append(f"- {few} of {len(slices)} slices have too few clusters to show a fall")
    worst = sorted(slices, key=lambda pair: pair[1].after)[:_FAILURES]
    said = ", ".join(f"{kind} {one.value} {one.after:.0%} (of {one.num_rows})" for kind, one in worst)
    lines.append(f"- fewest right answers: {said}")
    if found.record.probes:
        lines.append(
            f"- general questions that it no longer answers: {', '.join(found.record.probes_lost) or 'none'}"
        )
    worse = found.regressions(_FAILURES)
    lines += [f"- worse than before: {cell(pair.task_id)}: {cell(pair.after)}" for pair in worse]
    return ["\n".join(lines)]


def _usage(self_test: Sequence[str]) -> str:
    tried = "\n".join(f"- tried when it was deployed: {one}" for one in self_test)
    return f"""```python
from stateset.rl import load_model

model = load_model("production")
```

{tried}
- `vllm serve FOLDER` reads this folder (an adapter: its `merged/`); not tried here.
- Ollama wants a GGUF file, which llama.cpp's `convert_hf_to_gguf.py FOLDER` makes; not tried here."""
