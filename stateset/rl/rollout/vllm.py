"""vLLM samples the responses, in this process (extra `[vllm]`); its weights are replaced after every update.

Full weights are handed over in place, an adapter as a LoRA adapter beside the unchanged base. The cache of
prompts is dropped with every update: its keys and values belong to the old weights. vLLM draws with a
generator of its own, seeded by response, in kernels of its own, so the rollout correction is on. Not done
here: a vLLM server in another process.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from stateset.rl.errors import MissingExtraError, ModelError
from stateset.rl.policy.policy import Policy
from stateset.rl.rollout.engine import Completion, Request, Sampling

_SEEDS = 2**63  # vLLM's are signed


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
        if policy.device.type == "cpu":
            os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        try:
            import vllm
        except ImportError as error:
            raise MissingExtraError("sampling with vLLM needs it: pip install 'stateset-rl[vllm]'") from error
        self._vllm = vllm
        self._folder = tempfile.TemporaryDirectory(prefix="stateset-rl-vllm-")
        self._updates = 0
        self._adapter: Any = None
        lora = {} if policy.adapter is None else {"enable_lora": True, "max_lora_rank": _rank(policy)}
        self._llm = vllm.LLM(
            model=str(_save_base(policy, Path(self._folder.name) / "base")),
            dtype=str(policy.dtype).removeprefix("torch."),
            max_model_len=max_length,
            logprobs_mode="processed_logprobs",  # of the distribution drawn from, temperature included
            disable_log_stats=True,
            **lora, **settings,
        )  # fmt: skip

    def load_weights(self, policy: Policy) -> None:
        """Take over the policy's current weights and forget every cached prompt.

        Raises:
            ModelError: vLLM keeps cached prompts of the old weights.
        """
        self._updates += 1
        if policy.adapter is None:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": _base_weights(policy)})
        else:
            from vllm.lora.request import LoRARequest

            name = f"update-{self._updates}"
            folder = Path(self._folder.name) / name
            policy.adapter.save_pretrained(folder)
            self._adapter = LoRARequest(name, self._updates, str(folder))
        if not self._llm.reset_prefix_cache():
            raise ModelError("vLLM did not drop its cached prompts, which belong to the weights of before")

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield every response once all are done."""
        owners = [(r, s) for r, request in enumerate(requests) for s in range(len(request.seeds))]
        outputs = self._llm.generate(
            [self._vllm.TokensPrompt(prompt_token_ids=list(requests[r].prompt_ids)) for r, _ in owners],
            [self._parameters(requests[r].seeds[s], sampling) for r, s in owners],
            lora_request=self._adapter,
            use_tqdm=False,
        )
        for (request, sample), output in zip(owners, outputs, strict=True):
            [found] = output.outputs
            ids = tuple(found.token_ids)
            yield Completion(
                request=request, sample=sample, token_ids=ids,
                logprobs=tuple(at[token].logprob for at, token in zip(found.logprobs, ids, strict=True)),
                stopped=found.finish_reason == "stop",
            )  # fmt: skip

    def _parameters(self, seed: int, sampling: Sampling) -> Any:
        return self._vllm.SamplingParams(
            seed=seed % _SEEDS,
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            stop_token_ids=sorted(sampling.stop_ids),
            ignore_eos=True,  # `stop_ids` alone end a response
            logprobs=0,  # that of the sampled token
            detokenize=False,
        )


def _rank(policy: Policy) -> int:
    return max(int(config.r) for config in policy.adapter.peft_config.values())


def _base_weights(policy: Policy) -> list[tuple[str, Tensor]]:
    """The model's own weights by their names in a checkpoint, without an adapter.

    On a CPU a tied output layer is handed over as one of its own: vLLM packs a copy of it there, which a
    reload of the embedding alone leaves as it was (0.32).
    """
    named = policy.module.named_parameters(remove_duplicate=policy.device.type != "cpu")
    return [(name.replace(".base_layer", ""), p.detach()) for name, p in named if "lora_" not in name]


def _save_base(policy: Policy, folder: Path) -> Path:
    """Write what vLLM loads at first: weights, settings and tokenizer."""
    from safetensors.torch import save_file

    weights = {name: tensor.contiguous().clone().cpu() for name, tensor in _base_weights(policy)}
    config = copy.deepcopy(policy.module.config)
    config.get_text_config().tie_word_embeddings = config.tie_word_embeddings = (
        "lm_head.weight" not in weights
    )
    config.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    policy.tokenizer.save_pretrained(folder)
    return folder
