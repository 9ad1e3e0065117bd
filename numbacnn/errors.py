"""Every error a user can cause, as one tree.

    NumbaCNNError
    ├── ShapeError        a layer does not fit what it is given
    ├── ModelError        a model file, preset or graph is not one
    ├── DataError         a data set or picture is missing, corrupt or not what it says
    ├── CheckpointError   a trained network or checkpoint cannot be read or written
    ├── DeviceError       the device asked for is not usable
    │   └── DeviceMemoryError    its memory is too small for what is asked of it
    └── TrainingError     training cannot go on (settings that make no sense, a loss that is not finite)

A message says who, what was expected, what came, and what to do.
"""


class NumbaCNNError(Exception):
    """Base of all of them: catch this to catch whatever a user can cause."""


class ShapeError(NumbaCNNError):
    """A layer does not fit the shape it is given."""


class ModelError(NumbaCNNError):
    """A model file, preset or graph cannot be built."""


class DataError(NumbaCNNError):
    """Data are missing, corrupt, or not what they claim to be."""


class CheckpointError(NumbaCNNError):
    """A trained network or a checkpoint cannot be read or written."""


class DeviceError(NumbaCNNError):
    """The device that was asked for cannot be used here."""


class DeviceMemoryError(DeviceError):
    """The device's memory does not hold what it should.

    Args:
        asked: bytes that were asked for.
    """

    def __init__(self, message: str, asked: int = 0):
        super().__init__(message)
        self.asked = asked


class TrainingError(NumbaCNNError):
    """Training cannot start or cannot go on."""
