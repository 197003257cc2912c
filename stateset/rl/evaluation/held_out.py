"""`evaluate(model)`: a trained model against what it started from, on the rows that its run held out."""

from __future__ import annotations

from typing import Any

from stateset.rl.config.schema import BUNDLED_TICKETS
from stateset.rl.errors import ConfigError
from stateset.rl.evaluation.improvement import Improvement
from stateset.rl.evaluation.models import evaluate_models
from stateset.rl.evaluation.trained_on import find_origin, trained_on
from stateset.rl.policy.load import load_policy
from stateset.rl.rewards.resolve import resolve_reward
from stateset.rl.rollout.model import Model


def evaluate(
    model: Model, test_set: Any = None, *, baseline: Model | None = None, **options: Any
) -> Improvement:
    """Compare a trained model with what it started from, as its run's records say.

    The run's training rows, and those of its warm start, are looked through for the test prompts. Where the
    rows are no bundled tickets and `success` is not given, the run's `eval_reward`, else its `reward`, says
    which answers are right: above the middle of its bounds.

    Args:
        model: `train` returned it, or `load_model` loaded it from a run.
        test_set: rows; None: the run's `eval_dataset`. That one has been looked at during the run, once an
            evaluation; rows that were never looked at are better evidence.
        baseline: None: the model that the run started from.
        options: as for `evaluate_models`; `max_new_tokens` is the run's `max_response_length`.

    Raises:
        ConfigError: no run made this model, it held out no rows that can be found again, or its records no
            longer show all that it was trained on.
        DataError: the run's files are damaged.
    """
    origin = find_origin(model)
    test_set = origin.settings.get("eval_dataset") if test_set is None else test_set
    if test_set is None:
        raise ConfigError(
            f"the run {origin.run} names no `eval_dataset`, so there are no held-out rows: set it in the "
            "project file before training, or give rows that the model was not trained on: "
            "evaluate(model, test_set)"
        )
    options.setdefault("max_new_tokens", origin.settings["max_response_length"])
    if options.get("training_data") is None:
        options["training_data"] = seen = trained_on(origin)
        if seen.missing:
            raise ConfigError(
                f"the records of the run {origin.run} no longer show all rows that it was trained on "
                f"({seen.missing}): give them, evaluate(model, training_data=ROWS)"
            )
    named = origin.settings.get("eval_reward") or origin.settings.get("reward")
    if options.get("success") is None and named and not _bundled(test_set):
        options["success"] = resolve_reward(named, origin.project)[0]
    before = baseline or Model(load_policy(str(origin.settings["model"])))
    return evaluate_models(before, model, test_set, **options)


def _bundled(test_set: Any) -> bool:
    return isinstance(test_set, str) and test_set.partition("/")[0] == BUNDLED_TICKETS
