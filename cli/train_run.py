"""A training run, opened: a new one, or one that was stopped."""

import contextlib
import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numbacnn.backends import processor, threads
from numbacnn.backends.precisions import TF32
from numbacnn.datasets import Dataset
from numbacnn.errors import CheckpointError, ModelError
from numbacnn.graph import with_initializer
from numbacnn.normalisation import COST_OF_RAW_PIXELS, RAW_PIXELS
from numbacnn.ops import Ops
from numbacnn.quoting import listed
from numbacnn.training import Settings, State, check_matches, new_state
from numbacnn.training.run_folder import RunFolder

from .compiling import announced_compilations, warm_up_in_processes
from .console import notice, printable
from .device import open_device
from .model_source import Source, for_classes
from .origin import Origin, dataset_label, is_own
from .resuming import check_output, folder_to_resume, forget_begun, note_begun
from .signals import before_leaving, held_signals, is_first_to_say, received, say
from .train_data import class_count, fingerprint, load, load_ahead
from .train_options import TrainOptions
from .train_ranks import Crew

RAW_PIXELS_NOTICE = f"pixels are fed as numbers 0...255, as the lecture does. It costs accuracy: {COST_OF_RAW_PIXELS}"


@dataclass(frozen=True)
class Run:
    """All that training needs.

    Args:
        compilations: counts the kernels compiled in this process.
        compiled_ahead: kernels compiled in other processes.
        ranks: processes that train together.
    """

    state: State
    dataset: Dataset
    ops: Ops
    folder: RunFolder
    origin: Origin
    data_dir: Path
    threads: int
    compilations: Any
    compiled_ahead: int = 0
    ranks: int = 1


@contextmanager
def new_run(options: TrainOptions, crew: Crew) -> Iterator[Run]:
    """Start a run. Cheap checks come before the data are downloaded or drawn; a run that fails before its first step is abandoned."""
    source = options.source()
    if options.initializer is not None:
        _initialise(source, options.initializer, options.model)
    folder, origin = RunFolder(options.folder(source.graph.name)), options.origin()
    if source.normalisation == RAW_PIXELS:  # its weights fit no others
        origin = replace(origin, raw_pixels=True)
    check_output(folder.path, resume=False)
    loading = load_ahead(origin, options.data_dir, source.graph.input_shape)
    ops = open_device(options.device, options.threads or crew.threads, options.exact_conv, options.precision)
    new_folders = _missing_folders(folder.path)
    with folder.writing(), announced_compilations() as compilations, ExitStack() as stack:
        begun_before = None
        try:
            folder.check_names()
            settings = options.settings(source.recipe)
            crew.check_batch(settings.batch_size)
            own_data = loading() if is_own(origin.dataset) else None  # only they know how many classes there are
            classes = len(own_data.class_names) if own_data else class_count(origin.dataset)
            graph = for_classes(source, classes, dataset_label(origin.dataset))
            if own_data and own_data.validation_images is not None and not settings.validation:
                held = len(own_data.validation_images)
                settings = replace(settings, validation=held / (held + len(own_data.train_images)))
                notice(f"the epoch with the lowest loss on {held:,} validation images of {own_data.name} is kept")
            state = new_state(graph, settings, ops, source.parameters)
            begun_before = note_begun(folder.path)  # before the run is on the disk, or --resume might miss it
            with held_signals():
                moved = folder.begin(state, ops, origin.to_dict())
                stack.enter_context(_parting_words(folder, resume_command(folder.path, origin, options, crew.size)))
            if moved:
                notice(
                    f"the run that was stopped in its first epoch is kept in {moved}: --resume --output {moved} goes on with it"
                )
            is_drawn = options.dataset == "digits"
            ahead = warm_up_in_processes(ops, graph, settings, exact_conv=options.exact_conv, digits=is_drawn)
            dataset = own_data or loading()
            check_matches(graph, dataset)
            if origin.raw_pixels:
                notice(RAW_PIXELS_NOTICE)
            if source.parameters is not None:
                notice(f"starting from the weights of {options.model}")
            if folder.earlier_files():
                notice(
                    f"{folder.path} holds an earlier run: it moves to {folder.previous()} when the new run finishes its first epoch"
                )
            origin = replace(origin, data_sha256=fingerprint(dataset))
            count = _thread_count(options, crew)
            yield Run(state, dataset, ops, folder, origin, options.data_dir, count, compilations, ahead, crew.size)
        except BaseException as error:
            is_stopped = received() is not None or not isinstance(error, Exception)
            # After a CheckpointError (a disk that is full, say) the run is worth resuming all the same.
            if not is_stopped and not isinstance(error, CheckpointError) and folder.abandon():
                forget_begun(begun_before)
            _remove_unused(new_folders)
            raise


