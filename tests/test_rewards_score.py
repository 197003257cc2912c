"""Scoring in worker processes: limits, crashes, prints, broken contracts, what cannot travel."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing import Pipe
from pathlib import Path

import pytest
from fixtures_rewards import rewards
from fixtures_rewards.build import group

from stateset.rl.errors import ConfigError, RewardError
from stateset.rl.rewards import process
from stateset.rl.rewards.call import RewardCall
from stateset.rl.rewards.combine import WeightedReward
from stateset.rl.rewards.process import WorkerLostError, WorkerProcess, pack
from stateset.rl.rewards.score import RewardScorer
from stateset.rl.rewards.worker import Reply, UnitRunner, numbered
from stateset.rl.types import Score

LIMIT = 1.0
MUCH_LATER = 60.0  # well above any start-up, well below the 600 s that the fixtures hang


def totals(scorer, *groups):
    return [[score.total for score in scored.scores] for scored in scorer.score(groups)]


def dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def ended(pid: int) -> bool:
    """Whether a process is dead, or would be if its parent had reaped it."""
    return dead(pid) or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]


def wait_until(condition) -> bool:
    deadline = time.monotonic() + MUCH_LATER
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("workers", [1, 3])
def test_scores_come_back_in_order(workers):
    with RewardScorer(rewards.length, workers=workers) as scorer:
        assert scorer.notice is None
        first, second = group("a", "bb", "ccc"), group("dddd", task_id="t2")
        assert totals(scorer, first, second) == [[1.0, 2.0, 3.0], [4.0]]
        assert [scored.group for scored in scorer.score([first, second])] == [first, second]
        assert scorer.score([]) == []
        assert not scorer.failures


def test_it_runs_in_another_process_that_close_ends():
    with RewardScorer(rewards.process_id) as scorer:
        [[pid, same]] = totals(scorer, group("a", "b"))
        assert pid == same != os.getpid()
        assert not dead(int(pid))
    assert dead(int(pid))


def test_an_object_travels_with_its_state():
    with RewardScorer(rewards.Weighted(0.5)) as scorer:
        shared = group("a", "bb", context={"order": 1})
        assert totals(scorer, shared) == [[0.5, 1.0]]
        assert scorer.bounds == (0.0, 10.0)
        assert scorer.name == "fixtures_rewards.rewards.Weighted"
        assert shared.task.context == {"order": 1}


FORKS = """
import asyncio, os, sys

def forks(response):
    return float(os.fork())

def child_exits(response):
    child = os.fork()
    if child == 0:
        sys.exit("the child")
    return float(child)

async def forks_async(response):
    child = os.fork()
    await asyncio.sleep(0.01)
    return float(child)

class ForksWhenLoaded:
    child = None

    def __init__(self):
        self.loaded = False

    def __setstate__(self, state):
        self.child = os.fork()

    def compute(self, prompt, response, context):
        return float(self.child)

