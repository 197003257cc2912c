"""Bad input: one message on stderr, the right exit code, no traceback, nothing half-written."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stateset.rl.cli import app as cli_app
from stateset.rl.cli import main
from stateset.rl.errors import CheckpointError, GateError, MissingExtraError

ROOT = Path(__file__).parents[1]
SMALL = ("max_response_length=8", "dtype=fp32", "device=cpu")


@pytest.fixture
def shop(tmp_path: Path, tiny_llama: Path, monkeypatch, capsys) -> Path:
    """A project as `init` writes it, as working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATESET_RL_TRACEBACK", raising=False)
    with pytest.raises(SystemExit):
        main(["init"])
    capsys.readouterr()
    return tmp_path


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a command that must fail cleanly."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return int(ended.value.code or 0), captured.err


LONG = "be kind " * 50  # longer than a file name may be
RUN = ("train", "project.yaml")
GENERATE = ("generate", "smollm2-135m")
EVALUATE = ("evaluate", "base", "--data", "tickets.jsonl", "--reward", "reward:SupportReward")
TABLE = {
    "missing project file": (("train", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
    "two project files": (("train", "a.yaml", "b.yaml"), "a.yaml and b.yaml are two project files"),
    "nothing given": (("train",), "there is no `model`: add for example `model: smollm2-135m`"),
    "unknown key": ((*RUN, "rollout_m=4"), "unknown key `rollout_m`; did you mean `rollout_n`?"),
    "value of the wrong type": ((*RUN, "epochs=soon"), "`epochs` is 'soon'"),
    "unknown profile": ((*RUN, "--profile", "balancd"), "did you mean `balanced`?"),
    "missing data": ((*RUN, "dataset=tickts.jsonl"), "did you mean"),
    "empty data": ((*RUN, "dataset=empty.jsonl"), "empty.jsonl"),
    "corrupt line": ((*RUN, "dataset=corrupt.jsonl"), "corrupt.jsonl:2: not valid JSON"),
    "prompt too long": ((*RUN, "max_prompt_length=40"), "tickets.jsonl:1: the prompt of task 'sample-1' has"),
    "unknown reward module": ((*RUN, "reward=rewrd:X"), "there is no rewrd.py"),
    "unknown reward": ((*RUN, "reward=reward:X"), "there are: SupportReward"),
    "closed model": ((*RUN, "model=gpt-4o"), "closed API model"),
    "missing model": ((*RUN, "model=no/such-model"), "cannot load model 'no/such-model'"),
    "eval key without rows": ((*RUN, "eval_every=2"), "there are no held-out rows"),
    "resume of nothing": (("train", "--resume", "runs/none"), "runs/none holds no run"),
    "unknown option": (("train", "--fast"), "No such option"),
    "unknown command": (("tune",), "No such command"),
    "empty prompt": ((*GENERATE, " "), "the prompt is empty"),
    "no answers asked": ((*GENERATE, "hi", "-n", "0"), "-n"),
    "alias of nobody": (("generate", "grpo_trained", "hi"), "no model is called 'grpo_trained'"),
    "no folder for the answers": (
        (*EVALUATE, "--out", "no/a.jsonl"),
        "cannot be no/a.jsonl: name a file in a folder",
    ),
    "plan without rows": (("plan", "model=smollm2-135m"), "there is no `dataset`"),
    "show nothing": (("runs", "show"), "`runs show` needs a run"),
    "show a file": (("runs", "show", "project.yaml"), "project.yaml holds no run"),
    "resume a file": (("train", "--resume", "project.yaml"), "project.yaml holds no run"),
    "answers into a folder": ((*EVALUATE, "--out", "."), "the answers cannot be .: name a file"),
    "answers over the rows": ((*EVALUATE, "--out", "./tickets.jsonl"), "this command reads it; name another"),
    "rejected rows over the rows": (
        ("data", "import", "jsonl", "a.rejected.jsonl", "-o", "a.jsonl"),
        "this command reads it; name another",
    ),
    "prompt in another encoding": ((*GENERATE, "caf\udce9"), "the prompt is not valid UTF-8"),
    "long text for an unknown key": (("plan", f"objectve={LONG}"), "did you mean `objective`?"),
    "long text": (("plan", f"objective={LONG}"), "there is no `dataset`"),
    "show no run": (("runs", "show", "runs/none"), "runs/none holds no run"),
}


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_one_message_and_an_exit_code(name: str, shop: Path, tiny_llama: Path, capsys) -> None:
    (shop / "empty.jsonl").write_text("\n")
    (shop / "a.rejected.jsonl").write_text("")
    (shop / "corrupt.jsonl").write_text('{"prompt": "fine"}\n{"prompt": "cut of\n')
    arguments, message = TABLE[name]
    if arguments[:2] == RUN and not any(word.startswith("model=") for word in arguments):
        arguments = (*arguments, f"model={tiny_llama}", *SMALL)
    before = sorted(shop.rglob("*"))
    code, err = fails(capsys, *arguments)
    assert message in err
    assert code == 2
    assert [
        path for path in sorted(shop.rglob("*")) if path not in before and "__pycache__" not in path.parts
    ] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "{model}", "hi"),
        ("evaluate", "{model}", *EVALUATE[2:]),
        ("chat", "{model}"),
    ],
)
def test_answers_longer_than_the_context_are_refused(arguments, shop, tiny_llama, capsys) -> None:
    words = [word.format(model=tiny_llama) for word in arguments]
    code, err = fails(capsys, *words, "--max-new-tokens", "99999")
    assert code == 2
    assert "--max-new-tokens 99999 leaves no room for a prompt: this model reads 512 tokens" in err
    assert "max_prompt_length" not in err


