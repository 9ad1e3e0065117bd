"""The options that several commands share, each defined once."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from numbacnn.backends import DEVICES
from numbacnn.backends.precisions import FLOAT32, PRECISIONS
from numbacnn.backends.processor import PROCESSORS, pin
from numbacnn.backends.threads import MOST_THREADS
from numbacnn.dataset_names import DATASETS
from numbacnn.picture_forms import FORMS
from numbacnn.plain_numbers import LARGEST_WHOLE
from numbacnn.quoting import short
from numbacnn.spelling import did_you_mean

from .paths import DATASET, UserPath

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class PositiveNumber(click.ParamType):
    """A finite number greater than 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number <= 0:
            self.fail(f"expected a finite number greater than 0, got {short(value)}.", param, ctx)
        return number


class WholeNumber(click.IntRange):
    """A whole number within bounds, which the message names."""

    def __init__(self, least: int, most: int = LARGEST_WHOLE) -> None:
        super().__init__(least, most)
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            number = None
        if number is None or not self.least <= number <= self.most:
            is_large = number is not None and number > self.most
            most = "2^63 - 1" if self.most == LARGEST_WHOLE else f"{self.most:,}"
            bounds = f"from {self.least} to {most}" if is_large or self.most < LARGEST_WHOLE else f"of at least {self.least}"
            self.fail(f"expected a whole number {bounds}, got {short(value)}.", param, ctx)
        return number

    def _describe_range(self) -> str:
        return f"x>={self.least}" if self.most == LARGEST_WHOLE else super()._describe_range()


class Share(click.FloatRange):
    """A number from 0 to less than 1."""

    def __init__(self) -> None:
        super().__init__(0, 1, max_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.inf
        if number != number:
            return number  # the settings say what is wrong with it
        if not 0 <= number < 1:
            self.fail(f"expected a number from 0 to less than 1, such as 0.1, got {short(value)}.", param, ctx)
        return number


class InputShape(click.ParamType):
    """``28,28,1``"""

    name = "H,W,C"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        parts = str(value).replace("x", ",").split(",")
        if len(parts) == 2:
            parts.append("1")
        if len(parts) != 3 or not all(part.strip().isdecimal() and len(part) < 9 and int(part) > 0 for part in parts):
            self.fail(
                f"expected HEIGHT,WIDTH,CHANNELS, such as 28,28,1, each from 1 to {10**8 - 1:,}, got {short(value)}.", param, ctx
            )
        return tuple(int(part) for part in parts)


class DatasetName(click.ParamType):
    """The name of a data set, or the path of one's own, made absolute. A name wins: ``./mnist`` is a folder."""

    name = "name or path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in DATASETS:
            return str(value)
        path = DATASET.convert(value, param, ctx)
        # What looks like a path is looked for when it is read: the message is better, and a run's data may come later.
        if not (os.path.lexists(path) or any(character in str(value) for character in "/\\.~")):
            meant = did_you_mean(str(value), DATASETS)
            self.fail(f"expected {', '.join(DATASETS)}, or the path of your own data, got {value!r}.{meant}", param, ctx)
        return os.path.abspath(path)


COUNT = WholeNumber(1)

debug = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")


def output_formats(*formats: str, explained: str = "") -> Decorator:
    """``--format``, with the formats that a command knows; the first of them is the default."""
    return click.option(
        "--format", "output_format", type=click.Choice(formats), default=formats[0], show_default=True,
        help=f"Format of the results on stdout; JSON is ASCII{explained}.",
    )  # fmt: skip


output_format = output_formats("text", "json")

DATASET_HELP = (
    f"{', '.join(DATASETS)}: read from --data-dir, or downloaded to it; digits are drawn by the program. Or the path of your own data: "
    "class folders of pictures, .npz, .csv, or a folder of IDX files."
)

dataset = click.option(
    "--dataset", type=DatasetName(), metavar="NAME|PATH", default="mnist", show_default=True, help=DATASET_HELP
)

input_shape = click.option(
    "--input", "input_shape", type=InputShape(), help="Train on images of this size instead of the model's own, as in 32,32,3."
)

dataset_trained_on = click.option(
    "--dataset",
    type=DatasetName(),
    metavar="NAME|PATH",
    help=f"{DATASET_HELP} By default the one that the network was trained on.",
)

DATA_DIR = Path("data")

data_dir = click.option(
    "--data-dir", type=UserPath(), default=DATA_DIR, show_default=True, envvar="NUMBACNN_DATA_DIR",
    show_envvar=True, help="Folder of the data sets' files.",
)  # fmt: skip

data_dir_trained_on = click.option(
    "--data-dir", type=UserPath(), envvar="NUMBACNN_DATA_DIR", show_envvar=True,
    help=f"Folder of the data sets' files; by default that of the network's training, else {DATA_DIR}.",
)  # fmt: skip

force = click.option("--force", is_flag=True, help="Replace files of the same names that hold something else.")

test_limit = click.option("--test-limit", type=COUNT, metavar="N", help="Use the first N test images only.")

device = click.option(
    "--device", type=click.Choice(list(DEVICES)), default="cpu", show_default=True, help="Device to compute on."
)

threads = click.option(
    "--threads", type=WholeNumber(1, MOST_THREADS), metavar="N",
    help="CPU threads; by default all that the machine grants. Changes no result.",
)  # fmt: skip

processor = click.option(
    "--processor", type=click.Choice(list(PROCESSORS)), expose_value=False, is_eager=True, envvar="NUMBACNN_PROCESSOR",
    show_envvar=True, callback=lambda ctx, param, value: pin(value),
    help="Processors that CPU kernels are compiled for; by default the level that this one computes fastest with. Changes no result.",
)  # fmt: skip

exact_conv = click.option(
    "--exact-conv", is_flag=True,
    help="Sum convolutions directly, without transforms: slower, with the same results to about seven digits.",
)  # fmt: skip

precision = click.option(
    "--precision", type=click.Choice(list(PRECISIONS)), default=FLOAT32, show_default=True,
    help="How exactly a GPU multiplies in layers: tf32 rounds factors to 10 bits of fraction, about three digits. Never chosen for you.",
)  # fmt: skip

trained_model = click.option(
    "--model",
    type=UserPath(),
    metavar="FILE",
    help="A trained .safetensors network; by default the one trained last.",
)

invert = click.option(
    "--invert", type=click.Choice(["auto", "yes", "no"]), default="auto", show_default=True,
    help="Whether the ink is dark on light; auto looks at the border.",
)  # fmt: skip

pictures_as = click.option(
    "--pictures", "pictures_as", type=click.Choice(list(FORMS)),
    help="How a picture takes the form of the training images; by default as the network's file says.",
)  # fmt: skip


def combine(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in the order in which --help lists them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


computing = combine(device, threads, processor, exact_conv, precision)
reporting = combine(output_format, debug)
labelled_images = combine(dataset, data_dir)
picture_forms = combine(invert, pictures_as)
