"""`GRPOTrainer(distributed=True)` in a plain process: the call travels to ranks that torch's launcher starts.

Each rank is a fresh interpreter that is given the trainer by import path and repeats its `train()` call; the
folder of the run is what comes back. A call may hold keys: it lies in memory that ends with this process
(Linux; elsewhere in a file of this user alone), and errors travel back without them. Under torchrun, whose
processes all run the user's script, none of this is needed. Not here: several machines, which torchrun meets.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError, LostRankError, StatesetRLError, StoppedError
from stateset.rl.policy.distributed import error_of, launched
from stateset.rl.policy.load import load_policy
from stateset.rl.redact import redact
from stateset.rl.rewards.process import pack
from stateset.rl.rollout.model import Model
from stateset.rl.tracking.read_runs import read_run
from stateset.rl.tracking.run_dir import new_run_path

_STOP_SECONDS = 600  # for the step under way and its checkpoint, after a signal
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_BOOT = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "import stateset.rl.trainer; from stateset.rl.launch import repeat; repeat(sys.argv[1])"
)


class Trainer(Protocol):
    """What a call that travels needs of a trainer."""

    config: Config
    given_model: Any
    run_path: Path | None


def must_launch(config: Config) -> bool:
    """Whether several processes are to train, and this one is none of them."""
    return config.distributed and config.num_gpus > 1 and not launched()


def launch(trainer: Trainer, call: Mapping[str, Any]) -> Model:
    """Let `num_gpus` processes make the call `trainer.train(**call)` together.

    Args:
        trainer: one that has not trained yet; its `output_dir` is set where it has none.
        call: keywords of its `train()`.

    Returns:
        The trained model, loaded from the run's folder.

    Raises:
        ConfigError: something in the call cannot travel.
        StoppedError: a signal stopped the run; its checkpoint is written.
        StatesetRLError: the error of the rank that ended first; the run's last checkpoint is whole.
    """
    config, ranks = trainer.config, trainer.config.num_gpus
    run = Path(call["resume"] or config.output_dir or new_run_path())
    if call["resume"] is None:
        trainer.config = config.model_copy(update={"output_dir": str(run)})
    packed = _packed(trainer, call)
    with _offered(packed) as file, tempfile.TemporaryDirectory() as errors, _surroundings(ranks):
        try:
            _start(ranks, file, errors)
        except SignalException as stop:
            raise StoppedError(_said(run) or "stopped before the first step", int(stop.sigval)) from None
        except ChildFailedError as failed:
            raise _first(failed.failures, ranks) from None
    trained = load_policy(str(run / "model"), device=config.device, dtype=config.compute_dtype)
    return Model(trained, run_dir=run)


def _packed(trainer: Trainer, call: Mapping[str, Any]) -> bytes:
    remedy = f"start the script in each of them: torchrun --nproc-per-node {trainer.config.num_gpus} SCRIPT"
    if trainer.run_path is not None:
        raise ConfigError(f"the processes that trained are gone, and their optimizer with them: {remedy}")
    if isinstance(call["model"] or trainer.given_model, Model):
        raise ConfigError(f"a loaded model cannot travel to other processes: give its name, or {remedy}")
    try:
        return pack((trainer, dict(call)))
    except Exception as error:  # whatever a user's object raises when it is pickled
        raise ConfigError(
            f"this call cannot travel to other processes ({error}): define what it names in a module, "
            f"or {remedy}"
        ) from error


@contextlib.contextmanager
def _offered(packed: bytes) -> Iterator[str]:
    """A path by which processes of this user read the call while this one lives."""
    linux = sys.platform == "linux"
    with os.fdopen(os.memfd_create("call"), "wb") if linux else tempfile.NamedTemporaryFile() as file:
        file.write(packed)
        file.flush()
        yield f"/proc/{os.getpid()}/fd/{file.fileno()}" if linux else file.name


def repeat(file: str) -> NoReturn:
    """Make the call that `launch` wrote, in one of its processes; leave an error where the launcher looks."""
    try:
        trainer, call = pickle.loads(Path(file).read_bytes())
        trainer.train(**call)
    except StatesetRLError as error:
        _record(error)
        sys.exit(error.exit_code)
    except Exception as error:
        sys.stderr.write(redact(traceback.format_exc()))
        _record(error)
        sys.exit(1)
    sys.exit(0)


def _record(error: Exception) -> None:
    """What torch's error handler writes, without secrets."""
    said = {
        "message": redact(f"{type(error).__name__}: {error}"),
        "extraInfo": {"timestamp": int(time.time())},
    }
    if place := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        Path(place).write_text(json.dumps({"message": said}), encoding="utf-8")


def _start(ranks: int, file: str, errors: str) -> None:
    paths = [str(path) or os.getcwd() for path in sys.path]
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=ranks, max_restarts=0,
        run_id=uuid.uuid4().hex, rdzv_backend="c10d", rdzv_endpoint="localhost:0", local_addr="localhost",
        logs_specs=DefaultLogsSpecs(log_dir=errors),
    )  # fmt: skip
    elastic_launch(config, sys.executable)("-c", _BOOT, file, *paths)


def _first(failures: Mapping[int, ProcessFailure], ranks: int) -> StatesetRLError:
    """The error that came first: the others ended because of it, or because the launcher ended them."""

    def consequence(rank: int) -> bool:
        kind = _recorded(failures[rank])[0]
        return kind == LostRankError.__name__ or (not kind and failures[rank].exitcode == -signal.SIGTERM)

    rank = min(failures, key=lambda rank: (consequence(rank), failures[rank].timestamp))
    kind, message = _recorded(failures[rank])
    where = f"rank {rank} of {ranks}"
    if kind:
        return error_of(kind, message, where)
    said = failures[rank].message
    return LostRankError(f"{where} ended without a word ({said}); resume the run from its last checkpoint")


def _recorded(failure: ProcessFailure) -> tuple[str, str]:
    """Kind and message of what a process raised; empty if it left nothing."""
    said = failure.error_file_data["message"]
    if not isinstance(said, dict):
        return "", ""
    kind, _, message = str(said["message"]).partition(": ")
    return kind, message


def _said(run: Path) -> str | None:
    """What the run directory says of how the run ended."""
    if not (run / "manifest.json").is_file():
        return None
    manifest = read_run(run).manifest
    return str(manifest["error"] or f"the run in {run} is {manifest['status']}")


@contextlib.contextmanager
def _surroundings(ranks: int) -> Iterator[None]:
    """Put back the environment and the signal handlers of this process, which the launcher changes."""
    before = dict(os.environ)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // ranks)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_STOP_SECONDS))
    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS} if main else {}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(before)
