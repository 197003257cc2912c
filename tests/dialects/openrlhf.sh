# A GRPO run in OpenRLHF's flags.
MODEL=Qwen/Qwen2.5-0.5B-Instruct
python3 -m openrlhf.cli.train_ppo_ray \
   --actor.model_name_or_path $MODEL \
   --data.prompt_dataset rows.jsonl \
   --data.input_key prompt \
   --data.apply_chat_template \
   --actor.num_gpus_per_node 8 \
   --vllm.num_engines 4 \
   --rollout.batch_size 128 \
   --rollout.n_samples_per_prompt 8 \
   --train.batch_size 512 \
   --train.micro_batch_size 4 \
   --train.max_epochs 1 \
   --train.num_episodes 2 \
   --rollout.max_new_tokens 1024 \
   --rollout.temperature 1.0 \
   --algo.advantage.estimator group_norm \
   --algo.kl.init_coef 1e-3 \
   --algo.kl.use_loss \
   --algo.kl.estimator k3 \
   --actor.eps_clip_low_high 0.2 0.28 \
   --actor.adam.lr 5e-7 \
   --actor.adam.betas 0.9 0.95 \
   --actor.lr_scheduler constant \
   --actor.gradient_checkpointing_enable \
   --ckpt.save_steps 20 \
   --ds.param_dtype bf16 \
   --ds.packing_samples
