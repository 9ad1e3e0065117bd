"""``numbacnn train``: from a network's description and a data set to files that predict."""

import hashlib
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import click

from numbacnn.backends import get_ops, threads
from numbacnn.checkpoint import TrainedNetwork, weights_sha256
from numbacnn.config import write_toml
from numbacnn.datasets import Dataset, load_dataset, mnist
from numbacnn.errors import CheckpointError
from numbacnn.graph import graph_to_dict
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.schedules import SCHEDULES
from numbacnn.training import EpochDone, Settings, State, StepDone, check_matches, new_state
from numbacnn.training import train as train_events
from numbacnn.training.run_folder import RunFolder

from . import options
from .compiling import announced_compilations, warm_up_in_processes
from .console import notice, print_json, printable, stdout
from .device import open_device
from .main import PROCESS_START, Terminated
from .model_source import Source, read_model, remember_run
from .progress import DownloadView, TrainingView
from .tables import percent, table

EARLY_STOP_VALIDATION = 0.1
STARTED_WITH = {"model", "dataset", "train_limit", "test_limit", "exact_conv"}
SETTINGS_OPTIONS = {field.name for field in fields(Settings)} - {"epochs"}


@dataclass(frozen=True)
class Run:
    """One call of the command, resolved."""

    state: State
    dataset: Dataset
    ops: Ops
    folder: RunFolder
    about: dict[str, Any]
    data_dir: Path
    device: str
    threads: int
    compiled_ahead: int = 0


@click.command()
@click.option(
    "--model", default="cnn", show_default=True, help="A preset, a .toml model file, or a .safetensors network to start from."
)
@options.labelled_images
@click.option("--epochs", type=options.COUNT, metavar="N", help="How often each image is seen; the preset's number by default.")
@click.option("--batch-size", type=options.COUNT, default=100, show_default=True, metavar="N", help="Images per update.")
@click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), help="By default the preset's.")
@click.option("--learning-rate", type=options.PositiveNumber(), help="Of the first epoch; by default the preset's.")
@click.option("--lr-decay", type=options.PositiveNumber(), help="Factor per epoch; by default the preset's, 1 for none.")
@click.option("--schedule", type=click.Choice(list(SCHEDULES)), help="How the rate changes; by default the preset's.")
@click.option("--validation", type=click.FloatRange(0, 1, max_open=True), metavar="SHARE",
              help="Share of the training images held out; the epoch that does best on them is kept.")  # fmt: skip
@click.option("--early-stop", type=options.COUNT, metavar="N",
              help=f"Stop after N epochs without a better validation loss; holds out {EARLY_STOP_VALIDATION} by default.")  # fmt: skip
@click.option("--augment/--no-augment", default=None,
              help="Shift, turn, scale and bend training images at random, but for the last sixth of the epochs; "
              "by default as the preset has it.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, metavar="N",
              help="Same seed, same bits.")  # fmt: skip
