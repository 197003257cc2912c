"""Which prompts a step takes: dynamic sampling, retirement, and responses that were too long."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trainer_rewards import bounded_e

from stateset.rl.checkpoint import TrainerState
from stateset.rl.config.load import make_config
from stateset.rl.data.adaptive_order import next_target
from stateset.rl.errors import ConfigError, DataError
from stateset.rl.policy.learner import Learner
from stateset.rl.sampling import GroupSampler, _penalised
from stateset.rl.trainer import GRPOTrainer
from stateset.rl.types import OVERLONG, Rollout, RolloutGroup, Score, ScoredGroup, Task

TASKS = [Task(id=str(i), prompt=f"hello {i}") for i in range(10)]


def scored(task: Task, values: tuple[float | None, ...], lengths: tuple[int, ...] = (3, 3)) -> ScoredGroup:
    rollouts = tuple(
        Rollout(sample=s, text="", token_ids=(5,) * n, loss_mask=(1,) * n,
                sampler_logprobs=(0.0,) * n, stop_reason="stop")
        for s, n in enumerate(lengths)
    )  # fmt: skip
    group = RolloutGroup(task=task, prompt_ids=(1,), rollouts=rollouts)
    return ScoredGroup(group=group, scores=tuple(Score(total=v) for v in values))


class Recorded(GroupSampler):
    """Scores by task in place of a model: `table` says which, and what was asked is kept."""

    __slots__ = ("asked", "table")

    def _sample(self, tasks: Any, step: int) -> list[ScoredGroup]:
        self.asked.append([task.id for task in tasks])
        return [scored(task, self.table(task)) for task in tasks]


def sampler(
    table: Callable[[Task], tuple[float | None, ...]],
    bounds: tuple[float, float] | None = (0.0, 1.0),
    rows: list[Task] = TASKS,
    **settings: Any,
) -> Recorded:
    config = make_config({"rollout_n": 2, "batch_size": 3, **settings})
    nothing: Any = None
    scorer: Any = SimpleNamespace(bounds=bounds)
    made = Recorded(config, rows, TrainerState(), nothing, nothing, scorer, nothing)
    object.__setattr__(made, "table", table)
    object.__setattr__(made, "asked", [])
    return made


def odd_ones(task: Task) -> tuple[float, float]:
    return (0.0, 1.0) if int(task.id) % 2 else (1.0, 1.0)


def ids(groups: list[ScoredGroup]) -> list[str]:
    return [group.group.task.id for group in groups]


def test_groups_without_signal_give_way_to_other_prompts() -> None:
    one = sampler(odd_ones, dynamic_sampling=True, max_gen_batches=20)
    tasks = TASKS[:3]  # "1" alone has signal
    groups, sampled = one.sample(tasks, 1)
    assert len(groups) == 3
    assert all(int(name) % 2 for name in ids(groups))
    assert len(set(ids(groups))) == 3
    assert one.asked[0] == ["0", "1", "2"]
    flat = [name for batch in one.asked for name in batch]
    assert len(flat) == len(set(flat)), "no prompt twice in one step"
    assert sorted(ids(sampled)) == sorted(flat)
    assert one.counters(groups, sampled) == {"signal/resampled": float(len(flat) - 3)}
    assert len(one.asked[1]) == 2, "as many as are missing"


def test_the_budget_ends_it_and_the_batch_keeps_its_size() -> None:
    one = sampler(lambda task: (1.0, 1.0), dynamic_sampling=True, max_gen_batches=2)
    groups, sampled = one.sample(TASKS[:3], 1)
    assert [len(batch) for batch in one.asked] == [3, 3]
    assert ids(groups) == ["0", "1", "2"], "nothing better was found"
    assert one.counters(groups, sampled) == {"signal/resampled": 3.0}


def test_when_the_rows_run_out_it_goes_on_with_what_there_is() -> None:
    one = sampler(lambda task: (1.0, 1.0), dynamic_sampling=True, max_gen_batches=9)
    groups, _ = one.sample(TASKS[:3], 1)
    assert len(groups) == 3
    assert sorted(name for batch in one.asked for name in batch) == sorted(task.id for task in TASKS)


def test_it_is_off_by_default() -> None:
    one = sampler(lambda task: (1.0, 1.0))
    groups, sampled = one.sample(TASKS[:3], 1)
    assert groups == sampled
    assert one.counters(groups, sampled) == {}
    assert len(one.asked) == 1


def test_unscored_responses_are_no_signal() -> None:
    one = sampler(lambda task: (None, 1.0) if task.id == "0" else (0.0, 1.0), dynamic_sampling=True)
    groups, _ = one.sample(TASKS[:1], 1)
    assert ids(groups) != ["0"]


def test_the_draw_of_other_prompts_is_a_function_of_the_state() -> None:
    one, two = (sampler(odd_ones, dynamic_sampling=True, max_gen_batches=5) for _ in range(2))
    first = ids(one.sample(TASKS[:3], 1)[0])
    assert ids(two.sample(TASKS[:3], 1)[0]) == first
    assert one.state.others_drawn == two.state.others_drawn > 0
    assert ids(one.sample(TASKS[:3], 2)[0]) != first, "the second order goes on"


def test_solved_prompts_are_retired_and_replaced() -> None:
    one = sampler(odd_ones, retire_pass_rate=0.9)
    for call in range(12):  # three passes over the ten rows
        tasks = one.next_tasks()
        assert len(tasks) == (1 if call % 4 == 3 else 3)
        assert not {task.id for task in tasks} & set(one.state.retired)
        groups, _ = one.sample(tasks, 1)
        counters = one.retire(groups)
        one.state.call_step += 1
    assert sorted(one.state.retired) == ["0", "2", "4", "6", "8"]
    assert counters == {"signal/retired": 5.0}
    assert not one.exhausted


def test_a_pass_rate_is_of_the_rewards_range() -> None:
    one = sampler(odd_ones, (0.0, 4.0), retire_pass_rate=0.75)
    half = [scored(TASKS[0], (4.0, 2.0)), scored(TASKS[1], (1.0, 4.0)), scored(TASKS[2], (None, 4.0))]
    one.retire(half)
    assert one.state.retired == ["0", "2"], "means 3 of 4, 2.5 of 4, and 4 of 4 of those that were scored"
    with pytest.raises(ConfigError, match="between which values it lies"):
        sampler(odd_ones, None, retire_pass_rate=0.75)


def test_solved_prompts_are_retired_although_their_groups_are_replaced() -> None:
    one = sampler(odd_ones, retire_pass_rate=0.9, dynamic_sampling=True, max_gen_batches=4)
    for _ in range(12):
        groups, sampled = one.sample(one.next_tasks(), 1)
        one.counters(groups, sampled)
        one.state.call_step += 1
    assert sorted(one.state.retired) == ["0", "2", "4", "6", "8"]
    assert {int(name) % 2 for name in ids(groups)} == {1}


def test_signal_is_what_the_estimator_compares() -> None:
    def equal_totals(task: Task) -> tuple[float, float]:
        return (1.0, 1.0)

    one = sampler(equal_totals, adv_estimator="gdpo", dynamic_sampling=True)
    group = scored(TASKS[0], (1.0, 1.0))
    parts = [{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}]
    differs = replace(group, scores=tuple(Score(total=1.0, parts=part) for part in parts))
    assert one._has_signal(differs)
    assert not one._has_signal(group)
    for estimator in ("gae", "reinforce_plus_plus"):
        with pytest.raises(ConfigError, match="remove dynamic_sampling, or take"):
            make_config({"dynamic_sampling": True, "adv_estimator": estimator})


def test_when_all_are_retired_it_says_so() -> None:
    one = sampler(lambda task: (1.0, 1.0), retire_pass_rate=1.0)
    steps = 0
    while not one.exhausted:
        groups, _ = one.sample(one.next_tasks(), steps)
        one.retire(groups)
        one.state.call_step += 1
        steps += 1
    assert steps == 4, "ten rows in steps of three"


def test_the_soft_penalty_by_hand() -> None:
    """12 tokens at most, of which 4 are the buffer: 8 are free, 10 cost half, 12 cost all."""
    config = make_config({"max_response_length": 12, "overlong_buffer": 4, "overlong_penalty": 2.0})
    group = scored(TASKS[0], (1.0, 1.0, 1.0, None), lengths=(8, 10, 12, 12))
    found = _penalised(group, config)
    assert [round(score.value, 9) for score in found.scores[:3]] == [1.0, 0.0, -1.0]
    assert math.isnan(found.scores[3].value), "unscorable stays so"
    assert [score.parts[OVERLONG] for score in found.scores] == [0.0, -1.0, -2.0, -2.0]


def test_a_buffer_longer_than_the_response_is_refused() -> None:
    with pytest.raises(ConfigError, match="overlong_buffer 300"):
        make_config({"overlong_buffer": 300})


ROWS = [{"id": str(i), "prompt": f"hello {i}", "pass_rate": i / 6} for i in range(6)]
SETTINGS: dict[str, Any] = {
    **{"rollout_n": 2, "batch_size": 2, "max_response_length": 6, "learning_rate": 1e-2, "device": "cpu"},
    **{"dtype": "fp32", "warmup_steps": 0, "max_steps": 6, "save_every": 1},
}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_with_all_of_it_resumes_bit_for_bit(tiny_llama: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(metrics: Any) -> None:
        if metrics.step == 3:
            raise Killed

    extra = {
        "dynamic_sampling": True,
        "retire_pass_rate": 0.4,
        "overlong_buffer": 3,
        "mask_truncated": True,
        "target_pass_rate": 0.5,
    }

    def trainer(out: Path, **keywords: Any) -> GRPOTrainer:
        config = {**SETTINGS, **extra, "output_dir": str(out)}
        return GRPOTrainer(model=str(tiny_llama), reward_function=bounded_e, config=config, **keywords)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    trainer(whole).train(ROWS)
    with pytest.raises(Killed):
        trainer(cut, on_step=kill).train(ROWS)
    trainer(cut).train(ROWS, resume=cut)
    assert (cut / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    values = lines(whole / "metrics.jsonl")
    assert any(line["signal/resampled"] > 0 for line in values)
    assert all("rewards/overlong/mean" in line for line in values)


def test_cut_off_responses_can_stay_out_of_the_update(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    original = Learner.update

    def update(self: Learner, batch: Any, advantages: Any, *rest: Any) -> dict[str, float]:
        seen.append((batch, advantages))
        return original(self, batch, advantages, *rest)

    monkeypatch.setattr(Learner, "update", update)
    for masked in (False, True):
        config = {
            **SETTINGS,
            "max_steps": 1,
            "mask_truncated": masked,
            "output_dir": str(tmp_path / str(masked)),
        }
        config |= {"max_response_length": 4, "rollout_n": 16}
        GRPOTrainer(model=str(tiny_llama), reward_function=bounded_e, config=config).train(ROWS)
    (plain, advantages), (without, same) = seen
    cut = plain.token_ids[plain.lengths == 4][:, -1] != 97  # the tiny model's end of sequence
    rows = (plain.lengths == 4).nonzero()[:, 0][cut]
    assert 0 < len(rows) < len(plain.lengths), "some end by themselves"
    assert (plain.mask[rows].sum(-1) == 4).all()
    assert (without.mask[rows] == 0).all()
    others = [row for row in range(len(plain.lengths)) if row not in rows.tolist()]
    assert (without.mask[others] == plain.mask[others]).all()
    assert (advantages == same).all(), "they are compared all the same"


RATED = [replace(task, context={"pass_rate": int(task.id) / 10}) for task in TASKS]


def test_the_target_moves_as_the_paper_says() -> None:
    """eta 50 and alpha 2 on difficulties from 0 to 100, beta 0.5: arXiv 2504.05520."""
    assert next_target(0.3, 0.5, 0.5) == 0.3
    assert next_target(0.3, 0.75, 0.5) == pytest.approx(0.3 + 0.5 * (math.e - 1) / (math.e + 1))  # tanh(1/2)
    assert next_target(0.9, 1.0, 0.5) == 1.0
    assert next_target(0.2, 0.0, 0.5) == 0.0


def test_prompts_go_from_easy_to_hard_as_the_model_gets_better() -> None:
    one = sampler(lambda task: (1.0, 1.0), rows=RATED, target_pass_rate=0.5)
    asked = []
    for step in range(8):
        if step == 3:
            assert one.state.target_difficulty == 1.0
        tasks = one.next_tasks()
        asked.append([task.id for task in tasks])
        one.counters(*one.sample(tasks, step))
        one.state.call_step += 1
    assert asked[0] == ["9", "8", "7"], "the easiest, the nearest to the target first"
    assert asked[1:3] == [["6", "5", "4"], ["2", "3", "1"]], "0.5 tanh(1) = 0.38, then 0.76"
    for epoch in (asked[:4], asked[4:]):
        assert sorted(name for batch in epoch for name in batch) == sorted(task.id for task in RATED)


def test_a_model_that_fails_stays_with_what_is_easy() -> None:
    one = sampler(lambda task: (0.0, 0.0), rows=RATED, target_pass_rate=0.5)
    for step in range(2):
        tasks = one.next_tasks()
        assert one.counters(*one.sample(tasks, step)) == {"signal/target_difficulty": 0.0}
        one.state.call_step += 1
    assert [task.id for task in tasks] == ["6", "5", "4"]


@pytest.mark.parametrize("value", [None, 1.5, "easy", True])
def test_a_target_needs_measured_rows(value: Any) -> None:
    rows = [*RATED[:-1], replace(RATED[-1], context={"pass_rate": value})]
    with pytest.raises(DataError, match="stateset-rl data difficulty"):
        sampler(odd_ones, rows=rows, target_pass_rate=0.5)
    with pytest.raises(ConfigError, match="between which values it lies"):
        sampler(odd_ones, None, rows=RATED, target_pass_rate=0.5)
