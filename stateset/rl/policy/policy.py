"""`Policy`: the model that is trained, with its tokenizer, adapter and precision.

The module computes in `dtype`; what the optimizer changes are float32 master weights (see `optimizer.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from stateset.rl.checkpoint_files import replace_folder, seal
from stateset.rl.errors import CheckpointError, ConfigError, DataError, ModelError
from stateset.rl.manifest import write_json_atomic
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.encoding import template_ids, text_ids
from stateset.rl.policy.forward import plain_hidden, scored, shared_hidden, spread
from stateset.rl.policy.logprobs import Head, token_kl
from stateset.rl.policy.model_files import cause
from stateset.rl.types import Message, Task

Weights = dict[str, Tensor]

# Turn endings that some models use without naming them as end of sequence.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>")


class Policy:
    """A causal language model ready for GRPO.

    Attributes:
        module: the Hugging Face model, LoRA layers injected where there is an adapter.
        tokenizer: its tokenizer.
        adapter: the PEFT wrapper around `module`, or None for full training.
        shares_prefix: whether the prompt is computed once per group; else plain rows.
        name: what the model was loaded from.
        notices: sentences that the user should see once.
    """

    def __init__(
        self,
        module: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        adapter: Any = None,
        shares_prefix: bool = True,
        notices: tuple[str, ...] = (),
    ) -> None:
        self.module = module
        self.tokenizer = tokenizer
        self.adapter = adapter
        self.shares_prefix = shares_prefix
        self.name = name
        self.notices = notices
        self.stop_ids = _stop_ids(module, tokenizer, name)
        self.turn_end = _turn_end(tokenizer, self.stop_ids)
        self.window = _shortest_window(module)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.module.device

    @property
    def revision(self) -> str | None:
        """The hub's commit of the model, None for one from a folder."""
        return getattr(self.module.config, "_commit_hash", None)

    @property
    def dtype(self) -> torch.dtype:
        """What forward and backward compute in."""
        return self.module.dtype

    @property
    def head(self) -> Head:
        """The output projection with the config's scale and soft cap."""
        layer = self.module.get_output_embeddings()
        config = self.module.config.get_text_config()
        scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
        return Head(layer.weight, layer.bias, scale, getattr(config, "final_logit_softcapping", None))

    @property
    def max_length(self) -> int:
        """Tokens of prompt and response together that the model was made for."""
        return int(getattr(self.module.config.get_text_config(), "max_position_embeddings", 2**31))

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad}

    def logprobs(self, batch: Batch, temperature: float) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies [B, T] of the masked response tokens (float32, 0 elsewhere)."""
        return scored(self._hidden(batch), self.head, batch, temperature)

    def logprobs_and_kl(
        self, batch: Batch, temperature: float, reference: Weights
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`logprobs`, and the exact KL to other weights [B, T], over the whole vocabulary in chunks."""
        with torch.no_grad(), self.using(reference):
            reference_hidden = self._hidden(batch)
            reference_head = self.head.detached()
        hidden = self._hidden(batch)
        kl = token_kl(hidden, reference_hidden, self.head, reference_head, temperature)
        return (*scored(hidden, self.head, batch, temperature), spread(kl, batch.mask))

    def _hidden(self, batch: Batch) -> Tensor:
        if self.shares(batch):
            return shared_hidden(self.module, self.head.weight.dtype, batch)
        return plain_hidden(self.module, batch)

    def shares(self, batch: Batch) -> bool:
        """Whether the prompts of this batch are computed once per group."""
        longest = max(len(p) for p in batch.prompts) + batch.token_ids.shape[1]
        return self.shares_prefix and longest <= self.window

    def encode(self, prompt: str | tuple[Message, ...] | list[Message]) -> tuple[int, ...]:
        """Token ids of a prompt as the model's chat template renders it, up to where the answer begins.

        Control tokens come from the template alone: in a message they are text. A model without a template
        takes strings as they are. The text begins once, and does not end: a second begin token, and an end
        that a tokenizer appends, are left out.

        Raises:
            ModelError: a list of messages for a model without a chat template, a template that refuses the
                prompt, or a tokenizer that belongs to another model.
        """
        if self.tokenizer.chat_template is None:
            if not isinstance(prompt, str):
                raise ModelError(
                    f"model '{self.name}' has no chat template, so it cannot read a list of messages: use "
                    "its instruct variant, or give each prompt as one string"
                )
            plain = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
            ids = list(self.tokenizer(prompt)["input_ids"])
            while ids and ids[-1] in self.stop_ids and ids[-1:] != plain[-1:]:
                ids.pop()
            return self._begun_once(ids)
        messages: Any = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        try:
            ids = template_ids(self.tokenizer, messages)
        except Exception as error:  # a template is a program that the model's author wrote
            raise ModelError(
                f"the chat template of model '{self.name}' refuses this prompt ({cause(error)}): write it as "
                "the template wants it, or repair the template"
            ) from error
        return self._begun_once(ids)

    def _begun_once(self, ids: Sequence[int]) -> tuple[int, ...]:
        begin = self.tokenizer.bos_token_id
        first = 0
        while begin is not None and list(ids[first : first + 2]) == [begin, begin]:
            first += 1
        return self._known(ids[first:])

    def _known(self, ids: Sequence[int]) -> tuple[int, ...]:
        known = self.module.config.get_text_config().vocab_size
        if max(ids, default=0) >= known:
            raise ModelError(
                f"the tokenizer of model '{self.name}' gives token {max(ids)}, and the model has {known}: it "
                "is another model's, copy the right one into the folder"
            )
        return tuple(ids)

    def encode_task(self, task: Task, max_prompt_length: int) -> tuple[int, ...]:
        """`encode`, refusing more than `max_prompt_length` tokens: a cut prompt would train silently.

        Raises:
            DataError: too long, empty, or one that `encode` refuses; the message says where it stands.
        """
        where, prompt = task.source or task.id, task.prompt
        texts = [prompt] if isinstance(prompt, str) else [message["content"] for message in prompt]
        characters = sum(map(len, texts))
        if characters > max_prompt_length * self.longest_token:  # a tokenizer would take minutes
            raise self._too_long(
                task, f"{characters} characters, which are more than {max_prompt_length} tokens"
            )
        try:
            ids = self.encode(prompt)
        except ModelError as error:
            raise DataError(f"{where}: {error}") from error
        if not ids:
            raise DataError(f"{where}: the prompt has no tokens; give it some text")
        if len(ids) > max_prompt_length:
            raise self._too_long(task, f"{len(ids)} tokens, more than {max_prompt_length}")
        return ids

    def _too_long(self, task: Task, length: str) -> DataError:
        return DataError(
            f"{task.source or task.id}: the prompt of task '{task.id}' has {length}: shorten it, or in "
            f"training raise max_prompt_length (this model reads {self.max_length} tokens, prompt and "
            "response together)"
        )

    @cached_property
    def longest_token(self) -> int:
        """Characters of the longest token; no token stands for more."""
        return max(map(len, self.tokenizer.get_vocab()))

    def encode_reply(self, reply: str) -> tuple[int, ...]:
        """Token ids of a written reply as the model would have sampled it: its text and the turn's end."""
        return (*self._known(text_ids(self.tokenizer, reply.strip())), self.turn_end)

    def prompt_room(self, max_response_length: int, key: str = "max_response_length") -> int:
        """Tokens that a prompt may have beside a response of this length.

        Raises:
            ConfigError: there is no room at all; `key` is what the message tells the user to lower.
        """
        room = self.max_length - max_response_length
        if room < 1:
            raise ConfigError(
                f"{key} {max_response_length} leaves no room for a prompt: this model reads "
                f"{self.max_length} tokens, prompt and response together"
            )
        return room

    def decode(self, token_ids: tuple[int, ...] | list[int]) -> str:
        """Text of response tokens, special tokens left out; half a character at the end becomes U+FFFD."""
        text = self.tokenizer.decode(
            list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)

    def snapshot(self) -> Weights:
        """A copy of the trainable weights in the compute dtype; a reference model is such a copy."""
        return {name: p.detach().clone() for name, p in self.trainable().items()}

    @contextlib.contextmanager
    def using(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Compute with other trainable weights for a while; swaps pointers, copies nothing."""
        parameters = self.trainable()
        own = {name: parameters[name].data for name in weights}
        try:
            for name, tensor in weights.items():
                parameters[name].data = tensor
            yield
        finally:
            for name, tensor in own.items():
                parameters[name].data = tensor

    @property
    def num_parameters(self) -> int:
        """All weights, trained or not."""
        return sum(p.numel() for p in self.module.parameters())

    def save(self, folder: str | Path, lineage: Mapping[str, Any] | None = None) -> Path:
        """Write a folder that transformers (or PEFT, for an adapter) loads; replaces an earlier one whole.

        `lineage` goes into its `stateset_rl.json`: where the weights came from. Such a folder, which belongs
        to a run, is sealed with a `MANIFEST.json`, too.

        Raises:
            CheckpointError: it could not be written; what was there before is untouched.
        """

        def write(place: Path) -> None:
            (self.adapter or self.module).save_pretrained(place)
            self.tokenizer.save_pretrained(place)
            if lineage is not None:
                write_json_atomic(place / "stateset_rl.json", lineage)
                seal(place)

        try:
            return replace_folder(Path(folder), write)
        except Exception as error:  # of a full disk transformers, peft and tokenizers raise what they like
            raise CheckpointError(
                f"the model folder {folder} could not be written ({cause(error)}); what was there before is "
                "as it was. Free some disk space, or make the folder writable"
            ) from error


def _stop_ids(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> frozenset[int]:
    """Tokens that end a response: of the generation config, the tokenizer and the template's turns."""
    found: set[int] = set()
    generation_config = getattr(module, "generation_config", None)
    for value in (getattr(generation_config, "eos_token_id", None), tokenizer.eos_token_id):
        if value is not None:
            found.update(value if isinstance(value, list | tuple) else [value])
    template = str(tokenizer.chat_template or "")
    vocabulary = tokenizer.get_added_vocab()
    found.update(vocabulary[end] for end in _TURN_ENDS if end in vocabulary and end in template)
    found = {token for token in found if 0 <= token < module.config.get_text_config().vocab_size}
    if not found:
        raise ModelError(
            f"model '{name}' has no end-of-sequence token, so its responses would never end: set "
            "`eos_token_id` in generation_config.json of its folder"
        )
    return frozenset(found)


def _turn_end(tokenizer: PreTrainedTokenizerBase, stop_ids: frozenset[int]) -> int:
    """The token that ends an assistant's turn in the chat template; without a template, the text's end."""
    template, vocabulary = str(tokenizer.chat_template or ""), tokenizer.get_added_vocab()
    turns = [vocabulary[end] for end in _TURN_ENDS if end in vocabulary and end in template]
    if turns:
        return int(turns[0])
    return int(tokenizer.eos_token_id) if tokenizer.eos_token_id in stop_ids else min(stop_ids)


def _shortest_window(module: PreTrainedModel) -> float:
    """Tokens up to which every layer sees the whole row; infinite without sliding windows."""
    config = module.config.get_text_config()
    layer_types = getattr(config, "layer_types", None)
    if layer_types is not None and "sliding_attention" not in layer_types:
        return float("inf")
    return getattr(config, "sliding_window", None) or float("inf")
