"""Training: settings, state, the loop, and the events it yields.

>>> from numbacnn.backends import get_ops
>>> from numbacnn.datasets import load_dataset
>>> ops = get_ops("cpu")
>>> state = new_state(graph, Settings(epochs=1), ops)
>>> for event in train(state, load_dataset("digits", Path("data")), ops): ...
"""

from numbacnn.training.events import EpochDone, EpochRecord, EvaluationStarted, Event, StepDone, StoppedEarly
from numbacnn.training.loop import check_fit, train
from numbacnn.training.rehearsal import Part, parts, rehearse, rehearse_part
from numbacnn.training.settings import Settings
from numbacnn.training.state import State, from_checkpoint, new_state, to_checkpoint

__all__ = [
    "EpochDone",
    "EpochRecord",
    "EvaluationStarted",
    "Event",
    "Part",
    "Settings",
    "State",
    "StepDone",
    "StoppedEarly",
    "check_fit",
    "from_checkpoint",
    "new_state",
    "parts",
    "rehearse",
    "rehearse_part",
    "to_checkpoint",
    "train",
]