@contextmanager
def resumed_run(options: TrainOptions, crew: Crew) -> Iterator[Run]:
    """Resume a run: its own settings count, and the options that the user gave must agree with them."""
    folder = folder_to_resume(options)
    with folder.writing(), ExitStack() as stack:
        checkpoint = folder.load()
        folder.check_names()
        origin = Origin.from_dict(checkpoint.state.get("about"), str(folder.resumable()))
        stack.enter_context(_parting_words(folder, resume_command(folder.path, origin, options, crew.size)))
        if origin.precision == TF32 and options.device == "cpu":
            raise CheckpointError(
                f"{folder.path}: the run was started with --precision {TF32}: expected --device cuda, as only GPUs multiply in TF32, "
                f"got --device {options.device}. Give --device cuda, or start a new run in another --output"
            )
        ops = open_device(options.device, options.threads or crew.threads, origin.exact_conv, origin.precision)
        with announced_compilations() as compilations:
            state = folder.resume(checkpoint, ops)
            options.check_unchanged(origin, state.settings, folder.path)
            crew.check_batch(state.settings.batch_size)
            _check_initializer(options, state, folder.path)
            is_changed = _change_epochs(state, options.epochs)
            origin = _place_of_data(origin, options, state, folder.path)
            if options.keep_epochs and not origin.keep_epochs:
                origin, is_changed = replace(origin, keep_epochs=True), True
            dataset = load(origin, options.data_dir, state.graph.input_shape)
            if origin.data_sha256 not in (None, fingerprint(dataset)):
                option = "--dataset" if is_own(origin.dataset) else "--data-dir"
                raise CheckpointError(
                    f"{folder.path}: the images are not those the run was started with. Give the {option} it was started with"
                )
            origin = replace(origin, data_sha256=fingerprint(dataset))
            if earlier := folder.earlier_files():
                files = listed(file.name for file in reversed(earlier))
                notice(
                    f"going on with {folder.unfinished.name}, the run begun last; {files} are of the run before it, "
                    "and stay as they are"
                )
            note_begun(folder.path)
            if is_changed and state.epoch < state.settings.epochs:  # a kill must not bring what was before back
                folder.save_checkpoint(state, ops, origin.to_dict())
            notice(f"resuming {folder.path} after epoch {state.epoch}, step {state.step}")
            count = _thread_count(options, crew)
            yield Run(state, dataset, ops, folder, origin, options.data_dir, count, compilations, ranks=crew.size)


def _initialise(source: Source, name: str, model: str) -> None:
    """Give the network's layers another distribution of initial weights.

    Raises:
        ModelError: it has weights already, or no layer that takes any.
    """
    if source.parameters is not None:
        raise ModelError(
            f"{model}: expected a network without weights for --initializer, got a trained one. Leave --initializer out"
        )
    source.graph = with_initializer(source.graph, name)


def _check_initializer(options: TrainOptions, state: State, folder: Path) -> None:
    """Raise CheckpointError if the user names other initial weights than the run began with."""
    if options.initializer is not None and with_initializer(state.graph, options.initializer) != state.graph:
        raise CheckpointError(
            f"{folder}: the run was started with other initial weights, got --initializer {options.initializer}. "
            "Leave --initializer out, or start a new run in another --output"
        )


