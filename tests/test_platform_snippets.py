"""The platform's document, snippet by snippet, with its own names, arguments and attributes.

The tests' numbers are the snippets' own; the models are small, the code paths real.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import write_model

import stateset.rl
from stateset.rl import (
    CustomerSatisfactionReward,
    CustomerServiceReward,
    GRPOTrainer,
    MultiObjectiveReward,
    RewardFunction,
    deploy_to_production,
    evaluate,
    evaluate_models,
    filter_by_difficulty,
    load_customer_service_data,
    load_model,
    prepare_training_data,
    train_grpo_model,
    verify_math,
)
from stateset.rl.errors import GateError, ModelNotTrainableError

DOCUMENT_YAML = """\
# GRPO Configuration
actor_rollout:
  ref:
    rollout:
      n: 8  # Generate 8 responses per prompt (critical for GRPO)

data:
  train_batch_size: 32  # Number of prompts per batch

actor_rollout_ref:
  actor:
    ppo_mini_batch_size: 256  # Mini-batch for weight updates
    ppo_epochs: 4  # Update epochs per trajectory set
    clip_ratio: 0.2  # GRPO clip range for stable training

    # GRPO-specific settings
    use_kl_loss: true  # Enable KL regularization
    kl_loss_coef: 0.001  # KL penalty strength
    kl_loss_type: "kl"  # Options: kl, abs, mse, low_var_kl, full

    # Loss aggregation
    loss_agg_mode: "token-mean"  # Stable for long responses

algorithm:
  adv_estimator: "grpo"  # Use GRPO instead of GAE
"""


class ServiceReward(RewardFunction):
    def compute(self, prompt, response, context):
        score = 0.0

        # Check resolution
        if self.resolves_issue(prompt, response):
            score += 2.0

        # Measure empathy
        empathy_score = self.empathy_detector(response)
        score += empathy_score * 0.5

        # Length penalty
        if len(response.split()) > 150:
            score -= 0.3

        # Policy compliance
        if self.follows_policies(response, context):
            score += 0.5

        return score


CONFIG = {"rollout_n": 8, "batch_size": 32, "epochs": 3, "clip_ratio": 0.2, "use_kl_loss": True}
SMALL = {"max_response_length": 8, "device": "cpu"}
DATASET = [
    {"prompt": f"Where is my order {i}?", "context": {"policy": "never promise a date"}} for i in range(6)
]


def test_1_2_3_the_customer_service_agent(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = GRPOTrainer(
        model=str(tiny_llama),
        reward_function=ServiceReward(),
        config={**CONFIG, **SMALL, "output_dir": str(tmp_path / "run")},
    )
    trainer.on_step = lambda metrics: print(f"""
Step {metrics.step}:
  Average Reward: {metrics.avg_reward:.3f}
  Reward Std: {metrics.reward_std:.3f}
  KL Divergence: {metrics.kl_div:.4f}
  Response Quality: {metrics.quality_score:.2%}
