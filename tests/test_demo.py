"""`make demo` from end to end, on a tiny model: its stages, its table, and that nothing is done twice."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import write_model

from stateset.rl import load_customer_service_data
from stateset.rl.checkpoint import list_checkpoints

DEMO = Path(__file__).parents[1] / "examples" / "demo"
pytestmark = pytest.mark.slow
SETTINGS = ("max_response_length=300", "device=cpu")


def demo(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.syspath_prepend(str(DEMO))
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    runpy.run_path(str(DEMO / "run.py"), run_name="__main__")


def test_every_stage_once_and_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model", max_position_embeddings=2048)
    out = tmp_path / "demo"
    arguments = ("--quick", "--full", "--out", str(out), f"model={model}", *SETTINGS)
    demo(monkeypatch, *arguments)
    said = capsys.readouterr().out
    rows = ("base", "supervised", "grpo")
    rows += ("supervised-on", "supervised-filtered", "supervised-accepted", "supervised-gold")
    assert sorted(path.stem for path in (out / "test").iterdir()) == sorted(rows)
    tickets = load_customer_service_data("test")[::8]
    for name in rows:
        head, *answers = map(json.loads, (out / "test" / f"{name}.jsonl").read_text().splitlines())
        assert [answer["id"] for answer in answers] == [row["id"] for row in tickets]
        assert (head["cpu_seconds"] > 0) == (name != "base")
        assert ("validation: " in head["note"]) == (name in rows[3:]), "controls alone pick their best state"
    report = (out / "report.md").read_text()
    for name in rows:
        assert f"| {name.replace('-', ' ')} |" in report
    assert all(f"### {title}" in report for title in ("worst", "median", "best"))
    assert "its numbers mean nothing" in " ".join(said.split())
    assert (out / "run" / "curves.png").stat().st_size > 10_000

    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    demo(monkeypatch, *arguments)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == made
    with pytest.raises(SystemExit, match="differs in seed"):
        demo(monkeypatch, *arguments, "--seed", "1")
    settings = json.loads((out / "settings.json").read_text())
    assert settings["overlong_buffer"] == 0
    older = {key: value for key, value in settings.items() if key != "overlong_buffer"}  # of before that key
    (out / "settings.json").write_text(json.dumps(older))
    demo(monkeypatch, *arguments)
    (out / "settings.json").write_text(json.dumps(settings | {"reward code": "another"}))
    with pytest.raises(SystemExit, match="differs in reward code"):
        demo(monkeypatch, *arguments)
    (out / "settings.json").write_text(json.dumps(settings))
    answers = out / "test" / "grpo.jsonl"
    answers.write_text(answers.read_text()[:500])
    with pytest.raises(SystemExit, match="remove it, and this row is made again"):
        demo(monkeypatch, *arguments)
    (out / "settings.json").unlink()
    with pytest.raises(SystemExit, match="not the folder of a demo"):
        demo(monkeypatch, *arguments)


def test_a_demo_killed_within_grpo_goes_on_to_the_same_model(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", max_position_embeddings=2048)
    settings = ("max_steps=6", "save_every=1", "eval_every=6", f"model={model}", *SETTINGS)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def command(out: str) -> list[str]:
        return [sys.executable, str(DEMO / "run.py"), "--quick", "--out", str(tmp_path / out), *settings]

    def run(out: str) -> None:
        done = subprocess.run(command(out), check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr

    run("whole")
    with subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, env=environment) as demo:
        checkpoints = tmp_path / "killed" / "run" / "checkpoints"
        while demo.poll() is None and not any("2" in kept.name for kept in list_checkpoints(checkpoints)):
            time.sleep(0.02)
        demo.kill()
    assert not (tmp_path / "killed" / "run" / "model").exists(), "it was killed within GRPO"
    run("killed")
    for file, start in (
        ("run/model/model.safetensors", 0),
        ("test/grpo.jsonl", 1),
    ):  # line 0: CPU time
        whole, killed = ((tmp_path / name / file).read_bytes() for name in ("whole", "killed"))
        assert whole.split(b"\n", start)[start:] == killed.split(b"\n", start)[start:]
