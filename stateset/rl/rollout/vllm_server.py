"""A vLLM server in another process samples the responses, in an environment or on a device of its own.

`stateset-rl rollout-server` starts one. Weights reach it as files: both must see the folder for temporary
files. Its endpoints that replace weights take orders from whoever reaches them, so it listens on this machine
alone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx

from stateset.rl.errors import ModelError
from stateset.rl.policy.policy import Policy
from stateset.rl.pulse import beat
from stateset.rl.rollout.engine import Completion, Request, Sampling
from stateset.rl.rollout.vllm import (
    KEEPS_PROMPTS,
    refuse_other_weights,
    sampling_settings,
    save_weights,
    weights_hash,
)

_AT_ONCE = 256  # requests under way
_LOOK_SECONDS = 0.5  # between two looks whether the run is asked to stop
_SECONDS = httpx.Timeout(1800.0, connect=10.0)  # a long response on a busy server takes minutes


class VLLMServerEngine:
    """Samples with a server that `stateset-rl rollout-server` started.

    Args:
        policy: the model that is trained; the server has one of the same architecture.
        url: such as `http://127.0.0.1:8000`.
        max_length: most tokens of a prompt with its response.

    Raises:
        ModelError: nothing answers there, it cannot take over weights, or its rows are shorter.
    """

    exact = False

    def __init__(self, policy: Policy, url: str, *, max_length: int) -> None:
        self.url = url.rstrip("/")
        limits = httpx.Limits(max_connections=_AT_ONCE)
        self._client = httpx.Client(base_url=self.url, timeout=_SECONDS, limits=limits)
        self._folder = tempfile.TemporaryDirectory(prefix="stateset-rl-weights-")
        self._updates = 0
        self._weights = self._adapter = ""
        [model, *_] = self._ask("GET", "/v1/models")["data"]
        self._base: str = model["id"]
        self._ask("GET", "/weight_info")
        if model["max_model_len"] < max_length:
            raise ModelError(
                f"the vLLM server at {self.url} takes {model['max_model_len']} tokens, and a prompt with its "
                f"response may have {max_length}: start it with --max-model-len {max_length}"
            )

    def load_weights(self, policy: Policy) -> None:
        """Hand over the policy's current weights; the server forgets every cached prompt.

        Raises:
            ModelError: it did not take them.
        """
        self._updates += 1
        name = f"update-{self._updates}"
        folder = Path(self._folder.name) / name
        if policy.adapter is None:
            save_weights(policy, folder)
            order = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
            self._ask("POST", "/collective_rpc", order)
        else:
            policy.adapter.save_pretrained(folder)
            self._ask("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
            if self._adapter:
                self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": self._adapter})
            self._adapter = name
        shutil.rmtree(folder)
        if not self._ask("POST", "/reset_prefix_cache")["success"]:
            raise ModelError(KEEPS_PROMPTS)
        self._weights = weights_hash(policy)
        self._ask("POST", "/update_weight_version", {"new_version": self._weights})

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield every response as it arrives.

        Raises:
            ModelError: the server failed, or sampled with other weights than those handed over.
        """
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            waiting = {
                pool.submit(self._sample, r, s, request.prompt_ids, sampling_settings(seed, sampling))
                for r, request in enumerate(requests)
                for s, seed in enumerate(request.seeds)
            }
            while waiting:
                done, waiting = wait(waiting, _LOOK_SECONDS, FIRST_COMPLETED)
                beat(progress=bool(done))
                for one in done:
                    yield one.result()
        finally:
            pool.shutdown(
                wait=False, cancel_futures=True
            )  # after an error or a stop nobody waits for the rest

    def _sample(self, request: int, sample: int, prompt: Sequence[int], settings: Any) -> Completion:
        order = {
            "model": self._adapter or self._base, "token_ids": list(prompt), "sampling_params": settings,
        }  # fmt: skip
        [found] = self._ask("POST", "/inference/v1/generate", order)["choices"]
        refuse_other_weights([span["version"] for span in found["weight_versions"] or ()], self._weights)
        return Completion(
            request=request, sample=sample, token_ids=tuple(found["token_ids"]),
            logprobs=tuple(token["logprob"] for token in found["logprobs"]["content"]),
            stopped=found["finish_reason"] == "stop",
        )  # fmt: skip

    def _ask(self, method: str, path: str, order: Any = None) -> Any:
        """The server's answer as JSON, or as text where it is none."""
        try:
            answer = self._client.request(method, path, json=order)
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            said = error.response.text[:300]
            hint = (
                ": start it with `stateset-rl rollout-server`, which opens the endpoints that training needs"
                if error.response.status_code == httpx.codes.NOT_FOUND
                else ""
            )
            raise ModelError(
                f"the vLLM server at {self.url} refused {path} ({error.response.status_code} {said}){hint}"
            ) from error
        except httpx.HTTPError as error:
            raise ModelError(
                f"the vLLM server at {self.url} does not answer ({type(error).__name__}: {error}): start one "
                "with `stateset-rl rollout-server`, and check `rollout_server`"
            ) from error
        kind = answer.headers.get("content-type", "")
        return answer.json() if kind.startswith("application/json") else answer.text
