"""Train on a task that checks itself, about 15 minutes on one core.

pip install '.[train,examples]' && python examples/reasoning/train.py
"""

from task import passes, rows, score

from stateset.rl import GRPOTrainer

trainer = GRPOTrainer(
    model="smollm2-135m",
    reward_function=score,  # what is learned from
    eval_reward_function=passes,  # what is shown as "held-out reward": the share of right answers
    config={
        "batch_size": 8,  # prompts in a step
        "rollout_n": 8,  # responses to each prompt; their mean is the baseline
        "max_response_length": 24,  # tokens; answers have about six
        "learning_rate": 1e-5,
        "warmup_steps": 0,
        "eval_every": 40,
    },
)
# 80 steps of 8 questions, and 200 other questions to see whether it learned more than these
trainer.train(rows(seed=1000, size=640), eval_dataset=rows(seed=30_000, size=200))
