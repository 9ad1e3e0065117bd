"""The report of a training run: its heading, the JSON object, the text, and the files' descriptions."""

from pathlib import Path
from typing import Any

from numbacnn.backends.precisions import FLOAT32
from numbacnn.checkpoint import Arrays, TrainedNetwork, weights_sha256
from numbacnn.config import write_toml
from numbacnn.graph import graph_to_dict
from numbacnn.picture_forms import DIGITS
from numbacnn.quoting import counted, printable
from numbacnn.training.order import held_out

from .console import stdout
from .options import DATA_DIR
from .sparkline import curves
from .tables import percent, table
from .train_data import fingerprint_of_test_part
from .train_run import Run

VARIES = ("seconds", "images_per_second", "output", "ranks", "threads", "thread_shares")
"""Figures that are not kept in the network's file: the same training makes the same file."""


def heading(run: Run) -> str:
    """The run in one line."""
    settings, data = run.state.settings, run.dataset
    tests = f"{len(data.test_images):,}" if len(data.test_images) else "no"
    images = f"{len(data.train_images):,} training and {tests} test images"
    return (
        f"{run.state.graph.name} on {data.name} ({images}, {data.source}), {settings.optimizer} {settings.learning_rate:g}, "
        f"batch {settings.batch_size}, {'augmented, ' if settings.augment else ''}"
        f"{'raw pixels, ' if run.origin.raw_pixels else ''}{_device(run)}, seed {settings.seed}"
    )


def _device(run: Run) -> str:
    if run.ranks == 1:
        return run.ops.describe()
    if run.ops.name != "cpu":
        return f"{run.ops.describe()} on each of {run.ranks} ranks"
    return f"cpu with {run.ranks} ranks x {counted(run.threads, 'thread')}"


def report(run: Run, seconds: float) -> dict[str, Any]:
    """The object of ``--format json``: the figures of the epoch whose network is kept."""
    return _figures(run, seconds, _kept_epoch(run), run.state.parameters_to_keep(run.ops))


def _kept_epoch(run: Run) -> int:
    return run.state.best_epoch or len(run.state.history)


def _figures(run: Run, seconds: float, epoch: int, parameters: Arrays) -> dict[str, Any]:
    """The figures of an epoch whose network has these parameters."""
    state = run.state
    record = state.history[epoch - 1]
    return {
        "model": state.graph.name,
        "dataset": run.dataset.name,
        "device": run.ops.name,
        **({"precision": run.origin.precision} if run.origin.precision != FLOAT32 else {}),
        "ranks": run.ranks,
        "threads": run.threads,
        "thread_shares": {str(threads): round(share, 3) for threads, share in run.ops.thread_shares().items()},
        "seed": state.settings.seed,
        "epochs": state.epoch,
        "kept_epoch": record.epoch,
        "train_images": len(held_out(run.dataset, state.settings)[0]),
        "test_images": len(run.dataset.test_images),
        "loss": record.loss,
        "accuracy": record.accuracy,
        "test_loss": record.test_loss,
        "test_accuracy": record.test_accuracy,
        "seconds": round(seconds, 3),
        "images_per_second": record.images_per_second,
        "weights_sha256": weights_sha256(state.graph, parameters),
        "output": str(run.folder.path),
    }


def print_report(figures: dict[str, Any], run: Run, dead: str, drawn: Path | None, wrote: bool) -> None:
    """The same as text, and the next command.

    Args:
        dead: the dead feature maps in words, if there are any.
        drawn: the picture of the curves, if there is one.
        wrote: whether this call wrote the files, or found them in place.
    """
    rows = table("", "loss", "accuracy")
    rows.add_row(f"{figures['train_images']:,} training images", f"{figures['loss']:.4f}", percent(figures["accuracy"]))
    result = f"training accuracy {percent(figures['accuracy'])}, no test images,"
    if figures["test_images"]:
        rows.add_row(f"{figures['test_images']:,} test images", f"{figures['test_loss']:.4f}", percent(figures["test_accuracy"]))
        result = f"test accuracy {percent(figures['test_accuracy'])}"
    console = stdout()
    console.print(rows)
    for line in curves(run.state.history, console):
        console.print(line)
    if dead:
        console.print(dead)
    console.print(f"{result} after {counted(figures['kept_epoch'], 'epoch')}, {figures['seconds']:.1f} s")
    if line := threads_line(figures):
        console.print_wrapped(line)
    console.print(f"weights sha256 {figures['weights_sha256']}", soft_wrap=True)
    verb = "wrote" if wrote else "in place:"
    console.print_wrapped(f"{verb} {run.folder.model}, and history, settings and checkpoint beside it")
    if drawn is not None:
        console.print_wrapped(f"curves: {drawn}")
    samples = Path("data") / "samples"
    if run.dataset.pictures != DIGITS:
        console.print("next: numbacnn evaluate, or numbacnn predict and the names of pictures")
    elif samples.is_dir():
        console.print(f"next: numbacnn predict {samples}")
    else:
        console.print("next: numbacnn samples samples && numbacnn predict samples")


FEWER = 0.25
"""The least share of the time on fewer threads that is worth a word: trials take some per cent of it."""


def threads_line(figures: dict[str, Any]) -> str:
    """On how many threads the run was, if it was not all of them; else nothing."""
    fewer = {threads: share for threads, share in figures["thread_shares"].items() if int(threads) < figures["threads"]}
    if sum(fewer.values()) < FEWER:
        return ""
    most = max(fewer, key=lambda threads: fewer[threads])
    return (
        f"{sum(fewer.values()):.0%} of the time on fewer than {figures['threads']} threads, mostly {most}: that was measured to "
        "be faster, as when other programs use the processors"
    )


def trained_network(run: Run) -> TrainedNetwork:
    """The network that the run keeps."""
    return _network(run, _kept_epoch(run), run.state.parameters_to_keep(run.ops))


def epoch_network(run: Run) -> TrainedNetwork:
    """The network as it is after the latest epoch."""
    return _network(run, len(run.state.history), run.state.present_parameters(run.ops))


def _network(run: Run, epoch: int, parameters: Arrays) -> TrainedNetwork:
    figures = _figures(run, 0, epoch, parameters)
    summary = {name: value for name, value in figures.items() if name not in VARIES}
    summary["recipe"] = run.state.settings.recipe().to_dict()
    if run.origin.test_limit is None:  # of some of the images it would tell `evaluate` nothing about the others
        summary["test_sha256"] = fingerprint_of_test_part(run.dataset)
    return TrainedNetwork(
        run.state.graph,
        parameters,
        run.dataset.class_names,
        summary,
        run.dataset.normalisation,
        run.dataset.pictures,
    )


def config(run: Run) -> str:
    """The text of ``config.toml``: the resolved settings, enough to repeat the run by ``--config``."""
    command = {
        "model": printable(run.origin.model),  # TOML is UTF-8, which not every file name is
        "dataset": printable(run.origin.dataset),
        "data_dir": printable(str(run.data_dir if run.data_dir == DATA_DIR else run.data_dir.absolute())),
        "train_limit": run.origin.train_limit,
        "test_limit": run.origin.test_limit,
        "raw_pixels": run.origin.raw_pixels or None,
        "exact_conv": run.origin.exact_conv or None,
        "precision": run.origin.precision if run.origin.precision != FLOAT32 else None,
        "keep_epochs": run.origin.keep_epochs or None,
        "device": run.ops.name,
        "threads": run.threads,
    }
    settings = {name: value for name, value in run.state.settings.to_dict().items() if value is not None}
    return write_toml({**command, "training": settings, "network": graph_to_dict(run.state.graph)})