forks_when_loaded = ForksWhenLoaded()
"""


@pytest.mark.parametrize("name", ["forks", "child_exits", "forks_async", "forks_when_loaded"])
def test_a_forked_child_leaves_and_answers_nothing(monkeypatch, tmp_path, name):
    (tmp_path / "forking_rewards.py").write_text(FORKS)
    monkeypatch.syspath_prepend(tmp_path)
    import forking_rewards

    with RewardScorer(getattr(forking_rewards, name)) as scorer:
        [children] = totals(scorer, group("a", "b", "c", "d"))
        assert not scorer.failures
        assert min(children) > 0.0  # the child's own answer would be 0
        assert len(set(children)) == (1 if name == "forks_when_loaded" else 4)
        assert all(wait_until(lambda pid=pid: ended(int(pid))) for pid in children)


def test_a_reply_to_another_request_is_never_taken(monkeypatch):
    def replies(number, total):
        return numbered(number, pack([Reply(scores=(Score(total=total),))]))

    ours, theirs = Pipe()
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(process, "_start", lambda: (subprocess.Popen(command, start_new_session=True), ours))
    for message in (b"", replies(1, 1.0), replies(1, 9.0)):
        theirs.send_bytes(message)
    worker = WorkerProcess(b"", "reward")
    with theirs, contextlib.closing(worker):
        assert worker.ask(b"", MUCH_LATER) == [Reply(scores=(Score(total=1.0),))]
        with pytest.raises(WorkerLostError, match="sent a reply to another request"):
            worker.ask(b"", MUCH_LATER)
    assert ours.closed


def test_a_verifier_travels_too():
    with RewardScorer(rewards.verified_reward, verifier=rewards.says_yes) as scorer:
        assert totals(scorer, group("yes", "no")) == [[2.0, 0.0]]


def test_a_hang_loses_only_its_sample():
    started = time.monotonic()
    with RewardScorer(rewards.scripted, timeout_seconds=LIMIT) as scorer:
        [scored] = scorer.score([group("ok", "hang", "ok")])
        assert [score.total for score in scored.scores] == [1.0, None, 1.0]
        assert scored.scores[1].reason == "timed out after 1 s"
        assert scorer.failures == {"timed out": 1}
    assert time.monotonic() - started < MUCH_LATER


def test_a_killed_worker_takes_its_children_with_it(tmp_path):
    note = tmp_path / "child"
    with RewardScorer(rewards.spawns_child, timeout_seconds=2.0) as scorer:
        with pytest.raises(RewardError, match="timed out after 2 s"):
            scorer.score([group(str(note))])
        child = int(note.read_text())
        assert wait_until(lambda: ended(child))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("exit", "the reward's process exited with code 7"),
        ("segfault", "the reward's process was killed by signal 11"),
    ],
)
def test_a_crash_loses_only_its_sample(text, reason):
    with RewardScorer(rewards.scripted) as scorer:
        [scored] = scorer.score([group("ok", text, "ok")])
        assert [score.total for score in scored.scores] == [1.0, None, 1.0]
        assert scored.scores[1].reason == reason
        assert scorer.failures == {"crashed": 1}


def test_workers_lost_three_times_in_a_row_end_the_run():
    with RewardScorer(rewards.scripted) as scorer:
        assert totals(scorer, group("exit", "exit", "ok", "exit", "exit", "ok"))[0].count(None) == 4
        with pytest.raises(RewardError, match=r"rewards\.scripted` lost 3 worker processes in a row.*code 7"):
            scorer.score([group("ok", "exit", "exit", "exit", "ok")])
        assert totals(scorer, group("ok")) == [[1.0]]


@pytest.mark.parametrize(
    ("text", "said"), [("raise", "KeyError: 'order'"), ("sys.exit", "SystemExit: goodbye")]
)
def test_the_seventh_sample_raises(text, said):
    with RewardScorer(rewards.scripted) as scorer:
        [scored] = scorer.score([group(*["ok"] * 6, text, "ok")])
        assert [score.total for score in scored.scores] == [1.0] * 6 + [None, 1.0]
        assert scored.scores[6].reason.startswith(said)
        assert scorer.first_failure == f"task 't1', sample 6: {scored.scores[6].reason}"
        assert scorer.failures == {"raised": 1}


def test_a_failure_names_file_and_line():
    with RewardScorer(rewards.scripted) as scorer:
        [scored] = scorer.score([group("ok", "raise", "json")])
    line = rewards.line_of('raise KeyError("order")')
    assert scored.scores[1].reason == f"KeyError: 'order' ({rewards.__file__}:{line})"
    assert scored.scores[2].reason.endswith(f"({rewards.__file__}:{rewards.line_of('json.loads')})")


def test_a_reward_that_always_fails_ends_the_run():
    with RewardScorer(rewards.scripted) as scorer:
        with pytest.raises(RewardError, match=r"every response.*KeyError: 'order' \(.*rewards\.py:\d+\)"):
            scorer.score([group("raise", "raise")])
        assert scorer.failures == {"raised": 2}
        assert totals(scorer, group("ok", "raise")) == [[1.0, None]]
        assert totals(scorer, group("raise", "raise")) == [
            [None, None]
        ]  # one bad row, and it has worked before
        with pytest.raises(RewardError, match="every response"):
            scorer.score([group("raise"), group("raise", task_id="t2")])


def test_the_first_failure_stays_the_first():
    with RewardScorer(rewards.scripted) as scorer:
        totals(scorer, group("ok"))
        assert scorer.first_failure is None
        totals(scorer, group("ok"), group("ok", "exit", "raise", task_id="t2"))
        expected = "task 't2', sample 1: the reward's process exited with code 7"
        assert scorer.first_failure == expected
        totals(scorer, group("sys.exit", "ok", task_id="t3"))
        assert scorer.first_failure == expected
    with RewardScorer(rewards.batched_raise) as scorer:
        with pytest.raises(RewardError, match="every response"):
            scorer.score([group("ok", "raise")])
        assert scorer.first_failure.startswith("task 't1', sample 0: KeyError: 'order'")


def test_unscorable_is_no_failure():
    with RewardScorer(rewards.scripted) as scorer:
        assert totals(scorer, group("none", "none")) == [[None, None]]
        assert not scorer.failures
        assert scorer.first_failure is None


@pytest.mark.parametrize(
    ("text", "value"), [("nan", "nan"), ("inf", "inf"), ("text", "'good'"), ("list", r"\[1.0\]")]
)
def test_a_broken_contract_ends_the_run(text, value):
    with RewardScorer(rewards.scripted) as scorer:
        says = rf"rewards\.scripted` returned {value} for task 't1', sample 1 \(response '{text}'\)"
        with pytest.raises(RewardError, match=says):
            scorer.score([group("ok", text, "ok")])


@pytest.mark.parametrize("reward", [rewards.lacking, rewards.lacking_async])
@pytest.mark.parametrize("error", ["SandboxError", "ConfigError", "MissingExtraError"])
def test_what_is_missing_for_any_response_ends_the_run(reward, error):
    with RewardScorer(reward) as scorer, pytest.raises(RewardError, match="it is not there"):
        scorer.score([group("ok", error, "ok")])


def test_a_row_that_cannot_be_judged_loses_only_its_sample():
    with RewardScorer(rewards.lacking) as scorer:
        assert totals(scorer, group("ok", "DataError")) == [[1.0, None]]


def test_a_batched_reward_sees_the_group():
    with RewardScorer(rewards.batched) as scorer:
        assert totals(scorer, group("a", "bb"), group("ccc", task_id="t2")) == [[1.0, 2.0], [3.0]]
    with RewardScorer(rewards.batched_raise) as scorer:
        assert totals(scorer, group("ok", "raise"), group("ok", task_id="t2")) == [[None, None], [1.0]]
        assert scorer.failures == {"raised": 2}
    with (
        RewardScorer(rewards.batched_short) as scorer,
        pytest.raises(
            RewardError, match=r"batched_short` returned 1 values for the 2 responses to task 't1'"
        ),
    ):
        scorer.score([group("a", "bb")])


def test_prints_do_not_reach_stdout_or_the_protocol(capfd):
    with RewardScorer(rewards.noisy) as scorer:
        assert totals(scorer, group("a", "b")) == [[1.0, 1.0]]
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("a line that a reward prints") == 2
    assert "and one below Python" in err


def test_async_rewards_run_together():
    with RewardScorer(rewards.Meeting(), timeout_seconds=MUCH_LATER) as scorer:
        assert totals(scorer, group("a", "b")) == [[1.0, 1.0]]


def test_async_limits_and_failures():
    with RewardScorer(rewards.slow_answers, timeout_seconds=LIMIT) as scorer:
        [scored] = scorer.score([group("ok", "hang", "raise", "good")])
        assert [score.total for score in scored.scores] == [2.0, None, None, 4.0]
        assert scored.scores[1].reason == "timed out after 1 s"
        assert scored.scores[2].reason.startswith("ValueError: no judge")
        assert scorer.failures == {"timed out": 1, "raised": 1}


def test_an_async_reward_that_blocks_loses_only_its_sample(monkeypatch):
    monkeypatch.setattr("stateset.rl.rewards.score.GRACE_SECONDS", 0.5)
    with RewardScorer(rewards.slow_answers, timeout_seconds=LIMIT) as scorer:
        [scored] = scorer.score([group("ok", "block", "good")])
        assert [score.total for score in scored.scores] == [2.0, None, 4.0]


@pytest.mark.parametrize("local", [False, True])
def test_a_slow_verifier_takes_no_time_from_its_neighbours(local, monkeypatch):
    """Eight verdicts of half a second each, one after the other, and a limit of a second."""
    monkeypatch.setattr("stateset.rl.rewards.score.GRACE_SECONDS", 0.5)
    with RewardScorer(rewards.awaits, verifier=rewards.slow_verifier, timeout_seconds=LIMIT) as scorer:
        if local:
            scorer._local = UnitRunner(scorer._call, LIMIT)
        assert totals(scorer, group(*"abcdefgh")) == [[1.0] * 8]
        assert not scorer.failures


def test_a_slow_plain_part_takes_no_time_from_its_neighbours():
    reward = WeightedReward({"code": (0.5, rewards.slow_part), "style": (0.5, rewards.awaits)})
    with RewardScorer(reward, timeout_seconds=2.0) as scorer:
        assert totals(scorer, group("good", "good2", "hang", "hang2")) == [[1.0] * 4]


@pytest.mark.parametrize("endless", [rewards.endless_part, rewards.never_ends])
def test_what_never_ends_loses_only_its_sample_among_slow_ones(endless, monkeypatch):
    monkeypatch.setattr("stateset.rl.rewards.score.GRACE_SECONDS", 0.5)
    parts = {"endless": (0.5, endless), "style": (0.5, rewards.awaits)}
    with RewardScorer(WeightedReward(parts), timeout_seconds=LIMIT) as scorer:
        assert totals(scorer, group("a", "b", "c", "hang", "d")) == [[1.0, 1.0, 1.0, None, 1.0]]
        assert scorer.failures == {"timed out": 1}


def test_what_cannot_travel_runs_here_and_says_so():
    async def awaited(response):
        if response == "raise":
            raise ValueError("here")
        return 3.0

    def pids(response):
        return float(os.getpid())

    for local, expected in [
        (lambda response: float(len(response)), 2.0),
        (pids, float(os.getpid())),
        (awaited, 3.0),
    ]:
        with RewardScorer(local) as scorer:
            assert totals(scorer, group("ok")) == [[expected]]
            assert scorer.notice is not None
            assert "runs without a time limit" in scorer.notice
            assert "\n" not in scorer.notice


def test_failures_are_data_here_as_well():
    def local(response):
        return rewards.scripted(response)

    with RewardScorer(local) as scorer:
        [scored] = scorer.score([group("ok", "raise", "sys.exit")])
        assert [score.total for score in scored.scores] == [1.0, None, None]
        with pytest.raises(RewardError, match="returned nan"):
            scorer.score([group("nan")])


def test_an_object_that_holds_something_local_runs_here():
    what = rewards.Weighted(2.0)
    what.helper = lambda text: text
    with RewardScorer(what) as scorer:
        assert totals(scorer, group("ok")) == [[4.0]]
        assert "Weighted" in scorer.notice


def test_a_context_that_cannot_travel_is_named():
    with (
        RewardScorer(rewards.holds_context) as scorer,
        pytest.raises(RewardError, match="context of task 't1'"),
    ):
        scorer.score([group("a", context={"open": lambda: 1})])


def test_a_module_that_the_worker_cannot_import(monkeypatch, tmp_path):
    (tmp_path / "gone_reward.py").write_text("def score(response):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    import gone_reward

    (tmp_path / "gone_reward.py").write_text("import nothing_of_this_name\n")
    says = rf"gone_reward\.score` cannot be loaded.*nothing_of_this_name.*{tmp_path}/gone_reward.py:1"
    with RewardScorer(gone_reward.score) as scorer, pytest.raises(RewardError, match=says):
        scorer.score([group("a")])


@pytest.mark.parametrize(
    "settings", [{"timeout_seconds": 0}, {"timeout_seconds": float("nan")}, {"workers": 0}]
)
def test_settings_are_checked(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        RewardScorer(rewards.length, **settings)


SCRIPT = """
import sys
sys.path[:0] = {paths!r}
print("the script runs")
from fixtures_rewards import rewards
from fixtures_rewards.build import group
from stateset.rl.rewards.reward import RewardFunction
from stateset.rl.rewards.call import RewardCall
from stateset.rl.rewards.process import pack
from stateset.rl.rewards.score import RewardScorer

