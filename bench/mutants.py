"""Plants one fault after another in a copy of the code and demands that the tests notice each.

`python bench/mutants.py` prints a table; it exits with 1 if a fault survives or the unharmed copy fails, and
with 2 if a fault's text is no longer found exactly once: the table below must stay in step with the code.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch  # noqa: F401  # these two take seconds, in each fork but for here
import transformers.models.llama.modeling_llama  # noqa: F401
from reward_faults import REWARD_FAULTS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("stateset/rl")
GREEN, RED, UNABLE = 0, 1, 3  # pytest's exit codes; the last: the tests themselves could not run
MOST_SECONDS = 1800  # a fault may also make its tests wait for ever


@dataclass(frozen=True)
class Fault:
    """`old`, which stands exactly once in `file`, becomes `new`; one of `tests` must then fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str


FAULTS = (
    Fault(
        "std over n instead of n - 1",
        "algorithm/advantages.py",
        "_group_sum(centred.square(), groups) / (count - 1).clamp(min=1)",
        "_group_sum(centred.square(), groups) / count.clamp(min=1)",
        "test_advantages.py",
    ),
    Fault(
        "sums handed to the wrong group",
        "algorithm/advantages.py",
        "index_add(0, index, values)[index]",
        "index_add(0, index, values)[index.flip(0)]",
        "test_advantages.py",
    ),
    Fault(
        "unscorable responses counted",
        "algorithm/advantages.py",
        "count = _group_sum(scored.double(), groups)",
        "count = _group_sum(torch.ones_like(values), groups)",
        "test_advantages.py",
    ),
    Fault(
        "equal rewards not exactly zero",
        "algorithm/advantages.py",
        "(values - lowest[index]).where(",
        "values.where(",
        "test_advantages.py",
    ),
    Fault(
        "leave-one-out factor forgotten",
        "algorithm/advantages.py",
        "centred * count / (count - 1).clamp(min=1)",
        "centred",
        "test_advantages.py test_identities.py",
    ),
    Fault(
        "a lone score trains",
        "algorithm/advantages.py",
        ">= 2",
        ">= 1",
        "test_advantages.py",
    ),
    Fault(
        "deviation of the batch over n",
        "algorithm/advantages.py",
        "(inside.sum() - 1).clamp(min=1)",
        "inside.sum().clamp(min=1)",
        "test_advantages.py test_advantages_tokens.py",
    ),
    Fault(
        "the discount paid outside the response",
        "algorithm/advantages.py",
        "running = torch.where(inside[:, t], rewards[:, t] + gamma * running, running)",
        "running = rewards[:, t] + gamma * running",
        "test_advantages_tokens.py",
    ),
    Fault(
        "values not carried through other tokens",
        "algorithm/advantages.py",
        "next_value = torch.where(inside[:, t], known[:, t], next_value)",
        "next_value = known[:, t]",
        "test_advantages_tokens.py",
    ),
    Fault(
        "the critic's targets whitened",
        "algorithm/advantages.py",
        "returns = (advantages + known)",
        "returns = (whiten(advantages, inside) + known)",
        "test_advantages_tokens.py",
    ),
    Fault(
        "a shared best response reinforced",
        "algorithm/advantages.py",
        "first & alone",
        "first",
        "test_advantages.py",
    ),
    Fault(
        "a component's spread over the batch",
        "algorithm/advantages.py",
        "grpo(column, groups, eps=0.0)",
        "grpo(column, groups * 0, eps=0.0)",
        "test_advantages.py",
    ),
    Fault(
        "the reward on the first token",
        "algorithm/advantages.py",
        "inside.flip(-1).cumsum(-1).flip(-1) == 1",
        "inside.cumsum(-1) == 1",
        "test_credit.py",
    ),
    Fault(
        "a part's push without its weight",
        "algorithm/attribution.py",
        " * weights.double() * ",
        " * ",
        "test_attribution.py",
    ),
    Fault(
        "the KL penalty of the reward added",
        "credit.py",
        "advantages = advantages - _kl_above_group",
        "advantages = advantages + _kl_above_group",
        "test_credit.py",
    ),
    Fault(
        "the exact KL in the other direction",
        "policy/logprobs.py",
        "kl[part] = (log_p.exp() * (log_p - log_q)).sum(-1)",
        "kl[part] = (log_q.exp() * (log_q - log_p)).sum(-1)",
        "test_policy_kl.py",
    ),
    Fault(
        "the exact KL's gradient without its mean",
        "policy/logprobs.py",
        "log_p.sub_(log_q).sub_(kl[part, None])",
        "log_p.sub_(log_q)",
        "test_policy_kl.py",
    ),
    Fault(
        "values clipped around the returns",
        "policy/critic.py",
        "clipped = old + (values - old).clamp",
        "clipped = values + (values - old).clamp",
        "test_critic.py",
    ),
    Fault(
        "truncated responses in the baseline of the KL",
        "credit.py",
        "trainable_rows(rewards, groups) & ~masked_out",
        "trainable_rows(rewards, groups)",
        "test_credit.py",
    ),
    Fault(
        "the penalty on length outside the weights of gdpo",
        "credit.py",
        "weights = {**weights, OVERLONG: 1.0}",
        "weights = dict(weights)",
        "test_credit.py",
    ),
    Fault(
        "replaced groups never retired",
        "sampling.py",
        "| self.retire(sampled)",
        "| self.retire(kept)",
        "test_sampling.py",
    ),
    Fault(
        "retired prompts asked again",
        "sampling.py",
        "if self.tasks[i].id not in retired",
        "if self.tasks[i].id",
        "test_sampling.py",
    ),
    Fault(
        "groups with signal given away",
        "sampling.py",
        "key=lambda group: not self._has_signal(group)",
        "key=self._has_signal",
        "test_sampling.py",
    ),
    Fault(
        "low_var_kl in the other direction",
        "algorithm/kl.py",
        "negative = (-x).clamp",
        "negative = x.clamp",
        "test_kl.py",
    ),
    Fault(
        "straight-through value not detached",
        "algorithm/kl.py",
        "value.detach() + ",
        "value + ",
        "test_kl.py",
    ),
    Fault(
        "empty rows counted in the mean",
        "algorithm/aggregation.py",
        "(lengths > 0).sum()",
        "(lengths >= 0).sum()",
        "test_aggregation.py",
    ),
    Fault(
        "padding counted in the token mean",
        "algorithm/aggregation.py",
        "divisor = lengths.sum()",
        "divisor = lengths.sum() * 0 + mask.numel()",
        "test_aggregation.py",
    ),
    Fault(
        "padding multiplied by 0, so NaN stays",
        "algorithm/aggregation.py",
        "torch.where(mask != 0, values, 0.0)",
        "values * (mask != 0)",
        "test_loss.py",
    ),
    Fault(
        "clip inverted",
        "algorithm/loss.py",
        "losses = torch.maximum(-weight * ratio, -weight * ratio.clamp(1 - clip.low, 1 + clip.high))\n    if",
        "losses = torch.minimum(-weight * ratio, -weight * ratio.clamp(1 - clip.low, 1 + clip.high))\n    if",
        "test_loss.py",
    ),
    Fault(
        "dual clip with the wrong sign",
        "algorithm/loss.py",
        "-weight * clip.dual",
        "weight * clip.dual",
        "test_loss.py",
    ),
    Fault(
        "dual clip on good responses too",
        "algorithm/loss.py",
        "torch.where(weight < 0,",
        "torch.where(weight != 0,",
        "test_loss.py",
    ),
    Fault(
        "log-ratio not clamped",
        "algorithm/loss.py",
        "ratio = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()\n    losses",
        "ratio = log_ratio.exp()\n    losses",
        "test_loss.py",
    ),
    Fault(
        "gspo's ratio summed, not averaged",
        "algorithm/loss.py",
        "(mask != 0).sum(-1, keepdim=True).clamp(min=1)",
        "1",
        "test_losses.py test_loss.py",
    ),
    Fault(
        "gspo's ratio of constants, so no gradient",
        "algorithm/loss.py",
        "logprobs - logprobs.detach()",
        "logprobs.detach() - logprobs.detach()",
        "test_losses.py test_loss.py",
    ),
    Fault(
        "cispo's weight not held constant",
        "algorithm/loss.py",
        "log_ratio.detach().clamp",
        "log_ratio.clamp",
        "test_losses.py test_loss.py",
    ),
    Fault(
        "clip fraction blind to the sign",
        "algorithm/loss.py",
        "(advantages < 0) & ",
        "",
        "test_loss.py",
    ),
    Fault(
        "response predicted off by one",
        "policy/attention.py",
        "ends = prompt_starts + prompt_lengths - 1",
        "ends = prompt_starts + prompt_lengths - 2",
        "test_policy_forward.py",
    ),
    Fault(
        "a prompt counts as much as the response's own tokens do",
        "policy/attention.py",
        "torch.sigmoid(other_total - total)",
        "torch.sigmoid(total - other_total)",
        "test_rollout.py",
    ),
    Fault(
        "a token is drawn from the block behind its own",
        "rollout/sample.py",
        "(upto[:, 1:] <= target",
        "(upto[:, :-1] <= target",
        "test_rollout.py",
    ),
    Fault(
        "responses see their own future",
        "policy/attention.py",
        "steps[:, None] >= steps",
        "steps[:, None] >= steps - 1",
        "test_policy_forward.py",
    ),
    Fault(
        "responses see the first group's prompt",
        "policy/attention.py",
        "prompt_key[self.groups]",
        "prompt_key[self.groups * 0]",
        "test_policy_forward.py",
    ),
    Fault(
        "other tokens scored than predicted",
        "policy/forward.py",
        "targets = batch.token_ids[batch.mask.bool()]",
        "targets = batch.token_ids.flatten()[: int(batch.mask.sum())]",
        "test_policy_forward.py",
    ),
    Fault(
        "temperature forgotten in the forward",
        "policy/logprobs.py",
        "log_p = torch.log_softmax(capped / temperature, -1)\n        target",
        "log_p = torch.log_softmax(capped, -1)\n        target",
        "test_policy_forward.py",
    ),
    Fault(
        "temperature forgotten in the backward",
        "policy/logprobs.py",
        "factor = (grad_logprobs / temperature)[:, None]",
        "factor = grad_logprobs[:, None]",
        "test_policy_forward.py",
    ),
    Fault(
        "gradient forgets the soft cap",
        "policy/logprobs.py",
        "(1 - (capped / self.softcap).square())",
        "(1.0)",
        "test_policy_forward.py",
    ),
    Fault(
        "a second try keeps the gradient of the first",
        "policy/micro_batches.py",
        "            undo()  # outside",
        "            pass  # outside",
        "test_micro_batches.py",
    ),
    Fault(
        "old log-probabilities of the newest policy",
        "policy/learner.py",
        "logprobs.detach() if fixed.old is None else fixed.old[rows]",
        "logprobs.detach()",
        "test_policy_learner.py",
    ),
    Fault(
        "weights per micro-batch, not per step",
        "policy/learner.py",
        "weights = weights[rows]",
        "weights = weights[rows] / weights[rows].sum()",
        "test_policy_learner.py",
    ),
    Fault(
        "the reference follows the policy",
        "policy/policy.py",
        "p.detach().clone() for name, p in self.trainable()",
        "p.detach() for name, p in self.trainable()",
        "test_policy_learner.py",
    ),
    Fault(
        "prompt and tool tokens trained",
        "policy/batch.py",
        "padded([r.loss_mask for r in rollouts], torch.float32)",
        "padded([(1,) * len(r.token_ids) for r in rollouts], torch.float32)",
        "test_policy_learner.py",
    ),
    Fault(
        "unscorable groups trained",
        "policy/batch.py",
        "self.mask * rows[:, None]",
        "self.mask",
        "test_policy_learner.py",
    ),
    Fault(
        "of a key given twice the last is taken",
        "data/json_text.py",
        "if name in found:",
        "if not name and name in found:",
        "test_bad_input.py",
    ),
    Fault(
        "tags in a project file",
        "config/yaml_file.py",
        'if getattr(event, "tag", None) is not None:',
        "if False:",
        "test_bad_input.py",
    ),
    Fault(
        "code of a model's repository is run",
        "policy/model_files.py",
        "use_safetensors=True, trust_remote_code=False",
        "use_safetensors=True, trust_remote_code=True",
        "test_bad_models.py",
    ),
    Fault(
        "a pickle is read",
        "policy/model_files.py",
        "if pickled and not weights:",
        "if pickled and weights:",
        "test_bad_models.py",
    ),
    Fault(
        "missing weights stay random",
        "policy/model_files.py",
        "    if missing:",
        "    if False:",
        "test_bad_models.py",
    ),
    Fault(
        "a text begins twice",
        "policy/policy.py",
        "== [begin, begin]:",
        "== [begin]:",
        "test_bad_models.py",
    ),
    Fault(
        "a prompt ends before the answer",
        "policy/policy.py",
        "                ids.pop()",
        "                break",
        "test_bad_models.py",
    ),
    Fault(
        "a key that the endpoint echoes is kept",
        "rewards/judge.py",
        "return redact(_text(reply), self.api_key)",
        "return _text(reply)",
        "test_secrets.py",
    ),
    Fault(
        "a key in an exception is kept",
        "rewards/failure.py",
        'said = redact(f"{type(error).__name__}: {error}".rstrip(": "))',
        'said = f"{type(error).__name__}: {error}".rstrip(": ")',
        "test_secrets.py",
    ),
    Fault(
        "the constant of Dr. GRPO twice as large",
        "policy/learner.py",
        "self.config.max_response_length if",
        "2 * self.config.max_response_length if",
        "test_policy_learner.py",
    ),
    Fault(
        "entropy punished",
        "policy/learner.py",
        "loss - config.entropy_coef",
        "loss + config.entropy_coef",
        "test_policy_learner.py",
    ),
    Fault(
        "fp16's scale is blamed for ever",
        "policy/optimizer.py",
        "return self.scaler.is_enabled() and self.scaler.get_scale() > 1",
        "return self.scaler.is_enabled()",
        "test_bad_batches.py::test_fp16_stops_to_blame_its_scale_where_that_is_1",
    ),
    Fault(
        "a checkpoint that is written again is removed first",
        "checkpoint_files.py",
        "            target.rename(replaced)\n",
        "            _remove(target)\n",
        "test_checkpoint.py::test_one_that_is_written_again_is_there_at_every_moment",
    ),
    Fault(
        "a dropped step keeps what it has drawn",
        "course.py",
        "            restore_random(random.tensors, random.others)\n",
        "",
        "test_stop.py::test_wherever_it_is_stopped_it_goes_on_bit_for_bit",
    ),
    Fault(
        "the stop in a warm start's first step is no part of it",
        "course.py",
        "        state.warming = True\n",
        "",
        "test_warm_start.py::test_a_stop_in_its_first_step_does_not_hide_the_later_ones",
    ),
    Fault(
        "a gradient that is not finite is stepped with",
        "policy/optimizer.py",
        "if not math.isfinite(norm) and not self._too_large_a_scale():",
        "if math.isnan(norm) and not self._too_large_a_scale():",
        "test_bad_batches.py",
    ),
    Fault(
        "a loss that is not finite is not looked at",
        "policy/optimizer.py",
        "if not math.isfinite(loss):  # before",
        "if False:  # before",
        "test_bad_batches.py",
    ),
    Fault(
        "steps left out are not counted",
        "policy/optimizer.py",
        "self.skipped_in_a_row += 1",
        "self.skipped_in_a_row = 1",
        "test_bad_batches.py",
    ),
    Fault(
        "steps left out are forgotten in a resume",
        "policy/optimizer.py",
        'int(tensors.get("skipped_in_a_row", 0))',
        "0",
        "test_bad_batches.py",
    ),
    Fault(
        "padding of the reference reaches the loss",
        "policy/learner.py",
        "reference = masked(fixed.reference[rows], mask)",
        "reference = fixed.reference[rows]",
        "test_bad_batches.py",
    ),
    Fault(
        "the KL's ratio over padding",
        "policy/learner.py",
        "moved = masked(logprobs.detach() - before, part.mask)",
        "moved = logprobs.detach() - before",
        "test_bad_batches.py",
    ),
    Fault(
        "a step left out enters the means",
        "policy/learner.py",
        "                continue\n",
        "",
        "test_bad_batches.py",
    ),
    Fault(
        "a dropped step leaves its counters",
        "course.py",
        "setattr(state, field.name, getattr(boundary, field.name))",
        "getattr(boundary, field.name)",
        "test_stop.py",
    ),
    Fault(
        "a stop between two optimizer steps of one batch",
        "trainer.py",
        "self.stop.held |= len(steps) > 1",
        "self.stop.held |= len(steps) > 9",
        "test_stop.py",
    ),
    Fault(
        "the time limit cuts off the evaluation after it",
        "signals.py",
        "(self.number is not None or not was_late)",
        "True",
        "test_stop.py",
    ),
    Fault(
        "a second signal is not heeded",
        "signals.py",
        "            raise KeyboardInterrupt\n",
        "            return\n",
        "test_stop.py",
    ),
    Fault(
        "a stall told again and again",
        "watchdog.py",
        "self._told = True",
        "self._told = False",
        "test_watchdog.py",
    ),
    Fault(
        "waiting taken for progress",
        "watchdog.py",
        "        if progress:\n",
        "        if True:\n",
        "test_watchdog.py",
    ),
    Fault(
        "token weights of a rank's groups alone",
        "policy/learner.py",
        "        rows = batch.rows_of(groups)\n        weights",
        "        rows = batch.rows_of(self.world.share(groups))\n        weights",
        "test_distributed.py",
    ),
    Fault(
        "gradients of ranks not added up",
        "policy/optimizer.py",
        "self.world.add_up(grads)",
        "self.world.add_up(grads[:1])",
        "test_distributed.py",
    ),
    Fault(
        "what ranks found is put together in another order",
        "policy/distributed.py",
        "else items[self.rank :: self.size]",
        "else items[self.size - 1 - self.rank :: self.size]",
        "test_distributed.py",
    ),
    Fault(
        "ranks with different weights go on",
        "policy/distributed.py",
        "if any(other != sums for other in self.gather(sums)):",
        "if self.gather(sums) is None:",
        "test_distributed.py",
    ),
    Fault(
        "a resumed run forgets that its reward worked",
        "trainer.py",
        "        self.scorer.ever_worked = self.state.reward_worked\n",
        "",
        "test_resume.py",
    ),
    Fault(
        "weights compared as numbers, where 0.0 is -0.0",
        "resume_proof/differences.py",
        "torch.equal(_bits(one[name]), _bits(other[name]))",
        "torch.equal(one[name], other[name])",
        "test_resume_proof.py",
    ),
    Fault(
        "a checkpoint counts as committed before it has its name",
        "resume_proof/lives.py",
        "self.points[-2::-1]",
        "self.points[::-1]",
        "test_resume_proof.py",
    ),
    Fault(
        "success is not corrected for its judge",
        "evaluation/improvement.py",
        "if metric == SUCCESS and record.judge_errors is not None:",
        "if False:",
        "test_improvement.py",
    ),
    Fault(
        "later rows may belong to the frozen test set",
        "data/preparation.py",
        "held = find_frozen(good, settings.frozen, settings.near_duplicate) if settings.frozen else {}",
        "held: dict[int, str] = {}",
        "test_data_prepare.py",
    ),
    *(Fault(*fault) for fault in REWARD_FAULTS),
)


