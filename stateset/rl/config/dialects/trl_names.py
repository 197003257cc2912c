"""TRL's names: of what is read, of what has no equal here, and of what does not act."""

from __future__ import annotations

from collections.abc import Mapping

from stateset.rl.config.dialects.table import Unsaid

FILES = (".jsonl", ".json", ".csv", ".parquet")
LOSSES = {  # loss_type: our loss and aggregation
    "dapo": ("ppo_clip", "token-mean"),
    "bnpo": ("ppo_clip", "token-mean"),
    "grpo": ("ppo_clip", "seq-mean-token-mean"),
    "dr_grpo": ("ppo_clip", "seq-mean-token-sum-norm"),
    "luspo": ("ppo_clip", "seq-mean-token-sum"),
    "cispo": ("cispo", "token-mean"),
}
ESTIMATORS = {
    "group": ("grpo", True), True: ("grpo", True), "true": ("grpo", True), "batch": ("grpo_batch_std", True),
    "none": ("grpo", False), False: ("grpo", False), "false": ("grpo", False),
}  # fmt: skip
SCHEDULES = {
    "linear": "linear",
    "cosine": "cosine",
    "constant": "constant",
    "constant_with_warmup": "constant",
}
_MACHINE = "about the machine"
_LOGGING = "about logging"
_EVALUATION = "about evaluation only"
_UNUSED = "of a loss or a method that is not used"
_ADAMW = ("adamw_torch_fused", "adamw_torch", "adamw_hf", "adamw_torch_xla", "adamw_apex_fused")

UNSAID = (
    Unsaid("top_p", (1,), "cuts off unlikely tokens in training"),
    Unsaid("top_k", (0, -1), "cuts off unlikely tokens in training"),
    Unsaid("min_p", (0,), "cuts off unlikely tokens in training"),
    Unsaid("repetition_penalty", (1,), "changes the policy that is sampled"),
    Unsaid("generation_kwargs", ({},), "changes how responses are sampled"),
    Unsaid("reward_weights", (), "weighs several rewards; here one reward names its components"),
    Unsaid("sync_ref_model", (False,), "moves the reference toward the policy"),
    Unsaid("top_entropy_quantile", (1,), "trains on the uncertain tokens only"),
    Unsaid("use_adaptive_entropy", (False,), "changes the entropy weight while training"),
    Unsaid("off_policy_mask_threshold", (), "leaves out responses that have become unlikely"),
    Unsaid("router_aux_loss_coef", (0,), "adds a loss of mixture-of-experts models"),
    Unsaid("lr_scheduler_kwargs", ({},), "changes the schedule of the learning rate"),
    Unsaid("optim", _ADAMW, "is another optimizer"),
    Unsaid("optim_args", (), "changes the optimizer"),
    Unsaid("optim_target_modules", (), "changes the optimizer"),
    Unsaid("adam_epsilon", (1e-8,), "changes the optimizer"),
    Unsaid("neftune_noise_alpha", (), "adds noise to the embeddings"),
    Unsaid("label_smoothing_factor", (0,), "smooths a loss on labels"),
    Unsaid("use_rslora", (False,), "scales the adapter by the root of its rank"),
    Unsaid("use_dora", (False,), "trains another kind of adapter"),
    Unsaid("lora_modules_to_save", (), "trains whole layers beside the adapter"),
    Unsaid("lora_target_parameters", (), "adapts other layers than all linear ones"),
    Unsaid("load_in_4bit", (False,), "trains an adapter on rounded weights"),
    Unsaid("load_in_8bit", (False,), "trains an adapter on rounded weights"),
    Unsaid("shuffle_dataset", (True,), "keeps the order of the rows"),
    Unsaid("train_sampling_strategy", ("random",), "orders the rows otherwise"),
    Unsaid("num_processes", (1,), "multiplies the batch, and one process is assumed"),
    Unsaid("config", (), "names another file: read that one"),
    Unsaid("max_tool_calling_iterations", (), "trains on conversations with tools"),
)

