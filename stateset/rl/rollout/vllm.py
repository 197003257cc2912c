"""vLLM samples the responses, in this process (extra `[vllm]`); its weights are replaced after every update.

Full weights are handed over in place, an adapter as a LoRA adapter beside the unchanged base. The cache of
prompts is dropped with every update: its keys and values belong to the old weights. Every response names the
hash of the weights that sampled it. vLLM draws with a generator of its own, seeded by response, in kernels of
its own, so the rollout correction is on. A server in another process: `vllm_server.py`.
"""

from __future__ import annotations

import copy
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stateset.rl.errors import MissingExtraError, ModelError
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.engine import Completion, Request, Sampling

KEEPS_PROMPTS = "vLLM did not drop its cached prompts, which belong to the weights of before"
_SEEDS = 2**63  # vLLM's are signed
_WORDS = {2: torch.int16, 4: torch.int32}


class VLLMEngine:
    """Samples with `vllm.LLM`.

    Args:
        policy: the model; vLLM reads its weights from a temporary folder once, later from memory.
        max_length: most tokens of a prompt with its response.
        settings: more keyword arguments of `vllm.LLM`, such as `gpu_memory_utilization`.

    Raises:
        MissingExtraError: vLLM is not installed.
    """

    exact = False

    def __init__(self, policy: Policy, *, max_length: int, **settings: Any) -> None:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # weights are handed over as tensors
        prepare_environment(policy)
        try:
            import vllm
        except ImportError as error:
            raise MissingExtraError("sampling with vLLM needs it: pip install 'stateset-rl[vllm]'") from error
        self._vllm = vllm
        self._folder = tempfile.TemporaryDirectory(prefix="stateset-rl-vllm-")
        self._updates = 0
        self._weights = ""
        self._adapter: Any = None
        model = save_base(policy, Path(self._folder.name) / "base")
        needed = engine_settings(policy, max_length)
        self._llm = vllm.LLM(model=str(model), disable_log_stats=True, **needed, **settings)

    def load_weights(self, policy: Policy) -> None:
        """Take over the policy's current weights and forget every cached prompt.

        Raises:
            ModelError: vLLM keeps cached prompts of the old weights.
        """
        self._updates += 1
        if policy.adapter is None:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": base_weights(policy)})
        else:
            from vllm.lora.request import LoRARequest

            name = f"update-{self._updates}"
            folder = Path(self._folder.name) / name
            policy.adapter.save_pretrained(folder)
            self._adapter = LoRARequest(name, self._updates, str(folder))
        if not self._llm.reset_prefix_cache():
            raise ModelError(KEEPS_PROMPTS)
        self._weights = weights_hash(policy)
        self._llm.update_weight_version(self._weights)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield every response once all are done.

        Raises:
            ModelError: one was sampled by other weights than those of the latest `load_weights`.
        """
        owners = [(r, s) for r, request in enumerate(requests) for s in range(len(request.seeds))]
        outputs = self._llm.generate(
            [self._vllm.TokensPrompt(prompt_token_ids=list(requests[r].prompt_ids)) for r, _ in owners],
            [self._parameters(requests[r].seeds[s], sampling) for r, s in owners],
            lora_request=self._adapter,
            use_tqdm=False,
        )
        for (request, sample), output in zip(owners, outputs, strict=True):
            [found] = output.outputs
            refuse_other_weights([span.version for span in found.weight_versions or ()], self._weights)
            ids = tuple(found.token_ids)
            yield Completion(
                request=request, sample=sample, token_ids=ids,
                logprobs=tuple(at[token].logprob for at, token in zip(found.logprobs, ids, strict=True)),
                stopped=found.finish_reason == "stop",
            )  # fmt: skip

    def _parameters(self, seed: int, sampling: Sampling) -> Any:
        return self._vllm.SamplingParams(**sampling_settings(seed, sampling))


def prepare_environment(policy: Policy) -> None:
    """What vLLM reads from the environment, where the user has not set it."""
    if policy.device.type == "cpu":
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB


def engine_settings(policy: Policy, max_length: int) -> dict[str, Any]:
    """VLLM's settings that the policy asks for, by their names in Python."""
    settings: dict[str, Any] = {
        "dtype": str(policy.dtype).removeprefix("torch."),
        "max_model_len": max_length,
        "logprobs_mode": "processed_logprobs",  # of the distribution drawn from, temperature included
    }
    if policy.adapter is not None:
        rank = max(int(config.r) for config in policy.adapter.peft_config.values())
        settings |= {"enable_lora": True, "max_lora_rank": rank}
    return settings


def sampling_settings(seed: int, sampling: Sampling) -> dict[str, Any]:
    """The fields of vLLM's `SamplingParams` for one response; nothing is left to a model's defaults."""
    return {
        "seed": seed % _SEEDS,
        "temperature": sampling.temperature,
        "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
        "max_tokens": sampling.max_tokens,
        "stop_token_ids": sorted(sampling.stop_ids),
        "ignore_eos": True,  # `stop_ids` alone end a response
        "logprobs": 0,  # that of the sampled token
        "detokenize": False,
    }  # fmt: skip


@torch.no_grad()
def weights_hash(policy: Policy) -> str:
    """16 hexadecimal digits that tell the trained weights of one update from those of another."""
    digest = hashlib.blake2b(digest_size=8)
    for name, parameter in policy.trainable().items():
        words = parameter.detach().view(_WORDS[parameter.element_size()])
        digest.update(f"{name} {int(words.sum(dtype=torch.int64))}\n".encode())
    return digest.hexdigest()


def refuse_other_weights(versions: Sequence[str], expected: str) -> None:
    """Raise where an engine names other weights for a response than those handed over."""
    if set(versions) != {expected}:
        named = ", ".join(sorted(set(versions))) or "none"
        raise ModelError(
            f"vLLM sampled a response with the weights {named}, not with {expected}, which were handed over: "
            "is something else updating this engine?"
        )


def base_weights(policy: Policy) -> list[tuple[str, Tensor]]:
    """The model's own weights by their names in a checkpoint, without an adapter.

    On a CPU a tied output layer is handed over as one of its own: vLLM packs a copy of it there, which a
    reload of the embedding alone leaves as it was (0.32).
    """
    named = policy.module.named_parameters(remove_duplicate=policy.device.type != "cpu")
    return [(name.replace(".base_layer", ""), p.detach()) for name, p in named if "lora_" not in name]


def save_base(policy: Policy, folder: Path) -> Path:
    """Write what vLLM loads at first: weights, settings and tokenizer."""
    weights = save_weights(policy, folder)
    config = copy.deepcopy(policy.module.config)
    config.get_text_config().tie_word_embeddings = config.tie_word_embeddings = (
        "lm_head.weight" not in weights
    )
    config.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder


def save_weights(policy: Policy, folder: Path) -> list[str]:
    """Write the model's own weights, without an adapter; returns their names."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    weights = {name: tensor.contiguous().clone().cpu() for name, tensor in base_weights(policy)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return list(weights)
