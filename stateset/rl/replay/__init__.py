"""What-if replay: a recorded update again, with other settings or another reward, without the model."""

from stateset.rl.replay.recorded import RecordedStep, load_step
from stateset.rl.replay.rescore import Rescored, rescore
from stateset.rl.replay.settings import REPLAYED, changed_config
from stateset.rl.replay.update import Replayed, replay

__all__ = [
    "REPLAYED",
    "RecordedStep",
    "Replayed",
    "Rescored",
    "changed_config",
    "load_step",
    "replay",
    "rescore",
]
