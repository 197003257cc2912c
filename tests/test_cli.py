"""The commands on a real (tiny) model: init, train, evaluate, generate, chat, runs, plan, doctor."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import write_model

from stateset.rl.cli import doctor as doctor_command
from stateset.rl.cli import main
from stateset.rl.cli.app import app
from stateset.rl.cli.held_out import read_held_out
from stateset.rl.quickstart import load_model

ROOT = Path(__file__).parents[1]
SMALL = ("max_response_length=8", "dtype=fp32", "device=cpu")


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Project(NamedTuple):
    folder: Path
    model: Path
    home: Path
    trained: Result


def spawn(folder: Path, home: Path, *arguments: str) -> Result:
    """One run of the command as users start it."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "STATESET_RL_HOME": str(home), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "stateset.rl", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that `init` wrote and `train` trained once, with held-out rows."""
    root = tmp_path_factory.mktemp("cli")
    model, home = write_model(root / "tiny"), root / "home"
    assert spawn(root, home, "init", "shop").code == 0
    shop = root / "shop"
    held_out = (shop / "tickets.jsonl").read_text().splitlines(keepends=True)[:2]
    (shop / "heldout.jsonl").write_text("".join(held_out))
    settings = (f"model={model}", "max_steps=2", "eval_dataset=heldout.jsonl", "eval_every=1", *SMALL)
    trained = spawn(shop, home, "train", "project.yaml", *settings, "output_dir=runs/first", "--json")
    return Project(shop, model, home, trained)


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same, with the project as working directory and its own aliases."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("STATESET_RL_HOME", str(project.home))
    return project


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Result:
    """One run of the command in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    return Result(int(ended.value.code or 0), captured.out, captured.err)


def test_init_prints_its_files_and_the_next_commands_and_overwrites_nothing(tmp_path, capsys) -> None:
    (tmp_path / "reward.py").write_text("mine")
    refused = call(capsys, "init", str(tmp_path))
    assert refused.code == 2
    assert "already holds reward.py" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["reward.py"]
    assert (tmp_path / "reward.py").read_text() == "mine"
    made = call(capsys, "init", str(tmp_path / "new shop"))
    assert made.code == 0
    assert [Path(line).name for line in made.out.splitlines()] == [
        "project.yaml",
        "reward.py",
        "tickets.jsonl",
    ]
    assert f"stateset-rl train '{tmp_path}/new shop/project.yaml'" in made.err
    assert len((tmp_path / "new shop" / "tickets.jsonl").read_text().splitlines()) == 8
    assert len((tmp_path / "new shop" / "reward.py").read_text().splitlines()) <= 20


def test_train_prints_json_only_on_stdout_and_what_it_does_on_stderr(project: Project) -> None:
    assert project.trained.code == 0, project.trained.err
    result = json.loads(project.trained.out)
    assert result["run"] == str(project.folder / "runs" / "first")
    assert (Path(result["model"]) / "model.safetensors").is_file()
    assert result["steps"] == 2
    lines = (project.folder / "runs" / "first" / "eval" / "summary.jsonl").read_text().splitlines()
    rewards = [json.loads(line)["reward"] for line in lines]
    assert len(rewards) == 3  # before the first step and after each
    assert (result["held_out"]["before"], result["held_out"]["after"]) == (rewards[0], rewards[-1])
    assert result["held_out"]["best"] == max(rewards)
    said = project.trained.err
    assert f"reward  reward:SupportReward ({project.folder / 'reward.py'})" in said
    assert f"model   {project.model} on cpu, float32" in said
    # 8 rows in steps of 4 prompts: 2 x 4 x 8 responses of at most 8 tokens
    assert "8 rows: 2 steps of 4 prompts x 8 responses, 2 updates, at most 512 generated tokens" in said
    assert "step 2/2  reward" in said


def test_resume_goes_on_from_the_runs_own_settings(inside: Project, capsys, monkeypatch) -> None:
    one_step = ("max_steps=1", "output_dir=runs/resumed", "eval_dataset=null", "seed=3", *SMALL)
    first = call(capsys, "train", "project.yaml", f"model={inside.model}", *one_step)
    assert first.code == 0, first.err
    assert f"run    {inside.folder / 'runs' / 'resumed'}\n" in first.out
    metrics = inside.folder / "runs" / "resumed" / "metrics.jsonl"
    before = metrics.read_text()
    monkeypatch.chdir(inside.folder.parent)  # the reward is still found below the project's folder
    second = call(capsys, "train", "--resume", "shop/runs/resumed", "max_steps=3", "--json")
    assert second.code == 0, second.err
    assert json.loads(second.out)["steps"] == 3
    assert metrics.read_text().startswith(before)
    assert [json.loads(line)["step"] for line in metrics.read_text().splitlines()] == [1, 2, 3]
    assert "never acts" not in second.err  # the record holds clip_ratio, nobody chose it
    again = ("train", "--resume", "shop/runs/resumed", "max_steps=4", "clip_ratio=0.1")
    refused = call(capsys, *again)
    assert refused.code == 1
    assert "--allow-change clip_ratio" in refused.err
    third = call(capsys, *again, "--allow-change", "clip_ratio")
    assert "clip_ratio never acts" in third.err
    refused = call(capsys, "train", "shop/project.yaml", "--resume", "shop/runs/resumed")
    assert (refused.code, refused.out) == (2, "")
    assert "leave out shop/project.yaml" in refused.err


def test_evaluate_is_the_mean_of_its_answers_and_gates_on_it(inside: Project, capsys) -> None:
    arguments = ("evaluate", "grpo_trained", "--data", "heldout.jsonl", "--max-new-tokens", "8")
    done = call(capsys, *arguments, "--reward", "reward:SupportReward", "--out", "answers.jsonl", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    answers = [json.loads(line) for line in Path("answers.jsonl").read_text().splitlines()]
    assert [answer["id"] for answer in answers] == ["sample-1", "sample-2"]
    assert result["mean_reward"] == pytest.approx(sum(a["reward"] for a in answers) / 2)
    assert result["parts"]["kind"] == pytest.approx(sum(a["parts"]["kind"] for a in answers) / 2)
    assert (result["scored"], result["rows"]) == (2, 2)
    greedy = load_model("grpo_trained").generate(answers[0]["prompt"], max_new_tokens=8, temperature=0)
    assert [answers[0]["response"]] == greedy
    limit = result["mean_reward"]
    gate = (*arguments, "--reward", "reward:SupportReward", "--min-reward")
    assert call(capsys, *gate, str(limit)).code == 0
    refused = call(capsys, *gate, str(limit + 0.01))
    assert refused.code == 3
    assert refused.out.startswith(f"reward  {limit:.3f}\n")
    assert "scored  2 of 2 answers" in refused.out
    assert "below --min-reward" in refused.err


def test_a_gate_on_nothing_scored_says_no(inside: Project, capsys) -> None:
    Path("nothing.py").write_text(
        "from stateset.rl import reward\n@reward\ndef unscorable(response): return None\n"
    )
    done = call(capsys, "evaluate", str(inside.model), "--data", "heldout.jsonl", "--max-new-tokens", "4",
                "--reward", "nothing:unscorable", "--min-reward", "-5", "--json")  # fmt: skip
    assert done.code == 3
    assert json.loads(done.out)["mean_reward"] is None
    assert "2 unscored; the first is the answer to sample-1: " in done.err


def test_evaluate_tells_why_an_answer_has_no_score(inside: Project, capsys) -> None:
    second = json.loads(Path("heldout.jsonl").read_text().splitlines()[1])["prompt"]
    Path("picky.py").write_text(
        "from stateset.rl import reward\n@reward\ndef picky(response, prompt):\n"
        f"    if prompt == {second!r}:\n        raise ValueError('no gold answer')\n    return 1.0\n"
    )
    done = call(capsys, "evaluate", str(inside.model), "--data", "heldout.jsonl", "--max-new-tokens", "4",
                "--reward", "picky:picky")  # fmt: skip
    assert done.code == 0, done.err
    assert "scored  1 of 2 answers" in done.out
    assert "1 unscored; the first is the answer to sample-2: " in done.err
    assert "no gold answer" in done.err


def test_generate_gives_n_answers_of_the_seed(inside: Project, capsys, monkeypatch) -> None:
    expected = load_model(str(inside.model)).generate(
        "my order", 3, max_new_tokens=6, temperature=0.9, seed=5
    )
    options = ("-n", "3", "--max-new-tokens", "6", "--temperature", "0.9", "--seed", "5")
    done = call(capsys, "generate", str(inside.model), "my order", *options, "--json")
    assert json.loads(done.out) == {"model": str(inside.model), "prompt": "my order", "responses": expected}
    monkeypatch.setattr(sys, "stdin", io.StringIO("my order"))
    piped = call(capsys, "generate", str(inside.model), "-", *options)
    assert piped.out == "".join(f"[{i}] {text}\n\n" for i, text in enumerate(expected, 1))
    plain = call(capsys, "generate", str(inside.model), "my order", *options[2:])
    assert plain.out == f"{expected[0]}\n"


def test_chat_keeps_the_conversation_until_reset(inside: Project, capsys, monkeypatch) -> None:
    from stateset.rl.rollout.model import Model

    asked = []

    def answer(self, prompt, num_returns=1, **_):
        asked.append([message["content"] for message in prompt])
        return [f"answer {len(asked)}"]

    monkeypatch.setattr(Model, "generate", answer)
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\n\ntwo\n/reset\nthree\n/exit\nfour\n"))
    done = call(capsys, "chat", str(inside.model))
    assert done.code == 0
    assert done.out == "answer 1\nanswer 2\nanswer 3\n"
    assert asked == [["one"], ["one", "answer 1", "two"], ["three"]]


def test_chat_shows_two_models_side_by_side_and_survives_a_prompt_that_is_too_long(
    inside: Project, capsys, monkeypatch
) -> None:
    long_prompt = "x" * 600  # the model holds 512 tokens
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"hello\n{long_prompt}\nbye\n"))
    done = call(capsys, "chat", "base", "grpo_trained", "--max-new-tokens", "5")
    assert done.code == 0
    tables = [line for line in done.out.splitlines() if "base" in line]
    assert len(tables) == 2
    assert all("grpo_trained" in line for line in tables)
    assert done.err.count("error:") == 1
    assert "/reset starts anew" in done.err


def test_runs_lists_and_shows_what_the_files_say(inside: Project, capsys) -> None:
    lines = Path("runs/first/metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    listed = json.loads(call(capsys, "runs", "--json").out)
    [first] = [run for run in listed if run["run"] == "runs/first"]
    assert (first["status"], first["steps"], first["reward"]) == ("finished", 2, last["reward"])
    table = call(capsys, "runs").out.splitlines()
    assert table[0].split() == ["run", "status", "steps", "reward", "best", "held-out"]
    assert any(line.split()[:3] == ["runs/first", "finished", "2"] for line in table)
    shown = json.loads(call(capsys, "runs", "show", "runs/first", "--json").out)
    assert [line["step"] for line in shown["metrics"]] == [1, 2]
    text = call(capsys, "runs", "show", "runs/first").out
    assert f"model    {inside.model}" in text
    assert text.splitlines()[-1].split()[:2] == ["2", f"{last['reward']:.3f}"]
    none = call(capsys, "runs", "elsewhere")
    assert (none.code, none.out) == (0, "")
    assert "no runs in elsewhere" in none.err


def test_damaged_runs_are_listed_beside_the_others(inside: Project, capsys, tmp_path: Path) -> None:
    for name, manifest in (
        ("good", '{"status": "finished"}'),
        ("bad", "{}"),
        ("torn", '{"status": "failed"}'),
    ):
        (tmp_path / name / "eval").mkdir(parents=True)
        (tmp_path / name / "manifest.json").write_text(manifest)
    (tmp_path / "torn" / "eval" / "summary.jsonl").write_text("{}\n")
    done = call(capsys, "runs", str(tmp_path))
    assert done.code == 0
    found = {Path(line.split()[0]).name: line.split()[1] for line in done.out.splitlines()[1:]}
    assert found == {"good": "finished", "bad": "damaged", "torn": "damaged"}
    assert "bad/manifest.json is damaged" in done.err
    assert "torn/eval/summary.jsonl:1 is damaged" in done.err
    listed = json.loads(call(capsys, "runs", str(tmp_path), "--json").out)
    assert sorted(run["status"] for run in listed) == ["damaged", "damaged", "finished"]


def test_a_run_given_as_a_folder_of_runs_is_told(inside: Project, capsys) -> None:
    done = call(capsys, "runs", "runs/first")
    assert done.err == "runs/first is itself a run: stateset-rl runs show runs/first\n"


def test_plan_counts_and_advises(inside: Project, capsys) -> None:
    done = call(capsys, "plan", "project.yaml", "epochs=3", "batch_size=3", "--json")
    counted = json.loads(done.out)
    # 8 rows in steps of 3, 3 and 2 prompts: 3 steps an epoch, 3 epochs of 8 x 8 responses
    assert (counted["steps_per_epoch"], counted["total_steps"], counted["total_responses"]) == (3, 9, 192)
    assert counted["supervised_steps"] == 0
    warm = ("warm_start.epochs=2", "warm_start.batch_size=3")
    assert re.search(r"^supervised steps before +6$", call(capsys, "plan", "project.yaml", *warm).out, re.M)
    text = call(capsys, "plan", "--config", "project.yaml", "--profile", "conservative").out
    assert "responses a step" in text
    assert "advice: 8 rows: 300 or more good ones are recommended." in text


def test_plan_tries_the_model(inside: Project, capsys) -> None:
    settings = (f"model={inside.model}", "batch_size=2", *SMALL)
    command = (
        "plan",
        "project.yaml",
        *settings,
        "--measure",
        "--probe",
        "3",
        "--prompts",
        "4",
        "--price",
        "2",
    )
    found = json.loads(call(capsys, *command, "--json").out)
    assert found["seconds"]["steps"] == pytest.approx(found["step_seconds"] * found["total_steps"])
    assert found["total_seconds"] == pytest.approx(sum(found["seconds"].values()))
    assert found["cost"] == pytest.approx(2 * found["total_seconds"] / 3600)
    assert found["memory_bytes"]["weights"] > 0
    assert [one["n"] for one in found["no_signal"]] == [2, 4, 8, 16, 32]
    text = call(capsys, *command).out
    assert "4 prompts x 3 samples: right in" in text
    assert "advice: the model is hardly ever right" in text
    assert "time: " in text
    assert "test rows" in text
    for wrong in (("--probe", "-3"), ("--probe", "4", "--prompts", "0"), ("--measure", "--price", "-5")):
        assert call(capsys, "plan", "project.yaml", *settings, *wrong).code == 2, wrong
    alone = call(capsys, "plan", "project.yaml", *settings, "--price", "3")
    assert alone.code == 2
    assert "--measure or --probe" in alone.err
    for wrong, said in ((("--prompts", "9"), "add --probe"), (("--measure", "--price", "inf"), "no price")):
        refused = call(capsys, "plan", "project.yaml", *settings, *wrong)
        assert refused.code == 2
        assert said in refused.err
    refused = call(capsys, "plan", "project.yaml", *settings, "--probe", "1")
    assert refused.code == 2
    assert "sample two or more" in refused.err


def test_doctor_says_what_to_do_and_fails_only_where_training_is_impossible(capsys, monkeypatch) -> None:
    well = call(capsys, "doctor", "--json")
    assert well.code == 0
    assert {check["name"] for check in json.loads(well.out)} >= {
        "python",
        "torch",
        "device",
        "bf16",
        "memory",
        "sandbox",
    }
    assert call(capsys, "doctor").out.startswith("    check")
    monkeypatch.setattr(doctor_command, "_DISK_GIB", math.inf)
    warned = call(capsys, "doctor")
    assert warned.code == 0
    assert "disk: free some space" in warned.out
    monkeypatch.setattr(sys, "platform", "darwin")
    elsewhere = call(capsys, "doctor")
    assert elsewhere.code == 0
    assert "sandbox: rewards that run code or patterns are refused here" in elsewhere.out
    monkeypatch.setattr(doctor_command.importlib.util, "find_spec", lambda name: None)
    broken = call(capsys, "doctor")
    assert broken.code == 1
    assert "torch: pip install 'stateset-rl[train]'" in broken.out


def test_best_held_out_reward_passes_over_what_could_not_be_scored(tmp_path: Path) -> None:
    assert read_held_out(tmp_path) is None
    (tmp_path / "eval").mkdir()
    rewards = (None, 0.4, 0.9, 0.7)
    lines = [json.dumps({"step": step, "reward": reward}) + "\n" for step, reward in enumerate(rewards)]
    (tmp_path / "eval" / "summary.jsonl").write_text("".join(lines))
    found = read_held_out(tmp_path)
    assert found is not None
    assert (found.before, found.after, found.best, found.best_step) == (None, 0.7, 0.9, 2)


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = [command.name for command in app.registered_commands]
    assert commands == ["init", "train", "evaluate", "compare", "gate", "generate", "chat", "plan", "runs",
        "replay", "rollout-server", "verify-resume", "doctor",
    ]  # fmt: skip
    assert [name for name in commands if f"`stateset-rl {name}" not in readme] == []
