"""Deployment: the gate first, then a version that is the model, then the alias; and the way back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import write_model
from test_cli import call
from trainer_rewards import parts

from stateset.rl import GRPOTrainer, deploy_to_production, evaluate_models, load_model
from stateset.rl.errors import ConfigError, DataError, GateError, ModelError
from stateset.rl.evaluation.criteria import Criteria
from stateset.rl.evaluation.evidence import replay
from stateset.rl.evaluation.improvement import Improvement
from stateset.rl.policy.aliases import alias_file, aliases
from stateset.rl.policy.load import load_policy
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.model import Model
from stateset.rl.serving.registry import (
    Version,
    find_version,
    list_versions,
    move,
    publish,
    registry_folder,
    roll_back,
)
from stateset.rl.serving.self_test import self_test

ROWS = [{"prompt": f"Where is parcel {10**i}?", "id": f"t{i}", "customer": f"c{i}"} for i in range(6)]
PROMPTS = ["Where is my parcel?", "I want my money back."]
LENIENT = {"min_rows": 2, "min_clusters": 2, "gains": {}, "margins": {"success": 0.5}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATESET_RL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    root = tmp_path_factory.mktemp("models")
    return [write_model(root / name, seed=seed) for seed, name in enumerate(("before", "after"))]


def evaluation(folders: Sequence[Path]) -> tuple[Model, Improvement]:
    before, after = (load_model(str(folder)) for folder in folders)
    found = evaluate_models(
        before, after, ROWS, success=lambda question, answer: True,
        training_data=[{"prompt": "Something else"}], max_new_tokens=4,
    )  # fmt: skip
    return after, found


def dummy(name: str = "x") -> Version:
    return publish(lambda folder: (folder / name).write_text(name) and None)  # type: ignore[func-returns-value]


def test_what_does_not_pass_is_not_deployed(folders: Sequence[Path]) -> None:
    model, found = evaluation(folders)
    with pytest.raises(GateError, match="fewer than min_rows 100"):
        deploy_to_production(model, evaluation=found)
    with pytest.raises(GateError, match="gain of success"):
        deploy_to_production(model, evaluation=found, criteria={"min_rows": 2, "min_clusters": 2})
    assert list_versions() == []
    assert "production" not in aliases()


def test_a_model_that_nobody_evaluated_is_refused(folders: Sequence[Path]) -> None:
    with pytest.raises(ConfigError, match="was not made by a run"):
        deploy_to_production(load_model(str(folders[0])))


def test_an_evaluation_of_another_model_is_refused(folders: Sequence[Path]) -> None:
    _, found = evaluation(folders)
    with pytest.raises(ConfigError, match="evaluate the one that you deploy"):
        deploy_to_production(load_model(str(folders[0])), evaluation=found, criteria=LENIENT)


def test_a_model_that_passes_is_the_one_in_production(folders: Sequence[Path]) -> None:
    model, found = evaluation(folders)
    version = deploy_to_production(model, evaluation=found, criteria=LENIENT)
    assert (version.name, version.aliases) == ("v1", ("production",))
    assert load_model("production").generate(PROMPTS[0], temperature=0) == model.generate(
        PROMPTS[0], temperature=0
    )
    assert replay((version.folder / "evidence.json").read_text(), "it").passed
    assert {file.name for file in (version.folder / "evaluation").iterdir()} == {
        "answers.jsonl", "evaluation.json", "report.html",
    }  # fmt: skip
    card = (version.folder / "README.md").read_text()
    assert card.startswith("---\nbase_model: ")
    for said in (
        "## The gate",
        "pass: loss of success",
        "## Known failures",
        "slices have too few clusters to show a fall",
        "loaded again: the same 4 greedy answers",
    ):
        assert said in card
    again = deploy_to_production(model, evaluation=found, criteria=Criteria(**LENIENT), alias="staging")
    assert [(one.name, one.aliases) for one in list_versions()] == [
        ("v1", ("production",)), ("v2", ("staging",)),
    ]  # fmt: skip
    assert again.name == "v2"


def test_weights_that_changed_after_the_evaluation_are_refused(
    folders: Sequence[Path], tmp_path: Path
) -> None:
    other = write_model(tmp_path / "other", seed=1)
    model, found = evaluation([folders[0], other])
    (other / "generation_config.json").write_text("{}")
    with pytest.raises(GateError, match="not what was evaluated"):
        deploy_to_production(model, evaluation=found, criteria=LENIENT)


@pytest.mark.parametrize("file", ["chat_template.jinja", "generation_config.json"])
def test_the_same_weights_under_other_texts_are_another_model(
    folders: Sequence[Path], tmp_path: Path, file: str
) -> None:
    _, found = evaluation(folders)
    other = shutil.copytree(folders[1], tmp_path / "other")
    same = deploy_to_production(load_model(str(other)), evaluation=found, criteria=LENIENT)
    assert same.name == "v1"
    text = (other / file).read_text()
    changed = {
        "chat_template.jinja": "Answer briefly. " + text,
        "generation_config.json": '{"eos_token_id": 5}',
    }
    (other / file).write_text(changed[file])
    with pytest.raises(ConfigError, match="the same weights under another tokenizer, chat template or end"):
        deploy_to_production(load_model(str(other)), evaluation=found, criteria=LENIENT)


def test_a_bad_alias_is_refused_before_there_is_a_version(folders: Sequence[Path]) -> None:
    model, found = evaluation(folders)
    for alias in ("grpo_trained", "my prod", "v2"):
        with pytest.raises(ConfigError, match="name"):
            deploy_to_production(model, evaluation=found, criteria=LENIENT, alias=alias)
    assert list_versions() == []


def test_saved_weights_that_are_others_are_found_out(folders: Sequence[Path]) -> None:
    model = load_model(str(folders[0]))
    assert "at most 0 apart" in self_test(model, folders[0], PROMPTS)[0]
    with pytest.raises(ModelError, match="the saved model, loaded again, is another one"):
        self_test(model, folders[1], PROMPTS)


def test_an_adapter_is_tried_alone_and_merged(folders: Sequence[Path], tmp_path: Path) -> None:
    policy = load_policy(str(folders[0]), lora_rank=4, dtype="fp32")
    with torch.no_grad():
        for name, weight in policy.module.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.3)
    model = Model(policy)
    folder = model.save(tmp_path / "adapter")
    alone, merged = self_test(model, folder, PROMPTS)
    assert alone.startswith("loaded again: the same 2 greedy answers")
    assert merged.startswith("merged: 2 of 2 greedy answers the same")
    assert load_policy(str(folder / "merged")).adapter is None
    plain = load_model(str(folders[0])).generate(PROMPTS[0], temperature=0)
    assert model.generate(PROMPTS[0], temperature=0) != plain, "the adapter says something else"


def test_a_merged_model_that_is_another_one_is_found_out(
    folders: Sequence[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log-probabilities of the same tokens are compared: those of other answers may be as high."""
    model = Model(load_policy(str(folders[0]), lora_rank=4, dtype="fp32"))
    folder = model.save(tmp_path / "adapter")

    def other(like: Policy, name: str) -> Policy:
        return load_policy(str(folders[1]) if name.endswith("merged") else name, dtype="fp32")

    monkeypatch.setattr("stateset.rl.serving.self_test.load_like", other)
    with pytest.raises(ModelError, match="merged, is another one"):
        self_test(model, folder, PROMPTS)


