"""verl's names: of what is read, of what has no equal here, and of what does not act."""

from __future__ import annotations

from collections.abc import Mapping

from stateset.rl.config.dialects.table import Unsaid

MACHINE = "about the machine"
_LOGGING = "about logging"
_REWARD = "the reward is Python here: give `reward: module:Name`"
_CRITIC = "the critic here is trained as the policy is; it has its own learning rate and clip only"
_UNUSED = "of a loss or a method that is not used"
_DATA = "rows have the columns prompt, answer, context here"
_EVALUATION = "about evaluation only"

ACTOR = "actor_rollout_ref.actor"
OPTIM = f"{ACTOR}.optim"
MODEL = "actor_rollout_ref.model"
N = "actor_rollout_ref.rollout.n"
MINI = f"{ACTOR}.ppo_mini_batch_size"
LOW, HIGH = f"{ACTOR}.clip_ratio_low", f"{ACTOR}.clip_ratio_high"
FILTER = "algorithm.filter_groups"
OVERLONG = "reward.reward_kwargs.overlong_buffer_cfg"
OLD_OVERLONG = "reward_model.overlong_buffer"
ESTIMATORS = {
    name: name
    for name in (
        "grpo",
        "gae",
        "rloo",
        "grpo_passk",
        "gdpo",
        "reinforce_plus_plus",
        "reinforce_plus_plus_baseline",
    )
} | {"grpo_vectorized": "grpo", "rloo_vectorized": "rloo"}
LOSSES = {"vanilla": "ppo_clip", "gspo": "gspo", "cispo": "cispo", "gpg": "reinforce"}
AGGREGATIONS = ("token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm")
NO_BOUND = 1e9  # verl always has the dual clip; a bound that no ratio reaches is none
NO_LIMIT = 1000  # rounds of sampling: the most that we can say
_ROLLOUT = "actor_rollout_ref.rollout"

UNSAID = (
    Unsaid(f"{_ROLLOUT}.top_p", (1,), "cuts off unlikely tokens in training"),
    Unsaid(f"{_ROLLOUT}.top_k", (-1, 0), "cuts off unlikely tokens in training"),
    Unsaid(f"{_ROLLOUT}.do_sample", (True,), "takes the likeliest token in place of sampling"),
    Unsaid(f"{_ROLLOUT}.ignore_eos", (False,), "goes on after the end of a response"),
    Unsaid(f"{_ROLLOUT}.repetition_penalty", (1,), "changes the policy that is sampled"),
    Unsaid(f"{_ROLLOUT}.multi_turn.enable", (False,), "trains on conversations with tools"),
    Unsaid("data.gen_batch_size", (), "samples another number of prompts than is trained on"),
    Unsaid("data.train_max_samples", (-1,), "trains on a part of the rows"),
    Unsaid("data.truncation", ("error",), "cuts long prompts, which are refused here"),
    Unsaid("data.shuffle", (True,), "keeps the order of the rows"),
    Unsaid(f"{OPTIM}.optimizer", ("AdamW",), "is another optimizer"),
    Unsaid(f"{OPTIM}.optimizer_impl", ("torch.optim",), "is another optimizer"),
    Unsaid(f"{OPTIM}.override_optimizer_config", ({},), "changes the optimizer"),
    Unsaid(f"{OPTIM}.num_cycles", (0.5,), "lets the learning rate rise again"),
    Unsaid(f"{MODEL}.target_modules", ("all-linear",), "adapts other layers than all linear ones"),
    Unsaid(f"{MODEL}.exclude_modules", (), "leaves layers without an adapter"),
    Unsaid(f"{MODEL}.lora_adapter_path", (), "starts from an adapter"),
    Unsaid("algorithm.use_pf_ppo", (False,), "weighs responses by preference"),
    Unsaid("algorithm.rollout_correction.rollout_is", (), "weighs responses by the sampler's probabilities"),
    Unsaid("algorithm.rollout_correction.rollout_rs", (), "rejects responses by the sampler's probabilities"),
    Unsaid(
        "algorithm.rollout_correction.bypass_mode",
        (False,),
        "takes the sampler's probabilities as the old ones",
    ),
    Unsaid("algorithm.gdpo_reward_keys", (), "names the components of the reward"),
    Unsaid("algorithm.gdpo_reward_weights", (), "weighs the components of the reward"),
    Unsaid("trainer.critic_warmup", (0,), "trains the critic alone at first"),
    Unsaid("distillation.enabled", (False,), "adds a loss on a teacher's tokens"),
)

