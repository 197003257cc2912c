"""What `stateset.rl` exports, and that asking for it costs no torch until torch is needed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import stateset.rl
from stateset.rl.errors import ModelError, ModelNotTrainableError
from stateset.rl.policy.aliases import aliases, tag

ROOT = Path(__file__).parents[1]
PUBLIC = [
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
HEAVY = ("torch", "transformers", "pydantic", "numpy", "yaml")
LOADED = f"import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
NO_TORCH = (
    "import sys\n"
    "class Absent:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name == 'torch': raise ModuleNotFoundError('No module named torch', name='torch')\n"
    "sys.meta_path.insert(0, Absent())\n"
)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_the_public_names_are_exactly_these() -> None:
    assert stateset.rl.__all__ == PUBLIC == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(stateset.rl))


@pytest.mark.parametrize("name", PUBLIC)
def test_each_name_is_the_thing_of_that_name(name: str) -> None:
    found = getattr(stateset.rl, name)
    assert found.__name__ == name
    assert found.__module__.startswith("stateset.rl.")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Trainer'.*GRPOTrainer"):
        stateset.rl.Trainer  # noqa: B018
    assert not hasattr(stateset.rl, "__path_of_nothing__")


def test_the_version_is_the_distributions() -> None:
    try:
        expected = version("stateset-rl")
    except PackageNotFoundError:
        expected = "0+source"
    assert stateset.rl.__version__ == expected


def test_importing_the_package_and_the_command_line_loads_nothing_heavy() -> None:
    assert run_python(f"import stateset.rl; {LOADED}").stdout.strip() == "[]"
    help_text = f"import stateset.rl.cli.app as a\ntry: a.main(['--help'])\nexcept SystemExit: pass\n{LOADED}"
    assert run_python(help_text).stdout.strip().splitlines()[-1] == "[]"


def test_rewards_need_no_torch() -> None:
    code = (
        "from stateset.rl import RewardFunction, CustomerServiceReward, load_config, verifier; import sys; "
    )
    assert run_python(f"{code} print('torch' in sys.modules)").stdout.strip() == "False"


@pytest.mark.parametrize("name", ["GRPOTrainer", "load_model", "train_grpo_model"])
def test_without_torch_the_error_holds_both_pip_commands(name: str) -> None:
    done = run_python(f"{NO_TORCH}from stateset.rl import {name}")
    last = done.stderr.strip().splitlines()[-2:]
    assert done.returncode == 1
    assert "MissingExtraError: torch is not installed" in last[0]
    assert "pip install 'stateset-rl[train]'" in last[0]
    assert "--index-url https://download.pytorch.org/whl/cpu" in last[1]


def test_without_torch_the_command_line_exits_with_4_and_no_traceback() -> None:
    done = run_python(f"{NO_TORCH}from stateset.rl.cli import main\nmain(['generate', 'm', 'hello'])")
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.startswith("error: torch is not installed")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("alias", ["base", "grpo_trained"])
def test_an_alias_that_nobody_tagged_says_which_run_makes_it(alias: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=rf"'{alias}'.*stateset-rl train FILE"):
        stateset.rl.load_model(alias)


def test_an_alias_whose_folder_is_gone_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    tag("grpo_trained", tmp_path / "model")
    (tmp_path / "model").rmdir()
    with pytest.raises(ModelError, match=rf"{tmp_path / 'model'}, which is gone"):
        stateset.rl.load_model("grpo_trained")


def test_load_model_follows_an_alias_and_takes_a_folder(tiny_llama: Path) -> None:
    tag("grpo_trained", tiny_llama)
    by_alias, by_folder = stateset.rl.load_model("grpo_trained"), stateset.rl.load_model(str(tiny_llama))
    texts = [m.generate("hello", 2, max_new_tokens=6) for m in (by_alias, by_folder)]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 2


def test_a_closed_model_is_refused() -> None:
    with pytest.raises(ModelNotTrainableError, match=r"gpt-4o.*judge"):
        stateset.rl.load_model("gpt-4o")


def length_reward(response: str) -> float:
    return float(len(response))


def test_train_grpo_model_takes_profile_and_settings(tiny_llama: Path, tmp_path: Path) -> None:
    model = stateset.rl.train_grpo_model(
        data=[{"prompt": f"ticket {i}"} for i in range(4)],
        reward_fn=length_reward,
        profile="quick",
        model=str(tiny_llama),
        max_steps=1,
        max_response_length=8,
        dtype="fp32",
        device="cpu",
        output_dir=str(tmp_path / "run"),
    )
    resolved = (tmp_path / "run" / "config.resolved.yaml").read_text()
    assert "rollout_n: 4\n" in resolved  # of the profile
    assert "max_response_length: 8\n" in resolved  # the keyword wins over the profile's 64
    assert model.run_dir == tmp_path / "run"
    assert aliases() == {"base": str(tiny_llama), "grpo_trained": str(tmp_path / "run" / "model")}
    assert len(stateset.rl.load_model("grpo_trained").generate("ticket 1", 3, max_new_tokens=4)) == 3