ASIDES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "average_tokens_across_devices", "bf16_full_eval", "fp16_full_eval", "tf32",
            "activation_checkpointing", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs",
            "torch_compile", "torch_compile_backend", "torch_compile_mode", "use_liger_kernel",
            "use_liger_loss", "liger_kernel_config", "use_cache", "torch_empty_cache_steps",
            "auto_find_batch_size", "save_only_model", "save_strategy", "save_on_each_node",
            "enable_jit_checkpoint", "save_safetensors", "push_to_hub", "hub_token", "hub_private_repo",
            "hub_model_id", "hub_strategy", "hub_always_push", "hub_revision", "ignore_data_skip",
            "restore_callback_states_from_checkpoint", "full_determinism", "data_seed", "use_cpu",
            "accelerator_config", "parallelism_config", "dataloader_drop_last", "dataloader_num_workers",
            "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_prefetch_factor",
            "dataloader_multiprocessing_context", "dataloader_in_order", "ddp_find_unused_parameters",
            "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph", "ddp_backend", "ddp_timeout",
            "fsdp", "fsdp_config", "deepspeed", "debug", "skip_memory_metrics", "resume_from_checkpoint",
            "local_rank", "model_init_kwargs", "trust_remote_code", "cast_lm_head_to_fp32",
            "disable_dropout", "ds3_gather_for_generation", "pad_to_multiple_of", "cache_implementation",
            "use_vllm", "vllm_mode", "vllm_model_impl", "vllm_enable_sleep_mode", "vllm_server_base_url",
            "vllm_server_host", "vllm_server_port", "vllm_server_timeout", "vllm_group_port",
            "vllm_gpu_memory_utilization", "vllm_max_model_length", "vllm_tensor_parallel_size",
            "vllm_structured_outputs_regex", "use_transformers_continuous_batching",
            "transformers_continuous_batching_config", "use_transformers_paged", "model_revision",
            "attn_implementation", "bnb_4bit_quant_type", "bnb_4bit_quant_storage", "use_bnb_nested_quant",
            "ignore_bias_buffers", "do_train", "do_predict",
            "accelerate_config", "config_file", "num_machines", "overwrite_output_dir", "no_cuda", "env",
        ),
        _MACHINE,
    ),
    **dict.fromkeys(
        (
            "logging_strategy", "logging_steps", "logging_first_step", "logging_nan_inf_filter",
            "log_on_each_node", "include_num_input_tokens_seen", "log_level", "log_level_replica",
            "disable_tqdm", "report_to", "run_name", "project", "trackio_space_id", "trackio_bucket_id",
            "trackio_static_space_id", "log_completions", "log_multimodal", "num_completions_to_print",
            "log_unique_prompts", "log_completions_hub_repo", "logging_dir", "wandb_project",
            "wandb_entity",
        ),
        _LOGGING,
    ),
    **dict.fromkeys(
        (
            "eval_strategy", "eval_delay", "per_device_eval_batch_size", "prediction_loss_only",
            "eval_on_start", "eval_do_concat_batches", "eval_use_gather_object", "eval_accumulation_steps",
            "include_for_metrics", "batch_eval_metrics", "load_best_model_at_end", "metric_for_best_model",
            "greater_is_better", "do_eval", "num_generations_eval",
        ),
        _EVALUATION,
    ),
    **dict.fromkeys(
        (
            "sapo_temperature_neg", "sapo_temperature_pos", "vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg",
            "vespo_lambda_neg", "ref_model_mixup_alpha", "ref_model_sync_steps", "entropy_coef_min",
            "entropy_coef_max", "entropy_coef_delta", "entropy_target", "length_column_name", "label_names",
            "lora_task_type",
        ),
        _UNUSED,
    ),
    **dict.fromkeys(
        (
            "vllm_importance_sampling_correction", "vllm_importance_sampling_mode",
            "vllm_importance_sampling_clip_max", "vllm_importance_sampling_clip_min",
            "vllm_importance_sampling_cap",
        ),
        "of sampling by vLLM; here the correction is min(ratio, 2)",
    ),
    **dict.fromkeys(
        ("reward_funcs", "reward_model_name_or_path"), "the reward is Python here: give `reward: module:Name`"
    ),
    **dict.fromkeys(
        (
            "datasets", "dataset_config", "dataset_train_split", "dataset_test_split", "dataset_streaming",
            "remove_unused_columns", "chat_template_kwargs",
        ),
        "rows come from one file: give `dataset`",
    ),
    "dtype": "weights are kept in fp32 here",
    "torch_dtype": "weights are kept in fp32 here",
}  # fmt: skip
