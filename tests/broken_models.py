"""What a model's folder can have against it: each entry breaks a good one, and what the refusal says."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"
EVIL = 'open("PWNED", "w").close()\n'


class Bomb:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch PWNED",)


def settings(name: str, **values: object) -> Callable[[Path], None]:
    """Changes keys of a JSON file."""

    def change(folder: Path) -> None:
        found = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(found | values))

    return change


def text(name: str, content: str) -> Callable[[Path], None]:
    """Replaces a file."""

    def change(folder: Path) -> None:
        (folder / name).write_text(content)

    return change


def header(value: object, data: int = 0, length: int | None = None) -> Callable[[Path], None]:
    """Replaces the weights by a file with this header."""

    def change(folder: Path) -> None:
        head = value if isinstance(value, bytes) else json.dumps(value).encode()
        size = struct.pack("<Q", len(head) if length is None else length)
        (folder / WEIGHTS).write_bytes(size + head + b"\0" * data)

    return change


def cut(share: float) -> Callable[[Path], None]:
    """Keeps the beginning of the weights."""

    def change(folder: Path) -> None:
        data = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(data[: int(share * len(data))])

    return change


def tensors(change_one: Callable[[dict[str, Any], str], object]) -> Callable[[Path], None]:
    """Changes the tensor of a layer."""

    def change(folder: Path) -> None:
        found = load_file(folder / WEIGHTS)
        change_one(found, next(name for name in found if "q_proj" in name))
        save_file(found, folder / WEIGHTS, metadata={"format": "pt"})

    return change


def pickled(name: str, value: object) -> Callable[[Path], None]:
    """Leaves nothing but a pickle of the weights."""

    def change(folder: Path) -> None:
        torch.save(value, folder / name)
        (folder / WEIGHTS).unlink()

    return change


def own_code(name: str, **values: object) -> Callable[[Path], None]:
    """A repository that brings a program along."""

    def change(folder: Path) -> None:
        settings(name, **values)(folder)
        (folder / "evil.py").write_text(EVIL)

    return change


def _tensor(start: int, end: int, dtype: str = "F32", size: int = 4) -> dict[str, object]:
    return {"dtype": dtype, "shape": [size], "data_offsets": [start, end]}


TEMPLATE = "chat_template.jinja"
AUTO = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}
DAMAGED = "model.safetensors is damaged or no safetensors file"
BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pickle": (pickled("pytorch_model.bin", {}), "pytorch_model.bin is a pickle, which can run code"),
    "a hostile pickle": (pickled("pytorch_model.bin", {"a": Bomb()}), "pytorch_model.bin is a pickle"),
    "a hostile .pt": (pickled("model.pt", {"a": Bomb()}), "model.pt is a pickle"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "no file named model.safetensors"),
    "half of the weights": (cut(0.5), DAMAGED),
    "half a header": (cut(0.001), DAMAGED),
    "empty weights": (cut(0), DAMAGED),
    "a header longer than memory": (header({}, length=2**62), DAMAGED),
    "a header that is no JSON": (header(b'{"a": '), DAMAGED),
    "a deep header": (header(b"[" * 200_000), DAMAGED),
    "overlapping tensors": (header({"a": _tensor(0, 16), "b": _tensor(8, 24)}, 24), DAMAGED),
    "an unknown type": (header({"a": _tensor(0, 16, "EVIL")}, 16), DAMAGED),
    "fewer bytes than the shape": (header({"a": _tensor(0, 16, size=400)}, 16), DAMAGED),
    "a negative place": (header({"a": _tensor(-16, 0)}, 16), DAMAGED),
    "a place behind the end": (header({"a": _tensor(0, 16)}, 4), DAMAGED),
    "a weight too few": (
        tensors(lambda found, name: found.pop(name)),
        "lack 1 of its weights, such as model.l",
    ),
    "a weight of another shape": (
        tensors(lambda found, name: found.update({name: found[name][:, :9].contiguous()})),
        "its weights have other shapes than its config.json says",
    ),
    "NaN among the weights": (
        tensors(lambda found, name: found[name][0, 0].fill_(float("nan"))),
        "q_proj.weight for one",
    ),
    "infinity among the weights": (
        tensors(lambda found, name: found[name][0, 0].fill_(float("inf"))),
        "hold NaN or infinity",
    ),
    "a broken config": (text("config.json", '{\n"a": 1,\n}'), "config.json:3 is no JSON"),
    "a deep config": (text("config.json", "[" * 100_000), "config.json is no JSON"),
    "a config that is a list": (text("config.json", "[]"), "cannot load model"),
    "a config of no model": (settings("config.json", model_type="nonsense"), "model type `nonsense`"),
    "a size that is a text": (settings("config.json", hidden_size="x"), "Field 'hidden_size' expected int"),
    "no attention heads": (settings("config.json", num_attention_heads=0), "cannot load model"),
    "a petabyte": (settings("config.json", hidden_size=2**40), "other shapes than its config.json says"),
    "an encoder": (settings("config.json", model_type="bert"), "lack 44 of its weights"),
    "settings of generation cut off": (text("generation_config.json", "{"), "generation_config.json:1 is no"),
    "code for the model": (
        own_code("config.json", model_type="evil", auto_map=AUTO),
        "it needs code of its own repository, which is never run here",
    ),
    "code for the tokenizer": (
        own_code("tokenizer_config.json", tokenizer_class="E", auto_map={"AutoTokenizer": ["evil.C", None]}),
        "it needs code of its own repository, which is never run here",
    ),
    "a broken tokenizer": (text("tokenizer.json", "{}"), "cannot load model"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "Couldn't instantiate the backend"),
    "an unclosed loop in the template": (text(TEMPLATE, "{% for m in messages %}"), "refuses this prompt"),
    "a template that looks around": (text(TEMPLATE, "{{ ''.__class__.__mro__ }}"), "refuses this prompt"),
    "a template that loops": (
        text(TEMPLATE, "{% for i in range(10**9) %}{% endfor %}"),
        "refuses this prompt",
    ),
    "a template without the message": (text(TEMPLATE, "hello"), "leaves out what the user says"),
    "an empty template": (text(TEMPLATE, ""), "leaves out what the user says"),
    "an adapter of nothing": (text("adapter_config.json", "{}"), "is not that of a LoRA adapter"),
    "an adapter of another kind": (
        text("adapter_config.json", '{"peft_type": "PREFIX_TUNING", "base_model_name_or_path": "x"}'),
        "is not that of a LoRA adapter",
    ),
    "a broken adapter": (text("adapter_config.json", "{"), "adapter_config.json:1 is no JSON"),
}
