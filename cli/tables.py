"""The contents of tables."""

from typing import TYPE_CHECKING, Any

from numbacnn.shapes import Pair, Shape
from numbacnn.summary import FLOAT_BYTES, Summary

from .layout import Column, Table

if TYPE_CHECKING:  # these need numpy, which `shapes` does without
    from numbacnn.metrics import ClassReport, Evaluation


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
        Column("input", rank=6),
        "output",
        "parameters",
        Column("MACs", rank=1),
        Column("sees", rank=4),
        Column("jump", rank=5),
        Column("memory", rank=3),
    )
    for row in summary.layers:
        rows.add_row(
            row.name,
            row.type,
            _shape(row.input_shape),
            _shape(row.output_shape),
            f"{row.parameters:,}",
            f"{row.macs:,}",
            _pair(row.receptive_field),
            _pair(row.jump),
            size(row.activation_bytes),
        )
    rows.add_section()
    memory = sum(row.activation_bytes for row in summary.layers)
    rows.add_row(
        summary.model, "", _shape(summary.input_shape), "", f"{summary.parameters:,}", f"{summary.macs:,}", "", "", size(memory)
    )
    return rows


def shapes_remark(summary: Summary) -> list[str]:
    """The meaning of the columns, and the layers with most weights and work."""
    lines = [
        f"MACs are multiply-accumulates for one image, biases not counted; memory is the activations of {summary.batch_size} image(s).",
        "sees is the receptive field and jump the distance between neighbouring cells, in pixels of the image.",
        f"The parameters take {size(summary.parameters * FLOAT_BYTES)} as float32.",
    ]
    if summary.parameters and summary.macs:
        heaviest = max(summary.layers, key=lambda row: row.parameters)
        busiest = max(summary.layers, key=lambda row: row.macs)
        lines.append(
            f"{heaviest.name} holds {heaviest.parameters / summary.parameters:.0%} of the parameters, "
            f"{busiest.name} does {busiest.macs / summary.macs:.0%} of the work."
        )
    return lines


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
    """A number of bytes in B, kB, MB or GB, powers of 1,000."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def percent(share: Any) -> str:
    """A share as a percentage; a dash for none."""
    return "-" if share != share else f"{share:.2%}"


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _pair(pair: Pair) -> str:
    if pair == (0, 0):
        return "-"
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} x {pair[1]}"