class Mine(RewardFunction):
    def compute(self, prompt, response, context):
        return 2.0

def main_function(response):
    return 3.0

for reward in (rewards.length, Mine(), main_function, [Mine()].pop().compute):
    with RewardScorer(reward) as scorer:
        print([s.total for s in scorer.score([group("abcd")])[0].scores], scorer.notice is None)
{last}
"""


def run_script(tmp_path, last="", **options):
    repository = Path(__file__).parent.parent
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(SCRIPT).format(paths=[str(repository / "tests"), str(repository)], last=last)
    )
    command = [sys.executable, "-W", "error", str(script)]
    return subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=MUCH_LATER, **options
    )


def test_an_unguarded_script_is_not_run_again(tmp_path):
    done = run_script(tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "the script runs", "[4.0] True", "[2.0] False", "[3.0] False", "[2.0] False",
    ]  # fmt: skip


def test_a_worker_ends_with_its_parent(tmp_path):
    last = (
        "scorer = RewardScorer(rewards.leaves_thread)\n"
        "print(int(scorer.score([group('a')])[0].scores[0].total), flush=True)\n"
        "import os; os._exit(9)"
    )
    done = run_script(tmp_path, last)
    assert done.returncode == 9
    pid = int(done.stdout.splitlines()[-1])
    assert wait_until(lambda: ended(pid))


def test_a_hung_worker_without_a_parent_ends_itself():
    boot = (
        f"import sys; sys.path[:] = {sys.path!r}; from stateset.rl.rewards import worker; "
        "worker.ORPHAN_SECONDS = 0.1; worker.main(int(sys.argv[1]))"
    )
    ours, theirs = Pipe()
    with ours, theirs:
        command = [sys.executable, "-c", boot, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
            ours.send_bytes(pack((rewards.scripted, None, 0.2)))
            assert ours.recv_bytes() == b""
            ours.send_bytes(numbered(1, pack(RewardCall(rewards.scripted).units(group("hang")))))
            try:
                assert process.wait(MUCH_LATER) == -signal.SIGALRM
            finally:
                process.kill()
