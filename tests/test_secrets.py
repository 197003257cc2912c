"""A key that a run is given is in none of its files and in nothing that it says, whatever goes wrong."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from judge_server import completion, serving
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from stateset.rl.cli import main
from stateset.rl.config.load import make_config
from stateset.rl.errors import ConfigError
from stateset.rl.redact import redact
from stateset.rl.rewards.judge import Judge

ROOT = Path(__file__).parents[1]
CANARY = "sk-canary-4f9d7c21b6e8a035"
GRADE = json.dumps({"steps": [], "result": 0.5})
JUDGED = """
import os
from stateset.rl.rewards.judge import Judge
from stateset.rl.rewards.rubric import RubricReward

class Judged(RubricReward):
    def __init__(self):
        judge = Judge(model="m", base_url={url!r}, tries=1, concurrency=1, breaks_after=10_000{key})
        super().__init__("A kind answer.", judge, force=True)
"""
RAISES = """
import itertools
import os
from stateset.rl import reward

calls = itertools.count()

@reward
def raises(response):
    if next(calls) % 2:
        return 1.0
    key = os.environ["OPENAI_API_KEY"]
    raise RuntimeError(f"request failed: { {'authorization': 'Bearer ' + key, 'x-api-key': key} }")
"""


def misbehaves(number: int, order: dict[str, Any]) -> Any:
    """A good grade first, then everything that an endpoint can do with a key."""
    echo = f"no access with Authorization: Bearer {CANARY}"
    answers = (
        (500, {"error": {"message": echo}}),
        (400, {"error": {"message": echo}}),
        (409, {"error": echo}),
        (200, completion(None, refusal=echo)),
        (200, f"<html>{echo}</html>".encode()),
        echo,
        json.dumps({"steps": [{"description": echo, "conclusion": CANARY}], "result": 0.25}),
        json.dumps({"result": echo}),
        GRADE,
    )
    return GRADE if number == 1 else answers[number % len(answers)]


def refuses(number: int, order: dict[str, Any]) -> Any:
    return 401, {"error": {"message": f"Incorrect API key provided: {CANARY}", "code": "invalid_api_key"}}


def trained(folder: Path, model: Path, reward: str, *, variable: str) -> subprocess.CompletedProcess[str]:
    """A run as a user starts it, with the key in the environment and tracebacks on."""
    (folder / "rows.jsonl").write_text("".join(f'{{"prompt": "question {n}"}}\n' for n in range(4)))
    (folder / "run.yaml").write_text(
        f"model: {model}\ndataset: rows.jsonl\neval_dataset: rows.jsonl\nreward: {reward}\n"
        "reward_check: false\noutput_dir: run\nbatch_size: 2\nrollout_n: 4\nmax_response_length: 6\n"
        "save_every: 1\neval_every: 1\n"
        "dtype: fp32\ndevice: cpu\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STATESET_RL_TRACEBACK": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("OPENAI_API_KEY", None)
    return subprocess.run(
        [sys.executable, "-m", "stateset.rl", "train", "run.yaml"],
        cwd=folder, env=environment | {variable: CANARY}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def files_with_the_key(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    return [str(path.relative_to(folder)) for path in files if CANARY.encode() in path.read_bytes()]


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", pytest.param("SHOP", marks=pytest.mark.slow)])
def test_a_judge_that_echoes_its_key(variable: str, tmp_path: Path, tiny_llama: Path) -> None:
    key = "" if variable == "OPENAI_API_KEY" else f", api_key=os.environ[{variable!r}]"
    with serving(misbehaves) as server:
        (tmp_path / "judged.py").write_text(JUDGED.format(url=server.url, key=key))
        done = trained(tmp_path, tiny_llama, "judged:Judged", variable=variable)
        assert done.returncode == 0, done.stderr
        assert set(server.keys) == {f"Bearer {CANARY}"}
        assert len(server.keys) > 9, "each kind of misbehaviour came up"
    assert files_with_the_key(tmp_path) == []
    assert CANARY not in done.stdout + done.stderr
    told = "".join(path.read_text() for path in (tmp_path / "run/rollouts").iterdir())
    assert "***" in told, "the reasons are kept, without the key"
    assert list((tmp_path / "run/checkpoints").iterdir())
    assert (tmp_path / "judge.sqlite").is_file()


def test_a_judge_whose_key_is_refused(tmp_path: Path, tiny_llama: Path) -> None:
    with serving(refuses) as server:
        (tmp_path / "judged.py").write_text(JUDGED.format(url=server.url, key=""))
        done = trained(tmp_path, tiny_llama, "judged:Judged", variable="OPENAI_API_KEY")
    assert done.returncode == 1
    assert "Traceback" in done.stderr, "asked for"
    assert "error: the judge's endpoint refused the call: AuthenticationError" in done.stderr
    assert "Incorrect API key provided: ***" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert files_with_the_key(tmp_path) == []
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert "***" in manifest["error"]


def test_a_client_that_raises_with_its_headers(tmp_path: Path, tiny_llama: Path) -> None:
    (tmp_path / "raises.py").write_text(RAISES)
    done = trained(tmp_path, tiny_llama, "raises:raises", variable="OPENAI_API_KEY")
    assert "request failed: {'authorization': 'Bearer ***', 'x-api-key': '***'}" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert files_with_the_key(tmp_path) == []
    assert "***" in (tmp_path / "run/events.jsonl").read_text()
    assert "***" in (tmp_path / "run/rollouts/step_00001.jsonl").read_text()


def test_an_exception_in_the_callers_own_code_is_recorded_without_the_key(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer_rewards import count_e

    from stateset.rl.trainer import GRPOTrainer

    monkeypatch.setenv("SHOP_API_KEY", CANARY)

    def callback(_: object) -> None:
        raise RuntimeError(f"upload failed, headers {{'x-key': {CANARY}}}")

    config = {"batch_size": 1, "rollout_n": 2, "max_response_length": 4, "output_dir": str(tmp_path / "run")}
    trainer = GRPOTrainer(str(tiny_llama), count_e, config, on_step=callback)
    with pytest.raises(RuntimeError, match="upload failed"):
        trainer.train([{"prompt": "a"}])
    assert files_with_the_key(tmp_path) == []
    assert "'x-key': ***" in json.loads((tmp_path / "run/manifest.json").read_text())["error"]


class RaisesInARank:
    """A trainer whose call fails with the key in its message."""

    def train(self) -> None:
        raise RuntimeError(f"no access with {CANARY}")


def test_a_rank_that_fails_shows_its_traceback_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    from stateset.rl.launch import repeat

    monkeypatch.setenv("SHOP_API_KEY", CANARY)
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    file = tmp_path / "call"
    file.write_bytes(pickle.dumps((RaisesInARank(), {})))
    with pytest.raises(SystemExit):
        repeat(str(file))
    err = capsys.readouterr().err
    assert "RuntimeError: no access with ***" in err
    assert CANARY not in err
    assert CANARY not in (tmp_path / "error.json").read_text()
    failure = ProcessFailure(0, 1, 1, str(tmp_path / "error.json"))
    assert failure.error_file_data["message"]["message"] == "RuntimeError: no access with ***"
    assert failure.timestamp > 0


def test_a_call_that_travels_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stateset.rl.launch import _offered

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with _offered(CANARY.encode()) as path:
        read = subprocess.run(["cat", path], capture_output=True, check=True).stdout
        again = subprocess.run(["cat", path], capture_output=True, check=True).stdout
        assert read == again == CANARY.encode()
        assert list(tmp_path.iterdir()) == []
    assert not Path(path).exists()


def test_config_explain_hides_a_token_of_another_projects_file(tmp_path: Path, capsys) -> None:
    file = tmp_path / "trl.yaml"
    file.write_text(f"num_generations: 8\nper_device_train_batch_size: 8\nhub_token: {CANARY}\n")
    for options in ((), ("--json",)):
        with pytest.raises(SystemExit) as ended:
            main(["config", "explain", str(file), *options])
        out, err = capsys.readouterr()
        assert ended.value.code == 0
        assert CANARY not in out + err
        assert "hub_token" in out
        assert "***" in out


def test_an_address_holds_no_password() -> None:
    with pytest.raises(ConfigError, match="rollout_server"):
        make_config({"rollout_engine": "vllm", "rollout_server": f"http://me:{CANARY}@127.0.0.1:8000"})


def test_a_judge_shown_as_text_hides_its_key() -> None:
    assert CANARY not in repr(Judge(model="m", api_key=CANARY))


def test_what_redact_hides_and_what_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh12345")
    monkeypatch.setenv("DB_PASSWORD", "correct horse battery")
    monkeypatch.setenv("PIN_KEY", "1234")
    monkeypatch.setenv("KEYBOARD_LAYOUT", "qwertz-de-latin1")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false-please")
    assert redact("a hf_abcdefgh12345 b") == "a *** b"
    assert redact("correct horse battery staple") == "*** staple"
    assert redact("Authorization: Bearer abc.def-123456 and more") == "Authorization: Bearer *** and more"
    assert redact("http://me:hunter22@host/v1?x=1") == "http://***@host/v1?x=1"
    assert redact("knownknown", "knownknown", None) == "***"
    assert redact("x-api-key: abcdef-12345678, next") == "x-api-key: ***, next"
    plain = "1234 qwertz-de-latin1 false-please mail me@example.org, basic understanding, http://host/a@b"
    plain += " the api_key: missing or empty; no x-api-key: set OPENAI_API_KEY; max_tokens=100000000"
    assert redact(plain) == plain


@pytest.mark.parametrize(
    "name",
    [
        "PGPASSWORD",
        "ACCESSKEY",
        "AWS_SECRET_ACCESS_KEY",
        "OPENAI_API_KEYS",
        "DB_PASS",
        "GITHUB_PAT",
        "APP_CREDENTIAL",
    ],
)
def test_a_variable_is_known_by_the_end_of_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, CANARY)
    assert redact(f"a {CANARY} b") == "a *** b"
    monkeypatch.setenv(name, f"{CANARY},{CANARY[::-1]}")
    assert redact(f"a {CANARY} b {CANARY[::-1]}") == "a *** b ***"


ODD = 'ab"cd\\ef/gh+12 \u00e9\n'


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(ODD),
        json.dumps(ODD, ensure_ascii=False),
        repr(ODD),
        quote(ODD),
        quote(ODD, ""),
        quote_plus(ODD),
    ],
)
def test_a_secret_is_hidden_as_others_write_it(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD_PASSWORD", ODD)
    assert redact(f"<{written}>").strip("<'\">") == "***"
    monkeypatch.setenv("ODD_PASSWORD", os.fsdecode(b"no utf-8 \xff\xfe"))
    assert redact("fine") == "fine"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{'X-Api-Key': 'sk-abc12345'}", "{'X-Api-Key': '***'}"),
        ('{\\"api_key\\": \\"sk-abc12345\\"}', '{\\"api_key\\": \\"***\\"}'),
        ("https://host/v1?key=AIzaSy0123456&x=1", "https://host/v1?key=***&x=1"),
        ("SHOP_API_KEY=sk-abc12345 python", "SHOP_API_KEY=*** python"),
        ("Authorization: sk-abc12345", "Authorization: ***"),
        ("x-goog-api-key:sk-abc12345", "x-goog-api-key:***"),
    ],
)
def test_what_follows_the_name_of_a_key_is_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