def main() -> int:
    misplaced = [f for f in FAULTS if (ROOT / PACKAGE / f.file).read_text().count(f.old) != 1]
    for fault in misplaced:
        print(f"{fault.file}: the text of fault '{fault.name}' must stand there exactly once: {fault.old!r}")
    if misplaced:
        print("bring the table in bench/mutants.py into step with the code")
        return 2
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        for part in ("stateset", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        every_test = sorted({test for fault in FAULTS for test in fault.tests.split()})
        code, output = run_tests(tree, every_test)
        if code != GREEN:
            print(f"{output}\nthe tests fail without any fault: repair them first")
            return 1
        missed = [fault for fault in FAULTS if not plant(tree, fault)]
    print(f"{len(FAULTS) - len(missed)} of {len(FAULTS)} faults caught")
    return 1 if missed else 0


def plant(tree: Path, fault: Fault) -> bool:
    """Whether the tests notice the fault; prints its line of the table."""
    target = tree / PACKAGE / fault.file
    whole = target.read_text()
    target.write_text(whole.replace(fault.old, fault.new))
    start = time.perf_counter()
    code, output = run_tests(tree, fault.tests.split())
    target.write_text(whole)
    verdict = {GREEN: "SURVIVED", RED: "caught", -signal.SIGALRM: "HUNG"}.get(code, "UNTESTED")
    print(f"{verdict:9} {time.perf_counter() - start:5.1f} s  {fault.file:26} {fault.name}", flush=True)
    if verdict in ("UNTESTED", "HUNG"):
        print(output)
    return verdict == "caught"


def run_tests(tree: Path, tests: list[str]) -> tuple[int, str]:
    """Pytest's exit code and output, in a fork of this process that sees the copy and writes no bytecode.

    What takes seconds to import is there already; nothing of the package is.
    """
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            try:
                os._exit(_test_here(tree, tests, output.fileno()))
            finally:
                traceback.print_exc()
                os._exit(UNABLE)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return code, output.read()


def _test_here(tree: Path, tests: list[str], output: int) -> int:
    signal.alarm(MOST_SECONDS)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(tree)
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = True
    options = ["-x", "-q", "--tb=line", "-m", "not slow", "-p", "no:cacheprovider", "--assert=plain"]
    code = pytest.main([*options, *(f"tests/{test}" for test in tests)])
    sys.stdout.flush()
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
