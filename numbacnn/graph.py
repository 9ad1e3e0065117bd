"""A network as data: an ordered tuple of named layers, each of which reads earlier ones.

The order is topological by construction, so there is no sort and no cycle to detect. Branches are nodes that name the same input.
The last node is the output.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from numbacnn.errors import ModelError, ShapeError
from numbacnn.layers import LAYERS, Activation, Dense, Layer, ParameterSpec
from numbacnn.quoting import MOST_LISTED, counted, listed, plain, short
from numbacnn.shapes import LARGEST, Shape, cells
from numbacnn.spelling import did_you_mean

INPUT = "input"
PLAIN_NAME = "printable text without slashes that does not start with a dot"
"""The names of networks and layers: they become parts of paths and of tensor names."""

MOST_CELLS = 2**48
"""Upper bound of the values of one output: more than any machine can hold. Without it, sizes could double with every layer."""


@dataclass(frozen=True)
class Node:
    """One layer of a graph: its name, and the names of the layers it reads."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))


@dataclass(frozen=True)
class Graph:
    """A network, checked: every shape is known.

    Args:
        name: of the network.
        input_shape: (height, width, channels) of one image.
        nodes: the layers, in order.

    Raises:
        ModelError: a name is not plain or is used twice, an input is unknown, or no node reads one of them.
        ShapeError: a layer does not fit its inputs; the message starts with the node's name.
    """

    name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    shapes: Mapping[str, Shape] = field(init=False, compare=False, repr=False)
    """The output shape of every node, and of ``"input"``, for one image."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not is_plain_name(self.name):
            raise ModelError(f"network name: expected {PLAIN_NAME}, got {short(self.name)}")
        object.__setattr__(self, "input_shape", _check_input_shape(self.input_shape))
        if not self.nodes:
            raise ModelError(f"{plain(self.name)}: expected at least one layer, got none")
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for node in self.nodes:
            shapes[node.name] = _infer(node, shapes)
        object.__setattr__(self, "shapes", shapes)
        _check_every_node_is_read(self)

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.input_shape, self.nodes))

    def __hash__(self) -> int:
        # Computed once: each training step looks up the plan of its graph.
        return self._hash

    @property
    def output_shape(self) -> Shape:
        """The shape of the output for one image."""
        return self.shapes[self.nodes[-1].name]

    def input_shapes(self, node: Node) -> list[Shape]:
        """The shapes of the inputs of ``node``."""
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
        name: of the network.

    Raises:
        ModelError, ShapeError: as ``Graph``.
    """
    entries = [entry if isinstance(entry, tuple) and len(entry) == 2 else (None, entry) for entry in layers]
    return build_graph(name, input_shape, [(given, layer, None) for given, layer in entries])


def build_graph(
    name: str, input_shape: Sequence[int], entries: Sequence[tuple[str | None, Layer, Sequence[str] | None]]
) -> Graph:
    """A graph from (name or None, layer, inputs or None); the defaults are conv1, conv2, ... and the layer before."""
    nodes: list[Node] = []
    counts: Counter[str] = Counter()
    for given, layer, inputs in entries:
        _check_layer(layer, f"layer {len(nodes) + 1}")
        counts[layer.label] += 1
        before = nodes[-1].name if nodes else INPUT
        nodes.append(Node(given or f"{layer.label}{counts[layer.label]}", layer, tuple(inputs or (before,))))
    return Graph(name, _check_input_shape(input_shape), tuple(nodes))


def without_softmax(graph: Graph) -> Graph:
    """The network up to its logits, for a loss that includes the softmax.

    The last layer loses its softmax, or is dropped if it is only that. Parameters keep their names. A network that does not end
    with a softmax is returned unchanged: its outputs are logits.
    """
    *before, last = graph.nodes
    if isinstance(last.layer, Activation) and last.layer.activation == "softmax" and before:
        return Graph(graph.name, graph.input_shape, tuple(before))
    if getattr(last.layer, "activation", None) == "softmax":
        linear = replace(last.layer, activation=None)  # type: ignore[type-var]
        return Graph(graph.name, graph.input_shape, (*before, Node(last.name, linear, last.inputs)))
    return graph


def with_outputs(graph: Graph, count: int) -> Graph:
    """The graph with another number of outputs.

    Raises:
        ModelError: its last layer is no Dense.
    """
    *before, last = graph.nodes
    if not isinstance(last.layer, Dense):
        raise ModelError(
            f"{plain(graph.name)}: expected a Dense layer at the end, got {last.layer.label}. End it with Dense({count})"
        )
    return Graph(graph.name, graph.input_shape, (*before, replace(last, layer=replace(last.layer, units=count))))


