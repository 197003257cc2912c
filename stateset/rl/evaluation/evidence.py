"""A gate's evidence: evaluation, criteria and verdict in one JSON file that replays byte for byte.

It holds numbers and task ids, no texts. Whoever writes a file of another evaluation fools himself: what a
replay shows is that this verdict follows from these numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from stateset.rl.errors import DataError, GateError
from stateset.rl.evaluation.criteria import Criteria, make_criteria
from stateset.rl.evaluation.record import Record, plain, read_record
from stateset.rl.evaluation.verdict import Verdict, judge
from stateset.rl.manifest import to_json, versions

FORMAT = "stateset-rl gate 3"
_EARLIER = ("stateset-rl gate 1", "stateset-rl gate 2")
_PARTS = ("format", "made_with", "criteria", "changed", "verdict", "evaluation")


def evidence(
    record: Record, criteria: Criteria, changed: Sequence[str], verdict: Verdict, made_with: Mapping[str, Any]
) -> str:
    """The file's text."""
    return (
        to_json(
            {
                "format": FORMAT,
                "made_with": dict(made_with),
                "criteria": plain(criteria),
                "changed": list(changed),
                "verdict": {"passed": verdict.passed, "reasons": verdict.reasons, **asdict(verdict)},
                "evaluation": plain(record),
            },
            indent=1,
        )
        + "\n"
    )


def made_here() -> dict[str, Any]:
    """Versions of what computes a verdict."""
    return versions(("stateset-rl", "numpy", "scipy"))


def replay(text: str, name: str) -> Verdict:
    """Compute the verdict of an evidence file again.

    Args:
        text: the file's content.
        name: what error messages call it.

    Returns:
        The verdict, which is the file's.

    Raises:
        DataError: it is no evidence of a gate.
        GateError: what is computed here differs from the file.
    """
    parts = _parts(text, name)
    record = read_record(json.dumps(parts["evaluation"]), f"{name}: evaluation")
    criteria = make_criteria(parts["criteria"])
    changed = [str(one) for one in parts["changed"]]
    verdict = judge(record, criteria, changed)
    again = evidence(record, criteria, changed, verdict, parts["made_with"])
    if again != text:
        raise GateError(
            f"{name} does not follow from its own numbers, {_first_difference(text, again)}: it was edited, "
            f"or made with other versions ({_versions(parts['made_with'])}; here {_versions(made_here())})"
        )
    return verdict


def _parts(text: str, name: str) -> dict[str, Any]:
    try:
        parts = json.loads(text)
    except ValueError as error:
        raise DataError(f"{name} is no JSON ({error}): give the file that `gate --out` wrote") from error
    if isinstance(parts, dict) and parts.get("format") in _EARLIER:
        raise DataError(
            f"{name} is of a version whose gate had other rules ({parts['format']}): evaluate again, "
            "`stateset-rl compare ... -o FOLDER`, then `stateset-rl gate FOLDER --out evidence.json`"
        )
    if not isinstance(parts, dict) or parts.get("format") != FORMAT or set(parts) != set(_PARTS):
        raise DataError(f"{name} is no evidence of a gate ({FORMAT}): give the file that `gate --out` wrote")
    kinds = {"made_with": dict, "criteria": dict, "changed": list, "verdict": dict, "evaluation": dict}
    for name_of, kind in kinds.items():
        if not isinstance(parts[name_of], kind):
            raise DataError(f"{name}: `{name_of}` is {parts[name_of]!r:.60}: it was edited")
    return parts


def _first_difference(text: str, again: str) -> str:
    lines = zip(text.splitlines(), again.splitlines(), strict=False)
    for number, (one, other) in enumerate(lines, 1):
        if one != other:
            return f"first in line {number} ({one.strip()!r}, computed {other.strip()!r})"
    return "in its length"


def _versions(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())
