"""A soak: runs that are killed at random instants, on a disk that fills up, with a judge that fails.

    python bench/soak.py --minutes 20 --disk FOLDER

FOLDER should lie on a small disk of its own, since the rest of it is filled with a ballast of changing size:
    unshare -rm sh -c 'mount -t tmpfs -o size=32m tmpfs /mnt && python bench/soak.py --disk /mnt/soak'
needs no root. Projects, the judge's ledgers and the processes' log lie elsewhere. Each finished run is
compared bit for bit with a twin that had the same judge, all of the disk and no kills; but for `best/` where
that found no room. Prints JSON; exit code 1 if something was lost or differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from judge_server import JudgeServer  # noqa: E402

from stateset.rl.config.schema import Config  # noqa: E402
from stateset.rl.resume_proof.kills import Instants, Verdict  # noqa: E402
from stateset.rl.resume_proof.lives import Life, live, spans  # noqa: E402
from stateset.rl.resume_proof.tiny import tiny_project  # noqa: E402

STEPS = 8
ROOM = 400_000  # bytes, about a checkpoint of the tiny model
REWARD = """from stateset.rl.rewards.judge import Judge
from stateset.rl.rewards.rubric import RubricReward


class Judged(RubricReward):
    def __init__(self):
        judge = Judge(model="m", base_url={url!r}, api_key="k", ledger={ledger!r}, tries=15)
        super().__init__("Letters before P.", judge, force=True)