def test_an_evaluation_of_one_run_deploys_no_other(folders: Sequence[Path], tmp_path: Path) -> None:
    """Two models that `train` returned have the name of the model that both began from."""

    def trained(seed: int) -> Model:
        settings = {"rollout_n": 4, "batch_size": 2, "max_steps": 1, "max_response_length": 8, "seed": seed}
        settings |= {"learning_rate": 1e-2, "output_dir": str(tmp_path / f"run{seed}"), "dtype": "fp32"}
        rows = [{"prompt": f"row {n}"} for n in range(4)]
        return GRPOTrainer(model=str(folders[0]), reward_function=parts, config=settings).train(rows)

    one, other = trained(1), trained(2)
    found = evaluate_models(
        load_model(str(folders[0])), one, ROWS, success=lambda question, answer: True,
        training_data=[{"prompt": "Something else"}], max_new_tokens=4,
    )  # fmt: skip
    assert (found.record.baseline, found.record.trained) == (str(folders[0]), str(tmp_path / "run1"))
    assert list(found.record.files) == [str(folders[0])], "the trained one lies in memory"
    with pytest.raises(ConfigError, match="of other weights"):
        deploy_to_production(other, evaluation=found, criteria=LENIENT)
    copied = Model(load_policy(str(one.save(tmp_path / "copied")), dtype="fp32"))
    passed_over = replace(found, record=found.record.model_copy(update={"training_run": None}))
    with pytest.raises(ConfigError, match="did not look at the training rows of the run"):
        deploy_to_production(one, evaluation=passed_over, criteria=LENIENT)
    assert deploy_to_production(copied, evaluation=found, criteria=LENIENT, alias="staging").name == "v1"
    card = (deploy_to_production(one, evaluation=found, criteria=LENIENT).folder / "README.md").read_text()
    assert "- reward: trainer_rewards.parts" in card
    assert "- training rows: 4 rows, given in Python" in card


