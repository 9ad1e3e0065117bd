"""``numbacnn plot``: pictures of a training run."""

from pathlib import Path

import click

from numbacnn.files import make_folder
from numbacnn.plotting import check_plotting, save_confusion, save_curves
from numbacnn.training.history import read_history
from numbacnn.training.run_folder import HISTORY_FILE, MODEL_FILE

from . import options
from .console import print_json, stdout
from .evaluate import measured
from .model_source import trained_model
from .new_files import check_new
from .paths import UserPath
from .usage import check_heeded

PICTURES = ("curves.png", "confusion.png")


@click.command()
@click.argument("run", required=False, type=UserPath())
@options.dataset_trained_on
@options.data_dir_trained_on
@options.test_limit
@options.computing
@click.option("--confusion/--no-confusion", default=True, show_default=True,
              help="Draw the confusion matrix too, which needs the data set.")  # fmt: skip
@click.option("--output", type=UserPath(), metavar="DIR", help="Folder to write to; by default the run's own.")
@options.force
@options.reporting
@click.pass_context
def plot(
    ctx: click.Context,
    run: Path | None,
    dataset: str | None,
    data_dir: Path | None,
    test_limit: int | None,
    device: str,
    threads: int | None,
    exact_conv: bool,
    precision: str,
    confusion: bool,
    output: Path | None,
    force: bool,
    output_format: str,
) -> None:
    """Draw the curves and the confusion matrix of a run: curves.png and confusion.png.

    RUN is the folder of a run; by default that of the network trained last. It needs pip install 'numbacnn[plot]', and no display.

    \b
    Example: numbacnn plot
             numbacnn plot runs/small-digits --output pictures
    """
    if not confusion:
        check_heeded(
            ctx,
            "--no-confusion needs no images",
            "dataset",
            "data_dir",
            "test_limit",
            "device",
            "threads",
            "exact_conv",
            "precision",
        )
    check_plotting()
    folder = _run_folder(run)
    history = read_history(folder / HISTORY_FILE)
    target = output or folder
    make_folder(target, "Give another folder with --output")
    is_own = target.resolve() == folder.resolve()
    for name in PICTURES if confusion else PICTURES[:1]:
        check_new(target / name, force or is_own)  # those in the run's folder are the program's own
    console = stdout()
    files = [target / PICTURES[0]]
    save_curves(history, files[0], folder.name)
    if confusion:
        if output_format == "text":
            console.print_wrapped(f"wrote {files[0]}")  # it stays if the data set cannot be had
        computing = device, threads, exact_conv, precision
        _, name, data, result, _ = measured(folder / MODEL_FILE, dataset, data_dir, test_limit, *computing)
        files.append(target / PICTURES[1])
        title = f"{folder.name}: {result.accuracy:.2%} of {len(data.test_images):,} test images of {name}"
        save_confusion(result.confusion, data.class_names, files[1], title)
    if output_format == "json":
        print_json({"run": str(folder), "epochs": len(history), "files": [str(file) for file in files]})
    else:
        console.print_wrapped(f"wrote {files[-1]}")


def _run_folder(given: Path | None) -> Path:
    """The folder of a run: the one given, by its path or that of its network, or the one trained last."""
    if given is not None:
        return given.parent if given.suffix == ".safetensors" else given
    return trained_model(None, "RUN").parent