""")
    trained_model = trainer.train(DATASET)
    out = capsys.readouterr().out
    assert out.count("Average Reward") == 3  # 6 rows, batch 32, 3 epochs
    assert "Step 3:" in out
    responses = trained_model.generate(prompt="How should I handle an angry customer?", num_returns=8)
    assert [type(response) for response in responses] == [str] * 8


def test_1_the_helpers_are_graded_and_overridable() -> None:
    class Own(ServiceReward):
        def resolves_issue(self, prompt: str, response: str) -> bool:
            return "42" in response

    prompt = "My lamp from order #48213 arrived broken."
    good = "I'm sorry your lamp arrived broken. I have refunded order #48213 to your card."
    context: dict[str, Any] = {}
    assert ServiceReward().compute(prompt, good, context) > ServiceReward().compute(prompt, "", context) + 1
    assert Own().compute(prompt, "42 is the answer to your question.", context) >= 2.0


def test_2_the_documents_model_has_no_weights() -> None:
    with pytest.raises(ModelNotTrainableError, match="judge"):
        GRPOTrainer(model="gpt-3.5-turbo", reward_function=ServiceReward(), config=CONFIG)


@pytest.mark.parametrize("precision", [None, "bf16"])
def test_4_memory_efficient_training(tiny_llama: Path, tmp_path: Path, precision: str | None) -> None:
    trainer = GRPOTrainer(
        gradient_checkpointing=True,
        mixed_precision=precision,
        gradient_accumulation_steps=4,
        mini_batch_size=8,
        batch_size=6,
        max_response_length=8,
        dtype="auto" if precision else "fp32",
        output_dir=str(tmp_path / "run"),
    )
    trainer.train(DATASET, model=str(tiny_llama), reward_function=ServiceReward())
    assert trainer.state.optimizer_steps == 2  # six mini-batches of one prompt x 8, four an update
    assert trainer.policy.dtype.itemsize == (2 if precision else 4)


def test_4_distributed_says_how_many_devices_there_are_and_how_to_do_without(monkeypatch: Any) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    with pytest.raises(stateset.rl.errors.ConfigError, match=r"4 GPUs.*has 3 GPUs.*device: cpu"):
        GRPOTrainer(distributed=True, num_gpus=4, strategy="ddp")


def test_9_the_nested_yaml_loads(tmp_path: Path) -> None:
    file = tmp_path / "grpo.yaml"
    file.write_text(DOCUMENT_YAML)
    config = stateset.rl.load_config(file)
    assert (config.rollout_n, config.batch_size, config.mini_batch_size, config.ppo_epochs) == (8, 32, 256, 4)
    assert (config.clip_ratio, config.use_kl_loss, config.kl_loss_coef, config.kl_loss_type) == (
        0.2,
        True,
        0.001,
        "kl",
    )
    assert (config.loss_agg_mode, config.adv_estimator) == ("token-mean", "grpo")
    assert any("low_var_kl+" in notice for notice in config.notices)


def test_9_the_profile_tab_loads(tmp_path: Path) -> None:
    file = tmp_path / "critical.yaml"
    file.write_text("clip_ratio: 0.1\nuse_kl_loss: true\nkl_loss_coef: 0.01\nppo_epochs: 2\nrollout.n: 4\n")
    config = stateset.rl.load_config(file)
    assert (config.clip_ratio, config.kl_loss_coef, config.ppo_epochs, config.rollout_n) == (0.1, 0.01, 2, 4)


def test_9_an_unknown_key_names_the_nearest_and_its_line(tmp_path: Path) -> None:
    file = tmp_path / "grpo.yaml"
    file.write_text(DOCUMENT_YAML.replace("clip_ratio:", "clip_ration:"))
    with pytest.raises(stateset.rl.errors.ConfigError, match=r"grpo\.yaml:14.*clip_ratio"):
        stateset.rl.load_config(file)


def test_6_evaluation_of_one_response() -> None:
    criteria = {"helpfulness": 0.4, "accuracy": 0.3, "tone": 0.2, "efficiency": 0.1}
    responses = [
        "I'd be happy to help with your refund: I have sent the money back to your card today.",
        "",
        "no",
    ]
    rewards = [stateset.rl.evaluate_response(response, criteria=criteria) for response in responses]
    assert rewards[0] > rewards[2] >= rewards[1] == 0.0
    with pytest.raises(stateset.rl.errors.ConfigError, match="helpfulness"):
        stateset.rl.evaluate_response("hello", criteria={"helpfulnes": 1.0})


def test_8_the_documents_reward_class_calculates() -> None:
    total, scores = CustomerServiceReward().calculate(
        "I'm sorry about the broken lamp. I have refunded it today.", {"prompt": "My lamp is broken."}
    )
    weights = {
        "resolution": 0.35,
        "empathy": 0.25,
        "clarity": 0.20,
        "efficiency": 0.10,
        "policy_compliance": 0.10,
    }
    assert total == pytest.approx(sum(scores[name] * weight for name, weight in weights.items()))


def test_8_the_documents_reward_class_can_be_changed() -> None:
    class Own(CustomerServiceReward):
        def check_resolution(self, response: str, context: Any) -> float:
            return float("42" in response)

    assert Own().calculate("The answer is 42.", {})[1]["resolution"] == 1.0
    assert Own().calculate("", {})[0] == 0.0  # the document divides by the number of words


def test_8_several_objectives_and_one_bonus() -> None:
    reward = MultiObjectiveReward(
        objectives={
            "short": (0.5, lambda response, context: float(len(response) < 20)),
            "kind": (2.0, lambda response, context: float("please" in response)),
        }
    )
    assert reward.compute("please wait", {}).total == pytest.approx(2.5)  # alone: no bonus
    assert reward.compute("no", {}).total == pytest.approx(0.5)
    both, short = {"short": 0.5, "kind": 2.0}, {"short": 0.5, "kind": 0.0}
    assert reward.is_pareto_optimal(both, [both, short])
    assert not reward.is_pareto_optimal(short, [both, short])
    assert not reward.is_pareto_optimal(both)


def test_13_from_easy_to_hard_on_the_same_weights(tiny_llama: Path, tmp_path: Path) -> None:
    data = [row | {"difficulty": ("easy", "medium", "hard")[i % 3]} for i, row in enumerate(DATASET)]
    two = {"rollout_n": 2, "batch_size": 2, "output_dir": str(tmp_path / "run")}
    trainer = GRPOTrainer(
        model=str(tiny_llama), reward_function=ServiceReward(), config={**CONFIG, **SMALL, **two}
    )
    curriculum: list[dict[str, Any]] = [
        {"difficulty": "easy", "epochs": 1, "reward_scale": 1.0},
        {"difficulty": "medium", "epochs": 2, "reward_scale": 0.8},
        {"difficulty": "hard", "epochs": 3, "reward_scale": 0.6},
    ]

    for stage in curriculum:
        model = trainer.train(
            data=filter_by_difficulty(data, stage["difficulty"]),
            epochs=stage["epochs"],
            reward_scale=stage["reward_scale"],
        )

    assert trainer.state.step == 6  # two rows a level, both in one step: 1 + 2 + 3 epochs
    assert model is trainer.model
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    rates = [line["learning_rate"] for line in lines]
    assert rates[1:3] == [pytest.approx(0.8e-6)] * 2
    assert rates[3:] == [pytest.approx(0.6e-6)] * 3


@pytest.fixture
def long_llama(tmp_path: Path) -> Path:
    """A model that reads the bundled tickets: its tokens are characters."""
    return write_model(tmp_path / "long", max_position_embeddings=2048)


def test_2_the_bundled_tickets_train(long_llama: Path, tmp_path: Path) -> None:
    dataset = load_customer_service_data()
    one_step = {"rollout_n": 2, "batch_size": 2, "max_steps": 1, "output_dir": str(tmp_path / "run")}
    trainer = GRPOTrainer(
        model=str(long_llama), reward_function=ServiceReward(), config={**CONFIG, **SMALL, **one_step}
    )
    assert trainer.train(dataset).generate(prompt="Where is my parcel?")
    assert len(dataset) >= 300


def test_10_three_lines_from_tickets_to_a_model(
    long_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reward = CustomerSatisfactionReward(weights={"resolution": 0.5, "tone": 0.3, "efficiency": 0.2})
    data = prepare_training_data(source="support_tickets", min_quality_score=0.8)
    small: dict[str, Any] = {"max_steps": 1, "batch_size": 2, "mini_batch_size": 16, **SMALL}
    model = train_grpo_model(data=data, reward_fn=reward, profile="balanced", model=str(long_llama), **small)
    assert model.run_dir is not None
    assert (model.run_dir / "model").is_dir()


def test_14_arithmetic_is_verified_by_a_library() -> None:
    assert verify_math("2+2", "4") is True
    assert verify_math("2+2", "5") is False


def test_11_12_metrics_and_criteria(
    long_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    held_out = load_customer_service_data("test")[::60]
    small: dict[str, Any] = {"max_steps": 1, "batch_size": 2, "mini_batch_size": 16, **SMALL}
    train_grpo_model(
        data=load_customer_service_data(), reward_fn=ServiceReward(), model=str(long_llama),
        eval_dataset="support_tickets/validation", eval_every=9, **small,
    )  # fmt: skip
    test_set = held_out

    baseline_model = load_model("base")
    grpo_model = load_model("grpo_trained")

    metrics = evaluate_models(baseline_model, grpo_model, test_set)

    print(f"""
Performance Improvement:
- Task Success: +{metrics.success_delta:.1%}
- User Satisfaction: +{metrics.satisfaction_delta:.1%}
- Response Quality: +{metrics.quality_delta:.1%}
- Efficiency: +{metrics.efficiency_delta:.1%}
""")
    assert "- Task Success: +0.0%" in capsys.readouterr().out  # a model of random weights, right in none
    found = metrics.difference("quality")
    assert found.low <= metrics.quality_delta <= found.high

    model = load_model("grpo_trained")
    if evaluate(model, max_new_tokens=2).meets_criteria():
        raise AssertionError("random weights are no better than random weights")
    with pytest.raises(GateError, match="the gate is closed: gain of success"):
        deploy_to_production(model, evaluation=evaluate(model, max_new_tokens=2))