def with_initializer(graph: Graph, name: str) -> Graph:
    """The graph with initial kernels of another distribution in every layer that has one.

    Args:
        name: in ``INITIALIZERS``.

    Raises:
        ModelError: there is no such distribution, or no layer with a kernel.
    """
    nodes = tuple(
        replace(node, layer=replace(node.layer, kernel_initializer=name)) if _has_kernel(node.layer) else node  # type: ignore[type-var]
        for node in graph.nodes
    )
    if not any(_has_kernel(node.layer) for node in nodes):
        raise ModelError(f"{plain(graph.name)}: expected a layer with a kernel to initialise, got none")
    return Graph(graph.name, graph.input_shape, nodes)


def _has_kernel(layer: Layer) -> bool:
    return hasattr(layer, "kernel_initializer")


def up_to(graph: Graph, name: str) -> Graph:
    """The part of a graph that computes one layer's output.

    Raises:
        ModelError: there is no such layer.
    """
    nodes = {node.name: node for node in graph.nodes}
    if name not in nodes:
        others = ". 'numbacnn shapes MODEL' lists all" if len(nodes) > MOST_LISTED else ""
        raise ModelError(
            f"{plain(graph.name)}: no layer {short(name)}.{did_you_mean(str(name), nodes)} Layers: {listed(nodes)}{others}"
        )
    needed, waiting = {name}, [name]
    while waiting:
        for before in nodes[waiting.pop()].inputs:
            if before != INPUT and before not in needed:
                needed.add(before)
                waiting.append(before)
    return Graph(graph.name, graph.input_shape, tuple(node for node in graph.nodes if node.name in needed))


def graph_to_dict(graph: Graph) -> dict[str, Any]:
    """The graph as plain values, in the form of model files: names, inputs and fields that equal the defaults are left out."""
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
    """The inverse of ``graph_to_dict``, for values of unknown origin: everything is checked.

    Args:
        data: values read from a file.
        source: the file's name, for messages.

    Raises:
        ModelError, ShapeError: the message names the layer.
    """
    _check_keys(data, {"name", "input_shape", "layers"}, required={"input_shape", "layers"}, who=source)
    layers = data["layers"]
    if not isinstance(layers, list) or not all(isinstance(entry, Mapping) for entry in layers):
        raise ModelError(f"{source}: layers: expected a list of tables, got {short(layers)}. Start each with [[layers]]")
    try:
        return build_graph(data.get("name", source), data["input_shape"], [_entry(entry, i) for i, entry in enumerate(layers, 1)])
    except (ModelError, ShapeError) as error:
        raise type(error)(f"{source}: {error}") from None


def layer_to_dict(layer: Layer) -> dict[str, Any]:
    """The layer as ``{"type": "Dense", "units": 10, ...}``, without fields that equal the defaults.

    A default may depend on another field, as a pooling's strides on its size. So a field is left out only if the layer that is
    built without it equals this one.
    """
    values = {f.name: getattr(layer, f.name) for f in fields(layer)}  # type: ignore[arg-type]
    for f in fields(layer):  # type: ignore[arg-type]
        others = {name: value for name, value in values.items() if name != f.name}
        if f.default is not MISSING and type(layer)(**others) == layer:
            values = others
    return {"type": type(layer).__name__, **{name: _plain(value) for name, value in values.items()}}


def _plain(value: Any) -> Any:
    """A tuple as a list, and a pair of equal numbers as one number."""
    if isinstance(value, tuple):
        if len(value) == 2 and isinstance(value[0], int) and value[0] == value[1]:
            return value[0]
        return [list(part) if isinstance(part, tuple) else part for part in value]
    return value


def _entry(entry: Mapping[str, Any], position: int) -> tuple[str | None, Layer, Sequence[str] | None]:
    who = f"layer {position}"
    kind = entry.get("type")
    if not isinstance(kind, str) or kind not in LAYERS:
        hint = did_you_mean(kind, LAYERS) if isinstance(kind, str) else ""
        raise ModelError(f"{who}: type: expected one of {', '.join(LAYERS)}, got {short(kind)}.{hint}")
    cls = LAYERS[kind]
    name, inputs = entry.get("name"), entry.get("inputs")
    who = f"{who} ({kind})" if name is None else f"layer {position} ({kind} {short(name)})"
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    required = {f.name for f in fields(cls) if f.default is MISSING}  # type: ignore[arg-type]
    _check_keys(entry, known | {"type", "name", "inputs"}, required, who)
    if name is not None and not isinstance(name, str):
        raise ModelError(f"{who}: name: expected a text, got {short(name)}")
    if inputs is not None and not (isinstance(inputs, list) and all(isinstance(i, str) for i in inputs)):
        raise ModelError(f"{who}: inputs: expected a list of layer names, got {short(inputs)}")
    try:
        return name, cls(**{key: value for key, value in entry.items() if key in known}), inputs
    except (ModelError, ShapeError) as error:
        raise type(error)(f"{who}: {error}") from None


