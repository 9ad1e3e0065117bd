"""``numbacnn train``: from a network's description and a data set to files that predict."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import click

from numbacnn.errors import CheckpointError
from numbacnn.normalisation import PIXELS
from numbacnn.quoting import counted
from numbacnn.training import EpochDone, EvaluationStarted, Event, State, StepDone
from numbacnn.training import train as train_events
from numbacnn.training.autosave import Autosave
from numbacnn.training.likeness import likeness_of

from . import options, train_choices
from .console import notice, print_json
from .event_log import EventLog
from .main import PROCESS_START
from .model_source import remember_run
from .paths import UserPath
from .progress import TrainingView
from .run_config import read_run_config
from .signals import Terminated, before_leaving, held_signals, is_first_to_say, noted_signals, raised_signals, received, say_line
from .train_findings import dead_maps_line, dead_maps_of, draw_curves
from .train_options import TrainOptions
from .train_ranks import Crew, RankedCommand
from .train_report import config, epoch_network, heading, print_report, report, trained_network
from .train_run import Run, new_run, resume_command, resumed_run

_PATIENCE = 3.0  # seconds without a word


@click.command(cls=RankedCommand)
@train_choices.network_and_recipe
@click.option("--seed", type=options.WholeNumber(0, 2**63 - 1), default=0, show_default=True, metavar="N",
              help="Same seed, same bits.")  # fmt: skip
@options.computing
@train_choices.limits
@click.option("--output", type=UserPath(), metavar="DIR", help="Folder to write to; by default runs/<model>-<dataset>.")
@click.option(
    "--resume",
    is_flag=True,
    help="Resume the run in --output, by default the one begun last; it ends with the same bits as one without a stop.",
)
@train_choices.checkpoint_every
@train_choices.keep_epochs
@click.option("--log-dir", type=UserPath(), metavar="DIR",
              help="Write an event file for TensorBoard to this folder; needs pip install 'numbacnn[log]'.")  # fmt: skip
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
             numbacnn train --dataset photos/ --input 32,32,3
             numbacnn train --config runs/cnn-mnist/config.toml --output again
             numbacnn train --resume --output runs/cnn-mnist --epochs 10
             mpiexec -n 4 numbacnn train

    Several processes train one network, on one machine or many, if mpiexec or srun starts them: pip install 'numbacnn[mpi]'. On CPUs
    their number changes no result. Each takes its share of the machine's threads, unless --threads says otherwise.
    """
    crew: Crew = ctx.obj
    call = crew.start(read_call(ctx, given))
    log = EventLog(call.log_dir)
    with (resumed_run if call.resume else new_run)(call, crew) as run, log:
        started = time.perf_counter()
        if call.progress != "none":
            notice(heading(run))
        crew.begin(run)
        outcome = _train(run, call, log, crew)
        if outcome.signal:
            return 128 + outcome.signal  # as shells do: 130 after Ctrl-C, 143 after SIGTERM
        if not run.folder.is_complete():  # someone removed a file of it in the meantime
            _save_epoch(run, is_best=True)
        if outcome.first_step is None and run.state.epoch >= run.state.settings.epochs:
            notice(
                f"{run.folder.path} has all of its {counted(run.state.epoch, 'epoch')} already. Add --epochs N to train for more"
            )
        _save_features(run, notice if call.progress != "none" else lambda text: None)
        figures = report(run, time.perf_counter() - started)
        dead = dead_maps_of(run)
        curves = draw_curves(run)
        with held_signals():
            if call.output_format == "json":
                print_json({
                    **figures, "dead_maps": dead, "curves": None if curves is None else str(curves),
                    "kernels_compiled": run.compiled_ahead + run.compilations.count, "first_step_seconds": outcome.first_step,
                })  # fmt: skip
            else:
                print_report(figures, run, dead_maps_line(run, dead), curves, wrote=outcome.first_step is not None)
        return 0


