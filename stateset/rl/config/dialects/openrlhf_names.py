"""OpenRLHF's names: of what is read, of what does not act, and the flat names of releases before 0.11."""

from __future__ import annotations

from collections.abc import Mapping

from stateset.rl.config.dialects.table import Unsaid

N = "rollout.n_samples_per_prompt"
ADAM = "actor.adam"
ESTIMATORS = {
    "group_norm": "grpo",
    "dr_grpo": "grpo",
    "rloo": "rloo",
    "reinforce_baseline": "reinforce_plus_plus_baseline",
    "reinforce": "reinforce_plus_plus",
    "gae": "gae",
}
WHITENED = ("gae", "reinforce", "reinforce_baseline")
KINDS = {"k1": "kl", "k2": "mse", "k3": "low_var_kl"}
TO_A_FLOOR = ("cosine_with_min_lr", "cosine_warmup_with_min_lr")
SCHEDULES = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "linear": "linear",
    "cosine": "cosine",
    **dict.fromkeys(TO_A_FLOOR, "cosine"),
}
_MACHINE = "about the machine"
_LOGGING = "about logging"
_REWARD = "the reward is Python here: give `reward: module:Name`"
_CRITIC = "the critic here is trained as the policy is; it has its own learning rate and clip only"
_EVALUATION = "about evaluation only"

UNSAID = (
    Unsaid("rollout.top_p", (1,), "cuts off unlikely tokens in training"),
    Unsaid("algo.kl.target", (), "changes the KL weight while training"),
    Unsaid("algo.advantage.is_correction_level", ("off",), "weighs tokens by the sampler's probabilities"),
    Unsaid("algo.dynamic_filtering_range", ([0, 1],), "keeps groups by their mean reward"),
    Unsaid("reward.clip_range", ([-10, 10],), "bounds the rewards"),
    Unsaid("reward.normalize_enable", (False,), "normalises the rewards"),
    Unsaid("reward.stop_properly_penalty_coef", (), "changes the reward of responses that are cut off"),
    Unsaid("actor.aux_loss_coef", (0,), "adds a loss of mixture-of-experts models"),
    Unsaid("actor.optim", ("adam",), "is another optimizer"),
    Unsaid("actor.adam.eps", (1e-8,), "changes the optimizer"),
    Unsaid("critic.freezing_steps", (-1, 0), "trains the critic alone at first"),
    Unsaid("train.async_enable", (False,), "trains on responses of an older policy"),
    Unsaid("train.partial_rollout_enable", (False,), "mixes two policies in one response"),
    Unsaid("train.enable_ema", (False,), "saves an average of the weights"),
    Unsaid("ds.lora.target_modules", ("all-linear",), "adapts other layers than all linear ones"),
    Unsaid("ds.lora.dropout", (0,), "drops parts of the adapter"),
    Unsaid("ds.load_in_4bit", (False,), "trains an adapter on rounded weights"),
    Unsaid("data.max_samples", (100_000_000,), "trains on a part of the rows"),
    Unsaid("data.prompt_probs", (), "mixes data sets"),
    Unsaid("train.agent_func_path", (), "trains on conversations with tools"),
)

ASIDES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "ref", "vllm", "ds", "local_rank", "use_ms", "colocate_actor_ref", "reward.num_nodes",
            "reward.num_gpus_per_node", "reward.offload", "actor.num_nodes", "actor.num_gpus_per_node",
            "critic.num_nodes", "critic.num_gpus_per_node", "train.colocate_actor_ref",
            "train.colocate_critic_reward", "train.colocate_all", "train.async_queue_size",
            "train.ema_beta", "train.dynamic_batch_enable", "train.max_tokens_per_gpu",
            "train.micro_batch_size", "train.full_determinism_enable", "rollout.max_tokens_per_gpu",
            "rollout.micro_batch_size", "rollout.vllm_generate_batch_size",
            "actor.gradient_checkpointing_reentrant", "actor.freeze_visual_encoder", "ckpt",
            "runtime-env-json", "working_dir", "address", "head", "node-ip-address", "num-gpus", "module",
            "bf16", "adam_offload", "flash_attn", "packing_samples", "zero_stage", "zpg",
            "micro_train_batch_size", "micro_rollout_batch_size", "vllm_num_engines",
            "vllm_tensor_parallel_size", "vllm_sync_backend", "vllm_gpu_memory_utilization",
            "vllm_enable_sleep", "deepspeed_enable_sleep", "enforce_eager", "enable_prefix_caching",
            "colocate_all_models", "colocate_critic_reward", "ref_num_nodes", "ref_num_gpus_per_node",
            "reward_num_nodes", "reward_num_gpus_per_node", "actor_num_nodes", "actor_num_gpus_per_node",
            "critic_num_nodes", "critic_num_gpus_per_node", "load_checkpoint", "ref_reward_offload",
            "use_dynamic_batch", "train_max_tokens_per_gpu", "rollout_max_tokens_per_gpu", "save_hf_ckpt",
            "disable_ds_ckpt", "ring_attn_size", "ring_head_stride", "async_queue_size",
        ),
        _MACHINE,
    ),
    **dict.fromkeys(
        (
            "logger", "use_wandb", "wandb_project", "wandb_run_name", "wandb_org", "wandb_group",
            "use_tensorboard", "logging_steps",
        ),
        _LOGGING,
    ),
    **dict.fromkeys(
        ("reward", "reward_pretrain", "remote_rm_url", "normalize_reward"), _REWARD
    ),
    **dict.fromkeys(("critic", "critic_pretrain", "save_value_network"), _CRITIC),
    **dict.fromkeys(
        ("eval.split", "eval.temperature", "eval.n_samples_per_prompt", "eval_split", "eval_temperature",
         "eval_n_samples_per_prompt"),
        _EVALUATION,
    ),
    **dict.fromkeys(
        ("data", "input_key", "label_key", "apply_chat_template", "input_template", "prompt_split",
         "disable_fast_tokenizer", "dataloader_num_workers"),
        "rows have the columns prompt, answer, context here",
    ),
    **dict.fromkeys(
        ("actor.muon", "algo.advantage.is_correction_mode", "algo.advantage.is_correction_gating",
         "algo.advantage.is_correction_threshold", "algo.kl.horizon"),
        "of a loss or a method that is not used",
    ),
}  # fmt: skip

