"""ONNX files: a network of numbacnn for other programs, and networks of other programs for numbacnn.

>>> from numbacnn.onnx import export_network, import_network
>>> export_network(load_network(Path("model.safetensors")), Path("model.onnx"))
>>> network = import_network(Path("resnet50.onnx"))

``net.export("model.onnx")`` and ``nc.load("model.onnx")`` are the short forms. It needs the extra ``onnx``.
"""

from numbacnn.errors import DeviceError

try:
    import onnx  # noqa: F401
except ImportError as error:
    raise DeviceError(f"numbacnn.onnx: expected onnx 1.16 or later, got {error}. Run pip install 'numbacnn[onnx]'") from None

from numbacnn.onnx.exporter import OPSET, export_network, to_model
from numbacnn.onnx.importer import Imported, from_model
from numbacnn.onnx.reader import import_network, read_network

__all__ = ["OPSET", "Imported", "export_network", "from_model", "import_network", "read_network", "to_model"]
