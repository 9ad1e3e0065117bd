"""A network as data: an ordered tuple of named layers, each of which may read only what stands before it.

Order is topological by construction, so there is no sort and no cycle to detect. Branches are ordinary nodes that name the same
input. The last node is the output.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from numbacnn.errors import ModelError, ShapeError
from numbacnn.layers import LAYERS, Activation, Layer, ParameterSpec
from numbacnn.shapes import LARGEST, Shape
from numbacnn.spelling import did_you_mean

INPUT = "input"
PLAIN_NAME = "printable, without slashes, and not start with a dot"


@dataclass(frozen=True)
class Node:
    """One layer in a graph: its name, and the names of what it reads."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))


@dataclass(frozen=True)
class Graph:
    """A network, checked: every shape is known once it exists.

    Args:
        name: what the network is called.
        input_shape: (height, width, channels) of one image.
        nodes: the layers in order.

    Raises:
        ModelError: a name cannot be part of a path or is used twice, an input is unknown, or a node is read by nobody.
        ShapeError: a layer does not fit; the message starts with the node's name.
    """

    name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    shapes: Mapping[str, Shape] = field(init=False, compare=False, repr=False)
    """The output shape of every node, and of ``"input"``, for one image."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _is_plain_name(self.name):
            raise ModelError(f"a network's name must be {PLAIN_NAME}, got {self.name!r}")
        object.__setattr__(self, "input_shape", _check_input_shape(self.input_shape))
        if not self.nodes:
            raise ModelError(f"{self.name}: a network has at least one layer, got none")
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for node in self.nodes:
            shapes[node.name] = _infer(node, shapes)
        object.__setattr__(self, "shapes", shapes)
        _check_every_node_is_read(self)

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.input_shape, self.nodes))

    def __hash__(self) -> int:
        # Kept: plans are looked up by graph at every step of a training.
        return self._hash

    @property
    def output_shape(self) -> Shape:
        """What comes out for one image."""
        return self.shapes[self.nodes[-1].name]

    def input_shapes(self, node: Node) -> list[Shape]:
        """The shapes of what ``node`` reads."""
        return [self.shapes[name] for name in node.inputs]

    @cached_property
    def parameters(self) -> dict[str, ParameterSpec]:
        """Every parameter as ``<layer>/<parameter>``, in graph order."""
        return {
            f"{node.name}/{key}": spec
            for node in self.nodes
            for key, spec in node.layer.parameters(*self.input_shapes(node)).items()
        }


def sequential(*layers: Layer | tuple[str, Layer], input_shape: Sequence[int], name: str = "network") -> Graph:
    """A graph in which each layer takes the one before.

    >>> graph = sequential(Conv2D(filters=8, kernel_size=3), Flatten(), Dense(10, activation="softmax"), input_shape=(28, 28, 1))

    Args:
        layers: layers, or (name, layer) pairs; unnamed ones are called conv1, conv2, pool1, ...
        input_shape: (height, width, channels) of one image.
        name: what the network is called.
    """
    entries = [entry if isinstance(entry, tuple) else (None, entry) for entry in layers]
    return build_graph(name, input_shape, [(given, layer, None) for given, layer in entries])


def build_graph(
    name: str, input_shape: Sequence[int], entries: Sequence[tuple[str | None, Layer, Sequence[str] | None]]
) -> Graph:
    """A graph from (name or None, layer, inputs or None): what is left out gets a name, and takes the layer before."""
    nodes: list[Node] = []
    counts: Counter[str] = Counter()
    for given, layer, inputs in entries:
        counts[layer.label] += 1
        before = nodes[-1].name if nodes else INPUT
        nodes.append(Node(given or f"{layer.label}{counts[layer.label]}", layer, tuple(inputs or (before,))))
    return Graph(name, tuple(input_shape), tuple(nodes))


def without_softmax(graph: Graph) -> Graph:
    """The same network up to its logits, for a loss that takes the softmax itself.

    The last layer loses its softmax, or is dropped if it is nothing else. Parameters keep their names. A network without a
    softmax at its end is returned as it is: its output is taken for logits.
    """
    *before, last = graph.nodes
    if isinstance(last.layer, Activation) and last.layer.activation == "softmax" and before:
        return Graph(graph.name, graph.input_shape, tuple(before))
    if getattr(last.layer, "activation", None) == "softmax":
        linear = replace(last.layer, activation=None)  # type: ignore[type-var]
        return Graph(graph.name, graph.input_shape, (*before, Node(last.name, linear, last.inputs)))
    return graph


def graph_to_dict(graph: Graph) -> dict[str, Any]:
    """The graph as plain values, the form of model files: only what differs from the defaults is written."""
    layers: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    before = INPUT
    for node in graph.nodes:
        counts[node.layer.label] += 1
        entry = layer_to_dict(node.layer)
        if node.name != f"{node.layer.label}{counts[node.layer.label]}":
            entry["name"] = node.name
        if node.inputs != (before,):
            entry["inputs"] = list(node.inputs)
        layers.append(entry)
        before = node.name
    return {"name": graph.name, "input_shape": list(graph.input_shape), "layers": layers}


def graph_from_dict(data: Mapping[str, Any], source: str = "model") -> Graph:
    """Undo ``graph_to_dict``; trusts nothing.

    Args:
        data: the mapping read from a file.
        source: the file's name, for messages.

    Raises:
        ModelError, ShapeError: with the layer, what was expected and what came.
    """
    _check_keys(data, {"name", "input_shape", "layers"}, required={"input_shape", "layers"}, who=source)
    layers = data["layers"]
    if not isinstance(layers, list) or not all(isinstance(entry, Mapping) for entry in layers):
        raise ModelError(f"{source}: layers must be a list of tables, each starting with [[layers]]")
    try:
        return build_graph(data.get("name", source), data["input_shape"], [_entry(entry, i) for i, entry in enumerate(layers, 1)])
    except (ModelError, ShapeError) as error:
        raise type(error)(f"{source}: {error}") from None


def layer_to_dict(layer: Layer) -> dict[str, Any]:
    """``{"type": "Dense", "units": 10, ...}``, from which an equal layer can be built: what that layer has by itself is left out.

    A field may depend on another, as the strides of a pooling do on its size. So each is left out only if a layer built of
    the others is equal to this one.
    """
    values = {f.name: getattr(layer, f.name) for f in fields(layer)}  # type: ignore[arg-type]
    for f in fields(layer):  # type: ignore[arg-type]
        others = {name: value for name, value in values.items() if name != f.name}
        if f.default is not MISSING and type(layer)(**others) == layer:
            values = others
    return {"type": type(layer).__name__, **{name: _plain(value) for name, value in values.items()}}


def _plain(value: Any) -> Any:
    """Tuples as lists, and a pair of equal numbers as one."""
    if isinstance(value, tuple):
        if len(value) == 2 and isinstance(value[0], int) and value[0] == value[1]:
            return value[0]
        return [list(part) if isinstance(part, tuple) else part for part in value]
    return value


def _entry(entry: Mapping[str, Any], position: int) -> tuple[str | None, Layer, Sequence[str] | None]:
    who = f"layer {position}"
    kind = entry.get("type")
    if not isinstance(kind, str) or kind not in LAYERS:
        raise ModelError(f"{who}: type must be one of {', '.join(LAYERS)}, got {kind!r}.{did_you_mean(str(kind), LAYERS)}")
    cls = LAYERS[kind]
    name, inputs = entry.get("name"), entry.get("inputs")
    who = f"{who} ({kind})" if name is None else f"layer {position} ({kind} {name!r})"
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    required = {f.name for f in fields(cls) if f.default is MISSING}  # type: ignore[arg-type]
    _check_keys(entry, known | {"type", "name", "inputs"}, required, who)
    if name is not None and not isinstance(name, str):
        raise ModelError(f"{who}: name must be a text, got {name!r}")
    if inputs is not None and not (isinstance(inputs, list) and all(isinstance(i, str) for i in inputs)):
        raise ModelError(f"{who}: inputs must be a list of layer names, got {inputs!r}")
    try:
        return name, cls(**{key: value for key, value in entry.items() if key in known}), inputs
    except (ModelError, ShapeError) as error:
        raise type(error)(f"{who}: {error}") from None


def _check_keys(data: Mapping[str, Any], known: set[str], required: set[str], who: str) -> None:
    for key in data:
        if key not in known:
            raise ModelError(f"{who}: unknown key {key!r}.{did_you_mean(key, known)} Known keys: {', '.join(sorted(known))}")
    for key in sorted(required - set(data)):
        raise ModelError(f"{who}: key {key!r} is missing. Known keys: {', '.join(sorted(known))}")


def _check_input_shape(shape: Any) -> Shape:
    sides = tuple(shape) if isinstance(shape, (list, tuple)) else ()
    if len(sides) != 3 or not all(isinstance(side, int) and not isinstance(side, bool) and 0 < side <= LARGEST for side in sides):
        raise ModelError(f"input_shape must be [height, width, channels], whole numbers of at least 1, got {shape!r}")
    return sides


def _is_plain_name(name: str) -> bool:
    """Names become parts of paths and of tensor names."""
    return bool(name) and name.isprintable() and not name.startswith(".") and not {"/", "\\"} & set(name)


def _infer(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    """The output shape of one node, after all that can be wrong with it has been ruled out."""
    if node.name in shapes:
        raise ModelError(f"{node.name}: this name is taken already. Give each layer a name of its own ({INPUT!r} is the image)")
    if not isinstance(node.name, str) or not _is_plain_name(node.name):
        raise ModelError(f"a layer's name must be {PLAIN_NAME}, got {node.name!r}")
    for name in node.inputs:
        if name not in shapes:
            raise ModelError(
                f"{node.name}: reads {name!r}, which is no earlier layer.{did_you_mean(name, shapes)} Earlier: {', '.join(shapes)}"
            )
    least, most = node.layer.inputs_taken
    if len(node.inputs) < least or (most is not None and len(node.inputs) > most):
        wanted = f"{least}" if least == most else f"at least {least}"
        raise ModelError(
            f"{node.name}: {type(node.layer).__name__} takes {wanted} input(s), got {len(node.inputs)} ({', '.join(node.inputs)}). "
            "Name them: inputs = ['first', 'second']"
        )
    try:
        return node.layer.output_shape(*(shapes[name] for name in node.inputs))
    except ShapeError as error:
        raise ShapeError(f"{node.name}: {error}") from None


def _check_every_node_is_read(graph: Graph) -> None:
    read = {name for node in graph.nodes for name in node.inputs}
    for node in graph.nodes[:-1]:
        if node.name not in read:
            raise ModelError(f"{node.name}: no later layer reads it. Name it in the inputs of one, or remove it")
