"""`stateset-rl config explain` and `config convert`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_config_load import DOCUMENT

from stateset.rl.cli import main
from stateset.rl.config.load import load_config

EXAMPLES = Path(__file__).parent / "dialects"


def call(capsys, *arguments):
    """Exit code, stdout and stderr of `stateset-rl config ...` in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["config", *map(str, arguments)])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_explain_names_value_and_origin_of_every_key_that_acts(capsys):
    file = EXAMPLES / "verl_gsm8k.yaml"
    code, out, err = call(capsys, "explain", file, "ppo_epochs=4", "--profile", "conservative")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line.split() for line in out.partition("\n\n")[0].splitlines()}
    assert rows["mini_batch_size"] == ["mini_batch_size", "512", "verl_gsm8k.yaml:17"]
    assert rows["ppo_epochs"] == ["ppo_epochs", "4", "override"]
    assert rows["weight_decay"] == ["weight_decay", "0.01", "verl's", "default"]
    assert rows["loss"] == ["loss", "ppo_clip", "default"]
    assert "lora_rank" not in rows  # does not act
    assert "  about logging: trainer.project_name gsm8k (verl_gsm8k.yaml:41), " in out
    assert "  rollout_n is set again by verl_gsm8k.yaml:27: rollout_n 4 (profile conservative)" in out
    assert out.endswith(
        "One step\n  256 prompts x 8 responses = 2,048 responses; mini-batches of 512 -> 4 optimizer steps; "
        "4 passes -> 16 updates; at most 2,097,152 new tokens.\n"
    )


def test_explain_the_documents_file(write, capsys):
    code, out, _ = call(capsys, "explain", write(DOCUMENT))
    assert code == 0
    assert "regularises nothing as a loss" in out
    assert (
        "32 prompts x 8 responses = 256 responses; mini-batches of 256 -> 1 optimizer step; 4 passes -> "
        "4 updates; at most 65,536 new tokens."
    ) in out


def test_explain_as_json(write, capsys):
    file = write("num_generations: 8\ntop_p: 0.9\nlogging_steps: 1\nfp16: true\n")
    code, out, _ = call(capsys, "explain", file, "--json")
    found = json.loads(out)
    assert (code, found["dialect"]) == (0, "trl")
    settings = {item["key"]: (item["value"], item["origin"]) for item in found["settings"]}
    assert settings["rollout_n"] == (8, "run.yaml:1")
    assert settings["betas"] == ([0.9, 0.999], "TRL's default")
    assert found["silent"] == [
        {"key": "logging_steps", "value": 1, "where": "run.yaml:3", "reason": "about logging"}
    ]
    (refused,) = found["no_equal"]
    assert refused.startswith("run.yaml:2: `top_p: 0.9` has no equal here")
    assert any("fp16 needs a GPU" in notice for notice in found["notices"])
    assert sum("never acts" in notice for notice in found["notices"]) == 1
    assert found["step"].startswith("1 prompts x 8 responses = 8 responses;")


def test_explain_warns_once_that_the_clip_never_acts(write, capsys):
    for text in ("clip_ratio: 0.1\n", "seed: 1\n"):
        assert call(capsys, "explain", write(text))[1].count("never acts") == 1
    assert "never acts" not in call(capsys, "explain", write("ppo_epochs: 2\n"))[1]
    assert "never acts" not in call(capsys, "explain", write("loss: reinforce\n"))[1]
    assert "(2 mini-batches each)" in call(
        capsys, "explain", write("mini_batch_size: 64\ngradient_accumulation_steps: 2\n")
    )[1]  # fmt: skip


def test_explain_with_a_warm_start_and_another_dialect(write, capsys):
    out = call(capsys, "explain", write("warm_start: {epochs: 3}\n"))[1]
    assert any(line.split() == ["warm_start.epochs", "3", "run.yaml:1"] for line in out.splitlines())
    shared = write("data: {train_batch_size: 64}\nactor_rollout_ref: {rollout: {n: 4}}\n")
    assert "mini_batch_size              1024" in call(capsys, "explain", shared, "--from", "verl")[1]


def test_convert_to_each_dialect(tmp_path, write, capsys):
    document = write(DOCUMENT)
    for dialect in ("verl", "trl", "platform"):
        out = tmp_path / f"{dialect}.yaml"
        code, text, err = call(capsys, "convert", document, "--to", dialect, "-o", out)
        assert (code, text) == (0, "")
        assert f"wrote {out}" in err
        read = load_config(out, dialect=dialect)
        assert (read.rollout_n, read.batch_size, read.mini_batch_size, read.ppo_epochs) == (8, 32, 256, 4)
        assert read.kl_loss_coef == 0.001
    assert yaml.safe_load((tmp_path / "verl.yaml").read_text())["data"]["train_batch_size"] == 32


def test_convert_writes_yaml_to_stdout_and_what_is_lost_to_stderr(write, capsys):
    file = write("reward: my:Reward\nadv_estimator: maxrl\n")
    code, out, err = call(capsys, "convert", file, "--to", "trl")
    assert code == 0
    assert yaml.safe_load(out)["num_generations"] == 8
    assert out.startswith("# trl config, written by `stateset-rl config convert`.")
    lost = [line for line in err.splitlines() if line.startswith("lost: ")]
    assert [line.split(":")[1].strip() for line in lost] == ["adv_estimator", "reward"]
    assert call(capsys, "convert", file, "--to", "trl", "--strict")[0] == 1
    assert call(capsys, "convert", file, "--to", "platform", "--strict")[0] == 0


def test_convert_lists_what_has_no_equal_here(write, capsys):
    file = write("num_generations: 8\nmin_p: 0.1\n")
    code, _, err = call(capsys, "convert", file, "--to", "platform", "--strict")
    assert code == 1
    assert "lost: run.yaml:2: `min_p: 0.1` has no equal here" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain"], "there is no file"),
        (["explain", "seed=1"], "there is no file"),
        (["explain", "FILE", "--from", "hydra"], "unknown dialect `hydra`"),
        (["convert", "FILE", "--to", "openrlhf"], "choose platform, verl or trl"),
        (["convert", "FILE", "--to", "trl", "-o", "FILE"], "is there already"),
        (["convert", "none.yaml", "--to", "trl"], "cannot be read"),
    ],
)
def test_mistakes_are_exit_code_2(write, capsys, arguments, message):
    file = str(write("seed: 1\n"))
    code, out, err = call(capsys, *(file if word == "FILE" else word for word in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert Path(file).read_text() == "seed: 1\n"


def test_neither_imports_torch_nor_anything_of_the_users(tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')")
    file = tmp_path / "run.yaml"
    file.write_text("reward: mine:Reward\n")
    code = (
        "import sys\nfrom stateset.rl.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    assert not {'torch', 'transformers', 'mine'} & set(sys.modules), 'heavy'"
    )
    for arguments in (["explain", file], ["convert", file, "--to", "verl"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "config", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_explain_says_what_reward_scale_is(write, capsys):
    code, _, err = call(capsys, "explain", write("model: smollm2-135m\nreward_scale: 0.8\n"))
    assert code == 2
    assert "run.yaml:2: unknown key `reward_scale`" in err
    assert "multiplies that call's learning rate" in err


def test_a_folder_that_is_not_there(tmp_path, capsys):
    file = tmp_path / "v.yaml"
    file.write_text("rollout_n: 4\n")
    out = str(tmp_path / "none" / "x.yaml")
    code, _, err = call(capsys, "convert", str(file), "--to", "trl", "-o", out)
    assert code == 2
    assert "cannot be written: No such file or directory" in err
