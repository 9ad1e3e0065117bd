"""The options that several commands share, each defined once."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from numbacnn.backends import DEVICES
from numbacnn.backends.threads import MOST_THREADS

from .paths import UserPath

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class PositiveNumber(click.ParamType):
    """A finite number greater than 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number.", param, ctx)
        if not math.isfinite(number) or number <= 0:
            self.fail(f"{value} is not a finite number greater than 0.", param, ctx)
        return number


COUNT = click.IntRange(min=1)

debug = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")

output_format = click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Format of the results on stdout; JSON is ASCII.",
)  # fmt: skip

DATASETS = click.Choice(["mnist", "digits"])
DATASET_HELP = "mnist: read from --data-dir, or downloaded to it. digits: drawn by the program, no download."

dataset = click.option("--dataset", type=DATASETS, default="mnist", show_default=True, help=DATASET_HELP)

dataset_trained_on = click.option(
    "--dataset", type=DATASETS, help=f"{DATASET_HELP} By default the one that the network was trained on."
)

data_dir = click.option(
    "--data-dir", type=UserPath(), default=Path("data"), show_default=True, envvar="NUMBACNN_DATA_DIR",
    show_envvar=True, help="Folder of the MNIST files.",
)  # fmt: skip

test_limit = click.option("--test-limit", type=COUNT, metavar="N", help="Use the first N test images only.")

device = click.option(
    "--device", type=click.Choice(list(DEVICES)), default="cpu", show_default=True, help="Device to compute on."
)

threads = click.option(
    "--threads", type=click.IntRange(1, MOST_THREADS), metavar="N",
    help="CPU threads; by default all that the machine grants. Changes no result.",
)  # fmt: skip

exact_conv = click.option(
    "--exact-conv", is_flag=True,
    help="Sum convolutions directly, without transforms: slower, with the same results to about seven digits.",
)  # fmt: skip

trained_model = click.option(
    "--model",
    type=UserPath(),
    metavar="FILE",
    help="A trained .safetensors network; by default the one trained last.",
)


def combine(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in the order in which --help lists them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


computing = combine(device, threads, exact_conv)
reporting = combine(output_format, debug)
labelled_images = combine(dataset, data_dir)
