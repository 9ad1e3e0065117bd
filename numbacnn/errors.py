"""Every error that a user can cause, as one tree.

    NumbaCNNError
    ├── ShapeError        a layer does not fit its inputs, or an array has another shape
    ├── ModelError        a model file, preset or graph cannot be built
    ├── DataError         a data set, picture or array is missing, corrupt or of another type
    ├── CheckpointError   a trained network or checkpoint cannot be read or written
    ├── DeviceError       the requested device cannot be used
    │   └── DeviceMemoryError    its memory is too small
    ├── NotFiniteError    weights, or a network's answer, hold NaN or infinity
    └── TrainingError     training cannot start or go on: invalid settings, a loss that is not finite

A message reads "thing: expected X, got Y. Advice."
"""


class NumbaCNNError(Exception):
    """The base of all errors that a user can cause."""


class ShapeError(NumbaCNNError):
    """A layer does not fit its inputs, or an array has another shape than expected."""


class ModelError(NumbaCNNError):
    """A model file, preset or graph cannot be built."""


class DataError(NumbaCNNError):
    """Data are missing, corrupt or of another type than expected."""


class CheckpointError(NumbaCNNError):
    """A trained network or a checkpoint cannot be read or written."""


class DeviceError(NumbaCNNError):
    """The requested device cannot be used."""


class DeviceMemoryError(DeviceError):
    """The device's memory is too small.

    Args:
        asked: the bytes of the request that failed.
    """

    def __init__(self, message: str, asked: int = 0):
        super().__init__(message)
        self.asked = asked


class NotFiniteError(NumbaCNNError):
    """Weights, or a network's answer, hold NaN or infinity.

    Args:
        where: the weights or the layer in which it begins, with the number of such values; None if that is not known.
        image: the index of the first image without an answer; None if it is not about images.
    """

    def __init__(self, message: str, where: str | None = None, image: int | None = None):
        super().__init__(message)
        self.where, self.image = where, image


class TrainingError(NumbaCNNError):
    """Training cannot start or go on."""
