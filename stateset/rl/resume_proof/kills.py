"""A run that is killed at random instants and resumed, held against one that never stopped.

The twin trains undisturbed and shows what a run goes through and for how long; the instants are drawn from
that, the kinds in turn. Each process goes on where the killed one before it left. A run that comes to its end
before all kills are spent is compared with the twin, and another one begins.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

from stateset.rl.checkpoint_files import damage, list_checkpoints
from stateset.rl.config.schema import Config
from stateset.rl.errors import TrainingError
from stateset.rl.policy.aliases import alias_file
from stateset.rl.resume_proof.differences import compared, differences, timed_out
from stateset.rl.resume_proof.lives import Instant, Life, live, spans
from stateset.rl.resume_proof.victim import LOG
from stateset.rl.tracking.read_runs import read_run

_FURTHEST = 3  # points of a kind until the kill, at most, or half of those that the twin had


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        steps: of the twin.
        kills: by what the run was doing.
        runs: how many were brought to their end.
        compared: of all runs the `steps`, `rollouts` and `checkpoints` that were held against the twin's.
        damaged: checkpoints that did not verify after a kill, each with the file.
        lost: checkpoints that were there before a kill and not after it.
        differences: from the twin, the earliest first.
        late_calls: reward calls that hit their time limit, of all runs.
        compared_before: the step from which on such calls forbid a comparison; None: all was compared.
    """

    steps: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    compared: Counter[str] = field(default_factory=Counter)
    damaged: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    late_calls: int = 0
    compared_before: int | None = None

    @property
    def fault(self) -> bool:
        """Something was lost, or differs."""
        return bool(self.damaged or self.lost or self.differences)

    @property
    def exact(self) -> bool:
        """Training steps were compared, nothing was lost, and nothing differs."""
        return self.compared["steps"] > 0 and not self.fault

    def look_at(self, checkpoints: Path, committed: str) -> None:
        """After a kill, at checkpoints: each must verify, and the one named `committed` be there."""
        there = {path.name: damage(path) for path in list_checkpoints(checkpoints)}
        self.damaged += [f"{checkpoints / name}: {found}" for name, found in there.items() if found]
        if committed and committed not in there:
            self.lost.append(str(checkpoints / committed))

    def compare(self, whole: Path, run: Path) -> bool:
        """A run that is done with the twin, up to the first step that hung on the clock; whether equal."""
        late = [timed_out(path) for path in (whole, run)]
        self.late_calls += sum(sum(found.values()) for found in late)
        steps = [step for found in late for step in found]
        if steps:
            self.compared_before = min(*steps, self.compared_before or steps[0])
        before = min(steps, default=None)
        found = list(differences(whole, run, before))
        self.differences += found
        self.compared.update(compared(whole, run, before))
        self.runs += 1
        return not found


class Instants:
    """Draws when to kill: the kinds of points in turn, in an order of the seed.

    Args:
        seconds: of each kind, how long its points last.
        seed: of the draws.
    """

    def __init__(self, seconds: Mapping[str, Sequence[float]], seed: int) -> None:
        self._seconds, self._dice = seconds, random.Random(seed)
        self._kinds: Iterator[str] = cycle(self._dice.sample(sorted(seconds), len(seconds)))
        self._missed: Instant | None = None
        self._exactly: dict[str, bool] = {}

    def missed(self, instant: Instant) -> None:
        """A run came to its end before this one, which is drawn again."""
        self._missed = instant

    def draw(self) -> Instant:
        """One of the next kind: exactly at a point and some time after one, by turns."""
        if self._missed is not None:
            again, self._missed = self._missed, None
            return again
        kind, dice = next(self._kinds), self._dice
        seconds, self._exactly[kind] = self._seconds[kind], not self._exactly.get(kind)
        number = dice.randint(1, max(_FURTHEST, len(seconds) // 2))
        return Instant(kind, number, None if self._exactly[kind] else dice.random() * dice.choice(seconds))


def prove(
    config: Config, kills: int, seed: int, folder: Path, tell: Callable[[str], None] = lambda line: None
) -> Verdict:
    """Kill runs `kills` times, and compare what becomes of them with a twin that was left alone.

    Args:
        config: the settings of all runs; where they write is decided here.
        kills: how many.
        seed: of the instants.
        folder: gets the twin and the runs that differ from it.
        tell: gets a line on each process.
    Raises:
        TrainingError: a run ended by an error of its own.
    """
    _prepare(folder)
    twin = _live(_in(config, folder / "whole"), folder, resume=False, instant=None)
    tell(f"the run that is left alone is done, with {len(twin.points)} points at which it can be killed")
    instants, verdict = Instants(spans(twin), seed), Verdict(steps=read_run(folder / "whole").last_step)
    while (left := kills - verdict.kills.total()) > 0:
        run = folder / f"killed-{verdict.runs + 1}"
        _chain(_in(config, run), folder, instants, left, verdict, tell)
        if verdict.compare(folder / "whole", run):
            shutil.rmtree(run)
    return verdict


def _chain(
    config: Config, home: Path, instants: Instants, kills: int, verdict: Verdict, tell: Callable[[str], None]
) -> None:
    """The processes of one run, killed at most `kills` times, until it is done."""
    run, committed = Path(str(config.output_dir)), ""
    while True:
        instant, resume = instants.draw() if kills else None, (run / "manifest.json").is_file()
        if instant is not None and not resume:
            instant = replace(instant, number=1)  # surely met by a run that begins
        life = _live(config, home, resume=resume, instant=instant)
        tell(f"{run.name}: {f'killed in {life.killed_in}' if life.code else 'done'}")
        if not life.code:
            if instant is not None:
                instants.missed(instant)
            return
        kills -= 1
        committed = life.committed or committed
        verdict.kills[life.killed_in] += 1
        verdict.look_at(run / "checkpoints", committed)


def _live(run: Config, home: Path, *, resume: bool, instant: Instant | None) -> Life:
    life = live(run, home, resume=resume, instant=instant)
    if life.code and not life.killed_in:
        said = (home / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise TrainingError(
            f"the run ended by itself with code {life.code}: {said[-1] if said else 'it said nothing'} "
            f"({home / LOG} has it all). Repair that, then ask again"
        )
    return life


def _in(config: Config, run: Path) -> Config:
    return config.model_copy(update={"output_dir": str(run)})


def _prepare(folder: Path) -> None:
    """Let runs there find the user's aliases, and change none."""
    folder.mkdir(parents=True, exist_ok=True)
    if alias_file().is_file():
        shutil.copy(alias_file(), folder)
