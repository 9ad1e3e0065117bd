"""The options of ``numbacnn train`` that say what is trained and how. ``sweep`` takes them too, and gives each to many runs.

Imports neither numpy nor numba: --help needs no others.
"""

import click

from numbacnn.layers.initialization import INITIALIZERS
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.recipe import EARLY_STOP_VALIDATION
from numbacnn.schedules import SCHEDULES

from . import options
from .paths import MODEL, UserPath

_model = click.option(
    "--model",
    type=MODEL,
    default="cnn",
    show_default=True,
    help="A preset, a .toml model file, or a .safetensors network to start from.",
)
_config = click.option("--config", "config_file", type=UserPath(), metavar="FILE",
                       help="A run's config.toml to repeat, or some of its keys; options that are given win over it.")  # fmt: skip
_initializer = click.option("--initializer", type=click.Choice(list(INITIALIZERS)), metavar="NAME",
                            help="Distribution of the initial weights of every layer; by default the model's. "
                            f"One of {', '.join(INITIALIZERS)}.")  # fmt: skip
_epochs = click.option(
    "--epochs", type=options.COUNT, metavar="N", help="Passes over the training images; by default the model's."
)
_batch_size = click.option(
    "--batch-size", type=options.COUNT, metavar="N", help="Images per update; by default the model's, 100 for most presets."
)
_optimizer = click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), help="Update rule; by default the model's.")
_learning_rate = click.option(
    "--learning-rate", type=options.PositiveNumber(), help="Learning rate of the first epoch; by default the model's."
)
_lr_decay = click.option(
    "--lr-decay", type=options.PositiveNumber(), help="Factor of the rate per epoch, 1 for no decay; by default the model's."
)
_schedule = click.option(
    "--schedule", type=click.Choice(list(SCHEDULES)), help="Course of the rate over the epochs; by default the model's."
)
_validation = click.option("--validation", type=options.Share(), metavar="SHARE",
                           help="Share of the training images held out; the epoch with the lowest loss on them is kept.")  # fmt: skip
_early_stop = click.option("--early-stop", type=options.COUNT, metavar="N",
                           help="Stop after N epochs without a better validation loss; "
                           f"holds out {EARLY_STOP_VALIDATION} by default.")  # fmt: skip
_augment = click.option("--augment/--no-augment", default=None,
                        help="Shift, turn, scale and bend training images at random, but for the last sixth of the epochs; "
                        "by default as in the model's recipe.")  # fmt: skip
_train_limit = click.option("--train-limit", type=options.COUNT, metavar="N", help="Use the first N training images only.")
_raw_pixels = click.option("--raw-pixels", is_flag=True,
                           help="Feed pixels as numbers 0...255, as the lecture does, not 0...1: for comparison, "
                           "since it costs accuracy.")  # fmt: skip

network_and_recipe = options.combine(
    _model, _config, _initializer, options.labelled_images, options.input_shape, _epochs, _batch_size, _optimizer, _learning_rate,
    _lr_decay, _schedule, _validation, _early_stop, _augment,
)  # fmt: skip
"""All but the seed, in the order of --help."""

limits = options.combine(_train_limit, options.test_limit, _raw_pixels)

checkpoint_every = click.option("--checkpoint-every", type=options.PositiveNumber(), default=30.0, show_default=True, metavar="SECONDS",
                                help="Time between two checkpoints within an epoch; they take at most 2% of the time.")  # fmt: skip
keep_epochs = click.option("--keep-epochs", is_flag=True,
                           help="Keep the network of every epoch in the run's folder, as epoch-0001.safetensors and so on.")  # fmt: skip
