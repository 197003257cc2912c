"""Train a language model toward your own reward with GRPO.

The public names are loaded when they are first asked for: `import stateset.rl` imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stateset.rl.config.load import load_config
    from stateset.rl.data.bundled import load_customer_service_data
    from stateset.rl.data.difficulty import filter_by_difficulty
    from stateset.rl.data.prepare import prepare_training_data
    from stateset.rl.errors import MissingExtraError
    from stateset.rl.evaluation.held_out import evaluate
    from stateset.rl.evaluation.models import evaluate_models
    from stateset.rl.quickstart import load_model, train_grpo_model
    from stateset.rl.rewards.reward import RewardFunction, reward
    from stateset.rl.rewards.service import (
        CustomerSatisfactionReward,
        CustomerServiceReward,
        evaluate_response,
    )
    from stateset.rl.serving.deploy import deploy_to_production
    from stateset.rl.trainer import GRPOTrainer
    from stateset.rl.types import Score
    from stateset.rl.verifiers.answers import verify_math
    from stateset.rl.verifiers.verifier import Verifier, verifier

    __version__: str

__all__ = [
    "CustomerSatisfactionReward",
    "CustomerServiceReward",
    "GRPOTrainer",
    "MultiObjectiveReward",
    "RewardFunction",
    "Score",
    "Verifier",
    "deploy_to_production",
    "evaluate",
    "evaluate_models",
    "evaluate_response",
    "filter_by_difficulty",
    "load_config",
    "load_customer_service_data",
    "load_model",
    "prepare_training_data",
    "reward",
    "train_grpo_model",
    "verifier",
    "verify_math",
]

_HOMES = {
    "CustomerSatisfactionReward": "rewards.service",
    "CustomerServiceReward": "rewards.service",
    "GRPOTrainer": "trainer",
    "MultiObjectiveReward": "rewards.combine",
    "RewardFunction": "rewards.reward",
    "Score": "types",
    "Verifier": "verifiers.verifier",
    "deploy_to_production": "serving.deploy",
    "evaluate": "evaluation.held_out",
    "evaluate_models": "evaluation.models",
    "evaluate_response": "rewards.service",
    "filter_by_difficulty": "data.difficulty",
    "load_config": "config.load",
    "load_customer_service_data": "data.bundled",
    "load_model": "quickstart",
    "prepare_training_data": "data.prepare",
    "reward": "rewards.reward",
    "train_grpo_model": "quickstart",
    "verifier": "verifiers.verifier",
    "verify_math": "verifiers.answers",
}
_TRAIN_EXTRA = ("torch", "transformers", "tokenizers", "peft", "safetensors", "gguf", "huggingface_hub")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'stateset.rl' has no attribute {name!r}; it has {', '.join(__all__)}")
    try:
        module = importlib.import_module(f"stateset.rl.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        raise missing from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Turn a failed import of a package of the extra `train` into the error that holds the pip command."""
    from stateset.rl.errors import MissingExtraError

    package = (error.name or "").partition(".")[0]
    if package not in _TRAIN_EXTRA:
        return None
    return MissingExtraError(
        f"{package} is not installed, and training and generating need it: pip install 'stateset-rl[train]'\n"
        "Without a GPU, take the small build of torch first: "
        "pip install torch --index-url https://download.pytorch.org/whl/cpu"
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("stateset-rl")
    except PackageNotFoundError:  # a source tree on the path
        return "0+source"
