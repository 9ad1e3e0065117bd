"""The contents of tables."""

from typing import TYPE_CHECKING, Any

from numbacnn.quoting import counted
from numbacnn.shapes import Pair, Shape
from numbacnn.summary import FLOAT_BYTES, LayerSummary, Summary

from .layout import Column, Table

if TYPE_CHECKING:  # modules that `shapes` does without, to start sooner; the first needs numpy
    from numbacnn.metrics import ClassReport, Evaluation
    from numbacnn.receptive import Read


def table(*columns: str | Column, in_parts: bool = False) -> Table:
    """An empty table. A title alone makes a column of numbers, the first title the column of row names."""
    made = (each if isinstance(each, Column) else Column(each, right=index > 0) for index, each in enumerate(columns))
    return Table(*made, in_parts=in_parts)


def text(title: str, rank: int = 0) -> Column:
    """A column of texts, which may fold."""
    return Column(title, right=False, folds=True, rank=rank)


def shapes_table(summary: Summary) -> Table:
    """The trace, with a line of totals."""
    rows = table(
        "layer",
        Column("type", right=False, rank=2),
        Column("input", rank=11),
        "output",
        Column("window", rank=3),
        Column("stride", rank=4),
        Column("padding", rank=6),
        Column("fan-in", rank=8),
        "parameters",
        Column("share", rank=9),
        Column("MACs", rank=1),
        Column("work", rank=10),
        Column("sees", rank=5),
        Column("jump", rank=12),
        Column("memory", rank=7 if summary.batch_size == 1 else 0),
    )
    for row in summary.layers:
        rows.add_row(
            row.name,
            row.type,
            _shape(row.input_shape),
            _shape(row.output_shape),
            _window(row),
            _pair(row.stride or (0, 0)),
            _padding(row.padding),
            f"{row.fan_in:,}" if row.fan_in else "-",
            f"{row.parameters:,}",
            _share(row.parameter_share),
            f"{row.macs:,}",
            _share(row.mac_share),
            _pair(row.receptive_field),
            _pair(row.jump),
            size(row.activation_bytes),
        )
    rows.add_section()
    memory = sum(row.activation_bytes for row in summary.layers)
    rows.add_row(
        summary.model, "", _shape(summary.input_shape), "", "", "", "", "", f"{summary.parameters:,}", "", f"{summary.macs:,}",
        "", "", "", size(memory),
    )  # fmt: skip
    return rows


def shapes_remark(summary: Summary) -> list[str]:
    """The meaning of the columns."""
    return [
        f"MACs are multiply-accumulates for one image, biases not counted; "
        f"memory is the activations of {counted(summary.batch_size, 'image')}.",
        "sees is the receptive field and jump the distance between neighbouring cells, in pixels of the image.",
        "fan-in is the count of numbers that a neuron reads; share is of all parameters, work of all MACs.",
        f"The parameters take {size(summary.parameters * FLOAT_BYTES)} as float32.",
    ]


def receptive_table(reads: "list[Read]") -> Table:
    """The part of each layer that one cell reads, from the cell itself back to the image."""
    rows = table("layer", Column("output", rank=2), "rows", "columns", Column("cells", rank=1))
    for read in reads:
        found = "-" if read.rows is None or read.columns is None else f"{_extent(read.rows) * _extent(read.columns):,}"
        rows.add_row(read.name, _shape(read.shape), _range(read.rows), _range(read.columns), found)
    return rows


def receptive_remark(cell: str, reads: "list[Read]") -> list[str]:
    """The same of the image, in words."""
    image = reads[-1]
    height, width, channels = image.shape
    reach = (image.unclipped_rows, image.unclipped_columns)
    if image.rows is None or image.columns is None:
        return [f"{cell} reads no pixel: padding alone."]
    lines = [
        f"{cell} reads rows {_range(image.rows)} and columns {_range(image.columns)} of the image: "
        f"{_extent(image.rows) * _extent(image.columns) * channels:,} of {height * width * channels:,} numbers."
    ]
    if reach != (image.rows, image.columns):
        lines.append(
            f"Without the image's edges they would be rows {_range(reach[0])} and columns {_range(reach[1])}: "
            "what lies beyond is padding."
        )
    return lines


