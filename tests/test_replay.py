"""What-if replay comes to the logged loss, to that of a run with other settings, and to numbers by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_trainer import ROWS, lines, trainer

from stateset.rl.config.load import make_config
from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.trace import Fixed, UpdateTrace
from stateset.rl.replay import REPLAYED, RecordedStep, changed_config, load_step, replay, rescore
from stateset.rl.replay.settings import REASONS
from stateset.rl.types import Rollout, RolloutGroup, Score, ScoredGroup, Task

TWICE = {"ppo_epochs": 2, "mini_batch_size": 4, "learning_rate": 2e-2}
KL = {"use_kl_loss": True, "kl_loss_coef": 0.5}
MODES: dict[str, dict[str, Any]] = {
    "one update": {},
    "several updates": TWICE,
    "kl in the loss": {**TWICE, **KL, "kl_importance": True},
    "kl in the reward": {**TWICE, **KL, "kl_placement": "reward"},
    "gspo": {**TWICE, "loss": "gspo", "loss_agg_mode": "seq-mean-token-mean"},
    "dynamic sampling": {"dynamic_sampling": True, "mask_truncated": True, "overlong_buffer": 6},
    "lora": {**KL, "lora": True, "ppo_epochs": 2, "learning_rate": 0.05},
    "rollout correction": {**TWICE, "dtype": "bf16"},
    "critic": {**TWICE, "adv_estimator": "gae"},
    "weighted parts": {"adv_estimator": "gdpo"},
}


class Ragged:
    """Rewards with parts and weights, so that hardly two responses are alike."""

    weights = {"e": 1.0, "length": 3.0}  # noqa: RUF012

    def __init__(self) -> None:
        self.stays = lambda: None  # cannot travel to a worker process, whose start takes seconds

    def __call__(self, response: str) -> tuple[float, dict[str, float]]:
        found = {"e": response.count("e") / 5, "length": len(response) / 100}
        return found["e"] + 3 * found["length"], found


def run(model: Path, out: Path, reward: object = None, **settings: object) -> Path:
    """A short run in this process; its folder."""
    rows = settings.pop("rows", ROWS)
    trainer(model, out, reward or Ragged(), **{"max_steps": 1, **settings}).train(rows)
    return out


@pytest.fixture(scope="module")
def plain(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step, one update, no KL."""
    return run(tiny_llama, tmp_path_factory.mktemp("plain") / "run")


