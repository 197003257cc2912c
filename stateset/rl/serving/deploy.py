"""`deploy_to_production`: through the gate into the registry, and only then under the name `production`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stateset.rl.errors import ConfigError, GateError
from stateset.rl.evaluation.criteria import Criteria, make_criteria
from stateset.rl.evaluation.evidence import evidence, made_here
from stateset.rl.evaluation.held_out import Origin, evaluate, find_origin
from stateset.rl.evaluation.improvement import Improvement
from stateset.rl.evaluation.improvement_page import improvement_page
from stateset.rl.evaluation.record import changed_files
from stateset.rl.evaluation.verdict import judge
from stateset.rl.manifest import write_text_atomic
from stateset.rl.policy.frozen import weights_sha256
from stateset.rl.rollout.model import Model
from stateset.rl.serving.model_card import model_card
from stateset.rl.serving.registry import PRODUCTION, Version, move, publish
from stateset.rl.serving.self_test import self_test
from stateset.rl.tracking.read_runs import read_run

_TRIED = 4  # prompts of the self-test


def deploy_to_production(
    model: Model,
    *,
    evaluation: Improvement | None = None,
    criteria: Criteria | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    alias: str = PRODUCTION,
) -> Version:
    """Put a model into the registry and let `production` name it, if it meets the criteria.

    The version's folder holds weights, model card (`README.md`), the gate's evidence and the evaluation. It
    is loaded again and must answer as the model does before the alias moves; whatever fails, the alias
    names what it named before.

    Args:
        model: a trained model.
        evaluation: of this model; None: it is evaluated on the rows that its run held out.
        criteria: as for `meets_criteria`; None: a gain of success that is sure.
        alias: another name than `production`.

    Raises:
        GateError: the model does not meet the criteria; the message has the reasons.
        ConfigError: no evaluation, and no held-out rows to make one; or one of another model.
        ModelError: the saved model does not answer as the model.
    """
    found = evaluate(model) if evaluation is None else evaluation
    if found.record.weights.get("after") != weights_sha256(model.policy):
        raise ConfigError(
            f"this is an evaluation of {found.record.trained}, and of other weights than those of the model "
            f"{model.policy.name}: evaluate the one that you deploy"
        )
    limits = make_criteria(dict(criteria) if isinstance(criteria, Mapping) else criteria)
    changed = changed_files(found.record.files)
    verdict = judge(found.record, limits, changed)
    if not verdict:
        raise GateError(f"the gate is closed: {'; '.join(verdict.reasons)}")
    origin = _origin(model)

    def write(folder: Path) -> None:
        base = str(origin.settings["model"]) if origin else found.record.baseline
        model.save(folder)
        tested = self_test(model, folder, [pair.prompt for pair in found.answers[:_TRIED]])
        card = model_card(
            found, verdict, base=base, settings=origin.settings if origin else {},
            manifest=read_run(origin.run).manifest if origin else {}, self_test=tested,
        )  # fmt: skip
        write_text_atomic(folder / "README.md", card)
        write_text_atomic(
            folder / "evidence.json", evidence(found.record, limits, changed, verdict, made_here())
        )
        found.save(folder / "evaluation")
        write_text_atomic(folder / "evaluation" / "report.html", improvement_page(found))

    return move(alias, publish(write).name)


def _origin(model: Model) -> Origin | None:
    try:
        return find_origin(model)
    except ConfigError:  # made elsewhere: the card says so by what it lacks
        return None
