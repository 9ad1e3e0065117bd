"""What the numbers of a network mean: the sentences that ``numbacnn shapes`` prints below its table."""

from numbacnn.errors import NumbaCNNError
from numbacnn.graph import Graph, Node
from numbacnn.layers import AvgPool2D, Conv2D, DepthwiseConv2D, MaxPool2D
from numbacnn.quoting import plain
from numbacnn.shapes import cells
from numbacnn.summary import Summary, summarise


def remarks(graph: Graph, summary: Summary) -> list[str]:
    """The layers with most weights and work, what a convolution's neuron reads, and what pooling saves; as far as they apply."""
    return [*_heaviest(summary), *_neuron(graph, summary), *_pooling(graph, summary)]


def without_pooling(graph: Graph) -> Graph | None:
    """The network without its max and mean poolings that make maps smaller; None if there are none, or it does not fit without them."""
    replaced: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(replaced.get(name, name) for name in node.inputs)
        if isinstance(node.layer, (MaxPool2D, AvgPool2D)) and cells(graph.shapes[node.name]) < cells(
            graph.shapes[node.inputs[0]]
        ):
            replaced[node.name] = inputs[0]
        else:
            nodes.append(Node(node.name, node.layer, inputs))
    if not replaced:
        return None
    try:
        return Graph(graph.name, graph.input_shape, tuple(nodes))
    except NumbaCNNError:  # branches of unequal sizes, say
        return None


def _heaviest(summary: Summary) -> list[str]:
    if not (summary.parameters and summary.macs):
        return []
    heaviest = max(summary.layers, key=lambda row: row.parameters)
    busiest = max(summary.layers, key=lambda row: row.macs)
    join = " and" if busiest is heaviest else f", {plain(busiest.name)}"
    return [
        f"{plain(heaviest.name)} holds {heaviest.parameter_share:.0%} of the parameters{join} does {busiest.mac_share:.0%} of the work."
    ]


def _neuron(graph: Graph, summary: Summary) -> list[str]:
    """Of the convolution with most work."""
    layers = {node.name: node.layer for node in graph.nodes}
    convolutions = [row for row in summary.layers if isinstance(layers[row.name], (Conv2D, DepthwiseConv2D))]
    if not convolutions:
        return []
    row = max(convolutions, key=lambda row: row.macs)
    reads, outputs = cells(row.input_shape), cells(row.output_shape)
    if row.fan_in is None or row.fan_in >= reads:
        return []
    name = plain(row.name)
    return [
        f"A neuron of {name} reads {row.fan_in:,} numbers, a dense one would read {reads:,}. {name} has {row.parameters:,} parameters, "
        f"a dense layer of as many outputs would have {(reads + 1) * outputs:,}."
    ]


def _pooling(graph: Graph, summary: Summary) -> list[str]:
    bare = without_pooling(graph)
    if bare is None:
        return []
    other = summarise(bare)
    figures = (("parameters", other.parameters, summary.parameters), ("MACs", other.macs, summary.macs))
    saved = [f"{more:,} {what} instead of {pooled:,}" for what, more, pooled in figures if more > pooled]
    return [f"Without its pooling, {plain(graph.name)} would have {' and '.join(saved)}."] if saved else []