def _check_keys(data: Mapping[str, Any], known: set[str], required: set[str], who: str) -> None:
    for key in data:
        if key not in known:
            raise ModelError(f"{who}: unknown key {short(key)}.{did_you_mean(key, known)} Known keys: {', '.join(sorted(known))}")
    for key in sorted(required - set(data)):
        raise ModelError(f"{who}: key {key!r} is missing. Known keys: {', '.join(sorted(known))}")


def _check_layer(value: object, who: str) -> None:
    if isinstance(value, Layer):
        return
    if isinstance(value, type) and issubclass(value, Layer):
        got, advice = f"the class {value.__name__}", f"Make a layer of it: {value.__name__}(...)"
    elif isinstance(value, str) and value in LAYERS:
        got, advice = f"the text {value!r}", f"Make a layer: {value}(...)"
    elif isinstance(value, (list, tuple)):
        got, advice = (
            f"a {type(value).__name__}",
            "Give the layers one by one, or (name, layer) pairs: sequential(first, second, ...)",
        )
    else:
        got, advice = short(value), "Give one of numbacnn's layers, such as Dense(10)"
    raise ModelError(f"{who}: expected a layer, got {got}. {advice}")


def _check_input_shape(shape: Any) -> Shape:
    sides = tuple(shape) if isinstance(shape, (list, tuple)) else ()
    if len(sides) != 3 or not all(isinstance(side, int) and not isinstance(side, bool) and 0 < side <= LARGEST for side in sides):
        raise ModelError(
            f"input_shape: expected [height, width, channels], whole numbers from 1 to {LARGEST:,}, got {short(shape)}"
        )
    if cells(sides) > MOST_CELLS:
        raise ModelError(f"input_shape: expected at most 2^48 values, got {short(shape)}")
    return sides


def is_plain_name(name: str) -> bool:
    """Whether a network or layer may have this name; see ``PLAIN_NAME``."""
    return bool(name) and name.isprintable() and not name.startswith(".") and not {"/", "\\"} & set(name)


def _infer(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    """The output shape of one node, whose name, inputs and shapes are checked first."""
    if not isinstance(node.name, str) or not is_plain_name(node.name):
        raise ModelError(f"layer name: expected {PLAIN_NAME}, got {short(node.name)}")
    if node.name in shapes:
        raise ModelError(
            f"{plain(node.name)}: expected a new name, got one that is taken. Give each layer its own ({INPUT!r} is the image)"
        )
    _check_layer(node.layer, node.name)
    for name in node.inputs:
        if name not in shapes:
            raise ModelError(
                f"{plain(node.name)}: inputs: expected earlier layers, got {short(name)}.{did_you_mean(name, shapes)} "
                f"The latest: {listed(reversed(list(shapes)))}"
            )
    least, most = node.layer.inputs_taken
    if len(node.inputs) < least or (most is not None and len(node.inputs) > most):
        wanted = f"{'' if least == most else 'at least '}{counted(least, 'input')}"
        raise ModelError(
            f"{plain(node.name)}: {type(node.layer).__name__} expected {wanted}, got {len(node.inputs)} ({listed(node.inputs)}). "
            "Name them: inputs = ['first', 'second']"
        )
    try:
        shape = node.layer.output_shape(*(shapes[name] for name in node.inputs))
    except ShapeError as error:
        raise ShapeError(f"{plain(node.name)}: {error}") from None
    if cells(shape) > MOST_CELLS:
        raise ShapeError(
            f"{plain(node.name)}: expected an output of at most 2^48 values, got shape {shape}. Use fewer or smaller ones"
        )
    return shape


def _check_every_node_is_read(graph: Graph) -> None:
    read = {name for node in graph.nodes for name in node.inputs}
    for node in graph.nodes[:-1]:
        if node.name not in read:
            raise ModelError(f"{plain(node.name)}: no later layer reads it. Name it in the inputs of one, or remove it")
