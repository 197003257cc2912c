"""The run of project.yaml through the Python API: `python examples/train.py`."""

from pathlib import Path

from reward import SupportReward

from stateset.rl import GRPOTrainer

HERE = Path(__file__).parent


def main() -> None:
    """Train for six steps, then print an answer."""
    trainer = GRPOTrainer(
        model="smollm2-135m",
        reward_function=SupportReward(),
        config={
            "batch_size": 4,
            "rollout_n": 8,
            "max_steps": 6,
            "temperature": 0.7,
            "max_response_length": 96,
            "learning_rate": 1e-5,
            "warmup_steps": 0,
            "eval_every": 3,
        },
    )
    trainer.on_step = lambda metrics: print(f"""
Step {metrics.step}:
  Average Reward: {metrics.avg_reward:.3f}
  Reward Std: {metrics.reward_std:.3f}
  KL Divergence: {metrics.kl_div:.4f}
  Response Quality: {metrics.quality_score:.2%}""")
    model = trainer.train(HERE / "tickets.jsonl", eval_dataset=HERE / "heldout.jsonl")
    print(*model.generate("My order LF-48213 arrived broken. What now?", max_new_tokens=96))


if __name__ == "__main__":
    main()