def test_bytes_on_stdin_that_are_no_utf8_are_told(shop, tiny_llama, capsys, monkeypatch) -> None:
    def pipe(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    pipe(b"caf\xe9")
    code, err = fails(capsys, "generate", str(tiny_llama), "-")
    assert code == 2
    assert "error: stdin is not valid UTF-8" in err
    pipe(b"caf\xe9\nhello\n")
    with pytest.raises(SystemExit) as ended:
        main(["chat", str(tiny_llama), "--max-new-tokens", "3"])
    captured = capsys.readouterr()
    assert ended.value.code == 0
    assert captured.err.count("error: that line is not valid UTF-8") == 1
    assert len(captured.out.splitlines()) == 1  # the line after it is answered


def test_a_key_in_the_file_is_named_with_its_line(shop: Path, capsys) -> None:
    (shop / "project.yaml").write_text("model: smollm2-135m\n\nrollout_m: 4\n")
    code, err = fails(capsys, "plan", "project.yaml")
    assert (code, err) == (2, "error: project.yaml:3: unknown key `rollout_m`; did you mean `rollout_n`?\n")


def test_a_reward_that_never_works_ends_the_run_with_its_line(shop: Path, tiny_llama: Path, capsys) -> None:
    (shop / "broken.py").write_text(
        "from stateset.rl import reward\n@reward\ndef broken(response):\n    return 1 / 0\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "train",
                "project.yaml",
                f"model={tiny_llama}",
                "reward=broken:broken",
                "output_dir=runs/x",
                *SMALL,
            ]
        )
    err = capsys.readouterr().err
    assert ended.value.code == 1
    assert "ZeroDivisionError" in err
    assert "broken.py:4" in err
    assert "Traceback" not in err
    assert not (shop / "runs").exists(), "the short trial finds it before anything is loaded"


def test_an_occupied_run_folder_is_refused(shop: Path, tiny_llama: Path, capsys) -> None:
    (shop / "full").mkdir()
    (shop / "full" / "thesis.txt").write_text("dear")
    code, err = fails(capsys, "train", "project.yaml", f"model={tiny_llama}", "output_dir=full", *SMALL)
    assert code == 2
    assert "holds other files" in err
    assert [path.name for path in (shop / "full").iterdir()] == ["thesis.txt"]


FULL = OSError(errno.ENOSPC, "No space left on device", "runs/a")
FORBIDDEN = PermissionError(errno.EACCES, "Permission denied", "runs")
TOO_LONG = OSError(errno.ENAMETOOLONG, "File name too long", "xxx")
NO_PEFT, NO_MINE = (ModuleNotFoundError(f"no {name}", name=name) for name in ("peft.tuners", "mine"))


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (FULL, 1, ("runs/a: No space left on device. Free some disk space",)),
        (FORBIDDEN, 1, ("runs: Permission denied. Check the permissions",)),
        (TOO_LONG, 1, ("xxx: File name too long. Give a shorter name.",)),
        (NO_PEFT, 4, ("peft is not installed", "pip install 'stateset-rl[train]'")),
        (NO_MINE, 1, ("unexpected ModuleNotFoundError: no mine", "--traceback")),
        (ValueError("odd"), 1, ("unexpected ValueError: odd", "--traceback")),
        (GateError("too low"), 3, ("too low",)),
        (MissingExtraError("pip install it"), 4, ("pip install it",)),
        (CheckpointError("disk"), 1, ("disk",)),
    ],
)
def test_every_error_has_its_code_and_one_message(error, code, words, shop, capsys, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli_app.show, "data", fail)
    found, err = fails(capsys, "--version")
    assert found == code
    assert err.startswith("error: ")
    for word in words:
        assert word in err


def test_a_traceback_is_shown_where_it_is_asked_for(shop: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("STATESET_RL_TRACEBACK", "")  # the option sets it; put back afterwards
    with pytest.raises(SystemExit) as ended:
        main(["--traceback", "plan", "nowhere.yaml"])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert "Traceback (most recent call last)" in err
    assert err.rstrip().splitlines()[-1].startswith("error: nowhere.yaml")


def test_ctrl_c_outside_a_run_is_130(shop: Path, capsys, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_app.show, "data", interrupt)
    assert fails(capsys, "--version")[0] == 130


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_after_a_checkpoint_that_resumes(number, code, shop, tiny_llama, capsys) -> None:
    arguments = [
        "train",
        "project.yaml",
        f"model={tiny_llama}",
        "epochs=2000",
        "output_dir=runs/long",
        *SMALL,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "stateset.rl", *arguments],
        cwd=shop, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    metrics = shop / "runs" / "long" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert "go on with: stateset-rl train --resume" in err
    done = len(metrics.read_text().splitlines())
    assert [path.name for path in (shop / "runs/long/checkpoints").iterdir()] == [f"step_{done:05d}"]
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", "runs/long", f"max_steps={done + 1}"])
    assert ended.value.code == 0, capsys.readouterr().err
    assert len(metrics.read_text().splitlines()) == done + 1
