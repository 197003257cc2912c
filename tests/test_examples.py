"""The example: tickets that differ, a short reward that pays for each part, one run in two forms."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from conftest import write_model

from stateset.rl.config.load import load_config, make_config
from stateset.rl.config.plan import plan
from stateset.rl.data.load import load_tasks
from stateset.rl.rewards.resolve import resolve_reward

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
GOOD = (
    "I'm sorry that order LF-48213 is late, I know how frustrating that is. The courier has not scanned it, "
    "so I have opened a trace and will send you the new tracking link."
)


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "count"), [("tickets", 40), ("heldout", 12)])
def test_rows_are_whole_tickets_with_what_the_reward_needs(name: str, count: int) -> None:
    tasks = load_tasks(EXAMPLES / f"{name}.jsonl")
    assert len(tasks) == count
    assert {task.difficulty for task in tasks} == {"easy", "medium", "hard"}
    for task in tasks:
        system, ticket = task.prompt
        assert (system["role"], ticket["role"]) == ("system", "user")
        assert 60 <= len(system["content"].split()) <= 90
        assert task.context["order"] in ticket["content"]
        assert task.context["must_mention"]
        assert task.context["must_not_promise"]
        assert all(phrase == phrase.lower() for phrase in task.context["must_mention"])


def test_no_ticket_stands_twice_or_on_both_sides() -> None:
    tasks = [t for name in ("tickets", "heldout") for t in load_tasks(EXAMPLES / f"{name}.jsonl")]
    assert len({task.question for task in tasks}) == len({task.context["order"] for task in tasks}) == 52
    openings = {" ".join(task.question.split()[:4]).lower() for task in tasks}
    assert len(openings) == 52  # written one by one, not from a template


def test_the_reward_pays_for_each_part(monkeypatch) -> None:
    reward = load("reward", monkeypatch).SupportReward()
    context = {"order": "LF-48213", "must_mention": ["tracking", "courier"], "must_not_promise": ["tomorrow"]}

    def score(response: str) -> dict[str, float]:
        found = reward.compute("Where is LF-48213?", response, context)
        return {**found.parts, "total": found.total}

    good = score(GOOD)
    empathy = good["empathy"]
    assert empathy >= 0.5
    assert good == {
        "order": 1.0, "actions": 1.0, "empathy": empathy, "ending": 1.0, "policy": 1.0,
        "total": pytest.approx(0.25 + 0.3 + 0.2 * empathy + 0.1 + 0.15),
    }  # fmt: skip
    assert score(GOOD.replace("LF-48213", "LF-99999"))["order"] == 0.0
    assert score(GOOD.replace("courier", "driver"))["actions"] == 0.5
    assert score(GOOD.removesuffix("."))["ending"] == 0.0
    assert score(f"{GOOD} It will be there tomorrow.")["policy"] == 0.0
    assert score("")["total"] == 0.0


def test_the_rewards_are_as_short_as_promised() -> None:
    lines = (EXAMPLES / "reward.py").read_text().split("class SupportReward")[1].splitlines()
    assert len([line for line in lines if line.strip()]) <= 16
    assert len((EXAMPLES / "train.py").read_text().splitlines()) < 40


def test_the_project_is_six_steps_of_four_prompts_by_eight() -> None:
    config = load_config(EXAMPLES / "project.yaml")
    counted = plan(config, len(load_tasks(config.dataset)))
    assert (counted.total_steps, counted.prompts_per_step, config.rollout_n) == (6, 4, 8)
    assert load_tasks(config.eval_dataset)
    _, file = resolve_reward(str(config.reward), config.folder)
    assert file == EXAMPLES / "reward.py"


def test_every_setting_of_the_projects_has_a_comment() -> None:
    for file in (EXAMPLES / "project.yaml", ROOT / "stateset/rl/cli/templates/project.yaml"):
        settings = [
            line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")
        ]
        assert [line for line in settings if " # " not in line] == []


def test_the_script_is_the_same_run_as_the_project_file(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "reward", load("reward", monkeypatch))  # and gone again afterwards
    script = load("train", monkeypatch)
    seen = {}

    class Trainer:
        def __init__(self, *, model, reward_function, config) -> None:
            seen.update(model=model, reward=type(reward_function).__name__, config=make_config(config))

        def train(self, data, *, eval_dataset):
            seen.update(dataset=str(data), eval_dataset=str(eval_dataset))
            self.on_step(
                SimpleNamespace(
                    step=1, avg_reward=0.5, reward_std=0.25, kl_div=float("nan"), quality_score=0.5
                )
            )
            return SimpleNamespace(generate=lambda prompt, **_: ["an answer"])

    monkeypatch.setattr(script, "GRPOTrainer", Trainer)
    script.main()
    project = load_config(EXAMPLES / "project.yaml")
    assert seen["reward"] == str(project.reward).partition(":")[2]
    given = ("model", "reward", "dataset", "eval_dataset", "objective")
    assert [seen[key] for key in ("model", "dataset", "eval_dataset")] == [
        project.model, project.dataset, project.eval_dataset,
    ]  # fmt: skip
    assert seen["config"].model_dump(exclude=set(given)) == project.model_dump(exclude=set(given))
    assert "Step 1:\n  Average Reward: 0.500\n" in capsys.readouterr().out


def test_the_readmes_python_runs(tmp_path, monkeypatch, capsys) -> None:
    code = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    model = write_model(tmp_path / "tiny", max_position_embeddings=2048)
    small = {
        '"smollm2-135m"': repr(str(model)),
        '"max_response_length": 96': '"max_response_length": 8',
        '"max_steps": 6': '"max_steps": 1, "dtype": "fp32"',
        '"examples/tickets.jsonl"': repr(str(EXAMPLES / "tickets.jsonl")),
        "num_returns=2": "num_returns=2, max_new_tokens=8",
    }
    for written, run in small.items():
        assert written in code
        code = code.replace(written, run)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.startswith("step 1: ")


def test_git_ignores_what_the_example_writes() -> None:
    assert "/runs/" in (ROOT / ".gitignore").read_text().splitlines()
    assert "runs/" in (EXAMPLES / ".gitignore").read_text().splitlines()


@pytest.mark.slow
def test_one_step_of_the_example_runs_on_the_real_model(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stateset.rl", "train", str(EXAMPLES / "project.yaml"), "--json",
         "max_steps=1", "batch_size=1", "max_response_length=24", f"output_dir={tmp_path / 'run'}"],
        capture_output=True, text=True, cwd=ROOT, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 1
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