ASIDES: Mapping[str, str] = {
    # sections of the machine
    **dict.fromkeys(
        [f"trainer.{name}" for name in (
            "balance_batch", "nnodes", "n_gpus_per_node", "esi_redundant_time", "resume_mode",
            "resume_from_path", "checkpoint_callback_class", "default_hdfs_dir",
            "del_local_ckpt_after_load", "max_critic_ckpt_to_keep", "ray_wait_register_center_timeout",
            "device", "use_v1", "v1", "use_legacy_worker_impl", "remove_previous_ckpt_in_save",
            "profile_steps", "npu_profile",
        )],
        MACHINE,
    ),
    **dict.fromkeys(("config-path", "config-name", "config-dir"), MACHINE),
    "hydra": MACHINE,
    "defaults": MACHINE,
    "ray_init": MACHINE,
    "ray_kwargs": MACHINE,
    "transfer_queue": MACHINE,
    "global_profiler": MACHINE,
    "skip": MACHINE,
    "distillation": _UNUSED,
    "actor_rollout_ref.hybrid_engine": MACHINE,
    "actor_rollout_ref.nccl_timeout": MACHINE,
    "actor_rollout_ref.ref": MACHINE,
    # logging
    **dict.fromkeys(
        [f"trainer.{name}" for name in ("logger", "project_name", "experiment_name", "log_val_generations",
                                        "rollout_data_dir", "validation_data_dir")],
        _LOGGING,
    ),
    "trainer.val_before_train": _EVALUATION,
    "trainer.val_only": _EVALUATION,
    # the actor
    **dict.fromkeys(
        [f"{ACTOR}.{name}" for name in (
            "rollout_n", "strategy", "fsdp_config", "fsdp", "megatron", "ppo_micro_batch_size",
            "ppo_micro_batch_size_per_gpu", "use_dynamic_bsz", "ppo_max_token_len_per_gpu",
            "freeze_vision_tower", "use_prefix_grouper", "use_torch_compile", "data_loader_seed",
            "checkpoint", "use_fused_kernels", "profiler", "qat", "ulysses_sequence_parallel_size",
            "use_remove_padding", "shuffle", "entropy_from_logits_with_chunking",
            "entropy_from_logits_chunk_size", "entropy_checkpointing", "pad_to_length", "calculate_entropy",
            "calculate_sum_pi_squared", "router_replay", "load_weight",
        )],
        MACHINE,
    ),
    f"{ACTOR}.tau_pos": _UNUSED,
    f"{ACTOR}.tau_neg": _UNUSED,
    f"{ACTOR}.policy_loss": _UNUSED,
    f"{OPTIM}.total_training_steps": "verl fills it in itself",
    f"{OPTIM}.zero_indexed_step": "warm-up begins at peak / warmup_steps here",
    f"{OPTIM}.min_lr_ratio": "of the schedule cosine only",
    # sampling
    **dict.fromkeys(
        [f"{_ROLLOUT}.{name}" for name in (
            "name", "mode", "nnodes", "n_gpus_per_node", "full_determinism", "seed", "dtype",
            "gpu_memory_utilization", "enforce_eager", "cudagraph_capture_sizes", "free_cache_engine",
            "tensor_model_parallel_size", "data_parallel_size", "expert_parallel_size",
            "pipeline_model_parallel_size", "max_num_batched_tokens", "max_model_len", "max_num_seqs",
            "enable_chunked_prefill", "enable_prefix_caching", "logprobs_mode", "scheduling_policy",
            "load_format", "layered_summon", "log_prob_micro_batch_size",
            "log_prob_micro_batch_size_per_gpu", "log_prob_use_dynamic_bsz",
            "log_prob_max_token_len_per_gpu", "disable_log_stats", "over_sample_rate",
            "multi_stage_wake_up", "engine_kwargs", "router_config_path", "calculate_log_probs",
            "checkpoint_engine", "skip_tokenizer_init", "enable_rollout_routing_replay",
            "moe_load_balance_metrics_interval", "profiler", "prometheus", "quantization",
            "quantization_config_file", "qat", "disaggregation", "update_weights_bucket_megabytes",
        )],
        MACHINE,
    ),
    f"{_ROLLOUT}.prompt_length": "data.max_prompt_length acts",
    f"{_ROLLOUT}.response_length": "data.max_response_length acts",
    f"{_ROLLOUT}.val_kwargs": _EVALUATION,
    f"{_ROLLOUT}.multi_turn": _UNUSED,
    f"{_ROLLOUT}.agent": _UNUSED,
    f"{_ROLLOUT}.mtp": _UNUSED,
    f"{_ROLLOUT}.trace": _LOGGING,
    # the model
    **dict.fromkeys(
        [f"{MODEL}.{name}" for name in (
            "hf_config_path", "tokenizer_path", "use_shm", "trust_remote_code", "custom_chat_template",
            "external_lib", "override_config", "enable_activation_offload", "use_remove_padding",
            "use_liger", "use_fused_kernels", "fused_kernel_options", "tiled_mlp", "mtp",
            "target_parameters",
        )],
        MACHINE,
    ),
    f"{MODEL}.lora": "of Megatron; model.lora_rank acts",
    # rows
    **dict.fromkeys(
        [f"data.{name}" for name in (
            "tokenizer", "use_shm", "val_max_samples", "prompt_key", "reward_fn_key", "val_batch_size",
            "tool_config_path", "function_tool_path", "return_raw_input_ids", "return_raw_chat",
            "return_full_prompt", "dataloader_num_workers", "image_patch_size", "validation_shuffle",
            "image_key", "video_key", "audio_key",
            "trust_remote_code", "custom_cls", "return_multi_modal_inputs",
            "apply_chat_template_kwargs", "mm_processor_kwargs", "sampler", "datagen",
        )],
        _DATA,
    ),
    **dict.fromkeys(
        ["data.filter_overlong_prompts", "data.filter_overlong_prompts_workers"],
        "a prompt longer than max_prompt_length is refused here, with its row, and never dropped",
    ),
    # reward, critic, algorithm
    **dict.fromkeys(("custom_reward_function", "reward_model", "reward", "sandbox_fusion"), _REWARD),
    "critic": _CRITIC,
    "algorithm.pf_ppo": _UNUSED,
    "algorithm.rollout_correction": _UNUSED,
    "algorithm.kl_ctrl.horizon": "of an adaptive KL weight",
    "algorithm.kl_ctrl.target_kl": "of an adaptive KL weight",
    "algorithm.filter_groups.metric": "groups are compared by their reward",
    "algorithm.filter_groups.max_inflight_gen_batches": MACHINE,
}  # fmt: skip