def test_nothing_stays_of_a_version_that_fails() -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publish(fails)
    assert list_versions() == []
    assert [path.name for path in registry_folder().iterdir()] == [".lock"]
    assert dummy().name == "v1"


def test_rollback_goes_back_through_what_an_alias_meant() -> None:
    for _ in range(3):
        dummy()
    for name in ("v1", "v3", "v3", "v2"):
        move("production", name)
    assert [roll_back().name for _ in range(2)] == ["v3", "v1"]
    with pytest.raises(ConfigError, match="none to go back to"):
        roll_back()
    move("production", "v2")
    assert roll_back().name == "v1"
    assert aliases()["production"] == str(find_version("v1").folder)


def test_wrong_names_and_a_damaged_history_say_so() -> None:
    dummy()
    with pytest.raises(ConfigError, match="no version 'v7'; it has v1"):
        move("production", "v7")
    for name in ("v2", "a/b", "../x", ""):
        with pytest.raises(ConfigError, match="no name for an alias"):
            move(name, "v1")
    for name in ("smollm2-135m", "base", "grpo_trained"):
        with pytest.raises(ConfigError, match="is the name of another model"):
            move(name, "v1")
    (registry_folder() / "history.jsonl").write_text('{"alias": "x", "version": "v1", "move": "rollback"}\n')
    with pytest.raises(ConfigError, match="has meant 0 versions"):
        roll_back("x")
    alias_file().write_text("{")
    with pytest.raises(ModelError, match=r"aliases\.json.* is damaged"):
        move("production", "v1")
    assert alias_file().read_text() == "{", "what was in production can still be restored"
    alias_file().unlink()
    (registry_folder() / "history.jsonl").write_text('{"alias": "production"}\n')
    with pytest.raises(DataError, match=r"history\.jsonl:1 is damaged"):
        roll_back()


def test_the_commands_list_tag_and_roll_back(capsys: pytest.CaptureFixture[str]) -> None:
    empty = call(capsys, "registry", "list")
    assert (empty.code, empty.out) == (0, "")
    assert "registry deploy MODEL" in empty.err
    dummy()
    dummy()
    assert call(capsys, "registry", "tag", "production", "v1").out.startswith("production is v1: ")
    assert call(capsys, "registry", "tag", "production", "v2").code == 0
    assert call(capsys, "registry", "rollback").out.startswith("production is v1: ")
    listed = json.loads(call(capsys, "registry", "list", "--json").out)
    assert [(one["version"], one["aliases"]) for one in listed] == [("v1", ["production"]), ("v2", [])]
    assert call(capsys, "registry", "tag", "production", "v9").code == 2


def test_the_command_deploys_by_an_evaluation_that_compare_wrote(
    folders: Sequence[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = evaluation(folders)
    folder, criteria = found.save(tmp_path / "evaluation"), tmp_path / "criteria.yaml"
    assert Improvement.load(folder) == found
    criteria.write_text("min_rows: 2\nmin_clusters: 2\ngains: {}\nmargins: {success: 0.5}\n")
    arguments = [str(one) for one in ("registry", "deploy", folders[1], "--evaluation", folder)]
    arguments += ["--criteria", str(criteria)]
    assert call(capsys, *arguments).out.startswith("production is v1: ")
    answers = folder / "answers.jsonl"
    lines = answers.read_text().splitlines(keepends=True)
    answers.write_text("".join(lines[1:]))
    refused = call(capsys, *arguments)
    assert refused.code == 2
    assert "has other rows" in refused.err
    answers.unlink()
    assert "no whole evaluation" in call(capsys, *arguments).err
