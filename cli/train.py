"""``numbacnn train``: from a network's description and a data set to files that predict."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import click

from numbacnn.errors import CheckpointError
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.schedules import SCHEDULES
from numbacnn.training import EpochDone, StepDone
from numbacnn.training import train as train_events
from numbacnn.training.autosave import Autosave

from . import options
from .console import notice, print_json
from .main import PROCESS_START
from .model_source import remember_run
from .progress import TrainingView
from .signals import noted_signals
from .train_options import EARLY_STOP_VALIDATION, TrainOptions
from .train_report import config, heading, print_report, report, trained_network
from .train_run import Run, new_run, resume_command, resumed_run


@click.command()
@click.option(
    "--model", default="cnn", show_default=True, help="A preset, a .toml model file, or a .safetensors network to start from."
)
@options.labelled_images
@click.option("--epochs", type=options.COUNT, metavar="N", help="Passes over the training images; by default the preset's.")
@click.option("--batch-size", type=options.COUNT, default=100, show_default=True, metavar="N", help="Images per update.")
@click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), help="Update rule; by default the preset's.")
@click.option("--learning-rate", type=options.PositiveNumber(), help="Learning rate of the first epoch; by default the preset's.")
@click.option(
    "--lr-decay", type=options.PositiveNumber(), help="Factor of the rate per epoch, 1 for no decay; by default the preset's."
)
@click.option(
    "--schedule", type=click.Choice(list(SCHEDULES)), help="Course of the rate over the epochs; by default the preset's."
)
@click.option("--validation", type=click.FloatRange(0, 1, max_open=True), metavar="SHARE",
              help="Share of the training images held out; the epoch with the lowest loss on them is kept.")  # fmt: skip
@click.option("--early-stop", type=options.COUNT, metavar="N",
              help=f"Stop after N epochs without a better validation loss; holds out {EARLY_STOP_VALIDATION} by default.")  # fmt: skip
@click.option("--augment/--no-augment", default=None,
              help="Shift, turn, scale and bend training images at random, but for the last sixth of the epochs; "
              "by default as in the preset.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, metavar="N",
              help="Same seed, same bits.")  # fmt: skip
@options.computing
@click.option("--train-limit", type=options.COUNT, metavar="N", help="Use the first N training images only.")
@options.test_limit
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="DIR", help="Folder to write to; by default runs/<model>-<dataset>."
)
@click.option("--resume", is_flag=True, help="Resume the run in --output; it ends with the same bits as a run without a stop.")
@click.option("--checkpoint-every", type=options.PositiveNumber(), default=30.0, show_default=True, metavar="SECONDS",
              help="Time between two checkpoints within an epoch; they take at most 2% of the time.")  # fmt: skip
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "plain", "none"]),
    default="auto",
    show_default=True,
    help="Progress on stderr; auto is a bar on a terminal and plain lines elsewhere.",
)
@options.reporting
@click.pass_context
def train(ctx: click.Context, **given: Any) -> int:
    """Train a network and write it, its history and a checkpoint to a folder.

    \b
    Example: numbacnn train --model small --dataset digits
             numbacnn train --model dense128 --epochs 5 --learning-rate 0.005
             numbacnn train --resume --output runs/cnn-mnist --epochs 10
    """
    named = {name for name in given if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    call = TrainOptions(**given, named=frozenset(named))
    with (resumed_run if call.resume else new_run)(call) as run:
        started = time.perf_counter()
        if call.progress != "none":
            notice(heading(run))
        outcome = _train(run, call)
        if outcome.signal:
            return 128 + outcome.signal  # as shells do: 130 after Ctrl-C, 143 after SIGTERM
        if not run.folder.is_complete():  # someone removed a file of it in the meantime
            _save_epoch(run, is_best=True)
        remember_run(run.folder.path)
        if outcome.first_step is None and run.state.epoch >= run.state.settings.epochs:
            notice(f"{run.folder.path} has all of its {run.state.epoch} epoch(s) already. Add --epochs N to train for more")
        figures = report(run, time.perf_counter() - started)
        if call.output_format == "json":
            print_json({
                **figures, "kernels_compiled": run.compiled_ahead + run.compilations.count,
                "first_step_seconds": outcome.first_step,
            })  # fmt: skip
        else:
            print_report(figures, run, wrote=outcome.first_step is not None)
        return 0


class Outcome(NamedTuple):
    """How training ended.

    Args:
        first_step: seconds from the start of the process to the end of the first step; None if there was none to take.
        signal: the number of the signal that stopped it; None if it ran to its end.
    """

    first_step: float | None
    signal: int | None = None


def _train(run: Run, call: TrainOptions) -> Outcome:
    """Train: show each event, save after each epoch and now and then within it, and stop at a signal."""
    state, first_step = run.state, None
    if state.epoch and not state.batch and not run.folder.is_complete():  # killed while the epoch was being written
        _save_epoch(run, is_best=True)
    autosave = Autosave(call.checkpoint_every)
    with TrainingView(state.settings.epochs, call.progress) as view, noted_signals() as received:
        for event in train_events(state, run.dataset, run.ops):
            if first_step is None and isinstance(event, StepDone):
                first_step = round(time.perf_counter() - PROCESS_START, 3)
            view.show(event)
            if isinstance(event, EpochDone):
                with autosave.saving():
                    _save_epoch(run, event.best)
            elif isinstance(event, StepDone) and autosave.is_due():
                try:
                    with autosave.saving():
                        run.folder.save_checkpoint(state, run.ops, run.origin.to_dict())
                except CheckpointError as error:  # there may be room at the end of the epoch
                    view.say(f"training goes on without this checkpoint: {error}")
            number = received()
            if number and isinstance(event, (StepDone, EpochDone)) and state.epoch < state.settings.epochs:
                run.folder.save_checkpoint(state, run.ops, run.origin.to_dict())
                view.say(f"stopped in epoch {state.epoch + 1} after step {state.step}; nothing is lost. Go on with:")
                view.say(f"  {resume_command(run.folder.path, run.origin, run.data_dir)}")
                return Outcome(first_step, number)
    return Outcome(first_step)


def _save_epoch(run: Run, is_best: bool) -> None:
    network = trained_network(run) if is_best else None
    run.folder.save_epoch(run.state, run.ops, network, config(run), run.origin.to_dict())
