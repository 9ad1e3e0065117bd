"""What is in the folder of a sweep: which runs are done, which can be resumed, why others failed, and the figures of each."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from numbacnn.checkpoint import Checkpoint, load_network
from numbacnn.errors import CheckpointError
from numbacnn.files import remove_file, write_atomically
from numbacnn.graph import Graph, graph_to_dict, with_initializer
from numbacnn.likeness import LEAST_IMAGES
from numbacnn.normalisation import PIXELS, RAW_PIXELS
from numbacnn.quoting import short
from numbacnn.reading import read_bounded
from numbacnn.training import Settings
from numbacnn.training.history import read_history
from numbacnn.training.run_folder import RunFolder

from .model_source import for_classes
from .origin import Origin, dataset_label, is_own
from .sweep_grid import PlannedRun
from .train import read_call, train
from .train_data import class_count
from .train_options import TrainOptions
from .train_run import resume_command

_LONGEST_REASON = 1 << 16  # bytes


@dataclass(frozen=True)
class Figures:
    """What one run reached: the figures of the epoch whose network is kept, as ``train`` reports them.

    Args:
        test_accuracy, test_loss: None without test images.
        seconds: of all epochs.
    """

    test_accuracy: float | None
    test_loss: float | None
    seconds: float
    kept_epoch: int
    weights_sha256: str


@dataclass(frozen=True)
class Found:
    """A run and what is in its folder.

    Args:
        figures: of a run that is done; else None.
        resume: the arguments of ``numbacnn`` that resume the run.
        is_begun: whether there is something to resume.
        reason: why the run failed when it was last tried; else None.
    """

    run: PlannedRun
    resume: tuple[str, ...]
    is_begun: bool
    figures: Figures | None = None
    reason: str | None = None


def look(run: PlannedRun) -> Found:
    """What is in the folder of a run.

    Raises:
        CheckpointError: it holds a run of other settings, or cannot be read.
        ModelError, ShapeError, TrainingError: the run's own settings make no run.
    """
    folder = RunFolder(run.folder)
    call = _call(run)
    origin, settings, graph = _expected(call)
    resume = (*shlex.split(resume_command(run.folder, origin, call))[1:], "--checkpoint-every", f"{call.checkpoint_every:g}")
    if not (folder.unfinished.exists() or folder.checkpoint.exists()):
        return Found(run, resume, is_begun=False, reason=_failure(run))
    checkpoint = _loaded(folder)
    _check_same(run, checkpoint, origin, settings, graph)
    if _is_over(checkpoint, settings) and folder.is_complete() and (figures := _figures(folder)) is not None:
        return Found(run, resume, is_begun=True, figures=figures)
    return Found(run, resume, is_begun=True, reason=_failure(run))


def note_failure(run: PlannedRun, reason: str | None) -> None:
    """Keep why a run failed beside its folder, for reports to come; None forgets it.

    Raises:
        CheckpointError: it cannot be written.
    """
    if reason is None:
        remove_file(_note(run))
    else:
        write_atomically(_note(run), reason.encode(errors="replace"))


def _note(run: PlannedRun) -> Path:
    return run.folder.with_name(f"{run.name}.error")


def _failure(run: PlannedRun) -> str | None:
    try:
        return read_bounded(_note(run), _LONGEST_REASON).decode(errors="replace")
    except OSError:
        return None


def _call(run: PlannedRun) -> TrainOptions:
    """The options of ``train`` for a run, checked as it checks them."""
    arguments = [*run.arguments, "--seed", str(run.seed), "--output", str(run.folder)]
    try:
        with train.make_context("train", arguments) as ctx:
            return read_call(ctx, dict(ctx.params))
    except click.UsageError as error:
        raise click.UsageError(f"{run.name}: {error.message}") from None


def _expected(call: TrainOptions) -> tuple[Origin, Settings, Graph | None]:
    """What a run of these options keeps in its checkpoint; no graph where only the data tell how many classes there are."""
    source = call.source()
    if call.initializer is not None:
        source.graph = with_initializer(source.graph, call.initializer)
    origin, settings = call.origin(), call.settings(source.recipe)
    if source.normalisation == RAW_PIXELS:
        origin = replace(origin, raw_pixels=True)
    graph = None
    if not is_own(origin.dataset):
        graph = for_classes(source, class_count(origin.dataset), dataset_label(origin.dataset))
    return origin, settings, graph


def _loaded(folder: RunFolder) -> Checkpoint:
    try:
        return folder.load()
    except CheckpointError as error:
        said = str(error).removesuffix(". Start without --resume")
        raise CheckpointError(f"{said}. Remove {folder.path} to begin this run anew") from None


def _check_same(run: PlannedRun, checkpoint: Checkpoint, origin: Origin, settings: Settings, graph: Graph | None) -> None:
    """Raise if a checkpoint is of another run than the one that belongs to its folder.

    Raises:
        CheckpointError: with the first setting that differs, and both of its values.
    """
    state = checkpoint.state
    # The images' digest is compared when the run is resumed. Networks of single epochs change no result.
    ignored = {"data_sha256", "keep_epochs"}
    if graph is None and not settings.validation:  # data of one's own may hold images for validation
        ignored.add("validation")
    ours: dict[str, Any] = {**origin.to_dict(), **settings.to_dict()}
    theirs: dict[str, Any] = {**_table(state.get("about")), **_table(state.get("settings"))}
    for name, value in ours.items():
        if name not in ignored and theirs.get(name, False) != value:
            flag = "--" + name.replace("_", "-")
            raise CheckpointError(
                f"{run.folder}: expected a run of {flag} {short(value)}, got one of {flag} {short(theirs.get(name))}. "
                "Give another --output, or the options that the sweep was begun with"
            )
    if graph is not None and state.get("graph") != graph_to_dict(graph):
        raise CheckpointError(
            f"{run.folder}: expected a run of the network {graph.name}, got one of other layers. Give another --output"
        )


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_over(checkpoint: Checkpoint, settings: Settings) -> bool:
    counters = _table(checkpoint.state.get("counters"))
    epoch, best = counters.get("epoch", 0), counters.get("best_epoch", 0)
    return epoch >= settings.epochs or (settings.early_stop is not None and epoch - best >= settings.early_stop)


def _figures(folder: RunFolder) -> Figures | None:
    """The figures of a run whose epochs are done; None if it was stopped before ``train`` had written all that follows them."""
    network = load_network(folder.model)
    summary = network.summary
    few = summary["train_images"] < LEAST_IMAGES
    if network.normalisation.dtype == PIXELS.dtype and not few and not folder.features.exists():
        return None
    seconds = sum(record["seconds"] for record in read_history(folder.history))
    return Figures(
        summary["test_accuracy"], summary["test_loss"], round(seconds, 3), summary["kept_epoch"], summary["weights_sha256"]
    )
