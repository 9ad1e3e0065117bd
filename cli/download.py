"""``numbacnn download``: fetch a data set and check its files."""

from pathlib import Path

import click

from . import options
from .console import notice, print_json, stdout


@click.command()
@click.argument("dataset", type=click.Choice(["mnist"]), default="mnist")
@options.data_dir
@options.reporting
def download(dataset: str, data_dir: Path, output_format: str) -> None:
    """Fetch MNIST (11 MB) into --data-dir. Every file is checked against its sha256; valid ones are not fetched again.

    Example: numbacnn download mnist --data-dir data
    """
    from numbacnn.datasets import mnist

    from .progress import DownloadView

    folder = mnist.download(data_dir, progress=DownloadView(), notice=notice)
    if output_format == "json":
        print_json({"dataset": dataset, "folder": str(folder)})
    else:
        stdout().print(f"{dataset} is complete in {folder}", soft_wrap=True)
