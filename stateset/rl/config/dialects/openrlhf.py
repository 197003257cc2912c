"""OpenRLHF's flags of `train_ppo_ray`, from a script or a text file; only read. From OpenRLHF 0.11.2.

`rollout.batch_size` counts prompts, `train.batch_size` responses. The flat names of releases before 0.11
are in `openrlhf_names.py`.
"""

from __future__ import annotations

from stateset.rl.config.dialects.openrlhf_names import (
    ADAM,
    ASIDES,
    ESTIMATORS,
    OLDER,
    UNSAID,
    N,
)
from stateset.rl.config.dialects.openrlhf_read import read_joint
from stateset.rl.config.dialects.table import Dialect, Row, one_of

_ROWS = (
    Row("actor.model_name_or_path", "model"),
    Row("data.prompt_dataset", "dataset", "a file; a data set of the hub must be saved to one"),
    Row("eval.dataset", "eval_dataset"),
    Row("ckpt.output_dir", "output_dir"),
    Row("train.seed", "seed"),
    Row("ds.param_dtype", "dtype, mixed_precision", "bf16, fp16", joint=True),
    Row("actor.gradient_checkpointing_enable", "gradient_checkpointing"),
    Row("ds.lora.rank", "lora, lora_rank", "0 is no adapter", 0, joint=True),
    Row("ds.lora.alpha", "lora_alpha", default=16),
    Row(f"{ADAM}.lr", "learning_rate", default=1e-6, read=float),
    Row(f"{ADAM}.betas", "betas", default=(0.9, 0.95), read=tuple),
    Row(f"{ADAM}.weight_decay", "weight_decay", default=0.0, read=float),
    Row("actor.max_norm", "max_grad_norm", default=1.0, read=float),
    Row("actor.lr_scheduler", "schedule", "cosine_with_min_lr falls to zero here", "cosine_with_min_lr",
        joint=True),
    Row("actor.lr_warmup_ratio", "warmup_steps", "a share of updates that only the rows tell", 0.03,
        joint=True),
    Row("actor.min_lr_ratio", "", "cosine falls to zero here", 0.1, joint=True),
    Row(N, "rollout_n", "theirs is 1 by default, and a group needs two", 1, joint=True),
    Row("rollout.batch_size", "batch_size", "prompts, as here", 1024),
    Row("train.batch_size", "mini_batch_size", "responses, as here", 128),
    Row("train.max_epochs", "ppo_epochs", default=1),
    Row("train.num_episodes", "epochs", default=1),
    Row("rollout.temperature", "temperature", default=1.0, read=float),
    Row("rollout.max_new_tokens", "max_response_length", "not given: data.max_len", joint=True),
    Row("data.max_len", "max_response_length", "of prompt and response together", 2048, joint=True),
    Row("prompt_max_len", "max_prompt_length", "older name"),
    Row("algo.dynamic_filtering_enable", "dynamic_sampling", default=False),
    Row("reward.overlong_buffer_len", "overlong_buffer", read=int),
    Row("reward.overlong_penalty_factor", "overlong_penalty", default=1.0, read=float),
    Row("algo.advantage.estimator", "adv_estimator, norm_adv_by_std",
        ", ".join(f"{name}: {ours}" for name, ours in ESTIMATORS.items()), "gae", joint=True),
    Row("algo.advantage.no_std_norm", "", "has no equal beside gae, reinforce and reinforce_baseline", False,
        joint=True),
    Row("algo.advantage.gamma", "gamma", default=1.0, read=float),
    Row("algo.advantage.lambd", "lam", default=1.0, read=float),
    Row("critic.adam.lr", "critic_learning_rate", default=9e-6, read=float),
    Row("critic.value_clip", "value_clip", default=0.5, read=float),
    Row("actor.policy_loss_type", "loss", "ppo: ppo_clip; gspo", "ppo", one_of({"ppo": "ppo_clip",
        "gspo": "gspo"})),
    Row("actor.loss_agg_mode", "loss_agg_mode", "gspo is always seq-mean-token-mean", "token-mean",
        joint=True),
    Row("actor.eps_clip", "clip_ratio", default=0.2, joint=True),
    Row("actor.eps_clip_low_high", "clip_ratio_low, clip_ratio_high", joint=True, many=True),
    Row("actor.dual_clip", "clip_ratio_dual", "none by default", joint=True),
    Row("algo.kl.init_coef", "use_kl_loss, kl_loss_coef", "0 is no KL term", 0.01, joint=True),
    Row("algo.kl.use_loss", "kl_placement", "false: in the reward", False, joint=True),
    Row("algo.kl.estimator", "kl_loss_type", "k1: kl, k2: mse, k3: low_var_kl", "k1", joint=True),
    Row("algo.kl.unbiased_gradient", "kl_loss_type, kl_importance", "true: the kind with `+`", False,
        joint=True),
    Row("actor.entropy_coef", "entropy_coef", read=float),
    Row("eval.steps", "eval_every", "-1 is left out", joint=True),
    Row("ckpt.save_steps", "save_every", "-1 is left out", joint=True),
    Row("ckpt.max_num", "keep_checkpoints"),
)  # fmt: skip

OPENRLHF = Dialect("openrlhf", "OpenRLHF", _ROWS, UNSAID, ASIDES, read_joint, names=OLDER)
