"""Odd and broken models: what is right about them trains, what is wrong is refused, and no file runs code."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from broken_models import BROKEN, EVIL, own_code, settings
from conftest import write_model
from safetensors.torch import load_file, save_file
from trainer_rewards import count_e, parts

from stateset.rl.cli import main
from stateset.rl.errors import CheckpointError, ConfigError, DataError, ModelError
from stateset.rl.policy.load import load_policy
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.model import Model
from stateset.rl.trainer import GRPOTrainer
from stateset.rl.types import Task

ROOT = Path(__file__).parents[1]
SMALL = {"batch_size": 2, "rollout_n": 2, "max_response_length": 6, "dtype": "fp32", "device": "cpu"}


def loaded(folder: Path, **options: object) -> Policy:
    return load_policy(str(folder), device="cpu", dtype="fp32", **options)


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good model to break, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models_are_refused_and_run_nothing(name: str, folder: Path) -> None:
    change, message = BROKEN[name]
    change(folder)
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        loaded(folder)
    assert "model" in str(caught.value)
    assert len(str(caught.value)) < 700
    assert not Path("PWNED").exists()


def test_the_bombs_here_are_armed(folder: Path) -> None:
    """What the test above holds off does go off where nothing holds it off."""
    change, _ = BROKEN["a hostile pickle"]
    change(folder)
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert Path("PWNED").exists()
    Path("PWNED").unlink()
    subprocess.run([sys.executable, "-c", EVIL], check=True)
    assert Path("PWNED").exists()


def test_code_beside_a_known_architecture_is_not_run(folder: Path) -> None:
    own_code("config.json", auto_map={"AutoModelForCausalLM": "evil.M"})(folder)
    assert loaded(folder).stop_ids == {97}
    assert not Path("PWNED").exists()


def test_nothing_in_the_package_trusts_code_of_a_repository() -> None:
    found = {
        word
        for file in (ROOT / "stateset").rglob("*.py")
        for word in re.findall(r"trust_remote_code\s*[=:]\s*\w+", file.read_text())
    }
    assert found == {"trust_remote_code=False"}


@pytest.mark.parametrize("line", ["trust_remote_code: true", "model: {trust_remote_code: true}"])
def test_a_file_cannot_ask_to_trust_code(line: str, folder: Path, capsys) -> None:
    own_code("config.json", model_type="evil", auto_map={"AutoConfig": "evil.C"})(folder)
    Path("rows.jsonl").write_text('{"prompt": "a"}\n')
    Path("r.py").write_text(
        "from stateset.rl import reward\n@reward\ndef r(response):\n    return len(response)\n"
    )
    Path("run.yaml").write_text(f"{line}\ndataset: rows.jsonl\nreward: r:r\nreward_check: false\n")
    with pytest.raises(SystemExit) as ended:
        main(["train", "run.yaml", f"model={folder}", "rollout_n=2", "batch_size=1"])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert "never run here" in err or "unknown key `model.trust_remote_code`" in err
    assert not Path("PWNED").exists()


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [False, True])
def test_the_command_that_converts_a_pickle_does(adapter: bool, folder: Path) -> None:
    place, weights = folder, "model.safetensors"
    if adapter:
        place, weights = loaded(folder, lora_rank=2).save(Path("adapter")), "adapter_model.safetensors"
    good = load_file(place / weights)
    torch.save(good, place / ("adapter_model.bin" if adapter else "pytorch_model.bin"))
    (place / weights).unlink()
    with pytest.raises(ModelError, match="convert it with") as caught:
        loaded(place)
    command = shlex.split(str(caught.value).splitlines()[-1])
    assert command[0] == "python"
    environment = os.environ | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    subprocess.run([sys.executable, *command[1:]], check=True, env=environment, capture_output=True)
    again = place if adapter else Path(f"{place}-safe")
    assert loaded(again).stop_ids == {97}
    converted = load_file(again / weights)
    assert all(torch.equal(converted[name], tensor) for name, tensor in good.items())


def test_an_adapter_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    adapter = loaded(folder, lora_rank=2).save(tmp_path / "adapter")
    other = write_model(
        tmp_path / "other", hidden_size=32, num_attention_heads=2, num_key_value_heads=1, head_dim=16
    )
    settings("adapter_config.json", base_model_name_or_path=str(other))(adapter)
    with pytest.raises(ModelError, match=r"cannot load the adapter in .*size mismatch"):
        loaded(adapter)
    settings("adapter_config.json", base_model_name_or_path=str(folder))(adapter)
    weights = load_file(adapter / "adapter_model.safetensors")
    weights.pop(min(weights))
    save_file(weights, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"cannot load the adapter in .*missing adapter keys"):
        loaded(adapter)
    settings("adapter_config.json", base_model_name_or_path=str(adapter))(adapter)
    with pytest.raises(ModelError, match="which is an adapter, too"):
        loaded(adapter)


def responses(run: str) -> list[tuple[int, ...]]:
    """Token ids of every response of a run."""
    lines = [line for file in Path(run, "rollouts").iterdir() for line in file.read_text().splitlines()]
    return [tuple(response["token_ids"]) for line in lines for response in json.loads(line)["responses"]]


def test_several_ends_all_end_a_response(folder: Path) -> None:
    ends = [*range(40), 97]
    settings("generation_config.json", eos_token_id=[*ends, 5000])(folder)
    policy = loaded(folder)
    assert policy.stop_ids == set(ends), "what the model cannot say is no end"
    config = {**SMALL, "rollout_n": 8, "temperature": 100.0, "max_response_length": 12, "output_dir": "run"}
    GRPOTrainer(Model(policy), count_e, config).train([{"prompt": f"question {n}"} for n in range(4)])
    found = responses("run")
    assert len(found) == 32
    assert len({ids[-1] for ids in found} & set(ends)) > 5, "the sampler draws many of them"
    assert not {token for ids in found for token in ids[:-1]} & set(ends)


def test_a_pad_token_that_is_the_end_still_teaches_to_end(folder: Path) -> None:
    policy = loaded(folder)
    assert policy.tokenizer.pad_token_id in policy.stop_ids
    before = policy.module.get_input_embeddings().weight.detach()[97].clone()
    config = {**SMALL, "rollout_n": 8, "temperature": 100.0, "learning_rate": 0.01, "output_dir": "run"}
    GRPOTrainer(Model(policy), parts, config).train([{"prompt": "one"}, {"prompt": "a longer one"}])
    assert not torch.equal(policy.module.get_input_embeddings().weight.detach()[97], before)


def test_messages_without_a_template_name_the_row(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    policy = loaded(folder)
    assert policy.encode("hi") == (72, 73)
    messages = ({"role": "user", "content": "hi"},)
    task = Task(id="7", prompt=messages, answer=None, difficulty=None, context={}, source="rows.jsonl:3")
    with pytest.raises(DataError, match=r"rows\.jsonl:3: model .* has no chat template.*one string"):
        policy.encode_task(task, 100)


def test_a_template_that_refuses_a_row_names_it(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{{ messages[0]['content'] }}"
    )
    rows = [
        {"prompt": "fine"},
        {"prompt": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]},
    ]
    with pytest.raises(DataError, match=r"data\[1\]: the chat template of model .*System role not supported"):
        GRPOTrainer(Model(loaded(folder)), count_e, {**SMALL, "output_dir": "run"}).train(rows)
    assert not Path("run").exists()


def test_a_tokenizer_of_another_model_is_refused_where_it_shows(folder: Path) -> None:
    found = json.loads((folder / "tokenizer.json").read_text())
    found["model"]["vocab"]["é"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(found))
    policy = loaded(folder)
    with pytest.raises(DataError, match=r"data\[0\]: the tokenizer of model .* gives token 5000, .* has 98"):
        GRPOTrainer(Model(policy), count_e, {**SMALL, "output_dir": "run"}).train([{"prompt": "café"}])


def with_begin_and_end(folder: Path, *, end: bool) -> None:
    """A tokenizer that puts a begin token before a text, as Llama's does, and perhaps an end behind it."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    single = "<|pad|> $A <|im_end|>" if end else "<|pad|> $A"
    tokenizer.post_processor = TemplateProcessing(
        single=single, special_tokens=[("<|pad|>", 95), ("<|im_end|>", 97)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings("tokenizer_config.json", bos_token="<|pad|>")(folder)


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(
    "template", ["<|pad|>{{ messages[0]['content'] }}", "{{ bos_token }}{{ messages[0]['content'] }}", None]
)
def test_a_text_begins_once_and_does_not_end(template: str | None, end: bool, folder: Path) -> None:
    with_begin_and_end(folder, end=end)
    if template is None:
        (folder / "chat_template.jinja").unlink()
    else:
        (folder / "chat_template.jinja").write_text(template)
    policy = loaded(folder)
    assert policy.tokenizer("hi")["input_ids"] == [95, 72, 73, *([97] if end else [])]
    assert policy.encode("hi") == (95, 72, 73)
    assert policy.encode("<|pad|>hi") == (95, 72, 73), "a begin token in the text is not a second one"
    assert policy.encode_reply("hi") == (72, 73, 97)


def test_a_template_with_two_begins_gives_one(folder: Path) -> None:
    with_begin_and_end(folder, end=False)
    (folder / "chat_template.jinja").write_text("{{ bos_token }}{{ bos_token }}{{ messages[0]['content'] }}")
    assert loaded(folder).encode("hi") == (95, 72, 73)


def byte_fallback_model(folder: Path) -> Path:
    """A model whose tokenizer is that of Llama 2 in small: BPE over pieces, and bytes for what they lack."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *"abcdefghijklmnopqrstuvwxyz.",
    ]
    merges = [("▁", "a"), ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("▁", "hello")]
    pieces += [left + right for left, right in merges]
    inner = Tokenizer(
        models.BPE(
            {piece: number for number, piece in enumerate(pieces)},
            merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True,
        )
    )  # fmt: skip
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    write_model(folder, vocab_size=len(pieces), pad_token_id=2, eos_token_id=2, bos_token_id=1)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = "{{ bos_token }}{{ messages[-1]['content'] }}"
    tokenizer.save_pretrained(folder)
    return folder


TEXTS = (
    "hello a",
    "h\u00e9llo",
    "\u65e5\u672c\u8a9e.",
    "ok \U0001f600\U0001f469\u200d\U0001f52c.",
    "a\nb\tc",
    "caf\u00e9 </s",
)


@pytest.mark.parametrize("text", TEXTS)
def test_characters_split_over_tokens_come_back(text: str, tmp_path: Path) -> None:
    policy = loaded(byte_fallback_model(tmp_path))
    ids = policy.encode_reply(text)
    assert policy.tokenizer.unk_token_id not in ids
    assert ids[-1] == 2
    assert policy.stop_ids == {2}
    assert policy.decode(ids) == text
    for end in range(len(ids)):  # half a character at the end is U+FFFD, and what is before it stays
        assert text.startswith(policy.decode(ids[:end]).rstrip("\ufffd"))
    assert policy.encode(text)[:1] == (1,)


def test_a_byte_fallback_model_trains_and_its_files_are_utf8(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    policy = loaded(byte_fallback_model(tmp_path / "m"))
    GRPOTrainer(Model(policy), count_e, {**SMALL, "rollout_n": 8, "output_dir": "run"}).train(
        [{"prompt": "日本語"}, {"prompt": "hello 😀"}]
    )
    for line in Path("run/rollouts/step_00001.jsonl").read_text(encoding="utf-8").splitlines():
        for response in json.loads(line)["responses"]:
            assert response["text"] == policy.decode(response["token_ids"])


def test_spaces_of_a_response_stay_as_the_model_wrote_them(folder: Path) -> None:
    settings("tokenizer_config.json", clean_up_tokenization_spaces=True)(folder)
    policy = loaded(folder)
    text = "print ( x ) . I do n't ."
    assert policy.decode(policy.encode_reply(text)) == text


def test_a_prompt_longer_than_the_context_names_row_length_and_remedy(folder: Path) -> None:
    policy = loaded(folder)  # reads 512 tokens
    for text, said in (
        ("a " * 400, "has 8.. tokens, more than 506"),
        ("a " * 10**6, "2000000 characters, which are"),
    ):
        with pytest.raises(DataError, match=rf"data\[1\]: the prompt of task .* {said}.*shorten it"):
            GRPOTrainer(Model(policy), count_e, {**SMALL, "output_dir": "run"}).train(
                [{"prompt": "fine"}, {"prompt": text}]
            )
    with pytest.raises(ConfigError, match="max_response_length 512 leaves no room for a prompt"):
        GRPOTrainer(Model(policy), count_e, {**SMALL, "max_response_length": 512}).train([{"prompt": "fine"}])
    assert not Path("run").exists()


def test_fewer_rows_than_a_batch_are_one_smaller_batch(folder: Path) -> None:
    config = {**SMALL, "batch_size": 64, "epochs": 2, "output_dir": "run"}
    GRPOTrainer(Model(loaded(folder)), count_e, config).train([{"prompt": "one"}, {"prompt": "two"}])
    steps = [
        sorted(json.loads(line)["prompt"] for line in file.read_text().splitlines())
        for file in sorted(Path("run/rollouts").iterdir())
    ]
    assert steps == [["one", "two"]] * 2


def test_a_run_is_not_resumed_with_another_model(folder: Path, tmp_path: Path) -> None:
    rows = [{"prompt": "one"}, {"prompt": "two"}]
    config = {**SMALL, "save_every": 1, "epochs": 2, "output_dir": "run"}
    GRPOTrainer(str(folder), count_e, config).train(rows)
    other = write_model(
        tmp_path / "other", hidden_size=32, num_attention_heads=2, num_key_value_heads=1, head_dim=16
    )
    with pytest.raises(CheckpointError, match="this run would go on as another one: model was"):
        GRPOTrainer(str(other), count_e, {**config, "epochs": 3}).train(rows, resume="run")
