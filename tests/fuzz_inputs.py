"""Inputs for `fuzz_loaders.py`: odd rows and settings, and real files with a few bytes changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from stateset.rl.config.schema import Config

ROOT = Path(__file__).parents[1]
EXPORTS = ROOT / "tests" / "exports"
DIALECTS = ("verl_gsm8k.yaml", "trl_grpo.yaml", "platform.yaml")
ROW_FILES = [
    (ROOT / name).read_bytes()[:4000]
    for name in ("examples/tickets.jsonl", "stateset/rl/data/tickets/train.jsonl", "examples/heldout.jsonl")
]
YAML_FILES = [
    file.read_bytes()[:4000]
    for file in (ROOT / "examples/project.yaml", *(ROOT / "tests/dialects" / name for name in DIALECTS))
]
EXPORT_FILES = [file.read_bytes() for file in sorted(EXPORTS.iterdir())]
SCRIPT = (ROOT / "tests/dialects/openrlhf.sh").read_bytes()
SMALL_TABLES = [b'prompt,answer\n"a\nb",1\n', b'[{"prompt": "a", "id": 1}]']

_ODD = ("", " ", "\0", "\ud800", "\ufeff", "\u2028", "\r", "\n", "\x1b[31m", "\u00e9" * 50, "1e999", "$A")
_COLUMNS = [
    "prompt", "id", "answer", "difficulty", "context", "reply", "split", "satisfaction", "customer", "thread",
    "tickets", "comments", "body", "public", "created_at", "author_id", "conversation_parts", "user", "role",
]  # fmt: skip
_KEYS = [
    "warm_start.epochs", "trainer.total_epochs", "actor_rollout_ref.rollout.n", "<<", "columns", "layout",
    "num_generations", "per_device_train_batch_size", "data", "reward.num", "profile", "dialect",
]  # fmt: skip
_YAML = [
    "1", "1e-6", ".nan", ".inf", "1:59:59", "2020-13-01", "true", "~", "[", "{", "*a", "!x",
    "!!python/name:os.system", ">", "'", "{a: 1, a: 2}", "[1, 2]", "0.9", "support_tickets", "null",
    "%", "@", "`", "-1", "3.5", "[[[[", '"\\0"', '"\\ud800"', "0x" + "f" * 40, "- a", "&a x", "!!int ''",
    "| \n  a", "\t", "? a", "1" * 50, "${a}",
]  # fmt: skip

texts = st.one_of(st.sampled_from(_ODD), st.text(max_size=20))
keys = st.sampled_from([*Config.model_fields, *_KEYS])
yaml_values = st.one_of(st.sampled_from(_YAML), st.text(max_size=10))
_numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([10**400, -(2**63), 0.1, 1e308]))
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), _numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
_message = st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "x"]), "content": texts})
_row = st.dictionaries(st.one_of(st.sampled_from(_COLUMNS), texts), _values, max_size=4)
_prompts = st.one_of(texts, st.lists(_message, max_size=3))
_row_with_prompt = st.builds(lambda row, prompt: row | {"prompt": prompt}, _row, _prompts)
_any_row = st.one_of(_row_with_prompt, _row_with_prompt, _row, _values)
_line = st.builds(json.dumps, _any_row, ensure_ascii=st.booleans())
_line_ends = st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n", "\n\ufeff", "\0", ",\n", ""])


def _joined(parts: Sequence[tuple[str, ...]]) -> bytes:
    return "".join("".join(part) for part in parts).encode("utf-8", "surrogatepass")


lines = st.builds(_joined, st.lists(st.tuples(_line, _line_ends), max_size=5))
fine_lines = st.builds(  # so that what is accepted is tried as well
    lambda said, extra: "\n".join(json.dumps({"prompt": f"Q {text}", **extra}) for text in said).encode(),
    st.lists(texts, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["x", "y"]), _values, max_size=1),
)
project_files = st.builds(
    _joined,
    st.lists(
        st.tuples(
            st.sampled_from(["", "", "  ", "    ", "\t", "- "]), st.one_of(keys, keys, texts),
            st.sampled_from([": ", ": ", ":\n", "=", " ", ": &a "]), yaml_values,
            st.sampled_from(["\n", "\n", "\r\n", "", "---\n"]),
        ),
        max_size=6,
    ),
)  # fmt: skip
scripts = st.builds(
    _joined,
    st.lists(
        st.tuples(
            st.sampled_from(["--", "", "+", "export ", "A="]), st.one_of(keys, texts),
            st.sampled_from(["=", " ", "=$A", "=${B}"]), yaml_values,
            st.sampled_from([" ", "\n", " \\\n", "\nA=$A$A\n"]),
        ),
        max_size=8,
    ),
)  # fmt: skip
overrides = st.builds(lambda key, value: _joined([(key, "=", value)]), keys, yaml_values)
_put_in = st.one_of(
    st.binary(max_size=4),
    st.sampled_from([b"\0", b'"', b"{", b"[" * 300, b"\xef\xbb\xbf", b"NaN", b"1e999", b"\\ud800", b"\xff"]),
)


def mutated(sources: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of them with up to four places changed, cut or put in."""

    def apply(source: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for place, length, put in changes:
            start = place % (len(source) + 1)
            source = source[:start] + put + source[start + length :]
        return source

    change = st.tuples(st.integers(0, 10**6), st.integers(0, 12), _put_in)
    return st.builds(
        apply, st.integers(0, len(sources) - 1).map(sources.__getitem__), st.lists(change, max_size=4)
    )
