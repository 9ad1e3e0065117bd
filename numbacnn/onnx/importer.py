"""From an ONNX graph to a network: its nodes are followed in order, and each adds a layer, changes how a value is seen, or is folded."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from numbacnn.errors import ModelError, ShapeError
from numbacnn.graph import INPUT, Graph, Node, is_plain_name
from numbacnn.layers import BatchNorm, Flatten, Layer
from numbacnn.normalisation import NUMBERS, PIXELS, Normalisation
from numbacnn.onnx.attributes import Lacking, OnnxNode, Skipped, external_advice, is_external, to_array
from numbacnn.onnx.folding import FLOATS, FOLDS, size_of
from numbacnn.onnx.operations import ELEMENTWISE, OPERATIONS
from numbacnn.onnx.simplify import Entry, simplified
from numbacnn.onnx.values import Tensor, Value, flattened
from numbacnn.quoting import listed, plain, printable, short
from numbacnn.shapes import LARGEST, Shape, cells

OLDEST_OPSET, NEWEST_OPSET = 6, 28
NEWEST_IR = 14

MOST_LACKING = 40
"""Lines in the message that names what numbacnn lacks."""

FREE_VALUES = 1 << 20
"""Values that folded constants may have beyond those of the file."""

MOST_COPIES = 4
"""How often each value of the file may be computed with, as when weights are cast, scaled and joined."""

FEW_CHANNELS = 4
"""An image whose first or last side is at most this has its channels there, where the graph does not say."""

MARGIN = 2.0**-10
"""The epsilon of a batch normalisation that stands for a factor and a shift: with the variance 1 - 2^-10 it divides by 1 exactly."""


@dataclass(frozen=True)
class Imported:
    """A network from an ONNX graph.

    Args:
        graph, parameters: the network.
        normalisation: pixels, if the graph's input is bytes, else numbers.
        input_axes, output_axes: the order of our axes in ONNX's input and output, ``"chw"`` or ``"hwc"``; empty for a vector.
        properties: texts that the model holds beside its graph.
    """

    graph: Graph
    parameters: dict[str, NDArray[Any]]
    normalisation: Normalisation
    input_axes: str
    output_axes: str
    properties: dict[str, str]


def from_model(
    model: onnx.ModelProto, source: str = "model", *, name: str | None = None, input_shape: Shape | None = None
) -> Imported:
    """The network of an ONNX model. Nothing that the model says is trusted.

    Args:
        source: the name of the file, for messages.
        name: of the network; by default the graph's.
        input_shape: (height, width, channels) of an image, for a model that leaves a side open.

    Raises:
        ModelError: the model is damaged, or has operations that numbacnn lacks: the message names all of them.
    """
    try:
        return Importer(model, source, name, input_shape).run()
    except Lacking as error:
        raise ModelError(f"{source}: expected a network of numbacnn's layers, got {printable(str(error))}") from None
    except ModelError as error:
        raise ModelError(str(error) if str(error).startswith(source) else f"{source}: {error}") from None
    except ShapeError as error:
        raise ModelError(f"{source}: {error}") from None
    except MemoryError:
        raise ModelError(f"{source}: expected a network that fits into memory. Use a machine with more of it") from None
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, ArithmeticError, RecursionError, AttributeError) as error:
        raise ModelError(
            f"{source}: not an ONNX network, or damaged: {printable((str(error) or type(error).__name__)[:200])}"
        ) from None


class Importer:
    """The layers made so far, and the values of the ONNX graph. ``operations.py`` calls the methods of the middle part."""

    def __init__(self, model: onnx.ModelProto, source: str, name: str | None, input_shape: Shape | None) -> None:
        self.model, self.source, self.given_shape = model, source, input_shape
        self.name = name or (model.graph.name if is_plain_name(model.graph.name) else "network")
        self.opset = _opset(model, source)
        self.values: dict[str, Value] = {}
        self.entries: dict[str, Entry] = {}
        self.shapes: dict[str, Shape] = {}
        self.lacking: dict[str, list[str]] = {}
        self.normalisation = NUMBERS
        self.static_batch: int | None = None
        self.spare_values = FREE_VALUES
        self._numbers: dict[str, int] = {}

    def run(self) -> Imported:
        """Follow the graph from its input to its output."""
        graph = self.model.graph
        nodes = [OnnxNode(proto, self.opset) for proto in graph.node]
        if len(graph.output) != 1:
            self.lack(
                f"{len(graph.output)} outputs of the graph, where one is expected", listed(each.name for each in graph.output)
            )
        held = {each.name for each in (*graph.input, *graph.initializer)} | {
            each.values.name for each in graph.sparse_initializer
        }
        used = _nodes_in_use(nodes, [each.name for each in graph.output], held, self.source)
        self._read_constants({name for node in used for name in node.inputs} | {each.name for each in graph.output})
        start = self._start(nodes)
        for node in used:
            self._follow(node)
        self._refuse_what_is_lacking()
        result = self.values.get(graph.output[0].name)
        if not isinstance(result, Tensor):
            raise ModelError(f"{self.source}: expected an output that depends on the input, got a constant")
        result = self.whole(result, "at the end")
        if not result.is_ordered:
            raise Lacking("a flattened image as the output")
        entries = simplified(self.entries, result.layer)
        built = Graph(
            self.name,
            start.shape,
            tuple(Node(name, entry.layer, entry.inputs) for name, entry in entries.items()),
        )
        arrays = {f"{name}/{key}": array for name, entry in entries.items() for key, array in entry.parameters.items()}
        parameters = {name: _float32(name, arrays[name]) for name in built.parameters}
        properties = {each.key: each.value for each in self.model.metadata_props}
        return Imported(built, parameters, self.normalisation, start.axes, result.axes, properties)

    # What operations use

    def lack(self, what: str, where: str) -> None:
        """Note a part of the graph that numbacnn has no layer for; the message at the end names all."""
        self.lacking.setdefault(what, []).append(where)

    def constant(self, node: OnnxNode, index: int, what: str) -> NDArray[Any]:
        """An input that must be known without the image."""
        value = self.values.get(node.input(index))
        if isinstance(value, np.ndarray):
            return value
        raise Lacking(f"{node.op} with {what} that the file does not hold") if isinstance(value, Tensor) else Skipped()

    def optional(self, node: OnnxNode, index: int, what: str) -> NDArray[Any] | None:
        """An input that may be left out, and else must be known."""
        return self.constant(node, index, what) if node.input(index) else None

    def tensor(self, node: OnnxNode, index: int = 0) -> Tensor:
        """An input that depends on the image, as it is seen."""
        value = self.values.get(node.input(index))
        if isinstance(value, Tensor):
            return value
        raise Skipped() if value is None else Lacking(f"{node.op} of a constant")

    def take(self, node: OnnxNode, index: int = 0) -> Tensor:
        """An input that depends on the image, with the numbers that ONNX has."""
        return self.whole(self.tensor(node, index), f"before {node.op}")

    def image(self, node: OnnxNode, index: int = 0) -> Tensor:
        """An input that is an image with the channels first."""
        found = self.take(node, index)
        if found.axes != "chw":
            raise Lacking(f"{node.op} of a value without the axes batch, channels, height and width")
        return found

    def whole(self, tensor: Tensor, where: str) -> Tensor:
        """A value without zeros and factors that still wait for their layer."""
        if tensor.is_pixels:
            raise Lacking(f"bytes without a Cast {where}")
        if any(map(any, tensor.zeros)):
            raise Lacking(f"Pad {where}")
        if tensor.factor != 1.0:
            plain_tensor = Tensor(tensor.layer, tensor.shape, tensor.axes, tensor.pieces)
            return self.affine(plain_tensor, np.float32(tensor.factor), np.float32(0))
        return tensor

    def vector(self, tensor: Tensor) -> Tensor:
        """A value as a vector: flattened, if it is an image."""
        if tensor.pieces:
            return tensor
        pieces = flattened(tensor.axes, tensor.shape)
        return Tensor(self.emit(Flatten(), [tensor], {}, ""), (cells(tensor.shape),), pieces=pieces)

    def affine(self, tensor: Tensor, scale: Any, shift: Any) -> Tensor:
        """``scale * x + shift``, for each channel: a batch normalisation that ``simplify`` removes where a layer can take it up."""
        channels = tensor.shape[-1]
        self.spend(4 * channels)
        scale, shift = (np.broadcast_to(np.asarray(each, np.float32), (channels,)) for each in (scale, shift))
        arrays = {
            "gamma": scale, "beta": shift, "moving_mean": np.zeros(channels, np.float32),
            "moving_variance": np.full(channels, 1 - MARGIN, np.float32),
        }  # fmt: skip
        return self.after(tensor, BatchNorm(epsilon=MARGIN), arrays, "", is_affine=True)

    def after(
        self, tensor: Tensor, layer: Layer, parameters: dict[str, NDArray[Any]], name: str, *, is_affine: bool = False
    ) -> Tensor:
        """A layer behind a value, which keeps its axes."""
        made = self.emit(layer, [tensor], parameters, name, is_affine=is_affine)
        return Tensor(made, self.shapes[made], tensor.axes, tensor.pieces)

    def emit(
        self, layer: Layer, inputs: list[Tensor], parameters: dict[str, NDArray[Any]], name: str, *, is_affine: bool = False
    ) -> str:
        """Add a layer; returns its name.

        Raises:
            ShapeError: it does not fit its inputs. ModelError: a parameter has another shape.
        """
        shapes = [tensor.shape for tensor in inputs]
        shape = layer.output_shape(*shapes)
        for key, spec in layer.parameters(*shapes).items():
            if key in parameters and parameters[key].shape != spec.shape:
                raise ModelError(f"{key}: expected shape {spec.shape}, got {short(parameters[key].shape)}")
        own = self._layer_name(name, layer)
        self.entries[own] = Entry(layer, tuple(each.layer for each in inputs), tuple(shapes), parameters, is_affine)
        self.shapes[own] = shape
        return own

    def spend(self, values: int) -> None:
        """Count the values of an array that the file does not hold; raises where they are too many."""
        self.spare_values -= values
        if self.spare_values < 0:
            raise ModelError(
                f"{self.source}: expected constants of a size that its arrays explain, got more. The file is damaged"
            )

    # The graph's ends

    def _start(self, nodes: list[OnnxNode]) -> Tensor:
        """The image."""
        held = {tensor.name for tensor in self.model.graph.initializer}
        inputs = [each for each in self.model.graph.input if each.name not in held]
        if len(inputs) != 1:
            raise ModelError(f"{self.source}: expected one input, got {len(inputs)}: {listed(each.name for each in inputs)}")
        given, who = inputs[0], f"{self.source}: input {plain(inputs[0].name)}"
        kind = given.type.tensor_type.elem_type
        if kind not in (*FLOATS, TensorProto.UINT8):
            raise ModelError(
                f"{who}: expected floats or bytes (uint8), got {_type_name(kind)}. Put a Cast behind a float32 input"
            )
        sides: list[int | None] = [
            each.dim_value if each.WhichOneof("value") == "dim_value" else None for each in given.type.tensor_type.shape.dim
        ]
        if not 2 <= len(sides) <= 4:
            raise ModelError(f"{who}: expected 2 to 4 axes, the first for the images of a batch, got {len(sides)}")
        self.static_batch, *own = sides
        axes = {1: "w", 2: "hw", 3: _layout(own, given.name, nodes, self.model)}[len(own)]
        known = dict.fromkeys("hwc", 1)
        if self.given_shape is not None:
            known = dict(zip("hwc", self.given_shape, strict=True))
            if any(side not in (None, known[letter]) for letter, side in zip(axes, own, strict=True)):
                raise ModelError(f"{who}: expected images of shape {short(self.given_shape)}, got sides of {short(own)} ({axes})")
        for letter, side in zip(axes, own, strict=True):
            if side is None and self.given_shape is None:
                raise ModelError(
                    f"{who}: expected fixed height, width and channels, got {short(own)}. Give them: --input HEIGHT,WIDTH,CHANNELS"
                )
            known[letter] = known[letter] if side is None else side
        shape = (known["h"], known["w"], known["c"])
        if not all(1 <= side <= LARGEST for side in shape):
            raise ModelError(f"{who}: expected sides from 1 to {LARGEST:,}, got {short(own)}")
        is_pixels = kind == TensorProto.UINT8
        self.normalisation = PIXELS if is_pixels else NUMBERS
        self.shapes[INPUT] = shape
        tensor = Tensor(INPUT, shape, axes, factor=255.0 if is_pixels else 1.0, is_pixels=is_pixels)
        self.values[given.name] = tensor
        return tensor

    def _read_constants(self, used: set[str]) -> None:
        """The arrays of the file, as far as a node reads them."""
        graph = self.model.graph
        outside = [tensor.name for tensor in graph.initializer if is_external(tensor)]
        if outside:
            raise ModelError(f"{self.source}: {listed(outside)}: {external_advice()}")
        if graph.sparse_initializer:
            self.lack("sparse arrays", listed(each.values.name for each in graph.sparse_initializer))
        for tensor in graph.initializer:
            if tensor.name in self.values:
                raise ModelError(
                    f"{self.source}: {plain(tensor.name)}: expected one array of this name, got two. The file is damaged"
                )
            self.values[tensor.name] = None
            if tensor.name in used:
                try:
                    array = to_array(tensor, f"{self.source}: {plain(tensor.name)}")
                except Lacking as error:
                    self.lack(str(error), tensor.name)
                    continue
                self.values[tensor.name] = array
                self.spare_values += MOST_COPIES * array.size

    # One node

    def _follow(self, node: OnnxNode) -> None:
        results: tuple[Value, ...] = ()
        try:
            arrays = [self.values.get(name) if name else None for name in node.inputs]
            if node.op in FOLDS and all(
                isinstance(array, np.ndarray) or not name for name, array in zip(node.inputs, arrays, strict=True)
            ):
                results = (self._fold(node, arrays),)  # type: ignore[arg-type]
            elif node.op not in OPERATIONS:
                self.lack(node.op, node.name)
                if node.op in ELEMENTWISE:  # so that what lies behind it is looked at too
                    results = (self.take(node),)
            else:
                operation = OPERATIONS[node.op]
                unknown = [name for name in node.attributes if name not in operation.attributes]
                if unknown:
                    self.lack(f"{node.op} with {listed(unknown)}", node.name)
                result = operation.follow(self, node)
                results = result if isinstance(result, tuple) else (result,)
        except Skipped:
            pass
        except Lacking as error:
            self.lack(str(error), node.name)
        except (ShapeError, ModelError) as error:
            if str(error).startswith(self.source):
                raise
            self.lack(f"{node.op}: {error}", node.name)
        for index, name in enumerate(node.outputs):
            if name:
                self.values[name] = results[index] if index < len(results) else None

    def _fold(self, node: OnnxNode, arrays: list[NDArray[Any] | None]) -> NDArray[Any]:
        self.spend(size_of(node, arrays))
        with np.errstate(all="ignore"):  # an overflow shows in the weights, which are checked
            return np.asarray(FOLDS[node.op](node, arrays))  # of a single value, NumPy makes no array

    def _layer_name(self, wanted: str, layer: Layer) -> str:
        """A new name: that of the ONNX node, as far as it is plain, else the usual one."""
        base = wanted.strip("/").replace("/", ".").replace("\\", ".").lstrip(".")[:200]
        if base and base.isprintable() and base != INPUT:
            if base not in self.entries:
                return base
        else:
            base = layer.label
        number = self._numbers.get(base, 0) + 1
        while f"{base}{number}" in self.entries:
            number += 1
        self._numbers[base] = number
        return f"{base}{number}"

    def _refuse_what_is_lacking(self) -> None:
        if self.lacking:
            lines = [f"{printable(what)}: {listed(names)}" for what, names in list(self.lacking.items())[:MOST_LACKING]]
            more = len(self.lacking) - MOST_LACKING
            lines += [f"and {more} more"] if more > 0 else []
            raise ModelError(
                f"{self.source}: expected a network of numbacnn's layers, got others (and the nodes that have them):"
                + "".join(f"\n  {line}" for line in lines)
            )


def _opset(model: onnx.ModelProto, source: str) -> int:
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    opset = max(versions, default=0)
    if model.ir_version > NEWEST_IR or not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ModelError(
            f"{source}: expected an IR version of at most {NEWEST_IR} and an opset from {OLDEST_OPSET} to {NEWEST_OPSET}, got "
            f"{short(model.ir_version)} and {short(opset)}. Export it with opset 17, or convert it with onnx.version_converter"
        )
    return opset


def _nodes_in_use(nodes: list[OnnxNode], outputs: list[str], held: set[str], source: str) -> list[OnnxNode]:
    """The nodes that the outputs depend on, in order; raises ModelError for a value that is made twice, too late or not at all.

    Args:
        held: names of the values that no node makes.
    """
    makers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.outputs:
            if name and name in makers:
                raise ModelError(f"{source}: {plain(name)}: expected one node that makes it, got two. The file is damaged")
            makers[name] = index
    missing = [name for name in outputs if name not in makers and name not in held]
    used: set[int] = set()
    waiting = [makers[name] for name in outputs if name in makers]
    while waiting:
        index = waiting.pop()
        if index in used:
            continue
        used.add(index)
        for name in nodes[index].inputs:
            if name and name in makers:
                if makers[name] >= index:
                    raise ModelError(
                        f"{source}: {plain(nodes[index].name)}: expected inputs that earlier nodes make, got {short(name)}, which this one "
                        "or a later one makes: the graph has a cycle, or is not in order"
                    )
                waiting.append(makers[name])
            elif name and name not in held:
                missing.append(name)
    if missing:
        raise ModelError(f"{source}: {listed(missing)}: expected values that the file holds or a node makes. The file is damaged")
    return [nodes[index] for index in sorted(used)]


def _layout(sides: list[int | None], name: str, nodes: list[OnnxNode], model: onnx.ModelProto) -> str:
    """The axes of an image: as the first Transpose or convolution says, else as the sides do."""
    if {each.key: each.value for each in model.metadata_props}.get("layout") == "NHWC":
        return "hwc"
    seen = {name}
    for node in nodes:
        if node.inputs and node.inputs[0] in seen:
            if node.op == "Transpose":
                return "hwc" if node.numbers("perm") == [0, 3, 1, 2] else "chw"
            if node.op in ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "BatchNormalization", "Pad"):
                return "chw"
            if node.op in ("Cast", "Mul", "Add", "Sub", "Div", "Identity", "Clip"):
                seen.update(node.outputs)
    first, last = sides[0] or FEW_CHANNELS, sides[-1] or FEW_CHANNELS + 1
    return "hwc" if first > FEW_CHANNELS >= last else "chw"


def _float32(name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind not in "fiu":
        raise ModelError(f"{plain(name)}: expected numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        taken = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(taken).all():
        raise ModelError(f"{plain(name)}: expected finite numbers within the range of float32, got others. Train it again")
    return taken


def _type_name(kind: int) -> str:
    try:
        return TensorProto.DataType.Name(kind).lower()
    except ValueError:
        return f"type {kind}"