def comparison_tables(one: Summary, other: Summary) -> tuple[Table, Table]:
    """The figures of two networks, and their layers, side by side."""
    figures = table("", one.model, other.model, Column("ratio", rank=1))
    for name, ours, theirs in (
        ("layers", len(one.layers), len(other.layers)),
        ("parameters", one.parameters, other.parameters),
        ("MACs", one.macs, other.macs),
    ):
        figures.add_row(name, f"{ours:,}", f"{theirs:,}", f"{theirs / ours:.3g}" if ours else "-")
    memory = [sum(row.activation_bytes for row in each.layers) for each in (one, other)]
    figures.add_row("memory", size(memory[0]), size(memory[1]), f"{memory[1] / memory[0]:.3g}")
    figures.add_row("input", _shape(one.input_shape), _shape(other.input_shape), "")
    figures.add_row("output", _shape(one.layers[-1].output_shape), _shape(other.layers[-1].output_shape), "")
    layers = table(
        Column("layer", right=False),
        Column("output", rank=1),
        "parameters",
        Column("layer", right=False),
        Column("output", rank=1),
        "parameters",
    )
    for row in range(max(len(one.layers), len(other.layers))):
        layers.add_row(*_side(one, row), *_side(other, row))
    return figures, layers


def _side(summary: Summary, index: int) -> tuple[str, str, str]:
    if index >= len(summary.layers):
        return "", "", ""
    row = summary.layers[index]
    return row.name, _shape(row.output_shape), f"{row.parameters:,}"


def class_table(reports: "list[ClassReport]") -> Table:
    """Precision, recall and F1 of each class."""
    rows = table("class", "images", "precision", "recall", "F1")
    for report in reports:
        rows.add_row(
            report.name, f"{report.images:,}", *(percent(share) for share in (report.precision, report.recall, report.f1))
        )
    return rows


def confusion_table(evaluation: "Evaluation", class_names: tuple[str, ...]) -> Table:
    """True classes down, predicted ones across; a zero is shown as a dot."""
    rows = table("true \\ predicted", *class_names, in_parts=True)
    for name, counts in zip(class_names, evaluation.confusion, strict=True):
        rows.add_row(name, *(str(count) if count else "\u00b7" for count in counts))
    return rows


def size(count: float) -> str:
    """A number of bytes in B, kB, MB and so on, powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} EB"


def percent(share: Any) -> str:
    """A share as a percentage; a dash for none."""
    return "-" if share != share else f"{share:.2%}"


def _extent(range_: Pair) -> int:
    return range_[1] - range_[0] + 1


def _range(range_: Pair | None) -> str:
    """``2..6``, or ``2`` alone."""
    if range_ is None:
        return "-"
    first, last = range_
    return str(first) if first == last else f"{first}..{last}"


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _window(row: LayerSummary) -> str:
    if row.window is None:
        return "-"
    gaps = "" if row.dilation in (None, (1, 1)) else f" every {_pair(row.dilation)}"
    return f"{_shape(row.window)}{gaps}"


def _padding(padding: tuple[Pair, Pair] | None) -> str:
    """``2`` on each side; ``0+1`` before and after; rows x columns where these differ."""
    if padding is None:
        return "-"
    down, across = (str(before) if before == after else f"{before}+{after}" for before, after in padding)
    return down if down == across else f"{down} x {across}"


def _share(share: float) -> str:
    return f"{share:.1%}" if share else "-"


def _pair(pair: Pair) -> str:
    if pair == (0, 0):
        return "-"
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} x {pair[1]}"
