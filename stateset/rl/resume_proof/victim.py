"""The process that is killed: trains a run, and tells its parent through a pipe what it is about to do.

Training knows nothing of this. An audit hook (`sys.addaudithook`) hears the phases that the recorder
announces, and sees every file of the run that is opened for writing, renamed or removed.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import sys
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stateset.rl.config.schema import Config
from stateset.rl.tracking.recorder import PHASE_EVENT
from stateset.rl.trainer import GRPOTrainer

START, SAVE, ROTATION, FILES = "start", "save", "rotation", "files"
LOG = "log.txt"  # what all processes printed
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree")
_WRITING = os.O_WRONLY | os.O_RDWR
_COMMITTED = re.compile(r"/checkpoints/((?:warm|step)_\d+)$")


class Observer:
    """An audit hook that sends each point of a run as "kind" or "kind checkpoint".

    Kinds are the recorder's phases and `start`; for files `save` and `rotation` (of checkpoints, until the
    new one has its name, and after) and `files` (all others). A point comes before what it announces; one
    that gives a checkpoint its name carries that name.

    Args:
        root: the run directory.
        link: where the points go.
        stop_at: the kind and the number, from 1, of a point at which the process stands still for good.
    """

    def __init__(self, root: str, link: Connection, stop_at: tuple[str, int] | None) -> None:
        self._root, self._link, self._stop_at = root, link, stop_at
        self._seen: Counter[str] = Counter()
        self._kind, self._committed = FILES, False
        self._tell(START)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by Python for every audited event; most are not about the run."""
        if event == PHASE_EVENT:
            self._committed = False
            self._tell(SAVE if arguments[0] == "checkpoint" else arguments[0])
        elif event in _CHANGES or (event == "open" and arguments[2] & _WRITING):
            self._changes(event, *(os.fsdecode(a) for a in arguments[:2] if isinstance(a, str | os.PathLike)))

    def _changes(self, event: str, path: str = "", target: str = "") -> None:
        if path.startswith(f"{self._root}/checkpoints"):
            self._kind = ROTATION if self._committed else SAVE
        elif path.startswith(self._root):
            self._kind = FILES
        elif "/" in path or not path:
            return  # not the run's; a bare name lies in the folder that is being removed
        named = _COMMITTED.search(target) if event == "os.rename" else None
        self._tell(self._kind, named[1] if named else "")
        self._committed = self._committed or named is not None

    def _tell(self, kind: str, checkpoint: str = "") -> None:
        self._seen[kind] += 1
        self._link.send_bytes(f"{kind}|{checkpoint}".encode())
        if self._stop_at == (kind, self._seen[kind]):
            parent = multiprocessing.parent_process()
            assert parent is not None, "it waits to be killed by the one that started it"
            parent.join()
            os._exit(1)  # nobody is left to do it


def train(
    config: Config, resume: bool, link: Connection, stop_at: tuple[str, int] | None, home: Path
) -> None:
    """Train in `config.output_dir`, or go on there.

    Args:
        config: the run's settings.
        resume: go on with the run that is there.
        link: told what the run does.
        stop_at: see `Observer`.
        home: stands in for the user's folder of aliases; what is printed goes to `LOG` there.
    """
    log = os.open(home / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.environ["STATESET_RL_HOME"] = str(home)
    random.seed(0)  # as a script does at its start, so that rewards which draw can be compared
    np.random.seed(0)
    torch.manual_seed(0)
    sys.addaudithook(Observer(str(config.output_dir), link, stop_at))
    GRPOTrainer(config=config).train(resume=config.output_dir if resume else None)