# Not in the release that was read (0.11.2 has dotted flags only): these names, the same settings before it,
# and the flat ones among the asides, are from memory of the project's scripts.
OLDER: Mapping[str, str] = {
    "pretrain": "actor.model_name_or_path",
    "prompt_data": "data.prompt_dataset",
    "eval_dataset": "eval.dataset",
    "save_path": "ckpt.output_dir",
    "seed": "train.seed",
    "gradient_checkpointing": "actor.gradient_checkpointing_enable",
    "lora_rank": "ds.lora.rank",
    "lora_alpha": "ds.lora.alpha",
    "lora_dropout": "ds.lora.dropout",
    "target_modules": "ds.lora.target_modules",
    "load_in_4bit": "ds.load_in_4bit",
    "actor_learning_rate": "actor.adam.lr",
    "critic_learning_rate": "critic.adam.lr",
    "adam_betas": "actor.adam.betas",
    "l2": "actor.adam.weight_decay",
    "max_norm": "actor.max_norm",
    "lr_scheduler": "actor.lr_scheduler",
    "lr_warmup_ratio": "actor.lr_warmup_ratio",
    "n_samples_per_prompt": "rollout.n_samples_per_prompt",
    "rollout_batch_size": "rollout.batch_size",
    "train_batch_size": "train.batch_size",
    "max_epochs": "train.max_epochs",
    "num_episodes": "train.num_episodes",
    "temperature": "rollout.temperature",
    "top_p": "rollout.top_p",
    "generate_max_len": "rollout.max_new_tokens",
    "max_len": "data.max_len",
    "max_samples": "data.max_samples",
    "prompt_data_probs": "data.prompt_probs",
    "dynamic_filtering": "algo.dynamic_filtering_enable",
    "dynamic_filtering_reward_range": "algo.dynamic_filtering_range",
    "overlong_buffer_len": "reward.overlong_buffer_len",
    "overlong_penalty_factor": "reward.overlong_penalty_factor",
    "reward_clip_range": "reward.clip_range",
    "advantage_estimator": "algo.advantage.estimator",
    "no_advantage_std_norm": "algo.advantage.no_std_norm",
    "gamma": "algo.advantage.gamma",
    "lambd": "algo.advantage.lambd",
    "value_clip": "critic.value_clip",
    "policy_loss_type": "actor.policy_loss_type",
    "eps_clip": "actor.eps_clip",
    "eps_clip_low_high": "actor.eps_clip_low_high",
    "dual_clip": "actor.dual_clip",
    "init_kl_coef": "algo.kl.init_coef",
    "kl_target": "algo.kl.target",
    "kl_horizon": "algo.kl.horizon",
    "use_kl_loss": "algo.kl.use_loss",
    "kl_estimator": "algo.kl.estimator",
    "entropy_loss_coef": "actor.entropy_coef",
    "freezing_actor_steps": "critic.freezing_steps",
    "aux_loss_coef": "actor.aux_loss_coef",
    "eval_steps": "eval.steps",
    "save_steps": "ckpt.save_steps",
    "max_ckpt_num": "ckpt.max_num",
    "agent_func_path": "train.agent_func_path",
    "async_train": "train.async_enable",
    "enable_ema": "train.enable_ema",
}
