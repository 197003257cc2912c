"""From scores to token advantages: every estimator gets what it asks for; a KL may be part of the reward."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
import torch
from reference.agree import assert_agrees
from torch import Tensor

from stateset.rl.algorithm.advantages import ADVANTAGES, grpo, reinforce_plus_plus, trainable_rows
from stateset.rl.config.load import make_config
from stateset.rl.credit import token_advantages
from stateset.rl.errors import RewardError
from stateset.rl.policy.batch import Batch
from stateset.rl.policy.trace import Fixed
from stateset.rl.types import Rollout, RolloutGroup, Score, ScoredGroup, Task

NOTHING = Fixed(old=None, reference=None)
LENGTHS = ((3, 1, 2), (2, 2, 0))


def scored(
    totals: Sequence[Sequence[float | None]], parts: Sequence[Mapping[str, float]] = ()
) -> list[ScoredGroup]:
    """Two groups of three responses; `parts` runs over all six."""
    groups, flat = [], list(parts) or [{}] * 6
    for g, (values, lengths) in enumerate(zip(totals, LENGTHS, strict=True)):
        rollouts = tuple(
            Rollout(sample=s, text="", token_ids=(5,) * n, loss_mask=(1,) * n,
                    sampler_logprobs=(0.0,) * n, stop_reason="stop")
            for s, n in enumerate(lengths)
        )  # fmt: skip
        group = RolloutGroup(task=Task(id=str(g), prompt="p"), prompt_ids=(1,), rollouts=rollouts)
        scores = tuple(Score(total=v, parts=flat[3 * g + s]) for s, v in enumerate(values))
        groups.append(ScoredGroup(group=group, scores=scores))
    return groups


def batch_of(groups: Sequence[ScoredGroup]) -> tuple[Batch, Tensor]:
    rewards = torch.tensor([v for group in groups for v in group.values], dtype=torch.float64)
    batch = Batch.from_groups([group.group for group in groups])
    return batch.masked(trainable_rows(rewards, batch.groups)), rewards


def advantages(*arguments) -> Tensor:
    return token_advantages(*arguments).advantages


TOTALS = ((1.0, 3.0, 2.0), (0.0, None, 4.0))


@pytest.mark.parametrize("name", [name for name in ADVANTAGES if name not in ("gae", "gdpo")])
def test_every_estimator_reaches_the_tokens(name: str) -> None:
    groups = scored(TOTALS)
    batch, rewards = batch_of(groups)
    config = make_config({"adv_estimator": name})
    found = advantages(config, groups, batch, NOTHING)
    assert found.shape == batch.mask.shape
    assert found.dtype == torch.float64
    better, worse = found[1][batch.mask[1] != 0], found[0][batch.mask[0] != 0]
    assert (better > worse.max()).all()
    assert batch.mask[4].sum() == 0, "the unscorable one never trains"
    if name == "grpo":
        assert_agrees(found, grpo(rewards, batch.groups)[:, None].expand(found.shape))


def test_settings_reach_the_estimators() -> None:
    groups = scored(TOTALS)
    batch, rewards = batch_of(groups)
    plain = advantages(make_config({"norm_adv_by_std": False}), groups, batch, NOTHING)
    assert plain[:3, 0].tolist() == [-1.0, 1.0, 0.0]
    config = make_config({"adv_estimator": "reinforce_plus_plus", "gamma": 0.5})
    tokens = torch.zeros_like(batch.mask, dtype=torch.float64)
    for row, last in enumerate([2, 0, 1, 1, None, None]):  # the sixth has no token
        if last is not None:
            tokens[row, last] = rewards[row]
    assert_agrees(
        advantages(config, groups, batch, NOTHING),
        reinforce_plus_plus(tokens, batch.mask, gamma=0.5),
    )


def test_gdpo_takes_the_parts_under_the_rewards_weights() -> None:
    """Group one: part a is (0, 1, 2), z-scores (-1, 0, 1); b is constant and says nothing there."""
    parts = [{"a": a, "b": b, "note": 7.0} for a, b in [(0, 5), (1, 5), (2, 5), (1, 0), (1, 1), (1, 2)]]
    groups = scored(((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), parts)
    batch, _ = batch_of(groups)
    config = make_config({"adv_estimator": "gdpo"})
    found = advantages(config, groups, batch, NOTHING, {"a": 2.0, "b": 1.0, "c": 9.0})
    # sums (-2, 0, 2, -1, 0, 1): mean 0, squares 10 over 5
    assert_agrees(found[:, 0], [s / (math.sqrt(2) + 1e-6) for s in (-2, 0, 2, -1, 0, 1)])
    paid = [{"a": part["a"], "b": part["b"]} for part in parts]
    even = advantages(config, scored(((5.0, 6.0, 7.0), (1.0, 2.0, 3.0)), paid), batch, NOTHING)
    assert_agrees(even[:, 0], [s / (math.sqrt(0.8) + 1e-6) for s in (-1, 0, 1, -1, 0, 1)])


RIGHT_AND_RUDE = [{"right": r, "rude": u} for r, u in [(1, 0), (1, 1), (0, 0), (1, 0), (1, 1), (0, 1)]]


def test_gdpo_never_maximises_another_sum_than_the_reward() -> None:
    """The reward is right - rude: what is right and rude must not be above what is right."""
    groups = scored(((1.0, 0.0, 0.0), (1.0, 0.0, -1.0)), RIGHT_AND_RUDE)
    batch, _ = batch_of(groups)
    config = make_config({"adv_estimator": "gdpo"})
    with pytest.raises(RewardError, match=r"task 0 make 2, and its reward is 0. Give the reward `weights`"):
        advantages(config, groups, batch, NOTHING)
    found = advantages(config, groups, batch, NOTHING, {"right": 1.0, "rude": -1.0})
    # both z-scores of group one are (1, 1, -2) and (-1, 2, -1) over root 3, those of group two
    # (1, 1, -2) and (-2, 1, 1): differences (2, -1, -1) and (3, 0, -3), whose mean is 0 and squares add to 24
    assert_agrees(found[:, 0], [s / (math.sqrt(24 / 5) + 1e-6 * math.sqrt(3)) for s in (2, -1, -1, 3, 0, -3)])


def test_gdpo_without_weights_takes_parts_that_add_up_the_penalty_on_length_too() -> None:
    parts = [{"a": 0.1, "b": 0.2 * n, "overlong": -0.3} for n in range(6)]
    totals = [-0.2 + 0.2 * n for n in range(6)]  # rounded otherwise than the parts' sums
    groups = scored((totals[:3], [None, *totals[4:]]), [*parts[:3], {}, *parts[4:]])
    batch, _ = batch_of(groups)
    config = make_config({"adv_estimator": "gdpo", "overlong_buffer": 4})
    found = advantages(config, groups, batch, NOTHING)
    assert found[0, 0] < found[1, 0] < found[2, 0]


@pytest.mark.parametrize("weights", [None, {"a": 1.0, "b": 1.0, "c": 1.0}])
def test_gdpo_takes_the_parts_of_each_prompts_own_reward(weights: dict[str, float] | None) -> None:
    """As of two routes: one pays a and b, the other c; z-scores (-1, 0, 1) + 0 and (1, 0, -1)."""
    parts = [{"a": n, "b": 1.0} for n in range(3)] + [{"c": -n} for n in range(3)]
    groups = scored(((1.0, 2.0, 3.0), (0.0, -1.0, -2.0)), parts)
    batch, _ = batch_of(groups)
    found = advantages(make_config({"adv_estimator": "gdpo"}), groups, batch, NOTHING, weights)
    assert_agrees(found[:, 0], [s / (math.sqrt(0.8) + 1e-6) for s in (-1, 0, 1, 1, 0, -1)])
    plain = scored(((1.0, 2.0, 3.0), (0.0, -1.0, -2.0)), [*parts[:3], {}, {}, {}])
    with pytest.raises(RewardError, match="response to task 1 has only none"):
        advantages(make_config({"adv_estimator": "gdpo"}), plain, batch, NOTHING, weights)
    long = scored(((1.0, 2.0, 3.0), (0.0, -1.0, -2.0)), [*parts[:3], *[{"overlong": 0.0}] * 3])
    config = make_config({"adv_estimator": "gdpo", "overlong_buffer": 4})
    with pytest.raises(RewardError, match="response to task 1 has only overlong"):
        advantages(config, long, batch, NOTHING, weights)


@pytest.mark.parametrize("weights", [None, {"other": 1.0}])
def test_gdpo_without_parts_is_refused(weights: dict[str, float] | None) -> None:
    groups = scored(TOTALS, [] if weights is None else [{"a": 1.0}] * 6)
    batch, _ = batch_of(groups)
    with pytest.raises(RewardError, match="gdpo standardises each part"):
        advantages(make_config({"adv_estimator": "gdpo"}), groups, batch, NOTHING, weights)


KL = {"use_kl_loss": True, "kl_placement": "reward", "kl_loss_coef": 0.5}


def test_a_kl_in_the_reward_lowers_what_costs_more_than_the_group() -> None:
    """Costs: 0.1 a token, so 0.3, 0.1, 0.2 in group one; half of the distance from their mean is taken."""
    groups = scored(((1.0, 1.0, 1.0), (0.0, None, 4.0)))
    batch, rewards = batch_of(groups)
    old = torch.full_like(batch.mask, 0.1)
    fixed = Fixed(old=old, reference=torch.zeros_like(old))
    found = advantages(make_config(KL), groups, batch, fixed)
    assert_agrees(found[:3, 0], [-0.05, 0.05, 0.0], 1e-7)  # equal rewards, and still a signal
    task = grpo(rewards, batch.groups)
    costs = [0.2, 0.0]  # group two: two tokens, and none
    assert_agrees(found[3, 0], task[3] - 0.5 * (costs[0] - 0.1), 1e-7)
    assert_agrees(found[5, 0], task[5] - 0.5 * (costs[1] - 0.1), 1e-7)


def test_a_kl_in_the_reward_of_reinforce_plus_plus_is_paid_token_by_token() -> None:
    groups = scored(TOTALS)
    batch, rewards = batch_of(groups)
    old = torch.rand(batch.mask.shape, generator=torch.Generator().manual_seed(0))
    fixed = Fixed(old=old, reference=torch.zeros_like(old))
    config = make_config(KL | {"adv_estimator": "reinforce_plus_plus"})
    tokens = -0.5 * old.double()
    for row, last in enumerate([2, 0, 1, 1]):
        tokens[row, last] += rewards[row]
    expected = reinforce_plus_plus(tokens, batch.mask)
    assert_agrees(advantages(config, groups, batch, fixed), expected, 1e-7)


def test_responses_that_are_masked_out_are_no_part_of_the_kl_baseline() -> None:
    """Two of four were truncated: the others, with the same KL, keep their advantages."""
    rollouts = tuple(
        Rollout(sample=s, text="", token_ids=(5, 5), loss_mask=(1, 1), sampler_logprobs=(0.0, 0.0),
                stop_reason="stop" if s < 2 else "length")
        for s in range(4)
    )  # fmt: skip
    group = RolloutGroup(task=Task(id="t", prompt="p"), prompt_ids=(1,), rollouts=rollouts)
    groups = [ScoredGroup(group=group, scores=tuple(Score(total=v) for v in (1.0, 0.0, 1.0, 0.0)))]
    batch = Batch.from_groups([group]).masked(torch.tensor([True, True, False, False]))
    fixed = Fixed(old=torch.ones(4, 2), reference=torch.zeros(4, 2))
    config = make_config(KL | {"mask_truncated": True, "norm_adv_by_std": False})
    found = advantages(config, groups, batch, fixed)
    assert found[:2, 0].tolist() == [0.5, -0.5], "the KL is 2 in each"


def test_gdpo_in_a_step_that_nothing_scored_is_zero() -> None:
    groups = scored(((None, None, None), (None, None, None)))
    batch, _ = batch_of(groups)
    for weights in (None, {"a": 1.0}):
        found = advantages(make_config({"adv_estimator": "gdpo"}), groups, batch, NOTHING, weights)
        assert found.shape == batch.mask.shape
        assert not found.any()


def test_gdpo_refuses_a_scored_response_without_one_of_its_parts() -> None:
    parts = [{"a": 1.0, "b": 0.0}] * 5 + [{"a": 0.0}]
    groups = scored(((1.0, 1.0, 1.0), (1.0, None, 0.0)), parts)
    batch, _ = batch_of(groups)
    with pytest.raises(RewardError, match="response to task 1 has only a"):
        advantages(make_config({"adv_estimator": "gdpo"}), groups, batch, NOTHING)
    groups = scored(((1.0, 1.0, 1.0), (1.0, 1.0, None)), parts)
    batch, _ = batch_of(groups)
    advantages(make_config({"adv_estimator": "gdpo"}), groups, batch, NOTHING)


def test_the_penalty_on_length_counts_beside_the_rewards_own_weights() -> None:
    """The part `a` is equal in each group; only the penalty differs."""
    parts = [{"a": 1.0, "overlong": p} for p in (0.0, -1.0, -2.0, 0.0, 0.0, -3.0)]
    groups = scored(((1.0, 0.0, -1.0), (1.0, 1.0, -2.0)), parts)
    batch, _ = batch_of(groups)
    config = make_config({"adv_estimator": "gdpo", "overlong_buffer": 4})
    found = advantages(config, groups, batch, NOTHING, {"a": 0.5})
    assert found[0, 0] > found[1, 0] > found[2, 0]
    plain = make_config({"overlong_buffer": 4})
    shares = token_advantages(plain, groups, batch, NOTHING, {"a": 0.5}).attribution
    assert shares["attribution/overlong"] == pytest.approx(1.0)
    assert shares["attribution/rest"] == pytest.approx(0.0, abs=1e-9)
