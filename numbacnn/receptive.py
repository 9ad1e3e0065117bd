"""The receptive field of one cell, traced back layer by layer: the rows and columns that it reads of each layer before."""

from typing import NamedTuple

from numbacnn.errors import ShapeError
from numbacnn.graph import INPUT, Graph, up_to
from numbacnn.quoting import plain, short
from numbacnn.shapes import Pair, Shape, Window
from numbacnn.summary import IMAGE_AXES, LONGEST_REACH

Range = Pair
"""The first and last row, or column."""


class Read(NamedTuple):
    """The part of one layer's output on which a cell depends.

    Args:
        name: of the layer, or ``"input"``.
        shape: of its output.
        rows, columns: first and last, as far as they exist; None where the cell reads padding alone.
        unclipped_rows, unclipped_columns: the same where no edge cuts a window off: padding is counted, by negative numbers too.
    """

    name: str
    shape: Shape
    rows: Range | None
    columns: Range | None
    unclipped_rows: Range
    unclipped_columns: Range


def receptive(graph: Graph, layer: str, cell: Pair) -> list[Read]:
    """What one cell reads: from the layer itself, back to ``"input"``, the image.

    Where branches meet, a part goes from the first row that any of them reads to the last.

    Args:
        layer: a layer of feature maps.
        cell: row and column of one of its cells, from 0 on.

    Raises:
        ModelError: there is no such layer. ShapeError: it has no feature maps, or no such cell.

    Source: the lecture's slide "Receptive Fields and Filters".
    """
    part = up_to(graph, layer)
    shape = graph.shapes[layer]
    if len(shape) != IMAGE_AXES:
        raise ShapeError(
            f"{plain(layer)}: expected a layer of feature maps, (height, width, channels), got an output of {shape}. "
            "Name a layer before it: a neuron of a dense layer reads the whole image"
        )
    for what, index, count in zip(("row", "column"), cell, shape, strict=False):
        if not 0 <= index < count:
            raise ShapeError(f"{plain(layer)}: expected a {what} from 0 to {count - 1}, got {short(index)}")
    reads = {layer: _Field(_Axis.of(cell[0]), _Axis.of(cell[1]))}
    for node in reversed(part.nodes):
        window = node.layer.window(*graph.input_shapes(node))
        field = reads[node.name]
        if window is not None:
            field = _Field(field.rows.before(window.rows), field.columns.before(window.columns))
        for name in node.inputs:
            reads[name] = field.joined(reads[name]) if name in reads else field
    names = [node.name for node in reversed(part.nodes)] + [INPUT]
    return [_read(name, graph.shapes[name], reads[name]) for name in names]


def _read(name: str, shape: Shape, field: "_Field") -> Read:
    rows, columns = field
    is_empty = rows.clipped is None or columns.clipped is None
    return Read(name, shape, None if is_empty else rows.clipped, None if is_empty else columns.clipped, rows.free, columns.free)


class _Axis(NamedTuple):
    """The cells of one axis: clipped at every layer on the way (None where a window lies in padding alone), and clipped at none."""

    clipped: Range | None
    free: Range

    @classmethod
    def of(cls, index: int) -> "_Axis":
        return cls((index, index), (index, index))

    def before(self, window: Window) -> "_Axis":
        """What these cells read through a window."""
        start, end = self.free
        free = (
            _bounded(start * window.stride - window.pad_before),
            _bounded(end * window.stride - window.pad_before + window.span - 1),
        )
        if self.clipped is None:
            return _Axis(None, free)
        first, last = self.clipped
        most = _last_read(window, first, last, window.pad_before)
        if most is None:
            return _Axis(None, free)
        mirrored = _last_read(window, -last, -first, window.span - window.size - window.pad_before)
        assert mirrored is not None  # some cell is read, seen from either end
        return _Axis((window.size - 1 - mirrored, most), free)

    def joined(self, other: "_Axis") -> "_Axis":
        both = [each for each in (self.clipped, other.clipped) if each is not None]
        return _Axis(_hull(both) if both else None, _hull([self.free, other.free]))


class _Field(NamedTuple):
    rows: _Axis
    columns: _Axis

    def joined(self, other: "_Field") -> "_Field":
        return _Field(self.rows.joined(other.rows), self.columns.joined(other.columns))


def _last_read(window: Window, first: int, last: int, pad: int) -> int | None:
    """The last cell that exists among i*stride - pad + u*dilation, for i from ``first`` to ``last``; None if none does.

    Of a window with gaps, the last cell that exists need not be the last of the last window: windows a few steps before reach others.
    """
    size, kernel, stride, dilation = window.size, window.kernel, window.stride, window.dilation
    best = -1
    if kernel <= dilation:
        for u in range(kernel):
            i = min(last, (size - 1 + pad - u * dilation) // stride)
            if i >= first:
                best = max(best, i * stride - pad + u * dilation)
    else:
        end = min(last, (size - 1 + pad) // stride)  # the last window that begins before the edge
        for i in range(end, max(first, end - dilation + 1) - 1, -1):
            start = i * stride - pad
            best = max(best, start + min(kernel - 1, (size - 1 - start) // dilation) * dilation)
    return best if best >= 0 else None


def _bounded(cell: int) -> int:
    return max(-LONGEST_REACH, min(cell, LONGEST_REACH))


def _hull(ranges: list[Range]) -> Range:
    return min(first for first, _ in ranges), max(last for _, last in ranges)