"""
SETTINGS = (
    "reward=reward:Judged", f"max_steps={STEPS}", "epochs=9", "eval_every=4", "save_every=1",
    "keep_checkpoints=2", "reward_check=false", "reward_timeout_seconds=600",
)  # fmt: skip
NO_BEST = "training goes on without this best/"
NO_CHECKPOINT = re.compile(rf'"step": {STEPS}, .*training goes on without this checkpoint')  # the last one
ABOUT_BEST = re.compile(
    r"/best/|eval/summary.jsonl:\d+ differs in best$|logs.json differs in eval/summary.jsonl$"
    r"|state.json differs in (best_reward|best_step|best_reward, best_step)$"
)
DISK_FULL = ("No space left on device", "could not be written", "are free")


class Judge:
    """Grades the answer by its letters, always alike; a quarter of the calls fail, a tenth are slow."""

    def __init__(self, seed: int) -> None:
        self.told, self._dice = Counter[str](), random.Random(seed)

    def __call__(self, number: int, order: dict[str, Any]) -> Any:
        chance = self._dice.random()
        if chance < 0.25:
            status = self._dice.choice((429, 500, 503))
            self.told[str(status)] += 1
            return status, {"error": {"message": "not now"}}
        if chance < 0.35:
            time.sleep(0.5)
        self.told["answered"] += 1
        answer = order["messages"][1]["content"].split(">\n", 1)[1].rsplit("\n</answer", 1)[0]
        early = sum(letter < "P" for letter in answer) / (1 + len(answer))
        return json.dumps({"steps": [], "result": early})


class Ballast(threading.Thread):
    """Fills a disk up to a room that changes every second; lets go for a run's last step."""

    def __init__(self, file: Path, seed: int) -> None:
        super().__init__(daemon=True)
        self.run_directory: Path | None = None
        self._file, self._dice, self._over = file, random.Random(seed), threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._dice.uniform(0.2, 1.5)):
            self._file.unlink(missing_ok=True)
            room = self._dice.choice((None, None, 4096, ROOM // 4, ROOM, 2 * ROOM))
            taken = shutil.disk_usage(self._file.parent).free - (room or 0)
            if room is not None and taken > 0 and self._steps() < STEPS - 1:
                with self._file.open("wb") as file, contextlib.suppress(OSError):  # the run was quicker
                    os.posix_fallocate(file.fileno(), 0, taken)

    def stop(self) -> None:
        self._over.set()
        self.join()
        self._file.unlink(missing_ok=True)

    def _steps(self) -> int:
        metrics = (self.run_directory or Path()) / "metrics.jsonl"
        return len(metrics.read_bytes().splitlines()) if metrics.is_file() else 0


@dataclass
class Soak:
    """What happened."""

    verdict: Verdict
    ends: Counter[str] = field(default_factory=Counter)
    without_best: int = 0
    without_last: int = 0

    def compare(self, whole: Path, run: Path) -> bool:
        """Whether a run equals its twin, but for best weights and a last checkpoint that found no room."""
        known = len(self.verdict.differences)
        self.verdict.compare(whole, run)
        found = self.verdict.differences[known:]
        if NO_BEST in (run / "events.jsonl").read_text(encoding="utf-8"):
            self.without_best += 1
            found = [line for line in found if not ABOUT_BEST.search(line)]
        if NO_CHECKPOINT.search((run / "events.jsonl").read_text(encoding="utf-8")):
            self.without_last += 1
            found = [line for line in found if not line.endswith("end with other checkpoints")]
        self.verdict.differences[known:] = found
        return not found


def project(folder: Path, url: str) -> Config:
    """The tiny project with the judge as its reward, in a folder of its own, so with a ledger of its own."""
    config = tiny_project(folder, list(SETTINGS))
    reward = REWARD.format(url=url, ledger=str(folder / "judge.sqlite"))
    (folder / "reward.py").write_text(reward, encoding="utf-8")
    return config


def chain(config: Config, home: Path, instants: Instants, deadline: float, soak: Soak) -> None:
    """One run, to its end: killed until the deadline, begun again after a full disk."""
    run, committed = Path(str(config.output_dir)), ""
    while True:
        resume = (run / "manifest.json").is_file()
        instant = instants.draw() if time.monotonic() < deadline else None
        if instant is not None and not resume:
            instant = replace(instant, number=1)  # as in kills.py: surely met by a run that begins
        life = live(config, home, resume=resume, instant=instant)
        committed = life.committed or committed
        soak.ends[ending(life, home)] += 1
        if life.code == 0:
            if instant is not None:
                instants.missed(instant)
            return
        soak.verdict.kills[life.killed_in or "the disk was full"] += 1
        soak.verdict.look_at(run / "checkpoints", committed)


def ending(life: Life, home: Path) -> str:
    """How a process ended; anything but a kill, a full disk or the end is an error of the soak."""
    if life.code in (0, -signal.SIGKILL):
        return "done" if life.code == 0 else "killed"
    last = (home / "log.txt").read_text(errors="replace").strip().splitlines()[-1]
    if any(text in last for text in DISK_FULL):
        return "full disk"
    raise SystemExit(f"a run ended by itself with code {life.code}: {last}")


def soaked(home: Path, folder: Path, minutes: float, seed: int) -> dict[str, Any]:
    """The whole soak, its runs in `folder`, and what to tell about it."""
    judge = Judge(seed)
    folder.mkdir(parents=True)
    with JudgeServer(judge) as server:
        whole = project(home / "twin", server.url).model_copy(update={"output_dir": str(folder / "whole")})
        twin = live(whole, home, resume=False, instant=None)
        assert twin.code == 0, (home / "log.txt").read_text()
        soak, instants = Soak(Verdict(steps=STEPS)), Instants(spans(twin), seed)
        began, judge.told = time.monotonic(), Counter()
        ballast = Ballast(folder / "ballast", seed)
        ballast.start()
        while time.monotonic() < began + 60 * minutes:
            number = soak.verdict.runs + 1
            given = project(home / f"project-{number}", server.url)
            run = folder / f"killed-{number}"
            ballast.run_directory = run
            chain(
                given.model_copy(update={"output_dir": str(run)}), home, instants, began + 60 * minutes, soak
            )
            if soak.compare(folder / "whole", run):
                shutil.rmtree(run)
        ballast.stop()
    said = (home / "log.txt").read_text(errors="replace")
    return {
        "minutes": round((time.monotonic() - began) / 60, 1),
        "exact": soak.verdict.exact,
        "runs": soak.verdict.runs,
        "steps": STEPS,
        "compared": dict(soak.verdict.compared),
        "kills": dict(sorted(soak.verdict.kills.items())),
        "processes": dict(soak.ends),
        "checkpoints that found no room": said.count("training goes on without this checkpoint"),
        "runs whose best weights found no room": soak.without_best,
        "runs whose last checkpoint found no room": soak.without_last,
        "judge": dict(judge.told),
        "late_calls": soak.verdict.late_calls,
        "lost": soak.verdict.lost,
        "damaged": soak.verdict.damaged,
        "differences": soak.verdict.differences[:20],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--disk", type=Path, required=True, help="a new folder on a small disk")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.disk.exists():
        raise SystemExit(f"{given.disk} is there already: name a new folder")
    with tempfile.TemporaryDirectory() as home:
        found = soaked(Path(home), given.disk.resolve(), given.minutes, given.seed)
    print(json.dumps(found, indent=2))
    sys.exit(not found["exact"])


if __name__ == "__main__":
    main()
