"""From texts to token ids in which control tokens come from the chat template alone.

A tokenizer reads `<|im_end|>` in a customer's message as the end of the turn, so that whoever writes it can
write the next turns, too. Here such strings in a text stay text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerBase

_BEGIN, _END = "\ue000", "\ue001"  # private use: they mean nothing in any text
_PLACE = re.compile(rf"{_BEGIN}(\d+){_END}")


def template_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Token ids of a conversation as the chat template renders it, up to where the answer begins.

    A begin token at the very beginning, which rows of other tools have, is the template's to write.
    """
    hidden: list[str] = []
    pattern = _control_tokens(tokenizer)

    def hide(match: re.Match[str]) -> str:
        hidden.append(match[0])
        return f"{_BEGIN}{len(hidden) - 1}{_END}"

    first, *others = messages
    begun = {**first, "content": first["content"].removeprefix(tokenizer.bos_token or "")}
    messages = [begun, *others]
    marked = [{**message, "content": pattern.sub(hide, message["content"])} for message in messages]
    if not hidden:
        whole: Any = tokenizer.apply_chat_template(
            [dict(one) for one in messages], add_generation_prompt=True, return_dict=True
        )
        return list(whole["input_ids"])
    rendered = str(tokenizer.apply_chat_template(marked, add_generation_prompt=True, tokenize=False))
    ids: list[int] = []
    for index, piece in enumerate(_PLACE.split(rendered)):
        if index % 2:
            ids += text_ids(tokenizer, hidden[int(piece)])
        elif piece:
            ids += tokenizer(piece, add_special_tokens=False)["input_ids"]
    return ids


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text alone; control tokens in it are letters like others."""
    plain = _control_tokens(tokenizer).search(text) is not None
    options = {"split_special_tokens": True} if plain else {}
    return list(tokenizer(text, add_special_tokens=False, **options)["input_ids"])


@lru_cache(maxsize=8)
def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Finds the tokenizer's special tokens, and the marks of this module, in a text."""
    decoder: dict[int, Any] = tokenizer.added_tokens_decoder
    special = {token.content for token in decoder.values() if token.special}
    names = sorted({*special, *tokenizer.all_special_tokens, _BEGIN} - {""}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names)))