def _place_of_data(origin: Origin, options: TrainOptions, state: State, folder: Path) -> Origin:
    """The origin with the place where the user's own data are now.

    Raises:
        CheckpointError: they are not there, or the user asks for images of another size.
    """
    if options.input_shape not in (None, state.graph.input_shape):
        started = ",".join(map(str, state.graph.input_shape))
        raise CheckpointError(
            f"{folder}: the run was started with images of {started}, got --input {','.join(map(str, options.input_shape or ()))}. "
            "Leave --input out, or start a new run in another --output"
        )
    if not is_own(origin.dataset):
        return origin
    if "dataset" in options.named:
        return replace(origin, dataset=options.dataset)
    if not os.path.lexists(origin.dataset):
        raise CheckpointError(
            f"{folder}: expected the run's data set at {origin.dataset}, got nothing there. "
            "If it has moved, name its place: --dataset PATH"
        )
    return origin


@contextmanager
def _parting_words(folder: RunFolder, command: str) -> Iterator[None]:
    """If a signal ends the block, say how to go on; also where the process is ended by force."""

    def tell() -> None:
        if is_first_to_say():
            where = " before the first step was saved" if folder.is_only_begun else ""
            say(f"stopped{where}. Go on with:\n  {printable(command)}\n")

    with before_leaving(tell):
        try:
            yield
        except BaseException:
            if received() is not None:
                tell()
            raise


def resume_command(folder: Path, origin: Origin, options: TrainOptions, ranks: int = 1) -> str:
    """The command line that resumes the run of a folder on so many ranks, with the options of this call that a checkpoint does not hold."""
    command = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
    command += ["numbacnn", "train", "--resume", "--output", str(folder)]
    if is_own(origin.dataset):
        command += ["--dataset", origin.dataset]
    elif origin.dataset != "digits":
        command += ["--data-dir", str(options.data_dir)]
    if options.resume and options.epochs is not None:
        command += ["--epochs", str(options.epochs)]
    if "device" in options.named:
        command += ["--device", options.device]
    if options.threads is not None:
        command += ["--threads", str(options.threads)]
    if (pinned := processor.pinned()) is not None:
        command += ["--processor", pinned]
    if options.log_dir is not None:
        command += ["--log-dir", str(options.log_dir)]
    return shlex.join(command)


def _change_epochs(state: State, epochs: int | None) -> bool:
    """Set another number of epochs, and tell the user if that changes the epochs to come. Returns whether the number is another."""
    before = state.settings
    if epochs is None or epochs == before.epochs or epochs <= before.epochs <= state.epoch:  # it has as many already
        return False
    if before.schedule in ("cosine", "one-cycle"):
        notice(f"the {before.schedule} schedule spans all epochs: from here on it is stretched over {epochs} epochs")
    state.settings = Settings.from_dict(before.to_dict() | {"epochs": epochs})
    latest = state.epoch if state.batch else state.epoch - 1  # the epoch, counted from 0, of the latest step
    if not before.distorts(latest) and state.settings.distorts(state.epoch):
        notice(f"epoch {latest + 1} saw the images as they are; from here on they are distorted, but for the last sixth")
    return True


def _missing_folders(folder: Path) -> list[Path]:
    """The folder and those above it, as far as they do not exist yet; the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _remove_unused(folders: list[Path]) -> None:
    """Remove folders in which there is nothing but a lock, which is still held."""
    if not folders or [path.name for path in folders[0].iterdir()] != [".lock"]:
        return
    with contextlib.suppress(OSError):  # Windows keeps a file that is open
        (folders[0] / ".lock").unlink()
        for folder in folders:
            folder.rmdir()


def _thread_count(options: TrainOptions, crew: Crew) -> int:
    return options.threads or crew.threads or threads.available()