@pytest.fixture(scope="module")
def twice(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of several updates, with a KL in the loss."""
    return run(tiny_llama, tmp_path_factory.mktemp("twice") / "run", max_steps=2, **TWICE, **KL)


@pytest.mark.parametrize("mode", MODES)
def test_unchanged_settings_come_to_what_the_run_logged(mode: str, tiny_llama: Path, tmp_path: Path) -> None:
    path = run(tiny_llama, tmp_path / "run", max_steps=2, **MODES[mode])
    for number in (1, 2):
        step = load_step(path, number)
        found = replay(step, step.config)
        for name in (
            "loss",
            "clip_ratio/low_mean",
            "clip_ratio/high_mean",
            "approx_kl_old",
            "ratio_max",
            "kl",
        ):
            logged = step.metrics.get(name, math.nan)
            assert found.values[name] == pytest.approx(logged, rel=1e-5, abs=1e-8, nan_ok=True), name
        assert found.notes == ()
        assert not found.unrecorded.any()
        groups = lines(path / f"rollouts/step_0000{number}.jsonl")
        logged = [r["advantage"] for group in groups for r in group["responses"]]
        assert found.advantages.tolist() == pytest.approx(logged, rel=1e-5, abs=1e-7)
    assert load_step(path).number == 2


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ({}, {"norm_adv_by_std": False}),
        ({}, {"adv_estimator": "rloo"}),
        ({}, {"adv_estimator": "gdpo"}),
        ({}, {"adv_estimator": "reinforce_plus_plus", "gamma": 0.5, "loss": "reinforce"}),
        ({}, {"loss_agg_mode": "seq-mean-token-sum-norm", "overlong_buffer": 5, "overlong_penalty": 2.0}),
        ({"overlong_buffer": 5}, {"overlong_buffer": 0, "loss": "cispo"}),
        ({}, {"mask_truncated": True}),
    ],
)
def test_changed_settings_come_to_what_a_run_with_them_logs(
    base: dict[str, Any], changes: dict[str, Any], tiny_llama: Path, tmp_path: Path
) -> None:
    """The responses of the first step do not depend on these settings, nor do its log-probabilities."""
    ours = load_step(run(tiny_llama, tmp_path / "ours", **base))
    theirs = load_step(run(tiny_llama, tmp_path / "theirs", **{**base, **changes}))
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    found = replay(ours, changed_config(ours, overrides))
    other = replay(theirs, theirs.config)
    assert found.values["loss"] == pytest.approx(theirs.metrics["loss"], rel=1e-5, abs=1e-8)
    assert found.push.tolist() == pytest.approx(other.push.tolist(), rel=1e-4, abs=1e-7)


def test_another_reward_comes_to_what_a_run_with_it_logs(
    tiny_llama: Path, plain: Path, tmp_path: Path
) -> None:
    def vowels(response: str) -> float:
        return sum(map(response.count, "aeiou")) + len(response) / 50

    ours = load_step(plain)
    theirs = load_step(run(tiny_llama, tmp_path / "run", vowels))
    found = rescore(ours, vowels)
    assert [g.values for g in found.step.scored] == [g.values for g in theirs.scored]
    assert replay(found.step, ours.config).values["loss"] == pytest.approx(theirs.metrics["loss"], rel=1e-5)


def by_hand(**settings: object) -> RecordedStep:
    """One token each of two responses, rewards 1 and 0; the second update sees both 1.5 times as likely."""
    rollouts = tuple(
        Rollout(
            sample=s, text="", token_ids=(5,), loss_mask=(1,), sampler_logprobs=(-1.0,), stop_reason="stop"
        )
        for s in range(2)
    )
    group = RolloutGroup(task=Task(id="0", prompt="p"), prompt_ids=(1,), rollouts=rollouts)
    old = torch.full((2, 1), -1.0)
    traces = (UpdateTrace((0,), old), UpdateTrace((0,), old + math.log(1.5)))
    return RecordedStep(
        run=None,  # type: ignore[arg-type]
        number=1,
        config=make_config({"norm_adv_by_std": False, "ppo_epochs": 2, **settings}),
        metrics={},
        scored=(ScoredGroup(group=group, scores=(Score(total=1.0), Score(total=0.0))),),
        batch=Batch.from_groups([group]),
        fixed=Fixed(old=old, reference=old - 1),
        updates=traces,
        exact_sampler=True,
    )


def test_loss_and_push_by_hand() -> None:
    """A = 0.5 and -0.5, each token weighs 1/2; the first update has loss 0 and pushes 0.25 and -0.25."""
    step = by_hand()
    clipped = replay(step, step.config)
    # second update: -0.5 * 1.2 clipped, 0.5 * 1.5 not
    assert clipped.values["loss"] == pytest.approx((0.0 + (-0.6 + 0.75) / 2) / 2)
    assert clipped.push.tolist() == pytest.approx([0.25, -0.25 - 0.375])
    assert clipped.values["clip_ratio/high_mean"] == pytest.approx(0.25)
    wide = replay(step, step.config.model_copy(update={"clip_ratio": 0.6}))
    assert wide.values["loss"] == pytest.approx(0.0)
    assert wide.push.tolist() == pytest.approx([0.25 + 0.375, -0.25 - 0.375])
    assert wide.values["push"] == pytest.approx(1.25)
    assert any("after the first" in note for note in wide.notes)


def test_a_kl_term_by_hand() -> None:
    """`kl+` with x = 1 and 1 + log 1.5: value x, gradient x."""
    step = by_hand(use_kl_loss=True, kl_loss_coef=0.1, kl_loss_type="kl+")
    found, log = replay(step, step.config), math.log(1.5)
    assert found.values["loss"] == pytest.approx((0.1 * 1 + 0.075 + 0.1 * (1 + log)) / 2)
    pull = 0.1 * (1 + 1 + log) / 2
    assert found.push.tolist() == pytest.approx([0.25 - pull, -0.625 - pull])
    x = torch.tensor([1.0, 1 + log], dtype=torch.float64)
    assert found.values["kl"] == pytest.approx(float(((-x).exp() - 1 + x).mean()))


def test_a_rollout_correction_by_hand() -> None:
    """exp(old - sampler) = e is bounded by 2: every policy loss doubles, the KL would not."""
    step = replace(by_hand(), exact_sampler=False)
    sampler = torch.full((2, 1), -2.0)
    step = replace(step, batch=replace(step.batch, sampler_logprobs=sampler))
    rollouts = tuple(replace(r, sampler_logprobs=(-2.0,)) for r in step.scored[0].group.rollouts)
    group = replace(step.scored[0].group, rollouts=rollouts)
    step = replace(step, scored=(replace(step.scored[0], group=group),))
    assert replay(step, step.config).values["loss"] == pytest.approx(2 * 0.0375)


def test_what_an_opposite_reward_does(plain: Path) -> None:
    def opposite(response: str) -> float:
        return -Ragged()(response)[0]

    found = rescore(load_step(plain), opposite)
    was, now = (replay(load_step(plain), load_step(plain).config), replay(found.step, found.step.config))
    assert now.advantages.tolist() == pytest.approx((-was.advantages).tolist(), abs=1e-6)
    assert found.sign_changes == int((was.advantages != 0).sum())
    assert found.rank_correlation == pytest.approx(-1)
    assert (found.revived, found.killed, found.unscored) == ((), (), (0, 0))
    first = found.most_changed[0]
    assert first.advantages[0] == pytest.approx(was.advantages[was.advantages.abs().argmax()].item())
    assert first.totals[1] == -first.totals[0]
    assert set(first.parts[0]) == {"e", "length"}
    assert first.parts[1] == {}
    assert first.prompt.startswith("hello")


def test_a_group_that_gains_a_signal_left_no_logprobs(tiny_llama: Path, tmp_path: Path) -> None:
    def flat_for_one(prompt: str, response: str) -> float:
        return 1.0 if prompt == rows[0]["prompt"] else Ragged()(response)[0]

    rows = ROWS[:2]
    step = load_step(run(tiny_llama, tmp_path / "run", flat_for_one, rows=rows))
    assert int(step.updates[0].logprobs.isnan().any(-1).sum()) == 4
    assert replay(step, step.config).notes == ()
    found = rescore(step, Ragged())
    assert found.revived == ("0",)
    now = replay(found.step, step.config)
    assert (int(now.unrecorded.sum()), int(now.push.isnan().sum())) == (4, 4)
    assert "4 of 8 responses (50%)" in now.notes[0]
    back = rescore(found.step, flat_for_one)
    assert (back.revived, back.killed) == ((), ("0",))
    # the token mean still counts the tokens of the group that is not recorded
    kept = ~now.unrecorded
    share = step.batch.mask.sum(-1) / step.batch.mask.sum()
    assert now.push[kept].tolist() == pytest.approx((now.advantages * share)[kept].tolist(), rel=1e-5)


def test_truncated_responses_that_did_not_train_left_no_logprobs(tiny_llama: Path, tmp_path: Path) -> None:
    for name in ("grpo", "gae"):
        step = load_step(
            run(tiny_llama, tmp_path / name, mask_truncated=True, adv_estimator=name, max_response_length=12)
        )
        cut = [r.stop_reason == "length" for g in step.scored for r in g.group.rollouts]
        assert any(cut)
        assert not all(cut)
        found = replay(step, changed_config(step, ["mask_truncated=false"]))
        assert found.unrecorded.tolist() == cut
        assert math.isfinite(found.values["loss"])


def test_a_reward_sees_the_rows_context_again(tiny_llama: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row | {"place": i}) + "\n" for i, row in enumerate(ROWS[:2])))

    def by_place(response: str, context: dict[str, Any]) -> float:
        return context["place"] + len(response) / 10

    out = run(tiny_llama, tmp_path / "run", dataset=str(data), rows=str(data))
    found = rescore(load_step(out), by_place)
    assert not any("no context" in note for note in found.notes)
    lowest = {group.group.task.id: min(group.values) for group in found.step.scored}
    assert lowest["1"] >= 1 > lowest["0"]
    data.unlink()
    with_none = rescore(load_step(out), lambda response: float(len(response)))
    assert with_none.notes[0].startswith("the reward saw no context for 2 of 2 prompts")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("temperature=0.5", "responses would be others"),
        ("actor_rollout_ref.rollout.n=2", "responses would be others"),
        ("rollout_n=3", "responses would be others"),
        ("ppo_epochs=3", "updates would be others"),
        ("learning_rate=1e-3", "the step that the optimizer takes"),
        ("entropy_coef=0.1", "needs the logits"),
        ("kl_loss_type=full", "needs the logits"),
        ("value_clip=0.1", "critic"),
        ("reward=a:b", "--reward"),
        ("profile=conservative", "the settings that it would change"),
        ("eval_every=3", "no part of an update"),
        ("adv_estimator=gae", "no critic"),
        ("clip_ratio=7", "less than 1"),
        ("clip_ration=0.1", "did you mean `clip_ratio`"),
        ("clip_ratio", "not key=value"),
    ],
)
def test_what_cannot_be_replayed_says_why(twice: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        changed_config(load_step(twice), [change])


def test_a_kl_term_needs_a_recorded_reference_and_gdpo_needs_parts(tiny_llama: Path, tmp_path: Path) -> None:
    step = load_step(run(tiny_llama, tmp_path / "run", lambda response: float(len(response))))
    with pytest.raises(ConfigError, match="reference's log-probabilities"):
        changed_config(step, ["use_kl_loss=true"])
    with pytest.raises(ConfigError, match="compares parts"):
        changed_config(step, ["adv_estimator=gdpo"])
    with pytest.raises(ConfigError, match="`seed` cannot be replayed"):
        replay(step, step.config.model_copy(update={"seed": 7}))


def test_every_setting_is_replayed_or_has_a_reason() -> None:
    assert set(REPLAYED) | set(REASONS) <= {*Config.model_fields, "profile"}
    assert not set(REPLAYED) & set(REASONS)


def test_settings_that_follow_a_changed_one_follow_again(
    twice: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    step = load_step(twice)
    gspo = changed_config(step, ["loss=gspo"])
    assert gspo.clip_bounds == (3e-4, 4e-4)
    assert changed_config(step, ["loss=gspo", "clip_ratio=0.1"]).clip_bounds == (0.1, 0.1)
    assert changed_config(step, ["kl_placement=reward"]).kl_loss_type == "kl"
    back = replace(step, config=gspo)
    assert changed_config(back, ["loss=ppo_clip"]).clip_bounds == (0.2, 0.2)
    notices = changed_config(step, ["kl_loss_type=k1"]).notices
    assert len(notices) == 1
    assert "regularises nothing" in notices[0]


def test_what_needs_logits_is_left_out_and_said(tiny_llama: Path, tmp_path: Path) -> None:
    step = load_step(
        run(tiny_llama, tmp_path / "run", entropy_coef=0.1, use_kl_loss=True, kl_loss_type="full")
    )
    assert [note.partition(" (")[0] for note in replay(step, step.config).notes] == [
        "the entropy bonus",
        "the KL term",
    ]
    with pytest.raises(ConfigError, match="needs the logits"):
        changed_config(step, ["kl_loss_coef=0.5"])
    assert changed_config(step, ["use_kl_loss=false"]).use_kl_loss is False


def test_a_run_that_did_not_say_whether_its_sampler_was_exact(tiny_llama: Path, tmp_path: Path) -> None:
    for name, exact in (("fp32", True), ("bf16", False)):
        out = run(tiny_llama, tmp_path / name, dtype=name)
        file = out / "updates/step_00001.jsonl"
        first, *rest = lines(file)
        assert first.pop("given") == {"exact_sampler": exact, "part_weights": Ragged.weights}
        file.write_text("".join(json.dumps(line) + "\n" for line in (first, *rest)))
        step = load_step(out)
        assert step.exact_sampler is exact
        assert "did not record" in replay(step, step.config).notes[0]


def _drop(out: Path) -> None:
    (out / "updates/step_00001.jsonl").unlink()


def _tear(out: Path) -> None:
    file = out / "updates/step_00001.jsonl"
    file.write_text(file.read_text()[:-5])


def _scribble(out: Path) -> None:
    file = out / "rollouts/step_00001.jsonl"
    file.write_text("{" + file.read_text())


def _lose_a_key(out: Path) -> None:
    file = out / "rollouts/step_00001.jsonl"
    file.write_text(file.read_text().replace('"token_ids"', '"tokens"'))


def _lose_a_group(out: Path) -> None:
    file = out / "rollouts/step_00001.jsonl"
    file.write_text(file.read_text().splitlines(keepends=True)[0])


def _lose_the_updates(out: Path) -> None:
    file = out / "updates/step_00001.jsonl"
    file.write_text(file.read_text().splitlines(keepends=True)[0])


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (_drop, ConfigError, "an earlier version made the run"),
        (_tear, DataError, "last line is torn"),
        (_scribble, DataError, r"step_00001.jsonl:1 is damaged"),
        (_lose_a_key, DataError, "KeyError: 'token_ids'"),
        (_lose_a_group, DataError, "is damaged"),
        (_lose_the_updates, DataError, "no update"),
    ],
)
def test_damaged_steps_say_what_to_do(
    plain: Path, tmp_path: Path, damage: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    out = tmp_path / "run"
    for name in ("manifest.json", "metrics.jsonl", "config.resolved.yaml"):
        out.mkdir(exist_ok=True)
        (out / name).write_bytes((plain / name).read_bytes())
    for name in ("rollouts", "updates"):
        (out / name).mkdir()
        (out / name / "step_00001.jsonl").write_bytes((plain / name / "step_00001.jsonl").read_bytes())
    assert load_step(out).number == 1
    damage(out)
    with pytest.raises(error, match=message):
        load_step(out)


def test_a_step_that_is_not_there(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no step 9 to replay: .* has 1 to 1"):
        load_step(plain, 9)
    with pytest.raises(ConfigError, match="holds no run"):
        load_step(tmp_path)
