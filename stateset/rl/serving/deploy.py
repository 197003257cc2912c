"""`deploy_to_production`: through the gate into the registry, and only then under the name `production`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stateset.rl.errors import ConfigError, GateError
from stateset.rl.evaluation.criteria import Criteria, make_criteria
from stateset.rl.evaluation.evidence import evidence, made_here
from stateset.rl.evaluation.held_out import evaluate
from stateset.rl.evaluation.improvement import Improvement
from stateset.rl.evaluation.improvement_page import improvement_page
from stateset.rl.evaluation.record import Record, changed_files
from stateset.rl.evaluation.trained_on import Origin, find_origin
from stateset.rl.evaluation.verdict import judge
from stateset.rl.manifest import write_text_atomic
from stateset.rl.policy.frozen import texts_sha256, weights_sha256
from stateset.rl.rollout.model import Model
from stateset.rl.serving.model_card import model_card
from stateset.rl.serving.registry import PRODUCTION, Version, move, publish, refuse_alias
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
        ConfigError: no evaluation, and no held-out rows to make one; one of another model; or a bad alias.
        ModelError: the saved model does not answer as the model.
    """
    refuse_alias(alias)
    found = evaluate(model) if evaluation is None else evaluation
    origin = _origin(model)
    _refuse_another(found.record, model, origin)
    limits = make_criteria(dict(criteria) if isinstance(criteria, Mapping) else criteria)
    changed = changed_files(found.record.files)
    verdict = judge(found.record, limits, changed)
    if not verdict:
        raise GateError(f"the gate is closed: {'; '.join(verdict.reasons)}")

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


def _refuse_another(record: Record, model: Model, origin: Origin | None) -> None:
    """Say no to an evaluation of another model, or one that passed over what this one was trained on."""
    named = f"this is an evaluation of {record.trained}, and"
    then = "evaluate the one that you deploy"
    if record.weights.get("after") != weights_sha256(model.policy):
        raise ConfigError(f"{named} of other weights than those of the model {model.policy.name}: {then}")
    if record.texts.get("after") != texts_sha256(model.policy):
        raise ConfigError(
            f"{named} the model {model.policy.name} has the same weights under another tokenizer, chat "
            f"template or end of an answer: {then}"
        )
    if origin is not None and record.training_run != str(origin.run.absolute()):
        raise ConfigError(
            f"{named} it did not look at the training rows of the run {origin.run}: {then}, loaded from there"
        )


def _origin(model: Model) -> Origin | None:
    try:
        return find_origin(model)
    except ConfigError:  # made elsewhere: the card says so by what it lacks
        return None
