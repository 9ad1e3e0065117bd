"""Training: settings, state, the loop, and the events it yields.

>>> from numbacnn.backends import get_ops
>>> from numbacnn.datasets import load_dataset
>>> ops = get_ops("cpu")
>>> state = new_state(graph, Settings(epochs=1), ops)
>>> for event in train(state, load_dataset("digits", Path("data")), ops): ...
"""

from numbacnn.training.events import EpochDone, EpochRecord, EvaluationStarted, Event, StepDone, StoppedEarly
from numbacnn.training.loop import train
from numbacnn.training.matching import check_matches
from numbacnn.training.saving import from_checkpoint, to_checkpoint
from numbacnn.training.settings import Settings
from numbacnn.training.state import State, new_state
from numbacnn.training.warmup import WarmupPart, warm_up, warm_up_part, warmup_batch, warmup_parts

__all__ = [
    "EpochDone",
    "EpochRecord",
    "EvaluationStarted",
    "Event",
    "Settings",
    "State",
    "StepDone",
    "StoppedEarly",
    "WarmupPart",
    "check_matches",
    "from_checkpoint",
    "new_state",
    "to_checkpoint",
    "train",
    "warm_up",
    "warm_up_part",
    "warmup_batch",
    "warmup_parts",
]
