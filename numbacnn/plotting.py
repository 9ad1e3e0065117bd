"""Pictures: curves and the confusion matrix of a training, curves of a contest, bars of a benchmark. They need the extra ``plot``, and
no display.

>>> net.plot("curves.png")
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numbacnn.errors import DeviceError, ModelError, ShapeError
from numbacnn.files import write_atomically
from numbacnn.quoting import plain

SOFTWARE = "numbacnn"
"""In a PNG, the name of the program: what tells a run's curves from a picture of the user's own."""

METADATA: dict[str, dict[str, str | None]] = {"png": {"Software": SOFTWARE}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""The formats, each with what is changed or left out so that the same figures make the same file."""

CURVES = (("", "training", "#0072B2", "o"), ("validation_", "validation", "#D55E00", "s"), ("test_", "test", "#009E73", "^"))
"""Prefix of the fields, name, colour of ``PALETTE`` and marker."""

MOST_NUMBERS = 30
"""The most classes for which a confusion matrix shows its counts."""

MOST_MARKERS = 40

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that differ for people who are colour-blind too. Source: Okabe & Ito 2008, "Color Universal Design"."""
MARKERS = "osD^vPX"


def check_plotting() -> None:
    """Raise if no picture can be drawn.

    Raises:
        DeviceError: the package ``matplotlib`` is missing.
    """
    try:
        import matplotlib.backends.backend_agg  # noqa: F401
    except ImportError as error:
        raise DeviceError(f"plot: expected matplotlib 3.8 or later, got {error}. Run pip install 'numbacnn[plot]'") from None


def _format_of(path: Path) -> str:
    name = path.suffix.lower().removeprefix(".")
    if name not in METADATA:
        raise ModelError(f"{path}: expected a name that ends in {', '.join('.' + name for name in METADATA)}. Give another name")
    return name


def save_curves(history: Sequence[Mapping[str, Any]], path: Path, title: str = "") -> None:
    """Draw loss and accuracy over the epochs: of training, and of validation and test images where there are any.

    Args:
        history: a record for each epoch, as in ``net.history``.
        path: of the picture: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        DeviceError: matplotlib is missing. ModelError: there is no epoch, or the name ends otherwise.
        CheckpointError: the picture cannot be written; an earlier file is untouched.
    """
    if not history:
        raise ModelError(
            "history: expected at least one epoch, got none. A network from a file has none: plot its run's history.jsonl"
        )
    with _figure(path, (10, 4), title) as figure:
        for axes, field in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            _curves(axes, history, field)


def save_confusion(confusion: NDArray[np.integer], class_names: Sequence[str], path: Path, title: str = "") -> None:
    """Draw a confusion matrix: true classes down, predicted ones across; the colour is the share of the true class.

    Args:
        confusion: ``confusion[true, predicted]`` counts images, as in ``metrics.Evaluation``.
        class_names: one for each class.
        path: of the picture: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        ShapeError: there is not one row, column and name for each class.
        DeviceError, ModelError, CheckpointError: as for ``save_curves``.
    """
    classes = len(class_names)
    if confusion.shape != (classes, classes) or not classes:
        raise ShapeError(
            f"confusion: expected a row, a column and a name for each class, got {confusion.shape} and {classes} names"
        )
    side = min(max(5.0, 1.6 + 0.52 * classes), 16.0)
    with _figure(path, (side + 1, side), title) as figure:
        _matrix(figure, confusion, [plain(name) for name in class_names])


class Panel(NamedTuple):
    """Accuracies of several networks under one change that grows.

    Args:
        title: of the panel.
        unit: of the strengths, in words.
        strengths: the marks of the axis, in order; they are drawn at equal distances.
        accuracies: of each network by its name, a fraction for each strength.
    """

    title: str
    unit: str
    strengths: Sequence[str]
    accuracies: Mapping[str, Sequence[float]]


def save_panels(panels: Sequence[Panel], path: Path, title: str = "", columns: int = 3) -> None:
    """Draw a panel for each change, all with accuracies from 0 to 100 %.

    Args:
        panels: at least one, with the same networks.
        path: of the picture: ``.png``, ``.svg`` or ``.pdf``.
        columns: panels side by side.

    Raises:
        DeviceError, ModelError, CheckpointError: as for ``save_curves``.
    """
    rows = -(-len(panels) // columns)
    with _figure(path, (3.6 * columns, 2.7 * rows + 0.6), title) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        lines, names = grid[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=len(names), frameon=False)


def _panel(axes: Any, panel: Panel) -> None:
    from matplotlib.ticker import PercentFormatter

    places = range(len(panel.strengths))
    for number, (name, values) in enumerate(panel.accuracies.items()):
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        axes.plot(places, values, label=plain(name), color=colour, marker=marker, markersize=5, linewidth=1.8)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.unit, fontsize=9)
    axes.set_xticks(places, panel.strengths)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(color="0.9")


def save_speeds(
    speeds: Sequence[tuple[str, float, str]], path: Path, title: str = "", peak: float | None = None, unit: str = "GFLOP/s"
) -> None:
    """Draw speeds as bars on a logarithmic axis, the first at the top: plain Python and a fast kernel are a factor of 10,000 apart.

    Args:
        speeds: (name, speed, the text beside the bar) of each; a speed is greater than 0.
        path: of the picture: ``.png``, ``.svg`` or ``.pdf``.
        peak: the highest possible speed, drawn as a line; None for no line.
        unit: of the speeds.

    Raises:
        ModelError: there is no speed, or the name ends otherwise. DeviceError, CheckpointError: as for ``save_curves``.
    """
    if not speeds:
        raise ModelError("speeds: expected at least one, got none. Measure something")
    with _figure(path, (10, 1.4 + 0.45 * len(speeds)), title) as figure:
        _bars(figure.subplots(), speeds, peak, unit)


class _figure:
    """A figure to draw on, which is written at the end of the block."""

    def __init__(self, path: Path, inches: tuple[float, float], title: str):
        self._path, self._format = path, _format_of(path)
        check_plotting()
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.style import context

        self._settings = (context("default"), matplotlib.rc_context({"svg.hashsalt": "numbacnn"}), warnings.catch_warnings())
        for each in self._settings:
            each.__enter__()
        warnings.simplefilter("ignore")  # a class name may have a character that the font lacks: it is drawn as a box
        self._figure = Figure(figsize=inches, dpi=100, layout="constrained")
        FigureCanvasAgg(self._figure)
        if title:
            self._figure.suptitle(plain(title), fontsize=11, parse_math=False)

    def __enter__(self) -> Any:
        return self._figure

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                write_atomically(self._path, self._picture(), advice="Give another file")
        finally:
            for each in reversed(self._settings):
                each.__exit__(None, None, None)

    def _picture(self) -> bytes:
        buffer = io.BytesIO()
        self._figure.savefig(buffer, format=self._format, metadata=METADATA[self._format])
        return buffer.getvalue()


def _curves(axes: Any, history: Sequence[Mapping[str, Any]], field: str) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = [record["epoch"] for record in history]
    for prefix, name, colour, marker in CURVES:
        values = [record.get(prefix + field) for record in history]
        if any(value is not None for value in values):
            points = [np.nan if value is None else value for value in values]
            shown = marker if len(epochs) <= MOST_MARKERS else ""
            axes.plot(epochs, points, label=name, color=colour, marker=shown, markersize=5, linewidth=1.8)
    kept = _kept_epoch(history)
    if kept is not None:
        axes.axvline(kept, color="0.5", linestyle="--", linewidth=1, label=f"kept: epoch {kept}")
    axes.set_xlabel("epoch")
    axes.set_ylabel(field)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(set(epochs)) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
    if field == "loss":
        axes.set_ylim(0, max(axes.dataLim.ymax * 1.05, 1e-9))
    else:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(color="0.9")
    axes.legend(frameon=False)


def _kept_epoch(history: Sequence[Mapping[str, Any]]) -> int | None:
    """The epoch with the lowest validation loss, whose network is kept; None without validation images."""
    watched = [record for record in history if record.get("validation_loss") is not None]
    return min(watched, key=lambda record: record["validation_loss"])["epoch"] if watched else None


def _matrix(figure: Any, confusion: NDArray[np.integer], names: list[str]) -> None:
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import PercentFormatter

    axes = figure.subplots()
    totals = confusion.sum(axis=1, keepdims=True)
    shares = confusion / np.maximum(totals, 1)
    # The root lets one image in a hundred be seen beside the diagonal.
    picture = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    figure.colorbar(picture, ax=axes, label="share of the true class", format=PercentFormatter(1.0), shrink=0.8)
    is_wide = max(map(len, names)) > 2
    places, size = range(len(names)), 10 if len(names) <= MOST_NUMBERS else 6
    axes.set_xticks(
        places, names, rotation=45 if is_wide else 0, ha="right" if is_wide else "center", size=size, parse_math=False
    )
    axes.set_yticks(places, names, size=size, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(names) <= MOST_NUMBERS:
        for true, predicted in np.argwhere(confusion):
            colour = "white" if shares[true, predicted] > 0.4 else "black"
            axes.text(predicted, true, f"{confusion[true, predicted]}", ha="center", va="center", color=colour, fontsize=9)


def _bars(axes: Any, speeds: Sequence[tuple[str, float, str]], peak: float | None, unit: str) -> None:
    places = range(len(speeds))
    values = [speed for _, speed, _ in speeds]
    largest = max([*values, peak or 0.0])
    axes.set_xscale("log")
    axes.barh(places, values, color="#0072B2", height=0.7)
    for place, (_, speed, words) in zip(places, speeds, strict=True):
        axes.annotate(
            words, (speed, place), (4, 0), textcoords="offset points", va="center", fontsize=9, parse_math=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    axes.set_yticks(places, [plain(name) for name, _, _ in speeds], parse_math=False)
    axes.invert_yaxis()
    # A bar on such an axis has no natural beginning: a third of the slowest leaves it a bar to be seen. The words need room on the right.
    axes.set_xlim(min(values) / 3, largest * 3 * (3 * largest / min(values)) ** 0.22)
    if peak is not None:
        axes.axvline(peak, color="#D55E00", linestyle="--", linewidth=1.2, zorder=0, label=f"measured peak: {peak:.3g} {unit}")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0)
    axes.set_xlabel(f"{unit} (logarithmic)")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