@options.computing
@click.option("--train-limit", type=options.COUNT, metavar="N", help="Use the first N training images only.")
@options.test_limit
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="DIR", help="Folder to write to; runs/<model>-<dataset> by default."
)
@click.option("--resume", is_flag=True, help="Go on with the run in --output, to the bit as if it had never stopped.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "plain", "none"]),
    default="auto",
    show_default=True,
    help="What to show on stderr.",
)
@options.reporting
@click.pass_context
def train(ctx: click.Context, output_format: str, progress: str, **given: Any) -> int:
    """Train a network and write it, its history and a checkpoint to a folder.

    \b
    Example: numbacnn train --model small --dataset digits
             numbacnn train --model dense128 --epochs 5 --learning-rate 0.005
             numbacnn train --resume --output runs/cnn-mnist --epochs 10
    """
    explicit = {name for name in given if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    source = read_model(given["model"]) if not (given["resume"] and given["output"]) else None
    folder = RunFolder(given["output"] or Path("runs") / f"{source.graph.name}-{given['dataset']}")  # type: ignore[union-attr]
    if given["resume"]:
        folder.resumable()
    dataset = None if given["resume"] else _loading(given)
    ops = open_device(given["device"], given["threads"], given["exact_conv"])
    with folder.writing(), announced_compilations() as compiled:
        try:
            if source and dataset:
                run = _start(folder, ops, given, source, dataset)
            else:
                run = _resume(folder, ops, given, explicit)
            return _train(run, progress, output_format, compiled)
        except Exception:
            folder.abandon()
            raise


def _start(folder: RunFolder, ops: Ops, given: dict[str, Any], source: Source, load: Callable[[], Dataset]) -> Run:
    """A run from the beginning. What is cheap to check is checked before the data are downloaded or drawn."""
    recipe = source.recipe
    watched = EARLY_STOP_VALIDATION if given["early_stop"] else 0.0
    settings = Settings(
        epochs=given["epochs"] or recipe.epochs,
        batch_size=given["batch_size"],
        optimizer=given["optimizer"] or recipe.optimizer,
        learning_rate=given["learning_rate"] or recipe.learning_rate,
        schedule=given["schedule"] or ("exponential" if given["lr_decay"] else recipe.schedule),
        lr_decay=given["lr_decay"] or recipe.lr_decay,
        seed=given["seed"],
        validation=watched if given["validation"] is None else given["validation"],
        early_stop=given["early_stop"],
        augment=recipe.augment if given["augment"] is None else given["augment"],
    )
    state = new_state(source.graph, settings, ops, source.parameters)
    about = {name: given[name] for name in sorted(STARTED_WITH)}
    if moved := folder.begin(state, ops, about):
        notice(f"the run that was stopped in its first epoch is kept in {moved}: --resume --output {moved} goes on with it")
    ahead = warm_up_in_processes(ops, source.graph, settings, exact_conv=given["exact_conv"], digits=given["dataset"] == "digits")
    dataset = load()
    check_matches(source.graph, dataset)
    if source.parameters is not None:
        notice(f"starting from the weights of {given['model']}")
    if folder.earlier_files():
        notice(f"{folder.path} holds an earlier run: once this one has an epoch, that one moves to {folder.previous()}")
    about["data_sha256"] = _fingerprint(dataset)
    return Run(state, dataset, ops, folder, about, given["data_dir"], ops.name, _thread_count(given["threads"]), ahead)


def _resume(folder: RunFolder, ops: Ops, given: dict[str, Any], explicit: set[str]) -> Run:
    """A run taken up again: its own settings count, and what the command line asks for must agree with them."""
    state, about = folder.resume(ops)
    started_with = {"exact_conv": False, **about, **state.settings.to_dict()}
    for name in sorted(explicit & (STARTED_WITH | SETTINGS_OPTIONS)):
        if given[name] != started_with[name]:
            flag = "--" + name.replace("_", "-")
            raise CheckpointError(
                f"{folder.path}: the run was started with {flag} {started_with[name]}, got {given[name]}. "
                f"Leave {flag} out, or start a new run in another --output"
            )
    if given["epochs"] and given["epochs"] != state.settings.epochs:
        if state.settings.schedule in ("cosine", "one-cycle"):
            notice(f"the {state.settings.schedule} schedule spans all epochs: from here on it is that of {given['epochs']}")
        before = state.settings
        state.settings = Settings.from_dict(before.to_dict() | {"epochs": given["epochs"]})
        latest = state.epoch if state.batch else state.epoch - 1  # the epoch, from 0 on, that the latest step was part of
        if not before.distorts(latest) and state.settings.distorts(state.epoch):
            notice(f"epoch {latest + 1} saw the images as they are; from here on they are distorted, but for the last sixth")
    dataset = _load(about, given["data_dir"])
    if _fingerprint(dataset) != about.setdefault(
        "data_sha256", _fingerprint(dataset)
    ):  # a run may stop before it has seen its data
        raise CheckpointError(
            f"{folder.path}: the images are not those the run was started with. Give the --data-dir it was started with"
        )
    if about.get("exact_conv"):
        ops = get_ops(given["device"], given["threads"], exact_conv=True)
    if earlier := folder.earlier_files():
        files = ", ".join(file.name for file in earlier)
        notice(
            f"going on with {folder.unfinished.name}, the run begun last; {files} are of the run before it, and stay as they are"
        )
    notice(f"resuming {folder.path} after epoch {state.epoch}, step {state.step}")
    return Run(state, dataset, ops, folder, about, given["data_dir"], ops.name, _thread_count(given["threads"]))


def _loading(given: dict[str, Any]) -> Callable[[], Dataset]:
    """What gives the data set. Files that are there already are read and checked while Numba is imported, which takes as long."""
    load = partial(_load, given, given["data_dir"])
    if given["dataset"] != "mnist" or not mnist.find(given["data_dir"]):
        return load
    outcome: Future[Dataset] = Future()

    def work() -> None:
        try:
            outcome.set_result(load())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()  # a daemon: Ctrl-C does not wait for it
    return outcome.result


def _load(about: dict[str, Any], data_dir: Path) -> Dataset:
    return load_dataset(
        about["dataset"],
        data_dir,
        train_limit=about["train_limit"],
        test_limit=about["test_limit"],
        progress=DownloadView(),
        notice=notice,
    )


def _train(run: Run, progress: str, output_format: str, compiled: Any) -> int:
    """Consume the events: show them, and save after each epoch or when told to stop."""
    state, started, first_step = run.state, time.perf_counter(), None
    if progress != "none":
        notice(_heading(run))
    if state.epoch and not state.batch and not run.folder.is_complete():  # killed while the epoch was being written
        run.folder.save_epoch(state, run.ops, _network(run), _config(run), run.about)
    with TrainingView(state.settings.epochs, progress) as view, _signals() as stopped_by:
        for event in train_events(state, run.dataset, run.ops):
            if first_step is None and isinstance(event, StepDone):
                first_step = time.perf_counter() - PROCESS_START
            view.show(event)
            if isinstance(event, EpochDone):
                network = _network(run) if event.best else None
                run.folder.save_epoch(state, run.ops, network, _config(run), run.about)
            is_over = state.epoch == state.settings.epochs
            if (number := stopped_by()) and isinstance(event, (StepDone, EpochDone)) and not is_over:
                run.folder.save_checkpoint(state, run.ops, run.about)
                view.say(f"stopped in epoch {state.epoch + 1} after step {state.step}; nothing is lost. Go on with:")
                view.say(f"  {_resume_command(run)}")
                return 128 + number
    remember_run(run.folder.path)
    if first_step is None:
        notice(f"{run.folder.path} has all of its {state.epoch} epoch(s) already. Add --epochs N to train for more")
    extra = {
        "kernels_compiled": run.compiled_ahead + compiled.count,
        "first_step_seconds": round(first_step, 3) if first_step else None,
    }
    report = _report(run, time.perf_counter() - started) | extra
    if output_format == "json":
        print_json(report)
    else:
        _print_report(report, run, wrote=first_step is not None)
    return 0


def _heading(run: Run) -> str:
    settings, data = run.state.settings, run.dataset
    tests = f"{len(data.test_images):,}" if len(data.test_images) else "no"
    images = f"{len(data.train_images):,} training and {tests} test images"
    rate = f"{settings.optimizer} {settings.learning_rate:g}"
    return (
        f"{run.state.graph.name} on {data.name} ({images}, {data.source}), {rate}, batch {settings.batch_size}, "
        f"{'augmented, ' if settings.augment else ''}"
        f"{run.ops.describe()}, seed {settings.seed}"
    )


def _network(run: Run) -> TrainedNetwork:
    summary = _report(run, sum(record.seconds for record in run.state.history))
    # Times and places are not part of what was learned: the same training makes the same file.
    for name in ("seconds", "images_per_second", "output", "threads"):
        del summary[name]
    return TrainedNetwork(run.state.graph, run.state.parameters_to_keep(run.ops), run.dataset.class_names, summary)


def _report(run: Run, seconds: float) -> dict[str, Any]:
    """The object of ``--format json``: the figures of the epoch whose network is kept."""
    state = run.state
    record = state.history[(state.best_epoch or len(state.history)) - 1]
    return {
        "model": state.graph.name,
        "dataset": run.dataset.name,
        "device": run.device,
        "threads": run.threads,
        "seed": state.settings.seed,
        "epochs": state.epoch,
        "kept_epoch": record.epoch,
        "train_images": len(run.dataset.train_images),
        "test_images": len(run.dataset.test_images),
        "loss": record.loss,
        "accuracy": record.accuracy,
        "test_loss": record.test_loss,
        "test_accuracy": record.test_accuracy,
        "seconds": round(seconds, 3),
        "images_per_second": record.images_per_second,
        "weights_sha256": weights_sha256(state.graph, state.parameters_to_keep(run.ops)),
        "output": str(run.folder.path),
    }


def _print_report(report: dict[str, Any], run: Run, wrote: bool) -> None:
    rows = table("", "loss", "accuracy")
    rows.add_row(f"{report['train_images']:,} training images", f"{report['loss']:.4f}", percent(report["accuracy"]))
    result = f"training accuracy {percent(report['accuracy'])}, no test images,"
    if report["test_images"]:
        rows.add_row(f"{report['test_images']:,} test images", f"{report['test_loss']:.4f}", percent(report["test_accuracy"]))
        result = f"test accuracy {percent(report['test_accuracy'])}"
    console = stdout()
    console.print(rows)
    console.print(f"{result} after {report['kept_epoch']} epoch(s), {report['seconds']:.1f} s")
    console.print(f"weights sha256 {report['weights_sha256']}", soft_wrap=True)
    verb = "wrote" if wrote else "in place:"
    console.print(f"{verb} {run.folder.model}, and history, settings and checkpoint beside it", soft_wrap=True)
    samples = Path("data") / "samples"
    console.print(
        f"next: numbacnn predict {samples}" if samples.is_dir() else "next: numbacnn samples samples && numbacnn predict samples"
    )


def _config(run: Run) -> str:
    """The resolved settings: enough to do the same again."""
    command = {
        "model": printable(run.about["model"]),  # TOML is UTF-8, which not every file name is
        "dataset": run.dataset.name,
        "data_dir": printable(str(run.data_dir)),
        "train_limit": run.about["train_limit"],
        "test_limit": run.about["test_limit"],
        "device": run.device,
        "threads": run.threads,
    }
    settings = {name: value for name, value in run.state.settings.to_dict().items() if value is not None}
    return write_toml({**command, "training": settings, "network": graph_to_dict(run.state.graph)})


def _resume_command(run: Run) -> str:
    place = ["--data-dir", str(run.data_dir)] if run.dataset.name == "mnist" else []
    return shlex.join(["numbacnn", "train", "--resume", "--output", str(run.folder.path), *place])


def _fingerprint(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for array in (dataset.train_images[:: max(len(dataset.train_images) // 1000, 1)], dataset.train_labels, dataset.test_labels):
        digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()


def _thread_count(given: int | None) -> int:
    return given or threads.available()


@contextmanager
def _signals() -> Iterator[Callable[[], int | None]]:
    """SIGINT and SIGTERM are noted, and training stops after the step under way; a second one stops at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
