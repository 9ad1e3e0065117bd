"""The geometry of a sliding window: output sizes, strides and padding are computed here and in no other place.

Layers hand the windows of ``window2d`` to the kernels, so ``train`` computes the shapes that ``shapes`` prints.
Pure Python: neither numpy nor numba.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from numbacnn.errors import ShapeError
from numbacnn.quoting import short

Shape = tuple[int, ...]
Pair = tuple[int, int]
Padding = str | tuple[int, int]
Padding2D = str | tuple[Pair, Pair]


LARGEST = 10_000_000
"""Upper bound of sides, strides, padding, filters and units. A larger number in a file is a mistake, and would overflow later."""


MOST_POOLED = 2**31 - 1
"""Upper bound of the cells of a pooling window: the index of the largest is kept as an int32."""


class Window(NamedTuple):
    """One axis of a sliding window, in cells.

    Output cell ``i`` reads the input cells ``i*stride - pad_before + u*dilation``, for ``u`` from 0 to ``kernel - 1``.
    """

    size: int
    kernel: int
    stride: int
    out: int
    pad_before: int
    pad_after: int
    dilation: int = 1

    @property
    def span(self) -> int:
        """The cells from the first that a window reads to the last, those that it skips included."""
        return _span(self.kernel, self.dilation)

    def under(self, index: int) -> Iterator[tuple[int, int]]:
        """Each cell ``u`` of the window at an output cell, with the input cell that it reads, where there is one: padding is left out."""
        for u in range(self.kernel):
            cell = index * self.stride - self.pad_before + u * self.dilation
            if 0 <= cell < self.size:
                yield u, cell


class Window2D(NamedTuple):
    """Both axes: rows (height) and columns (width)."""

    rows: Window
    columns: Window

    @property
    def out(self) -> Pair:
        """Height and width of the output."""
        return self.rows.out, self.columns.out


def window(size: int, kernel: int, stride: int, padding: Padding, dilation: int = 1) -> Window:
    """The window of one axis; span = (kernel - 1) * dilation + 1.

        valid     out = floor((size - span) / stride) + 1                  no padding
        same      out = ceil(size / stride)                                the odd cell goes after (TensorFlow's rule)
        (p, q)    out = floor((size + p + q - span) / stride) + 1          explicit zeros before and after

    Args:
        size: length of the input axis, cells.
        kernel: length of the window, cells.
        stride: step between windows, cells.
        padding: ``"valid"``, ``"same"`` or ``(before, after)``.
        dilation: distance between neighbouring cells of the window; 1 leaves no gaps. A window of one cell has none to dilate.

    Raises:
        ShapeError: a number is not a positive integer, the window does not fit, or its span is more than ``LARGEST``.

    Source: Dumoulin & Visin 2016 (arXiv:1603.07285), chapter 2; the lecture's slides "Padding" and "Stride".
    """
    for what, value in (("input size", size), ("kernel size", kernel), ("stride", stride), ("dilation rate", dilation)):
        _check_positive(what, value)
    dilation = dilation if kernel > 1 else 1
    span = _span(kernel, dilation)
    if span > LARGEST:
        raise ShapeError(
            f"dilation rate: expected a window that spans at most {LARGEST:,} cells, got {kernel} cells every {dilation}. "
            "Use a smaller rate, or a smaller kernel"
        )
    if padding == "same":
        out = -(-size // stride)
        total = max((out - 1) * stride + span - size, 0)
        return Window(size, kernel, stride, out, total // 2, total - total // 2, dilation)
    before, after = (0, 0) if padding == "valid" else _explicit_padding(padding)
    out = (size + before + after - span) // stride + 1
    if out < 1:
        raise ShapeError(_does_not_fit(size, span, stride, before, after))
    return Window(size, kernel, stride, out, before, after, dilation)


def window2d(size: Pair, kernel: Pair, strides: Pair, padding: Padding2D, dilation: Pair = (1, 1)) -> Window2D:
    """The windows of both axes; see ``window``. ``padding`` may be ``((top, bottom), (left, right))``."""
    row_padding: Padding
    column_padding: Padding
    if isinstance(padding, str):
        row_padding = column_padding = padding
    else:
        row_padding, column_padding = padding
    return Window2D(
        window(size[0], kernel[0], strides[0], row_padding, dilation[0]),
        window(size[1], kernel[1], strides[1], column_padding, dilation[1]),
    )


def is_standard(window: Window2D, channels: int, kernel_shape: Shape) -> bool:
    """Whether a convolution has neither gaps in its window nor groups of channels; the fast algorithms are for these."""
    return window.rows.dilation == window.columns.dilation == 1 and kernel_shape[2] == channels


def pool_window2d(size: Pair, pool_size: Pair, strides: Pair, padding: Padding2D) -> Window2D:
    """The windows of both axes of a pooling. Each covers at least one cell of the image, since no cells have no maximum.

    Raises:
        ShapeError: as ``window``; or a window could lie in the padding alone, or has more than ``MOST_POOLED`` cells.
    """
    windows = window2d(size, pool_size, strides, padding)
    if windows.rows.kernel * windows.columns.kernel > MOST_POOLED:
        raise ShapeError(
            f"pool_size: expected a window of at most {MOST_POOLED:,} cells, got {windows.rows.kernel} x {windows.columns.kernel}. "
            f"Use a smaller one: the input has {size[0]} x {size[1]}"
        )
    for axis in windows:
        if max(axis.pad_before, axis.pad_after) >= axis.kernel:
            raise ShapeError(
                f"padding: expected at most {axis.kernel - 1} on each side of a pooling window of {axis.kernel}, "
                f"got ({axis.pad_before}, {axis.pad_after}). Use padding='same', or a larger window"
            )
    return windows


def pair(value: int | Sequence[int], what: str) -> Pair:
    """A number or a pair, checked, as a pair: ``3`` means ``(3, 3)``."""
    both = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else (value,)
    if len(both) != 2 or isinstance(value, (str, bytes)):
        raise ShapeError(f"{what}: expected a whole number or a pair of them, got {short(value)}")
    for side in both:
        _check_positive(what, side)
    return both[0], both[1]


def padding2d(value: object) -> Padding2D:
    """A padding, checked, in one form: ``"valid"``, ``"same"`` or ``((top, bottom), (left, right))``."""
    if isinstance(value, str) and value in ("valid", "same"):
        return value
    match value:
        case [[int(), int()] as rows, [int(), int()] as columns]:
            return _explicit_padding(tuple(rows)), _explicit_padding(tuple(columns))
    raise ShapeError(f"padding: expected 'valid', 'same' or ((top, bottom), (left, right)), got {short(value)}")


def cells(shape: Sequence[int]) -> int:
    """The number of values in an array of this shape."""
    product = 1
    for side in shape:
        product *= side
    return product


def _check_positive(what: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
        raise ShapeError(f"{what}: expected a whole number from 1 to {LARGEST:,}, got {short(value)}")


def _explicit_padding(padding: object) -> Pair:
    match padding:
        case (int(before), int(after)) if all(0 <= side <= LARGEST and not isinstance(side, bool) for side in (before, after)):
            return before, after
    raise ShapeError(
        f"padding: expected 'valid', 'same' or whole numbers from 0 to {LARGEST:,} (before, after), got {short(padding)}"
    )


def _span(kernel: int, dilation: int) -> int:
    return (kernel - 1) * dilation + 1


def _does_not_fit(size: int, kernel: int, stride: int, before: int, after: int) -> str:
    padded = size + before + after
    terms = f"{size} + {before} + {after}" if before or after else f"{size}"
    formula = f"floor(({terms} - {kernel}) / {stride}) + 1 = {(padded - kernel) // stride + 1}"
    return f"a window of {kernel} does not fit {padded} cells: {formula}. Use padding='same', or a window of at most {padded}"
