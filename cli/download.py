"""``numbacnn download``: fetch a data set and check its files."""

from pathlib import Path

import click

from numbacnn.dataset_names import DOWNLOADS

from . import options
from .console import notice, print_json, stdout


@click.command()
@click.argument("dataset", type=click.Choice(list(DOWNLOADS)), default="mnist", metavar="[NAME]")
@options.data_dir
@options.reporting
def download(dataset: str, data_dir: Path, output_format: str) -> None:
    """Fetch a data set into --data-dir: MNIST (11 MB) or another.

    NAME is mnist, fashion-mnist, kmnist, emnist-letters, emnist-balanced or emnist-digits. Every download is checked against its
    sha256; valid files are not fetched again. EMNIST's sets are in one archive of 562 MB, which is fetched once.

    \b
    Example: numbacnn download mnist --data-dir data
             numbacnn download fashion-mnist
    """
    from numbacnn.datasets import named

    from .progress import DownloadView

    folder = named.download(dataset, data_dir, progress=DownloadView(), notice=notice)
    if output_format == "json":
        print_json({"dataset": dataset, "folder": str(folder)})
    else:
        stdout().print_wrapped(f"{dataset} is complete in {folder}")