def read_call(ctx: click.Context, given: dict[str, Any]) -> TrainOptions:
    """The options of one call, those of ``--config`` among them.

    Raises:
        click.UsageError: some of them do not go together.
        ModelError, ShapeError: the file of ``--config`` is not as expected.
    """
    named = {name for name in given if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    if given["resume"] and given["config_file"] is not None:
        raise click.UsageError("--config starts a new run: leave it out with --resume, which has the run's own settings.")
    if not given["resume"] and {"lr_decay", "schedule"} <= named and given["schedule"] != "exponential":
        raise click.UsageError(
            f"--lr-decay is of --schedule exponential, got --schedule {given['schedule']}. Leave one of them out."
        )
    file = None if (path := given.pop("config_file")) is None else read_run_config(path)
    of_file = {name: value for name, value in file.options.items() if name not in named} if file else {}
    return TrainOptions(**given | of_file, config=file, named=frozenset(named | set(of_file)), is_model_named="model" in named)


class Outcome(NamedTuple):
    """How training ended.

    Args:
        first_step: seconds from the start of the process to the end of the first step; None if there was none to take.
        signal: the number of the signal that stopped it; None if it ran to its end.
    """

    first_step: float | None
    signal: int | None = None


def _train(run: Run, call: TrainOptions, log: EventLog, crew: Crew) -> Outcome:
    """Train: show each event, save after each epoch and now and then within it, and stop at a signal."""
    state, first_step = run.state, None
    evaluated: State | None = None  # the state that is being evaluated
    autosave = Autosave(call.checkpoint_every)
    with TrainingView(state.settings.epochs, call.progress) as view, noted_signals():
        if state.epoch and not state.batch and not run.folder.is_complete():  # killed while the epoch was being written
            _save_epoch(run, is_best=True)
        events = train_events(state, run.dataset, run.ops)
        while True:
            try:
                may_compile = crew.size == 1 and (first_step is None or evaluated is not None)  # others would wait in vain
                event = _next_event(events, run, call, evaluated, is_interruptible=may_compile)
            except Terminated:
                if evaluated is None:  # no step was done
                    raise
                return _stopped(run, call, evaluated, first_step, view.say, received())
            if event is None:
                break
            if first_step is None and isinstance(event, StepDone):
                first_step = round(time.perf_counter() - PROCESS_START, 3)
            view.show(event)
            evaluated = _copy(state) if isinstance(event, EvaluationStarted) else None
            if isinstance(event, EpochDone):
                crew.check_weights(state, run.ops)
                with autosave.saving():
                    _save_epoch(run, event.best)
                log.write(event.record, view.say)
            elif isinstance(event, StepDone) and autosave.is_due():
                try:
                    with autosave.saving():
                        _save_checkpoint(run, state)
                except CheckpointError as error:  # there may be room at the end of the epoch
                    view.say(f"training goes on without this checkpoint: {error}")
            if (
                isinstance(event, (StepDone, EpochDone))
                and (number := crew.agree(received()))
                and state.epoch < state.settings.epochs
            ):
                crew.end()
                return _stopped(run, call, state, first_step, view.say, number)
        crew.end()
        remember_run(run.folder.path)
        if received() and is_first_to_say():
            view.say(f"stopped after the last epoch: {run.folder.path} is complete. For its report:")
            view.say(f"  {resume_command(run.folder.path, run.origin, call, run.ranks)}")
        return Outcome(first_step, received())


def _next_event(
    events: Iterator[Event], run: Run, call: TrainOptions, evaluated: State | None, is_interruptible: bool
) -> Event | None:
    """The next event; None after the last. A step that has begun is not interrupted, unless it is the first.

    Args:
        evaluated: the state to save if compiling for its evaluation does not end in time.

    Raises:
        Terminated: a signal has come, and ``is_interruptible``.
    """
    if not is_interruptible:
        return next(events, None)
    save = partial(_save_and_tell, run, call, evaluated, say_line) if evaluated else lambda: None
    with before_leaving(save), raised_signals():
        return next(events, None)


def _stopped(
    run: Run, call: TrainOptions, state: State, first_step: float | None, tell: Callable[[str], None], number: int | None
) -> Outcome:
    _save_and_tell(run, call, state, tell)
    return Outcome(first_step, number)


def _save_and_tell(run: Run, call: TrainOptions, state: State, tell: Callable[[str], None]) -> None:
    _save_checkpoint(run, state)
    if is_first_to_say():
        tell(f"stopped in epoch {state.epoch + 1} after step {state.step}; nothing is lost. Go on with:")
        tell(f"  {resume_command(run.folder.path, run.origin, call, run.ranks)}")


def _copy(state: State) -> State:
    """The state as it is now: an evaluation changes no array, and at its end the counters and the history."""
    return replace(state, history=list(state.history))


def _save_checkpoint(run: Run, state: State) -> None:
    run.folder.save_checkpoint(state, run.ops, run.origin.to_dict())


def _save_epoch(run: Run, is_best: bool) -> None:
    network = trained_network(run) if is_best else None
    of_epoch = epoch_network(run) if run.origin.keep_epochs else None
    run.folder.save_epoch(run.state, run.ops, network, config(run), run.origin.to_dict(), of_epoch)


def _save_features(run: Run, tell: Callable[[str], None]) -> None:
    """Write what ``predict`` needs to know pictures that are unlike all training images, unless it is there. Takes a second for MNIST."""
    network = trained_network(run)
    if network.normalisation.dtype != PIXELS.dtype or run.folder.has_features_of(network):
        return  # to a network trained on floats, no picture can be given
    started, is_told = time.perf_counter(), False

    def looked_at(count: int) -> None:
        nonlocal is_told
        if not is_told and time.perf_counter() - started > _PATIENCE:
            is_told = True
            tell("the network looks at its training images once more, for predict to know what is unlike them")

    likeness = likeness_of(run.state, network.parameters, run.dataset, run.ops, looked_at)
    if likeness is not None:
        run.folder.save_features(likeness, network)
