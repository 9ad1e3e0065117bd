"""What ``lecture ladder`` and ``lecture challenges`` share: their options, their data, and the view of their trainings."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from numbacnn.backends.precisions import FLOAT32
from numbacnn.datasets import Dataset, load_dataset
from numbacnn.errors import DataError, ModelError
from numbacnn.lecture.contenders import Contender, Training, Watch, check_contest, contender
from numbacnn.normalisation import RAW_PIXELS
from numbacnn.ops import Ops
from numbacnn.quoting import counted
from numbacnn.training import Event, warm_up

from . import options
from .compiling import warm_up_in_processes
from .console import notice
from .device import open_device
from .model_source import Source, for_classes
from .progress import DownloadView, TrainingView

MOST_SEEDS = 100


class Names(click.ParamType):
    """``dense128,small``: presets that read MNIST's images.

    Args:
        least: how many are needed.
    """

    name = "NAME,NAME"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(part.strip() for part in str(value).split(",") if part.strip()))
        if len(names) < self.least:
            self.fail(f"expected at least {counted(self.least, 'name')} with commas between, got {value!r}.", param, ctx)
        try:
            for name in names:
                contender(name)
        except ModelError as error:
            self.fail(f"{str(error).removeprefix('models: ')}.", param, ctx)
        return names


def models(default: Sequence[str], least: int) -> options.Decorator:
    """The option that names the networks."""
    return click.option(
        "--models", "names", type=Names(least), default=",".join(default), show_default=True, metavar="NAME,NAME",
        help="Presets to train, in this order.",
    )  # fmt: skip


epochs = click.option(
    "--epochs", type=options.COUNT, default=3, show_default=True, metavar="N", help="Passes over the training images."
)
seeds = click.option(
    "--seeds", type=options.WholeNumber(1, MOST_SEEDS), default=1, show_default=True, metavar="N",
    help="Train each network so many times, with the seeds 0 to N-1, and give the mean.",
)  # fmt: skip
train_limit = click.option("--train-limit", type=options.COUNT, metavar="N", help="Use the first N training images only.")
sharing = options.combine(
    epochs, seeds, options.dataset, options.data_dir, train_limit, options.test_limit, options.computing, options.reporting
)


class Contest(NamedTuple):
    """Networks, the images by which they are compared, the device, and the options that ``train`` needs for the same."""

    contenders: list[Contender]
    dataset: Dataset
    ops: Ops
    options: dict[str, object]


def open_contest(
    names: Sequence[str],
    *,
    dataset: str,
    data_dir: Path,
    train_limit: int | None,
    test_limit: int | None,
    device: str,
    threads: int | None,
    exact_conv: bool,
    precision: str,
    raw_pixels: bool = False,
) -> Contest:
    """Load the data, and check that every network matches them, before the first training. All but the names are options of ``sharing``.

    Raises:
        DataError, ModelError, ShapeError, DeviceError: they cannot be had, or do not match.
    """
    contenders = [contender(name) for name in names]
    ops = open_device(device, threads, exact_conv, precision)
    data = load_dataset(
        dataset, data_dir, train_limit=train_limit, test_limit=test_limit, input_shape=contenders[0].graph.input_shape,
        progress=DownloadView(), notice=notice,
    )  # fmt: skip
    contenders = [_for_classes(each, data) for each in contenders]
    check_contest(contenders, data)
    if raw_pixels:
        if data.normalisation.dtype != RAW_PIXELS.dtype:
            raise DataError(f"{data.name}: expected pixels 0...255 for --raw-pixels, got floats. Leave --raw-pixels out")
        data = replace(data, normalisation=RAW_PIXELS)
    given: dict[str, object] = {
        "dataset": None if dataset == "mnist" else dataset,
        "data-dir": None if dataset == "digits" or data_dir == Path("data") else data_dir,
        "train-limit": train_limit,
        "test-limit": test_limit,
        "raw-pixels": raw_pixels,
        "exact-conv": exact_conv,
        "precision": None if precision == FLOAT32 else precision,
        "device": None if device == "cpu" else device,
    }
    return Contest(contenders, data, ops, given)


def _for_classes(each: Contender, data: Dataset) -> Contender:
    """The network with an output for each class of the data, as ``train`` makes it."""
    source = Source(each.graph, each.recipe, is_preset=True)
    return each._replace(graph=for_classes(source, len(data.class_names), data.name))


def view(contest: Contest, count: int) -> Watch:
    """Show each training on stderr, after its number.

    Args:
        count: of trainings.
    """
    numbers = iter(range(1, count + 1))
    exact_conv = bool(contest.options["exact-conv"])

    def watch(training: Training, events: Iterator[Event]) -> None:
        # What compiling takes does not count as the time of a network.
        warm_up_in_processes(contest.ops, training.graph, training.settings, exact_conv=exact_conv, digits=False)
        warm_up(training.graph, training.settings, contest.ops)
        note = f", {training.note}" if training.note else ""
        notice(f"training {next(numbers)} of {count}: {training.name}{note}")
        with TrainingView(training.settings.epochs, "auto") as shown:
            for event in events:
                shown.show(event)

    return watch
