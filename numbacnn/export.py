"""Networks for other programs: an ONNX file, or the parameters as NumPy arrays."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.errors import ModelError
from numbacnn.files import write_atomically
from numbacnn.quoting import short


def export(network: TrainedNetwork, path: Path) -> None:
    """Write a network in the form that the file's name asks for: ``.onnx``, or ``.npz`` with an array for each ``<layer>/<parameter>``.

    Raises:
        ModelError: the name ends otherwise, or a layer has no form in ONNX. DeviceError: the package ``onnx`` is missing.
        CheckpointError: the file cannot be written; an earlier file is untouched.
    """
    if path.suffix.lower() not in FORMATS:
        raise ModelError(f"{short(str(path))}: expected a name that ends in {' or '.join(FORMATS)}. Give one")
    FORMATS[path.suffix.lower()](network, path)


def _npz(network: TrainedNetwork, path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: network.parameters[name] for name in network.graph.parameters})  # type: ignore[arg-type]
    write_atomically(path, buffer.getbuffer().tobytes(), advice="Give another FILE")


def _onnx(network: TrainedNetwork, path: Path) -> None:
    from numbacnn.onnx import export_network  # needs the extra onnx

    export_network(network, path)


FORMATS: dict[str, Callable[[TrainedNetwork, Path], None]] = {".onnx": _onnx, ".npz": _npz}
"""The forms, by the end of the file's name."""
